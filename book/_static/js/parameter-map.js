// A model as a rectangle in which area is parameters, counted here from each model's shape.

import { countClipParameters, countParameters, total } from "./counting.js";
import { Touchable, buttons, clamp, define, grouped, percent, sum } from "./touch.js";

const SIDES = ["image", "text"];
const NAMES = { patches: "patch embedding", tokens: "token table", norm: "first norm", mlp: "MLP" };
const FAMILIES = [["siglip-", "SigLIP"], ["siglip2-", "SigLIP 2"], ["ViT-", "CLIP"]];

// A tower as rows from top to bottom: [name of the row, its cells [name, number]].
const rowsOf = (tower, headName) =>
  Object.entries(tower).map(([part, inside]) => {
    const name = part === "head" ? headName : part;
    if (typeof inside === "number") return [name, [[name, inside]]];
    return [name, Object.entries(inside).map(([cell, number]) => [NAMES[cell] ?? cell, number])];
  });

function counted(shape) {
  const clip = "embed_dim" in shape;
  const { vision, text, scalars } = (clip ? countClipParameters : countParameters)(shape);
  return {
    towers: [rowsOf(vision, clip ? "projection" : "MAP head"), rowsOf(text, "head")],
    scalars: total(scalars),
  };
}

const rowTotal = ([, cells]) => sum(cells.map(([, number]) => number));
const towerTotal = (rows) => sum(rows.map(rowTotal));
const isLayer = (name) => name.startsWith("layer ");

class ParameterMap extends Touchable {
  // models: name -> shape, as counting.js writes them; CLIP's have an embed_dim.
  render({ model, models }) {
    this.models = Object.fromEntries(Object.entries(models).map(([k, v]) => [k, counted(v)]));
    const totals = Object.values(this.models).map(({ towers }) => sum(towers.map(towerTotal)));
    this.most = Math.max(...totals);
    const options = FAMILIES.map(([begin, family]) => {
      const names = Object.keys(models).filter((name) => name.startsWith(begin));
      return `<optgroup label="${family}">${names.map((name) => `<option>${name}</option>`).join("")}</optgroup>`;
    });
    this.innerHTML = `
      <div class="pm-choices">
        <label>model <select>${options.join("")}</select></label>
        <label><input type="checkbox"> all models to one scale</label>
      </div>
      <p class="pm-total" aria-live="polite"></p>
      <div class="pm-heads" aria-hidden="true"><b>image tower</b><b>text tower</b></div>
      <div class="pm-frame"><div class="pm-map" tabindex="0" role="group" aria-describedby="${this.key}"
        aria-label="Map of the parameters; the arrow keys go from part to part"></div></div>
      <p class="pm-readout" id="${this.key}" aria-live="polite"></p>
      <div class="pm-parts">${SIDES.map((side) => `<div class="pills pm-${side}-parts"></div>`).join("")}</div>`;
    this.map = this.find(".pm-map");
    this.find("select").addEventListener("change", ({ target }) => this.show(target.value));
    this.find("input").addEventListener("change", () => this.draw());
    this.onPoint(this.map, ({ target }) => {
      if (target.dataset.cell) this.choose(...target.dataset.cell.split(" ").map(Number));
    });
    this.onArrow(this.map, (right, down) => this.walk(right, down));
    SIDES.forEach((name, side) => this.onPress(name, (i) => this.chooseAll(side, this.parts[side][i])));
    this.find("select").value = model;
    this.show(model);
  }

  show(name) {
    const { towers, scalars } = this.models[name];
    this.towers = towers;
    this.total = sum(towers.map(towerTotal)) + scalars;
    const cells = [];
    towers.forEach((rows, side) => {
      const breadth = 100 * (towerTotal(rows) / (this.total - scalars));
      this.all(".pm-heads b")[side].style.flexGrow = breadth;
      let top = 0;
      rows.forEach((row, r) => {
        const height = 100 * (rowTotal(row) / towerTotal(rows));
        let x = side ? 100 - breadth : 0;
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
    this.parts = towers.map((rows) => {
      const names = rows.flatMap(([row, inside]) =>
        isLayer(row) ? ["layers"] : row === "embeddings" ? inside.map(([part]) => part) : [row],
      );
      return [...new Set(names)];
    });
    SIDES.forEach((side, i) => {
      this.find(`.pm-${side}-parts`).innerHTML = `<b>${side}</b>${buttons(side, this.parts[i])}`;
    });
    const [image, text] = towers.map(towerTotal);
    this.find(".pm-total").innerHTML =
      `<b>${grouped(this.total)}</b> parameters: image tower ${grouped(image)}, text tower ` +
      `${grouped(text)}, ${scalars === 2 ? "2 for scale and bias" : "1 for the scale"}.`;
    this.draw();
    this.chooseAll(1, "token table");
  }

  draw() {
    const side = this.find("input").checked ? 100 * Math.sqrt(this.total / this.most) : 100;
    this.map.style.width = this.map.style.height = this.find(".pm-heads").style.width = `${side}%`;
  }

  mark(side, cells, part, words) {
    this.at = [side, ...cells[0]];
    const chosen = new Set(cells.map((cell) => [side, ...cell].join(" ")));
    this.all(".pm-map i").forEach((box) => {
      box.classList.toggle("pm-chosen", chosen.has(box.dataset.cell));
    });
    SIDES.forEach((name, i) => this.press(name, i === side ? this.parts[i].indexOf(part) : -1));
    const number = sum(cells.map(([r, c]) => this.towers[side][r][1][c][1]));
    const share = number / this.total;
    this.say(
      ".pm-readout",
      `${SIDES[side]} tower, ${words}: ${grouped(number)}, ` +
        `${share < 0.0005 ? "under 0.1\u00a0%" : percent(share)} of the model.`,
    );
  }

  choose(side, r, c) {
    const [row, cells] = this.towers[side][r];
    const [part] = cells[c];
    this.mark(side, [[r, c]], null, row === part ? part : `${row}, ${part}`);
  }

  // A part by its name, all layers at once.
  chooseAll(side, part) {
    const rows = this.towers[side];
    const found = rows.flatMap(([row, cells], r) =>
      cells.flatMap(([cell], c) =>
        (part === "layers" ? isLayer(row) : row === part || (row === "embeddings" && cell === part))
          ? [[r, c]]
          : [],
      ),
    );
    const depth = rows.filter(([row]) => isLayer(row)).length;
    this.mark(side, found, part, part === "layers" ? `${depth} layers` : part);
  }

  // One row up or down; one cell to the side, and over the border to the row beside.
  walk(right, down) {
    const [side, r, c] = this.at;
    const rows = this.towers[side];
    const beside = this.towers[side + right];
    if (down) {
      const row = clamp(r + down, 0, rows.length - 1);
      this.choose(side, row, Math.min(c, rows[row][1].length - 1));
    } else if (rows[r][1][c + right]) {
      this.choose(side, r, c + right);
    } else if (beside) {
      const row = Math.round((r / (rows.length - 1)) * (beside.length - 1));
      this.choose(side + right, row, right > 0 ? 0 : beside[row][1].length - 1);
    }
  }
}

define("parameter-map", ParameterMap);
