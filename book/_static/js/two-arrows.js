// An image arrow and a text arrow on a circle: their angle, its cosine, the logit, the probability.

import {
  Touchable, buttons, clamp, define, fixed, percent, range, sigmoid, slider,
} from "./touch.js";

const PRESETS = [
  ["start of training", 10, -10],
  ["large-patch16-384", 118.2, -12.66],
  ["SigLIP 2 so400m-patch16-256", 109.9, -15.93],
];
const VIEWS = ["all cosines", "close-up"];
const [SIZE, MIDDLE, RADIUS, RING, NAMES] = [320, 160, 98, 111, 137]; // units of both drawings
const [LEFT, RIGHT] = [MIDDLE - RADIUS, MIDDLE + RADIUS]; // cosines −1 and 1: the circle's scale
const [TOP, BOTTOM] = [36, 232];
const ARCS = 180; // of 2 degrees each
const SURE = Math.log(19); // the logit of 95 %

const radians = (degrees) => (degrees * Math.PI) / 180;
const degrees = (angle) => (angle * 180) / Math.PI;
const whole = (angle) => ((((angle + 180) % 360) + 360) % 360) - 180; // from −180 up to 180
const spot = (angle, radius) => [
  MIDDLE + radius * Math.cos(radians(angle)),
  MIDDLE - radius * Math.sin(radians(angle)),
];
const place = (angle, radius) => spot(angle, radius).map((x) => x.toFixed(2)).join(" ");
const height = (p) => BOTTOM - p * (BOTTOM - TOP);
const short = (value, digits) => fixed(value, digits).replace(/\.0+$/, "");
const plus = (b) => `${b < 0 ? "−" : "+"} ${short(Math.abs(b), 2)}`;

const label = (x, y, anchor, words) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
const arrow = (side) => `
  <g class="ta-arrow ta-${side}" role="slider" tabindex="0" aria-label="${side} arrow"
     aria-valuemin="-180" aria-valuemax="180">
    <path class="ta-grip" /><circle class="ta-halo" r="17" /><path class="ta-line" />
    <path class="ta-head" d="M0 0L-15 7V-7Z" />
  </g>`;

class TwoArrows extends Touchable {
  render() {
    // The photo of the chapter, (3, 4), shortened to 1. A trained model, where a turn of either
    // arrow by a degree is seen.
    this.image = degrees(Math.atan2(4, 3));
    this.text = this.image - 83;
    this.view = 1;
    this.innerHTML = `
      <div class="pills">${buttons("preset", PRESETS.map(([name]) => name))}</div>
      <div class="ta-drawings">
        <div>
          <svg class="ta-circle" viewBox="0 10 ${SIZE} ${SIZE - 20}" role="group"
               aria-label="A circle with an image arrow and a text arrow">
            <g class="ta-ring">${range(ARCS)
              .map((i) => [place(2 * i, RING), place(2 * i + 2.3, RING)]) // no gaps
              .map(([from, to]) => `<path d="M${from}A${RING} ${RING} 0 0 0 ${to}" />`)
              .join("")}</g>
            <circle class="ta-outline" cx="${MIDDLE}" cy="${MIDDLE}" r="${RADIUS}" />
            <path class="ta-drop" /><path class="ta-cosine" /><path class="ta-angle" />
            <text class="ta-theta">θ</text>
            ${arrow("image")}${arrow("text")}
            <text class="ta-name ta-image">image</text><text class="ta-name ta-text">text</text>
          </svg>
          <p class="ta-help">Drag an arrow’s tip or the dot on the curve.
            By keyboard: Tab, then the arrow keys.</p>
        </div>
        <div>
          <svg class="ta-plot" viewBox="0 0 ${SIZE} ${BOTTOM + 56}" role="group"
               aria-label="The probability p against the cosine">
            <rect class="ta-bend" y="${TOP}" height="${BOTTOM - TOP}" />
            <path class="ta-axes" d="M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}" />
            <path class="ta-half" d="M${LEFT} ${height(0.5)}H${RIGHT}" />
            ${[[0, "0"], [0.5, "½"], [1, "1"]]
              .map(([p, word]) => label(LEFT - 8, height(p) + 4, "end", word))
              .join("")}
            <g class="ta-ticks"></g>
            <text class="ta-p" x="${LEFT - 4}" y="${TOP - 14}">p</text>
            ${label(MIDDLE, BOTTOM + 42, "middle", "cosine of the angle")}
            <path class="ta-cosine" /><path class="ta-drop" /><path class="ta-curve" />
            <g class="ta-dot" role="slider" tabindex="0" aria-label="cosine"
               aria-valuemin="-1" aria-valuemax="1">
              <circle class="ta-halo" r="17" /><circle r="7" />
            </g>
          </svg>
          <div class="pills">${buttons("view", VIEWS)}</div>
        </div>
        <div class="ta-numbers">
          <p class="ta-readout" aria-live="polite">
            <span><i class="ta-of"></i> <b class="c-joint"></b></span>
            <span><i>logit<span> = t · cos θ + b</span></i> <b></b></span>
            <span><i>p = σ(logit)</i> <b></b></span>
          </p>
          <p class="ta-words"></p>
          <div class="sliders">
            ${slider("t", "scale t", 1, 150, 0.1, PRESETS[1][1])}
            ${slider("b", "bias b", -20, 0, 0.01, PRESETS[1][2])}
          </div>
        </div>
      </div>`;
    this.addEventListener("input", () => this.draw());
    this.onPress("preset", (i) => {
      [, this.input("t").value, this.input("b").value] = PRESETS[i];
      if (this.away()) this.view = 0; // the angle stays, in sight
      this.draw();
    });
    this.onPress("view", (i) => {
      this.view = i;
      // A close-up begins with the dot in sight: at one half, if that can be reached.
      const [t, b] = this.values();
      if (this.away()) this.reach(clamp(-b / t, ...this.limits()));
      else this.draw();
    });
    for (const side of ["image", "text"]) {
      const tip = this.find(`.ta-arrow.ta-${side}`);
      this.onDrag(tip, (x, y) => this.turn(side, degrees(Math.atan2(MIDDLE - y, x - MIDDLE))));
      this.onArrow(tip, (right, down, { shiftKey }) =>
        this.turn(side, Math.round(this[side]) + (right - down) * (shiftKey ? 10 : 1)),
      );
    }
    const dot = this.find(".ta-dot");
    this.onDrag(dot, (x) => {
      const [low, high] = this.limits();
      this.reach(low + ((x - LEFT) / (RIGHT - LEFT)) * (high - low));
    });
    this.onArrow(dot, (right, down, { shiftKey }) =>
      this.reach(this.cosine() + (right - down) * (shiftKey ? 0.05 : 0.005)),
    );
  }

