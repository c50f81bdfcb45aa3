// Parameters and FLOPs of a SigLIP, by arithmetic on its shape: siglip_lab/counting.py, in the
// browser. A shape is written as the library's configs are,
//   vision: { image_size, patch_size, width, depth, mlp_dim }
//   text:   { vocab_size, context_length, width, depth, mlp_dim }
// and a count is a tree of numbers, part by part, in the order of computation.

export const total = (count) =>
  typeof count === "number" ? count : Object.values(count).reduce((sum, part) => sum + total(part), 0);

export const numPatches = ({ image_size, patch_size }) => Math.floor(image_size / patch_size) ** 2;

const layers = (depth, layer) =>
  Object.fromEntries(Array.from({ length: depth }, (_, i) => [`layer ${i}`, layer]));

// ---- parameters ----

const layerParameters = ({ width: d, mlp_dim: m }) => ({
  norms: 2 * 2 * d, // two, each with a weight and a bias
  attention: 4 * (d * d + d), // q, k, v, out
  mlp: d * m + m + (m * d + d),
});

export function visionParameters(vision) {
  const { patch_size, width: d, depth } = vision;
  const layer = layerParameters(vision);
  return {
    embeddings: { patches: 3 * patch_size ** 2 * d + d, positions: numPatches(vision) * d },
    ...layers(depth, layer),
    "final norm": 2 * d,
    head: { probe: d, ...layer, norms: 2 * d }, // one norm instead of two
  };
}

export function textParameters(text, embedDim) {
  const { vocab_size, context_length, width: d, depth } = text;
  return {
    embeddings: { tokens: vocab_size * d, positions: context_length * d },
    ...layers(depth, layerParameters(text)),
    "final norm": 2 * d,
    head: d * embedDim + embedDim,
  };
}

export const countParameters = ({ vision, text }) => ({
  vision: visionParameters(vision),
  text: textParameters(text, vision.width),
  scalars: { "logit scale": 1, "logit bias": 1 },
});

// CLIP's with a ViT: a class token and a norm more, fewer biases, a projection for a head.
export function countClipParameters({ vision, text, embed_dim }) {
  const { patch_size, width: d } = vision;
  return {
    vision: {
      ...visionParameters(vision),
      embeddings: {
        patches: 3 * patch_size ** 2 * d,
        "class token": d,
        positions: (1 + numPatches(vision)) * d,
        norm: 2 * d,
      },
      head: d * embed_dim,
    },
    text: { ...textParameters(text, embed_dim), head: text.width * embed_dim },
    scalars: { "logit scale": 1 },
  };
}

// ---- floating-point operations: two for each multiplication with its addition ----

const layerFlops = ({ width: d, mlp_dim: m }, n) => ({
  attention: n * 4 * (2 * d * d), // q, k, v, out
  "attention map": 2 * (2 * n * n * d), // q k^T, map v; over all heads
  mlp: n * 2 * (2 * d * m),
});

export function visionFlops(vision, n = numPatches(vision)) {
  const { patch_size, width: d, depth, mlp_dim: m } = vision;
  return {
    embeddings: { patches: n * 2 * 3 * patch_size ** 2 * d },
    ...layers(depth, layerFlops(vision, n)),
    head: {
      attention: 2 * (2 * d * d) + n * 2 * (2 * d * d), // q, out; k, v of all tokens
      "attention map": 2 * (2 * n * d),
      mlp: 2 * (2 * d * m),
    },
  };
}

export const textFlops = (text, embedDim) => ({
  ...layers(text.depth, layerFlops(text, text.context_length)),
  head: 2 * text.width * embedDim, // one token's
});

// One image and one text.
export const countFlops = ({ vision, text }) => ({
  vision: visionFlops(vision),
  text: textFlops(text, vision.width),
  logits: 2 * vision.width,
});

// Forward and backward of one image: two more products for each, but one for the pixels'.
export function visionTrainingFlops(vision) {
  const flops = visionFlops(vision);
  return 3 * total(flops) - flops.embeddings.patches;
}

// ---- NaFlex: siglip_lab/siglip2, the grid of an image of any shape, and what its budget costs ----

// Rows and columns of patches; none where even one row or column is too long for the budget.
export function targetGrid(height, width, patch, budget) {
  const grid = (scale) => [height, width].map((side) => Math.max(1, Math.ceil((side * scale) / patch)));
  let [low, high] = [1e-6, 100]; // scales that fit, and that perhaps do not
  while (high - low >= 1e-5) {
    const middle = (low + high) / 2;
    const [rows, columns] = grid(middle);
    if (rows * columns <= budget) low = middle;
    else high = middle;
  }
  const [rows, columns] = grid(low);
  return rows * columns <= budget ? [rows, columns] : undefined;
}

// Padding costs what patches cost; each place is a weighted mean of the whole table of positions.
export function naflexFlops(vision, budget) {
  const { embeddings, ...rest } = visionFlops(vision, budget);
  const positions = 2 * budget * numPatches(vision) * vision.width;
  return { embeddings: { ...embeddings, positions }, ...rest };
}
