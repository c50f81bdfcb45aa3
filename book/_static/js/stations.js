// The stations of the walk: what each shows small, on its card, and large, once it is opened.
// `home` is the figure they stand in: it has the answer of the model, the drawing, the caption that
// is followed, and the patch, the piece and the number that the reader points at, which all
// stations share.

import { bars, clean, frame, heat, largest, margin, pixels, tone, veils } from "./heat.js";
import { clamp, fixed, percent, radios, range, sigmoid, signed, sum } from "./touch.js";

const SIDE = 6; // patches in a row, and pixels in a patch's
const WIDTH = 72;
const [FEW, ROWS] = [18, 12]; // of all numbers and tokens, what a card has room for
const VISION = "vision_model";
const TEXT = "text_model";
const where = (patch) => `patch ${patch} (row ${Math.floor(patch / SIDE)}, column ${patch % SIDE})`;
const corner = (values) =>
  range(ROWS).flatMap((row) => [...values.slice(row * WIDTH, row * WIDTH + FEW)]);
const mean = (rows) => rows[0].map((_, i) => sum(rows.map((row) => row[i])) / rows.length);

// A part of a tensor along its first axes, or undefined where it has none: tensor [2, 4, 36] and
// 1, 3 give 36 numbers.
export function part({ shape, data }, ...places) {
  let [begin, size] = [0, data.length];
  for (const [axis, place] of places.entries()) {
    if (place >= shape[axis]) return undefined;
    size /= shape[axis];
    begin += place * size;
  }
  return Array.from(data.subarray(begin, begin + size));
}

class Station {
  constructor(home) {
    this.home = home;
  }

  means = ""; // its shape in words

  // Names of the tensors that it shows: on its card, and once it is open.
  wanted() {
    return [];
  }

  get colours() {
    return this.home.colours;
  }

  get fill() {
    return this.colours[this.side];
  }

  tensor(name) {
    return this.home.answer.tensors[name];
  }

  // Of the caption that is followed.
  ofCaption(name, ...places) {
    return part(this.tensor(name), this.home.chosen, ...places);
  }

  get now() {
    return ""; // a word on the card
  }

  find(selector) {
    return this.body.querySelector(selector);
  }

  say(text) {
    this.find(".st-say").textContent = text;
  }

  // Radio buttons; what is chosen is kept in `this[kind]`.
  choices(kind, words, legend = kind) {
    this[kind] ??= 0;
    const name = `${this.home.key}-${this.id}-${kind}`;
    return `<fieldset data-choice="${kind}"><legend>${legend}</legend>
      ${radios(name, words, this[kind])}</fieldset>`;
  }

  // Where the reader points at one of columns x rows, by mouse, finger or arrow keys.
  points(place, columns, rows, now, then) {
    place.tabIndex = 0;
    const go = (column, row) => {
      then(clamp(column, 0, columns - 1), clamp(row, 0, rows - 1));
      this.home.drawStations();
    };
    this.home.onPoint(place, ({ clientX, clientY }) => {
      const box = place.getBoundingClientRect();
      go(Math.floor(((clientX - box.left) / box.width) * columns),
        Math.floor(((clientY - box.top) / box.height) * rows));
    });
    this.home.onArrow(place, (right, down) => {
      const [column, row] = now();
      go(column + right, row + down);
    });
  }

  pointsAtPatch(place, share = 0.9) {
    const cells = SIDE / share; // the margin counts as the last patch
    const { home } = this;
    this.points(place, cells, cells, () => [home.patch % SIDE, Math.floor(home.patch / SIDE)],
      (column, row) => {
        const [x, y] = [column, row].map((at) => Math.min(Math.floor(at), SIDE - 1));
        home.patch = y * SIDE + x;
      });
  }

  mark(selector, columns, rows, column, row) {
    Object.assign(this.find(selector).style, {
      left: `${(100 * column) / columns}%`, top: `${(100 * row) / rows}%`,
      width: `${100 / columns}%`, height: `${100 / rows}%`,
    });
  }
}

