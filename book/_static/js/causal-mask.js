// Which token sees which in CLIP's text tower, with the causal mask and without one.

import { WAIT, merges } from "./merges.js";
import { Touchable, buttons, count, define, escapeHTML, range } from "./touch.js";

const SHOWN = 10; // of the positions
const LONGEST = 40; // letters of a caption
const MASKS = ["causal mask", "no mask"];

const among = (words) =>
  [words.slice(0, -1).join(", "), words.at(-1)].filter(Boolean).join(" and ");

class CausalMask extends Touchable {
  // captions: each with its pieces; places: how many positions the model reads.
  render({ captions }) {
    this.names = Object.keys(captions);
    this.masked = true;
    const cells = (row) => range(SHOWN).map(() => `<i data-row="${row}"></i>`).join("");
    const button = (row) => `<button type="button" data-row="${row}"></button>`;
    const rows = range(SHOWN).map((row) => button(row) + cells(row));
    this.innerHTML = `
      <label class="cm-field">Type a caption <input type="text" maxlength="${LONGEST}"
        autocomplete="off" autocapitalize="off" spellcheck="false"></label>
      <div class="pills" role="group" aria-label="Captions">${buttons("caption", this.names)}</div>
      <div class="cm-parts">
        <div class="cm-grid" role="group" aria-label="Tokens: press one, and see what it sees">
          <span class="cm-ask">Press<br>a token</span>
          ${range(SHOWN).map(() => '<b aria-hidden="true"></b>').join("")}
          ${rows.join("")}<span class="cm-read"></span><span class="cm-asks"></span></div>
        <div class="cm-words">
          <div class="pills" role="group" aria-label="Mask">${buttons("mask", MASKS)}</div>
          <p class="cm-readout" aria-live="polite"></p>
          <p class="cm-key"><span class="cm-text">text</span> <span class="cm-padding">padding</span>
            <span class="cm-hidden">hidden</span> <span class="cm-end">read here</span></p>
          <p class="cm-help"></p></div>
      </div>`;
    this.field = this.find("[type=text]");
    this.field.addEventListener("input", () => this.typed(this.field.value));
    this.onPress("caption", (i) => {
      this.field.value = this.names[i];
      this.choose(this.names[i], captions[this.names[i]]);
    });
    this.onPress("mask", (i) => {
      this.masked = i === 0;
      this.draw();
    });
    const ask = ({ target }) => {
      if (target.dataset.row === undefined) return;
      this.asker = Number(target.dataset.row);
      this.draw();
    };
    this.find(".cm-grid").addEventListener("click", ask);
    this.find(".cm-grid").addEventListener("focusin", ask);
    this.field.value = this.names[0];
    this.choose(this.names[0], captions[this.names[0]]);
  }

  async typed(text) {
    const known = this.data.captions[text];
    this.wanted = text;
    if (known) return this.choose(text, known);
    try {
      if (!this.merges) this.say(".cm-readout", WAIT);
      this.merges = await merges();
    } catch (error) {
      return this.say(".cm-readout", error.message);
    }
    if (this.wanted === text) this.choose(text, this.merges.cut(text));
  }

  // What doesn't fit is cut, as CLIP cuts what its positions don't hold.
  choose(caption, pieces) {
    this.caption = this.wanted = caption;
    const fit = pieces.slice(0, SHOWN - 2).map((piece) => piece.replace("</w>", ""));
    this.tokens = ["start", ...fit, "end"];
    this.asker = this.end = this.tokens.length - 1;
    this.press("caption", this.names.indexOf(caption));
    const cut = pieces.length - fit.length;
    this.say(
      ".cm-help",
      `Shown: ${SHOWN} of ${this.data.places} positions. ` +
        (cut ? `${count(cut, "token")} of yours had no room.` : "0 is padding."),
    );
    this.draw();
  }

  draw() {
    const { asker, end, tokens } = this;
    const sees = (row, column) => !this.masked || column <= row;
    const word = (i) => tokens[i] ?? "0";
    const kind = (i) => (i > end ? "cm-padding" : "cm-text");
    this.press("mask", this.masked ? 0 : 1);
    this.all(".cm-grid button").forEach((button, i) => {
      button.textContent = word(i);
      button.className = i === end ? "cm-end" : kind(i);
      button.setAttribute("aria-pressed", String(i === asker));
    });
    this.all(".cm-grid b").forEach((head, i) => {
      head.innerHTML = `<span>${escapeHTML(word(i))}</span>`;
      head.className = sees(asker, i) ? "cm-lit" : "";
      head.classList.toggle("cm-upright", word(i).length === 1);
    });
    this.all(".cm-grid i").forEach((cell, i) => {
      const [row, column] = [Math.floor(i / SHOWN), i % SHOWN];
      cell.className = sees(row, column) ? kind(column) : "";
      cell.classList.toggle("cm-pale", row !== asker);
    });
    this.find(".cm-read").style.gridRow = `${end + 2} / span 1`;
    this.find(".cm-asks").style.gridRow = `${asker + 2} / span 1`;
    this.find(".cm-asks").hidden = asker === end;
    this.say(".cm-readout", this.said());
  }

  said() {
    const { asker, end, tokens, data } = this;
    const seen = this.masked ? asker + 1 : data.places;
    const texts = Math.min(seen, end + 1);
    const who = asker > end ? `The padding at position ${asker}` : `“${tokens[asker]}”`;
    const read = asker < end ? "" : ` ${asker === end ? "The text" : "Nothing"} is read here.`;
    const zeros = seen - texts;
    if (seen === data.places)
      return `${who} sees all ${seen} positions: ${texts} of text and ${zeros} of padding.${read}`;
    const padding = zeros ? `${zeros} of them padding` : "no padding";
    const whom = asker > end ? "all of the text" : among(tokens.slice(0, seen));
    return `${who} sees ${whom}: ${seen} of ${data.places} positions, ${padding}.${read}`;
  }
}

define("causal-mask", CausalMask);