  // Follows the pointer that has taken hold of it, in the units of its drawing.
  onDrag(handle, then) {
    const svg = handle.ownerSVGElement;
    // Inside a drawing Chromium heeds no touch-action; without this a finger scrolls the page.
    handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // or the words around are selected
      handle.focus({ preventScroll: true });
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", ({ pointerId, clientX, clientY }) => {
      if (!handle.hasPointerCapture(pointerId)) return;
      const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());
      then(x, y);
    });
  }

  turn(side, angle) {
    this[side] = whole(angle);
    this.draw();
  }

  // Turn the text arrow, on its side of the image arrow, until the cosine is this one.
  reach(cosine) {
    const side = whole(this.text - this.image) > 0 ? 1 : -1;
    this.turn("text", this.image + side * degrees(Math.acos(clamp(cosine, -1, 1))));
  }

  // To three digits, as the page says it: what follows can be checked by hand.
  cosine() {
    return Math.round(1000 * Math.cos(radians(this.text - this.image))) / 1000;
  }

  limits() {
    if (this.view === 0) return [-1, 1];
    const [t, b] = this.values();
    const low = clamp((-b - 6) / t, -1, 0.9);
    return [low, clamp((-b + 6) / t, low + 0.1, 1)];
  }

  // The dot lies beyond the close-up.
  away() {
    const [low, high] = this.limits();
    return this.cosine() < low || this.cosine() > high;
  }

  draw() {
    const [t, b] = this.values();
    const chosen = PRESETS.findIndex(([, ...numbers]) => numbers[0] === t && numbers[1] === b);
    this.press("preset", chosen);
    this.press("view", this.view);
    this.drawCircle(t, b);
    this.drawPlot(t, b);

    const cosine = this.cosine();
    const logit = t * cosine + b;
    const p = sigmoid(logit);
    const angle = (c) => degrees(Math.acos(clamp(c, -1, 1)));
    const factor = cosine < 0 ? `(${fixed(cosine, 3)})` : fixed(cosine, 3);
    this.say(".ta-of", `cos ${Math.abs(whole(this.text - this.image)).toFixed(1)}°`);
    this.sayAll(".ta-readout b", [
      `= ${fixed(cosine, 3)}`,
      `= ${short(t, 1)} · ${factor} ${plus(b)} = ${fixed(logit, 2)}`,
      `= ${percent(p, p < 0.001 ? 4 : 1)}`,
    ]);
    const [half, no, yes] = [0, -SURE, SURE].map((z) => (z - b) / t);
    const away = this.away();
    this.find(".ta-dot").classList.toggle("ta-away", away);
    this.say(
      ".ta-words",
      (away ? "The dot lies beyond this close-up. " : "") + (half >= 1
        ? `Even at 0° p is only ${percent(sigmoid(t + b))}.`
        : `One half is at ${angle(half).toFixed(1)}°, cosine ${fixed(half, 3)}` +
            (yes < 1 && no > -1
              ? `; from 5 to 95\u00a0% it takes ${(angle(no) - angle(yes)).toFixed(1)}°.`
              : ".")),
    );
    this.sayAll("output", [fixed(t, 1), fixed(b, 2)]);
    for (const side of ["image", "text"]) {
      const tip = this.find(`.ta-arrow.ta-${side}`);
      tip.setAttribute("aria-valuenow", Math.round(this[side]));
      tip.setAttribute("aria-valuetext", `${Math.round(this[side])} degrees`);
    }
    const dot = this.find(".ta-dot");
    dot.setAttribute("aria-valuenow", cosine);
    dot.setAttribute("aria-valuetext", `cosine ${cosine}, p ${percent(p)}`);
  }

  drawCircle(t, b) {
    const { image, text } = this;
    const between = whole(text - image);
    const cosine = Math.cos(radians(between));
    // The ring turns with the image arrow, and is as green as p is where a text arrow would point.
    this.find(".ta-ring").setAttribute("transform", `rotate(${-image} ${MIDDLE} ${MIDDLE})`);
    this.all(".ta-ring path").forEach((arc, i) => {
      const p = sigmoid(t * Math.cos(radians(2 * i + 1)) + b);
      arc.style.setProperty("--p", `${(100 * p).toFixed(1)}%`);
    });
    const apart = Math.max(0, (22 - Math.abs(between)) / 2) * (between < 0 ? -1 : 1); // the names
    for (const [side, angle, push] of [["image", image, -apart], ["text", text, apart]]) {
      const group = this.find(`.ta-arrow.ta-${side}`);
      const set = (part, name, value) => group.querySelector(part).setAttribute(name, value);
      const [x, y] = spot(angle, RADIUS);
      set(".ta-line", "d", `M${MIDDLE} ${MIDDLE}L${place(angle, RADIUS - 12)}`);
      set(".ta-grip", "d", `M${place(angle, RADIUS / 2)}L${place(angle, RADIUS)}`);
      set(".ta-halo", "cx", x);
      set(".ta-halo", "cy", y);
      set(".ta-head", "transform", `translate(${x} ${y}) rotate(${-angle})`);
      const name = this.find(`.ta-name.ta-${side}`);
      const [nameX, nameY] = spot(angle + push, NAMES);
      name.setAttribute("x", nameX);
      name.setAttribute("y", nameY + 5);
    }
    const foot = place(image, RADIUS * cosine);
    this.find(".ta-circle .ta-cosine").setAttribute("d", `M${MIDDLE} ${MIDDLE}L${foot}`);
    this.find(".ta-circle .ta-drop").setAttribute("d", `M${place(text, RADIUS)}L${foot}`);
    const arc = `A36 36 0 0 ${between > 0 ? 0 : 1} ${place(text, 36)}`;
    this.find(".ta-angle").setAttribute("d", `M${place(image, 36)}${arc}`);
    const theta = this.find(".ta-theta");
    const [x, y] = spot(image + between / 2, 51);
    theta.setAttribute("x", x);
    theta.setAttribute("y", y + 5);
    theta.style.visibility = Math.abs(between) < 16 ? "hidden" : "visible";
  }

  drawPlot(t, b) {
    const [low, high] = this.limits();
    const across = (c) => LEFT + ((clamp(c, low, high) - low) / (high - low)) * (RIGHT - LEFT);
    const points = range(2 * (RIGHT - LEFT) + 1).map((i) => {
      const c = low + (i / (2 * (RIGHT - LEFT))) * (high - low);
      return `${LEFT + i / 2} ${height(sigmoid(t * c + b)).toFixed(2)}`;
    });
    this.find(".ta-curve").setAttribute("d", `M${points.join("L")}`);
    const [no, yes] = [-SURE, SURE].map((z) => across((z - b) / t));
    this.find(".ta-bend").setAttribute("x", no);
    this.find(".ta-bend").setAttribute("width", yes - no);

    const step = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01].find((size) => (high - low) / size >= 3.5);
    const first = Math.ceil(low / step - 1e-9);
    this.find(".ta-ticks").innerHTML = range(Math.floor(high / step + 1e-9) - first + 1)
      .map((i) => (first + i) * step)
      .map((c) => label(across(c), BOTTOM + 19, "middle", fixed(c, step < 0.1 ? 2 : 1)))
      .join("");

    const cosine = this.cosine();
    const [x, y] = [across(cosine), height(sigmoid(t * cosine + b))];
    this.find(".ta-dot").setAttribute("transform", `translate(${x} ${y})`);
    this.find(".ta-plot .ta-cosine").setAttribute("d", `M${across(0)} ${BOTTOM}H${x}`);
    this.find(".ta-plot .ta-drop").setAttribute("d", `M${x} ${BOTTOM}V${y}`);
  }
}

define("two-arrows", TwoArrows);
