// A classifier made of text: each label, put into a template, becomes a row of 72 numbers; the
// drawing's product with each row is the score, and the largest one is the answer. The row under the
// pointer, or the one that has the focus, shows what its product is the sum of.

import { bars, heat, palette } from "./heat.js";
import { COLOURS, SHAPES, colourName, describe, label, paint, randomScene, raster } from "./scenes.js";
import { tiny } from "./tiny.js";
import { Touchable, buttons, define, escapeHTML, signed, sum } from "./touch.js";

const TEMPLATES = ["{}", "This is a photo of {}.", "a drawing of {}", "not {}"];
const CHIPS = ["label alone", ...TEMPLATES.slice(1)];
const SIDE = 160; // of the drawing, in CSS pixels
const FETCHED = "The model (0.9 MB) is fetched when you change something.";

// What a drawing shows, and five things that it doesn't.
function labelsFor({ items }) {
  const [n, colour, shape] = [items.length, colourName(items[0].fill), items[0].shape];
  const after = (names, name, steps) => names[(names.indexOf(name) + steps) % names.length];
  const [other, further] = [1, 3].map((steps) => after(Object.keys(SHAPES), shape, steps));
  const hue = after(Object.keys(COLOURS), colour, 5);
  return [
    label(n, colour, shape), label(n, colour, other), label(n, hue, shape),
    label((n % 4) + 1, colour, shape), label((n % 4) + 1, hue, other), label(n, hue, further),
  ];
}

class TextClassifier extends Touchable {
  // scene: of the drawing; image: its vector; texts: one vector for each label.
  render({ scene, labels, template, image, texts }) {
    Object.assign(this, { scene, labels: [...labels], template, image, texts, seed: 1 });
    this.given = [...labels]; // what the fields hold as long as the reader leaves them alone
    this.typed = labels.map(() => false);
    const strip = '<canvas class="cl-strip" aria-hidden="true"></canvas>';
    this.innerHTML = `
      <div class="cl-head">
        <canvas class="cl-drawing" width="${2 * SIDE}" height="${2 * SIDE}" role="img"
          aria-label="Drawing"></canvas>
        <div class="cl-told"><p aria-live="polite"><span>The winner:</span>
            <b class="cl-answer"></b></p>
          <p class="cl-prompt"></p>
          <button type="button" data-kind="next" data-i="0">Another drawing</button></div>
        <div class="pills" role="group" aria-label="Template"><b>Template</b>
          ${buttons("template", CHIPS.map(escapeHTML))}</div>
      </div>
      <div class="cl-row cl-image"><span>the drawing</span>${strip}<span>product</span></div>
      ${labels.map((label, i) => `<div class="cl-row cl-label"><input type="text" maxlength="60"
        aria-label="Label ${i + 1}" value="${escapeHTML(label)}" autocomplete="off"
        autocapitalize="off" spellcheck="false">${strip}
        <span class="cl-bar" aria-hidden="true"><i></i></span><output></output></div>`).join("")}
      <div class="cl-row cl-terms" aria-hidden="true"><span><span></span>
          <small></small></span><canvas></canvas><span>sum of ${image.length}</span><b></b></div>
      <p class="cl-help">${FETCHED}</p>`;
    this.listen();
    this.onResize(this.find(".cl-terms canvas"));
  }

  listen() {
    this.addEventListener("input", () => {
      this.labels = this.all("input").map(({ value }) => value);
      this.typed = this.labels.map((label, i) => label !== this.given[i]);
      this.ask();
    });
    this.onPress("template", (i) => {
      this.template = TEMPLATES[i];
      this.ask();
    });
    this.onPress("next", () => {
      this.scene = randomScene(this.seed++);
      this.given = labelsFor(this.scene);
      this.labels = this.given.map((label, i) => (this.typed[i] ? this.labels[i] : label));
      this.all("input").forEach((field, i) => (field.value = this.labels[i]));
      this.ask();
    });
    const point = (target) => {
      this.pointed = target?.closest(".cl-label") ?? this.find(".cl-label:focus-within");
      this.drawTerms();
    };
    this.addEventListener("pointerover", ({ target }) => point(target));
    this.addEventListener("focusin", ({ target }) => point(target));
    this.addEventListener("focusout", () => point());
    this.addEventListener("pointerleave", ({ pointerType }) => {
      if (pointerType !== "touch") point(); // a finger leaves when it is lifted
    });
  }

