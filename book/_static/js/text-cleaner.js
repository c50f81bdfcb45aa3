// A text as you type it, cleaned in three ways, cut into pieces, filled up to a row of ids.

import { END, END_ID, Tokenizer, UNKNOWN_ID, canonicalize } from "./model/tokenizer.js";
import { Touchable, buttons, count, define, escapeHTML, radios } from "./touch.js";

const CLEANINGS = [
  ["transformers, siglip_lab", canonicalize],
  ["big_vision's evaluator", (text) => canonicalize(text.replaceAll("_", " "))],
  ["big_vision's demo", (text) => text.toLowerCase()],
];
const EXAMPLES = ["This is a photo of 2 red circles.", "hot_dog", "the evening hearth", "ÜBER cafés ½"];
const PLACES = [16, 64];

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
        ${radios(`${this.key}-places`, PLACES.map((n) => `${n} places`))}</fieldset>
      <p class="tc-readout" aria-live="polite"></p>
      <div class="tc-row" role="img"></div>
      <p class="tc-help">Orange: a piece. Red: unknown, id 2. Pale: the end token, id 1. Green frame:
        the place that is read.</p>`;
    this.field = this.find(".tc-field input");
    this.addEventListener("input", () => this.draw());
    this.onPress("example", (i) => {
      this.field.value = EXAMPLES[i];
      this.draw();
    });
  }

  chosen(name) {
    return Number(this.find(`input[name$="-${name}"]:checked`).value);
  }

  draw() {
    const text = this.field.value;
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
        ? `${count(words, "piece")} in ${places} places; ${places - words} filled with id 1. The model reads the last one.`
        : `${words} pieces: the last ${words - (places - 1)} are cut off, and an end token takes the last place.`,
    );
  }
}

define("text-cleaner", TextCleaner);
