// <attention-map>: how much one patch, or the probe, takes from each patch, layer by layer and head
// by head. The drawing under its grid comes with the page; the script sets the veil and the number
// of each patch from data-weights: thousandths, in the order [layer][head][query][key].

const percent = (thousandths) => `${(thousandths / 10).toFixed(1)}\u00a0%`;

class AttentionMap extends HTMLElement {
  connectedCallback() {
    const { weights, layers, heads, query, asker } = this.dataset;
    this.weights = weights.split(" ").map(Number);
    this.layers = layers.split("|");
    this.heads = Number(heads);
    this.asker = asker; // who asks where there is a single query
    this.svg = this.querySelector("svg");
    this.veils = [...this.querySelectorAll(".am-veil")];
    this.numbers = [...this.querySelectorAll(".am-number")];
    this.keys = this.veils.length;
    this.side = Math.sqrt(this.keys);
    this.queries = this.weights.length / (this.layers.length * this.heads * this.keys);
    [this.layer, this.head, this.patch] = [0, this.heads, Number(query)]; // head == heads: the mean

    const id = `attention-map-${[...document.querySelectorAll("attention-map")].indexOf(this)}`;
    const choices = (kind, names, chosen) =>
      `<fieldset${names.length > 1 ? "" : " hidden"}><legend>${kind}</legend>${names
        .map((name, i) => {
          const checked = i === chosen ? " checked" : "";
          const input = `<input type="radio" name="${id}-${kind}" value="${i}"${checked}>`;
          return `<label>${input}<span>${name}</span></label>`;
        })
        .join("")}</fieldset>`;
    this.headNames = Array.from({ length: this.heads }, (_, i) => `head ${i}`);
    if (this.heads > 1) this.headNames.push("mean of heads");
    else this.head = 0;
    this.insertAdjacentHTML(
      "afterbegin",
      `<div class="am-choices pills">
        ${choices("layer", this.layers, 0)}${choices("head", this.headNames, this.head)}
      </div>`,
    );
    this.insertAdjacentHTML(
      "beforeend",
      `<div class="am-words">
        <p class="am-readout" id="${id}-readout" aria-live="polite"></p>
        <p class="am-help">Point at a patch, or focus the drawing and use the arrow keys.</p>
      </div>`,
    );
    this.svg.setAttribute("tabindex", "0");
    this.svg.setAttribute("aria-describedby", `${id}-readout`);
    this.addEventListener("change", ({ target }) => {
      this[target.name.endsWith("-layer") ? "layer" : "head"] = Number(target.value);
      this.draw();
    });
    const point = ({ clientX, clientY }) => {
      const under = document.elementFromPoint(clientX, clientY);
      const patch = this.veils.indexOf(under);
      if (patch >= 0) this.go(patch);
    };
    this.svg.addEventListener("pointermove", point);
    this.svg.addEventListener("pointerdown", point);
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (!step[event.key]) return;
      event.preventDefault();
      const inside = (place) => Math.min(Math.max(place, 0), this.side - 1);
      const x = inside((this.patch % this.side) + step[event.key][0]);
      const y = inside(Math.floor(this.patch / this.side) + step[event.key][1]);
      this.go(y * this.side + x);
    });
    this.draw();
  }

  go(patch) {
    if (patch === this.patch) return;
    this.patch = patch;
    this.draw();
  }

  // Thousandths for each key; of the mean over the heads where that is chosen.
  row() {
    const query = this.queries === 1 ? 0 : this.patch;
    const heads = this.head < this.heads ? [this.head] : [...Array(this.heads).keys()];
    return this.veils.map((_, key) => {
      const values = heads.map((head) => {
        const before = (this.layer * this.heads + head) * this.queries + query;
        return this.weights[before * this.keys + key];
      });
      return values.reduce((a, b) => a + b) / values.length;
    });
  }

  draw() {
    const row = this.row();
    const largest = Math.max(...row);
    row.forEach((weight, key) => {
      this.veils[key].setAttribute("fill-opacity", (0.8 * (1 - weight / largest)).toFixed(2));
      const whole = Math.floor((weight + 5) / 10);
      this.numbers[key].textContent = whole || "";
    });
    const veil = this.veils[this.patch];
    const [x, y] = ["x", "y"].map((name) => veil.getAttribute(name));
    this.querySelector(".am-mark").setAttribute("transform", `translate(${x} ${y})`);

    const name = (patch) =>
      `patch ${patch} (row ${Math.floor(patch / this.side)}, column ${patch % this.side})`;
    const where = `${this.layers[this.layer]}, ${this.headNames[this.head]}: `;
    const most = `takes most from ${name(row.indexOf(largest))}, ${percent(largest)}`;
    const marked = percent(row[this.patch]);
    this.querySelector(".am-readout").textContent =
      this.queries === 1
        ? `${where}${this.asker} ${most}; from ${name(this.patch)}, ${marked}.`
        : `${where}${name(this.patch)} ${most}; from itself, ${marked}.`;
  }
}

customElements.define("attention-map", AttentionMap);
