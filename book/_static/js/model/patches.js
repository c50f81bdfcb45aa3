// Pixels to tokens, as siglip_lab/patches.py: cut the image into patches, project each to a vector,
// add its position.

import { Embedding, Linear, Module, Tensor, linear } from "./tensor.js";

// [3, H, W] to [N, 3 * P * P], row by row; what is left over at the bottom and at the right is
// dropped. The numbers of a patch are ordered as in a convolution's kernel: channel, row, column.
export function patchify(pixelValues, patchSize) {
  const [channels, height, width] = pixelValues.shape;
  const [rows, columns] = [Math.floor(height / patchSize), Math.floor(width / patchSize)];
  const out = new Tensor([rows * columns, channels * patchSize * patchSize]);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let y = 0; y < patchSize; y++) {
          const begin = (channel * height + row * patchSize + y) * width + column * patchSize;
          out.data.set(pixelValues.data.subarray(begin, begin + patchSize), at);
          at += patchSize;
        }
      }
    }
  }
  return out;
}

// The strided convolution: a kernel [D, 3, P, P] against each patch, to [D, rows, columns].
class PatchEmbedding extends Linear {
  forward(pixelValues) {
    const [width, channels, patchSize] = this.weight.shape;
    // Not `patchSize ** 2`: a power is a float to the engine, and so would be every index from it.
    const kernel = this.weight.reshape(width, channels * patchSize * patchSize);
    const side = Math.floor(pixelValues.shape[1] / patchSize);
    const x = linear(patchify(pixelValues, patchSize), kernel, this.bias); // [N, D]
    return x.transpose().reshape(width, side, side);
  }
}

// [3, S, S] to [N, D]. There is no class token, and no norm before the first layer.
export class VisionEmbeddings extends Module {
  constructor(part) {
    super(part);
    this.patchEmbedding = new PatchEmbedding(part.of("patch_embedding"));
    this.positionEmbedding = new Embedding(part.of("position_embedding"));
  }

  forward(pixelValues) {
    const x = this.patchEmbedding.call(pixelValues); // [D, rows, columns]
    const positions = this.positionEmbedding.weight; // [N, D]
    return x.reshape(x.shape[0], positions.shape[0]).transpose().add(positions);
  }
}
