// Parameters and FLOPs of a shape, from the sums that the page writes out.

import {
  countFlops, countParameters, numPatches, total, visionFlops, visionParameters, visionTrainingFlops,
} from "./counting.js";
import { Touchable, count, define, grouped, percent, sum } from "./touch.js";

const FIELDS = [ // the library's name, label, slider's least, most, step
  ["image_size", "image, px", 28, 1036, 2],
  ["patch_size", "patch, px", 4, 32, 1],
  ["width", "width", 64, 2048, 8],
  ["depth", "depth", 1, 48, 1],
  ["num_heads", "heads", 1, 32, 1],
  ["mlp_dim", "MLP", 64, 8192, 16],
];
const PARTS = ["patch embedding", "projections", "attention maps", "MLP", "MAP head"];
const FAMILIES = [["siglip-", "SigLIP"], ["siglip2-", "SigLIP 2"], ["", "image towers of the SoViT paper"]];

const giga = (flops) => (flops / 1e9).toFixed(2);

// What cannot be, in words; nothing if all is well.
function refusal(vision) {
  const odd = FIELDS.find(([name]) => {
    const value = vision[name];
    return !(Number.isInteger(value) && value >= 1 && value <= 100000);
  });
  if (odd) return `${odd[1].replace(", px", "")} must be a whole number from 1 to 100,000.`;
  const { image_size: size, patch_size: patch, width, num_heads: heads } = vision;
  if (size < patch) {
    return `No patch fits: the image is ${size} pixels wide, a patch ${patch}. Take a larger image or a smaller patch.`;
  }
  if (width % heads) {
    let [below, above] = [heads, heads];
    while (width % below) below -= 1;
    while (above <= width && width % above) above += 1;
    const near = above <= width ? `${below} or ${above}` : `${below}`;
    return `A width of ${width} cannot be shared by ${heads} heads: ${width} / ${heads} = ${(width / heads).toFixed(2)}. Nearest: ${near} heads.`;
  }
  return "";
}

const flopsOfParts = ({ embeddings, head, ...layers }) => {
  const inLayers = (part) => sum(Object.values(layers).map((layer) => layer[part]));
  return [total(embeddings), inLayers("attention"), inLayers("attention map"), inLayers("mlp"), total(head)];
};

const follows = (text, vision) =>
  text && ["width", "depth", "mlp_dim"].every((name) => text[name] === vision[name]);

const textName = ({ vision, text }) => {
  if (!text) return "none";
  const shape = `${text.width} × ${text.depth} × ${text.mlp_dim}`;
  return `${follows(text, vision) ? "as wide and deep" : shape}, ${grouped(text.vocab_size)} pieces, ${text.context_length} tokens`;
};

class ShapeExplorer extends Touchable {
  // shapes: name -> { vision, text } as counting.js writes them, or { vision } alone.
  render({ shape, shapes }) {
    this.texts = {}; // what the menu says -> the text tower beside an image tower
    for (const one of Object.values(shapes)) {
      const copies = follows(one.text, one.vision);
      this.texts[textName(one)] = ({ width, depth, mlp_dim }) =>
        copies ? { ...one.text, width, depth, mlp_dim } : one.text;
    }
    const familyOf = (name) => FAMILIES.find(([begin]) => name.startsWith(begin))[1];
    const options = (names) => names.map((name) => `<option>${name}</option>`).join("");
    const families = FAMILIES.map(([, family]) => {
      const names = Object.keys(shapes).filter((name) => familyOf(name) === family);
      return `<optgroup label="${family}">${options(names)}</optgroup>`;
    });
    const rows = FIELDS.map(
      ([name, label, least, most, step]) =>
        `<div><span>${label}</span>
          <input type="range" name="${name}" min="${least}" max="${most}" step="${step}" aria-label="${label}, slider">
          <input type="number" name="${name}-number" min="1" step="1" inputmode="numeric" aria-label="${label}"></div>`,
    );
    this.innerHTML = `
      <div class="se-choices">
        <label>shape <select name="shape"><option value="">your own</option>${families.join("")}</select></label>
        <label>text tower <select name="text">${options(Object.keys(this.texts))}</select></label>
      </div>
      <div class="se-rows">${rows.join("")}</div>
      <div class="se-bar" role="img" aria-label="FLOPs by part"></div>
      <div class="se-legend">${PARTS.map((part, i) => `<span><i class="se-part-${i}"></i>${part} <b></b></span>`).join("")}</div>
      <div class="se-readout" aria-live="polite"></div>`;
    this.addEventListener("input", ({ target }) => this.changed(target));
    this.choose(shape);
  }

