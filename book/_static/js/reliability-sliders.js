// <reliability-sliders>: the reliability diagram of tiny's 8,000 answers of the chapter "The real
// model", redrawn for any scale t and bias b.

// How many answers have a cosine in each step of 0.002 from -0.4 on (what is below is in the first).
const [FROM, STEP] = [-0.4, 0.002];
const ANSWERS = {
  clean: {
    wrong: `
      1 0 1 1 0 0 0 0 2 0 1 1 0 0 0 2 0 2 0 1 2 0 3 1 2 3 1 3 2 0 0 1 1 2 3 3 2 6 4 3 2 5 4 5 4 3
      4 6 5 4 2 3 5 4 6 7 6 6 9 8 7 6 4 10 7 3 3 1 9 11 12 7 3 11 12 7 6 12 14 16 13 11 6 10 12 10
      11 11 16 10 15 13 6 10 11 10 15 29 25 19 12 14 13 18 23 13 15 19 25 25 23 11 16 16 15 18 12
      16 27 17 16 17 27 12 20 19 32 21 19 26 26 27 31 21 23 31 26 40 43 33 30 44 26 37 33 37 53 49
      44 51 50 50 68 48 55 57 69 56 53 81 87 90 65 69 73 88 73 94 91 89 89 95 111 95 114 106 102
      117 101 105 115 138 101 117 102 103 117 113 122 104 104 106 116 94 97 101 75 82 77 86 70 72
      77 39 53 49 58 47 51 49 43 44 53 39 34 21 33 22 23 24 19 23 17 25 16 25 16 16 9 12 13 13 9
      14 7 8 7 7 6 5 13 2 7 4 6 5 3 4 5 4 3 1 4 4 0 2 2 0 1 4 1 2 0 1 1 0 1 0 0 0 0 0 1 0 1 1 0 0
      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0`,
    right: `
      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0
      0 0 0 3 0 0 1 0 0 0 0 0 2 0 0 0 0 0 0 5 1 0 2 1 2 2 3 2 3 7 3 5 3 9 8 6 7 4 6 13 11 14 10 10
      17 15 17 22 20 15 12 18 20 16 16 14 17 14 6 4 1 2 1 3 2 0 1 0 0 1 0 1 1 0 0`,
  },
  grainy: {
    wrong: `
      188 3 6 4 5 3 4 8 7 3 4 5 1 8 4 2 8 6 4 10 4 8 9 4 10 9 11 7 4 7 9 9 9 5 6 8 12 8 10 14 9 11
      8 17 13 8 12 11 12 13 10 15 14 14 15 14 11 13 11 14 15 17 15 13 23 12 19 19 16 12 17 21 21
      17 21 12 12 16 29 19 19 26 20 21 23 29 19 19 22 29 26 28 26 25 23 32 27 35 25 30 30 28 30 30
      31 44 23 41 25 35 30 27 23 37 24 39 25 32 36 25 30 24 31 37 40 38 39 38 41 44 44 38 32 47 34
      44 46 45 51 43 37 36 60 39 46 42 48 45 45 54 54 51 47 45 42 57 58 67 61 56 52 65 47 66 63 64
      56 61 84 70 59 79 80 57 67 65 73 89 73 74 78 72 68 94 66 64 64 74 58 68 71 61 67 63 55 55 59
      48 52 68 50 51 38 39 50 34 32 42 40 37 36 33 30 25 16 15 13 23 18 6 18 12 11 13 14 5 12 9 12
      9 5 13 13 12 12 7 3 8 8 7 5 8 8 4 11 7 2 6 8 3 5 3 3 3 6 6 5 5 8 3 1 2 6 5 4 3 6 1 7 3 4 4 7
      1 2 2 1 4 1 1 4 3 0 2 1 1 1 0 0 0 1 0 1 0 0 0 0 0 0 0 0 0 0 0 0`,
    right: `
      2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0
      0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
      0 0 0 1 0 0 0 0 0 0 2 1 0 1 0 0 0 0 0 0 0 0 1 0 1 0 1 0 0 0 1 0 0 0 0 0 0 0 1 0 1 0 0 0 0 0
      1 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 1 2 0 2 0 0 1 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 1 0 1 1 0 0 1
      3 0 3 1 4 0 1 1 1 1 1 1 1 1 0 3 1 1 1 1 0 2 5 1 0 1 1 1 1 1 0 1 2 0 0 1 0 3 4 0 5 6 2 1 4 1
      3 4 5 2 0 2 2 3 1 2 5 4 5 2 2 5 5 7 6 0 4 1 2 2 0 3 3 6 2 3 4 2 5 6 2 4 7 6 8 5 8 3 10 8 11
      11 9 7 10 7 8 10 8 6 7 10 8 4 5 2 3 2 1 1 1 0 0 0 0 0 0 1 0 0 0`,
  },
};

