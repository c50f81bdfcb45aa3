// Images to pixel values, as siglip_lab/preprocessing.py and images.py: equal to the bit.

import { Tensor } from "./tensor.js";

// An image { width, height, data }, RGBA as a canvas has it, to pixel values [3, S, S] in [-1, 1].
export function preprocess(image, size) {
  const { width, height } = image;
  const { rgb } = resize({ rgb: loadImage(image), width, height }, size);
  return toPixelValues(rgb, size);
}

// RGBA to RGB: transparent parts are laid over white, rounded as Pillow rounds.
export function loadImage({ width, height, data }) {
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let i = 0, at = 0; i < data.length; i += 4) {
    for (let c = 0; c < 3; c++) {
      const mix = data[i + c] * data[i + 3] + 255 * (255 - data[i + 3]) + 128;
      rgb[at++] = ((mix >> 8) + mix) >> 8;
    }
  }
  return rgb;
}

// Squash an RGB image to a square of S x S pixels with a bicubic filter. Like Pillow: two passes, a
// filter that widens with the shrinking (antialiasing), weights in fixed point, and levels between
// the passes. Gives the taps, too: which pixels each pixel is mixed from.
export function resize({ rgb, width, height }, size) {
  const [across, down] = [bicubicTaps(width, size), bicubicTaps(height, size)];
  if (height > size && height - size > 2 * (width - size)) { // tall: so since Pillow 13
    const columns = resizeDown(rgb, width, height, down);
    return { rgb: resizeAcross(columns, width, size, across), across, down };
  }
  const rows = resizeAcross(rgb, width, height, across);
  return { rgb: resizeDown(rows, size, height, down), across, down };
}

export function toPixelValues(rgb, size) {
  const out = new Tensor([3, size, size]);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < size * size; i++) {
      out.data[c * size * size + i] = Math.fround(rgb[i * 3 + c] / 127.5) - 1;
    }
  }
  return out;
}

// For each output index: where its input pixels begin, and their weights.
export function bicubicTaps(from, to) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const end = Math.min(from, Math.trunc(centre + 2 * stretch + 0.5));
    const weights = [];
    for (let j = first; j < end; j++) weights.push(bicubic((j - centre + 0.5) * (1 / stretch)));
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => toFixedPoint(weight / total)) };
  });
}

function bicubic(x) {
  const a = -0.5;
  x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

const ONE = 2 ** 22; // Pillow's fixed point
const toFixedPoint = (weight) => Math.trunc(weight * ONE + (weight < 0 ? -0.5 : 0.5));

// One pass along the rows of an RGB image, or along its columns. The array clamps to levels.
function resizeAcross(source, width, height, taps) {
  const out = new Uint8ClampedArray(taps.length * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (const { first, weights } of taps) {
      for (let c = 0; c < 3; c++) {
        out[at++] = mix(source, (y * width + first) * 3 + c, 3, weights);
      }
    }
  }
  return out;
}

function resizeDown(source, width, height, taps) {
  const out = new Uint8ClampedArray(width * taps.length * 3);
  let at = 0;
  for (const { first, weights } of taps) {
    for (let i = 0; i < width * 3; i++) {
      out[at++] = mix(source, first * width * 3 + i, width * 3, weights);
    }
  }
  return out;
}

function mix(source, begin, step, weights) {
  let sum = ONE / 2;
  for (let k = 0; k < weights.length; k++) sum += source[begin + k * step] * weights[k];
  return Math.floor(sum / ONE);
}
