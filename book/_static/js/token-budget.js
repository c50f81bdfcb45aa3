// From patches to the tokens that a language model reads: the grid of one square, what pixel shuffle
// joins, the tiles, and what all of them cost.

import { Touchable, buttons, count, define, grouped, range, slider } from "./touch.js";

const PATCHES = [14, 16];
const FACTORS = [1, 2, 3, 4];
const MODELS = [ // name, side, patch, factor; one square each
  ["SmolVLM", 384, 14, 3],
  ["Idefics3", 364, 14, 2],
  ["nanoVLM", 512, 16, 4],
  ["PaliGemma", 448, 14, 1],
];
const KEPT = 32 * 2 * 5 * 64 * 2; // bytes a token in the chapter's language model
const ROOM = 320; // of the drawing

function memory(tokens) {
  const mib = (tokens * KEPT) / 2 ** 20;
  return mib < 1024 ? `${grouped(mib, 1)} MiB` : `${grouped(mib / 1024, 1)} GiB`;
}

class TokenBudget extends Touchable {
  render() {
    this.innerHTML = `
      <div class="pills" role="group" aria-label="model">${buttons("model", MODELS.map(([name]) => name))}</div>
      <div class="tb-parts">
        <svg viewBox="0 0 ${ROOM} ${ROOM}" role="img" aria-label="The patches of one square"></svg>
        <div>
          <div class="sliders">
            ${slider("side", "side of a square", 224, 896, 2)}
            ${slider("tiles", "more squares of this size", 0, 12, 1)}
          </div>
          <div class="pills" role="group" aria-label="patch"><b>patch</b>${buttons("patch", PATCHES)}</div>
          <div class="pills" role="group" aria-label="shuffle by"><b>shuffle by</b>${buttons("factor", FACTORS)}</div>
          <p class="tb-readout" aria-live="polite"></p>
        </div>
      </div>`;
    this.onPress("model", (i) => {
      this.input("tiles").value = 0;
      this.take(...MODELS[i].slice(1));
    });
    this.onPress("patch", (i) => this.take(undefined, PATCHES[i]));
    this.onPress("factor", (i) => this.take(undefined, undefined, FACTORS[i]));
    this.addEventListener("input", () => this.draw());
    this.take(...MODELS[0].slice(1));
  }

  take(side = this.values()[0], patch = this.patch, factor = this.factor) {
    Object.assign(this, { patch, factor });
    this.input("side").value = side;
    this.draw();
  }

  draw() {
    const { patch, factor } = this;
    const [side, tiles] = this.values();
    const grid = Math.floor(side / patch);
    const fits = grid % factor === 0;
    const tokens = (grid / factor) ** 2;
    this.press("model", MODELS.findIndex(([, s, p, f]) => s === side && p === patch && f === factor));
    this.press("patch", PATCHES.indexOf(patch));
    this.press("factor", FACTORS.indexOf(factor));
    this.sayAll("output", [`${side} pixels`, tiles]);
    this.find("svg").innerHTML = this.squares(grid, factor, fits);
    this.say(".tb-readout", this.words(side, grid, fits, tokens, tiles));
  }

  squares(grid, factor, fits) {
    const step = ROOM / grid;
    const lines = (every) =>
      range(Math.floor(grid / every) + 1)
        .map((i) => (i * every * step).toFixed(2))
        .map((x) => `M${x} 0V${ROOM}M0 ${x}H${ROOM}`)
        .join("");
    const kept = step * (grid - (grid % factor));
    const left = `M${kept} 0H${ROOM}V${ROOM}H0V${kept}H${kept}Z`;
    return `<rect width="${ROOM}" height="${ROOM}" />
      ${fits ? "" : `<path class="tb-left" d="${left}" />`}
      <path class="tb-patches" d="${lines(1)}" />
      ${factor > 1 ? `<path class="tb-tokens" d="${lines(factor)}" />` : ""}`;
  }

  words(side, grid, fits, tokens, tiles) {
    const { patch, factor } = this;
    const unused = side - grid * patch;
    const edge = unused ? ` (${count(unused, "pixel")} at the edge unused)` : "";
    const patches = `${grid} × ${grid} = ${grouped(grid ** 2)} patches${edge}`;
    if (!fits) {
      const rest = grid % factor;
      const others = [grid - rest, grid - rest + factor].map((n) => n * patch).join(" or ");
      return `${patches}. ${grid} isn’t divisible by ${factor}: ${count(rest, "row")} and as many columns are left over. ${others} pixels would do.`;
    }
    const all = tokens * (tiles + 1);
    const squares = tiles ? ` In ${tiles + 1} squares that is ${grouped(all)}.` : "";
    return `${patches} become ${grouped(tokens)} tokens.${squares} The language model keeps ${memory(all)} for them.`;
  }
}

define("token-budget", TokenBudget);