const heatMap = (kind, label) =>
  `<div class="st-heat st-${kind}"><canvas role="img" aria-label="${label}"></canvas>
    <span class="st-row-mark"></span><span class="st-cell-mark"></span></div>
  <p class="st-scale"><span></span><i></i><span></span></p>`;

// ---- the image side -----------------------------------------------------------------------------

class Pixels extends Station {
  id = "pixels";
  side = "image";
  name = "pixels";
  shape = "[1, 3, 40, 40]";
  means = "1 drawing, 3 colours, 40 × 40 pixels";
  chapter = ["02_preprocessing", "From bytes to numbers"];
  words = "The sheet shrinks to 40 × 40 pixels. Each has a level of red, green and blue, which "
    + "becomes a number from −1 to 1. This is all the model sees.";
  at = [23, 20];

  wanted() {
    return ["pixel_values"];
  }

  thumb(canvas) {
    pixels(canvas, this.tensor("pixel_values"));
  }

  render() {
    const row = (name) => `<tr><th scope="row">${name}</th><td></td><td></td></tr>`;
    this.body.innerHTML = `
      <div class="pills">${this.choices("channel", ["all", "red", "green", "blue"])}</div>
      <div class="st-pair">
        <div class="st-picture"><canvas role="img" aria-label="The 40 by 40 pixels"></canvas>
          <span class="st-cell-mark"></span></div>
        <div><code class="st-where"></code><table class="st-numbers">
          <thead><tr><td></td><th scope="col">level</th><th scope="col">number</th></tr></thead>
          <tbody>${["R", "G", "B"].map(row).join("")}</tbody></table></div>
      </div>`;
    this.points(this.find("canvas"), 40, 40, () => this.at, (...at) => (this.at = at));
  }

  draw() {
    const tensor = this.tensor("pixel_values");
    pixels(this.find("canvas"), tensor, this.channel ? this.channel - 1 : null);
    const [x, y] = this.at;
    this.mark(".st-cell-mark", 40, 40, x, y);
    this.find(".st-where").textContent = `[0, :, ${y}, ${x}]`;
    const numbers = range(3).map((c) => part(tensor, 0, c, y, x)[0]);
    const cells = this.body.querySelectorAll("tbody td");
    numbers.forEach((value, c) => {
      cells[2 * c].textContent = Math.round((value + 1) * 127.5);
      cells[2 * c + 1].textContent = signed(value, 3);
    });
  }
}

// The 36 patches apart, and the margin that belongs to none. Gives the picture of the 40 x 40
// pixels.
function squares(canvas, tensor, { mistake }, mark) {
  const picture = new OffscreenCanvas(40, 40);
  pixels(picture, tensor);
  const { pen, width } = clean(canvas);
  pen.imageSmoothingEnabled = false;
  const gap = width > 100 ? 3 : 1;
  const step = (width * 0.9) / SIDE;
  for (let i = 0; i < SIDE * SIDE; i++) {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE)];
    pen.drawImage(picture, x * SIDE, y * SIDE, SIDE, SIDE, x * step, y * step, step - gap,
      step - gap);
  }
  pen.drawImage(picture, 36, 0, 4, 40, SIDE * step, 0, width / 10, width);
  pen.drawImage(picture, 0, 36, 36, 4, 0, SIDE * step, SIDE * step, width / 10);
  margin(pen, width, SIDE * step, tone(mistake, 0.75));
  if (mark !== undefined) {
    frame(pen, (mark % SIDE) * step - gap / 2, Math.floor(mark / SIDE) * step - gap / 2, step);
  }
  return picture;
}

class Patches extends Station {
  id = "patches";
  side = "image";
  name = "patches";
  shape = "36 × [3, 6, 6]";
  means = "36 patches of 3 colours, 6 × 6 pixels";
  chapter = ["04_patchify", "Patches"];
  words = "The pixels are cut into 36 squares of 6 × 6. Six sixes are 36, so the last 4 rows and "
    + "columns (red) belong to no patch: what is drawn there is lost.";

