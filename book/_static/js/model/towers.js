// The two towers, as siglip_lab/towers.py.

import { Encoder } from "./encoder.js";
import { VisionEmbeddings } from "./patches.js";
import { LastTokenHead, MAPHead } from "./pooling.js";
import { Embedding, LayerNorm, Module } from "./tensor.js";

// Pixel values [3, S, S] to tokens [N, D] and one vector [D].
export class VisionTower extends Module {
  constructor(part, config) {
    super(part);
    this.embeddings = new VisionEmbeddings(part.of("embeddings"));
    this.encoder = new Encoder(part.of("encoder"), config);
    this.postLayernorm = new LayerNorm(part.of("post_layernorm"));
    this.head = new MAPHead(part.of("head"), config.num_heads);
  }

  forward(pixelValues) {
    const x = this.postLayernorm.call(this.encoder.call(this.embeddings.call(pixelValues)));
    return { lastHiddenState: x, poolerOutput: this.head.call(x) };
  }
}

// Token embedding plus position embedding: ids [L] to [L, D].
export class TextEmbeddings extends Module {
  constructor(part) {
    super(part);
    this.tokenEmbedding = new Embedding(part.of("token_embedding"));
    this.positionEmbedding = new Embedding(part.of("position_embedding"));
  }

  forward(inputIds) {
    return this.tokenEmbedding.call(inputIds).add(this.positionEmbedding.weight);
  }
}

// Ids [L] to tokens [L, D] and one vector [E]. There is no attention mask: padding is attended to.
export class TextTower extends Module {
  constructor(part, config) {
    super(part);
    this.embeddings = new TextEmbeddings(part.of("embeddings"));
    this.encoder = new Encoder(part.of("encoder"), config);
    this.finalLayerNorm = new LayerNorm(part.of("final_layer_norm"));
    this.head = new LastTokenHead(part.of("head"));
  }

  forward(inputIds) {
    const x = this.finalLayerNorm.call(this.encoder.call(this.embeddings.call(inputIds)));
    return { lastHiddenState: x, poolerOutput: this.head.call(x) };
  }
}
