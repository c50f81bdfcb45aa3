// The small trained model "tiny" in the reader's hands: draw, ask in words, look inside. The first
// view comes with the page; the model is fetched when the reader first does something that it must
// answer. The compact one of a chapter keeps its stations behind a button.

import { Drawing } from "./drawing.js";
import { palette } from "./heat.js";
import { captionsFor, describe, fromLink, isLink, toLink, unusual } from "./scenes.js";
import { STATIONS } from "./stations.js";
import { tiny } from "./tiny.js";
import { TOUR } from "./tour.js";
import { Touchable, define, escapeHTML, percent, radios, still, sum } from "./touch.js";

const MOST = 8; // captions
const GLANCE = 4; // of them
const HIDDEN = 0.4; // of the captions must be seen, or they are out of sight
const QUIET = 700; // milliseconds without a change, before the answers are read aloud
const NARROW = 640; // pixels of the figure: a phone's
const SIDES = { image: "The drawing", text: "The caption", joint: "Where they meet" };
const TURN = `
  <svg class="ex-turn" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path d="m4 6 4 4 4-4" fill="none" stroke="currentColor" stroke-width="2"/></svg>`;
const NOTES = [
  "Sigmoid: each caption is a question of its own. All may be true, or none.",
  "Softmax: the captions share 100 %. Two true ones must split, and one always wins.",
];

// A tensor as the page brings it: one byte a number.
function unpack({ shape, least, step, bytes }) {
  const levels = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
  return { shape, data: Float32Array.from(levels, (level) => least + step * level) };
}

