// The two softmaxes of CLIP's loss: point at an image's row or at a text's column, and see its shares,
// which one of them is read, and what it adds to the loss.

import { Touchable, buttons, define, percent, range, sum } from "./touch.js";

const SIDES = ["rows: which text?", "columns: which image?"];

// Shares of each row, and of each column, of the logits.
function softmaxes(logits) {
  const shares = (rows) =>
    rows.map((row) => {
      const parts = row.map((z) => Math.exp(z - Math.max(...row)));
      return parts.map((part) => part / sum(parts));
    });
  const turned = (rows) => rows.map((_, i) => rows.map((row) => row[i]));
  return [shares(logits), turned(shares(turned(logits)))];
}

class TwoSoftmaxes extends Touchable {
  // logits: images to texts; pair i belongs together.
  render({ logits }) {
    this.n = logits.length;
    this.shares = softmaxes(logits);
    this.costs = this.shares.map((rows) => rows.map((row, i) => -Math.log(row[i])));
    this.losses = this.costs.map((costs) => sum(costs) / this.n);
    this.most = Math.max(...this.shares.flat(2));
    [this.side, this.chosen] = [0, this.costs[0].indexOf(Math.max(...this.costs[0]))];
    const places = range(this.n);
    const head = (side, what, i) => `<button type="button" data-side="${side}" data-i="${i}"
      aria-label="${what} ${i + 1}">${i + 1}</button>`;
    const row = (i) => `${head(0, "image", i)}
      ${places.map((j) => `<i data-row="${i}" data-column="${j}"></i>`).join("")}
      <span class="ts-cost"><b></b><u></u></span>`;
    this.innerHTML = `
      <div class="pills" role="group" aria-label="Softmax">${buttons("side", SIDES)}</div>
      <div class="ts-grid" role="group" aria-label="Images down, texts across: press one"
        style="--n: ${this.n}">
        <span class="ts-texts">text</span><span class="ts-images">image</span>
        ${places.map((j) => head(1, "text", j)).join("")}<span class="ts-sign">−ln</span>
        ${places.map(row).join("")}<span class="ts-lit"></span></div>
      <p class="ts-readout" aria-live="polite"></p>
      <p class="ts-loss"></p>`;
    const [rows, columns] = this.losses.map((loss) => loss.toFixed(2));
    const both = (sum(this.losses) / 2).toFixed(2);
    this.find(".ts-loss").innerHTML =
      `Loss: (<span>${rows}</span> + <span>${columns}</span>) / 2 = <b>${both}</b>`;
    this.onPress("side", (side) => this.choose(side, this.chosen));
    const grid = this.find(".ts-grid");
    const point = ({ target: { dataset } }) => {
      if (dataset.side) this.choose(Number(dataset.side), Number(dataset.i));
      if (dataset.row) this.choose(this.side, Number(this.side ? dataset.column : dataset.row));
    };
    for (const event of ["pointerover", "focusin", "click"]) grid.addEventListener(event, point);
  }

  choose(side, chosen) {
    Object.assign(this, { side, chosen });
    this.draw();
  }

  draw() {
    const { n, side, chosen, most } = this;
    const [shares, costs] = [this.shares[side], this.costs[side]];
    this.classList.toggle("ts-columns", side === 1);
    this.press("side", side);
    this.all(".ts-grid button").forEach((button) => {
      const { side: its, i } = button.dataset;
      button.setAttribute("aria-pressed", String(Number(its) === side && Number(i) === chosen));
    });
    this.all(".ts-grid i").forEach((cell) => {
      const [i, j] = [Number(cell.dataset.row), Number(cell.dataset.column)];
      const lit = chosen === (side ? j : i);
      cell.className = i === j ? "ts-own" : "";
      cell.classList.toggle("ts-chosen", lit);
      cell.style.setProperty("--tint", `${((45 * shares[i][j]) / most).toFixed(1)}%`);
      cell.textContent = lit || i === j ? (100 * shares[i][j]).toFixed(0) : "";
    });
    const largest = Math.max(...this.costs.flat());
    this.all(".ts-cost").forEach((cost, i) => {
      cost.firstChild.textContent = costs[i].toFixed(2);
      cost.lastChild.style.setProperty("--part", costs[i] / largest);
      cost.classList.toggle("ts-chosen", i === chosen);
    });
    const [one, all] = [`${chosen + 2} / span 1`, `2 / span ${n}`];
    const [gridRow, gridColumn] = side ? [all, one] : [one, all];
    Object.assign(this.find(".ts-lit").style, { gridRow, gridColumn });
    this.all(".ts-loss span").forEach((each, i) => each.classList.toggle("ts-chosen", i === side));
    this.say(".ts-readout", this.said());
  }

  said() {
    const { n, side, chosen } = this;
    const [who, whose, line] = side ? ["Text", "image", "columns"] : ["Image", "text", "rows"];
    const [share, cost] = [this.shares[side][chosen][chosen], this.costs[side][chosen]];
    const than = share > 1 / n ? "more" : "less";
    return (
      `${who} ${chosen + 1} gives its own ${whose} ${percent(share)}, ${than} than one in ${n}. ` +
      `That costs −ln ${share.toFixed(3)} = ${cost.toFixed(2)}. Divided by ${n} it adds ` +
      `${(cost / n).toFixed(2)} to the loss of the ${line}, ${this.losses[side].toFixed(2)}.`
    );
  }
}

define("two-softmaxes", TwoSoftmaxes);
