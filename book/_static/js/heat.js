// Tensors as pictures: heat maps, bars, veils over a drawing. Colours are read from the page, so
// that they follow its theme; a positive number has its side's colour, a negative one is grey.

import { paint } from "./scenes.js";
import { clamp } from "./touch.js";

const NAMES = { image: "--image", text: "--text", joint: "--joint", mistake: "--mistake",
  neutral: "--neutral", base: "--pst-color-text-base", muted: "--pst-color-text-muted",
  ground: "--pst-color-background", border: "--pst-color-border" };

// Name -> [r, g, b], as `element` has them now.
export function palette(element) {
  const style = getComputedStyle(element);
  const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  return Object.fromEntries(
    Object.entries(NAMES).map(([name, variable]) => {
      pen.fillStyle = style.getPropertyValue(variable);
      pen.fillRect(0, 0, 1, 1);
      return [name, [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)]];
    }),
  );
}

export const tone = (fill, alpha = 1) => `rgb(${fill.join(" ")} / ${alpha})`;
const blend = (from, to, share) => from.map((value, c) => value + (to[c] - value) * share);
export const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-9);

// One pixel a number; the style sheet makes the pixels large.
export function heat(canvas, rows, columns, values, fill, { ground, neutral }) {
  if (canvas.width !== columns || canvas.height !== rows) {
    Object.assign(canvas, { width: columns, height: rows });
  }
  const most = largest(values);
  const pixels = new ImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) {
    const share = values[i] / most;
    pixels.data.set(blend(ground, share < 0 ? neutral : fill, Math.abs(share)), 4 * i);
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// The 40 x 40 pixels: all channels, or one of them.
export function pixels(canvas, { shape, data }, channel = null) {
  const [, , height, width] = shape;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const picture = new ImageData(width, height);
  const size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) {
      const value = channel === null || channel === c ? data[c * size + i] : -1;
      picture.data[4 * i + c] = Math.round((value + 1) * 127.5);
    }
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// A context in CSS pixels, as sharp as the screen, with nothing on it.
export function clean(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = globalThis.devicePixelRatio || 1;
  const [w, h] = [width, height].map((length) => Math.max(1, Math.round(length * scale)));
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// Numbers as bars up and down from a middle line; the marked one is framed.
export function bars(canvas, values, fill, colours, { most = largest(values), mark } = {}) {
  const { neutral, base } = colours;
  const { pen, width, height } = clean(canvas);
  const [step, middle] = [width / values.length, height / 2];
  if (mark !== undefined) {
    pen.fillStyle = tone(base, 0.14);
    pen.fillRect(mark * step - 1, 0, step + 2, height);
  }
  values.forEach((value, i) => {
    const length = (clamp(value / most, -1, 1) * height) / 2;
    pen.fillStyle = tone(value < 0 ? neutral : fill);
    pen.fillRect(i * step, Math.min(middle, middle - length), Math.max(step - 0.7, 0.6),
      Math.max(Math.abs(length), 0.5));
  });
}

// A drawing under its patches: each is veiled the more, the less of the weight it has.
export function veils(canvas, scene, weights, { mistake }, { mark, numbers = false } = {}) {
  const { pen, width } = clean(canvas);
  paint(pen, scene, width);
  const side = Math.sqrt(weights.length);
  const step = (width * 0.9) / side; // 36 of 40 pixels; the other four belong to no patch
  const most = Math.max(...weights);
  const at = (patch) => [(patch % side) * step, Math.floor(patch / side) * step];
  weights.forEach((weight, patch) => {
    pen.fillStyle = `rgb(17 24 39 / ${0.82 * (1 - weight / most)})`;
    pen.fillRect(...at(patch), step, step);
  });
  margin(pen, width, side * step, tone(mistake, 0.85));
  if (!numbers) return;
  pen.strokeStyle = "rgb(255 255 255 / 0.55)";
  pen.lineWidth = 1;
  for (let i = 0; i < weights.length; i++) pen.strokeRect(...at(i), step, step);
  Object.assign(pen, { font: `600 ${Math.max(11, step * 0.32)}px sans-serif`, textAlign: "center",
    textBaseline: "middle", lineJoin: "round", lineWidth: 3, strokeStyle: "#111827",
    fillStyle: "#fff" });
  weights.forEach((weight, patch) => {
    const share = Math.round(100 * weight);
    if (!share) return;
    const [x, y] = at(patch).map((start) => start + step / 2);
    pen.strokeText(share, x, y);
    pen.fillText(share, x, y);
  });
  if (mark !== undefined) frame(pen, ...at(mark), step);
}

// What lies right of and below the patches.
export function margin(pen, width, seen, colour) {
  pen.beginPath();
  pen.rect(0, 0, width, width);
  pen.rect(0, 0, seen, seen);
  pen.fillStyle = colour;
  pen.fill("evenodd");
}

export function frame(pen, x, y, side) {
  for (const [colour, width] of [["#fff", 4], ["#111827", 2]]) {
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.strokeRect(x + 1, y + 1, side - 2, side - 2);
  }
}
