// A sheet to draw on, with its tools: for any figure that wants the reader's own drawing. `changed`
// is called after every movement of the hand; `pixels()` are what a model is given.
//
// One rule: a shape can be dragged, or pressed to take it; pressing on the sheet lets go of what is
// taken, or else puts a new one there. What is taken changes with the colour, the shape and the size.

import {
  COLOURS, SHAPES, SIZES, colourName, covers, css, describe, isStamp, outlines, paint, randomScene,
  raster, sizeName, snap,
} from "./scenes.js";
import { clamp } from "./touch.js";

const middle = ([least, most]) => (least + most) / 2;
const RADII = Object.fromEntries(Object.entries(SIZES).map(([name, span]) => [name, middle(span)]));
const BRUSHES = { small: 0.025, large: 0.06 };
const STEP = 0.025; // of an arrow key
const DENSE = 0.012; // points of a stroke are at least so far apart
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Of a scene: its items are replaced, never changed.
const copy = (scene) => ({ ...scene, items: [...scene.items] });

const icon = (paths) =>
  `<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">${paths}</svg>`;
const line = (d) =>
  `<path d="${d}" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"
    stroke-linejoin="round"/>`;
const shapeIcon = (shape) => {
  const rings = outlines({ shape, x: 0.5, y: 0.5, radius: 0.4, angle: 0 }, 24);
  const path = rings.filter((corners) => corners.length).map((corners) =>
    `M${corners.map((corner) => corner.map((v) => v.toFixed(1)).join(" ")).join("L")}Z`,
  );
  return icon(`<path d="${path.join("")}" fill="currentColor" fill-rule="evenodd"/>`);
};
const ICONS = {
  brush: icon(line("M4 20c4 0 5-2 5-4M9 16l10-11a1.5 1.5 0 0 1 2 2L11 18")),
  eraser: icon(line("M9 20h11M5 15l9-10 6 5-8 10H9l-4-3z")),
  undo: icon(line("M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3")),
  clear: icon(line("M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13")),
  shuffle: icon(line("M3 6h4l10 12h4M3 18h4l3-4M14 9l3-3h4M18 3l3 3-3 3M18 15l3 3-3 3")),
};

const button = (kind, value, name, inside, extra = "") =>
  `<button type="button" data-${kind}="${value}" title="${name}" aria-label="${name}" ${extra}>
    ${inside}</button>`;

export class Drawing {
  // `place` is emptied; `shuffled` may be given for what else follows from a new scene.
  constructor(place, scene, changed, { shuffled = () => {}, seed = 1 } = {}) {
    Object.assign(this, { place, scene: copy(scene), changed, shuffled, seed });
    Object.assign(this, { tool: "circle", colour: "red", size: "large", taken: null, before: [] });
    this.like(scene);
    place.classList.add("drawing");
    place.innerHTML = `
      <canvas class="dr-sheet" tabindex="0" role="application" aria-roledescription="drawing"
        aria-label="Drawing">
      </canvas>
      <div class="dr-tools">
        <div class="dr-row" role="group" aria-label="Shapes to place">
          ${Object.keys(SHAPES).map((name) => button("tool", name, name, shapeIcon(name))).join("")}
        </div>
        <div class="dr-row" role="group" aria-label="Colours">
          ${Object.entries(COLOURS).map(([name, fill]) =>
            button("colour", name, name, "", `style="--fill: ${css(fill)}"`)).join("")}
        </div>
        <div class="dr-row">
          ${["brush", "eraser"].map((name) => button("tool", name, name, ICONS[name])).join("")}
          <i></i>
          ${["small", "large"].map((name) =>
            button("size", name, name, `<b class="dr-${name}"></b>`)).join("")}
          <i></i>
          ${["undo", "clear"].map((name) => button("act", name, name, ICONS[name])).join("")}
          <button type="button" class="dr-shuffle" data-act="shuffle">
            ${ICONS.shuffle} Shuffle</button>
        </div>
      </div>
      <div class="dr-words"><p class="dr-hint"></p>
        <p class="dr-keys">Arrow keys move. Enter adds, takes or lets go; Delete removes. With the
          brush, Shift and an arrow draw.</p></div>`;
    this.sheets = [];
    place.addEventListener("click", ({ target }) => {
      const { tool, colour, size, act } = target.closest("button")?.dataset ?? {};
      if (tool) this.choose("tool", tool);
      if (colour) this.choose("colour", colour);
      if (size) this.choose("size", size);
      if (act) this[act]();
    });
    this.join(place.querySelector("canvas"));
  }

  // A canvas becomes a sheet of this drawing: the first one, or one more of the same.
  join(sheet) {
    this.sheets.push(sheet);
    this.listen(sheet);
    this.draw();
    new ResizeObserver(() => this.draw()).observe(sheet);
  }

  pixels() {
    return raster(this.scene);
  }

  // Another scene; it can be undone.
  show(scene) {
    this.keep();
    this.scene = copy(scene);
    this.letGo();
    this.after();
  }

