// The small world of the chapter on losses, and its training: two towers of two layers, gradients
// written by hand, AdamW. Matrices are Float64Arrays, row by row; [n, k] in a comment is a shape.

import { range, sigmoid, sum } from "./touch.js";

const [IDEA, INPUT, HIDDEN, OUTPUT] = [8, 32, 64, 16]; // numbers in an idea, a photo, a vector
const [LEARNED, HELD_OUT, BATCH] = [1024, 256, 256]; // pairs
const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));

// ---- random numbers, the same in every browser -------------------------------------------------

// Numbers from 0 to 1; the generator is called mulberry32.
export function randomNumbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

const fill = (n, draw) => Float64Array.from({ length: n }, draw);
const normals = (random, n) =>
  fill(n, () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));

function shuffled(random, n) {
  const order = range(n);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// ---- products of matrices ----------------------------------------------------------------------

// [n, k] times [m, k] turned over: [n, m].
function timesTurned(a, b, k) {
  const [n, m] = [a.length / k, b.length / k];
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < m; j++) {
      let product = 0;
      for (let l = 0; l < k; l++) product += a[i * k + l] * b[j * k + l];
      out[i * m + j] = product;
    }
  return out;
}

// [n, k] times [k, m]: [n, m].
function times(a, b, k) {
  const [n, m] = [a.length / k, b.length / k];
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let l = 0; l < k; l++) {
      const factor = a[i * k + l];
      for (let j = 0; j < m; j++) out[i * m + j] += factor * b[l * m + j];
    }
  return out;
}

// [n, k] turned over, times [n, m]: [k, m].
function turnedTimes(a, b, n) {
  const [k, m] = [a.length / n, b.length / n];
  const out = new Float64Array(k * m);
  for (let i = 0; i < n; i++)
    for (let l = 0; l < k; l++) {
      const factor = a[i * k + l];
      for (let j = 0; j < m; j++) out[l * m + j] += factor * b[i * m + j];
    }
  return out;
}

// ---- a tower: linear, tanh, linear, length 1 ---------------------------------------------------

// weights: [HIDDEN, INPUT], [HIDDEN], [OUTPUT, HIDDEN], [OUTPUT], as PyTorch keeps them.
function linear(x, weight, bias) {
  const out = timesTurned(x, weight, weight.length / bias.length);
  for (let i = 0; i < out.length; i++) out[i] += bias[i % bias.length];
  return out;
}

export function encode([weight1, bias1, weight2, bias2], x) {
  const hidden = linear(x, weight1, bias1).map(Math.tanh); // [n, HIDDEN]
  const unit = linear(hidden, weight2, bias2); // [n, OUTPUT]
  const lengths = new Float64Array(unit.length / OUTPUT);
  for (let i = 0; i < lengths.length; i++) {
    const row = unit.subarray(i * OUTPUT, (i + 1) * OUTPUT);
    lengths[i] = Math.hypot(...row);
    for (let l = 0; l < OUTPUT; l++) row[l] /= lengths[i];
  }
  return { x, hidden, unit, lengths };
}

const sumOfRows = (a, k) => {
  const out = new Float64Array(k);
  for (let i = 0; i < a.length; i++) out[i % k] += a[i];
  return out;
};

// The gradients of a tower's four weights, from that of its vectors, [n, OUTPUT].
function backward([, , weight2], { x, hidden, unit, lengths }, toUnit) {
  const n = lengths.length;
  // What points along a vector would only change its length, which is always 1.
  const toOut = new Float64Array(toUnit.length);
  for (let i = 0; i < n; i++) {
    let along = 0;
    for (let l = i * OUTPUT; l < (i + 1) * OUTPUT; l++) along += unit[l] * toUnit[l];
    for (let l = i * OUTPUT; l < (i + 1) * OUTPUT; l++)
      toOut[l] = (toUnit[l] - along * unit[l]) / lengths[i];
  }
  const toSum = times(toOut, weight2, OUTPUT); // [n, HIDDEN]
  for (let i = 0; i < toSum.length; i++) toSum[i] *= 1 - hidden[i] * hidden[i];
  return [
    turnedTimes(toSum, x, n),
    sumOfRows(toSum, HIDDEN),
    turnedTimes(toOut, hidden, n),
    sumOfRows(toOut, OUTPUT),
  ];
}

