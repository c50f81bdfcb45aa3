// <shape-explorer>: parameters and FLOPs of a shape, from the sums that the page writes out.

const FIELDS = [ // name, label, slider's least, most, step
  ["size", "image, px", 28, 1036, 2],
  ["patch", "patch, px", 4, 32, 1],
  ["width", "width", 64, 2048, 8],
  ["depth", "depth", 1, 48, 1],
  ["heads", "heads", 1, 32, 1],
  ["mlp", "MLP", 64, 8192, 16],
];
const PARTS = ["patch embedding", "projections", "attention maps", "MLP", "MAP head"];

const layerParameters = (d, m) => 2 * 2 * d + 4 * (d * d + d) + (d * m + m) + (m * d + d);
const layerFlops = (n, d, m) => [8 * n * d * d, 4 * n * n * d, 4 * n * d * m];
const sum = (values) => values.reduce((a, b) => a + b, 0);
const grouped = (number) => number.toLocaleString("en-US");
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const giga = (flops) => (flops / 1e9).toFixed(2);

// What cannot be, in words; nothing if all is well.
function refusal([size, patch, width, depth, heads, mlp]) {
  const values = [size, patch, width, depth, heads, mlp];
  const odd = FIELDS.find((_, i) => !(Number.isInteger(values[i]) && values[i] >= 1 && values[i] <= 100000));
  if (odd) return `${odd[1].replace(", px", "")} must be a whole number from 1 to 100,000.`;
  if (size < patch) {
    return `No patch fits: the image is ${size} pixels wide, a patch ${patch}. Take a larger image or a smaller patch.`;
  }
  if (width % heads) {
    const divides = (h) => width % h === 0;
    let [below, above] = [heads, heads];
    while (!divides(below)) below -= 1;
    while (above <= width && !divides(above)) above += 1;
    const near = above <= width ? `${below} or ${above}` : `${below}`;
    return `A width of ${width} cannot be shared by ${heads} heads: ${width} / ${heads} = ${(width / heads).toFixed(2)}. Nearest: ${near} heads.`;
  }
  return "";
}

// image: [size, patch, width, depth, heads, mlp]; text: [pieces, length, width, depth, mlp, embed] or null.
function count([size, patch, d, depth, , m], text) {
  const n = Math.floor(size / patch) ** 2;
  const pixels = 3 * patch * patch;
  const [projections, maps, mlp] = layerFlops(n, d, m).map((flops) => depth * flops);
  const parts = [n * 2 * pixels * d, projections, maps, mlp, 4 * d * d + 4 * n * d * d + 4 * n * d + 4 * d * m];
  const layer = layerParameters(d, m);
  const image = pixels * d + d + n * d + depth * layer + 2 * d + (d + layer - 2 * d);
  const result = { tokens: n, parts, image: { parameters: image, flops: sum(parts) } };
  if (text) {
    const [pieces, length, w, layers, h, embed] = text;
    const parameters = (pieces + length) * w + layers * layerParameters(w, h) + 2 * w + w * embed + embed;
    const flops = layers * sum(layerFlops(length, w, h)) + 2 * w * embed;
    result.text = { parameters, flops };
    result.whole = { parameters: image + parameters + 2, flops: sum(parts) + flops + 2 * embed };
  }
  return result;
}

const follows = ([, , d, depth, , m], text) => text && text[2] === d && text[3] === depth && text[4] === m;
const textName = (image, text) => {
  if (!text) return "none";
  const [pieces, length, d, depth, m] = text;
  const tower = follows(image, text) ? "as wide and deep" : `${d} × ${depth} × ${m}`;
  return `${tower}, ${grouped(pieces)} pieces, ${length} tokens`;
};

