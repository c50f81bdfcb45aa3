// Nine cosines, both losses, and n times the gradient of each pair's logit. Move one cosine, the
// scale or the bias, and see which of the gradients change.

import { Touchable, buttons, define, fixed, range, sigmoid, signed, slider, sum } from "./touch.js";

const NAMES = ["cat", "dog", "boat"];
const START = [0.7, 0.5, 0.2, 0.4, 0.6, 0.2, 0.1, 0.3, 0.5]; // rows: photos; columns: captions
const PRESETS = [
  ["as on this page", { t: 10, b: -5, cosines: START }],
  ["start of training", { t: 10, b: -10 }],
  ["a fresh SiglipModel", { t: 1, b: 0 }],
  ["nothing learned", { cosines: START.map(() => 0) }],
];
const N = NAMES.length;
const PAIRS = range(N * N);
const SMALL = 1e-6; // less is no change

const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const photo = (pair) => Math.floor(pair / N);
const caption = (pair) => pair % N;
const own = (pair) => photo(pair) === caption(pair);

// Both losses, and n times the gradient by each logit.
function losses(cosines, t, b) {
  const logits = cosines.map((cosine) => t * cosine + b);
  const share = (pair, side) => {
    const rivals = PAIRS.filter((k) => side(k) === side(pair)).map((k) => logits[k]);
    const top = Math.max(...rivals);
    return Math.exp(logits[pair] - top) / sum(rivals.map((z) => Math.exp(z - top)));
  };
  const shares = PAIRS.map((pair) => [share(pair, photo), share(pair, caption)]);
  return {
    logits,
    clip: {
      loss: sum(PAIRS.filter(own).flatMap((k) => shares[k].map((p) => -Math.log(p)))) / (2 * N),
      forces: PAIRS.map((k) => sum(shares[k]) / 2 - own(k)),
    },
    siglip: {
      loss: sum(PAIRS.map((k) => softplus(own(k) ? -logits[k] : logits[k]))) / N,
      forces: PAIRS.map((k) => sigmoid(logits[k]) - own(k)),
    },
  };
}

class LossPair extends Touchable {
  render() {
    this.cosines = [...START];
    this.pair = 3; // the dog's photo with "cat"
    const head = NAMES.map((name) => `<th scope="col">“${name}”</th>`).join("");
    const table = (kind, title, cell) =>
      `<div class="lp-${kind}"><p class="lp-title">${title}</p><table>
        <thead><tr><td></td>${head}</tr></thead>
        <tbody>${NAMES.map(
          (name, i) =>
            `<tr><th scope="row">${name}</th>${NAMES.map((_, j) => cell(N * i + j)).join("")}</tr>`,
        ).join("")}</tbody></table></div>`;
    const radio = (k) => {
      const words = `photo of a ${NAMES[photo(k)]}, caption ${NAMES[caption(k)]}`;
      const checked = k === this.pair ? " checked" : "";
      return `<td><label><input type="radio" name="${this.key}" value="${k}" aria-label="${words}"
        ${checked}><span></span></label></td>`;
    };
    this.innerHTML = `
      <div class="pills">${buttons("preset", PRESETS.map(([name]) => name))}</div>
      <div class="lp-tables">
        ${table("cosines", "cosines: choose a pair", radio)}
        ${table("clip", 'CLIP’s loss <b class="lp-loss"></b>', () => "<td></td>")}
        ${table("siglip", 'SigLIP’s loss <b class="lp-loss"></b>', () => "<td></td>")}
      </div>
      <div class="sliders">
        ${slider("cosine", "its cosine", -1, 1, 0.01, this.cosines[this.pair])}
        ${slider("t", "scale t", 1, 120, 0.1, 10)}
        ${slider("b", "bias b", -20, 5, 0.01, -5)}
      </div>
      <p class="lp-readout" aria-live="polite"></p>`;
    this.addEventListener("input", ({ target }) => {
      if (target.type === "radio") {
        this.pair = Number(target.value);
        this.input("cosine").value = this.cosines[this.pair];
        this.draw();
      } else {
        if (target.name === "cosine") this.cosines[this.pair] = Number(target.value);
        this.move();
      }
    });
    this.onPress("preset", (i) => {
      const { t, b, cosines } = PRESETS[i][1];
      if (t !== undefined) [this.input("t").value, this.input("b").value] = [t, b];
      if (cosines) this.cosines = [...cosines];
      this.input("cosine").value = this.cosines[this.pair];
      this.move();
    });
    this.now = this.compute();
    this.before = this.now;
  }

  compute() {
    const [, t, b] = this.values();
    return losses(this.cosines, t, b);
  }

  move() {
    this.before = this.now;
    this.now = this.compute();
    this.draw();
  }

  draw() {
    const { pair, now, before } = this;
    this.sayAll(".lp-cosines td span", this.cosines.map((cosine) => fixed(cosine, 2)));
    const changed = ["clip", "siglip"].map((kind) => {
      const { loss, forces } = now[kind];
      this.say(`.lp-${kind} .lp-loss`, loss.toFixed(3));
      const moved = forces.map((f, k) => Math.abs(f - before[kind].forces[k]) > SMALL);
      this.all(`.lp-${kind} tbody td`).forEach((cell, k) => {
        cell.textContent = signed(forces[k], 2);
        cell.style.setProperty("--force", `${Math.min(75, 100 * Math.abs(forces[k])).toFixed(0)}%`);
        cell.classList.toggle("lp-pull", forces[k] < 0);
        cell.classList.toggle("lp-moved", moved[k]);
        cell.classList.toggle("lp-chosen", k === pair);
      });
      return moved.filter(Boolean).length;
    });
    this.sayAll("output", this.values().map((value, i) => fixed(value, [2, 1, 2][i])));
    const last =
      before === now
        ? ""
        : ` The last move changed ${changed[0]} of 9 forces under CLIP, ${changed[1]} of 9 under SigLIP.`;
    this.say(
      ".lp-readout",
      `Photo of a ${NAMES[photo(pair)]} with “${NAMES[caption(pair)]}”: ` +
        `logit ${fixed(now.logits[pair], 2)}, force ${signed(now.clip.forces[pair], 3)} under CLIP, ` +
        `${signed(now.siglip.forces[pair], 3)} under SigLIP.${last}`,
    );
  }
}

define("loss-pair", LossPair);
