// Texts go around a ring of ranks, one place a step. Which blocks of the batch's logits are done
// after each step, where the texts are, and whose share their gradient has.

import { Touchable, buttons, define, range, slider } from "./touch.js";

const WORLDS = [2, 4, 8];

const list = (ranks) =>
  ranks.length === 1 ? `rank ${ranks[0]}` : `ranks ${ranks.slice(0, -1).join(", ")} and ${ranks.at(-1)}`;

class RingSteps extends Touchable {
  render() {
    this.innerHTML = `
      <div class="pills">${buttons("world", WORLDS.map((n) => `${n} ranks`))}</div>
      <div class="rs-slider">${slider("step", "step", 0, 4, 1)}</div>
      <ol class="rs-ranks"></ol>
      <table><thead></thead><tbody></tbody></table>
      <p class="rs-readout" aria-live="polite"></p>`;
    this.slider = this.input("step");
    this.slider.addEventListener("input", () => this.draw());
    this.onPress("world", (i) => this.choose(i));
    this.choose(1);
  }

  choose(i) {
    this.world = WORLDS[i];
    this.slider.max = this.world;
    this.slider.value = 0;
    this.press("world", i);
    this.draw();
  }

  // Whose texts a rank holds after so many moves.
  owner(rank, moves) {
    return (rank - moves + this.world) % this.world;
  }

  draw() {
    const W = this.world;
    const ranks = range(W);
    const [step] = this.values(); // W: all texts are home
    const home = step === W;
    this.say("output", home ? "home again" : `${step} (of 0 … ${W - 1})`);
    this.find(".rs-ranks").innerHTML = ranks
      .map(
        (rank) =>
          `<li><b>rank ${rank}</b> <span class="rs-texts">texts ${this.owner(rank, step)}</span></li>`,
      )
      .join("");
    const head = ranks.map((j) => `<th scope="col">${j}</th>`).join("");
    this.find("thead").innerHTML = `<tr><td class="rs-corner">texts</td>${head}</tr>`;
    // The block of images i and texts j is done in the step in which rank i holds texts j.
    const cell = (i, j) => {
      const when = ranks.find((moves) => this.owner(i, moves) === j);
      const kind = when === step ? "rs-now" : when < step ? "rs-done" : "rs-open";
      return `<td class="${kind}">${when <= step ? when : ""}</td>`;
    };
    this.find("tbody").innerHTML = ranks
      .map((i) => `<tr><th scope="row">images ${i}</th>${ranks.map((j) => cell(i, j)).join("")}</tr>`)
      .join("");
    const texts = this.owner(0, step);
    const met = ranks.slice(0, step + 1).map((moves) => (texts + moves) % W);
    this.say(
      ".rs-readout",
      home
        ? `All ${W * W} blocks are done. Each rank has its own texts back, and with them a gradient ` +
            `to which all ${W} ranks have added.`
        : `Step ${step}: rank 0 scores its images with the texts of rank ${texts}` +
            `${step ? "" : ", its own"}. ${W * (step + 1)} of ${W * W} blocks are done; the gradient ` +
            `of texts ${texts} now has the shares of ${list(met.sort((a, b) => a - b))}.`,
    );
  }
}

define("ring-steps", RingSteps);
