// <loss-pair>: nine cosines, both losses, and n times the gradient of each pair's logit. Move one
// cosine, the scale or the bias, and see which of the gradients change.

const NAMES = ["cat", "dog", "boat"];
const START = [0.7, 0.5, 0.2, 0.4, 0.6, 0.2, 0.1, 0.3, 0.5]; // rows: photos; columns: captions
const PRESETS = [
  ["as on this page", { t: 10, b: -5, cosines: START }],
  ["start of training", { t: 10, b: -10 }],
  ["a fresh SiglipModel", { t: 1, b: 0 }],
  ["nothing learned", { cosines: START.map(() => 0) }],
];
const N = NAMES.length;
const PAIRS = [...Array(N * N).keys()];
const SMALL = 1e-6; // less is no change

const sum = (values) => values.reduce((a, b) => a + b, 0);
const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
const own = (pair) => Math.floor(pair / N) === pair % N;
const signed = (value, digits) =>
  ((value >= 0 ? "+" : "") + value.toFixed(digits)).replace("-", "\u2212");
const number = (value, digits) => signed(value, digits).replace("+", "");

// Both losses, and n times the gradient by each logit.
function losses(cosines, t, b) {
  const logits = cosines.map((cosine) => t * cosine + b);
  const share = (pairs, pair) => {
    const top = Math.max(...pairs.map((k) => logits[k]));
    return Math.exp(logits[pair] - top) / sum(pairs.map((k) => Math.exp(logits[k] - top)));
  };
  const row = (pair) => PAIRS.filter((k) => Math.floor(k / N) === Math.floor(pair / N));
  const column = (pair) => PAIRS.filter((k) => k % N === pair % N);
  const shares = PAIRS.map((pair) => [share(row(pair), pair), share(column(pair), pair)]);
  return {
    logits,
    clip: {
      loss: sum(PAIRS.filter(own).flatMap((k) => shares[k].map((p) => -Math.log(p)))) / (2 * N),
      forces: PAIRS.map((k) => (shares[k][0] + shares[k][1]) / 2 - own(k)),
    },
    siglip: {
      loss: sum(PAIRS.map((k) => softplus(own(k) ? -logits[k] : logits[k]))) / N,
      forces: PAIRS.map((k) => sigmoid(logits[k]) - own(k)),
    },
  };
}

class LossPair extends HTMLElement {
  connectedCallback() {
    this.cosines = [...START];
    this.pair = 3; // the dog's photo with "cat"
    const id = `loss-pair-${[...document.querySelectorAll("loss-pair")].indexOf(this)}`;
    const head = NAMES.map((name) => `<th scope="col">“${name}”</th>`).join("");
    const table = (kind, title, cell) =>
      `<div class="lp-${kind}"><p class="lp-title">${title}</p><table>
        <thead><tr><td></td>${head}</tr></thead>
        <tbody>${NAMES.map(
          (name, i) =>
            `<tr><th scope="row">${name}</th>${NAMES.map((_, j) => cell(N * i + j)).join("")}</tr>`,
        ).join("")}</tbody></table></div>`;
    const radio = (k) => {
      const words = `photo of a ${NAMES[Math.floor(k / N)]}, caption ${NAMES[k % N]}`;
      const checked = k === this.pair ? " checked" : "";
      return `<td><label><input type="radio" name="${id}" value="${k}" aria-label="${words}"${checked}>
        <span></span></label></td>`;
    };
    const slider = (name, label, min, max, step, value) =>
      `<label><span class="lp-name">${label}</span> <output></output>
        <input type="range" name="${name}" min="${min}" max="${max}" step="${step}" value="${value}">
      </label>`;
    const buttons = PRESETS.map(([name], i) => `<button type="button" data-i="${i}">${name}</button>`);
    this.innerHTML = `
      <div class="pills">${buttons.join("")}</div>
      <div class="lp-tables">
        ${table("cosines", "cosines: choose a pair", radio)}
        ${table("clip", 'CLIP’s loss <b class="lp-loss"></b>', () => "<td></td>")}
        ${table("siglip", 'SigLIP’s loss <b class="lp-loss"></b>', () => "<td></td>")}
      </div>
      <div class="lp-sliders">
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
    this.addEventListener("click", ({ target }) => {
      if (target.dataset.i === undefined) return;
      const { t, b, cosines } = PRESETS[target.dataset.i][1];
      if (t !== undefined) [this.input("t").value, this.input("b").value] = [t, b];
      if (cosines) this.cosines = [...cosines];
      this.input("cosine").value = this.cosines[this.pair];
      this.move();
    });
    this.now = this.compute();
    this.before = this.now;
    this.draw();
  }

  input(name) {
    return this.querySelector(`input[name=${name}]`);
  }

  compute() {
    return losses(this.cosines, Number(this.input("t").value), Number(this.input("b").value));
  }

  move() {
    this.before = this.now;
    this.now = this.compute();
    this.draw();
  }

  draw() {
    const [t, b] = ["t", "b"].map((name) => Number(this.input(name).value));
    this.querySelectorAll(".lp-cosines td label span").forEach((cell, k) => {
      cell.textContent = number(this.cosines[k], 2);
    });
    const changed = ["clip", "siglip"].map((kind) => {
      const { loss, forces } = this.now[kind];
      this.querySelector(`.lp-${kind} .lp-loss`).textContent = loss.toFixed(3);
      const moved = forces.map((f, k) => Math.abs(f - this.before[kind].forces[k]) > SMALL);
      this.querySelectorAll(`.lp-${kind} tbody td`).forEach((cell, k) => {
        cell.textContent = signed(forces[k], 2);
        cell.style.setProperty("--force", `${Math.min(75, 100 * Math.abs(forces[k])).toFixed(0)}%`);
        cell.classList.toggle("lp-pull", forces[k] < 0);
        cell.classList.toggle("lp-moved", moved[k]);
        cell.classList.toggle("lp-chosen", k === this.pair);
      });
      return moved.filter(Boolean).length;
    });
    this.querySelectorAll("output").forEach((output, i) => {
      output.textContent = number([this.cosines[this.pair], t, b][i], [2, 1, 2][i]);
    });
    const [photo, caption] = [NAMES[Math.floor(this.pair / N)], NAMES[this.pair % N]];
    const last =
      this.before === this.now
        ? ""
        : ` The last move changed ${changed[0]} of 9 forces under CLIP, ${changed[1]} of 9 under SigLIP.`;
    this.querySelector(".lp-readout").textContent =
      `Photo of a ${photo} with “${caption}”: logit ${number(this.now.logits[this.pair], 2)}, ` +
      `force ${signed(this.now.clip.forces[this.pair], 3)} under CLIP, ` +
      `${signed(this.now.siglip.forces[this.pair], 3)} under SigLIP.${last}`;
  }
}

customElements.define("loss-pair", LossPair);
