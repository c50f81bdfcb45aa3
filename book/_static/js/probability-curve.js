// p = sigmoid(t * cosine + b): drag the dot along the curve, or move a slider for each of the three.

import { Plot, Touchable, buttons, clamp, define, fixed, percent, range, sigmoid, slider } from "./touch.js";

const VIEWS = [ // what the axis shows: least, most, step of the slider, digits, ticks
  ["all cosines", -0.2, 1, 0.01, 2, [0, 0.2, 0.4, 0.6, 0.8, 1]],
  ["close-up", -0.05, 0.25, 0.001, 3, [0, 0.05, 0.1, 0.15, 0.2, 0.25]],
];
const PRESETS = [ // t, b, the view in which the curve rises
  ["where training starts", 10, -10, 0],
  ["trained large-patch16-384", 118.2, -12.66, 1],
  ["SigLIP 2 so400m-patch16-256", 109.9, -15.93, 1],
];

class ProbabilityCurve extends Touchable {
  render({ preset = 0, cosine = 0.96 }) {
    this.innerHTML = `
      <div class="pills" role="group" aria-label="t and b">
        ${buttons("preset", PRESETS.map(([name]) => name))}</div>
      <svg role="img" aria-label="The probability against the cosine"></svg>
      <div class="pc-views pills" role="group" aria-label="axis">
        <b>drag the dot</b>${buttons("view", VIEWS.map(([name]) => name))}</div>
      <div class="sliders">
        ${slider("cosine", "cosine", -1, 1, 0.001, cosine)}
        ${slider("t", "scale t", 1, 150, 0.1)}
        ${slider("b", "bias b", -20, 0, 0.01)}
      </div>
      <p class="pc-readout" aria-live="polite"></p>`;
    this.plot = new Plot(this.find("svg"));
    this.addEventListener("input", () => this.draw());
    this.onPress("preset", (i) => {
      this.set(i);
      this.look(PRESETS[i][3]);
    });
    this.onPress("view", (i) => this.look(i));
    this.onDrag(this.plot.svg, (event) => {
      this.input("cosine").value = this.plot.at(event);
      this.draw();
    });
    this.onResize(this.plot.svg);
    this.set(preset);
    this.aim(PRESETS[preset][3]);
    this.shown = this.limits();
  }

  set(preset) {
    [, this.input("t").value, this.input("b").value] = PRESETS[preset];
  }

  limits() {
    const [, least, most] = VIEWS[this.view];
    return [least, most];
  }

  // The slider goes as far as the axis, and leaves the cosine alone where it can.
  aim(view) {
    this.view = view;
    const [, least, most, step] = VIEWS[view];
    Object.assign(this.input("cosine"), { min: least, max: most, step });
  }

  look(view) {
    this.aim(view);
    const [from, to] = [this.shown, this.limits()];
    this.glide((share) => {
      this.shown = from.map((limit, i) => limit + share * (to[i] - limit));
      this.draw();
    });
    this.draw();
  }

  draw() {
    const [cosine, t, b] = this.values();
    const [, , , , digits, ticks] = VIEWS[this.view];
    const p = sigmoid(t * cosine + b);
    const { plot } = this;
    plot.span(this.shown, [0, 1]);
    const points = range(241).map((i) => {
      const x = this.shown[0] + (i / 240) * (this.shown[1] - this.shown[0]);
      return `${plot.x(x).toFixed(1)} ${plot.y(sigmoid(t * x + b)).toFixed(1)}`;
    });
    const [x, y] = [clamp(plot.x(cosine), plot.left, plot.end), plot.y(p)];
    // Above the dot on its left the curve leaves room; at the border only on its right.
    const [dx, dy, anchor] =
      x > plot.left + 80 ? [-12, -10, "end"] : [14, p < 0.15 ? -12 : 20, "start"];
    plot.svg.innerHTML = `
      <g class="pc-axes">${plot.axes(
        ticks.map((tick) => [tick, tick]),
        [[0, "0"], [0.5, "½"], [1, "1"]],
        "cosine",
        "<tspan font-style='italic'>p</tspan>",
      )}</g>
      <path class="pc-half" d="M${plot.left} ${plot.y(0.5)}H${plot.end}" />
      <path class="pc-foot" d="M${x} ${y}V${plot.foot}" />
      <path class="pc-curve" d="M${points.join("L")}" />
      <circle cx="${x}" cy="${y}" r="9" />
      <text class="pc-p" x="${x + dx}" y="${Math.max(y + dy, 16)}"
        text-anchor="${anchor}">${percent(p)}</text>`;
    this.sayAll("output", [fixed(cosine, digits), fixed(t, 1), fixed(b, 2)]);
    this.press("preset", PRESETS.findIndex(([, t0, b0]) => t0 === t && b0 === b));
    this.press("view", this.view);
    const half = -b / t;
    this.say(
      ".pc-readout",
      `p = σ(${fixed(t, 1)} · ${fixed(cosine, digits)} ${b < 0 ? "−" : "+"} ${Math.abs(b).toFixed(2)})` +
        ` = σ(${fixed(t * cosine + b, 2)}) = ${percent(p, p < 0.001 ? 4 : 1)}.` +
        (half <= 1 ? ` One half is reached at cosine ${half.toFixed(3)}.` : " No cosine reaches one half."),
    );
  }
}

define("probability-curve", ProbabilityCurve);