  wanted() {
    return ["pixel_values"];
  }

  thumb(canvas) {
    squares(canvas, this.tensor("pixel_values"), this.colours);
  }

  render() {
    this.body.innerHTML = `
      <div class="st-pair">
        <canvas class="st-square" role="img" aria-label="The 36 patches, and the margin"></canvas>
        <div><canvas class="st-lens" aria-hidden="true"></canvas><p class="st-say"></p></div>
      </div>`;
    this.pointsAtPatch(this.find(".st-square"));
  }

  draw() {
    const { patch } = this.home;
    const tensor = this.tensor("pixel_values");
    const picture = squares(this.find(".st-square"), tensor, this.colours, patch);
    const [row, column] = [Math.floor(patch / SIDE), patch % SIDE].map((at) => at * SIDE);
    const { pen, width } = clean(this.find(".st-lens"));
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, column, row, SIDE, SIDE, 0, 0, width, width);
    const numbers = range(3).flatMap((c) =>
      range(SIDE).flatMap((y) => part(tensor, 0, c, row + y).slice(column, column + SIDE)),
    );
    const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    this.say(`${where(patch)}: 3 · 6 · 6 = 108 numbers from ${signed(least, 2)} to `
      + `${signed(most, 2)}`);
  }
}

// A heat map of tokens, without and with their positions, for either side.
class Tokens extends Station {
  kind = 2;
  beside = ""; // the words

  wanted(open) {
    return open ? [this.bare, this.full] : [this.full];
  }

  // Numbers of what is chosen, token by token.
  matrix() {
    const [bare, full] = [this.bare, this.full].map((name) => this.values(name));
    if (this.kind === 1) return bare && full?.map((value, i) => value - bare[i]);
    return this.kind === 0 ? bare : full;
  }

  thumb(canvas) {
    const values = this.values(this.full);
    if (values) heat(canvas, ROWS, FEW, corner(values), this.fill, this.colours);
  }

  render() {
    const words = [this.what, "+ position", "= token"];
    this.body.innerHTML = `<div class="pills">${this.choices("kind", words, "show")}</div>
      ${heatMap("tokens", `${this.count} tokens of 72 numbers`)}
      <div class="st-beside">${this.beside}<p class="st-say"></p></div>`;
    this.points(this.find("canvas"), WIDTH, this.count, () => [this.home.number, this.token],
      (column, row) => {
        this.home.number = column;
        this.token = row;
      });
  }

  draw() {
    const values = this.matrix();
    if (!values) return;
    const { number } = this.home;
    heat(this.find("canvas"), this.count, WIDTH, values, this.fill, this.colours);
    showScale(this.body, largest(values));
    this.mark(".st-cell-mark", WIDTH, this.count, number, this.token);
    this.mark(".st-row-mark", 1, this.count, 0, this.token);
    this.say(`${this.called(this.token)}, number ${number}: `
      + signed(values[this.token * WIDTH + number], 3));
  }
}

function showScale(body, most) {
  const [low, high] = body.querySelectorAll(".st-scale span");
  low.textContent = signed(-most, 2);
  high.textContent = signed(most, 2);
}

class ImageTokens extends Tokens {
  id = "tokens";
  side = "image";
  name = "tokens";
  shape = "[1, 36, 72]";
  means = "1 drawing, 36 tokens of 72 numbers";
  chapter = ["04_patchify", "Patches become tokens"];
  words = "Each patch becomes a row of 72 numbers, its token. A learned position is added: without "
    + "it, nobody could tell where a patch was.";
  what = "patch";
  count = SIDE * SIDE;
  bare = `${VISION}.embeddings.patch_embedding`;
  full = `${VISION}.embeddings`;
  beside = `<canvas class="st-mini" aria-hidden="true"></canvas>`;

  wanted(open) {
    return [...super.wanted(open), "pixel_values"];
  }

