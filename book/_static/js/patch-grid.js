// A photo under its grid of patches. The reader moves the image's size and the patch's; the page
// counts tokens, dropped pixels, and what they cost in so400m's image tower.

import { total, visionFlops } from "./counting.js";
import { Touchable, buttons, count, define, grouped, percent, slider } from "./touch.js";

const SO400M = { width: 1152, depth: 27, mlp_dim: 4304 };
const PUBLISHED = [[224, 14], [384, 14], [378, 14], [256, 16], [384, 16], [512, 16]];
const SIDE = 768; // of the canvas, in its own pixels

class PatchGrid extends Touchable {
  async render() {
    this.photo = this.find("img");
    const row = (name, label) => `<tr><th scope="row">${label}</th><td class="pg-${name}"></td></tr>`;
    this.innerHTML = `
      <div class="pills" role="group" aria-label="Published shapes: image size / patch size">
        ${buttons("shape", PUBLISHED.map((shape) => shape.join(" / ")))}
      </div>
      <div class="pg-stage">
        <canvas width="${SIDE}" height="${SIDE}" role="img"></canvas>
        <div class="pg-side">
          ${slider("size", "image size", 64, 1024, 1, 384)}
          ${slider("patch", "patch size", 4, 32, 1, 14)}
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
    this.onPress("shape", (i) => {
      [this.input("size").value, this.input("patch").value] = PUBLISHED[i];
      this.draw();
    });
    await this.photo.decode();
  }

  draw() {
    const [size, patch] = this.values();
    const side = Math.floor(size / patch);
    const tokens = side ** 2;
    const rest = size - side * patch;
    const dropped = rest ? `${count(rest, "row")}, ${count(rest, "column")}` : "nothing";
    const flops = total(visionFlops({ ...SO400M, image_size: size, patch_size: patch }));
    this.say(".pg-division", `${size} / ${patch} = ${(size / patch).toFixed(2)}`);
    this.say(".pg-tokens", `${side} × ${side} = ${grouped(tokens)}`);
    this.say(".pg-dropped", dropped);
    this.say(".pg-share", percent(1 - (1 - rest / size) ** 2));
    this.say(".pg-map", `${grouped(tokens ** 2)} numbers`);
    this.say(".pg-gflops", `${grouped(flops / 1e9, 2)} GFLOPs`);
    this.sayAll("output", [`${size} pixels`, `${patch} pixels`]);
    this.press("shape", PUBLISHED.findIndex(([s, p]) => s === size && p === patch));
    this.paint(size, patch, side);
    this.find("canvas").setAttribute(
      "aria-label",
      `The photo under ${side} by ${side} patches; dropped at the bottom and at the right: ${dropped}`,
    );
  }

  paint(size, patch, side) {
    const context = this.find("canvas").getContext("2d");
    const small = new OffscreenCanvas(size, size); // the squashed photo, pixel by pixel
    small.getContext("2d").drawImage(this.photo, 0, 0, size, size);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, SIDE, SIDE);

    const step = (patch / size) * SIDE;
    const end = side * step;
    context.fillStyle = getComputedStyle(this).getPropertyValue("--mistake");
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

define("patch-grid", PatchGrid);
