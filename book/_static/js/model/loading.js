// From a file to a model, as siglip_lab/loading: safetensors, in half precision.

import { SigLIP } from "./model.js";
import { Tensor } from "./tensor.js";
import { Tokenizer } from "./tokenizer.js";

// The model and its tokenizer, from a folder of the site.
export async function fromPretrained(folder) {
  const get = async (name) => {
    const response = await fetch(new URL(name, folder));
    if (response.ok) return response;
    throw new Error(`The site has no ${name} (${response.status}): build it again.`);
  };
  const files = [get("model.safetensors"), get("vocabulary.txt")];
  const [weights, vocabulary] = await Promise.all(files);
  const { tensors, config, names } = readSafetensors(await weights.arrayBuffer());
  const model = new SigLIP(new Part(tensors), config);
  const tokenizer = new Tokenizer(await vocabulary.text(), config.text.context_length);
  return { model, tokenizer, tensors, names };
}

// Eight bytes that give the length of the header; the header, as JSON, that says of each tensor its
// shape and where it is; the numbers. The configuration stands among the header's metadata,
// and the names of what is stored as vectors.
export function readSafetensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const { __metadata__: metadata, ...entries } = header;
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    if (dtype !== "F16") throw new Error(`${name} has numbers of type ${dtype}; expected F16.`);
    const [begin, end] = data_offsets;
    const bits = new Uint16Array(buffer.slice(8 + length + begin, 8 + length + end));
    const data = new Float32Array(bits.length);
    bits.forEach((each, i) => (data[i] = fromFloat16(each)));
    tensors.set(name, new Tensor(shape, data));
  }
  const { config, names = "[]" } = metadata;
  return { tensors, config: JSON.parse(config), names: JSON.parse(names) };
}

// One bit of sign, five of exponent, ten of fraction.
function fromFloat16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14; // the smallest, and zero
  return sign * (1 + fraction) * 2 ** (exponent - 15); // 31 would be infinite: no weight is
}

// A place in the model, by the name of its module: its weights, and the notes of who traces it.
export class Part {
  constructor(tensors, name = "", trace = new Map()) {
    Object.assign(this, { tensors, name, trace });
  }

  of(name) {
    return new Part(this.tensors, this.path(name), this.trace);
  }

  weight(name) {
    const tensor = this.tensors.get(this.path(name));
    if (!tensor) throw new Error(`The file of the weights has no ${this.path(name)}.`);
    return tensor;
  }

  show(output, name = "") {
    this.trace.set(this.path(name), output);
  }

  path(name) {
    return [this.name, name].filter(Boolean).join(".");
  }
}
