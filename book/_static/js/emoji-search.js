// Words find pictures, and a picture finds words: the model emoji on 1,570 drawings by an artist
// that it never saw. The first answer comes with the page; the rest is fetched when it is used.

import { pageModel } from "./tiny.js";
import { Touchable, buttons, define, escapeHTML, percent, range } from "./touch.js";

const PICTURES = 12;
const NAMES = 6;
const FETCHED =
  "The model’s text tower, its vectors of all pictures and names, and the pictures (2.0 MB) are " +
  "fetched when you change something.";
const READY =
  "No word is looked up: text and picture are 128 numbers each, and what points the same way is " +
  "found. The model learned names and keywords from other artists’ drawings; phrases are harder.";

const bar = '<span class="es-bar"><i></i></span><span class="es-share"></span>';

class EmojiSearch extends Touchable {
  // words: of the buttons; found, called: answers of model/search.js, for the first of the words and
  // the best picture; sheet: columns and rows of the sheet of all pictures.
  render({ words, found, called, sheet }) {
    Object.assign(this, { words, called, chosen: 0, asked: words[0] });
    this.found = found.map((each, i) => ({ ...each, at: i }));
    this.sheet = { url: this.find("img").src, columns: PICTURES, rows: 1 };
    this.whole = { columns: sheet[0], rows: sheet[1] };
    const credit = this.find(".es-credit").outerHTML;
    const tile = (i) => `<button type="button" data-kind="picture" data-i="${i}">
      <span class="es-picture"></span>${bar}</button>`;
    this.innerHTML = `
      <label class="es-field"><span>Find pictures of</span><input type="text" maxlength="80"
        value="${escapeHTML(words[0])}" autocomplete="off" autocapitalize="off" spellcheck="false"></label>
      <div class="pills" role="group" aria-label="Words to begin with">
        ${buttons("word", words.map(escapeHTML))}</div>
      <div class="es-parts">
        <div class="es-grid" role="group" aria-label="The best pictures">${range(PICTURES).map(tile).join("")}</div>
        <div class="es-called">
          <p class="es-head"><span class="es-picture"></span><span>This picture’s best names</span></p>
          <ol>${range(NAMES).map(() => `<li><span class="es-name"></span>${bar}</li>`).join("")}</ol>
          <p class="es-true"></p>
        </div>
      </div>
      <p class="es-answer" aria-live="polite"></p>
      <p class="es-help">${FETCHED}</p>
      ${credit}`;
    this.find("input").addEventListener("input", ({ target }) => this.ask(target.value));
    this.onPress("word", (i) => {
      this.find("input").value = words[i];
      this.ask(words[i]);
    });
    this.onPress("picture", (i) => {
      Object.assign(this, { chosen: i, pressed: true });
      this.name();
    });
  }

  // The model, and the sheet of all pictures.
  async fetched() {
    if (!this.model) this.say(".es-help", "The model is on its way …");
    this.model ??= await pageModel("emoji");
    const root = new URL(document.documentElement.dataset.content_root ?? "", document.baseURI);
    this.whole.url ??= new URL("_static/emoji/pictures.webp", root).href;
    this.say(".es-help", READY);
    return this.model;
  }

  // What is shown is of the last answer, and pale, until the next one is there.
  async ask(text) {
    Object.assign(this, { chosen: 0, pressed: false });
    this.press("word", this.words.indexOf(text));
    this.press("picture", 0);
    this.classList.add("es-waiting");
    try {
      const model = await this.fetched();
      const found = await model.newest({ search: { text }, most: PICTURES });
      if (!found || text !== this.find("input").value) return; // something newer is asked
      found.forEach((each) => (each.at = each.place));
      Object.assign(this, { found, asked: text, sheet: this.whole });
      await this.name();
      this.classList.remove("es-waiting");
    } catch (error) {
      this.say(".es-help", error.message);
    }
  }

  // The best names of the chosen picture.
  async name() {
    const { found, chosen } = this;
    this.press("picture", chosen);
    try {
      const model = await this.fetched();
      const called = await model.run({ search: { picture: found[chosen].place }, most: NAMES });
      if (this.found !== found || this.chosen !== chosen) return; // something newer is shown
      this.called = called;
      this.draw();
    } catch (error) {
      this.say(".es-help", error.message);
    }
  }

  paint(place, { at }) {
    const { url, columns, rows } = this.sheet;
    const [x, y] = [at % columns, Math.floor(at / columns)];
    const share = (i, n) => (n > 1 ? (100 * i) / (n - 1) : 0);
    place.style.backgroundImage = `url("${url}")`;
    place.style.backgroundSize = `${100 * columns}% ${100 * rows}%`;
    place.style.backgroundPosition = `${share(x, columns)}% ${share(y, rows)}%`;
  }

  // A bar and its number, of a picture or a name.
  weigh(place, { probability }) {
    place.querySelector("i").style.width = `${100 * probability}%`;
    place.querySelector(".es-share").textContent = percent(probability, 0);
  }

  draw() {
    const { found, called, chosen, asked } = this;
    const shown = found[chosen];
    this.press("word", this.words.indexOf(this.find("input").value));
    this.press("picture", chosen);
    this.all(".es-grid button").forEach((button, i) => {
      this.paint(button.firstElementChild, found[i]);
      this.weigh(button, found[i]);
      button.title = `${found[i].name}: cosine ${found[i].cosine.toFixed(2)}`;
      button.setAttribute("aria-label", `${found[i].name}, ${percent(found[i].probability, 0)}`);
    });
    this.paint(this.find(".es-head .es-picture"), shown);
    this.all(".es-called li").forEach((row, i) => {
      row.firstElementChild.textContent = called[i].name;
      row.classList.toggle("es-right", called[i].place === shown.place);
      this.weigh(row, called[i]);
    });
    const right = called.some(({ place }) => place === shown.place);
    this.say(".es-true", right ? "" : `Unicode calls it “${shown.name}”.`);
    const words = asked.trim() ? `“${asked.trim()}”` : "an empty text";
    this.say(
      ".es-answer",
      this.pressed
        ? `The best name of “${shown.name}”: ${called[0].name}.`
        : `The best picture for ${words}: ${shown.name}.`,
    );
  }
}

define("emoji-search", EmojiSearch);
