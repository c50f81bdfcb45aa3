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
    const size = this.shape.slice(1).reduce((a, b) => a * b, 1);
    const data = this.data.subarray(first * size, end * size);
    return new Tensor([end - first, ...this.shape.slice(1)], data);
  }

  // n equal parts, along the first dimension.
  chunk(n) {
    const size = Math.floor(this.shape[0] / n);
    return [...Array(n).keys()].map((i) => this.rows(i * size, (i + 1) * size));
  }

  // [N, D] to [D, N].
  transpose() {
    const [n, d] = this.shape;
    const out = new Tensor([d, n]);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < d; j++) out.data[j * n + i] = this.data[i * d + j];
    }
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

// x W^T + b: [N, I] to [N, O], with the weight [O, I] as PyTorch stores it. Two rows of x meet two
// rows of the weight at once: four sums that need not wait for each other, from numbers that are
// read half as often, take a third of the time of one sum after the other.
export function linear(x, weight, bias) {
  const [outs, ins] = weight.shape;
  const n = x.shape[0];
  const [a, w, b, out] = [x.data, weight.data, bias.data, new Float32Array(n * outs)];
  for (let n0 = 0; n0 < n; n0 += 2) {
    const n1 = Math.min(n0 + 1, n - 1); // past the end: the last row again
    const a0 = n0 * ins;
    const a1 = n1 * ins;
    for (let o0 = 0; o0 < outs; o0 += 2) {
      const o1 = Math.min(o0 + 1, outs - 1);
      const w0 = o0 * ins;
      const w1 = o1 * ins;
      let s00 = b[o0];
      let s01 = b[o1];
      let s10 = b[o0];
      let s11 = b[o1];
      for (let i = 0; i < ins; i++) {
        const x0 = a[a0 + i];
        const x1 = a[a1 + i];
        const y0 = w[w0 + i];
        const y1 = w[w1 + i];
        s00 += x0 * y0;
        s01 += x0 * y1;
        s10 += x1 * y0;
        s11 += x1 * y1;
      }
      out[n0 * outs + o0] = s00;
      out[n0 * outs + o1] = s01;
      out[n1 * outs + o0] = s10;
      out[n1 * outs + o1] = s11;
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
  const value = (v) => 0.5 * v * (1 + Math.tanh(c * (v + 0.044715 * v * v * v)));
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
  const d = Math.floor(width / numHeads);
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
    if (output instanceof Tensor) this.part.show(output); // a tower shows its parts
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
