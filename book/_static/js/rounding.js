// A row of five weights that share one scale, in whole numbers: the fifth can be dragged, and the
// steps grow with it until nothing is left of the other four.

import { Plot, Touchable, define, fixed, range, slider } from "./touch.js";

const ROW = [0.5, -0.2, 0.1, -0.45]; // the chapter's
const LARGEST = Math.max(...ROW.map(Math.abs));
const COUNTS = ["", "One", "Two", "Three"];
const END = 0.62; // of the axis, on both sides
const TICKS = [-0.5, -0.25, 0, 0.25, 0.5];

class Rounding extends Touchable {
  render() {
    this.innerHTML = `
      <svg role="img" aria-label="Four weights and the steps to which they are rounded"></svg>
      <div class="sliders">
        ${slider("fifth", "the fifth weight", 0, 8, 0.05, 0.4)}
        ${slider("bits", "bits", 2, 8, 1, 5)}
      </div>
      <p class="ro-readout" aria-live="polite"></p>`;
    this.plot = new Plot(this.find("svg"), { left: 20, right: 20, top: 8, bottom: 44 });
    this.addEventListener("input", () => this.draw());
    this.onResize(this.plot.svg);
  }

  draw() {
    const [fifth, bits] = this.values();
    const most = 2 ** (bits - 1) - 1; // levels on each side of 0
    const step = Math.max(fifth, LARGEST) / most;
    const rounded = ROW.map((w) => Math.round(w / step) * step);
    const { plot } = this;
    plot.span([-END, END], [0, 1]);
    const foot = plot.foot;
    const lines = range(2 * most + 1)
      .map((i) => (i - most) * step)
      .filter((x) => Math.abs(x) <= END)
      .map((x) => `M${plot.x(x).toFixed(1)} ${foot}v-64`);
    const moves = ROW.map((w, i) => {
      const [from, to] = [w, rounded[i]].map((x) => plot.x(x).toFixed(1));
      return `<path class="ro-move" d="M${from} 42L${to} ${foot - 64}" />
        <circle class="ro-before" cx="${from}" cy="42" r="5" />
        <circle class="ro-after" cx="${to}" cy="${foot - 64}" r="5" />
        <text class="ro-name" x="${from}" y="28">${fixed(w, 2)}</text>`;
    });
    const place = Math.min(fifth, END);
    const far = fifth > END;
    const big = `<circle class="ro-fifth" cx="${plot.x(place)}" cy="${foot}" r="5" />
      <text class="ro-fifth" x="${plot.x(place)}" y="${foot - 8}">${fixed(fifth, 2)}${far ? " →" : ""}</text>`;
    const ticks = TICKS.map((x) => `<path d="M${plot.x(x)} ${foot}v5" />
      <text x="${plot.x(x)}" y="${foot + 20}">${fixed(x, 2)}</text>`);
    plot.svg.innerHTML = `<path class="ro-steps" d="${lines.join("")}" />
      <path d="M${plot.left} ${foot}H${plot.end}" />${ticks.join("")}${moves.join("")}${big}
      <text x="${(plot.left + plot.end) / 2}" y="${foot + 40}">weights, and the steps of their row</text>`;
    this.sayAll("output", [fixed(fifth, 2), bits]);
    const off = Math.max(...ROW.map((w, i) => Math.abs(w - rounded[i])));
    const gone = rounded.filter((w) => w === 0).length;
    const lost = gone ? ` ${gone === ROW.length ? "All" : COUNTS[gone]} of the four became 0.` : "";
    const largest = fifth < LARGEST ? `${fixed(LARGEST, 2)} is still the largest. ` : "";
    this.say(
      ".ro-readout",
      `${largest}A step is ${fixed(step * most, 2)} / ${most} = ${step.toFixed(4)}. The four are off by up to ${off.toFixed(4)}.${lost}`,
    );
  }
}

define("rounding", Rounding);