// ---- the losses: from logits [n, n] to the loss and its gradient with respect to each ----------

function sigmoidLoss(logits, n) {
  let loss = 0;
  const forces = logits.map((logit, k) => {
    const own = k % (n + 1) === 0; // on the diagonal
    loss += softplus(own ? -logit : logit) / n;
    return (sigmoid(logit) - own) / n;
  });
  return { loss, forces };
}

function diagonalLoss(logits, n) {
  let loss = 0;
  const forces = new Float64Array(n * n);
  for (let k = 0; k < n * n; k += n + 1) {
    loss += softplus(-logits[k]) / n;
    forces[k] = (sigmoid(logits[k]) - 1) / n;
  }
  return { loss, forces };
}

// The bias shifts all logits alike: it leaves each share as it is.
function softmaxLoss(logits, n) {
  let loss = 0;
  const forces = new Float64Array(n * n);
  for (const [outer, inner] of [[n, 1], [1, n]]) // rows, then columns
    for (let i = 0; i < n; i++) {
      const line = range(n).map((j) => i * outer + j * inner);
      const top = Math.max(...line.map((k) => logits[k]));
      const total = sum(line.map((k) => Math.exp(logits[k] - top)));
      const own = i * (n + 1);
      loss += (Math.log(total) + top - logits[own]) / (2 * n);
      for (const k of line) forces[k] += Math.exp(logits[k] - top) / total / (2 * n);
      forces[own] -= 1 / (2 * n);
    }
  return { loss, forces };
}

export const LOSSES = { sigmoid: sigmoidLoss, softmax: softmaxLoss, diagonal: diagonalLoss };

// ---- the model: two towers and [log t, b] ------------------------------------------------------

export function cosinesOf({ image, text }, photos, captions) {
  const [x, y] = [encode(image, photos), encode(text, captions)];
  return { x, y, cosines: timesTurned(x.unit, y.unit, OUTPUT) };
}

const weightsOf = ({ image, text, scalars }) => [...image, ...text, scalars];

// The loss of a batch, and its gradient with respect to each of the nine weights.
export function lossAndGradients(model, photos, captions, kind) {
  const n = photos.length / INPUT;
  const { x, y, cosines } = cosinesOf(model, photos, captions);
  const [t, b] = [Math.exp(model.scalars[0]), model.scalars[1]];
  const { loss, forces } = LOSSES[kind](cosines.map((cosine) => t * cosine + b), n);
  const toCosines = forces.map((force) => t * force);
  const toX = times(toCosines, y.unit, n);
  const toY = turnedTimes(toCosines, x.unit, n);
  const toLogT = toCosines.reduce((total, to, k) => total + to * cosines[k], 0);
  const toB = kind === "softmax" ? 0 : sum([...forces]); // there the forces cancel
  return {
    loss,
    gradients: [
      ...backward(model.image, x, toX),
      ...backward(model.text, y, toY),
      Float64Array.of(toLogT, toB),
    ],
  };
}

export class AdamW {
  constructor(weights, { rate = 0.01, betas = [0.9, 0.95], epsilon = 1e-8, decay = 0.01 } = {}) {
    Object.assign(this, { weights, rate, betas, epsilon, decay, steps: 0 });
    this.means = weights.map(({ length }) => new Float64Array(length));
    this.squares = weights.map(({ length }) => new Float64Array(length));
  }

