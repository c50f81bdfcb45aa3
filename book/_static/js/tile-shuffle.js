// The patches of one drawing as tiles, in order or not, and what tiny says of them with and without
// position embeddings. All orders and their logits come with the page.

import { Touchable, buttons, define, escapeHTML, fixed, range } from "./touch.js";

const ORDERS = ["in order", "upside down", "shuffle the tiles"];
const [SIDE, GRID] = [40, 6]; // pixels, patches along a side
const FIRST = 2; // of the shuffled orders

class TileShuffle extends Touchable {
  // picture: 40 x 40, as an address; orders: which patch lies at each place; logits: as text,
  // [without, with positions][order][caption].
  render({ picture, captions, orders }) {
    const span = `${(100 * SIDE) / 6}% ${(100 * SIDE) / 6}%`; // of a tile of 6 pixels
    const tile = (i) => {
      const at = (place) => `${((100 * 6 * place) / (SIDE - 6)).toFixed(3)}%`;
      return `<i style="background:url(${picture}) ${at(i % GRID)} ${at(Math.floor(i / GRID))} / ${span}"></i>`;
    };
    this.innerHTML = `
      <div class="pills" role="group" aria-label="Order of the tiles">${buttons("order", ORDERS)}</div>
      <div class="ts-parts">
        <div class="ts-tiles" role="img" aria-label="The drawing in 36 tiles">
          ${range(GRID ** 2).map(tile).join("")}</div>
        <div class="ts-words">
          <table class="ts-logits"><thead>
            <tr><th scope="col">logit of</th><th scope="col">no positions</th><th scope="col">with positions</th></tr>
          </thead><tbody>
            ${captions.map((caption) => `<tr><th scope="row">“${escapeHTML(caption)}”</th><td></td><td></td></tr>`).join("")}
          </tbody></table>
          <p class="ts-readout" aria-live="polite"></p>
        </div>
      </div>`;
    [this.order, this.last] = [FIRST, FIRST]; // there is something to see
    this.onPress("order", (i) => {
      if (i === FIRST) this.last = this.last + 1 < orders.length ? this.last + 1 : FIRST;
      this.order = i === FIRST ? this.last : i;
      this.draw();
    });
  }

  // [without, with positions]: for each caption, the logit in order and now.
  pairs() {
    return this.data.logits.map((of) =>
      of[0].map((first, i) => [Number(first), Number(of[this.order][i])]),
    );
  }

  draw() {
    const { order, data } = this;
    this.press("order", Math.min(order, FIRST));
    const tiles = this.all(".ts-tiles i");
    data.orders[order].forEach((tile, place) => {
      tiles[tile].style.left = `${(100 * (place % GRID)) / GRID}%`;
      tiles[tile].style.top = `${(100 * Math.floor(place / GRID)) / GRID}%`;
    });
    const pairs = this.pairs();
    const most = pairs.map((of) => Math.max(...of.map(([first, now]) => Math.abs(now - first))));
    this.all(".ts-logits tbody tr").forEach((row, i) => {
      [...row.querySelectorAll("td")].forEach((cell, k) => {
        const [first, now] = pairs[k][i];
        cell.textContent = order ? `${fixed(first, 2)} → ${fixed(now, 2)}` : fixed(first, 2);
        cell.classList.toggle("ts-moves", first !== now);
      });
    });
    const how = (value) => (value ? `they move by up to ${fixed(value, 2)}` : "no number moves");
    this.say(
      ".ts-readout",
      order
        ? `Without positions ${how(most[0])}. With positions ${how(most[1])}.`
        : "All tiles are in their places. Shuffle them: which numbers move?",
    );
  }
}

define("tile-shuffle", TileShuffle);
