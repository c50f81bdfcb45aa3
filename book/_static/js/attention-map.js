// How much one patch, or the probe, takes from each patch, layer by layer and head by head. The
// drawing under its grid comes with the page; the script sets the veil and the number of each patch.

import { Touchable, clamp, define, percent, radios, range, sum } from "./touch.js";

class AttentionMap extends Touchable {
  // weights: thousandths, in the order [layer][head][query][key]; asker: who asks where there is a
  // single query.
  render({ weights, layers, heads, query, asker }) {
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
}

define("attention-map", AttentionMap);
