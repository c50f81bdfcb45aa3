// How many bytes an index keeps, which of them fit into memory, and how long reading all of it takes.

import { Touchable, buttons, define, escapeHTML, grouped, slider } from "./touch.js";

const WIDTHS = [768, 1152, 1536];
// Bytes of one vector of d numbers: as the chapter measures them at d = 128.
const KINDS = [
  ["HNSW", "float32 and a graph", (d) => 4 * d + 272],
  ["flat", "float32, exact search", (d) => 4 * d],
  ["int8", "a byte a number", (d) => d],
  ["IVF-PQ", "a byte for four numbers", (d) => d / 4 + 10],
  ["binary", "a bit a number", (d) => d / 8],
];
const FIRST = { vectors: 6, memory: Math.log10(16), speed: Math.log10(25) };

const round = (log) => Number((10 ** log).toPrecision(2));
const large = (n) => (n >= 1e9 ? `${n / 1e9} billion` : n >= 1e6 ? `${n / 1e6} million` : grouped(n));
const size = (bytes) => {
  const gb = bytes / 1e9;
  return gb >= 1000 ? `${grouped(gb / 1000, 1)} TB` : `${gb >= 10 ? grouped(gb) : gb.toPrecision(2)} GB`;
};
const time = (s) => (s >= 1 ? `${s.toPrecision(2)} s` : `${Number((1000 * s).toPrecision(2))} ms`);

class IndexSize extends Touchable {
  render() {
    this.innerHTML = `
      <div class="pills" role="group" aria-label="numbers a vector"><b>numbers a vector</b>
        ${buttons("width", WIDTHS)}</div>
      <div class="sliders">
        ${slider("vectors", "vectors", 4, 10, 0.02, FIRST.vectors)}
        ${slider("memory", "memory", 0, 3.4, 0.02, FIRST.memory)}
        ${slider("speed", "it reads, per second", 1, 3.6, 0.02, FIRST.speed)}
      </div>
      <p class="is-scale">A full bar is all of the memory.</p>
      <ol class="is-list"></ol>
      <p class="is-readout" aria-live="polite"></p>`;
    this.width = WIDTHS[1];
    this.onPress("width", (i) => {
      this.width = WIDTHS[i];
      this.draw();
    });
    this.addEventListener("input", () => this.draw());
  }

  draw() {
    const [vectors, memory, speed] = this.values().map(round);
    this.press("width", WIDTHS.indexOf(this.width));
    const words = [large(vectors), `${grouped(memory)} GB`, `${grouped(speed)} GB`];
    this.sayAll("output", words);
    ["vectors", "memory", "speed"].forEach((name, i) => (this.input(name).ariaValueText = words[i]));
    const rows = KINDS.map(([name, what, of]) => [name, what, vectors * of(this.width)]);
    this.find(".is-list").innerHTML = rows
      .map(([name, what, bytes]) => {
        const share = bytes / (memory * 1e9);
        const width = `--part: ${Math.max(0.6, Math.min(100, 100 * share)).toFixed(1)}%`;
        return `<li class="${share > 1 ? "is-over" : ""}"><b>${name}</b> <span>${escapeHTML(what)}</span>
          <em>${size(bytes)}${share > 1 ? ` · ${share < 10 ? share.toFixed(1) : grouped(share)} ×` : ""}</em><span class="is-bar" style="${width}"></span></li>`;
      })
      .join("");
    const read = (bytes) => `reading all of them once takes ${time(bytes / (speed * 1e9))}`;
    const [name, , bytes] = rows.slice(1).find(([, , of]) => of <= memory * 1e9) ?? [];
    this.say(
      ".is-readout",
      name === "flat"
        ? `Float32 fits; ${read(bytes)}, the least for one exact search.`
        : name
          ? `Float32 doesn’t fit. ${name} does; ${read(bytes)}.`
          : "None fits: more machines, or vectors that are read from the disk.",
    );
  }
}

define("index-size", IndexSize);
