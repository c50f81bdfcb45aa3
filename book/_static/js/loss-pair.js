// Nine cosines, both losses, and n times the gradient of each pair's logit. Move one cosine, the
// scale or the bias, and see which of the gradients change.

import { Touchable, buttons, define, fixed, range, sigmoid, signed, slider, sum } from "./touch.js";

const NAMES = ["cat", "dog", "boat"];
const DRAWINGS = [ // of a cat, a dog and a boat, in a square of 24
  "M4 3L9 7Q12 6 15 7L20 3L20.5 13Q20 21 12 21Q4 21 3.5 13ZM8.5 11L8.5 13M15.5 11L15.5 13M11 " +
    "15.5L13 15.5L12 17ZM1 14L6 15.5M1 19L6 17.5M23 14L18 15.5M23 19L18 17.5",
  "M7 5Q12 3 17 5L18 14Q17 21 12 21Q7 21 6 14ZM7 5Q1 5 2 14Q5 16 6.3 11M17 5Q23 5 22 14Q19 16" +
    " 17.7 11M9.5 10L9.5 12M14.5 10L14.5 12M10.5 15L13.5 15L12 17ZM12 17L12 18.5",
  "M2 16L22 16L18 21L6 21ZM12 16L12 2M12 3L20 13L12 13M12 5L5 13L12 13",
];
const START = [0.7, 0.5, 0.2, 0.4, 0.6, 0.2, 0.1, 0.3, 0.5]; // rows: photos; columns: captions
const NONE = START.map(() => 0);
const PRESETS = [ // t, b, the cosines, and what is to be seen
  ["as on this page", 10, -5, START,
    "Now move one cosine, and count the frames: which forces follow under each loss?"],
  ["the same with b = −10", 10, -10, START,
    "SigLIP says no to all nine: three strong pulls, hardly a push. CLIP’s forces do not know b."],
  ["start of training", 10, -10, NONE,
    "All cosines are alike. SigLIP only pulls; CLIP pulls as much as it pushes, with b or without."],
  ["t = 1, b = 0", 1, 0, NONE,
    "Every answer is one half: SigLIP pushes six pairs as hard as it pulls three."],
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

// The force between a photo and a caption: two arrows, towards the middle of the cell (a pull) or away
// from it (a push). A force of 1 takes the whole width of the cell.
const [GAP, LEAST, REACH, HEAD] = [1, 5, 16, 8]; // however weak the force, there is a head to be seen
function arrows(force) {
  const pull = force < 0;
  const size = Math.min(1, Math.abs(force));
  const length = LEAST + REACH * size;
  const head = Math.min(HEAD, length);
  const half = (1.8 + 0.55 * head).toFixed(2);
  const arrow = (side) => {
    const at = (along) => (side * (GAP + (pull ? length - along : along))).toFixed(2);
    const [from, neck, tip] = [at(0), at(length - head), at(length)];
    return `<path d="M${from} -1.8H${neck}V-${half}L${tip} 0L${neck} ${half}V1.8H${from}Z" />`;
  };
  const drawn = size < 0.005 ? "" : arrow(-1) + arrow(1);
  return `<svg viewBox="-22 -7 44 14" aria-hidden="true">${drawn}</svg>`;
}

class LossPair extends Touchable {
  render() {
    this.cosines = [...START];
    this.pair = 3; // the dog's photo with "cat"
    const head = NAMES.map((name) => `<th scope="col">“${name}”</th>`).join("");
    const drawing = (i) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${DRAWINGS[i]}" /></svg>`;
    const table = (kind, title, cell) =>
      `<div class="lp-${kind}"><p class="lp-title">${title}</p><table>
        <thead><tr><td></td>${head}</tr></thead>
        <tbody>${NAMES.map(
          (name, i) =>
            `<tr><th scope="row">${drawing(i)}${name}</th>${NAMES.map((_, j) => cell(N * i + j)).join("")}</tr>`,
        ).join("")}</tbody></table></div>`;
    const radio = (k) => {
      const words = `photo of a ${NAMES[photo(k)]}, caption ${NAMES[caption(k)]}`;
      const checked = k === this.pair ? " checked" : "";
      return `<td><label><input type="radio" name="${this.key}" value="${k}" aria-label="${words}"
        ${checked}><span></span></label></td>`;
    };
    const force = () => "<td><b></b><i></i></td>";
    this.innerHTML = `
      <div class="pills">${buttons("preset", PRESETS.map(([name]) => name))}</div>
      <div class="lp-tables">
        ${table("cosines", "cosines<span>choose a pair</span>", radio)}
        ${table("clip", 'CLIP’s forces<span>loss <b class="lp-loss"></b></span>', force)}
        ${table("siglip", 'SigLIP’s forces<span>loss <b class="lp-loss"></b></span>', force)}
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
      const [, t, b, cosines] = PRESETS[i];
      [this.input("t").value, this.input("b").value, this.cosines] = [t, b, [...cosines]];
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
        cell.firstChild.textContent = signed(forces[k], 2);
        cell.lastChild.innerHTML = arrows(forces[k]);
        cell.style.setProperty("--force", `${Math.min(40, 50 * Math.abs(forces[k])).toFixed(0)}%`);
        cell.classList.toggle("lp-pull", forces[k] < 0);
        cell.classList.toggle("lp-moved", moved[k]);
        cell.classList.toggle("lp-chosen", k === pair);
      });
      return moved.filter(Boolean).length;
    });
    const values = this.values();
    this.sayAll("output", values.map((value, i) => fixed(value, [2, 1, 2][i])));
    const preset = PRESETS.findIndex(
      ([, t, b, cosines]) =>
        t === values[1] && b === values[2] && cosines.every((cosine, k) => cosine === this.cosines[k]),
    );
    this.press("preset", preset);
    const last =
      preset >= 0
        ? PRESETS[preset][4]
        : before === now
          ? ""
          : `The last move changed ${changed[0]} of 9 forces under CLIP, ${changed[1]} of 9 under SigLIP.`;
    this.say(
      ".lp-readout",
      `Photo of a ${NAMES[photo(pair)]} with “${NAMES[caption(pair)]}”: ` +
        `logit ${fixed(now.logits[pair], 2)}, force ${signed(now.clip.forces[pair], 3)} under CLIP, ` +
        `${signed(now.siglip.forces[pair], 3)} under SigLIP. ${last}`,
    );
  }
}

define("loss-pair", LossPair);
