// <parameter-map>: a model as a rectangle in which area is parameters. The numbers are computed
// here from each model's shape (data-models), by the sum that the page writes out.

const LAYER = (d, m) => [
  ["attention", 4 * (d * d + d)],
  ["MLP", d * m + m + m * d + d],
  ["norms", 2 * 2 * d],
];

// Both towers as rows from top to bottom: [name of the row, its cells [name, number]].
function towers({ clip, image, text }) {
  const [size, patch, d, depth, m] = image;
  const [pieces, length, width, textDepth, textM, embed] = text;
  const n = Math.floor(size / patch) ** 2;
  const layers = (count, cells) =>
    Array.from({ length: count }, (_, i) => [`layer ${i}`, cells]);
  const projection = [["projection", clip ? d * embed : 0]];
  const [attention, mlp] = LAYER(d, m);
  const map = [attention, mlp, ["norm", 2 * d], ["probe", d]];
  const patches = ["patch embedding", 3 * patch * patch * d + (clip ? 0 : d)];
  return [
    [
      [
        "embeddings",
        clip
          ? [patches, ["class token", d], ["positions", (n + 1) * d], ["first norm", 2 * d]]
          : [patches, ["positions", n * d]],
      ],
      ...layers(depth, LAYER(d, m)),
      ["final norm", [["final norm", 2 * d]]],
      clip ? ["projection", projection] : ["MAP head", map],
    ],
    [
      ["embeddings", [["token table", pieces * width], ["positions", length * width]]],
      ...layers(textDepth, LAYER(width, textM)),
      ["final norm", [["final norm", 2 * width]]],
      ["head", [["head", width * embed + (clip ? 0 : embed)]]],
    ],
  ];
}

const SIDES = ["image", "text"];
const sum = (values) => values.reduce((a, b) => a + b, 0);
const rowTotal = ([, cells]) => sum(cells.map(([, number]) => number));
const towerTotal = (rows) => sum(rows.map(rowTotal));
const grouped = (number) => number.toLocaleString("en-US");
const percent = (share) => (share < 0.0005 ? "under 0.1\u00a0%" : `${(100 * share).toFixed(1)}\u00a0%`);
const isLayer = (name) => name.startsWith("layer ");