  draw() {
    super.draw();
    squares(this.find(".st-mini"), this.tensor("pixel_values"), this.colours, this.home.patch);
  }

  // The convolution's output is [1, 72, 6, 6]: a picture of numbers, not yet a list of tokens.
  values(name) {
    if (!this.tensor(name)) return undefined;
    const values = part(this.tensor(name), 0);
    if (name !== this.bare) return values;
    return range(this.count * WIDTH).map(
      (i) => values[(i % WIDTH) * this.count + Math.floor(i / WIDTH)],
    );
  }

  get token() {
    return this.home.patch;
  }

  set token(patch) {
    this.home.patch = patch;
  }

  called(patch) {
    return where(patch);
  }
}

const HEADS = 4;
const headNames = [...range(HEADS).map(String), "mean"];

// Weights of one query, of one head or of the mean over all: `weights` gives those of a head.
const ofHeads = (head, weights) =>
  head < HEADS ? weights(head) : mean(range(HEADS).map((each) => weights(each)));

class ImageAttention extends Station {
  id = "attention";
  side = "image";
  name = "attention";
  shape = "4 × [1, 4, 36, 36]";
  means = "4 layers; in each 1 drawing, 4 heads, 36 × 36 weights";
  chapter = ["05_encoder_layers", "The encoder, layer by layer"];
  words = "In each of 4 layers, each of 4 heads asks for every patch: from which patches does it "
    + "take? The numbers are percentages; bright patches give most.";
  layer = 0;
  head = HEADS;

  wanted() {
    return [`${VISION}.encoder.layers.${this.layer}.self_attn.weights`];
  }

  get now() {
    return `layer ${this.layer}`;
  }

  weights() {
    const tensor = this.tensor(this.wanted()[0]);
    return tensor && ofHeads(this.head, (head) => part(tensor, 0, head, this.home.patch));
  }

  thumb(canvas) {
    const weights = this.weights();
    if (weights) veils(canvas, this.home.shown, weights, this.colours);
  }

  render() {
    this.body.innerHTML = `
      <div class="pills">${this.choices("layer", range(4).map(String))}
        ${this.choices("head", headNames)}</div>
      <canvas class="st-square st-large" role="img" aria-label="Weights over the drawing"></canvas>
      <p class="st-say"></p>`;
    this.pointsAtPatch(this.find("canvas"));
  }

  draw() {
    const weights = this.weights();
    if (!weights) return;
    const { patch } = this.home;
    veils(this.find("canvas"), this.home.shown, weights, this.colours,
      { mark: patch, numbers: true });
    const most = weights.indexOf(Math.max(...weights));
    this.say(`${where(patch)} takes most from ${where(most)}, ${percent(weights[most])}; from `
      + `itself, ${percent(weights[patch])}.`);
  }
}

class Probe extends ImageAttention {
  id = "probe";
  name = "probe";
  shape = "[1, 4, 1, 36]";
  means = "1 drawing, 4 heads, 1 question, 36 weights";
  chapter = ["06_pooling_heads", "The probe"];
  words = "36 tokens must become one vector. A learned question, the probe, weighs them: it looks "
    + "where something is drawn.";

  wanted() {
    return [`${VISION}.head.attention.weights`];
  }

  get now() {
    return "";
  }

  weights() {
    const tensor = this.tensor(this.wanted()[0]);
    return tensor && ofHeads(this.head, (head) => part(tensor, 0, head, 0));
  }

  render() {
    super.render();
    this.find("[data-choice=layer]").remove();
  }

  draw() {
    super.draw();
    const weights = this.weights();
    const most = weights.indexOf(Math.max(...weights));
    this.say(`The probe takes most from ${where(most)}, ${percent(weights[most])}; from `
      + `${where(this.home.patch)}, ${percent(weights[this.home.patch])}.`);
  }
}

// 72 numbers as bars, for either side.
class Vector extends Station {
  thumb(canvas) {
    if (this.values()) bars(canvas, this.values().slice(0, FEW), this.fill, this.colours);
  }

