// CLIP's list of merges, and what becomes of a word by it.

import { range } from "./touch.js";

export const WAIT = "The list of merges is on its way, 196 kB …";
const FILE = "Only the examples above: a page that was opened from a file cannot load the list of merges.";
const LOST = "The list of merges could not be loaded. Is the site still there?";
const END_OF_WORD = "</w>";
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;

// The 256 bytes in the order of their ids, and how each is written: those that print as themselves
// come first.
const PRINTED = [[33, 126], [161, 172], [174, 255]].flatMap(([first, last]) =>
  range(last - first + 1).map((i) => first + i),
);
const OTHERS = range(256).filter((byte) => !PRINTED.includes(byte));
const BYTES = [...PRINTED, ...OTHERS];
const SIGNS = [...PRINTED, ...OTHERS.map((_, i) => 256 + i)].map((code) => String.fromCodePoint(code));

export class Merges {
  // pairs: two ids for each merge; merge i makes id 512 + i.
  constructor(pairs) {
    this.pieces = [...SIGNS, ...SIGNS.map((sign) => sign + END_OF_WORD)];
    this.ranks = new Map();
    for (let i = 0; i < pairs.length; i += 2) {
      this.ranks.set(pairs[i] * 2 ** 16 + pairs[i + 1], i / 2);
      this.pieces.push(this.pieces[pairs[i]] + this.pieces[pairs[i + 1]]);
    }
  }

  // As a word comes with the page: its states, and the ids at the end.
  steps(word) {
    const ids = [...new TextEncoder().encode(word)].map((byte) => BYTES.indexOf(byte));
    ids[ids.length - 1] += 256;
    const states = [];
    for (;;) {
      const ranks = ids.slice(1).map((id, i) => this.ranks.get(ids[i] * 2 ** 16 + id));
      const places = ranks.map((rank) => (rank === undefined ? null : rank + 1));
      states.push([ids.map((id) => this.pieces[id]), places]);
      const known = ranks.filter((rank) => rank !== undefined);
      if (!known.length) return { states, ids };
      const first = Math.min(...known);
      ids.splice(ranks.indexOf(first), 2, 512 + first);
    }
  }

  // Of a whole text, as the tokenizer cuts it.
  cut(text) {
    const words = text.toLowerCase().match(WORDS) ?? [];
    return words.flatMap((word) => this.steps(word).states.at(-1)[0]);
  }
}

let loading = null;

// The list, fetched once; after a failure it may be asked for again.
export const merges = () =>
  (loading ??= load().catch(() => {
    loading = null;
    throw new Error(location.protocol === "file:" ? FILE : LOST);
  }));

async function load() {
  const root = new URL(document.documentElement.dataset.content_root ?? "", document.baseURI);
  const answer = await fetch(new URL("_static/clip/merges.bin", root));
  if (!answer.ok) throw new Error(answer.statusText);
  return new Merges(new Uint16Array(await answer.arrayBuffer()));
}