  letGo() {
    this.hand = this.taken = null;
  }

  undo() {
    if (!this.before.length) return;
    this.scene = this.before.pop();
    this.letGo();
    this.after();
  }

  // For `undo`, before something changes.
  keep() {
    this.before.push(copy(this.scene));
    if (this.before.length > 100) this.before.shift();
  }

  after() {
    this.draw();
    this.changed();
  }

  // What is added next resembles what a scene begins with.
  like({ items }) {
    const first = items.find(isStamp);
    if (!first) return;
    const { shape, fill, radius } = first;
    Object.assign(this, { tool: shape, colour: colourName(fill), size: sizeName(radius) });
  }

  get paints() {
    return this.tool === "brush" || this.tool === "eraser";
  }

  stamp(x, y) {
    const radius = RADII[this.size];
    return snap({ shape: this.tool, fill: COLOURS[this.colour], x, y, radius, angle: 0 });
  }

  // The place among the items of the topmost stamp at a point, or null.
  at(x, y) {
    const place = this.scene.items.findLastIndex(
      (item) => isStamp(item) && covers(item, x, y),
    );
    return place < 0 ? null : place;
  }

  replace(place, change) {
    this.scene.items[place] = snap({ ...this.scene.items[place], ...change });
  }

  // ---- the hand ---------------------------------------------------------------------------------

