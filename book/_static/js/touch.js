// What all figures to touch share: the words of numbers, the controls, and the element itself.

export const sum = (values) => values.reduce((a, b) => a + b, 0);
export const range = (n) => [...Array(n).keys()];
export const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
export const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// ---- words ---------------------------------------------------------------------------------------

export const fixed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");
export const signed = (value, digits) => (value >= 0 ? "+" : "") + fixed(value, digits);
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}\u00a0%`;
export const grouped = (value, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
export const escapeHTML = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

// ---- controls ------------------------------------------------------------------------------------

export const slider = (name, label, min, max, step, value = min) =>
  `<label><span>${label}</span> <output></output>
    <input type="range" name="${name}" min="${min}" max="${max}" step="${step}" value="${value}">
  </label>`;

// Buttons; `onPress` and `press` of the element know them by their kind and their place.
export const buttons = (kind, words) =>
  words
    .map((word, i) => `<button type="button" data-kind="${kind}" data-i="${i}">${word}</button>`)
    .join("");

export const radios = (name, words, chosen = 0, around = (word) => `<span>${word}</span>`) =>
  words
    .map((word, i) => {
      const checked = i === chosen ? " checked" : "";
      // Nothing is restored on the way back: the mark and the figure would disagree.
      const input = `<input type="radio" name="${name}" value="${i}" autocomplete="off"${checked}>`;
      return `<label>${input} ${around(word, i)}</label>`;
    })
    .join("");

// ---- plots ---------------------------------------------------------------------------------------

// A drawing in the page's own pixels: its letters keep their size, however wide it is. `span` says
// from which values to which it goes; then `x` and `y` place a value, and `at` is what lies under
// the pointer.
export class Plot {
  constructor(svg, { left = 36, right = 14, top = 14, bottom = 46 } = {}) {
    Object.assign(this, { svg, left, right, top, bottom });
  }

  span([x0, x1], [y0, y1]) {
    const { width, height } = this.svg.getBoundingClientRect();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    Object.assign(this, { x0, x1, end: width - this.right, foot: height - this.bottom });
    this.x = (x) => this.left + ((x - x0) / (x1 - x0)) * (this.end - this.left);
    this.y = (y) => this.foot - ((y - y0) / (y1 - y0)) * (this.foot - this.top);
  }

  at({ clientX }) {
    const x = clientX - this.svg.getBoundingClientRect().left;
    return this.x0 + ((x - this.left) / (this.end - this.left)) * (this.x1 - this.x0);
  }

  // Ticks are [value, word]; a label stands below, and above the upright axis.
  axes(xs, ys, label, upright) {
    const text = (x, y, anchor, word) => `<text x="${x}" y="${y}" text-anchor="${anchor}">${word}</text>`;
    return `<path d="M${this.left} ${this.top}V${this.foot}H${this.end}" />
      ${xs.map(([x, word]) => text(this.x(x), this.foot + 20, "middle", word)).join("")}
      ${ys.map(([y, word]) => text(this.left - 10, this.y(y) + 4, "end", word)).join("")}
      ${text((this.left + this.end) / 2, this.foot + 40, "middle", label)}
      ${text(this.left + 9, this.top + 5, "start", upright)}`;
  }
}

export const still = () => globalThis.matchMedia("(prefers-reduced-motion: reduce)").matches;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// ---- the element ---------------------------------------------------------------------------------

const Element = globalThis.HTMLElement ?? class {}; // node has none, and may read the formulas
let born = 0;

// Resolves when the element is near the screen.
const nearScreen = (element) =>
  new Promise((resolve) => {
    const watch = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watch.disconnect();
        resolve();
      },
      { rootMargin: "25%" },
    );
    watch.observe(element);
  });

// Resolves then, or when the page is there and the browser has nothing to do.
const atLeisure = (element) =>
  new Promise((resolve) => {
    nearScreen(element).then(resolve);
    const wait = () => (globalThis.requestIdleCallback ?? setTimeout)(resolve);
    if (document.readyState === "complete") wait();
    else addEventListener("load", wait, { once: true });
  });

// The exact pixels of a picture, which the page shows in less than that, come from a script.
const exact = (picture) =>
  new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = picture.dataset.exact;
    script.addEventListener("told", ({ detail }) => {
      picture.removeAttribute("loading");
      picture.src = detail;
      script.remove();
      resolve();
    });
    document.head.append(script);
  });

// A figure's `data` come as JSON. `render` makes the controls, once; `draw` shows what they say, and
// is called again when the page turns dark or light.
export class Touchable extends Element {
  async connectedCallback() {
    if (this.data) return; // it only moved
    this.data = JSON.parse(this.dataset.json ?? "{}");
    this.key = `${this.localName}-${born++}`; // begins the ids and the names of its radio buttons
    const pictures = this.all("img[data-exact]");
    if (pictures.length) await nearScreen(this);
    else if (this.getBoundingClientRect().top > 2 * innerHeight) await atLeisure(this);
    await Promise.all(pictures.map(exact));
    await this.render(this.data);
    this.draw();
    const theme = new MutationObserver(() => this.draw());
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  find(selector) {
    return this.querySelector(selector);
  }

  all(selector) {
    return [...this.querySelectorAll(selector)];
  }

  input(name) {
    return this.find(`[name="${name}"]`);
  }

  // Of the sliders, in their order.
  values() {
    return this.all("input[type=range]").map((input) => Number(input.value));
  }

  say(selector, text) {
    const place = this.find(selector);
    if (place.textContent !== text) place.textContent = text; // or it is read aloud again
  }

  sayAll(selector, texts) {
    this.all(selector).forEach((place, i) => (place.textContent = texts[i]));
  }

  onPress(kind, then) {
    this.addEventListener("click", ({ target }) => {
      if (target.dataset.kind === kind) then(Number(target.dataset.i));
    });
  }

  press(kind, chosen) {
    this.all(`[data-kind="${kind}"]`).forEach((button, i) => {
      button.setAttribute("aria-pressed", String(i === chosen));
    });
  }

  // Along x and y, with the arrow keys, where the place has the focus.
  onArrow(place, then) {
    place.addEventListener("keydown", (event) => {
      if (!ARROWS[event.key]) return;
      event.preventDefault();
      then(...ARROWS[event.key], event);
    });
  }

  // Under the mouse or the finger.
  onPoint(place, then) {
    place.addEventListener("pointermove", then);
    place.addEventListener("pointerdown", then);
  }

  // While it is dragged, from the press on; beyond its border, too.
  onDrag(place, then) {
    place.addEventListener("pointerdown", (event) => {
      place.setPointerCapture(event.pointerId);
      then(event);
    });
    place.addEventListener("pointermove", (event) => {
      if (place.hasPointerCapture(event.pointerId)) then(event);
    });
  }

  onResize(place) {
    new ResizeObserver(() => this.draw()).observe(place);
  }

  // From 0 to 1, picture by picture; at once where the reader wants no motion.
  glide(then, milliseconds = 450) {
    cancelAnimationFrame(this.gliding);
    if (still()) return then(1);
    let begin;
    const step = (now) => {
      begin ??= now;
      const share = Math.min(1, (now - begin) / milliseconds);
      then(share * share * (3 - 2 * share));
      if (share < 1) this.gliding = requestAnimationFrame(step);
    };
    this.gliding = requestAnimationFrame(step);
  }
}

export const define = (name, element) => globalThis.customElements?.define(`siglip-${name}`, element);
