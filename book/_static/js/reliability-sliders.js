// The reliability diagram of many answers, redrawn for any scale t and bias b.

import {
  Plot, Touchable, buttons, count, define, fixed, percent, range, sigmoid, slider, sum,
} from "./touch.js";

const PRESETS = [
  ["as trained", 44.4, -3.86],
  ["fitted on clean", 91.3, -9.95],
  ["fitted on grainy", 25.4, -3.09],
];
const TICKS = [0, 0.25, 0.5, 0.75, 1].map((share) => [share, percent(share, 0)]);

class ReliabilitySliders extends Touchable {
  // answers: for each kind of drawing how many are wrong, and right, in each `step` of the cosine,
  // from `first` on.
  render({ answers }) {
    this.kinds = Object.keys(answers);
    this.innerHTML = `
      <svg role="img" aria-label="Share that is true against the score"></svg>
      <div class="rd-side">
        <div class="pills" role="group" aria-label="drawings">${buttons("kind", this.kinds)}</div>
        <div class="pills" role="group" aria-label="t and b">
          ${buttons("preset", PRESETS.map(([name]) => name))}</div>
        <div class="sliders">
          ${slider("t", "scale t", 10, 150, 0.1)}
          ${slider("b", "bias b", -20, 0, 0.01)}
        </div>
        <p class="rd-readout" aria-live="polite"></p>
      </div>`;
    this.plot = new Plot(this.find("svg"), { left: 52, right: 22, top: 16 });
    this.onResize(this.plot.svg);
    this.addEventListener("input", () => this.draw());
    this.onPress("kind", (i) => {
      this.kind = i;
      this.draw();
    });
    this.onPress("preset", (i) => {
      this.set(i);
      this.draw();
    });
    this.kind = 0;
    this.set(0);
  }

  set(preset) {
    [, this.input("t").value, this.input("b").value] = PRESETS[preset];
  }

  // For each tenth of the score: how many answers, their mean score, the share that is true.
  bins(t, b) {
    const { first, step, answers } = this.data;
    const { wrong, right } = answers[this.kinds[this.kind]];
    const bins = range(10).map(() => [0, 0, 0]);
    wrong.forEach((_, i) => {
      const [n, score] = [wrong[i] + right[i], sigmoid(t * (first + (i + 0.5) * step) + b)];
      const bin = bins[Math.min(9, Math.floor(10 * score))];
      bin[0] += n;
      bin[1] += score * n;
      bin[2] += right[i];
    });
    return bins.filter(([n]) => n).map(([n, score, good]) => [n, score / n, good / n]);
  }

  draw() {
    const [t, b] = this.values();
    const bins = this.bins(t, b);
    const { plot } = this;
    plot.span([0, 1], [0, 1]);
    const dots = bins.map(([n, score, share]) => {
      const [x, y] = [plot.x(score), plot.y(share)];
      return `<path d="M${x} ${plot.y(score)}V${y}" /><circle cx="${x}" cy="${y}" r="${2 + n ** 0.25}" />`;
    });
    plot.svg.innerHTML = `
      <g class="rd-axes">${plot.axes(TICKS, TICKS, "score", "share that is true")}</g>
      <path class="rd-honest" d="M${plot.x(0)} ${plot.y(0)}L${plot.x(1)} ${plot.y(1)}" />
      <g class="rd-dots">${dots.join("")}</g>`;
    const answers = sum(bins.map(([n]) => n));
    const error = sum(bins.map(([n, p, share]) => n * Math.abs(p - share))) / answers;
    const above = bins.filter(([, p]) => p > 0.5);
    const many = sum(above.map(([n]) => n));
    const good = sum(above.map(([n, , share]) => n * share));
    this.sayAll("output", [fixed(t, 1), fixed(b, 2)]);
    this.press("kind", this.kind);
    this.press("preset", PRESETS.findIndex(([, t0, b0]) => t0 === t && b0 === b));
    this.say(
      ".rd-readout",
      `Calibration error ${percent(error)}. Above ${percent(0.5, 0)}: ${count(many, "answer")}` +
        (many ? `, ${percent(good / many, 0)} of them true.` : "."),
    );
  }
}

define("reliability-sliders", ReliabilitySliders);