  render() {
    this.body.innerHTML = `
      <canvas class="st-bars" role="img" aria-label="72 numbers as bars"></canvas>
      <p class="st-say"></p>`;
    this.points(this.find("canvas"), WIDTH, 1, () => [this.home.number, 0],
      (column) => (this.home.number = column));
  }

  draw() {
    const values = this.values();
    if (!values) return;
    const { number } = this.home;
    bars(this.find("canvas"), values, this.fill, this.colours, { mark: number });
    const length = Math.sqrt(sum(values.map((value) => value * value)));
    this.say(`Number ${number + 1} of 72: ${signed(values[number], 4)}. Length of the vector: `
      + `${fixed(length, 3)}.`);
  }
}

class ImageVector extends Vector {
  id = "image-vector";
  side = "image";
  name = "image vector";
  shape = "[1, 72]";
  means = "1 drawing, 72 numbers";
  chapter = ["07_two_towers", "The two towers"];
  words = "The drawing as 72 numbers, scaled to length 1: an arrow. Only its direction counts.";

  values() {
    return Array.from(this.home.answer.imageEmbeds);
  }
}

// ---- the text side ------------------------------------------------------------------------------

class Pieces extends Station {
  id = "pieces";
  side = "text";
  name = "pieces and ids";
  shape = "[n, 16]";
  means = "all captions, 16 ids each";
  chapter = ["03_text", "Text becomes ids"];
  words = "The caption is cut into pieces of a list of 384; each has a number, its id. The row is "
    + "padded to 16 places with id 1.";

  thumb(canvas) {
    const { pen, height } = clean(canvas);
    const pieces = this.home.piecesOf();
    Object.assign(pen, { font: "600 11px sans-serif", fillStyle: tone(this.fill),
      textBaseline: "middle" });
    pieces.slice(0, 3).forEach((piece, i) => pen.fillText(piece, 3, (height * (2 * i + 1)) / 6));
  }

  render() {
    this.body.innerHTML = `<ol class="st-pieces">${"<li><b></b><span></span></li>".repeat(16)}</ol>
      <p class="st-say"></p>`;
    this.home.onPoint(this.find("ol"), ({ target }) => {
      const place = [...this.find("ol").children].indexOf(target.closest("li"));
      if (place >= 0) this.home.place = place;
      this.home.drawStations();
    });
  }

  draw() {
    const pieces = this.home.piecesOf();
    const ids = this.home.answer.ids[this.home.chosen];
    if (!ids) return;
    [...this.find("ol").children].forEach((item, i) => {
      item.className = i < pieces.length ? "" : "st-padding";
      item.classList.toggle("st-pointed", i === this.home.place);
      item.querySelector("b").textContent = this.home.pieceAt(i);
      item.querySelector("span").textContent = ids[i];
    });
    this.say(`${pieces.length} pieces with the end sign </s>, ${16 - pieces.length} places of `
      + "padding. “▁” stands for a space.");
  }
}

class TextTokens extends Tokens {
  id = "text-tokens";
  side = "text";
  name = "tokens";
  shape = "[n, 16, 72]";
  means = "all captions, 16 tokens of 72 numbers";
  chapter = ["03_text", "Text becomes ids"];
  words = "Each id looks up its row of 72 numbers; a learned position is added. Padding looks the "
    + "same everywhere, but for its position.";
  what = "piece";
  count = 16;
  bare = `${TEXT}.embeddings.token_embedding`;
  full = `${TEXT}.embeddings`;

  values(name) {
    return this.tensor(name) && this.ofCaption(name);
  }

  get token() {
    return this.home.place;
  }

  set token(place) {
    this.home.place = place;
  }

  called(place) {
    return `place ${place}, “${this.home.pieceAt(place)}”`;
  }
}

