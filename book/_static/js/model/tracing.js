// Every named intermediate, as siglip_lab/tracing.py: name -> tensor, of one image or one text.

import { Tensor } from "./tensor.js";

export function traceImage(model, pixelValues) {
  model.part.trace.clear();
  const embeds = model.encodeImage(pixelValues);
  return new Map(model.part.trace).set("pixel_values", pixelValues).set("image_embeds", embeds);
}

export function traceText(model, inputIds) {
  model.part.trace.clear();
  const embeds = model.encodeText(inputIds);
  const ids = new Tensor([inputIds.length], inputIds);
  return new Map(model.part.trace).set("input_ids", ids).set("text_embeds", embeds);
}
