// A digit that the reader draws, and three answers to it: tiny's as it is, tiny's after its text
// tower was taught, and the label of the nearest known digit, pixel by pixel. The first answer
// comes with the page; the model is fetched when the reader draws.

import { tiny } from "./tiny.js";
import { Touchable, buttons, clamp, define, fixed, percent, range, sigmoid, sum } from "./touch.js";

const SHEET = 128; // pixels a side of the drawing, as of NIST's characters
const PEN = 6.6; // its radius in them
const BOX = 32;
const WIDE = 20; // of the box
const SIDE = 8;
const STEP = 0.04; // of an arrow key
const START = [0.5, 0.2]; // of the pen that the arrow keys move
const MOST = 16; // ink of one of the 8 × 8
const NAMES = ["tiny, as it is", "tiny, taught", "raw pixels"];
const HINT = "Arrow keys move the pen; with Shift they draw.";

// ---- from a drawing to 8 × 8 --------------------------------------------------------------------
//
// The data set was made with NIST's programs (norm_2nd_gen and shear_mis, which belong to NISTIR
// 5469). They stretch a character to 20 × 32 whatever its shape, make it thicker or thinner by the
// number of its pixels, and push its rows sideways until it is upright.

const empty = () => new Uint8Array(BOX * BOX);

// A stroke from one point to another, in shares of the sheet.
export function ink(bitmap, [x0, y0], [x1, y1]) {
  const [ax, ay, bx, by] = [x0, y0, x1, y1].map((share) => share * SHEET);
  const length = (bx - ax) ** 2 + (by - ay) ** 2 || 1;
  const span = (a, b) =>
    [Math.min(a, b) - PEN, Math.max(a, b) + PEN].map((v) => clamp(Math.round(v), 0, SHEET));
  const [[left, right], [top, bottom]] = [span(ax, bx), span(ay, by)];
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const [u, v] = [x + 0.5 - ax, y + 0.5 - ay];
      const along = clamp((u * (bx - ax) + v * (by - ay)) / length, 0, 1);
      const far = (u - along * (bx - ax)) ** 2 + (v - along * (by - ay)) ** 2;
      if (far <= PEN ** 2) bitmap[y * SHEET + x] = 1;
    }
  }
}

// Which of n pixels each of m takes.
const picks = (n, m) =>
  range(m).map((i) => (n < m ? Math.ceil(((i + 0.5) * n) / m) - 1 : Math.floor((i * n) / m + 0.5)));

// The part with ink, in the middle of the box; nothing, where there is no ink.
function stretch(bitmap) {
  const inked = range(SHEET * SHEET).filter((i) => bitmap[i]);
  if (!inked.length) return undefined;
  const rows = inked.map((i) => Math.floor(i / SHEET));
  const columns = inked.map((i) => i % SHEET);
  const [top, left] = [rows[0], columns.reduce((a, b) => Math.min(a, b))];
  const across = picks(columns.reduce((a, b) => Math.max(a, b)) - left + 1, WIDE);
  const box = empty();
  picks(rows.at(-1) - top + 1, BOX).forEach((row, y) =>
    across.forEach((column, x) => {
      box[y * BOX + (BOX - WIDE) / 2 + x] = bitmap[(top + row) * SHEET + left + column];
    }),
  );
  return box;
}

// Ink, or its absence, spreads to the four neighbours. Beyond the border there is no ink.
const spread = (box, value) =>
  box.map((own, i) => {
    const x = i % BOX;
    const around = [x > 0 && box[i - 1], x < BOX - 1 && box[i + 1], box[i - BOX], box[i + BOX]];
    return own === value || around.some((each) => Number(each || 0) === value) ? value : 1 - value;
  });

function evenOut(box) {
  const pixels = sum([...box]);
  if (pixels > 560) return spread(spread(box, 0), 0);
  if (pixels > 412) return spread(box, 0);
  if (pixels < 108) return spread(spread(box, 1), 1);
  return pixels < 256 ? spread(box, 1) : box;
}