class TextAttention extends Station {
  id = "text-attention";
  side = "text";
  name = "attention";
  shape = "2 × [n, 4, 16, 16]";
  means = "2 layers; in each all captions, 4 heads, 16 × 16 weights";
  chapter = ["05_encoder_layers", "The encoder, layer by layer"];
  words = "Each row is one place that asks, each column one that gives. Nothing is masked: padding "
    + "may ask and be asked.";
  layer = 0;
  head = HEADS;

  wanted() {
    return [`${TEXT}.encoder.layers.${this.layer}.self_attn.weights`];
  }

  get now() {
    return `layer ${this.layer}`;
  }

  matrix() {
    const [name] = this.wanted();
    return this.tensor(name) && this.ofCaption(name)
      && ofHeads(this.head, (head) => this.ofCaption(name, head));
  }

  thumb(canvas) {
    const values = this.matrix();
    if (values) heat(canvas, 16, 16, values, this.fill, this.colours);
  }

  render() {
    this.body.innerHTML = `
      <div class="pills">${this.choices("layer", range(2).map(String))}
        ${this.choices("head", headNames)}</div>
      <div class="st-matrix"><ol>${"<li></li>".repeat(16)}</ol>
        <div class="st-heat"><canvas role="img" aria-label="16 by 16 weights"></canvas>
          <span class="st-row-mark"></span><span class="st-cell-mark"></span></div></div>
      <p class="st-say"></p>`;
    this.key = 0;
    this.points(this.find("canvas"), 16, 16, () => [this.key, this.home.place], (column, row) => {
      this.key = column;
      this.home.place = row;
    });
  }

  draw() {
    const values = this.matrix();
    if (!values) return;
    const { place } = this.home;
    heat(this.find("canvas"), 16, 16, values, this.fill, this.colours);
    [...this.find("ol").children].forEach((item, i) => {
      item.textContent = this.home.pieceAt(i);
      item.classList.toggle("st-pointed", i === place);
    });
    this.mark(".st-row-mark", 1, 16, 0, place);
    this.mark(".st-cell-mark", 16, 16, this.key, place);
    const name = (i) => `place ${i}, “${this.home.pieceAt(i)}”`;
    const row = values.slice(16 * place, 16 * place + 16);
    const most = row.indexOf(Math.max(...row));
    this.say(`${name(place)} takes ${percent(row[this.key])} from ${name(this.key)}; most from `
      + `${name(most)}, ${percent(row[most])}.`);
  }
}

class LastToken extends Station {
  id = "last-token";
  side = "text";
  name = "last token";
  shape = "[n, 16, 72] → [n, 72]";
  means = "all captions: of 16 tokens, the last one's 72 numbers";
  chapter = ["06_pooling_heads", "Pooling"];
  words = "After both layers, only the last of the 16 places is kept and goes through one linear "
    + "layer. By then, it has to hold all that the caption says.";
  last = `${TEXT}.final_layer_norm`;
  head = `${TEXT}.head`;

  wanted(open) {
    return open ? [this.last, this.head] : [this.last];
  }

  thumb(canvas) {
    const values = this.tensor(this.last) && this.ofCaption(this.last);
    if (values) heat(canvas, ROWS, FEW, corner(values), this.fill, this.colours);
  }

  render() {
    this.body.innerHTML = `${heatMap("tokens", "16 tokens after the last layer")}
      <p class="st-step">↓ place 15 alone, through a linear layer</p>
      <canvas class="st-bars" role="img" aria-label="72 numbers as bars"></canvas>
      <p class="st-say"></p>`;
    this.points(this.find("canvas"), WIDTH, 16, () => [this.home.number, this.home.place],
      (column, row) => {
        this.home.number = column;
        this.home.place = row;
      });
  }

