// Pooling heads, as siglip_lab/pooling.py: many tokens become one vector.

import { MLP } from "./encoder.js";
import { LayerNorm, Linear, Module, linear, scaledDotProductAttention } from "./tensor.js";

// Cross-attention: Q probes gather from N tokens, [Q, D] and [N, D] to [Q, D]. The projections of
// q, k and v are stored as one matrix [3D, D], as in the published files.
export class ProbeAttention extends Module {
  constructor(part, numHeads) {
    super(part);
    this.numHeads = numHeads;
    this.inProjWeight = part.weight("in_proj_weight");
    this.inProjBias = part.weight("in_proj_bias");
    this.outProj = new Linear(part.of("out_proj"));
  }

  forward(probe, tokens) {
    const [weights, biases] = [this.inProjWeight.chunk(3), this.inProjBias.chunk(3)];
    const [q, k, v] = [probe, tokens, tokens].map((x, i) => linear(x, weights[i], biases[i]));
    const answer = scaledDotProductAttention(q, k, v, this.numHeads);
    this.part.show(answer.weights, "weights"); // [H, Q, N]
    return this.outProj.call(answer.tokens);
  }
}

// Multi-head attention pooling: [N, D] to [D]. The probe, a learned vector, asks; all tokens
// answer; an MLP refines.
export class MAPHead extends Module {
  constructor(part, numHeads) {
    super(part);
    this.probe = part.weight("probe"); // [1, 1, D]
    this.attention = new ProbeAttention(part.of("attention"), numHeads);
    this.layernorm = new LayerNorm(part.of("layernorm"));
    this.mlp = new MLP(part.of("mlp"));
  }

  forward(tokens) {
    const probe = this.probe.reshape(1, this.probe.data.length); // [1, D]
    let x = this.attention.call(probe, tokens); // [1, D]; the probe itself is not added
    x = x.add(this.mlp.call(this.layernorm.call(x)));
    return x.reshape(x.data.length); // [D]
  }
}

// The last token, whatever it is, through a linear map with bias: [L, D] to [E].
export class LastTokenHead extends Linear {
  forward(tokens) {
    const x = super.forward(tokens.rows(tokens.shape[0] - 1, tokens.shape[0]));
    return x.reshape(x.data.length);
  }
}