const PRESETS = [
  ["as trained", 44.4, -3.86],
  ["fitted on clean", 91.3, -9.95],
  ["fitted on grainy", 25.4, -3.09],
];
const SIDE = 260;
const numbers = (text) => text.trim().split(/\s+/).map(Number);
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
const signed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

class ReliabilitySliders extends HTMLElement {
  connectedCallback() {
    const pills = (names, kind) =>
      names.map((name, i) => `<button type="button" data-${kind}="${i}">${name}</button>`).join("");
    const slider = (name, label, min, max, step) =>
      `<label>${label} <output></output>
        <input type="range" name="${name}" min="${min}" max="${max}" step="${step}"></label>`;
    const ticks = [0, 0.5, 1].map((share) => {
      const at = share * SIDE;
      return `<text x="${at}" y="${SIDE + 28}" text-anchor="middle">${percent(share)}</text>
        <text x="-16" y="${SIDE - at + 4}" text-anchor="end">${percent(share)}</text>`;
    });
    this.innerHTML = `
      <div class="pills" role="group" aria-label="drawings">${pills(["clean", "grainy"], "kind")}</div>
      <div class="pills" role="group" aria-label="t and b">${pills(PRESETS.map(([name]) => name), "preset")}</div>
      <svg viewBox="-60 -14 ${SIDE + 84} ${SIDE + 68}" role="img" aria-label="Share that is true over score">
        <path class="rs-axes" d="M0 0V${SIDE}H${SIDE}" />
        <path class="rs-honest" d="M0 ${SIDE}L${SIDE} 0" />
        ${ticks.join("")}
        <text x="${SIDE / 2}" y="${SIDE + 48}" text-anchor="middle">score</text>
        <text x="10" y="2">share that is true</text>
        <g class="rs-dots"></g>
      </svg>
      <div class="rs-sliders">
        ${slider("t", "scale t", 10, 150, 0.1)}
        ${slider("b", "bias b", -20, 0, 0.01)}
      </div>
      <p class="rs-readout" aria-live="polite"></p>`;
    this.addEventListener("input", () => this.draw());
    this.addEventListener("click", ({ target }) => {
      if (target.dataset.kind !== undefined) this.kind = target.textContent;
      else if (target.dataset.preset !== undefined) this.set(target.dataset.preset);
      else return;
      this.draw();
    });
    this.kind = "clean";
    this.set(0);
    this.draw();
  }

  input(name) {
    return this.querySelector(`input[name=${name}]`);
  }

  set(preset) {
    [, this.input("t").value, this.input("b").value] = PRESETS[preset];
  }

  /** For each tenth of the score: how many answers, their mean score, the share that is true. */
  bins(t, b) {
    const bins = Array.from({ length: 10 }, () => [0, 0, 0]);
    const right = numbers(ANSWERS[this.kind].right);
    numbers(ANSWERS[this.kind].wrong).forEach((wrong, i) => {
      const score = 1 / (1 + Math.exp(-t * (FROM + (i + 0.5) * STEP) - b));
      const bin = bins[Math.min(9, Math.floor(10 * score))];
      bin[0] += wrong + right[i];
      bin[1] += score * (wrong + right[i]);
      bin[2] += right[i];
    });
    return bins.filter(([n]) => n).map(([n, score, true_]) => [n, score / n, true_ / n]);
  }

  draw() {
    const [t, b] = ["t", "b"].map((name) => Number(this.input(name).value));
    const bins = this.bins(t, b);
    this.querySelector(".rs-dots").innerHTML = bins
      .map(([n, score, share]) => {
        const [x, y] = [SIDE * score, SIDE * (1 - share)];
        return `<path d="M${x} ${SIDE - x}V${y}" /><circle cx="${x}" cy="${y}" r="${2 + n ** 0.25}" />`;
      })
      .join("");
    const answers = bins.reduce((sum, [n]) => sum + n, 0);
    const error = bins.reduce((sum, [n, p, share]) => sum + n * Math.abs(p - share), 0) / answers;
    const above = bins.filter(([, p]) => p > 0.5);
    const many = above.reduce((sum, [n]) => sum + n, 0);
    const good = above.reduce((sum, [n, , share]) => sum + n * share, 0);
    this.querySelectorAll("output").forEach((output, i) => {
      output.textContent = signed([t, b][i], [1, 2][i]);
    });
    this.querySelectorAll("button").forEach((button) => {
      const [, t0, b0] = PRESETS[button.dataset.preset] ?? [];
      const on = button.dataset.kind ? button.textContent === this.kind : t0 === t && b0 === b;
      button.setAttribute("aria-pressed", String(on));
    });
    this.querySelector(".rs-readout").textContent =
      `Calibration error ${percent(error, 1)}. Above 50 %: ${many} answers` +
      (many ? `, ${percent(good / many)} of them true.` : ".");
  }
}

customElements.define("reliability-sliders", ReliabilitySliders);