  draw() {
    const values = this.tensor(this.last) && this.ofCaption(this.last);
    const vector = this.tensor(this.head) && this.ofCaption(this.head);
    if (!values) return;
    const { number, place } = this.home;
    heat(this.find("canvas"), 16, WIDTH, values, this.fill, this.colours);
    showScale(this.body, largest(values));
    this.mark(".st-row-mark", 1, 16, 0, 15);
    this.mark(".st-cell-mark", WIDTH, 16, number, place);
    if (!vector) return; // the model is still on its way
    bars(this.find(".st-bars"), vector, this.fill, this.colours, { mark: number });
    this.say(`Place ${place}, number ${number}: ${signed(values[place * WIDTH + number], 3)}. `
      + `What becomes of place 15, number ${number}: ${signed(vector[number], 3)}.`);
  }
}

class TextVector extends Vector {
  id = "text-vector";
  side = "text";
  name = "text vector";
  shape = "[n, 72]";
  means = "all captions, 72 numbers each";
  chapter = ["07_two_towers", "The two towers"];
  words = "The caption as 72 numbers of length 1: an arrow in the same space as the drawing's.";

  values() {
    const vector = this.home.answer.textEmbeds[this.home.chosen];
    return vector && Array.from(vector);
  }
}

// ---- where they meet ----------------------------------------------------------------------------

class Product extends Station {
  id = "product";
  side = "joint";
  name = "product";
  shape = "72 products → 1 cosine";
  chapter = ["07_two_towers", "The two towers"];
  words = "Number times number, and all 72 products added up: that is the cosine of the angle "
    + "between the two arrows.";

  vectors() {
    const { imageEmbeds, textEmbeds } = this.home.answer;
    const text = textEmbeds[this.home.chosen];
    if (!text) return undefined;
    const image = Array.from(imageEmbeds);
    return [image, Array.from(text), image.map((value, i) => value * text[i])];
  }

  get now() {
    const cosine = this.home.answer.cosines[this.home.chosen];
    return cosine === undefined ? "" : signed(cosine, 3);
  }

  thumb(canvas) {
    const vectors = this.vectors();
    if (vectors) bars(canvas, vectors[2].slice(0, FEW), this.fill, this.colours);
  }

  render() {
    const row = (side, sign, name) =>
      `<div class="st-line"><span class="c-${side}">${sign} ${name}</span>
        <canvas class="st-bars" role="img" aria-label="${name}, 72 bars"></canvas></div>`;
    this.body.innerHTML = `
      ${row("image", "", "image")}${row("text", "×", "text")}${row("joint", "=", "product")}
      <div class="st-line"><span>sum so far</span>
        <canvas class="st-bars st-sum" role="img" aria-label="The running sum"></canvas></div>
      <p class="st-say"></p><p class="st-equation"></p>`;
    for (const canvas of this.body.querySelectorAll("canvas")) {
      this.points(canvas, WIDTH, 1, () => [this.home.number, 0],
        (column) => (this.home.number = column));
    }
  }

  draw() {
    const vectors = this.vectors();
    if (!vectors) return;
    const { number } = this.home;
    const [image, text, products] = vectors;
    const most = largest([...image, ...text]);
    const canvases = this.body.querySelectorAll("canvas");
    ["image", "text", "joint"].forEach((side, i) => {
      const options = { mark: number, most: i < 2 ? most : largest(products) };
      bars(canvases[i], vectors[i], this.colours[side], this.colours, options);
    });
    let total = 0;
    const sums = products.map((product) => (total += product));
    bars(canvases[3], sums, this.fill, this.colours, { mark: number });
    this.say(`Number ${number + 1} of 72: ${fixed(image[number], 3)} × ${fixed(text[number], 3)} = `
      + `${signed(products[number], 4)}; sum up to here: ${signed(sums[number], 3)}`);
    this.find(".st-equation").innerHTML =
      `sum of all 72 = <b class="c-joint">cosine ${signed(sums.at(-1), 3)}</b>`;
  }
}

const REACH = 12; // logits of the curve's ends

class Probability extends Station {
  id = "probability";
  side = "joint";
  name = "probability";
  shape = "σ(t · cosine + b)";
  chapter = ["07_two_towers", "Scale, bias, sigmoid"];
  words = "Two learned numbers, t and b, turn the cosine into a logit; the sigmoid makes a "
    + "probability of it. The full dot is the caption that you follow.";

