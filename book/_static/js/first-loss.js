// The first loss of a batch, all its cosines 0, against the bias: drag the handle, and see how hard a
// photo is pulled to its own caption and pushed from all others.

import {
  Plot, Touchable, buttons, define, fixed, grouped, range, sigmoid, slider,
} from "./touch.js";

const [LEAST, MOST] = [-16, 1]; // of b
const TICKS = [-15, -10, -5, 0].map((b) => [b, fixed(b, 0)]);
const LOSSES = [0, 1, 2, 3, 4].map((power) => [power, grouped(10 ** power)]);
const EVEN = 0.01; // closer than this to 1, their ratio says that pull and push cancel

const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const lowest = (n) => -Math.log(n - 1);

// Of a photo in a batch of n pairs: its loss, and both forces.
function first(n, b) {
  return {
    loss: softplus(-b) + (n - 1) * softplus(b),
    pull: sigmoid(-b),
    push: (n - 1) * sigmoid(b),
  };
}

class FirstLoss extends Touchable {
  // sizes: of two batches; starts: values of b that are asked about.
  render({ sizes, starts }) {
    this.presets = [
      ...starts.map((b) => [`b = ${fixed(b, 0)}`, b]),
      ...sizes.map((n) => [`lowest for ${grouped(n)}`, Number(lowest(n).toFixed(2))]),
    ];
    const heads = ["batch", "loss", "own pulled by", "all others pushed by"];
    this.innerHTML = `
      <div class="pills" role="group" aria-label="b">
        ${buttons("preset", this.presets.map(([name]) => name))}</div>
      <svg role="img" aria-label="The first loss against the bias, for two batch sizes"></svg>
      <div class="sliders">${slider("b", "bias b", LEAST, MOST, 0.01, starts[0])}</div>
      <table class="fl-table"><thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join("")}
        </tr></thead><tbody>${sizes
          .map((n) => `<tr><th scope="row">${grouped(n)}</th><td></td><td></td><td></td></tr>`)
          .join("")}</tbody></table>
      <p class="fl-readout" aria-live="polite"></p>`;
    this.plot = new Plot(this.find("svg"), { left: 62, right: 16, top: 20 });
    this.addEventListener("input", () => this.draw());
    this.onPress("preset", (i) => {
      this.input("b").value = this.presets[i][1];
      this.draw();
    });
    this.onDrag(this.plot.svg, (event) => {
      this.input("b").value = this.plot.at(event).toFixed(2);
      this.draw();
    });
    this.onResize(this.plot.svg);
  }

  draw() {
    const [b] = this.values();
    const { sizes } = this.data;
    const { plot } = this;
    plot.span([LEAST, MOST], [-0.3, 4.7]);
    const height = (n, at) => plot.y(Math.log10(first(n, at).loss)).toFixed(1);
    const x = plot.x(b).toFixed(1);
    const curves = sizes.map((n, i) => {
      const points = range(171).map((k) => {
        const at = LEAST + (k / 170) * (MOST - LEAST);
        return `${plot.x(at).toFixed(1)} ${height(n, at)}`;
      });
      const best = [plot.x(lowest(n)), Number(height(n, lowest(n)))];
      return `<path class="fl-curve fl-curve-${i}" d="M${points.join("L")}" />
        <circle class="fl-best" cx="${best[0]}" cy="${best[1]}" r="4" />
        <path class="fl-curve fl-curve-${i}" d="M${plot.left + 20} ${68 - 22 * i}h26" />
        <text class="fl-name" x="${plot.left + 54}" y="${72 - 22 * i}">batch of ${grouped(n)}</text>
        <text class="fl-lowest" x="${best[0]}" y="${best[1] + 20}"
          text-anchor="middle">${fixed(lowest(n), 2)}</text>`;
    });
    plot.svg.innerHTML = `
      <g class="fl-axes">${plot.axes(TICKS, LOSSES, "bias b", "")}</g>
      <text class="fl-upright" x="${plot.left + 9}" y="14">loss</text>
      <path class="fl-line" d="M${x} ${plot.top}V${plot.foot}" />
      ${curves.join("")}
      ${sizes.map((n) => `<circle class="fl-dot" cx="${x}" cy="${height(n, b)}" r="7" />`).join("")}`;
    this.sayAll("output", [fixed(b, 2)]);
    const cells = sizes.flatMap((n) => {
      const { loss, pull, push } = first(n, b);
      return [grouped(loss, 2), grouped(pull, 2), grouped(push, 2)];
    });
    this.sayAll(".fl-table td", cells);
    this.press("preset", this.presets.findIndex(([, at]) => at === b));
    this.say(".fl-readout", sizes.map((n) => this.words(n, b)).join(" "));
  }

  words(n, b) {
    const { pull, push } = first(n, b);
    const times = (ratio) => (ratio < 9.95 ? fixed(ratio, 1) : grouped(ratio));
    const batch = `In a batch of ${grouped(n)}`;
    if (Math.abs(push / pull - 1) < EVEN) return `${batch} pull and push cancel.`;
    const [stronger, weaker] = push > pull ? ["push", "pull"] : ["pull", "push"];
    return `${batch} the ${stronger} is ${times(Math.max(push / pull, pull / push))} times the ${weaker}.`;
  }
}

define("first-loss", FirstLoss);