class ParameterMap extends HTMLElement {
  connectedCallback() {
    const models = JSON.parse(this.dataset.models);
    this.models = Object.fromEntries(Object.entries(models).map(([k, v]) => [k, towers(v)]));
    this.scalars = Object.fromEntries(Object.entries(models).map(([k, v]) => [k, v.clip ? 1 : 2]));
    this.most = Math.max(...Object.values(this.models).map((t) => sum(t.map(towerTotal))));
    const id = `parameter-map-${[...document.querySelectorAll("parameter-map")].indexOf(this)}`;
    const family = (name) => name.replace(/^siglip2.*/, "SigLIP 2").replace(/^siglip-.*/, "SigLIP").replace(/^ViT.*/, "CLIP");
    const families = [...new Set(Object.keys(models).map(family))];
    const options = families.map((kind) => {
      const names = Object.keys(models).filter((name) => family(name) === kind);
      const each = names.map((name) => `<option${name === this.dataset.model ? " selected" : ""}>${name}</option>`);
      return `<optgroup label="${kind}">${each.join("")}</optgroup>`;
    });
    this.innerHTML = `
      <div class="pm-choices">
        <label>model <select>${options.join("")}</select></label>
        <label><input type="checkbox"> all models to one scale</label>
      </div>
      <p class="pm-total" aria-live="polite"></p>
      <div class="pm-frame"><div class="pm-map" tabindex="0" role="group"
        aria-label="Map of the parameters; the arrow keys go from part to part" aria-describedby="${id}"></div></div>
      <p class="pm-readout" id="${id}" aria-live="polite"></p>
      <div class="pm-parts"></div>`;
    this.map = this.querySelector(".pm-map");
    this.querySelector("select").addEventListener("change", ({ target }) => this.show(target.value));
    this.querySelector("input").addEventListener("change", () => this.scale());
    const point = ({ target }) => {
      if (target.dataset.cell) this.choose(...target.dataset.cell.split(" ").map(Number));
    };
    this.map.addEventListener("pointermove", point);
    this.map.addEventListener("pointerdown", point);
    this.map.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      if (!step[event.key]) return;
      event.preventDefault();
      this.walk(...step[event.key]);
    });
    this.querySelector(".pm-parts").addEventListener("click", ({ target }) => {
      if (target.dataset.part) this.chooseAll(...target.dataset.part.split("|"));
    });
    this.show(this.dataset.model);
  }

  show(name) {
    this.towers = this.models[name];
    this.total = sum(this.towers.map(towerTotal)) + this.scalars[name];
    const cells = [];
    this.towers.forEach((rows, side) => {
      const breadth = 100 * (towerTotal(rows) / (this.total - this.scalars[name]));
      const left = side ? 100 - breadth : 0;
      let top = 0;
      rows.forEach((row, r) => {
        const height = 100 * (rowTotal(row) / towerTotal(rows));
        let x = left;
        row[1].forEach(([part, number], c) => {
          const width = breadth * (number / rowTotal(row));
          const kind = part.replaceAll(" ", "-").toLowerCase();
          const box = `left:${x}%;top:${top}%;width:${width}%;height:${height}%`;
          cells.push(`<i class="pm-${SIDES[side]} pm-${kind}" data-cell="${side} ${r} ${c}" style="${box}"></i>`);
          x += width;
        });
        top += height;
      });
    });
    this.map.innerHTML = cells.join("");
    const parts = this.towers.map((rows, side) => {
      const names = rows.flatMap(([row, inside]) =>
        isLayer(row) ? ["layers"] : inside.length > 1 && row === "embeddings" ? inside.map(([part]) => part) : [row],
      );
      const pills = [...new Set(names)].map(
        (part) => `<button type="button" data-part="${side}|${part}">${part}</button>`,
      );
      return `<div class="pills pm-${SIDES[side]}-parts"><b>${SIDES[side]}</b>${pills.join("")}</div>`;
    });
    this.querySelector(".pm-parts").innerHTML = parts.join("");
    const [image, text] = this.towers.map(towerTotal);
    const rest = this.scalars[name] === 2 ? "2 for scale and bias" : "1 for the scale";
    this.querySelector(".pm-total").innerHTML =
      `<b>${grouped(this.total)}</b> parameters: image tower ${grouped(image)}, ` +
      `text tower ${grouped(text)}, ${rest}.`;
    this.scale();
    this.chooseAll(1, "token table");
  }

  scale() {
    const side = this.querySelector("input").checked ? 100 * Math.sqrt(this.total / this.most) : 100;
    this.map.style.width = this.map.style.height = `${side}%`;
  }

  mark(cells) {
    const chosen = new Set(cells.map((cell) => cell.join(" ")));
    this.map.querySelectorAll("i").forEach((box) => {
      box.classList.toggle("pm-chosen", chosen.has(box.dataset.cell));
    });
  }

  say(words, number) {
    this.querySelector(".pm-readout").textContent =
      `${words}: ${grouped(number)}, ${percent(number / this.total)} of the model.`;
  }

  choose(side, r, c) {
    this.at = [side, r, c];
    this.mark([this.at]);
    this.querySelectorAll(".pm-parts button").forEach((b) => b.setAttribute("aria-pressed", "false"));
    const [row, cells] = this.towers[side][r];
    const [part, number] = cells[c];
    this.say(`${SIDES[side]} tower, ${row === part ? "" : `${row}, `}${part}`, number);
  }

  // A part by its name, all layers at once.
  chooseAll(side, part) {
    const rows = this.towers[side];
    const found = rows.flatMap(([row, cells], r) =>
      cells.flatMap(([cell], c) =>
        (part === "layers" ? isLayer(row) : row === part || (row === "embeddings" && cell === part))
          ? [[Number(side), r, c]]
          : [],
      ),
    );
    this.at = found[0];
    this.mark(found);
    this.querySelectorAll(".pm-parts button").forEach((b) =>
      b.setAttribute("aria-pressed", String(b.dataset.part === `${side}|${part}`)),
    );
    const depth = rows.filter(([row]) => isLayer(row)).length;
    const words = part === "layers" ? `${depth} layers` : part;
    this.say(`${SIDES[side]} tower, ${words}`, sum(found.map(([, r, c]) => rows[r][1][c][1])));
  }

  // One row up or down; one cell to the side, and over the border to the row beside.
  walk(down, right) {
    const [side, r, c] = this.at;
    const rows = this.towers[side];
    if (down) {
      const row = Math.min(Math.max(r + down, 0), rows.length - 1);
      this.choose(side, row, Math.min(c, rows[row][1].length - 1));
    } else if (rows[r][1][c + right]) {
      this.choose(side, r, c + right);
    } else if (this.towers[side + right]) {
      const beside = this.towers[side + right];
      const row = Math.round((r / (rows.length - 1)) * (beside.length - 1));
      this.choose(side + right, row, right > 0 ? 0 : beside[row][1].length - 1);
    }
  }
}

customElements.define("parameter-map", ParameterMap);