  get now() {
    const p = this.home.answer.probabilities[this.home.chosen];
    return p === undefined ? "" : `p = ${percent(p)}`;
  }

  thumb(canvas) {
    this.curve(canvas, 3);
  }

  render() {
    this.body.innerHTML = `
      <p class="st-equation"></p>
      <canvas class="st-curve" role="img" aria-label="The captions on the sigmoid curve"></canvas>
      <p class="st-share">Among these captions, softmax gives <b></b>: CLIP’s way,
        <a href="${this.home.chapters}13_clip.html">chapter 13</a></p>`;
  }

  draw() {
    const { answer, chosen } = this.home;
    const logit = answer.logits[chosen];
    if (logit === undefined) return;
    this.curve(this.find("canvas"), 5, true);
    const [t, b] = [answer.logitScale, answer.logitBias];
    this.find(".st-equation").innerHTML =
      `<i>t</i> · cosine + <i>b</i> = ${fixed(t, 2)} · ${fixed(answer.cosines[chosen], 3)}
        ${b < 0 ? "−" : "+"}\u00a0${fixed(Math.abs(b), 2)}
        = <b>logit ${signed(logit, 2)}</b> <span>→</span>
        <b class="c-joint">p = ${percent(answer.probabilities[chosen])}</b>`;
    const share = this.home.scores(1)[chosen];
    this.find(".st-share b").textContent = share === undefined ? "–" : percent(share);
  }

  curve(canvas, radius, words = false) {
    const { pen, width, height } = clean(canvas);
    const { joint, base, ground, border, muted } = this.colours;
    const [left, top] = [radius + 2, radius + 3];
    const bottom = height - (words ? 20 : radius + 3);
    const x = (logit) =>
      left + ((clamp(logit, -REACH, REACH) + REACH) / (2 * REACH)) * (width - 2 * left);
    const y = (p) => bottom - p * (bottom - top);
    pen.strokeStyle = tone(border);
    pen.lineWidth = 1;
    const lines = [[-REACH, 0.5, REACH, 0.5], [0, 0, 0, 1]];
    for (const [a, b, c, d] of lines) {
      pen.beginPath();
      pen.moveTo(x(a), y(b));
      pen.lineTo(x(c), y(d));
      pen.stroke();
    }
    pen.beginPath();
    for (let z = -REACH; z <= REACH; z += 0.25) pen.lineTo(x(z), y(sigmoid(z)));
    Object.assign(pen, { strokeStyle: tone(joint), lineWidth: words ? 2.5 : 1.5 });
    pen.stroke();
    const { logits } = this.home.answer;
    const order = range(logits.length).sort((i) => (i === this.home.chosen ? 1 : -1));
    for (const i of order) {
      const mine = i === this.home.chosen;
      pen.beginPath();
      pen.arc(x(logits[i]), y(sigmoid(logits[i])), mine ? radius + 1 : radius, 0, 7);
      pen.fillStyle = mine ? tone(joint) : tone(ground);
      Object.assign(pen, { strokeStyle: tone(mine ? base : joint), lineWidth: mine ? 2 : 1.5 });
      pen.fill();
      pen.stroke();
    }
    if (!words) return;
    Object.assign(pen, { font: "11px sans-serif", fillStyle: tone(muted), textBaseline: "bottom" });
    for (const [text, logit, align] of [["≤ −12", -REACH, "left"], ["logit 0", 0, "center"],
      ["≥ 12", REACH, "right"]]) {
      pen.textAlign = align;
      pen.fillText(text, x(logit), height - 1);
    }
    pen.textAlign = "left";
    pen.fillText("p = 50 %", x(-REACH), y(0.5) - 3);
  }
}

export const STATIONS = [
  Pixels, Patches, ImageTokens, ImageAttention, Probe, ImageVector,
  Pieces, TextTokens, TextAttention, LastToken, TextVector,
  Product, Probability,
];