  listen(sheet) {
    const point = ({ clientX, clientY }) => {
      const box = sheet.getBoundingClientRect();
      const share = (at, start, length) => clamp((at - start) / length, 0, 1);
      return [share(clientX, box.left, box.width), share(clientY, box.top, box.height)];
    };
    sheet.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      sheet.setPointerCapture(event.pointerId);
      this.cursor = null;
      const [x, y] = point(event);
      this.grips = this.paints || this.at(x, y) !== null;
      this.down(x, y);
    });
    // A finger that comes down on bare paper may be about to scroll the page.
    const hold = (event) => this.grips && event.preventDefault();
    sheet.addEventListener("touchstart", hold, { passive: false });
    sheet.addEventListener("pointermove", (event) => {
      const [x, y] = point(event);
      if (this.hand) this.hand(x, y);
      else if (event.pointerType === "mouse") this.hover(sheet, x, y);
    });
    sheet.addEventListener("pointerup", () => this.release());
    sheet.addEventListener("pointercancel", () => {
      this.release();
      if (!this.grips) this.undo(); // it did scroll
    });
    sheet.addEventListener("pointerleave", () => this.hover(sheet));
    sheet.addEventListener("keydown", (event) => this.key(event));
    sheet.addEventListener("focus", () => {
      if (sheet.matches(":focus-visible")) this.cursor ??= [0.5, 0.5];
      this.draw();
    });
    sheet.addEventListener("blur", () => {
      this.cursor = null;
      this.draw();
    });
  }

  // What was dragged is let go of, what was only pressed stays taken.
  release() {
    this.hand = null;
    if (this.dragged) this.taken = null;
    this.dragged = false;
    this.draw();
  }

  down(x, y) {
    this.ghost = null;
    if (this.paints) {
      this.keep();
      const fill = this.tool === "eraser" ? null : COLOURS[this.colour];
      const stroke = snap({ fill, radius: BRUSHES[this.size], points: [x, y] });
      const place = this.scene.items.push(stroke) - 1;
      this.hand = (u, v) => {
        const { points } = this.scene.items[place];
        if (Math.hypot(u - points.at(-2), v - points.at(-1)) < DENSE) return;
        this.replace(place, { points: [...points, u, v] });
        this.after();
      };
      return this.after();
    }
    const place = this.at(x, y);
    if (place === null && this.taken !== null) {
      this.taken = null;
      return this.draw();
    }
    if (place === null) this.keep();
    let kept = place === null;
    this.dragged = false;
    this.taken = place;
    const moved = place ?? this.scene.items.push(this.stamp(x, y)) - 1;
    const { x: startX, y: startY } = this.scene.items[moved];
    this.hand = (u, v) => {
      if (!kept) this.keep();
      kept = this.dragged = true;
      this.replace(moved, { x: clamp(startX + u - x, 0, 1), y: clamp(startY + v - y, 0, 1) });
      this.after();
    };
    if (place === null) this.after();
    else this.draw();
  }

  hover(sheet, x, y) {
    const free = x !== undefined && !this.paints && this.taken === null && this.at(x, y) === null;
    this.ghost = free ? this.stamp(x, y) : null;
    const grab = x !== undefined && !this.paints && this.at(x, y) !== null;
    sheet.style.cursor = grab ? "grab" : "crosshair";
    this.draw();
  }

  choose(kind, value) {
    this[kind] = value;
    if (this.paints) this.taken = null;
    if (this.taken === null) return this.draw();
    this.keep();
    const change = { tool: { shape: value }, colour: { fill: COLOURS[value] },
      size: { radius: RADII[value] } }[kind];
    this.replace(this.taken, change);
    this.after();
  }

  clear() {
    this.show({ ...this.scene, items: [] });
  }

  shuffle() {
    this.seed += 1;
    this.show(randomScene(this.seed));
    const { tool, paints } = this;
    this.like(this.scene);
    if (paints) this.tool = tool;
    this.draw();
    this.shuffled(this.scene);
  }

  // ---- the keys ---------------------------------------------------------------------------------

  key(event) {
    const { key, shiftKey, ctrlKey, metaKey } = event;
    if ((ctrlKey || metaKey) && key === "z") this.undo();
    else if (KEYS[key]) this.step(KEYS[key], shiftKey);
    else if (key === "Enter" || key === " ") this.put();
    else if (key === "Escape" && this.taken !== null) this.taken = null;
    else if ((key === "Delete" || key === "Backspace") && this.taken !== null) this.remove();
    else return;
    event.preventDefault();
    this.draw();
  }

  step([right, down], draws) {
    if (this.taken !== null) {
      const { x, y } = this.scene.items[this.taken];
      this.keep();
      const move = { x: clamp(x + right * STEP, 0, 1), y: clamp(y + down * STEP, 0, 1) };
      this.replace(this.taken, move);
      this.cursor = [move.x, move.y];
      return this.after();
    }
    const [x, y] = this.cursor ?? [0.5, 0.5];
    this.cursor = [clamp(x + right * STEP, 0, 1), clamp(y + down * STEP, 0, 1)];
    if (!this.paints || !draws) return;
    this.down(x, y);
    this.hand(...this.cursor);
    this.hand = null;
  }

  // Takes the shape under the cursor, or lets go of it, or puts a new one there.
  put() {
    if (this.taken !== null) {
      this.taken = null;
      return;
    }
    this.cursor ??= [0.5, 0.5];
    this.down(...this.cursor);
    this.hand = null;
  }

  remove() {
    this.keep();
    this.scene.items.splice(this.taken, 1);
    this.taken = null;
    this.after();
  }

  // ---- what is seen -----------------------------------------------------------------------------

  draw() {
    const shown = { tool: this.tool, colour: this.colour, size: this.size };
    if (this.taken !== null) {
      const { shape, fill, radius } = this.scene.items[this.taken];
      Object.assign(shown, { tool: shape, colour: colourName(fill), size: sizeName(radius) });
    }
    for (const [kind, value] of Object.entries(shown)) {
      for (const each of this.place.querySelectorAll(`[data-${kind}]`)) {
        each.setAttribute("aria-pressed", String(each.dataset[kind] === value));
      }
    }
    this.place.querySelector("[data-act=undo]").disabled = !this.before.length;
    const hint = this.hint(shown);
    this.place.querySelector(".dr-hint").textContent = hint;
    const keys = this.place.querySelector(".dr-keys").textContent;
    for (const sheet of this.sheets) {
      sheet.setAttribute("aria-label", `Drawing: ${describe(this.scene)}. ${hint} ${keys}`);
      this.drawSheet(sheet);
    }
  }

  drawSheet(sheet) {
    const { scene } = this;
    const size = Math.round(sheet.clientWidth * (globalThis.devicePixelRatio || 1));
    if (!size) return;
    if (sheet.width !== size) sheet.width = sheet.height = size;
    const pen = sheet.getContext("2d");
    paint(pen, scene, size);
    const keys = this.cursor && !this.paints && this.taken === null;
    const ghost = keys ? this.stamp(...this.cursor) : this.ghost;
    if (ghost) {
      pen.globalAlpha = 0.35;
      paint(pen, { background: scene.background, items: [ghost] }, size, false);
      pen.globalAlpha = 1;
    }
    if (this.taken !== null) {
      const { x, y, radius } = scene.items[this.taken];
      this.frame(pen, x, y, radius * 1.15, size);
    } else if (this.cursor) this.frame(pen, ...this.cursor, 0.02, size);
  }

  // Two dashes, dark in light, are seen on every colour.
  frame(context, x, y, half, size) {
    const box = [x - half, y - half, 2 * half, 2 * half].map((share) => share * size);
    context.lineWidth = size / 150;
    for (const [colour, dash] of [["#fff", []], ["#14181e", [size / 60, size / 60]]]) {
      context.strokeStyle = colour;
      context.setLineDash(dash);
      context.strokeRect(...box);
    }
    context.setLineDash([]);
  }

  hint({ tool, colour }) {
    if (this.taken !== null) {
      return `You hold this ${colour} ${tool}: change its colour, shape or size, or drag it. Press `
        + "bare paper to let go.";
    }
    if (tool === "brush") return `Draw in ${colour}.`;
    if (tool === "eraser") return "Rub out what is too much.";
    return `Press on the sheet to add a ${colour} ${tool}. Drag a shape, or press it to change it.`;
  }
}
