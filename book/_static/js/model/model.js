// What joins the two towers, as siglip_lab/model.py: unit vectors, then logits.

import { Module, Tensor } from "./tensor.js";
import { TextTower, VisionTower } from "./towers.js";

// logit = exp(logit_scale) * cos(image, text) + logit_bias, and the sigmoid of a logit is the
// probability that the text belongs to the image.
// Where the pictures' vectors are stored, there is no image tower.
export class SigLIP extends Module {
  constructor(part, config) {
    super(part);
    this.config = config;
    if (config.vision) this.visionModel = new VisionTower(part.of("vision_model"), config.vision);
    this.textModel = new TextTower(part.of("text_model"), config.text);
    this.logitScale = part.weight("logit_scale").data[0]; // log t
    this.logitBias = part.weight("logit_bias").data[0];
  }

  encodeImage(pixelValues) {
    return l2Normalize(this.visionModel.call(pixelValues).poolerOutput);
  }

  encodeText(inputIds) {
    return l2Normalize(this.textModel.call(inputIds).poolerOutput);
  }

  toLogit(cosine) {
    return cosine * Math.exp(this.logitScale) + this.logitBias;
  }

  // Each pair's own probability: pairs are questions apart.
  toProbability(logit) {
    return 1 / (1 + Math.exp(-logit));
  }
}

// Scale a vector to length 1.
export function l2Normalize(x) {
  const length = Math.sqrt(dot(x, x));
  return new Tensor(x.shape, x.data.map((value) => value / Math.max(length, 1e-12)));
}

// Of unit vectors: their cosine.
export function dot(a, b) {
  return a.data.reduce((sum, value, i) => sum + value * b.data[i], 0);
}
