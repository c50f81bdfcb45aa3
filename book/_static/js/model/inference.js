// What a figure asks of the model, and the answer: tiny.js says what is in them.

import { dot } from "./model.js";
import { preprocess } from "./preprocessing.js";
import { stack } from "./tensor.js";
import { traceImage, traceText } from "./tracing.js";

const REMEMBERED = 64; // captions: 200 kB each
const texts = new Map(); // caption -> its pieces and its trace, the last used at the end

function readText({ model, tokenizer }, caption) {
  const text = texts.get(caption) ?? {
    pieces: tokenizer.pieces(caption),
    trace: traceText(model, tokenizer.call(caption)),
  };
  texts.delete(caption);
  texts.set(caption, text);
  return text;
}

export function answer(loaded, { image, captions, wanted = [] }) {
  const begin = performance.now();
  const { model } = loaded;
  const vision = traceImage(model, preprocess(image, model.config.vision.image_size));
  const read = captions.map((caption) => readText(loaded, caption));
  for (const caption of texts.keys()) {
    if (texts.size <= REMEMBERED) break;
    texts.delete(caption);
  }

  const imageEmbeds = vision.get("image_embeds");
  const textEmbeds = read.map(({ trace }) => trace.get("text_embeds"));
  const cosines = Float32Array.from(textEmbeds, (text) => dot(imageEmbeds, text));
  const logits = cosines.map((cosine) => model.toLogit(cosine));
  const probabilities = logits.map((logit) => model.toProbability(logit));

  const joint = { logits_per_image: logits, probabilities };
  const find = (name) => {
    if (joint[name]) return { shape: [1, captions.length], data: joint[name] };
    if (vision.has(name)) return stack([vision.get(name)]);
    const ofTexts = read.map(({ trace }) => trace.get(name));
    if (ofTexts.every(Boolean)) return stack(ofTexts);
    throw new Error(`The model has no ${name}; the names are those of sl.trace.`);
  };
  return {
    logits,
    probabilities,
    cosines,
    logitScale: Math.exp(model.logitScale),
    logitBias: model.logitBias,
    imageEmbeds: imageEmbeds.data,
    textEmbeds: textEmbeds.map((text) => text.data),
    pieces: read.map(({ pieces }) => pieces),
    ids: read.map(({ trace }) => trace.get("input_ids").data),
    tensors: Object.fromEntries(wanted.map((name) => [name, find(name)])),
    milliseconds: performance.now() - begin,
  };
}