// Until the leftmost ink of the third row is over that of the third row from below.
function setUpright(box) {
  const first = (y) => box.subarray(y * BOX, (y + 1) * BOX).indexOf(1);
  const inked = range(BOX).filter((y) => first(y) >= 0);
  const [top, bottom] = [inked[0] + 2, inked.at(-1) - 2];
  if (inked.length < 6 || first(top) < 0 || first(bottom) < 0) return box;
  const slope = (first(top) - first(bottom)) / (bottom - top);
  const upright = empty();
  for (const y of inked) {
    const shift = (y - BOX / 2) * slope;
    const push = Math.sign(shift) * Math.round(Math.abs(shift));
    for (const x of range(BOX)) {
      if (box[y * BOX + x] && x + push >= 0 && x + push < BOX) upright[y * BOX + x + push] = 1;
    }
  }
  return upright;
}

// The bitmap of a drawing to the counts of 4 × 4 pixels, each 0 to 16.
export function blocks(bitmap) {
  const counts = new Array(SIDE * SIDE).fill(0);
  const box = stretch(bitmap);
  if (!box) return counts;
  setUpright(evenOut(box)).forEach((one, i) => {
    const [x, y] = [i % BOX, Math.floor(i / BOX)].map((at) => Math.floor((at * SIDE) / BOX));
    counts[y * SIDE + x] += one;
  });
  return counts;
}

// ---- three answers ------------------------------------------------------------------------------

const levels = (counts) => counts.map((n) => Math.round((n * 255) / MOST)); // of ink
const product = (a, b) => a.reduce((all, value, i) => all + value * b[i], 0);

// As a canvas has it: black ink on white.
export const picture = (counts) => ({
  width: SIDE,
  height: SIDE,
  data: Uint8ClampedArray.from(levels(counts).flatMap((n) => [255 - n, 255 - n, 255 - n, 255])),
});

const bestOf = (values) => values.indexOf(Math.max(...values));

// Of ten captions: their shares by softmax, and the best one's own probability.
export function name(image, { texts, t, b }) {
  const logits = texts.map((text) => t * product(image, text) + b);
  const best = bestOf(logits);
  const powers = logits.map((logit) => Math.exp(logit - logits[best]));
  return { best, bars: powers.map((power) => power / sum(powers)), logit: logits[best] };
}

// Of each digit: the cosine of the nearest one. `place` is that of the nearest of all.
export function nearest(counts, known) {
  const own = levels(counts);
  const length = Math.sqrt(product(own, own));
  const cosines = known.map(({ levels, length: other }) => product(own, levels) / (length * other));
  const place = bestOf(cosines);
  const of = (digit) => cosines.filter((_, i) => known[i].digit === digit);
  const bars = range(10).map((digit) => Math.max(...of(digit)));
  return { best: known[place].digit, bars, place, cosine: cosines[place] };
}

// A letter a pixel, from a on.
export const read = (text) =>
  range(text.length / SIDE ** 2).map((i) =>
    [...text.slice(i * SIDE ** 2, (i + 1) * SIDE ** 2)].map((sign) => sign.charCodeAt(0) - 97),
  );

export const remember = (text, labels) =>
  read(text).map((counts, i) => {
    const own = levels(counts);
    const length = Math.sqrt(product(own, own));
    return { counts, digit: Number(labels[i]), levels: own, length };
  });

// ---- the figure ---------------------------------------------------------------------------------

function show(canvas, counts) {
  const { width, height, data } = picture(counts);
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
}

