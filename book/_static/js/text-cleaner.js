// A text as you type it, cleaned in three ways, cut into pieces, filled up to a row of ids. Cleaning
// and cutting follow siglip_lab.Tokenizer, that is transformers and SentencePiece.

import { Touchable, buttons, count, define, escapeHTML, radios } from "./touch.js";

const PUNCTUATION = /[!-/:-@[-`{-~]/g; // Python's string.punctuation
const WHITE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const [END, UNKNOWN, SPACE, END_ID, UNKNOWN_ID] = ["</s>", "<unk>", "\u2581", 1, 2];

const collapse = (text) =>
  text.replace(new RegExp(WHITE, "g"), " ").replace(/^ | $/g, "");
const canonicalize = (text) => collapse(text.toLowerCase().replace(PUNCTUATION, ""));

const CLEANINGS = [
  ["transformers, siglip_lab", canonicalize],
  ["big_vision's evaluator", (text) => canonicalize(text.replaceAll("_", " "))],
  ["big_vision's demo", (text) => text.toLowerCase()],
];
const EXAMPLES = ["This is a photo of 2 red circles.", "hot_dog", "the evening hearth", "ÜBER cafés ½"];
const PLACES = [16, 64];

// SentencePiece's rule nmt_nfkc: no control characters, every kind of space is a space, then NFKC.
const normalise = (text) => {
  const plain = text
    .replace(/[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g, "")
    .replace(/[\t\n\f\r\u061c\u1680\u200b\u200c\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, " ")
    .split("\uff5e") // the one sign that it leaves wide
    .map((part) => part.normalize("NFKC"))
    .join("\uff5e");
  return SPACE + plain.replace(/ +/g, " ").replace(/^ | $/g, "").replaceAll(" ", SPACE);
};

class Vocabulary {
  constructor(words) {
    const pieces = words.filter((_, i) => i % 2 === 0);
    const scores = words.filter((_, i) => i % 2).map((score) => Math.fround(score));
    this.ids = new Map(pieces.map((piece, i) => [piece, UNKNOWN_ID + 1 + i])).set(END, END_ID);
    this.scores = new Map(pieces.map((piece, i) => [piece, scores[i]]));
    this.unknown = Math.fround(Math.min(...this.scores.values()) - 10);
    this.longest = Math.max(...pieces.map((piece) => [...piece].length));
    this.prefix = this.cut(UNKNOWN).length;
  }

  // The cut whose scores sum to the most: for every end, the best last piece. Sums in float32.
  cut(text) {
    const letters = [...normalise(text)];
    const best = [0];
    const begins = [];
    for (let end = 1; end <= letters.length; end++) {
      best[end] = -Infinity;
      for (let begin = Math.max(0, end - this.longest); begin < end; begin++) {
        let score = this.scores.get(letters.slice(begin, end).join(""));
        if (score === undefined && end - begin === 1) score = this.unknown;
        const sum = Math.fround(best[begin] + (score ?? -Infinity));
        if (sum > best[end]) [best[end], begins[end]] = [sum, begin];
      }
    }
    const pieces = [];
    for (let end = letters.length; end > 0; end = begins[end]) {
      const piece = letters.slice(begins[end], end).join("");
      const joins = pieces.length && !this.scores.has(piece) && !this.scores.has(pieces[0]);
      if (joins) pieces[0] = piece + pieces[0]; // neighbours that are unknown are one piece
      else pieces.unshift(piece);
    }
    return pieces;
  }

  // As Tokenizer.pieces: "</s>" and "<unk>" in the text mean the tokens themselves.
  pieces(text, clean) {
    let pieces = [];
    for (const part of (SPACE + text.replaceAll(SPACE, " ")).split(/(<\/s>|<unk>)/)) {
      if (part === END || part === UNKNOWN) pieces.push(part);
      else pieces.push(...this.cut(UNKNOWN + clean(part)).slice(this.prefix));
    }
    if (pieces[0] === SPACE && [END, UNKNOWN].includes(pieces[1])) pieces = pieces.slice(1);
    return pieces.at(-1) === END ? pieces : [...pieces, END];
  }

  id(piece) {
    return this.ids.get(piece) ?? UNKNOWN_ID;
  }
}

class TextCleaner extends Touchable {
  // vocabulary: every piece and its log-probability, by the order of the ids.
  render({ vocabulary, text }) {
    this.vocabulary = new Vocabulary(vocabulary.split(" "));
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
    this.press("example", EXAMPLES.indexOf(text));
    const places = PLACES[this.chosen("places")];
    const cuts = CLEANINGS.map(([, clean]) => this.vocabulary.pieces(text, clean));
    this.sayAll(".tc-cleanings code", CLEANINGS.map(([, clean]) => clean(text) || "(nothing)"));
    this.sayAll(
      ".tc-count",
      cuts.map((pieces) => {
        const unknown = pieces.filter((piece) => this.vocabulary.id(piece) === UNKNOWN_ID).length;
        return count(pieces.length - 1, "piece") + (unknown ? `, ${unknown} unknown` : "");
      }),
    );

    const pieces = cuts[this.chosen("cleaning")];
    const ids = pieces.map((piece) => this.vocabulary.id(piece));
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
