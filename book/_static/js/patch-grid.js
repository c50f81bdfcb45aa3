// A picture under its grid of patches: the page's photo, or what the reader draws there. The reader
// moves the image's size and the patch's; the page counts tokens, dropped pixels, and what they cost in
// so400m's image tower, and shows the pixels of one patch, as a square and as a row of numbers.

import { total, visionFlops } from "./counting.js";
import { Drawing } from "./drawing.js";
import { paint, randomScene } from "./scenes.js";
import { Touchable, buttons, clamp, count, define, grouped, percent, slider } from "./touch.js";

const SO400M = { width: 1152, depth: 27, mlp_dim: 4304 };
const PUBLISHED = [[224, 14], [384, 14], [378, 14], [256, 16], [384, 16], [512, 16]];
const SIDE = 768; // of the canvas, in its own pixels
const LEAST = 30; // side of the frame around a patch, however small that is
const FIRST = 11; // the scene that the reader's own drawing begins with

class PatchGrid extends Touchable {
  async render() {
    this.photo = this.find("img");
    const row = (label, cell) => `<tr><th scope="row"${label}</th><td>${cell}</td></tr>`;
    this.innerHTML = `
      <div class="pg-patch">
        <canvas class="pg-lens" aria-hidden="true"></canvas>
        <p id="${this.key}" aria-live="polite"><b class="pg-number"></b><span class="pg-place"></span>
          <span class="pg-pixels"></span><span class="pg-count"></span></p>
      </div>
      <canvas class="pg-row" role="img" aria-label="The patch’s numbers as a row: all its
        red, all its green, all its blue, each from the first row of pixels to the last"></canvas>
      <p class="pg-help"><b>Choose a patch</b><span class="pg-keys">, also with the arrow keys</span>.
        Rows and columns count from 0.</p>
      <div class="pg-stage">
        <div class="pg-picture">
          <canvas class="pg-view" width="${SIDE}" height="${SIDE}" role="img" tabindex="0"
            aria-label="The picture under its patches" aria-describedby="${this.key}"></canvas>
          <div class="pg-own" hidden></div>
        </div>
        <div class="pg-side">
          <div class="pg-which" role="group" aria-label="Picture">
            <button type="button" data-kind="own" data-i="0">Photo</button>
            <button type="button" data-kind="own" data-i="1" aria-expanded="false">Draw your own</button>
          </div>
          <div class="pills pg-shapes" role="group" aria-label="Published shapes: image size / patch size">
            ${buttons("shape", PUBLISHED.map((shape) => shape.join(" / ")))}
          </div>
          <div class="pg-sliders">
            ${slider("size", "image size", 64, 1024, 1, 384)}
            ${slider("patch", "patch size", 4, 32, 1, 14)}
          </div>
          <table class="pg-readout" aria-live="polite"><tbody>
            ${row(' class="pg-division">size / patch', '<span class="pg-tokens"></span> tokens')}
            ${row(">dropped", '<span class="pg-dropped"></span> · <span class="pg-share"></span>')}
            ${row(">attention map", '<span class="pg-map"></span>')}
            ${row(">image tower", '<span class="pg-gflops"></span>')}
          </tbody></table>
        </div>
      </div>`;
    [this.lens, this.line, this.view] = this.all("canvas");
    this.drawing = new Drawing(this.find(".pg-own"), randomScene(FIRST), () => this.draw());
    this.onPress("own", (i) => {
      this.find(".pg-own").hidden = i === 0;
      this.draw();
    });
    [this.u, this.v] = [0.528, 0.82]; // beside the cat's nose; kept when the sizes change
    const [sheet] = this.drawing.sheets;
    for (const place of [this.view, sheet]) {
      this.onPoint(place, ({ clientX, clientY }) => {
        const box = this.view.getBoundingClientRect();
        [this.u, this.v] = [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
        this.show();
      });
    }
    sheet.addEventListener("keydown", () => {
      [this.u, this.v] = this.drawing.cursor ?? [this.u, this.v];
      this.show();
    });
    this.onArrow(this.view, (right, down) => {
      const { side, step, row, column } = this.grid;
      [this.u, this.v] = [column + right, row + down].map(
        (i) => ((clamp(i, 0, side - 1) + 0.5) * step) / SIDE,
      );
      this.show();
    });
    this.addEventListener("input", () => this.draw());
    this.onPress("shape", (i) => {
      [this.input("size").value, this.input("patch").value] = PUBLISHED[i];
      this.draw();
    });
    await this.photo.decode();
  }

  // Open, the reader's sheet takes the place of the photo, under the grid, which lets it through.
  get own() {
    return !this.find(".pg-own").hidden;
  }

  draw() {
    const [size, patch] = this.values();
    const side = Math.floor(size / patch);
    const tokens = side ** 2;
    const rest = size - side * patch;
    const dropped = rest ? `${count(rest, "row")}, ${count(rest, "column")}` : "nothing";
    const flops = total(visionFlops({ ...SO400M, image_size: size, patch_size: patch }));
    this.say(".pg-division", `${size} / ${patch} = ${(size / patch).toFixed(2)}`);
    this.say(".pg-tokens", `${side} × ${side} = ${grouped(tokens)}`);
    this.say(".pg-dropped", dropped);
    this.say(".pg-share", percent(1 - (1 - rest / size) ** 2));
    this.find(".pg-readout").classList.toggle("pg-loses", rest > 0);
    this.say(".pg-map", `${grouped(tokens ** 2)} numbers`);
    this.say(".pg-gflops", `${grouped(flops / 1e9, 2)} GFLOPs`);
    this.sayAll("output", [`${size} pixels`, `${patch} pixels`]);
    this.find("[aria-expanded]").setAttribute("aria-expanded", this.own);
    this.press("own", Number(this.own));
    this.view.tabIndex = this.own ? -1 : 0;
    this.press("shape", PUBLISHED.findIndex(([s, p]) => s === size && p === patch));
    this.grid = { size, patch, side, step: (patch / size) * SIDE };
    this.paint();
    this.show();
    this.view.setAttribute(
      "aria-label",
      `The ${this.own ? "drawing" : "photo"} under ${side} by ${side} patches; dropped at the bottom and at the right: ${dropped}`,
    );
  }

  // Kept, so that only the marked patch has to be drawn anew.
  paint() {
    const { size, side, step } = this.grid;
    this.small = new OffscreenCanvas(size, size); // the squashed picture, pixel by pixel
    const pen = this.small.getContext("2d", { willReadFrequently: true });
    if (this.own) paint(pen, this.drawing.scene, size);
    else pen.drawImage(this.photo, 0, 0, size, size);
    this.painted = new OffscreenCanvas(SIDE, SIDE);
    const context = this.painted.getContext("2d");
    context.imageSmoothingEnabled = false;
    if (!this.own) context.drawImage(this.small, 0, 0, SIDE, SIDE);
    const end = side * step;
    context.fillStyle = this.colour("--mistake");
    context.fillRect(end, 0, SIDE - end, SIDE);
    context.fillRect(0, end, end, SIDE - end);
    context.strokeStyle = this.own ? "rgb(20 24 30 / 0.4)" : "#fff";
    context.lineWidth = Math.min(1.5, 0.06 * step * Math.min(1, step / 12)); // never a veil
    context.beginPath();
    for (let i = 0; i <= side; i++) {
      context.moveTo(i * step, 0);
      context.lineTo(i * step, end);
      context.moveTo(0, i * step);
      context.lineTo(end, i * step);
    }
    context.stroke();
  }

  colour(name) {
    return getComputedStyle(this).getPropertyValue(name);
  }

  // The patch under the pointer, in the photo and large beside it.
  show() {
    const { size, patch, side, step } = this.grid;
    const [column, row] = [this.u, this.v].map((t) =>
      clamp(Math.floor((t * SIDE) / step), 0, side - 1),
    );
    Object.assign(this.grid, { column, row });
    const context = this.view.getContext("2d");
    context.clearRect(0, 0, SIDE, SIDE);
    context.drawImage(this.painted, 0, 0);
    const frame = Math.max(step + 4, LEAST); // around the patch, with some room if it is tiny
    const [x, y] = [column, row].map((i) => (i + 0.5) * step - frame / 2);
    for (const [colour, width] of [["#fff", 10], [this.colour("--image"), 5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(x, y, frame, frame);
    }
    this.lens.width = this.lens.height = patch;
    this.lens.getContext("2d").drawImage(this.small, -column * patch, -row * patch);
    this.spread(column * patch, row * patch, patch);
    const last = (i) => `${i * patch} to ${(i + 1) * patch - 1}`;
    this.say(".pg-number", `patch ${grouped(row * side + column)}`);
    this.say(".pg-place", `row ${row}, column ${column}`);
    this.say(".pg-pixels", `pixels ${last(column)} across, ${last(row)} down`);
    this.say(".pg-count", `${patch} × ${patch} × 3 colours = ${grouped(3 * patch ** 2)} numbers`);
  }

  // The patch in the order of `patchify`: channel, row, column; each number in its colour.
  spread(x, y, patch) {
    const { data } = this.small.getContext("2d").getImageData(x, y, patch, patch);
    const each = patch ** 2;
    const row = new ImageData(3 * each, 1);
    for (let i = 0; i < 3 * each; i++) {
      const colour = Math.floor(i / each);
      row.data[4 * i + colour] = data[4 * (i % each) + colour];
      row.data[4 * i + 3] = 255;
    }
    [this.line.width, this.line.height] = [row.width, 1];
    this.line.getContext("2d").putImageData(row, 0, 0);
  }
}

define("patch-grid", PatchGrid);
