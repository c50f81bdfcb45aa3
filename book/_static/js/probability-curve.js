// <probability-curve>: p = sigmoid(t * cosine + b), with a slider for each of the three.

const PRESETS = [
  ["where training starts", 10, -10],
  ["trained large-patch16-384", 118.2, -12.66],
  ["SigLIP 2 so400m-patch16-256", 109.9, -15.93],
];
const [LEFT, RIGHT, TOP, BOTTOM] = [-0.2, 1, 8, 212]; // cosines; then units of the drawing
const WIDTH = 480;

const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));
const signed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");
const place = (cosine) => ((cosine - LEFT) / (RIGHT - LEFT)) * WIDTH;
const height = (p) => BOTTOM - p * (BOTTOM - TOP);

class ProbabilityCurve extends HTMLElement {
  connectedCallback() {
    const slider = (name, label, min, max, step, value) =>
      `<label>${label} <output></output>
        <input type="range" name="${name}" min="${min}" max="${max}" step="${step}" value="${value}">
      </label>`;
    const buttons = PRESETS.map(([name], i) => `<button type="button" data-i="${i}">${name}</button>`);
    this.innerHTML = `
      <div class="pc-presets pills">${buttons.join("")}</div>
      <svg viewBox="-36 0 ${WIDTH + 51} 260" role="img" aria-label="Probability over cosine">
        <g class="pc-axes">
          <path d="M0 ${TOP}V${BOTTOM}H${WIDTH}" />
          <text x="-8" y="${height(0) + 4}" text-anchor="end">0</text>
          <text x="-8" y="${height(0.5) + 4}" text-anchor="end">½</text>
          <text x="-8" y="${height(1) + 4}" text-anchor="end">1</text>
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
      <div class="pc-sliders">
        ${slider("cosine", "cosine", LEFT, RIGHT, 0.01, 0.96)}
        ${slider("t", "scale t", 1, 150, 0.1, 10)}
        ${slider("b", "bias b", -20, 0, 0.01, -10)}
      </div>
      <p class="pc-readout" aria-live="polite"></p>`;
    this.addEventListener("input", () => this.draw());
    this.addEventListener("click", ({ target }) => {
      if (target.dataset.i === undefined) return;
      [, this.input("t").value, this.input("b").value] = PRESETS[target.dataset.i];
      this.draw();
    });
    this.draw();
  }

  input(name) {
    return this.querySelector(`input[name=${name}]`);
  }

  draw() {
    const [cosine, t, b] = ["cosine", "t", "b"].map((name) => Number(this.input(name).value));
    const p = sigmoid(t * cosine + b);
    const points = Array.from({ length: WIDTH + 1 }, (_, x) => {
      const c = LEFT + (x / WIDTH) * (RIGHT - LEFT);
      return `${x} ${height(sigmoid(t * c + b)).toFixed(2)}`;
    });
    this.querySelector(".pc-curve").setAttribute("d", `M${points.join("L")}`);
    const dot = this.querySelector("circle");
    dot.setAttribute("cx", place(cosine));
    dot.setAttribute("cy", height(p));
    this.querySelectorAll("output").forEach((output, i) => {
      output.textContent = signed([cosine, t, b][i], [2, 1, 2][i]);
    });
    const neutral = -b / t;
    this.querySelector(".pc-readout").textContent =
      `p = σ(${signed(t, 1)} · ${signed(cosine, 2)} ${b < 0 ? "−" : "+"} ${Math.abs(b).toFixed(2)})` +
      ` = σ(${signed(t * cosine + b, 2)}) = ${(100 * p).toFixed(p < 0.001 ? 4 : 1)} %.` +
      (neutral <= 1 ? ` One half is reached at cosine ${neutral.toFixed(3)}.` : " No cosine reaches one half.");
  }
}

customElements.define("probability-curve", ProbabilityCurve);
