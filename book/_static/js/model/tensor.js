// What siglip_lab takes from PyTorch: tensors, the layers that hold weights, and four functions.
// One image or one text at a time, so shapes have no batch dimension.

export class Tensor {
  constructor(shape, data = new Float32Array(shape.reduce((a, b) => a * b, 1))) {
    this.shape = shape;
    this.data = data; // row by row
  }

  // The same numbers in another shape.
  reshape(...shape) {
    return new Tensor(shape, this.data);
  }

  // Rows `first` to `end` of the first dimension, without copying.
  rows(first, end) {
    const size = this.data.length / this.shape[0];
    return new Tensor([end - first, ...this.shape.slice(1)], this.data.subarray(first * size, end * size));
  }

  // n equal parts, along the first dimension.
  chunk(n) {
    const size = this.shape[0] / n;
    return [...Array(n).keys()].map((i) => this.rows(i * size, (i + 1) * size));
  }

  // [N, D] to [D, N].
  transpose() {
    const [n, d] = this.shape;
    const out = new Tensor([d, n]);
    for (let i = 0; i < n; i++) for (let j = 0; j < d; j++) out.data[j * n + i] = this.data[i * d + j];
    return out;
  }

  add(other) {
    return new Tensor(this.shape, this.data.map((value, i) => value + other.data[i]));
  }
}

// Tensors of one shape, side by side along a new first dimension.
export function stack(tensors) {
  if (!tensors.length) return new Tensor([0]);
  const { shape, data } = tensors[0];
  const out = new data.constructor(tensors.length * data.length);
  tensors.forEach((tensor, i) => out.set(tensor.data, i * data.length));
  return new Tensor([tensors.length, ...shape], out);
}

// ---- functions -----------------------------------------------------------------------------------

// x W^T + b: [N, I] to [N, O], with the weight [O, I] as PyTorch stores it. Four rows of x meet a row
// of the weight at once: four sums that need not wait for each other take a third of the time of one.
export function linear(x, weight, bias) {
  const [outs, ins] = weight.shape;
  const n = x.shape[0];
  const [a, w, b, out] = [x.data, weight.data, bias.data, new Float32Array(n * outs)];
  for (let row = 0; row < n; row += 4) {
    const [r0, r1, r2, r3] = [0, 1, 2, 3].map((i) => Math.min(row + i, n - 1)); // the last, again
    const [a0, a1, a2, a3] = [r0 * ins, r1 * ins, r2 * ins, r3 * ins];
    for (let o = 0; o < outs; o++) {
      let [s0, s1, s2, s3] = [b[o], b[o], b[o], b[o]];
      for (let i = 0, at = o * ins; i < ins; i++, at++) {
        const each = w[at];
        s0 += a[a0 + i] * each;
        s1 += a[a1 + i] * each;
        s2 += a[a2 + i] * each;
        s3 += a[a3 + i] * each;
      }
      out[r0 * outs + o] = s0;
      out[r1 * outs + o] = s1;
      out[r2 * outs + o] = s2;
      out[r3 * outs + o] = s3;
    }
  }
  return new Tensor([n, outs], out);
}

// Each row to mean 0 and variance 1, then times a weight and plus a bias: [N, D] to [N, D].
export function layerNorm(x, weight, bias, eps = 1e-6) {
  const [n, d] = x.shape;
  const out = new Tensor([n, d]);
  for (let row = 0; row < n; row++) {
    const values = x.data.subarray(row * d, (row + 1) * d);
    const mean = values.reduce((sum, value) => sum + value, 0) / d;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / d;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let i = 0; i < d; i++) {
      out.data[row * d + i] = (values[i] - mean) * scale * weight.data[i] + bias.data[i];
    }
  }
  return out;
}

// GELU in its tanh approximation, flax's default.
export function gelu(x) {
  const c = Math.sqrt(2 / Math.PI);
  const value = (v) => 0.5 * v * (1 + Math.tanh(c * (v + 0.044715 * v ** 3)));
  return new Tensor(x.shape, x.data.map(value));
}

// In place: a row of numbers to positive ones that sum to 1.
export function softmax(row) {
  const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i] = Math.exp(row[i] - largest);
  for (let i = 0; i < row.length; i++) row[i] /= sum;
}

// Queries [Q, D], keys and values [N, D], each row cut into H heads of d = D / H numbers: for each
// head softmax(q k^T / sqrt(d)) v. Gives the tokens [Q, D], and the weights [H, Q, N].
export function scaledDotProductAttention(q, k, v, numHeads) {
  const [queries, width] = q.shape;
  const n = k.shape[0];
  const d = width / numHeads;
  const weights = new Tensor([numHeads, queries, n]);
  const tokens = new Tensor([queries, width]);
  for (let head = 0; head < numHeads; head++) {
    for (let query = 0; query < queries; query++) {
      const at = query * width + head * d;
      const begin = (head * queries + query) * n;
      const row = weights.data.subarray(begin, begin + n);
      for (let key = 0; key < n; key++) {
        let dot = 0;
        for (let i = 0; i < d; i++) dot += q.data[at + i] * k.data[key * width + head * d + i];
        row[key] = dot / Math.sqrt(d);
      }
      softmax(row);
      for (let i = 0; i < d; i++) {
        let mix = 0;
        for (let key = 0; key < n; key++) mix += row[key] * v.data[key * width + head * d + i];
        tokens.data[at + i] = mix;
      }
    }
  }
  return { tokens, weights };
}

// ---- layers --------------------------------------------------------------------------------------

// A part of the model, under the name that it has in PyTorch and in the file. `call` computes, and
// lets who traces the model see the result.
export class Module {
  constructor(part) {
    this.part = part;
  }

  call(...inputs) {
    const output = this.forward(...inputs);
    if (output instanceof Tensor) this.part.show(output); // a tower's outputs are shown by its parts
    return output;
  }
}

export class Linear extends Module {
  constructor(part) {
    super(part);
    [this.weight, this.bias] = [part.weight("weight"), part.weight("bias")];
  }

  forward(x) {
    return linear(x, this.weight, this.bias);
  }
}

export class LayerNorm extends Module {
  constructor(part) {
    super(part);
    [this.weight, this.bias] = [part.weight("weight"), part.weight("bias")];
  }

  forward(x) {
    return layerNorm(x, this.weight, this.bias);
  }
}

// Looks up one row of a table [V, D] for each id: [L] to [L, D].
export class Embedding extends Module {
  constructor(part) {
    super(part);
    this.weight = part.weight("weight");
  }

  forward(ids) {
    const d = this.weight.shape[1];
    const out = new Tensor([ids.length, d]);
    ids.forEach((id, i) => out.data.set(this.weight.rows(id, id + 1).data, i * d));
    return out;
  }
}
