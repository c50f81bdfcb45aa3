// How much one patch, or the probe, takes from each patch, layer by layer and head by head. The
// drawing under its grid comes with the page; the script sets the veil and the number of each patch.
// Where the weights are tiny's, the reader may draw another, and the model computes in the page.

import { Drawing } from "./drawing.js";
import { address, levels } from "./pixels.js";
import { randomScene } from "./scenes.js";
import { tiny } from "./tiny.js";
import { Touchable, buttons, clamp, define, percent, radios, range, sum } from "./touch.js";

const FIRST = 11; // what the reader's own drawing begins with where no scene is given

class AttentionMap extends Touchable {
  // weights: thousandths, in the order [layer][head][query][key]; asker: who asks where there is a
  // single query.
  render({ weights, layers, heads, query, asker, own, scene }) {
    Object.assign(this, { weights, layers, heads, asker });
    this.svg = this.find("svg");
    this.veils = this.all(".am-veil");
    this.keys = this.veils.length;
    this.side = Math.sqrt(this.keys);
    this.queries = weights.length / (layers.length * heads * this.keys);
    this.headNames = range(heads).map((i) => `head ${i}`);
    if (heads > 1) this.headNames.push("mean of heads");
    [this.layer, this.head, this.patch] = [0, this.headNames.length - 1, query];

    const choices = (kind, names, chosen) =>
      `<fieldset${names.length > 1 ? "" : " hidden"}><legend>${kind}</legend>
        ${radios(`${this.key}-${kind}`, names, chosen)}</fieldset>`;
    this.insertAdjacentHTML(
      "afterbegin",
      `<div class="am-choices pills">
        ${choices("layer", layers, 0)}${choices("head", this.headNames, this.head)}
      </div>`,
    );
    this.insertAdjacentHTML(
      "beforeend",
      `<div class="am-words">
        <p class="am-readout" id="${this.key}" aria-live="polite"></p>
        <p class="am-help">Point at a patch, or focus the drawing and use the arrow keys.</p>
      </div>`,
    );
    if (own) this.offerSheet(scene ?? randomScene(FIRST));
    this.svg.setAttribute("tabindex", "0");
    this.svg.setAttribute("aria-describedby", this.key);
    this.addEventListener("change", ({ target }) => {
      this[target.name.endsWith("-layer") ? "layer" : "head"] = Number(target.value);
      this.draw();
    });
    this.onPoint(this.svg, ({ clientX, clientY }) => {
      const patch = this.veils.indexOf(document.elementFromPoint(clientX, clientY));
      if (patch >= 0) this.go(patch);
    });
    this.onArrow(this.svg, (right, down) => {
      const x = clamp((this.patch % this.side) + right, 0, this.side - 1);
      const y = clamp(Math.floor(this.patch / this.side) + down, 0, this.side - 1);
      this.go(y * this.side + x);
    });
  }

  go(patch) {
    if (patch === this.patch) return;
    this.patch = patch;
    this.draw();
  }

  // Thousandths for each key; of the mean over the heads where that is chosen.
  row() {
    const query = this.queries === 1 ? 0 : this.patch;
    const heads = this.head < this.heads ? [this.head] : range(this.heads);
    return range(this.keys).map((key) => {
      const values = heads.map((head) => {
        const before = (this.layer * this.heads + head) * this.queries + query;
        return this.weights[before * this.keys + key];
      });
      return sum(values) / values.length;
    });
  }

  draw() {
    const row = this.row();
    const largest = Math.max(...row);
    const numbers = this.all(".am-number");
    row.forEach((weight, key) => {
      this.veils[key].setAttribute("fill-opacity", (0.8 * (1 - weight / largest)).toFixed(2));
      numbers[key].textContent = Math.floor((weight + 5) / 10) || "";
    });
    const [x, y] = ["x", "y"].map((name) => this.veils[this.patch].getAttribute(name));
    this.find(".am-mark").setAttribute("transform", `translate(${x} ${y})`);

    const name = (patch) =>
      `patch ${patch} (row ${Math.floor(patch / this.side)}, column ${patch % this.side})`;
    const where = `${this.layers[this.layer]}, ${this.headNames[this.head]}: `;
    const most = `takes most from ${name(row.indexOf(largest))}, ${percent(largest / 1000)}`;
    const marked = percent(row[this.patch] / 1000);
    this.say(
      ".am-readout",
      this.queries === 1
        ? `${where}${this.asker} ${most}; from ${name(this.patch)}, ${marked}.`
        : `${where}${name(this.patch)} ${most}; from itself, ${marked}.`,
    );
  }

  // ---- the reader's own drawing ------------------------------------------------------------------

  offerSheet(scene) {
    this.insertAdjacentHTML(
      "beforeend",
      `<div class="am-side">
        <div class="pills" role="group" aria-label="Which drawing">
          ${buttons("sheet", ["the book’s drawing", "your own"])}</div>
        <div class="am-sheet"></div>
      </div>`,
    );
    this.picture = this.find("image");
    this.printed = { weights: this.weights, href: this.picture.getAttribute("href") };
    this.drawing = new Drawing(this.find(".am-sheet"), scene, () => this.show(true));
    this.onPress("sheet", (i) => this.show(i === 1));
    this.press("sheet", 0);
  }

  // The reader's own drawing, or that of the book.
  show(own) {
    this.own = own;
    this.press("sheet", own ? 1 : 0);
    if (own) this.ask();
    else this.put(this.printed);
  }

  async ask() {
    const tower = "vision_model.encoder.layers";
    const names =
      this.queries === 1
        ? ["vision_model.head.attention.weights"]
        : this.layers.map((_, i) => `${tower}.${i}.self_attn.weights`);
    try {
      if (!this.model) this.say(".am-readout", "The model is on its way (0.9 MB) …");
      this.model ??= await tiny();
      const wanted = ["pixel_values", ...names];
      const image = this.drawing.pixels();
      const answer = await this.model.newest({ image, captions: [], wanted });
      if (!answer || !this.own) return;
      const { pixel_values: pixels, ...maps } = answer.tensors; // each map [1, H, Q, N]
      const weights = Object.values(maps).flatMap(({ data }) => Array.from(data, (w) => 1000 * w));
      this.put({ weights, href: address(levels(pixels)) });
    } catch (error) {
      this.say(".am-readout", error.message);
    }
  }

  put({ weights, href }) {
    this.weights = weights;
    this.picture.setAttribute("href", href);
    this.draw();
  }
}

define("attention-map", AttentionMap);
