// NaFlex on pictures of any shape: the reader drags the shape and chooses a budget, and sees the grid
// of patches, what is left over, and the same picture squashed into a square of as many patches.

import { naflexFlops, targetGrid, total } from "./counting.js";
import { Touchable, buttons, clamp, define, grouped, percent, range, slider } from "./touch.js";

const PATCH = 16;
const AREA = 640 * 480; // of a picture whose shape is dragged
const MOST = Math.log2(20); // the longest is 20 : 1
const [WIDE, HIGH] = [300, 212]; // room for a picture

const ratio = (width, height) => {
  const [a, b] = width >= height ? [width / height, 1] : [1, height / width];
  const word = (x) => Number(x.toPrecision(x < 10 ? 2 : 3));
  return `${word(a)} : ${word(b)}`;
};

class NaFlexGrid extends Touchable {
  // shapes: [name, width, height]; budgets; towers: name -> the shape of its image tower
  render({ shapes, budgets, towers }) {
    const row = (name, label) => `<tr><th scope="row">${label}</th><td class="ng-${name}"></td></tr>`;
    this.innerHTML = `
      <div class="pills" role="group" aria-label="shape">
        ${buttons("shape", shapes.map(([name]) => name))}</div>
      <div class="ng-stage">
        <figure><svg class="ng-kept" role="img" aria-label="The picture in its own shape"></svg><figcaption>NaFlex</figcaption></figure>
        <figure><svg class="ng-square" role="img" aria-label="The picture squashed"></svg><figcaption>squashed</figcaption></figure>
      </div>
      <div class="sliders">${slider("aspect", "width : height", -MOST, MOST, 0.02, 0)}</div>
      <div class="pills ng-budgets" role="group" aria-label="budget of patches">
        <b>budget</b>${buttons("budget", budgets)}</div>
      <table class="ng-readout" aria-live="polite"><tbody>
        ${row("size", "picture")}
        ${row("grid", "rows × columns")}
        ${row("resized", "resized to")}
        ${row("padding", "padding")}
        ${row("bent", "circles become")}
        ${Object.keys(towers).map((name, i) => row(`flops ng-flops-${i}`, `${name} image tower`)).join("")}
      </tbody></table>`;
    [this.kept, this.square] = this.all("svg");
    this.onPress("shape", (i) => this.take(...shapes[i].slice(1)));
    this.onPress("budget", (i) => {
      this.budget = budgets[i];
      this.draw();
    });
    this.input("aspect").addEventListener("input", ({ target }) => this.stretch(Number(target.value)));
    this.onDrag(this.kept, ({ clientX, clientY }) => {
      const box = this.kept.getBoundingClientRect();
      const [x, y] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
      this.stretch(Math.log2(Math.max(Math.abs(x), 4) / Math.max(Math.abs(y), 4)));
    });
    this.budget = budgets[1];
    [, this.width, this.height] = shapes[0];
    this.take(this.width, this.height);
    this.onResize(this.kept);
  }

  take(width, height) {
    Object.assign(this, { width, height });
    this.input("aspect").value = Math.log2(width / height);
    this.draw();
  }

  stretch(log) {
    const aspect = 2 ** clamp(log, -MOST, MOST);
    this.take(Math.round(Math.sqrt(AREA * aspect)), Math.round(Math.sqrt(AREA / aspect)));
  }

  draw() {
    const { width, height, budget } = this;
    const { shapes, budgets, towers } = this.data;
    this.press("shape", shapes.findIndex(([, w, h]) => w === width && h === height));
    this.press("budget", budgets.indexOf(budget));
    const words = ratio(width, height);
    this.say("output", words);
    this.input("aspect").ariaValueText = words;
    const [rows, columns] = targetGrid(height, width, PATCH, budget);
    const side = Math.floor(Math.sqrt(budget));
    const bent = (h, w) => ratio(w / width, h / height);
    const left = budget - rows * columns;
    this.say(".ng-size", `${grouped(width)} × ${grouped(height)} pixels`);
    this.say(".ng-grid", `${rows} × ${columns} = ${grouped(rows * columns)} patches`);
    this.say(".ng-resized", `${grouped(columns * PATCH)} × ${grouped(rows * PATCH)} pixels`);
    this.say(".ng-padding", `${left} of ${grouped(budget)} places, ${percent(left / budget)}`);
    this.say(".ng-bent", `${bent(rows, columns)}; squashed, ${bent(side, side)}`);
    Object.values(towers).forEach((tower, i) => {
      const flops = total(naflexFlops(tower, budget)) / 1e9;
      this.say(`.ng-flops-${i}`, `${grouped(flops, 1)} GFLOPs`);
    });
    this.paint(this.kept, rows, columns, `The picture, ${words}, in ${rows} rows and ${columns} columns of patches`);
    this.paint(this.square, side, side, `The same picture squashed into ${side} by ${side} patches`);
  }

  // Discs in a row along the longer side, under a grid.
  paint(svg, rows, columns, words) {
    const { width, height } = this;
    const room = Math.min(WIDE, svg.getBoundingClientRect().width);
    const cell = Math.min((room - 2) / columns, HIGH / rows);
    const [w, h] = [columns * cell, rows * cell];
    const [x, y] = [(room - w) / 2, (HIGH - h) / 2 + 1];
    const [short, long] = [Math.min(width, height), Math.max(width, height)];
    const discs = Math.max(1, Math.round(long / short));
    const place = (i) => (long * (i + 0.5)) / discs;
    const centre = (i) => (width >= height ? [place(i), height / 2] : [width / 2, place(i)]);
    const lines =
      range(columns + 1).map((i) => `M${(x + i * cell).toFixed(2)} ${y.toFixed(2)}v${h.toFixed(2)}`).join("") +
      range(rows + 1).map((i) => `M${x.toFixed(2)} ${(y + i * cell).toFixed(2)}h${w.toFixed(2)}`).join("");
    svg.setAttribute("viewBox", `0 0 ${room} ${HIGH + 2}`);
    svg.ariaLabel = words;
    svg.innerHTML = `
      <rect x="${x}" y="${y}" width="${w}" height="${h}" />
      ${range(discs)
        .map((i) => {
          const [u, v] = centre(i);
          const [rx, ry] = [width, height].map((side, k) => (0.34 * short * [w, h][k]) / side);
          return `<ellipse cx="${(x + (u / width) * w).toFixed(2)}" cy="${(y + (v / height) * h).toFixed(2)}"
            rx="${rx.toFixed(2)}" ry="${ry.toFixed(2)}" />`;
        })
        .join("")}
      <path d="${lines}" stroke-width="${Math.min(1, cell / 12).toFixed(2)}" />`;
  }
}

define("naflex-grid", NaFlexGrid);