class Explorer extends Touchable {
  render({ scene, captions, answer, parameters, words }) {
    const tensors = Object.entries(answer.tensors).map(([name, packed]) => [name, unpack(packed)]);
    this.first = { scene, captions };
    this.given = captions.join("\n");
    this.answer = { ...answer, tensors: Object.fromEntries(tensors) };
    this.parameters = parameters;
    this.words = new Set(words.split(" ")); // that tiny learned
    // What the answer is about; while the model computes, that is what the figure shows.
    Object.assign(this, { captions: [...captions], answered: [...captions], shown: scene });
    Object.assign(this, { chosen: 0, shares: 0, patch: 21, place: 1, number: 0, open: new Set() });
    this.compact = this.classList.contains("ex-compact");
    this.chapters = `${document.documentElement.dataset.content_root ?? "./"}notebooks/`;

    this.innerHTML = `
      <div class="ex-top">
        <div class="ex-draw"><div class="ex-title"><b>1</b> Draw <span>Drag, or add.</span>
          <button type="button" data-kind="tour" data-i="0">Guided tour</button></div>
          ${this.compact ? '<ol class="ex-glance" aria-hidden="true"></ol>' : ""}
          <div class="ex-drawing"></div></div>
        <div class="ex-ask">
          <p class="ex-title"><b>2</b> Ask <span>Does the caption fit?</span></p>
          <ol class="ex-captions"></ol>
          <p class="ex-status">The model here, tiny, has ${parameters} numbers and learned from
            drawings. The book’s so400m has 878 million, and learned from photos.</p>
          <div class="ex-row">
            <button type="button" data-kind="add" data-i="0">+ Add a caption</button>
            <fieldset class="pills ex-shares"><legend>Probabilities by</legend>
              ${radios(`${this.key}-shares`, ["sigmoid", "softmax"])}</fieldset>
          </div>
          <p class="ex-note"></p>
          <div class="ex-row"><button type="button" data-kind="link" data-i="0">
            Copy link to this scene</button></div>
        </div>
      </div>
      ${this.compact ? `
      <button type="button" class="ex-title ex-inside" data-kind="inside" data-i="0">
        <b>3</b> Look inside <span>${STATIONS.length} stations from pixels to p, each with the
        model's real numbers.</span>${TURN}</button>` : `
      <p class="ex-title ex-inside"><b>3</b> Look inside
        <span>Press a station: it opens to the model's real numbers.</span></p>`}
      <div class="ex-walk">
        ${Object.entries(SIDES).map(([side, name]) => `
          <div class="ex-side ex-${side}"><p class="ex-side-name c-${side}">${name}<span></span></p>
            <ol></ol></div>`).join("")}
      </div>
      <p class="ex-aloud" aria-live="polite"></p>
      <div class="ex-foot"><div class="ex-dock" inert>
        <div class="ex-at-hand">
          <canvas class="dr-sheet" tabindex="0" role="application" aria-roledescription="drawing"
            aria-label="Drawing">
          </canvas>
          <div><input type="text" maxlength="120" spellcheck="false" autocomplete="off"
            aria-label="The caption that is followed"><output></output>
            <div class="ex-bar"><i></i></div></div>
          <button type="button" data-kind="small" data-i="0">${TURN}</button>
        </div>
        <ol class="ex-all"></ol>
        <div class="ex-tour" role="group" aria-label="Guided tour" hidden></div>
      </div></div>`;
    this.drawing = new Drawing(this.find(".ex-drawing"), scene, () => this.change(), {
      shuffled: (drawn) => this.shuffled(drawn),
      seed: Math.floor(Math.random() * 2 ** 31),
    });
    this.drawing.join(this.find(".ex-at-hand canvas"));
    this.tour = this.find(".ex-tour");
    this.placeStations();
    this.placeCaptions();
    this.listen();
    this.readAloud();
    this.readLink();
    this.showInside(!this.compact);
    this.showSmall(this.clientWidth < NARROW); // there it would cover what is open
  }

  // ---- what the reader does ---------------------------------------------------------------------

  listen() {
    this.onPress("add", () => this.add());
    this.onPress("remove", (i) => this.remove(i));
    this.onPress("link", () => this.copyLink());
    this.onPress("inside", () => this.showInside(this.shut));
    this.onPress("small", () => this.showSmall(!this.small));
    this.onPress("tour", () => this.go(0));
    this.onPress("step", (step) => this.go(step));
    this.onPress("end", () => this.endTour());
    this.onPress("done", () => {
      this.endTour();
      this.comeTo(this.find(".ex-ask"));
    });
    this.addEventListener("input", ({ target }) => {
      if (target.type !== "text") return;
      const row = target.closest(".ex-caption") ? this.rowOf(target) : this.chosen;
      this.choose(row);
      this.captions[row] = target.value;
      for (const field of [this.fields()[row], this.find(".ex-at-hand input")]) {
        if (field !== target) field.value = target.value;
      }
      this.change();
    });
    this.tour.addEventListener("keydown", ({ key }) => {
      const way = { ArrowRight: ".ex-next[data-kind=step]", ArrowLeft: ".ex-back" }[key];
      if (way) this.find(way)?.click();
      else if (key === "Escape") this.endTour();
    });
    this.addEventListener("change", ({ target }) => {
      const choice = target.closest("[data-choice]");
      if (choice) {
        const station = this.stations.find(({ id }) => id === choice.closest("li").dataset.id);
        station[choice.dataset.choice] = Number(target.value);
        this.look();
      } else if (target.name === `${this.key}-shares`) {
        this.shares = Number(target.value);
        this.draw();
      } else if (target.name === `${this.key}-followed`) this.choose(Number(target.value));
    });
    this.addEventListener("click", ({ target }) => {
      if (target.matches(".ex-caption input[type=text]")) this.choose(this.rowOf(target));
      const card = target.closest(".ex-card");
      if (card) this.toggle(card.closest("li").dataset.id);
    });
    globalThis.addEventListener("hashchange", () => this.readLink());
    new ResizeObserver(() => this.drawStations()).observe(this);
    // Where the sheet is out of sight, and something is open that follows it, a small one is at
    // hand.
    const watch = ([{ intersectionRatio, boundingClientRect: { top } }]) => {
      this.classList.toggle("ex-away", intersectionRatio < HIDDEN && top < 0);
      this.dock();
    };
    new IntersectionObserver(watch, { threshold: [0, HIDDEN] }).observe(this.find(".ex-captions"));
  }

  dock() {
    const has = (name) => this.classList.contains(name);
    const follows = this.open.size > 0 && !this.shut;
    this.find(".ex-dock").inert = !(has("ex-touring") || (has("ex-away") && follows));
    this.classList.toggle("ex-opened", follows);
  }

  // The stations of a compact figure.
  showInside(shown) {
    this.shut = !shown;
    this.classList.toggle("ex-shut", this.shut);
    this.find("button.ex-inside")?.setAttribute("aria-expanded", String(shown));
    this.dock();
    this.drawStations();
  }

  // The sheet at hand, or only its answer.
  showSmall(small) {
    this.small = small;
    this.classList.toggle("ex-small", small);
    const button = this.find("[data-kind=small]");
    button.setAttribute("aria-expanded", String(!small));
    button.setAttribute("aria-label", small ? "Show the drawing and the caption" : "Make it small");
  }

  fields() {
    return this.all(".ex-caption input[type=text]");
  }

  rowOf(target) {
    return [...this.find(".ex-captions").children].indexOf(target.closest("li"));
  }

  choose(i) {
    if (i === this.chosen) return;
    this.chosen = i;
    this.drawCaptions();
    this.look();
    if (this.answer.milliseconds && this.chosen < this.answered.length) this.sayStatus();
  }

  add() {
    if (this.captions.length >= MOST) return;
    this.captions.push("");
    this.chosen = this.captions.length - 1;
    this.placeCaptions();
    this.fields().at(-1).focus();
    this.change();
  }

  remove(i) {
    this.captions.splice(i, 1);
    if (this.chosen >= i && this.chosen > 0) this.chosen -= 1;
    this.placeCaptions();
    this.fields()[Math.min(i, this.captions.length - 1)].focus();
    this.change();
  }

  // A new scene brings new captions, unless the reader has written some.
  shuffled(scene) {
    if (this.captions.join("\n") === this.given) this.give(captionsFor(scene));
  }

  // Captions that are not the reader's.
  give(captions) {
    this.captions = [...captions];
    this.given = captions.join("\n");
    this.chosen = 0;
    this.placeCaptions();
    this.change();
  }

  toggle(id, open = !this.open.has(id)) {
    if (open) this.open.add(id);
    else this.open.delete(id);
    this.dock();
    const item = this.find(`[data-id="${id}"]`);
    const body = item.querySelector(".ex-open");
    body.hidden = !open;
    item.classList.toggle("ex-is-open", open);
    item.querySelector(".ex-card").setAttribute("aria-expanded", String(open));
    const station = this.stations.find((each) => each.id === id);
    if (open && !station.body) {
      station.body = body.querySelector(".ex-body");
      station.render();
    }
    this.placeRows();
    this.look();
  }

  // ---- the model --------------------------------------------------------------------------------

  // Something that the model must answer has changed; it is asked once a frame at most.
  change() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.ask();
    });
  }

  // Something else is looked at: the last answer may have it already.
  look() {
    this.drawStations();
    const known = this.wanted().every((name) => {
      const tensor = this.answer.tensors[name];
      return tensor && (name.startsWith("vision") || this.chosen < tensor.shape[0]
        || name === "pixel_values");
    });
    if (!known) this.change();
  }

  wanted() {
    return [...new Set(this.stations.flatMap((each) => each.wanted(this.open.has(each.id))))];
  }

  async ask() {
    const { scene } = this.drawing;
    const [shown, captions] = [{ ...scene, items: [...scene.items] }, [...this.captions]];
    try {
      if (!this.model) {
        this.say(".ex-status", "The model is on its way (0.9 MB) …");
        this.classList.add("ex-waiting");
        this.model = await tiny();
      }
      const question = { image: this.drawing.pixels(), captions, wanted: this.wanted() };
      const answer = await this.model.newest(question);
      const stale = !answer || captions.length !== this.captions.length;
      if (stale) return;
      Object.assign(this, { answer, answered: captions, shown });
      this.sayStatus();
      this.draw();
      this.readAloud(QUIET);
      this.classList.remove("ex-waiting");
    } catch (error) {
      this.tell(error.message);
      this.classList.add("ex-failed");
      return;
    }
    this.classList.remove("ex-failed");
  }

  sayStatus() {
    const speed = `${Math.max(1, Math.round(this.answer.milliseconds))} ms`;
    const doubt = this.doubt();
    this.say(".ex-status", doubt || `tiny answered in ${speed}.`);
    this.classList.toggle("ex-new", doubt !== "");
  }

  // Why the answer may mean little.
  doubt() {
    const said = this.answered[this.chosen].toLowerCase().match(/\p{L}+|\d+/gu) ?? [];
    const strange = said.find((word) => !this.words.has(word));
    const drawn = unusual(this.shown);
    const doubts = [];
    if (strange) doubts.push(`the word “${strange}” (caption ${this.chosen + 1})`);
    if (drawn) doubts.push(`from ${drawn}`);
    if (!doubts.length) return "";
    const little = drawn ? "its answers mean little" : "its answer there means little";
    return `tiny never learned ${doubts.join(", nor ")}: ${little}.`;
  }

  // ---- the captions -----------------------------------------------------------------------------

  placeCaptions() {
    const row = (text, i) => `
      <li class="ex-caption">
        <label class="ex-follow" title="Follow this caption through the stations">
          <input type="radio" name="${this.key}-followed" value="${i}"
            aria-label="Follow caption ${i + 1}"></label>
        <input type="text" value="${escapeHTML(text)}" maxlength="120" spellcheck="false"
          autocomplete="off" placeholder="such as 3 blue hearts" aria-label="Caption ${i + 1}">
        <output></output>
        <button type="button" data-kind="remove" data-i="${i}" aria-label="Remove caption ${i + 1}"
          ${this.captions.length === 1 ? "disabled" : ""}>×</button>
        <div class="ex-bar"><i></i></div>
      </li>`;
    this.find(".ex-captions").innerHTML = this.captions.map(row).join("");
    this.find("[data-kind=add]").disabled = this.captions.length >= MOST;
    this.drawCaptions();
  }

  // Probabilities, or shares of 100 %; a caption that is still empty has none.
  scores(shares = this.shares) {
    const { probabilities, logits } = this.answer;
    const written = this.answered.map((text) => text.trim() !== "");
    const most = Math.max(...logits);
    const powers = written.map((is, i) => (is ? Math.exp(logits[i] - most) : 0));
    const scores = shares ? powers.map((power) => power / sum(powers)) : Array.from(probabilities);
    return scores.map((score, i) => (written[i] ? score : undefined));
  }

  drawCaptions() {
    const scores = this.scores();
    const show = (item, i) => {
      const score = this.captions[i].trim() ? scores[i] : undefined;
      const none = this.captions[i].trim() ? "…" : "–";
      item.querySelector("output").textContent = score === undefined ? none : percent(score);
      item.querySelector(".ex-bar i").style.transform = `scaleX(${score ?? 0})`;
    };
    [...this.find(".ex-captions").children].forEach((item, i) => {
      show(item, i);
      item.classList.toggle("ex-followed", i === this.chosen);
      item.querySelector("[type=radio]").checked = i === this.chosen;
    });
    show(this.find(".ex-at-hand"), this.chosen);
    if (this.shares) this.find(".ex-at-hand output").prepend("softmax ");
    const all = this.captions.map((text, i) => {
      const score = text.trim() ? scores[i] : undefined;
      return `<li style="--p: ${score ?? 0}"><span>${escapeHTML(text)}</span>
        <b>${score === undefined ? "…" : percent(score)}</b></li>`;
    });
    this.find(".ex-all").innerHTML = all.join("");
    // On a phone the captions lie below the drawing: their answers are above it, too.
    if (this.compact) this.find(".ex-glance").innerHTML = all.slice(0, GLANCE).join("");
    const field = this.find(".ex-at-hand input");
    if (field.value !== this.captions[this.chosen]) field.value = this.captions[this.chosen];
    this.say(".ex-note", NOTES[this.shares]);
  }

  // ---- the stations -----------------------------------------------------------------------------

  placeStations() {
    this.stations = STATIONS.map((Kind) => new Kind(this));
    for (const side of Object.keys(SIDES)) {
      const mine = this.stations.filter((station) => station.side === side);
      this.find(`.ex-${side} ol`).innerHTML = mine.map(({ id, name, shape, means, words, chapter }) => `
        <li data-id="${id}">
          <button type="button" class="ex-card" aria-expanded="false">
            <canvas class="ex-thumb" aria-hidden="true"></canvas>
            <span class="ex-name">${name}<code title="${means}">${shape}</code></span>
            <span class="ex-now"></span>
            ${TURN}
          </button>
          <div class="ex-open" role="group" aria-label="${name}" hidden>
            <p>${words} <a href="${this.chapters}${chapter[0]}.html">${chapter[1]}</a></p>
            ${means && `<p class="ex-means"><code>${shape}</code>: ${means}</p>`}
            <div class="ex-body"></div>
          </div>
        </li>`).join("");
    }
    this.placeRows();
  }

  // Where both sides have room, they share their rows, and an open station takes a whole one.
  placeRows() {
    const left = ["image", "text"].map((side) => [...this.find(`.ex-${side} > ol`).children]);
    const next = [2, 2]; // below the names of the sides
    const isOpen = ([item]) => item?.classList.contains("ex-is-open") ?? false;
    while (left[0].length + left[1].length) {
      const first = next[0] === next[1] ? Number(isOpen(left[1]) && !isOpen(left[0]))
        : Number(next[1] < next[0]);
      const side = left[first].length ? first : 1 - first;
      const open = isOpen(left[side]);
      const row = open ? Math.max(...next) : next[side];
      left[side].shift().style.setProperty("--row", row);
      if (open) next.fill(row + 1);
      else next[side] = row + 1;
    }
    this.find(".ex-walk").style.setProperty("--end", Math.max(...next));
  }

  piecesOf() {
    const pieces = this.answer.pieces[this.chosen] ?? [];
    return pieces.length > 16 ? [...pieces.slice(0, 15), "</s>"] : pieces;
  }

  pieceAt(place) {
    return this.piecesOf()[place] ?? "</s>";
  }

  drawStations() {
    if (!this.stations || !this.clientWidth || this.shut) return;
    const { theme } = document.documentElement.dataset;
    if (theme !== this.theme || !this.colours) this.colours = palette(this);
    this.theme = theme;
    const followed = this.answered[this.chosen];
    this.say(".ex-text .ex-side-name span", followed ? `“${followed}”` : "");
    for (const station of this.stations) {
      const item = this.find(`[data-id="${station.id}"]`);
      station.thumb(item.querySelector(".ex-thumb"));
      const shape = station.shape.replaceAll("[n,", `[${this.answered.length},`);
      for (const code of item.querySelectorAll(":is(.ex-name, .ex-means) code")) {
        code.textContent = shape;
      }
      item.querySelector(".ex-now").textContent = station.now;
      if (this.open.has(station.id)) station.draw();
    }
  }

  draw() {
    this.drawCaptions();
    this.drawStations();
    this.drawing.draw();
  }

  // To see and to hear.
  tell(text) {
    clearTimeout(this.aloud);
    this.say(".ex-status", text);
    this.say(".ex-aloud", text);
  }

  readAloud(delay = 0) {
    clearTimeout(this.aloud);
    this.aloud = setTimeout(() => {
      const scores = this.scores();
      const words = this.answered.map((text, i) => `“${text}” ${percent(scores[i])}`)
        .filter((_, i) => scores[i] !== undefined);
      this.say(".ex-aloud", `The drawing shows ${describe(this.shown)}. ${words.join(", ")}.`);
    }, delay);
  }

  // ---- a scene in the address -------------------------------------------------------------------

  async copyLink() {
    const link = toLink(this.drawing.scene, this.captions);
    history.replaceState(history.state, "", link);
    try {
      await navigator.clipboard.writeText(location.href);
      this.tell("Copied: the link holds this drawing and its captions.");
    } catch {
      this.tell("The link is in the address bar now: copy it from there.");
    }
  }

  readLink() {
    if (!isLink(location.hash)) return;
    const read = fromLink(location.hash);
    if (!read || read.captions.length > MOST) {
      this.tell("The link's drawing could not be read, so this is the first one.");
      return;
    }
    this.give(read.captions);
    this.given = null; // somebody wrote them
    this.drawing.show(read.scene);
  }

  // ---- the tour ---------------------------------------------------------------------------------

  // Each step speaks of the first scene, whatever the reader made of it in the step before; their own
  // comes back in the end.
  go(step) {
    const { title, words, task, open, show } = TOUR[step];
    if (this.tour.hidden) {
      const { captions, given, drawing } = this;
      this.own = { captions, given, scene: drawing.scene, open: [...this.open], shares: this.shares };
      this.own.shut = this.shut;
      this.takeShares(0);
    }
    this.drawing.like(this.first.scene);
    this.drawing.show(this.first.scene);
    this.give(this.first.captions);
    this.tour.hidden = false;
    this.classList.add("ex-touring");
    this.classList.toggle("ex-asking", show === ".ex-top"); // of all captions
    this.dock();
    const last = step === TOUR.length - 1;
    const said = ["title", "words", "task"].map((part) => `${this.key}-${part}`);
    this.tour.innerHTML = `
      <p class="ex-tour-title" id="${said[0]}"><b>${step + 1}/${TOUR.length}</b> ${title}</p>
      <p id="${said[1]}">${words}</p><p class="ex-task" id="${said[2]}"><b>Try:</b> ${task}</p>
      <div class="ex-row">
        <button type="button" data-kind="step" data-i="${step - 1}" ${step ? "" : "disabled"}
          class="ex-back">Back</button>
        <button type="button" data-kind="${last ? "done" : "step"}" data-i="${step + 1}"
          class="ex-next" aria-describedby="${said.join(" ")}">${last ? "Done" : "Next"}</button>
        <button type="button" data-kind="end" data-i="0" aria-label="Close the tour">×</button>
      </div>`;
    this.showStations(open);
    this.find(".ex-next").focus({ preventScroll: true }); // Enter and the arrows go on
    this.comeTo(this.find(show.startsWith(".") ? show : `[data-id="${show}"]`));
  }

  showStations(open) {
    if (open.length) this.showInside(true);
    for (const id of [...this.open]) if (!open.includes(id)) this.toggle(id, false);
    for (const id of open) this.toggle(id, true);
  }

  takeShares(shares) {
    this.shares = shares;
    this.all(`[name="${this.key}-shares"]`)[shares].checked = true;
    this.drawCaptions();
  }

  comeTo(place) {
    place.scrollIntoView({ block: "start", behavior: still() ? "auto" : "smooth" });
  }

  endTour() {
    this.tour.hidden = true;
    this.tour.innerHTML = "";
    this.classList.remove("ex-touring");
    this.dock();
    this.drawing.show(this.own.scene);
    this.give(this.own.captions);
    this.given = this.own.given;
    this.showStations(this.own.open);
    this.showInside(!this.own.shut);
    this.takeShares(this.own.shares);
    this.find("[data-kind=tour]").focus({ preventScroll: true });
    if (this.shut) this.comeTo(this.find(".ex-top")); // the place where the reader was is folded
  }
}

define("explorer", Explorer);
