// Texts go around a ring of ranks, one place a step. Which blocks of the batch's logits are done
// after each step, where the texts are, and whose share their gradient has.

import { Touchable, buttons, define, range, slider, still } from "./touch.js";

const WORLDS = [2, 4, 8];
const [INNER, OUTER] = [84, 130]; // how far from the middle ranks and texts stand
const PAUSE = 1400; // milliseconds between two steps

const list = (ranks) =>
  ranks.length === 1 ? `rank ${ranks[0]}` : `ranks ${ranks.slice(0, -1).join(", ")} and ${ranks.at(-1)}`;

// Turned by so many degrees on a circle; the words stay upright.
const turn = (radius, degrees) =>
  `transform: rotate(${degrees}deg) translateY(${-radius}px) rotate(${-degrees}deg)`;

class RingSteps extends Touchable {
  render() {
    this.innerHTML = `
      <div class="pills">${buttons("world", WORLDS.map((n) => `${n} ranks`))}</div>
      <div class="rs-drive">
        <div class="pills">${buttons("play", ["▶ play"])}${buttons("next", ["next step"])}</div>
        ${slider("step", "step", 0, 4, 1)}
      </div>
      <div class="rs-stage">
        <svg viewBox="-160 -160 320 320" role="img" aria-label="A ring of devices"></svg>
        <table><thead></thead><tbody></tbody></table>
      </div>
      <p class="rs-readout" aria-live="polite"></p>`;
    this.slider = this.input("step");
    this.slider.addEventListener("input", () => this.go(this.values()[0]));
    this.onPress("world", (i) => this.choose(i));
    this.onPress("play", () => (this.playing ? this.stop() : this.play()));
    this.onPress("next", () => this.go((this.step + 1) % (this.world + 1)));
    this.choose(1);
  }

  choose(i) {
    this.stop();
    this.world = WORLDS[i];
    this.step = 0;
    Object.assign(this.slider, { max: this.world, value: 0 });
    this.press("world", i);
    this.find("table").style.setProperty("--ranks", this.world);
    this.lay();
    this.draw();
  }

  go(step) {
    this.stop();
    this.move(step);
  }

  play() {
    this.move(this.step === this.world ? 0 : this.step + 1);
    this.say("[data-kind=play]", "❚❚ pause");
    this.playing = setInterval(() => {
      if (this.step < this.world) this.move(this.step + 1);
      if (this.step === this.world) this.stop();
    }, PAUSE);
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    this.say("[data-kind=play]", "▶ play");
  }

  // A single step is a journey; what is further is shown at once.
  move(step) {
    const travels = Math.abs(step - this.step) === 1 && !still();
    this.find("svg").classList.toggle("rs-travels", travels);
    [this.step, this.slider.value] = [step, step];
    this.draw();
  }

  // Whose texts a rank holds after so many moves.
  owner(rank, moves) {
    return (rank - moves + this.world) % this.world;
  }

  // What stays: the ranks, and the way of the texts with an arrow between any two of them.
  lay() {
    const ranks = range(this.world);
    const part = 360 / this.world;
    const arrow = (rank) =>
      `<path class="rs-arrow" transform="rotate(${(rank + 0.5) * part}) translate(0 ${-OUTER})"
        d="M-5 -6L6 0L-5 6Z" />`;
    const meets = (rank) =>
      `<path class="rs-meets" transform="rotate(${rank * part})" d="M0 ${-INNER}V${-OUTER}" />`;
    this.find("svg").innerHTML = `
      <circle class="rs-way" r="${OUTER}" />${ranks.map(arrow).join("")}
      <text class="rs-legend rs-stays" y="-8">images stay,</text>
      <text class="rs-legend rs-goes" y="14">texts travel</text>
      ${ranks.map(meets).join("")}
      ${ranks
        .map(
          (rank) =>
            `<g class="rs-rank" style="${turn(INNER, rank * part)}">
              <rect x="-17" y="-15" width="34" height="30" rx="6" /><text y="5">${rank}</text></g>`,
        )
        .join("")}
      ${ranks
        .map(
          (owner) =>
            `<g class="rs-texts"><circle r="20" /><circle class="rs-shares" r="24" pathLength="${this.world}"
              transform="rotate(-90)" /><text y="5">${owner}</text></g>`,
        )
        .join("")}`;
  }

  draw() {
    const { world: W, step } = this;
    const ranks = range(W);
    const home = step === W; // all texts are home
    this.say("output", home ? "home again" : `${step} (of 0 … ${W - 1})`);
    this.find("svg").classList.toggle("rs-home", home);
    this.all(".rs-texts").forEach((pack, owner) => {
      pack.setAttribute("style", turn(OUTER, (owner + step) * (360 / W)));
      const shares = Math.min(step + 1, W);
      pack.querySelector(".rs-shares").style.strokeDasharray = `${shares} ${W - shares}`;
    });
    const held = ranks.map((rank) => `rank ${rank} holds texts ${this.owner(rank, step)}`);
    this.find("svg").setAttribute("aria-label", `A ring: ${held.join(", ")}`);
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
