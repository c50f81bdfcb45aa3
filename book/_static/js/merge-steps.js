// Byte pairs join to pieces, one merge of CLIP's list at a time.

import { Touchable, buttons, define, escapeHTML, grouped, slider } from "./touch.js";

class MergeSteps extends Touchable {
  // words: for each its states, [pieces, the place in the list of each pair of neighbours (null: not
  // in it)], and the ids at the end.
  render({ word, words }) {
    this.names = Object.keys(words);
    this.innerHTML = `
      <div class="pills">${buttons("word", this.names)}</div>
      <div class="ms-slider">${slider("step", "merges done", 0, 0, 1)}</div>
      <ol class="ms-pieces"></ol>
      <p class="ms-readout" aria-live="polite"></p>
      <p class="ms-help">Between two pieces: the place of the pair in the list of 48,894 merges, or a
        dash where it is not in it. Green: the earliest, which is joined next.</p>`;
    this.slider = this.input("step");
    this.slider.addEventListener("input", () => this.draw());
    this.onPress("word", (i) => this.choose(this.names[i]));
    this.choose(word);
  }

  choose(word) {
    this.word = word;
    this.slider.max = this.data.words[word].states.length - 1;
    this.slider.value = 0;
    this.press("word", this.names.indexOf(word));
    this.draw();
  }

  draw() {
    const { states, ids } = this.data.words[this.word];
    const [step] = this.values();
    const [pieces, ranks] = states[step];
    const known = ranks.filter((rank) => rank !== null);
    const next = known.length ? ranks.indexOf(Math.min(...known)) : -1;
    this.say("output", `${step} of ${states.length - 1}`);
    this.find(".ms-pieces").innerHTML = pieces
      .map((piece, i) => {
        const rank = ranks[i] === null ? "–" : grouped(ranks[i] ?? 0);
        const pair = `<i class="${i === next ? "ms-next" : ""}">${rank}</i>`;
        return `<li><b>${escapeHTML(piece)}</b>${i < ranks.length ? pair : ""}</li>`;
      })
      .join("");
    const word = `“${this.word}”`;
    this.say(
      ".ms-readout",
      next >= 0
        ? `Next: ${pieces[next]} and ${pieces[next + 1]}, merge ${grouped(ranks[next])} of the list, ` +
            `the earliest of the ${known.length === 1 ? "one pair" : `${known.length} pairs`} that it has.`
        : pieces.length === 1
          ? `Done: ${word} is one piece, id ${ids[0]}.`
          : `Done: no pair is in the list. ${word} is ${pieces.length} pieces, ids ${ids.join(", ")}.`,
    );
  }
}

define("merge-steps", MergeSteps);
