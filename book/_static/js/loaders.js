// Workers read batches, and one GPU takes a step with each, in order: who is busy when, and how
// many workers it takes until the GPU no longer waits.

import { Touchable, buttons, count, define, percent, range, slider } from "./touch.js";

const ROWS = 8; // of workers in full height; more than so many share their room
const COUNTS = [1]; // of workers, one by one and then in steps of 8 %
while (COUNTS.at(-1) < 150) COUNTS.push(Math.max(COUNTS.at(-1) + 1, Math.round(1.08 * COUNTS.at(-1))));
const AHEAD = 2; // batches that a worker may have ready or in hand
const [LEFT, RIGHT] = [62, 24]; // beside the bars
const [TALL, LANE] = [32, 20]; // height of the GPU's row and of a worker's
const FOOT = TALL + 10 + ROWS * LANE;

const inUnits = (ms) => (ms < 1000 ? [1, "ms"] : [1000, "s"]);
const inWords = (ms) => {
  const [unit, name] = inUnits(ms);
  return `${Number((ms / unit).toPrecision(3))}\u00a0${name}`;
};

// The chapter's function, for as many batches as begin before the end.
function timeline(read, step, workers, end) {
  const ready = Array(workers).fill(0);
  const rows = [];
  for (let n = 0, free = 0; Math.min(ready[n % workers], free) < end; n++) {
    const worker = n % workers;
    const taken = rows[n - AHEAD * workers]?.start ?? 0;
    const begin = Math.max(ready[worker], taken);
    ready[worker] = begin + read;
    const start = Math.max(ready[worker], free);
    rows.push({ n, worker, begin, ready: ready[worker], free, start, stop: start + step });
    free = start + step;
  }
  return rows;
}

class Loaders extends Touchable {
  // presets: [name, milliseconds to read a batch, milliseconds of a step]
  render({ presets }) {
    this.innerHTML = `
      <svg role="img" aria-label="Workers and the GPU over time"></svg>
      <p class="lo-readout" aria-live="polite"></p>
      <div class="sliders">
        ${slider("workers", "workers", 1, COUNTS.length, 1)}
        ${slider("read", "to read a batch", 1, 3.7, 0.02)}
        ${slider("step", "a training step", 1, 3.7, 0.02)}
      </div>
      <div class="pills" role="group" aria-label="times">
        ${buttons("preset", presets.map(([name]) => name))}</div>`;
    // The first answer is the reader's own to find.
    for (const kind of ["input", "click"])
      this.addEventListener(kind, () => (this.touched = true), { capture: true });
    // Their sliders say the logarithm, in steps; a preset's own times lie between these.
    for (const name of ["read", "step"])
      this.input(name).addEventListener("input", ({ target }) => {
        this[name] = Number((10 ** target.value).toPrecision(2));
        this.draw();
      });
    this.input("workers").addEventListener("input", () => this.draw());
    this.onPress("preset", (i) => {
      this.set(presets[i]);
      this.draw();
    });
    this.set(presets[0]);
    this.onResize(this.find("svg"));
  }

  set([, read, step]) {
    Object.assign(this, { read, step });
    this.input("read").value = Math.log10(read);
    this.input("step").value = Math.log10(step);
  }

  draw() {
    const { read, step } = this;
    const workers = COUNTS[this.values()[0] - 1];
    this.sayAll("output", [workers, inWords(read), inWords(step)]);
    this.input("workers").ariaValueText = workers;
    for (const name of ["read", "step"]) this.input(name).ariaValueText = inWords(this[name]);
    this.press("preset", this.data.presets.findIndex(([, r, s]) => r === read && s === step));
    const words = this.words(read, step, workers);
    this.say(".lo-readout", words);
    this.find("svg").ariaLabel = `Who is busy when, with ${count(workers, "worker")}. ${words}`;
    this.find("svg").innerHTML = this.lanes(read, step, workers);
  }

  // The share is counted from the first batch on.
  words(read, step, workers) {
    const needed = Math.ceil(read / step - 1e-9);
    if (workers < needed) {
      const share = Math.min(0.99, (workers * step) / read); // 99.6 % are not all of it
      const works = `The GPU works ${percent(share, 0)} of the time`;
      return this.touched ? `${works}; ${needed} workers would keep it busy.` : `${works}.`;
    }
    const keep = needed > 1 ? "keep it busy" : "keeps it busy";
    const enough = workers > needed ? "would be enough" : keep;
    return `The GPU waits only for its first batch; ${count(needed, "worker")} ${enough}.`;
  }

  lanes(read, step, workers) {
    const wide = this.find("svg").getBoundingClientRect().width - LEFT - RIGHT;
    const least = Math.max(3 * read, 6 * step); // a round time that shows so much
    const unit = 10 ** Math.floor(Math.log10(least));
    const [end, parts] = [[1, 5], [2, 4], [5, 5], [10, 5]]
      .map(([times, parts]) => [times * unit, parts])
      .find(([time]) => time >= least);
    const x = (time) => LEFT + (Math.min(time, end) / end) * wide;
    const tall = Math.min(LANE, (ROWS * LANE) / workers);
    const height = tall - Math.min(3, tall / 5); // of a bar
    const y = (worker) => TALL + 10 + worker * tall;
    const named = (worker) => tall === LANE || worker % (workers - 1) === 0; // else the outer two
    const bar = (kind, from, to, top, height, word, room) => {
      if (from >= end) return "";
      const width = x(to) - x(from);
      const big = width >= 5 && height >= 5 ? " lo-big" : "";
      const middle = `x="${(x(from) + width / 2).toFixed(1)}" y="${top + height / 2 + 4}"`;
      return `<rect class="lo-${kind}${big}" x="${x(from).toFixed(2)}" y="${top}"
          width="${Math.max(width, 1).toFixed(2)}" height="${height}" />
        ${width >= room ? `<text class="lo-on-${kind}" ${middle}>${word}</text>` : ""}`;
    };
    const rows = timeline(read, step, workers, end);
    const lane = (name, top, height, kind = "") => `
      <rect class="lo-lane ${kind}" x="${LEFT}" y="${top}" width="${wide}" height="${height}" />
      <text class="lo-name" x="${LEFT - 8}" y="${top + height / 2 + 4}">${name}</text>`;
    const ticks = range(parts + 1).map((i) => {
      const time = (i / parts) * end;
      const word = i < parts ? Number((time / inUnits(end)[0]).toPrecision(3)) : inWords(end);
      return `<path d="M${x(time)} ${FOOT}v4" />
        <text x="${x(time)}" y="${FOOT + 17}">${word}</text>`;
    });
    return `
      ${lane("GPU", 0, TALL)}
      ${range(Math.max(ROWS, workers))
        .map((i) =>
          i < workers
            ? lane(named(i) ? `worker ${i}` : "", y(i), height)
            : lane("", y(i), height, "lo-none"))
        .join("")}
      ${rows
        .map(({ n, worker, begin, ready, free, start, stop }) =>
          bar("read", begin, ready, y(worker), height, n, tall < 14 ? Infinity : 20) +
          (start > free ? bar("wait", free, start, 0, TALL, "waits", 40) : "") +
          bar("step", start, stop, 0, TALL, n, 20))
        .join("")}
      <path d="M${LEFT} ${FOOT}H${LEFT + wide}" />${ticks.join("")}`;
  }
}

define("loaders", Loaders);
