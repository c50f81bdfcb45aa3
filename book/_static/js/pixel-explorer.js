// A photo resized live, and the numbers that one of its pixels becomes: bicubic as the model gets it,
// and two filters without antialiasing.

import { loadImage, resize } from "./model/preprocessing.js";
import { Touchable, clamp, define, fixed, radios, range } from "./touch.js";

const SIZES = [384, 224, 96, 40];
const FILTERS = [
  ["bicubic", "bicubic, antialiased"],
  ["bilinear", "bilinear, no antialiasing"],
  ["nearest", "nearest"],
];
const NEIGHBOURS = 9; // the magnified square's side, in pixels

// For each output index: where its input pixels begin, and their weights.
const TAPS = {
  bilinear(from, to) {
    return Array.from({ length: to }, (_, i) => {
      const place = clamp((i + 0.5) * (from / to) - 0.5, 0, from - 1);
      const first = Math.min(Math.floor(place), from - 2);
      return { first, weights: [1 - (place - first), place - first] };
    });
  },
  nearest(from, to) {
    return Array.from({ length: to }, (_, i) => ({
      first: Math.floor((i + 0.5) * (from / to)),
      weights: [1],
    }));
  },
};

// Without rounding between the axes.
function resizeOtherwise({ rgb, width, height }, size, filter) {
  const [across, down] = [TAPS[filter](width, size), TAPS[filter](height, size)];
  const out = new Uint8ClampedArray(size * size * 3);
  let at = 0;
  for (const row of down) {
    for (const column of across) {
      for (let c = 0; c < 3; c++) {
        let mix = 0;
        row.weights.forEach((a, y) => {
          column.weights.forEach((b, x) => {
            mix += a * b * rgb[((row.first + y) * width + column.first + x) * 3 + c];
          });
        });
        out[at++] = mix; // the array rounds
      }
    }
  }
  return { rgb: out, across, down };
}

class PixelExplorer extends Touchable {
  async render() {
    this.photo = this.find("img");
    [this.size, this.filter] = [SIZES[0], FILTERS[0][0]];
    [this.u, this.v] = [0.45, 0.3]; // where in the picture, from 0 to 1: kept when the size changes
    await this.photo.decode();
    const { naturalWidth: width, naturalHeight: height } = this.photo;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(this.photo, 0, 0);
    this.source = { rgb: loadImage(context.getImageData(0, 0, width, height)), width, height };

    const choices = (kind, legend, words) =>
      `<fieldset><legend>${legend}</legend>${radios(`${this.key}-${kind}`, words)}</fieldset>`;
    const row = (channel) => `<tr><th scope="row">${channel}</th><td></td><td></td><td></td></tr>`;
    this.innerHTML = `
      <div class="pe-choices pills">
        ${choices("size", "Size", SIZES.map((size) => `${size} × ${size}`))}
        ${choices("filter", "Filter", FILTERS.map(([, words]) => words))}
      </div>
      <div class="pe-stage">
        <div class="pe-view">
          <canvas tabindex="0" role="img" aria-label="The photo as pixels"
            aria-describedby="${this.key}"></canvas>
          <span class="pe-mark"></span>
        </div>
        <div class="pe-side">
          <div class="pe-lens"><canvas width="${NEIGHBOURS}" height="${NEIGHBOURS}" aria-hidden="true">
            </canvas><span class="pe-mark"></span></div>
          <div class="pe-readout" id="${this.key}" aria-live="polite">
            <p><code class="pe-where"></code></p>
            <table>
              <thead><tr><td></td><th scope="col">level</th><th scope="col">÷ 255</th>
                <th scope="col">− 0.5,<br>÷ 0.5</th></tr></thead>
              <tbody>${["R", "G", "B"].map(row).join("")}</tbody>
            </table>
            <p class="pe-from"></p>
          </div>
        </div>
      </div>
      <p class="pe-help">Point at a pixel, or focus the picture and use the arrow keys
        (with Shift: ten pixels).</p>`;
    [this.view, this.lens] = this.all("canvas");
    this.addEventListener("change", ({ target }) => {
      const i = Number(target.value);
      if (target.name.endsWith("size")) this.size = SIZES[i];
      else [this.filter] = FILTERS[i];
      this.draw();
    });
    this.onPoint(this.view, (event) => {
      const box = this.view.getBoundingClientRect();
      this.go((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    });
    this.onArrow(this.view, (right, down, { shiftKey }) => {
      const step = shiftKey ? 10 : 1;
      this.go((this.x + right * step + 0.5) / this.size, (this.y + down * step + 0.5) / this.size);
    });
  }

  draw() {
    const { size } = this;
    this.resized =
      this.filter === "bicubic"
        ? resize(this.source, size)
        : resizeOtherwise(this.source, size, this.filter);
    this.view.width = this.view.height = size;
    const pixels = new ImageData(size, size);
    for (let i = 0; i < size * size; i++) {
      for (let c = 0; c < 3; c++) pixels.data[i * 4 + c] = this.resized.rgb[i * 3 + c];
      pixels.data[i * 4 + 3] = 255;
    }
    this.view.getContext("2d").putImageData(pixels, 0, 0);
    this.view.setAttribute("aria-label", `${this.photo.alt}, ${size} by ${size} pixels`);
    this.go(this.u, this.v);
  }

  go(u, v) {
    const { size } = this;
    [this.x, this.y] = [u, v].map((t) => clamp(Math.floor(t * size), 0, size - 1));
    [this.u, this.v] = [(this.x + 0.5) / size, (this.y + 0.5) / size];
    const { rgb, across, down } = this.resized;
    const stages = range(3).flatMap((c) => {
      const level = rgb[(this.y * size + this.x) * 3 + c];
      return [level, fixed(level / 255, 4), fixed((level / 255 - 0.5) / 0.5, 4)];
    });
    this.sayAll(".pe-readout tbody td", stages);
    this.say(".pe-where", `pixel_values[0, :, ${this.y}, ${this.x}]`);
    const [wide, high] = [across[this.x].weights.length, down[this.y].weights.length];
    this.say(
      ".pe-from",
      wide * high === 1
        ? "a copy of 1 pixel of the photo"
        : `a mix of ${wide} × ${high} = ${wide * high} pixels of the photo`,
    );

    const mark = this.find(".pe-view .pe-mark");
    Object.assign(mark.style, { left: `${this.u * 100}%`, top: `${this.v * 100}%` });
    const lens = this.lens.getContext("2d");
    const half = (NEIGHBOURS - 1) / 2;
    lens.clearRect(0, 0, NEIGHBOURS, NEIGHBOURS);
    lens.drawImage(this.view, half - this.x, half - this.y);
  }
}

define("pixel-explorer", PixelExplorer);