class DigitPad extends Touchable {
  // known, presets: pixels and labels; asIs, taught: text vectors, t and b; right: how often each
  // of the three is, of how many `tested`; image: tiny's vector of the first preset.
  render({ known, presets, asIs, taught, right, tested, image }) {
    this.known = remember(known.pixels, known.labels);
    this.presets = read(presets.pixels);
    Object.assign(this, { ways: [asIs, taught], labels: presets.labels });
    const pixels = '<canvas class="dp-pixels"></canvas>';
    const row = (digit) => `<li><b>${digit}</b><span class="dp-bar"><i></i></span></li>`;
    const way = (i) => `<div class="dp-way"><p class="dp-name">${NAMES[i]}</p>
      <p class="dp-right">right on ${percent(right[i], 0)}</p>
      <p class="dp-best"></p><ol>${range(10).map(row).join("")}</ol>
      <p class="dp-foot">${i < 2 ? "" : pixels}<span></span></p></div>`;
    this.innerHTML = `
      <div class="dp-parts">
        <div class="dp-draw">
          <p class="dp-title">Draw a digit
            <button type="button" data-kind="again" data-i="0">Clear</button></p>
          <div class="dp-paper">
            <canvas class="dp-sheet" tabindex="0" role="application" aria-roledescription="drawing"
              aria-label="Sheet for a digit. ${HINT}"></canvas>
            <p class="dp-here" aria-hidden="true"></p>
          </div>
          <p class="dp-or">or take one of the test digits</p>
          <div class="dp-presets" role="group" aria-label="Test digits">
            ${buttons("preset", this.presets.map(() => pixels))}</div>
        </div>
        <div class="dp-asked">
          <p class="dp-given">${pixels}
            <span>What all three are given: 8 × 8 pixels, made from the drawing in the way the data
              set was made.</span></p>
          <div class="dp-ways">${range(3).map(way).join("")}</div>
        </div>
      </div>
      <p class="dp-answer" aria-live="polite"></p>
      <p class="dp-help"></p>`;
    this.explained =
      "Bars: the ten captions’ shares by softmax; below them, the best one’s own probability. " +
      "Raw pixels: the cosine of the nearest of 16 known digits of each kind; below, the nearest " +
      `of all. “Right” counts ${tested} test digits. Your drawing is not from that data set.`;
    this.say(".dp-help", `${this.explained} tiny (0.9 MB) is fetched when you begin.`);
    this.all(".dp-presets button").forEach((button, i) => {
      button.setAttribute("aria-label", `A test digit: ${presets.labels[i]}`);
      show(button.firstElementChild, this.presets[i]);
    });
    this.onPress("preset", (i) => {
      this.take(i);
      this.change();
    });
    this.onPress("again", () => {
      this.wipe();
      this.change();
    });
    this.listen(this.find(".dp-sheet"));
    this.onResize(this.find(".dp-sheet"));
    this.take(0);
    this.answer(image);
  }

  // ---- the hand ---------------------------------------------------------------------------------

  listen(sheet) {
    this.onDrag(sheet, ({ type, buttons, clientX, clientY }) => {
      if (!(buttons & 1)) return;
      const { left, top, width, height } = sheet.getBoundingClientRect();
      if (type === "pointerdown") this.pen = undefined;
      this.drawTo([clamp((clientX - left) / width, 0, 1), clamp((clientY - top) / height, 0, 1)]);
    });
    this.onArrow(sheet, (right, down, { shiftKey }) => {
      const [x, y] = this.pen ?? START;
      const next = [clamp(x + STEP * right, 0, 1), clamp(y + STEP * down, 0, 1)];
      if (shiftKey) this.drawTo(next);
      this.pen = next;
      this.drawSheet();
    });
    for (const kind of ["focus", "blur"]) sheet.addEventListener(kind, () => this.drawSheet());
  }

  drawTo(next) {
    const from = this.pen ?? next;
    if (this.chosen !== undefined) this.wipe(); // a test digit makes room
    ink(this.bitmap, from, next);
    this.lines.push([from, next]);
    this.pen = next;
    this.change();
  }

  wipe() {
    Object.assign(this, { bitmap: new Uint8Array(SHEET ** 2), lines: [], chosen: undefined });
    this.pen = undefined;
  }

  take(i) {
    this.wipe();
    this.chosen = i;
  }

  // ---- the answers ------------------------------------------------------------------------------