  // What is shown is of the last answer, and pale, until the next one is there.
  async ask() {
    this.classList.add("cl-waiting");
    this.drawQuestion();
    try {
      if (!this.model) this.say(".cl-help", "The model is on its way …");
      this.model ??= await tiny();
      const answer = await this.model.newest({ image: raster(this.scene), captions: this.prompts() });
      if (!answer) return; // something newer is asked
      [this.image, this.texts] = [answer.imageEmbeds, answer.textEmbeds];
      this.say(".cl-help", "Write a label of your own: it becomes a row at once, and nothing is trained.");
      this.classList.remove("cl-waiting");
      this.draw();
    } catch (error) {
      this.say(".cl-help", error.message);
    }
  }

  prompts() {
    return this.labels.map((label) => this.template.replace("{}", () => label));
  }

  drawQuestion() {
    const drawing = this.find(".cl-drawing");
    drawing.setAttribute("aria-label", describe(this.scene));
    paint(drawing.getContext("2d"), this.scene, drawing.width);
    this.press("template", TEMPLATES.indexOf(this.template));
  }

  draw() {
    this.drawQuestion();
    if (this.classList.contains("cl-waiting")) return;
    const colours = palette(this);
    this.terms = this.texts.map((row) => Array.from(row, (x, i) => x * this.image[i]));
    const products = this.terms.map(sum);
    const best = products.indexOf(Math.max(...products));
    this.drawBars(products);
    const [top, ...strips] = this.all(".cl-strip");
    heat(top, 1, this.image.length, this.image, colours.image, colours);
    strips.forEach((strip, i) => heat(strip, 1, this.texts[i].length, this.texts[i], colours.text, colours));
    this.sayAll(".cl-row output", products.map((product) => signed(product, 2)));
    this.all(".cl-label").forEach((row, i) => row.classList.toggle("cl-best", i === best));
    this.say(".cl-answer", this.labels[best].trim() || "the empty label");
    this.say(".cl-prompt", `“${this.prompts()[best]}”`);
    this.drawTerms();
  }

  // Those of the row that is pointed at, or of the best.
  drawTerms() {
    if (!this.terms || this.classList.contains("cl-waiting")) return;
    const rows = this.all(".cl-label");
    const row = this.pointed ?? this.find(".cl-best");
    const i = rows.indexOf(row);
    rows.forEach((each) => each.classList.toggle("cl-pointed", each === this.pointed));
    const colours = palette(this);
    bars(this.find(".cl-terms canvas"), this.terms[i], colours.joint, colours);
    this.say(".cl-terms span span", row.matches(".cl-best") ? "the winner" : "pointed at");
    this.say(".cl-terms small", this.labels[i].trim() || "the empty label");
    this.say(".cl-terms b", signed(sum(this.terms[i]), 2));
  }

  // From zero, all to the same scale.
  drawBars(products) {
    const [least, most] = [Math.min(0, ...products), Math.max(0, ...products)];
    const along = (value) => (100 * (value - least)) / (most - least || 1);
    this.all(".cl-bar").forEach((bar, i) => {
      const [from, to] = [0, products[i]].map(along).sort((a, b) => a - b);
      bar.style.setProperty("--zero", `${along(0)}%`);
      bar.classList.toggle("cl-negative", products[i] < 0);
      Object.assign(bar.firstChild.style, { left: `${from}%`, width: `${to - from}%` });
    });
  }
}

define("text-classifier", TextClassifier);
