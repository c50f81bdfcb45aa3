// <patch-grid>: a photo under its grid of patches. The reader moves the image's size and the
// patch's; the page counts tokens, dropped pixels, and what they cost in so400m's image tower.

const [WIDTH, DEPTH, MLP] = [1152, 27, 4304]; // so400m
const PUBLISHED = [
  [224, 14],
  [384, 14],
  [378, 14],
  [256, 16],
  [384, 16],
  [512, 16],
];
const SIDE = 768; // of the canvas, in its own pixels

// Two for each multiplication with its addition; matrix products only.
function gflops(tokens, patch) {
  const layer = tokens * (4 * WIDTH ** 2 + 2 * WIDTH * MLP) + 2 * tokens ** 2 * WIDTH;
  const head = 2 * tokens * WIDTH ** 2 + 2 * WIDTH ** 2 + 2 * tokens * WIDTH + 2 * WIDTH * MLP;
  return (2 * (DEPTH * layer + tokens * 3 * patch ** 2 * WIDTH + head)) / 1e9;
}

const grouped = (value, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

class PatchGrid extends HTMLElement {
  connectedCallback() {
    this.photo = this.querySelector("img");
    this.photo.loading = "eager";
    const slider = (name, label, min, max, value) =>
      `<label>${label} <output></output>
        <input type="range" name="${name}" min="${min}" max="${max}" step="1" value="${value}">
      </label>`;
    const buttons = PUBLISHED.map(
      ([size, patch]) =>
        `<button type="button" data-size="${size}" data-patch="${patch}">${size} / ${patch}</button>`,
    );
    const row = (name, label) => `<tr><th scope="row">${label}</th><td class="pg-${name}"></td></tr>`;
    this.innerHTML = `
      <div class="pg-presets pills" role="group" aria-label="Published shapes: image size / patch size">
        ${buttons.join("")}
      </div>
      <div class="pg-stage">
        <canvas width="${SIDE}" height="${SIDE}" role="img"></canvas>
        <div class="pg-side">
          ${slider("size", "image size", 64, 1024, 384)}
          ${slider("patch", "patch size", 4, 32, 14)}
          <table class="pg-readout" aria-live="polite"><tbody>
            ${row("division", "division")}
            ${row("tokens", "tokens")}
            ${row("dropped", "dropped")}
            ${row("share", "of all pixels")}
            ${row("map", "attention map")}
            ${row("gflops", "image tower")}
          </tbody></table>
        </div>
      </div>`;
    this.addEventListener("input", () => this.draw());
    this.addEventListener("click", ({ target }) => {
      if (!target.dataset.size) return;
      this.input("size").value = target.dataset.size;
      this.input("patch").value = target.dataset.patch;
      this.draw();
    });
    this.photo.decode().then(() => this.draw());
  }

  input(name) {
    return this.querySelector(`input[name=${name}]`);
  }

  draw() {
    const [size, patch] = ["size", "patch"].map((name) => Number(this.input(name).value));
    const side = Math.floor(size / patch);
    const [tokens, seen] = [side ** 2, side * patch];
    const rest = size - seen;
    const say = (name, text) => (this.querySelector(`.pg-${name}`).textContent = text);
    const dropped = rest ? `${count(rest, "row")}, ${count(rest, "column")}` : "nothing";
    say("division", `${size} / ${patch} = ${(size / patch).toFixed(2)}`);
    say("tokens", `${side} × ${side} = ${grouped(tokens)}`);
    say("dropped", dropped);
    say("share", `${(100 * (1 - (seen / size) ** 2)).toFixed(1)} %`);
    say("map", `${grouped(tokens ** 2)} numbers`);
    say("gflops", `${grouped(gflops(tokens, patch), 2)} GFLOPs`);
    this.querySelectorAll("output").forEach((output, i) => {
      output.textContent = `${[size, patch][i]} pixels`;
    });
    for (const button of this.querySelectorAll("button")) {
      const chosen = button.dataset.size === String(size) && button.dataset.patch === String(patch);
      button.setAttribute("aria-pressed", chosen);
    }
    this.paint(size, patch, side);
    this.querySelector("canvas").setAttribute(
      "aria-label",
      `The photo under ${side} by ${side} patches; dropped at the bottom and at the right: ${dropped}`,
    );
  }

  paint(size, patch, side) {
    const context = this.querySelector("canvas").getContext("2d");
    const small = new OffscreenCanvas(size, size); // the squashed photo, pixel by pixel
    small.getContext("2d").drawImage(this.photo, 0, 0, size, size);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, SIDE, SIDE);

    const step = (patch / size) * SIDE;
    const end = side * step;
    const style = getComputedStyle(this);
    context.fillStyle = style.getPropertyValue("--mistake");
    context.fillRect(end, 0, SIDE - end, SIDE);
    context.fillRect(0, end, end, SIDE - end);
    context.strokeStyle = "#fff";
    context.lineWidth = Math.min(1.5, step / 8);
    context.beginPath();
    for (let i = 0; i <= side; i++) {
      context.moveTo(i * step, 0);
      context.lineTo(i * step, end);
      context.moveTo(0, i * step);
      context.lineTo(end, i * step);
    }
    context.stroke();
  }
}

customElements.define("patch-grid", PatchGrid);
