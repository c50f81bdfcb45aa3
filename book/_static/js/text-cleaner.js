// <text-cleaner>: a text as you type it, cleaned in three ways, cut into pieces, filled up to a row
// of ids. Cleaning and cutting follow siglip_lab.Tokenizer, that is transformers and SentencePiece.

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

const escapeHTML = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

class TextCleaner extends HTMLElement {
  connectedCallback() {
    this.vocabulary = new Vocabulary(this.dataset.vocabulary.split(" "));
    const id = `text-cleaner-${[...document.querySelectorAll("text-cleaner")].indexOf(this)}`;
    const rows = CLEANINGS.map(
      ([name], i) => `<label><input type="radio" name="${id}-cleaning" value="${i}"${i ? "" : " checked"}>
        <span class="tc-name">${name}</span> <code></code> <span class="tc-count"></span></label>`,
    );
    const places = [16, 64].map(
      (n) => `<label><input type="radio" name="${id}-places" value="${n}"${n === 16 ? " checked" : ""}>
        <span>${n} places</span></label>`,
    );
    const buttons = EXAMPLES.map((text) => `<button type="button">${text}</button>`);
    this.innerHTML = `
      <label class="tc-field">Your caption
        <input type="text" value="${escapeHTML(this.dataset.text)}" autocomplete="off"
          autocapitalize="off" spellcheck="false" maxlength="600"></label>
      <div class="tc-examples pills">${buttons.join("")}</div>
      <fieldset class="tc-cleanings"><legend>Three ways to clean it; choose one to cut</legend>
        ${rows.join("")}</fieldset>
      <p class="tc-title">Pieces and ids</p>
      <ol class="tc-pieces"></ol>
      <fieldset class="tc-places"><legend>The row of ids</legend>${places.join("")}</fieldset>
      <p class="tc-readout" aria-live="polite"></p>
      <div class="tc-row" role="img"></div>
      <p class="tc-help">Orange: a piece. Red: unknown, id 2. Pale: the end token, id 1. Green frame:
        the place that is read.</p>`;
    this.field = this.querySelector(".tc-field input");
    this.addEventListener("input", () => this.draw());
    this.addEventListener("click", ({ target }) => {
      if (target.tagName !== "BUTTON") return;
      this.field.value = target.textContent;
      this.draw();
    });
    this.draw();
  }

  draw() {
    const text = this.field.value;
    const [chosen, places] = ["cleaning", "places"].map((name) =>
      Number(this.querySelector(`input[name$="-${name}"]:checked`).value),
    );
    const cuts = CLEANINGS.map(([, clean]) => this.vocabulary.pieces(text, clean));
    this.querySelectorAll(".tc-cleanings label").forEach((label, i) => {
      label.querySelector("code").textContent = CLEANINGS[i][1](text) || "(nothing)";
      const unknown = cuts[i].filter((piece) => this.vocabulary.id(piece) === UNKNOWN_ID).length;
      label.querySelector(".tc-count").textContent =
        count(cuts[i].length - 1, "piece") + (unknown ? `, ${unknown} unknown` : "");
    });

    const pieces = cuts[chosen];
    const ids = pieces.map((piece) => this.vocabulary.id(piece));
    const kinds = { [END_ID]: "tc-end", [UNKNOWN_ID]: "tc-unknown" };
    this.querySelector(".tc-pieces").innerHTML = pieces
      .map((piece, i) => {
        const cut = i >= places - 1 && piece !== END ? "tc-cut" : "";
        return `<li class="${kinds[ids[i]] ?? ""} ${cut}"><b>${escapeHTML(piece)}</b><i>${ids[i]}</i></li>`;
      })
      .join("");

    const kept = ids.slice(0, places - 1);
    const row = [...kept, ...Array(places - kept.length).fill(END_ID)];
    const strip = this.querySelector(".tc-row");
    strip.dataset.ids = row.join(" ");
    strip.classList.toggle("tc-long", places === 64);
    strip.setAttribute("aria-label", `Ids: ${row.join(", ")}`);
    strip.innerHTML = row.map((id) => `<span class="${kinds[id] ?? ""}">${id}</span>`).join("");

    const words = ids.length - 1;
    const filled = places - words;
    this.querySelector(".tc-readout").textContent =
      words <= places - 1
        ? `${count(words, "piece")} in ${places} places; ${filled} filled with id 1. The model reads the last one.`
        : `${words} pieces: the last ${words - (places - 1)} are cut off, and an end token takes the last place.`;
  }
}

customElements.define("text-cleaner", TextCleaner);
