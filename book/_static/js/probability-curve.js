// p = sigmoid(t * cosine + b), with a slider for each of the three.

import { Touchable, buttons, define, fixed, percent, sigmoid, slider } from "./touch.js";

const PRESETS = [
  ["where training starts", 10, -10],
  ["trained large-patch16-384", 118.2, -12.66],
  ["SigLIP 2 so400m-patch16-256", 109.9, -15.93],
];
const [LEFT, RIGHT, TOP, BOTTOM, WIDTH] = [-0.2, 1, 8, 212, 480]; // cosines; units of the drawing

const place = (cosine) => ((cosine - LEFT) / (RIGHT - LEFT)) * WIDTH;
const height = (p) => BOTTOM - p * (BOTTOM - TOP);

class ProbabilityCurve extends Touchable {
  render() {
    this.innerHTML = `
      <div class="pills">${buttons("preset", PRESETS.map(([name]) => name))}</div>
      <svg viewBox="-36 0 ${WIDTH + 51} 260" role="img" aria-label="Probability over cosine">
        <g class="pc-axes">
          <path d="M0 ${TOP}V${BOTTOM}H${WIDTH}" />
          ${[[0, "0"], [0.5, "½"], [1, "1"]]
            .map(([p, word]) => `<text x="-8" y="${height(p) + 4}" text-anchor="end">${word}</text>`)
            .join("")}
          ${[0, 0.2, 0.4, 0.6, 0.8, 1]
            .map((c) => `<text x="${place(c)}" y="${BOTTOM + 16}" text-anchor="middle">${c}</text>`)
            .join("")}
          <text x="8" y="${TOP + 6}" font-style="italic">p</text>
          <text x="${WIDTH / 2}" y="${BOTTOM + 40}" text-anchor="middle">cosine</text>
        </g>
        <path class="pc-half" d="M0 ${height(0.5)}H${WIDTH}" />
        <path class="pc-curve" />
        <circle r="6" />
      </svg>
      <div class="sliders">
        ${slider("cosine", "cosine", LEFT, RIGHT, 0.01, 0.96)}
        ${slider("t", "scale t", 1, 150, 0.1, 10)}
        ${slider("b", "bias b", -20, 0, 0.01, -10)}
      </div>
      <p class="pc-readout" aria-live="polite"></p>`;
    this.addEventListener("input", () => this.draw());
    this.onPress("preset", (i) => {
      [, this.input("t").value, this.input("b").value] = PRESETS[i];
      this.draw();
    });
  }

  draw() {
    const [cosine, t, b] = this.values();
    const p = sigmoid(t * cosine + b);
    const points = Array.from({ length: WIDTH + 1 }, (_, x) => {
      const c = LEFT + (x / WIDTH) * (RIGHT - LEFT);
      return `${x} ${height(sigmoid(t * c + b)).toFixed(2)}`;
    });
    this.find(".pc-curve").setAttribute("d", `M${points.join("L")}`);
    const dot = this.find("circle");
    dot.setAttribute("cx", place(cosine));
    dot.setAttribute("cy", height(p));
    this.sayAll("output", [fixed(cosine, 2), fixed(t, 1), fixed(b, 2)]);
    const half = -b / t;
    this.say(
      ".pc-readout",
      `p = σ(${fixed(t, 1)} · ${fixed(cosine, 2)} ${b < 0 ? "−" : "+"} ${Math.abs(b).toFixed(2)})` +
        ` = σ(${fixed(t * cosine + b, 2)}) = ${percent(p, p < 0.001 ? 4 : 1)}.` +
        (half <= 1 ? ` One half is reached at cosine ${half.toFixed(3)}.` : " No cosine reaches one half."),
    );
  }
}

define("probability-curve", ProbabilityCurve);
