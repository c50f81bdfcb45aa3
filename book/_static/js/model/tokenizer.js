// Texts to token ids, as siglip_lab/tokenizer.py: canonical text, then the unigram cut of
// SentencePiece, then padding to the full length.

const PUNCTUATION = /[!-/:-@[-`{-~]/g; // Python's string.punctuation
const WHITE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

export const END = "</s>";
export const UNKNOWN = "<unk>";
export const END_ID = 1; // ends a text, and fills the row behind it
export const UNKNOWN_ID = 2;
const SPACE = "\u2581"; // how SentencePiece writes a space

// Lower the case, delete ASCII punctuation, make every run of white space one space.
export const canonicalize = (text) =>
  text.toLowerCase().replace(PUNCTUATION, "").replace(WHITE, " ").replace(/^ | $/g, "");

// SentencePiece's rule nmt_nfkc: no control characters, every kind of space is a space, then NFKC.
function normalize(text) {
  const plain = text
    .replace(/[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/g, "")
    .replace(/[\t\n\f\r\u061c\u1680\u200b\u200c\u200e\u200f\u2028\u2029\u2581\ufeff\ufffd]/g, " ")
    .split("\uff5e") // the one sign that it leaves wide
    .map((part) => part.normalize("NFKC"))
    .join("\uff5e");
  return SPACE + plain.replace(/ +/g, " ").replace(/^ | $/g, "").replaceAll(" ", SPACE);
}

export class Tokenizer {
  // vocabulary: every piece and its log-probability, from id 3 on, with a space between.
  constructor(vocabulary, contextLength = 64) {
    const words = vocabulary.trim().split(" ");
    const pieces = words.filter((_, i) => i % 2 === 0);
    const scores = words.filter((_, i) => i % 2).map((score) => Math.fround(score));
    this.contextLength = contextLength;
    this.ids = new Map(pieces.map((piece, i) => [piece, UNKNOWN_ID + 1 + i])).set(END, END_ID);
    this.scores = new Map(pieces.map((piece, i) => [piece, scores[i]]));
    this.unknown = Math.fround(Math.min(...scores) - 10);
    this.longest = Math.max(...pieces.map((piece) => [...piece].length));
    this.prefixLength = this.cut(UNKNOWN).length;
  }

  // The row of ids that a text tower takes: cut or padded to the context length.
  call(text) {
    const ids = this.encode(text);
    const row = new Int32Array(this.contextLength).fill(END_ID);
    row.set(ids.slice(0, this.contextLength - 1)); // a cut text ends with END, too
    return row;
  }

  encode(text) {
    return this.pieces(text).map((piece) => this.id(piece));
  }

  id(piece) {
    return this.ids.get(piece) ?? UNKNOWN_ID;
  }

  // "</s>" and "<unk>" in the text mean the tokens themselves.
  pieces(text, clean = canonicalize) {
    let pieces = [];
    for (const part of (SPACE + text.replaceAll(SPACE, " ")).split(/(<\/s>|<unk>)/)) {
      if (part === END || part === UNKNOWN) pieces.push(part);
      else pieces.push(...this.split(clean(part)));
    }
    if (pieces[0] === SPACE && [END, UNKNOWN].includes(pieces[1])) pieces = pieces.slice(1);
    return pieces.at(-1) === END ? pieces : [...pieces, END];
  }

  // SentencePiece strips a leading space; "<unk>" in front protects it and is cut off again.
  split(text) {
    return this.cut(UNKNOWN + text).slice(this.prefixLength);
  }

  // The cut whose scores sum to the most: for every end, the best last piece. Sums in float32.
  cut(text) {
    const letters = [...normalize(text)];
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
}