  // The three are asked once a frame at most.
  change() {
    this.drawSheet();
    this.press("preset", this.chosen);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.ask();
    });
  }

  get counts() {
    return this.chosen === undefined ? blocks(this.bitmap) : this.presets[this.chosen];
  }

  async ask() {
    const asked = { counts: this.counts, chosen: this.chosen };
    const blank = !asked.counts.some(Boolean);
    this.asked = asked;
    if (blank || !this.model) this.answer(undefined, asked);
    if (blank) return;
    try {
      if (!this.model) this.say(".dp-help", "tiny is on its way (0.9 MB) …");
      this.model ??= await tiny();
      this.say(".dp-help", this.explained);
      const answer = await this.model.newest({ image: picture(asked.counts), captions: [] });
      if (answer && this.asked.counts.some(Boolean)) this.answer(answer.imageEmbeds, asked);
    } catch (error) {
      this.say(".dp-help", error.message);
    }
  }

  // What is shown belongs to one picture, also while the hand moves on. Without tiny's vector of
  // it, the pixels answer alone.
  answer(image, { counts, chosen } = this) {
    const blank = !counts.some(Boolean);
    const named = this.ways.map((way) => image && name(image, way));
    const found = [...named, blank ? undefined : nearest(counts, this.known)];
    this.shown = { counts, chosen, found };
    this.draw();
  }

  draw() {
    const { counts, chosen, found } = this.shown;
    this.press("preset", this.chosen);
    this.drawSheet();
    show(this.find(".dp-given canvas"), counts);
    this.all(".dp-way").forEach((place, i) => this.drawWay(place, found[i]));
    this.sayAll(".dp-foot span", found.map((each) => {
      if (!each) return "";
      if (each.cosine) return `cosine ${fixed(each.cosine, 2)}`;
      return `probability ${percent(sigmoid(each.logit), 0)}`;
    }));
    show(this.find(".dp-foot canvas"), found[2] ? this.known[found[2].place].counts : counts);
    const [asIs, taught, pixels] = found.map((each) => each?.best);
    const drawn = chosen === undefined ? "Your digit" : `This ${this.labels[chosen]}`;
    const said = asIs === undefined ? "" : `tiny says ${asIs}, taught ${taught}; `;
    const answer = `${drawn}: ${said}the nearest known digit is ${pixels}.`;
    this.say(".dp-answer", found[2] ? answer : "Nothing is drawn yet.");
  }

  drawWay(place, found) {
    place.querySelector(".dp-best").textContent = found?.best ?? "–";
    place.querySelectorAll("li").forEach((row, digit) => {
      row.classList.toggle("dp-is-best", found?.best === digit);
      row.querySelector("i").style.width = `${100 * clamp(found?.bars[digit] ?? 0, 0, 1)}%`;
    });
  }

  // Ink and paper have the same colours in a dark page.
  drawSheet() {
    const sheet = this.find(".dp-sheet");
    const size = Math.round(sheet.clientWidth * (globalThis.devicePixelRatio || 1));
    if (!size) return;
    if (sheet.width !== size) sheet.width = sheet.height = size;
    const brush = sheet.getContext("2d");
    const stroke = (colour, width) => {
      Object.assign(brush, { strokeStyle: colour, lineWidth: width, lineCap: "round" });
      brush.stroke();
    };
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, size, size);
    if (this.chosen !== undefined) {
      const small = document.createElement("canvas");
      show(small, this.presets[this.chosen]);
      brush.imageSmoothingEnabled = false;
      brush.drawImage(small, 0.14 * size, 0.12 * size, 0.72 * size, 0.72 * size);
    }
    brush.beginPath();
    for (const [[x0, y0], [x1, y1]] of this.lines) {
      brush.moveTo(x0 * size, y0 * size);
      brush.lineTo(x1 * size, y1 * size);
    }
    stroke("#000", (2 * PEN * size) / SHEET);
    const keys = sheet.matches(":focus-visible");
    if (keys) {
      const [x, y] = this.pen ?? START;
      brush.beginPath();
      brush.arc(x * size, y * size, (PEN * size) / SHEET, 0, 2 * Math.PI);
      stroke("#fff", size / 45);
      stroke("#000", size / 120);
    }
    const invites = this.lines.length ? "" : "draw your own here";
    this.say(".dp-here", keys ? HINT : invites);
  }
}

define("digit-pad", DigitPad);