  step(gradients) {
    this.steps += 1;
    const [beta1, beta2] = this.betas;
    const [young1, young2] = this.betas.map((beta) => 1 - beta ** this.steps);
    this.weights.forEach((weight, w) => {
      const [gradient, mean, square] = [gradients[w], this.means[w], this.squares[w]];
      for (let i = 0; i < weight.length; i++) {
        mean[i] = beta1 * mean[i] + (1 - beta1) * gradient[i];
        square[i] = beta2 * square[i] + (1 - beta2) * gradient[i] ** 2;
        const size = Math.sqrt(square[i] / young2) + this.epsilon;
        weight[i] -= this.rate * (this.decay * weight[i] + mean[i] / young1 / size);
      }
    });
  }
}

// ---- the whole run -----------------------------------------------------------------------------

const rowsOf = (matrix, rows) => {
  const out = new Float64Array(rows.length * INPUT);
  rows.forEach((row, i) => out.set(matrix.subarray(row * INPUT, (row + 1) * INPUT), i * INPUT));
  return out;
};

// A photo is 32 mixtures of an idea's numbers, with noise; a caption, 32 others.
function makeWorld(random) {
  const n = LEARNED + HELD_OUT;
  const ideas = normals(random, n * IDEA);
  return [2, -2].map((shift) => {
    const mixed = times(ideas, normals(random, IDEA * INPUT), IDEA);
    const noise = normals(random, n * INPUT);
    return mixed.map((value, i) => value + noise[i] / 2 + shift);
  });
}

// As PyTorch's Linear begins.
function makeTower(random) {
  const uniform = (n, inputs) => fill(n, () => (2 * random() - 1) / Math.sqrt(inputs));
  return [
    uniform(HIDDEN * INPUT, INPUT), uniform(HIDDEN, INPUT),
    uniform(OUTPUT * HIDDEN, HIDDEN), uniform(OUTPUT, HIDDEN),
  ];
}

export class Training {
  constructor({ loss, bias, seed, scale = 10 }) {
    const random = randomNumbers(seed);
    const [photos, captions] = makeWorld(random);
    const [image, text] = [makeTower(random), makeTower(random)];
    const model = { image, text, scalars: Float64Array.of(Math.log(scale), bias) };
    const heldOut = range(HELD_OUT).map((i) => LEARNED + i);
    Object.assign(this, { random, photos, captions, model, kind: loss });
    this.test = [rowsOf(photos, heldOut), rowsOf(captions, heldOut)];
    this.optimizer = new AdamW(weightsOf(model));
  }

  get steps() {
    return this.optimizer.steps;
  }

  step(rows = shuffled(this.random, LEARNED).slice(0, BATCH)) {
    const batch = [rowsOf(this.photos, rows), rowsOf(this.captions, rows)];
    this.optimizer.step(lossAndGradients(this.model, ...batch, this.kind).gradients);
  }

  // What the pairs say that it does not learn from.
  look() {
    const n = HELD_OUT;
    const { cosines } = cosinesOf(this.model, ...this.test);
    const [t, b] = [Math.exp(this.model.scalars[0]), this.model.scalars[1]];
    const logits = cosines.map((cosine) => t * cosine + b);
    const seen = { own: 0, others: 0, yesToOwn: 0, yesToOthers: 0, best: 0 };
    for (let i = 0; i < n; i++) {
      const row = cosines.subarray(i * n, (i + 1) * n);
      const yes = row.reduce((total, cosine) => total + (t * cosine + b > 0), 0);
      const ownYes = Number(t * row[i] + b > 0);
      seen.own += row[i] / n;
      seen.others += (row.reduce((total, cosine) => total + cosine, 0) - row[i]) / (n * (n - 1));
      seen.yesToOwn += ownYes / n;
      seen.yesToOthers += (yes - ownYes) / n; // for each photo
      seen.best += (row.indexOf(Math.max(...row)) === i) / n;
    }
    return { ...seen, cosines, t, b, loss: LOSSES[this.kind](logits, n).loss };
  }
}
