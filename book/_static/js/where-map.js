// Where in the reader's own drawing does tiny find a caption? Patch after patch is covered with the
// paper's colour, and the logit tells what was lost; or the head's attention, which reads no caption.

import { Drawing } from "./drawing.js";
import { address, levels } from "./pixels.js";
import { tiny } from "./tiny.js";
import { Touchable, buttons, define, escapeHTML, fixed, percent, range, sum } from "./touch.js";

const WAYS = ["cover each patch", "attention"];
const ATTENTION = "vision_model.head.attention.weights";
const [PATCH, GRID] = [6, 6]; // pixels, patches along a side
const [SIDE, EDGE] = [40, PATCH * GRID]; // beyond the edge lies no patch
const FALLS = 0.05; // from here on a fall is written
const FULL = [2, 0.1]; // a fall, or a share, that is fully coloured unless a larger one is there

const name = (patch) => `row ${Math.floor(patch / GRID)}, column ${patch % GRID}`;

class WhereMap extends Touchable {
  // Of the first drawing: its scene, its pixels as an address, a caption, the logit, and for each
  // patch the fall of the logit and the attention.
  render({ scene, picture, caption, logit, falls, attention }) {
    const cells = range(GRID ** 2).map((i) => {
      const [x, y] = [PATCH * (i % GRID), PATCH * Math.floor(i / GRID)];
      return `<rect class="wm-cell" x="${x}" y="${y}" width="${PATCH}" height="${PATCH}" />
        <text x="${x + PATCH / 2}" y="${y + PATCH / 2}"></text>`;
    });
    this.innerHTML = `
      <div class="wm-parts">
        <div class="wm-sheet"></div>
        <div>
          <div class="pills" role="group" aria-label="Which map">${buttons("way", WAYS)}</div>
          <svg viewBox="0 0 ${SIDE} ${SIDE}" role="img" aria-label="The drawing under its map">
            <image width="${SIDE}" height="${SIDE}" />
            <path class="wm-margin" d="M${EDGE} 0H${SIDE}V${SIDE}H0V${EDGE}H${EDGE}Z" />${cells.join("")}
            <rect class="wm-most" width="${PATCH}" height="${PATCH}" />
          </svg>
          <label class="wm-asked"><span>where is</span>
            <input type="text" maxlength="60" value="${escapeHTML(caption)}"></label>
        </div>
      </div>
      <p class="wm-readout" aria-live="polite"></p>`;
    Object.assign(this, { way: 0, picture, found: { logit, falls, attention } });
    this.drawing = new Drawing(this.find(".wm-sheet"), scene, () => this.ask());
    this.find(".wm-asked input").addEventListener("input", () => this.ask());
    this.onPress("way", (i) => {
      this.way = i;
      this.draw();
    });
  }

  // What is asked last is answered; an answer that grows patch by patch ends when a newer one begins.
  async ask() {
    const asked = (this.asked = {});
    const late = () => this.asked !== asked;
    const captions = [this.find(".wm-asked input").value.trim()];
    if (!captions[0]) return this.say(".wm-readout", "Write a caption first.");
    const { background } = this.drawing.scene;
    try {
      if (!this.model) this.say(".wm-readout", "The model is on its way (0.9 MB) …");
      this.model ??= await tiny();
      const image = this.drawing.pixels();
      const wanted = ["pixel_values", ATTENTION];
      const whole = await this.model.newest({ image, captions, wanted });
      if (!whole || late()) return;
      const seen = levels(whole.tensors.pixel_values);
      const heads = whole.tensors[ATTENTION]; // [1, H, 1, N]
      const each = range(GRID ** 2);
      const attention = each.map((i) => {
        const shares = range(heads.shape[1]).map((head) => heads.data[head * GRID ** 2 + i]);
        return sum(shares) / shares.length;
      });
      this.picture = address(seen);
      this.found = { logit: whole.logits[0], attention, falls: [] };
      for (const i of each) {
        this.draw();
        const covered = await this.model.run({ image: cover(seen, i, background), captions });
        if (late()) return;
        this.found.falls.push(whole.logits[0] - covered.logits[0]);
      }
      this.draw();
    } catch (error) {
      this.say(".wm-readout", error.message);
    }
  }

  draw() {
    const { logit, falls, attention } = this.found;
    const values = this.way ? attention : falls;
    const most = Math.max(...values, FALLS);
    const full = Math.max(most, FULL[this.way]);
    const best = values.indexOf(most);
    const whole = values.length === GRID ** 2;
    this.press("way", this.way);
    this.find("image").setAttribute("href", this.picture);
    const words = this.all("svg text");
    this.all(".wm-cell").forEach((cell, i) => {
      const value = values[i] ?? 0;
      cell.classList.toggle("wm-rises", value < 0);
      cell.style.fillOpacity = Math.min(0.75, (0.75 * Math.abs(value)) / full);
      const written = this.way ? percent(value, 0).replace("\u00a0%", "") : fixed(value, 1);
      words[i].textContent = Math.abs(value) < (this.way ? 0.015 : FALLS) ? "" : written;
    });
    const frame = this.find(".wm-most");
    frame.style.visibility = whole && best >= 0 ? "visible" : "hidden";
    frame.setAttribute("x", PATCH * (best % GRID));
    frame.setAttribute("y", PATCH * Math.floor(best / GRID));
    this.say(".wm-readout", this.words(logit, values, best, whole));
  }

  words(logit, values, best, whole) {
    if (this.way) {
      return best < 0
        ? "The head attends to all patches nearly alike. No caption enters."
        : `The head attends most to ${name(best)}: ${percent(values[best], 0)}. No caption enters.`;
    }
    const before = `The logit is ${fixed(logit, 1)}. `;
    if (!whole) return `${before}${values.length} of ${GRID ** 2} patches covered …`;
    if (best < 0) return `${before}No patch lowers it by as much as ${FALLS} when it is covered.`;
    return `${before}It falls most, by ${fixed(values[best], 1)}, when ${name(best)} is covered.`;
  }
}

// The picture with one patch in the paper's colour.
function cover({ width, height, data }, patch, paper) {
  const picture = new ImageData(new Uint8ClampedArray(data), width, height);
  const [left, top] = [PATCH * (patch % GRID), PATCH * Math.floor(patch / GRID)];
  for (let y = top; y < top + PATCH; y++) {
    for (let x = left; x < left + PATCH; x++) picture.data.set(paper, 4 * (y * width + x));
  }
  return picture;
}

define("where-map", WhereMap);
