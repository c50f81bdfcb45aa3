// What tokens gather from each other: the chosen one's lines and weights stay lit, the others fade.

import { Touchable, buttons, clamp, define, fixed, range } from "./touch.js";

const [TOP, STEP, FOOT] = [48, 58, 34]; // of the rows, in pixels
const [LEFT, RIGHT] = [118, 104]; // of the dots, from either side
const THICK = 22; // pixels of a line whose weight is one

const vector = (numbers, digits) => `(${numbers.map((x) => fixed(x, digits)).join(", ")})`;

class MixedTokens extends Touchable {
  // before: [n, 2]. weights: row by row, how much a token listens to each. after: [n, 2].
  render({ names }) {
    const height = TOP + STEP * (names.length - 1) + FOOT;
    this.innerHTML = `
      <div class="pills" role="group" aria-label="The token that listens">
        ${buttons("token", names)}</div>
      <svg height="${height}" role="img"
        aria-label="Lines from all tokens, before, to what each gathers, after"></svg>
      <p class="mt-readout" aria-live="polite"></p>`;
    this.chosen = names.length - 1;
    this.onPress("token", (i) => this.choose(i));
    const svg = this.find("svg");
    this.onPoint(svg, ({ clientY }) => {
      const row = Math.round((clientY - svg.getBoundingClientRect().top - TOP) / STEP);
      this.choose(clamp(row, 0, names.length - 1));
    });
    this.onResize(svg);
  }

  choose(i) {
    if (i === this.chosen) return;
    this.chosen = i;
    this.draw();
  }

  draw() {
    const { chosen, data: { names, before, weights, after } } = this;
    const svg = this.find("svg");
    const [x0, x1] = [LEFT, svg.getBoundingClientRect().width - RIGHT];
    const rows = range(names.length);
    const y = (i) => TOP + STEP * i;
    const lit = (i) => (i === chosen ? ' class="mt-lit"' : "");
    const line = (i, j) =>
      `<path${lit(i)} d="M${x0} ${y(j)}L${x1} ${y(i)}" stroke-width="${THICK * weights[i][j]}"/>`;
    const order = [...rows.filter((i) => i !== chosen), chosen]; // the lit ones in front
    svg.innerHTML = `
      <text x="${x0}" y="16" text-anchor="middle">before</text>
      <text x="${x1}" y="16" text-anchor="middle">after</text>
      ${order.flatMap((i) => rows.map((j) => line(i, j))).join("")}
      ${rows.map((i) => `
        <circle cx="${x0}" cy="${y(i)}" r="9"/>
        <text x="${x0 - 16}" y="${y(i) - 4}" text-anchor="end">${names[i]}</text>
        <text x="${x0 - 16}" y="${y(i) + 14}" text-anchor="end"><tspan class="mt-weight">${
          fixed(weights[chosen][i], 2)}</tspan> × ${vector(before[i], 0)}</text>
        <g${lit(i)}><circle class="mt-after" cx="${x1}" cy="${y(i)}" r="9"/>
        <text x="${x1 + 16}" y="${y(i) + 5}">${vector(after[i], 2)}</text></g>`).join("")}`;
    this.press("token", chosen);
    const terms = rows.map((i) => `${fixed(weights[chosen][i], 2)} · ${vector(before[i], 0)}`);
    this.say(".mt-readout",
      `The ${names[chosen]} gathers ${terms.join(" + ")} = ${vector(after[chosen], 2)}.`);
  }
}

define("mixed-tokens", MixedTokens);
