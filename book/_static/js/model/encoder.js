// The encoder, as siglip_lab/encoder.py: a stack of equal layers, the same code for image tokens
// and text tokens.

import { LayerNorm, Linear, Module, gelu, scaledDotProductAttention } from "./tensor.js";

// Each of N tokens gathers from all: [N, D] to [N, D].
export class Attention extends Module {
  constructor(part, numHeads) {
    super(part);
    this.numHeads = numHeads;
    this.qProj = new Linear(part.of("q_proj"));
    this.kProj = new Linear(part.of("k_proj"));
    this.vProj = new Linear(part.of("v_proj"));
    this.outProj = new Linear(part.of("out_proj"));
  }

  forward(x) {
    const [q, k, v] = [this.qProj.call(x), this.kProj.call(x), this.vProj.call(x)];
    const { tokens, weights } = scaledDotProductAttention(q, k, v, this.numHeads);
    this.part.show(weights, "weights"); // [H, N, N]
    return this.outProj.call(tokens); // [N, D]
  }
}

// Two linear maps with a GELU between them, on each token alone: [N, D] to [N, D].
export class MLP extends Module {
  constructor(part) {
    super(part);
    this.fc1 = new Linear(part.of("fc1"));
    this.fc2 = new Linear(part.of("fc2"));
  }

  forward(x) {
    return this.fc2.call(gelu(this.fc1.call(x)));
  }
}

// Attention, then MLP, each on normalised tokens and added to what came in: [N, D].
export class EncoderLayer extends Module {
  constructor(part, numHeads) {
    super(part);
    this.layerNorm1 = new LayerNorm(part.of("layer_norm1"));
    this.selfAttn = new Attention(part.of("self_attn"), numHeads);
    this.layerNorm2 = new LayerNorm(part.of("layer_norm2"));
    this.mlp = new MLP(part.of("mlp"));
  }

  forward(x) {
    x = x.add(this.selfAttn.call(this.layerNorm1.call(x)));
    return x.add(this.mlp.call(this.layerNorm2.call(x)));
  }
}

// `depth` layers, one after the other: [N, D] to [N, D], before the final norm.
export class Encoder extends Module {
  constructor(part, { depth, num_heads }) {
    super(part);
    this.layers = Array.from(
      { length: depth },
      (_, i) => new EncoderLayer(part.of(`layers.${i}`), num_heads),
    );
  }

  forward(x) {
    for (const layer of this.layers) x = layer.call(x);
    return x;
  }
}
