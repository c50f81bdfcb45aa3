// Byte pairs join to pieces, one merge of CLIP's list at a time.

import { WAIT, merges } from "./merges.js";
import { Touchable, buttons, define, escapeHTML, grouped, slider } from "./touch.js";

const LONGEST = 14; // letters of a word

class MergeSteps extends Touchable {
  // words: for each its states, [pieces, the place in the list of each pair of neighbours (null: not
  // in it)], and the ids at the end.
  render({ word, words }) {
    this.names = Object.keys(words);
    this.innerHTML = `
      <label class="ms-field">Type a word <input type="text" maxlength="${LONGEST}" autocomplete="off"
        autocapitalize="off" spellcheck="false"></label>
      <div class="pills" role="group" aria-label="Words">${buttons("word", this.names)}</div>
      <div class="sliders">${slider("step", "merges done", 0, 0, 1)}</div>
      <ol class="ms-pieces" tabindex="0" aria-label="Pieces"></ol>
      <p class="ms-readout" aria-live="polite"></p>`;
    this.slider = this.input("step");
    this.slider.addEventListener("input", () => this.draw());
    this.field = this.find("[type=text]");
    this.field.addEventListener("input", () => this.typed(this.field.value));
    this.onPress("word", (i) => {
      this.field.value = this.names[i];
      this.choose(this.names[i], words[this.names[i]]);
    });
    this.field.value = word;
    this.choose(word, words[word]);
  }

  // CLIP cuts a text into words before it joins anything: the first of them, in small letters.
  async typed(text) {
    const word = text.toLowerCase().match(/\p{L}+/u)?.[0];
    if (!word || this.data.words[word]) return word && this.choose(word, this.data.words[word]);
    this.wanted = word;
    if (!this.merges) this.say(".ms-readout", WAIT);
    try {
      this.merges = await merges();
    } catch (error) {
      return this.say(".ms-readout", error.message);
    }
    if (this.wanted === word) this.choose(word, this.merges.steps(word));
  }

  choose(word, steps) {
    [this.word, this.steps, this.wanted] = [word, steps, word];
    this.slider.max = steps.states.length - 1;
    this.slider.value = 0;
    this.press("word", this.names.indexOf(word));
    this.draw();
  }

  draw() {
    const { states, ids } = this.steps;
    const [step] = this.values();
    const [pieces, ranks] = states[step];
    const known = ranks.filter((rank) => rank !== null);
    const next = known.length ? ranks.indexOf(Math.min(...known)) : -1;
    this.say("output", `${step} of ${states.length - 1}`);
    const cells = pieces.map((piece, i) => {
      const rank = ranks[i] === null ? "–" : grouped(ranks[i] ?? 0);
      const pair = `<i class="${i === next ? "ms-next" : ""}">${rank}</i>`;
      const joins = next >= 0 && (i === next || i === next + 1) ? ' class="ms-joins"' : "";
      return `<b${joins}>${escapeHTML(piece)}</b>${i < ranks.length ? pair : ""}`;
    });
    // A line ends after a number, but never between the two pieces that are joined next.
    if (next >= 0) cells.splice(next, 2, cells[next] + cells[next + 1]);
    this.find(".ms-pieces").innerHTML = cells.map((cell) => `<li>${cell}</li>`).join("");
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
