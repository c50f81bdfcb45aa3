// What emoji-search asks: which stored vectors are nearest to a text, or to a stored picture.
//
//   await model.run({ search: { text: "dog" }, most: 12 }); // pictures
//   await model.run({ search: { picture: 517 }, most: 5 }); // names, of the picture in row 517
//
// The answer is a list, the best first, of { place, name, cosine, probability }.

import { dot } from "./model.js";
import { Tensor } from "./tensor.js";

export function search({ model, tokenizer, tensors, names }, { search: { text, picture }, most }) {
  const row = (name, i) => new Tensor([], tensors.get(name).rows(i, i + 1).data);
  const [asked, table] =
    picture === undefined
      ? [model.encodeText(tokenizer.call(text)), "image_embeds"]
      : [row("image_embeds", picture), "name_embeds"];
  const found = names.map((name, place) => ({ place, name, cosine: dot(asked, row(table, place)) }));
  found.sort((a, b) => b.cosine - a.cosine);
  return found.slice(0, most).map((each) => ({
    ...each,
    probability: model.toProbability(model.toLogit(each.cosine)),
  }));
}
