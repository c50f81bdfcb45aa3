// A text as you type it, cleaned in three ways, cut into pieces, filled up to a row of ids; and what
// the small model makes of it.

import { END, END_ID, Tokenizer, UNKNOWN_ID, canonicalize } from "./model/tokenizer.js";
import { COLOURS, paint, raster } from "./scenes.js";
import { tiny } from "./tiny.js";
import { Touchable, buttons, count, define, escapeHTML, percent, radios } from "./touch.js";

const CLEANINGS = [
  ["transformers, siglip_lab", canonicalize],
  ["big_vision, class names", (text) => canonicalize(text.replaceAll("_", " "))],
  ["big_vision, captions", (text) => text.toLowerCase()],
];
const EXAMPLES = ["This is a photo of 2 red circles.", "hot_dog", "the evening hearth", "ÜBER cafés ½",
  "three blue stars"];
const PLACES = [16, 64];

const scene = (shape, colour, radius, places) => ({
  background: [238, 236, 232],
  items: places.map(([x, y]) => ({ shape, fill: COLOURS[colour], x, y, radius, angle: 0 })),
});
const DRAWINGS = [
  ["2 red circles", scene("circle", "red", 0.14, [[0.3, 0.32], [0.66, 0.66]])],
  ["3 blue stars", scene("star", "blue", 0.14, [[0.28, 0.3], [0.72, 0.36], [0.45, 0.72]])],
  ["a green heart", scene("heart", "green", 0.145, [[0.52, 0.48]])],
];

class TextCleaner extends Touchable {
  // vocabulary: every piece and its log-probability, by the order of the ids.
  render({ vocabulary, text }) {
    this.tokenizer = new Tokenizer(vocabulary);
    const row = (name) =>
      `<span class="tc-name">${name}</span> <code></code> <span class="tc-count"></span>`;
    this.innerHTML = `
      <label class="tc-field">Your caption
        <input type="text" value="${escapeHTML(text)}" autocomplete="off"
          autocapitalize="off" spellcheck="false" maxlength="600"></label>
      <div class="tc-examples pills">${buttons("example", EXAMPLES)}</div>
      <fieldset class="tc-cleanings"><legend>Three ways to clean it; choose one to cut</legend>
        ${radios(`${this.key}-cleaning`, CLEANINGS.map(([name]) => name), 0, row)}</fieldset>
      <p class="tc-title">Pieces and ids</p>
      <ol class="tc-pieces"></ol>
      <fieldset class="tc-places"><legend>The row of ids</legend>
        ${radios(`${this.key}-places`, PLACES.map((n) => `${n} positions`))}</fieldset>
      <p class="tc-readout" aria-live="polite"></p>
      <div class="tc-row" role="img" aria-label="The row of ids"></div>
      <p class="tc-help">Orange: a piece. Red: unknown, id 2. Pale: the end token, id 1. Green frame:
        the position that is read.</p>
      <p class="tc-title">Does your caption fit these drawings? The small model answers</p>
      <ul class="tc-scores">
        ${DRAWINGS.map(([name]) => `<li><canvas width="192" height="192" role="img"
          aria-label="${name}"></canvas><output>?</output><span><i></i></span></li>`).join("")}
      </ul>
      <p class="tc-answer" aria-live="polite">It is fetched (0.9 MB) when you change the caption.</p>`;
    DRAWINGS.forEach(([, drawn], i) => paint(this.all("canvas")[i].getContext("2d"), drawn, 192));
    this.field = this.find(".tc-field input");
    this.addEventListener("input", ({ target }) => {
      this.draw();
      if (target === this.field) this.ask();
    });
    this.onPress("example", (i) => {
      this.field.value = EXAMPLES[i];
      this.draw();
      this.ask();
    });
  }

  chosen(name) {
    return Number(this.find(`input[name$="-${name}"]:checked`).value);
  }

  draw() {
    const text = this.field.value;
    this.press("example", EXAMPLES.indexOf(text));
    const places = PLACES[this.chosen("places")];
    const cuts = CLEANINGS.map(([, clean]) => this.tokenizer.pieces(text, clean));
    this.sayAll(".tc-cleanings code", CLEANINGS.map(([, clean]) => clean(text) || "(nothing)"));
    this.sayAll(
      ".tc-count",
      cuts.map((pieces) => {
        const unknown = pieces.filter((piece) => this.tokenizer.id(piece) === UNKNOWN_ID).length;
        return count(pieces.length - 1, "piece") + (unknown ? `, ${unknown} unknown` : "");
      }),
    );

    const pieces = cuts[this.chosen("cleaning")];
    const ids = pieces.map((piece) => this.tokenizer.id(piece));
    const kinds = { [END_ID]: "tc-end", [UNKNOWN_ID]: "tc-unknown" };
    this.find(".tc-pieces").innerHTML = pieces
      .map((piece, i) => {
        const cut = i >= places - 1 && piece !== END ? "tc-cut" : "";
        return `<li class="${kinds[ids[i]] ?? ""} ${cut}"><b>${escapeHTML(piece)}</b><i>${ids[i]}</i></li>`;
      })
      .join("");

    const kept = ids.slice(0, places - 1);
    const row = [...kept, ...Array(places - kept.length).fill(END_ID)];
    const strip = this.find(".tc-row");
    strip.setAttribute("aria-label", `Ids: ${row.join(", ")}`);
    strip.innerHTML = row.map((id) => `<span class="${kinds[id] ?? ""}">${id}</span>`).join("");

    const words = ids.length - 1;
    this.say(
      ".tc-readout",
      words <= places - 1
        ? `${count(words, "piece")} in ${places} positions; ${places - words} padded with id 1. The model reads the last one.`
        : `${words} pieces: the last ${words - (places - 1)} are cut off, and an end token takes the last position.`,
    );
  }

  // The model cleans and cuts as the first row says, to 16 places.
  async ask() {
    const caption = this.field.value;
    try {
      if (!this.model) this.say(".tc-answer", "The model is on its way …");
      this.model ??= await tiny();
      const question = ([, drawn]) => ({ image: raster(drawn), captions: [caption] });
      const answers = await Promise.all(DRAWINGS.map((each) => this.model.run(question(each))));
      if (caption === this.field.value) this.show(answers.map((answer) => answer.probabilities[0]));
    } catch (error) {
      this.say(".tc-answer", error.message);
    }
  }

  show(probabilities) {
    this.sayAll(".tc-scores output", probabilities.map((p) => percent(p)));
    this.all(".tc-scores i").forEach((bar, i) => (bar.style.width = `${100 * probabilities[i]}%`));
    const fits = DRAWINGS.filter((_, i) => probabilities[i] > 0.5).map(([name]) => name);
    this.say(".tc-answer", `It fits ${fits.join(" and ") || "none of the three"}, says the model.`);
  }
}

define("text-cleaner", TextCleaner);