  changed({ name, type, value }) {
    if (name === "shape") {
      if (value) this.choose(value);
      return;
    }
    if (type === "range") this.input(`${name}-number`).value = value;
    if (type === "number") this.input(name.replace("-number", "")).value = value;
    this.input("shape").value = "";
    this.draw();
  }

  choose(name) {
    const shape = this.data.shapes[name];
    for (const [field] of FIELDS) {
      this.input(field).value = this.input(`${field}-number`).value = shape.vision[field];
    }
    this.input("text").value = textName(shape);
    this.input("shape").value = name;
    this.draw();
  }

  draw() {
    const vision = Object.fromEntries(
      FIELDS.map(([name]) => [name, Number(this.input(`${name}-number`).value)]),
    );
    const refused = refusal(vision);
    const [readout, bar] = [this.find(".se-readout"), this.find(".se-bar")];
    this.classList.toggle("se-refused", Boolean(refused));
    if (refused) {
      readout.innerHTML = `<p>${refused}</p>`;
      bar.innerHTML = "";
      bar.setAttribute("aria-label", "No such shape");
      this.sayAll(".se-legend b", PARTS.map(() => "\u2013"));
      return;
    }
    const parts = flopsOfParts(visionFlops(vision));
    const shares = parts.map((flops) => percent(flops / sum(parts)));
    bar.innerHTML = parts.map((flops, i) => `<i class="se-part-${i}" style="flex:${flops} 0 0"></i>`).join("");
    bar.setAttribute("aria-label", `FLOPs of the image tower: ${PARTS.map((p, i) => `${p} ${shares[i]}`).join(", ")}`);
    this.sayAll(".se-legend b", shares);

    const line = (name, parameters, flops) =>
      `<tr><th scope="row">${name}</th><td>${grouped(total(parameters))}</td><td>${giga(total(flops))}</td></tr>`;
    const lines = [line("image tower", visionParameters(vision), visionFlops(vision))];
    const text = this.texts[this.input("text").value](vision);
    if (text) {
      const [parameters, flops] = [countParameters({ vision, text }), countFlops({ vision, text })];
      lines.push(line("text tower", parameters.text, flops.text), line("whole, a pair", parameters, flops));
    }
    const { image_size: size, patch_size: patch, width, num_heads: heads, mlp_dim: mlp } = vision;
    const [left, grid] = [size % patch, Math.floor(size / patch)];
    const padded = Math.ceil(mlp / 64) * 64;
    const head = width / heads;
    const notes = [
      `${grid} × ${grid} = ${grouped(numPatches(vision))} tokens${left ? `; ${count(left, "pixel")} at the right and at the bottom unseen` : ""}.`,
      `Heads of ${head}, ${head % 16 ? (head % 8 ? "no multiple of 8" : "a multiple of 8, not of 16") : "a multiple of 16"}.`,
      padded === mlp
        ? `MLP ${mlp}, a multiple of 64.`
        : `MLP ${mlp}, no multiple of 64; padded to ${padded} it costs ${percent(padded / mlp - 1)} more.`,
      `Training on an image: ${giga(visionTrainingFlops(vision))} GFLOPs.`,
    ];
    readout.innerHTML =
      `<table><thead><tr><td></td><th scope="col">parameters</th><th scope="col">GFLOPs</th></tr></thead>
      <tbody>${lines.join("")}</tbody></table><p>${notes.join(" ")}</p>`;
  }
}

define("shape-explorer", ShapeExplorer);
