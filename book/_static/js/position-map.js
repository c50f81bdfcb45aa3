// Tables of position embeddings on their grid: choose a position, and every square has the colour of
// its cosine with that one. The maps come with the page; the script colours them anew.

import { Touchable, buttons, clamp, define, escapeHTML, fixed, range, sum } from "./touch.js";

const FAR = 4; // patches
const PAIRS = [["nearest neighbours", (d) => d === 1], [`${FAR} patches or more away`, (d) => d >= FAR]];

const SPOTS = ["a corner", "an edge", "the middle"];

const mean = (values) => sum(values) / values.length;
const written = (value) => fixed(Math.round(100 * value) / 100 + 0, 2); // never −0.00

class PositionMap extends Touchable {
  // cosines: title -> all numbers of the matrix [N, N] as text; position: the first that is chosen.
  render({ cosines, position, side }) {
    Object.assign(this, { position, side, titles: Object.keys(cosines) });
    this.tables = Object.values(cosines).map((text) => text.split(" ").map(Number));
    this.svg = this.find("svg");
    this.near = this.all(".po-near");
    this.far = this.all(".po-far");
    this.dots = this.all(".po-dot");
    const half = Math.floor(side / 2);
    this.spots = [0, half, half * side + half];
    this.insertAdjacentHTML(
      "afterbegin",
      `<div class="pills" role="group" aria-label="Position">${buttons("spot", SPOTS)}</div>`,
    );
    this.onPress("spot", (i) => this.go(this.spots[i]));
    this.insertAdjacentHTML(
      "beforeend",
      `<p class="po-scale">cosine <span>−1</span><i></i><span>0</span><i></i><span>+1</span></p>
        <table class="po-means" aria-live="polite"><thead>
          <tr><th class="po-place"></th>${this.titles.map((title) => `<th scope="col">${escapeHTML(title)}</th>`).join("")}</tr>
        </thead><tbody>
          ${PAIRS.map(([name]) => `<tr><th scope="row">${name}</th>${"<td></td>".repeat(this.titles.length)}</tr>`).join("")}
        </tbody></table>
        <p class="po-help" id="${this.key}">Choose a square, also with the arrow keys. Rows and columns
          count from 0. Mean cosines of the position at the dot; in brackets, of all ${side ** 2}.</p>`,
    );
    this.svg.setAttribute("tabindex", "0");
    this.svg.setAttribute("aria-describedby", this.key);
    this.onPoint(this.svg, ({ clientX, clientY }) => {
      const square = document.elementFromPoint(clientX, clientY)?.dataset?.i;
      if (square !== undefined) this.go(Number(square));
    });
    this.onArrow(this.svg, (right, down) => {
      const x = clamp((this.position % side) + right, 0, side - 1);
      const y = clamp(Math.floor(this.position / side) + down, 0, side - 1);
      this.go(y * side + x);
    });
    const all = range(side ** 2);
    this.whole = PAIRS.map(([, among]) =>
      this.tables.map((table) => mean(all.flatMap((i) => this.values(table, i, among)))),
    );
  }

  go(position) {
    if (position === this.position) return;
    this.position = position;
    this.draw();
  }

  // The cosines of a position with those at such a distance.
  values(table, position, among) {
    const n = this.side ** 2;
    const place = (i) => [i % this.side, Math.floor(i / this.side)];
    const [x, y] = place(position);
    return range(n)
      .filter((i) => among(Math.hypot(place(i)[0] - x, place(i)[1] - y)))
      .map((i) => table[position * n + i]);
  }

  draw() {
    const { position, side, tables } = this;
    const n = side ** 2;
    this.press("spot", this.spots.indexOf(position));
    tables.forEach((table, k) => {
      for (let i = 0; i < n; i++) {
        const cosine = table[position * n + i];
        this.near[k * n + i].setAttribute("fill-opacity", Math.max(cosine, 0));
        this.far[k * n + i].setAttribute("fill-opacity", Math.max(-cosine, 0));
      }
      const square = this.near[k * n + position];
      for (const [centre, corner, length] of [["cx", "x", "width"], ["cy", "y", "height"]]) {
        const middle = Number(square.getAttribute(corner)) + Number(square.getAttribute(length)) / 2;
        this.dots[k].setAttribute(centre, middle);
      }
    });
    const cells = this.all(".po-means td");
    PAIRS.forEach(([, among], row) => {
      tables.forEach((table, k) => {
        const here = written(mean(this.values(table, position, among)));
        cells[row * tables.length + k].innerHTML = `${here} <small>(${written(this.whole[row][k])})</small>`;
      });
    });
    this.say(".po-place", `row ${Math.floor(position / side)}, column ${position % side}`);
  }
}

define("position-map", PositionMap);
