// The trained models, running in the page: what a figure asks tiny, and what it answers. What it
// asks emoji stands in model/search.js.
//
//   const model = await tiny();
//   const answer = await model.run({
//     image: { width, height, data }, // RGBA, as a canvas gives it, of any size
//     captions: ["a red circle"],
//     wanted: ["vision_model.encoder.layers.0"], // may be left out
//   });
//
// `wanted` are names of sl.trace, and the attention weights after the softmax:
// "vision_model.encoder.layers.0.self_attn.weights" [1, H, N, N], the same of the text model
// [n_txt, H, L, L], and "vision_model.head.attention.weights" [1, H, 1, N]. The answer has
//
//   logits, probabilities, cosines: Float32Array [n_txt]; logitScale (t, not its log), logitBias;
//   imageEmbeds: Float32Array [72]; textEmbeds: one such for each caption;
//   pieces: those of each caption, uncut; ids: Int32Array [16] for each caption;
//   tensors: { name: { shape, data } }; milliseconds, of the computation.

const start = (name) =>
  new Promise((resolve, reject) => {
    if (location.protocol === "file:") {
      throw new Error("A page opened from a file cannot load the model: run `make serve`.");
    }
    const root = new URL(document.documentElement.dataset.content_root ?? "", document.baseURI);
    const worker = new Worker(new URL(`_static/js/model/worker.js#${name}`, root), {
      type: "module",
    });
    const waiting = new Map(); // number of a question -> what to do with its answer
    worker.onmessage = ({ data: { ready, number, answer, error } }) => {
      if (ready) resolve({ worker, waiting, asked: 0 });
      else if (ready === false) reject(new Error(error));
      else if (error) waiting.get(number).reject(new Error(error));
      else waiting.get(number).resolve(answer);
      waiting.delete(number);
    };
    worker.onerror = () => reject(new Error("The model cannot be loaded: is the site still there?"));
  });

class PageModel {
  constructor(running) {
    this.running = running;
    this.working = Promise.resolve();
  }

  // Questions are answered in their order, whoever asks.
  run(question) {
    return new Promise((resolve, reject) => {
      const number = this.running.asked++;
      this.running.waiting.set(number, { resolve, reject });
      this.running.worker.postMessage({ number, question });
    });
  }

  // For questions that follow a moving hand: while one is answered, only the last of those that
  // come is kept; the others give undefined.
  async newest(question) {
    this.next = question;
    await this.working.catch(() => {});
    if (this.next !== question) return undefined;
    this.working = this.run(question);
    return this.working;
  }
}

// One worker a page and model, for figures that each have their own copy of this script; to each
// caller its own `newest`. Where it fails, the error says why in words for the reader, and the next
// call tries again.
export async function pageModel(name) {
  const started = (globalThis.siglipModels ??= {});
  started[name] ??= start(name).catch((error) => {
    delete started[name];
    throw error;
  });
  return new PageModel(await started[name]);
}

export const tiny = () => pageModel("tiny");
