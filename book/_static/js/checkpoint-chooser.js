// All published checkpoints: the reader says what for, and sees which fit, the best first.

import { Touchable, buttons, count, define, escapeHTML, fixed, grouped, slider } from "./touch.js";

const TASKS = [["name pictures", "imagenet"], ["find pictures by text", "by_text"], ["find texts for a picture", "by_image"], ["find in 36 languages", "by_text_36"]];
const LANGUAGES = [["English is enough", null], ["many languages", "many"]];
const SHAPES = [["photos", false], ["long pictures, pages", true]]; // true: NaFlex
const BYTES = [["float32", 4], ["bfloat16", 2], ["int8", 1]];
const UNITS = { imagenet: "ImageNet", by_text: "COCO, by text", by_image: "COCO, by picture", by_text_36: "XM3600, by text" };
const FIRST = 5; // that are shown
const GB = [0.2, 8, 3].map(Math.log10); // the least, the most, and the first
const GF = [10, 1500, 300].map(Math.log10);

const round = (x) => Number(x.toPrecision(2));

class CheckpointChooser extends Touchable {
  // checkpoints: name, family, tower, size, tokens, languages, parameters, gflops, accuracies
  render() {
    const group = (kind, label, choices) => `<div class="pills" role="group" aria-label="${label}">
      <b>${label}</b>${buttons(kind, choices.map(([words]) => words))}</div>`;
    this.innerHTML = `
      ${group("task", "for", TASKS)}
      ${group("language", "texts", LANGUAGES)}
      ${group("shape", "pictures", SHAPES)}
      ${group("bytes", "weights in", BYTES)}
      <div class="sliders">
        ${slider("memory", "weights, at most", GB[0], GB[1], 0.01, GB[2])}
        ${slider("speed", "an image, at most", GF[0], GF[1], 0.01, GF[2])}
      </div>
      <p class="cc-readout" aria-live="polite"></p>
      <ol class="cc-list"></ol>
      <p class="cc-scale"></p>`;
    this.chosen = { task: 0, language: 0, shape: 0, bytes: 1 };
    for (const kind of Object.keys(this.chosen))
      this.onPress(kind, (i) => {
        this.chosen[kind] = i;
        if (kind === "task" && TASKS[i][1] === "by_text_36") this.chosen.language = 1;
        this.draw();
      });
    this.addEventListener("input", () => this.draw());
  }

  fits({ languages, size, parameters, gflops }, memory, speed) {
    const { language, shape, bytes } = this.chosen;
    const wanted = LANGUAGES[language][1];
    return (
      (!wanted || languages === wanted) &&
      (size === 0) === SHAPES[shape][1] &&
      (parameters * BYTES[bytes][1]) / 1e9 <= memory &&
      gflops <= speed
    );
  }

  draw() {
    for (const [kind, i] of Object.entries(this.chosen)) this.press(kind, i);
    const [memory, speed] = this.values().map((log) => round(10 ** log));
    this.sayAll("output", [`${memory}\u00a0GB`, `${grouped(speed)}\u00a0GFLOPs`]);
    this.input("memory").ariaValueText = `${memory} GB`;
    this.input("speed").ariaValueText = `${speed} GFLOPs`;
    const key = TASKS[this.chosen.task][1];
    const all = this.data.checkpoints;
    const fitting = all.filter((row) => this.fits(row, memory, speed));
    // The best first; of equals the cheaper one; what nobody published last.
    fitting.sort((a, b) => (b[key] ?? -1) - (a[key] ?? -1) || a.gflops - b.gflops);
    const shown = fitting.slice(0, FIRST);
    const [best] = shown;
    const fit = `${fitting.length} of ${count(all.length, "checkpoint")} fit`;
    const advice = best?.[key] == null ? `${fit}; no number is published to choose by.` : `${fit}. Try ${best.name}.`;
    this.say(".cc-readout", best ? advice : "None fits: allow more memory or more operations.");
    const known = all.map((row) => row[key]).filter((value) => value !== null);
    const ends = [Math.min(...known), Math.max(...known)];
    this.find(".cc-list").innerHTML = shown.map((row) => this.card(row, key, ends)).join("");
    const [least, most] = ends.map((value) => fixed(value, 1));
    this.say(".cc-scale", `A bar is empty at ${least} and full at ${most}, the worst and the best of all.`);
  }

  card({ name, tokens, parameters, gflops, ...row }, key, [least, most]) {
    const gigabytes = (parameters * BYTES[this.chosen.bytes][1]) / 1e9;
    const value = row[key] === null ? "not published" : fixed(row[key], 1);
    const width = row[key] === null ? 0 : (100 * (row[key] - least)) / (most - least);
    return `<li><b>${escapeHTML(name)}</b>
      <span class="cc-value">${UNITS[key]} <em>${value}</em></span>
      <span class="cc-bar" style="--part: ${width}%"></span>
      <span class="cc-facts">${grouped(gflops)} GFLOPs · ${fixed(gigabytes, 2)} GB · ${grouped(tokens)} tokens</span></li>`;
  }
}

define("checkpoint-chooser", CheckpointChooser);