class ShapeExplorer extends HTMLElement {
  connectedCallback() {
    this.shapes = JSON.parse(this.dataset.shapes);
    this.count = count;
    this.texts = new Map(); // what the menu says -> the text tower, as a function of the image tower
    for (const { image, text } of Object.values(this.shapes)) {
      const copies = follows(image, text);
      this.texts.set(textName(image, text), ([, , d, depth, , m]) =>
        copies ? [text[0], text[1], d, depth, m, d] : text && [...text.slice(0, 5), d],
      );
    }
    const family = (name) =>
      name.startsWith("siglip2-") ? "SigLIP 2" : name.startsWith("siglip-") ? "SigLIP" : "image towers of the SoViT paper";
    const families = [...new Set(Object.keys(this.shapes).map(family))].map((kind) => {
      const names = Object.keys(this.shapes).filter((name) => family(name) === kind);
      return `<optgroup label="${kind}">${names.map((name) => `<option>${name}</option>`).join("")}</optgroup>`;
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
        <label>text tower <select name="text">${[...this.texts.keys()].map((t) => `<option>${t}</option>`).join("")}</select></label>
      </div>
      <div class="se-rows">${rows.join("")}</div>
      <div class="se-bar" role="img"></div>
      <div class="se-legend">${PARTS.map((part, i) => `<span><i class="se-part-${i}"></i>${part} <b></b></span>`).join("")}</div>
      <div class="se-readout" aria-live="polite"></div>`;
    this.addEventListener("input", ({ target }) => this.changed(target));
    this.choose(this.dataset.shape);
  }

  input(name) {
    return this.querySelector(`[name="${name}"]`);
  }

  changed(target) {
    if (target.name === "shape") {
      if (target.value) this.choose(target.value);
      return;
    }
    if (target.type === "range") this.input(`${target.name}-number`).value = target.value;
    if (target.type === "number") this.input(target.name.replace("-number", "")).value = target.value;
    this.input("shape").value = "";
    this.draw();
  }

  choose(name) {
    const { image, text } = this.shapes[name];
    FIELDS.forEach(([field], i) => {
      this.input(field).value = image[i];
      this.input(`${field}-number`).value = image[i];
    });
    this.input("text").value = textName(image, text);
    this.input("shape").value = name;
    this.draw();
  }

  draw() {
    const image = FIELDS.map(([name]) => Number(this.input(`${name}-number`).value));
    const refused = refusal(image);
    const readout = this.querySelector(".se-readout");
    this.classList.toggle("se-refused", Boolean(refused));
    if (refused) {
      readout.innerHTML = `<p>${refused}</p>`;
      this.querySelector(".se-bar").innerHTML = "";
      this.querySelector(".se-bar").setAttribute("aria-label", "No such shape");
      this.querySelectorAll(".se-legend b").forEach((b) => (b.textContent = "\u2013"));
      return;
    }
    const [size, patch, width, , heads, mlp] = image;
    const { tokens, parts, ...towers } = count(image, this.texts.get(this.input("text").value)(image));
    const shares = parts.map((flops) => flops / sum(parts));
    const bar = this.querySelector(".se-bar");
    bar.innerHTML = shares.map((share, i) => `<i class="se-part-${i}" style="width:${100 * share}%"></i>`).join("");
    bar.setAttribute("aria-label", `FLOPs of the image tower: ${PARTS.map((p, i) => `${p} ${percent(shares[i])}`).join(", ")}`);
    this.querySelectorAll(".se-legend b").forEach((b, i) => (b.textContent = percent(shares[i])));
    const training = 3 * towers.image.flops - parts[0];
    const line = (name, tower) =>
      `<tr><th scope="row">${name}</th><td>${grouped(tower.parameters)}</td><td>${giga(tower.flops)}</td></tr>`;
    const left = size % patch;
    const grid = Math.floor(size / patch);
    const padded = Math.ceil(mlp / 64) * 64;
    const head = width / heads;
    const notes = [
      `${grid} × ${grid} = ${grouped(tokens)} tokens${left ? `; ${left} pixel${left > 1 ? "s" : ""} at the right and at the bottom unseen` : ""}.`,
      `Heads of ${head}, ${head % 16 ? (head % 8 ? "no multiple of 8" : "a multiple of 8, not of 16") : "a multiple of 16"}.`,
      padded === mlp
        ? `MLP ${mlp}, a multiple of 64.`
        : `MLP ${mlp}, no multiple of 64; padded to ${padded} it costs ${percent(padded / mlp - 1)} more.`,
      `Training on an image: ${giga(training)} GFLOPs.`,
    ];
    readout.innerHTML =
      `<table><thead><tr><td></td><th scope="col">parameters</th><th scope="col">GFLOPs</th></tr></thead>
      <tbody>${line("image tower", towers.image)}${towers.text ? line("text tower", towers.text) + line("whole, a pair", towers.whole) : ""}</tbody></table>` +
      `<p>${notes.join(" ")}</p>`;
  }
}

customElements.define("shape-explorer", ShapeExplorer);
