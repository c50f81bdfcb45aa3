// Drawings as lists: a background, and on it stamps and strokes in the order in which they came.
// The stamps are those of siglip_lab/toy/shapes_world.py. `raster` paints them pixel for pixel as
// Pillow does there: a drawing gives the same numbers in every browser, and in Python.

export const CANVAS = 120; // pixels; what the model is given is CANVAS x CANVAS
export const COLOURS = {
  red: [220, 30, 35], orange: [250, 135, 15], yellow: [235, 210, 20], green: [40, 150, 50],
  cyan: [30, 195, 210], blue: [30, 70, 215], purple: [125, 40, 165], pink: [250, 125, 180],
  brown: [125, 75, 35], black: [25, 25, 25],
};
export const SIZES = { small: [0.1, 0.115], large: [0.135, 0.15] }; // radius, as a share
const MARGIN = 0.06; // of the edge, as shapes_world keeps it
const GAP = 0.02; // least distance between two objects
const LONGEST = { items: 200, points: 600, captions: 12, letters: 120 }; // of what a link may hold

// ---- the shapes: outlines in the unit circle, y pointing down -----------------------------------

const radians = (degrees) => (degrees * Math.PI) / 180;
const many = (n, make) => Array.from({ length: n }, (_, i) => make(i));

// Corners evenly spaced by angle; two radii make a star.
const regular = (corners, start, ...radii) =>
  many(corners, (i) => {
    const angle = radians(start + (360 * i) / corners);
    const radius = radii[i % radii.length];
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });

const heart = () =>
  many(48, (i) => {
    const a = (2 * Math.PI * i) / 48;
    const y =
      13 * Math.cos(a) - 5 * Math.cos(2 * a) - 2 * Math.cos(3 * a) - Math.cos(4 * a);
    return [(16 * Math.sin(a) ** 3) / 17, -(y + 2.5) / 17];
  });

// A disc with a smaller disc bitten out of its right side.
function moon() {
  const outer = many(27, (i) => radians(50 + 10 * i));
  const [tipX, tipY] = [Math.cos(outer[0]), Math.sin(outer[0])];
  const centre = 0.55;
  const [radius, half] = [Math.hypot(tipX - centre, tipY), Math.atan2(tipY, tipX - centre)];
  const inner = many(19, (i) => -half - ((2 * Math.PI - 2 * half) * (i + 1)) / 20);
  const bite = inner.map((a) => [centre + radius * Math.cos(a), radius * Math.sin(a)]);
  return [...outer.map((a) => [Math.cos(a), Math.sin(a)]), ...bite];
}

function cross(arm = 0.32) {
  let corners = [[arm, -1], [arm, -arm], [1, -arm]];
  for (let i = 0; i < 3; i++) corners = corners.concat(corners.slice(-3).map(([x, y]) => [-y, x]));
  return corners;
}

export const SHAPES = {
  circle: regular(40, 0, 0.92),
  square: regular(4, 45, 1.12),
  triangle: regular(3, -90, 1.1),
  star: regular(10, -90, 1.1, 0.45),
  heart: heart(),
  cross: cross(),
  ring: regular(40, 0, 1),
  moon: moon(),
};
const HOLES = { ring: regular(40, 0, 0.55) }; // in the background's colour

// A stamp's outline and its hole, if it has one, on a canvas of `size`.
export function outlines({ shape, x, y, radius, angle }, size = CANVAS) {
  const [cos, sin] = [radius * Math.cos(radians(angle)), radius * Math.sin(radians(angle))];
  return [SHAPES[shape], HOLES[shape] ?? []].map((corners) =>
    corners.map(([u, v]) => [size * (x + cos * u - sin * v), size * (y + sin * u + cos * v)]),
  );
}

// Whether a point, in shares of the sheet, is on a stamp: in its outline, or in the circle of a
// circle's size, since a finger misses thin arms and the hole.
export function covers(item, x, y) {
  if (Math.hypot(item.x - x, item.y - y) < 0.92 * item.radius) return true;
  const [outer] = outlines(item, 1);
  return outer.filter(([u, v], i) => {
    const [s, t] = outer[(i + 1) % outer.length];
    return v > y !== t > y && x < u + ((y - v) * (s - u)) / (t - v);
  }).length % 2 === 1;
}

// ---- words and numbers of a scene ---------------------------------------------------------------

const distance = (a, b) => Math.hypot(...a.map((value, i) => value - b[i]));
export const css = (fill) => `rgb(${fill.join(" ")})`;
export const isStamp = (item) => "shape" in item;

// The nearest of the ten, since every scene has its own shade.
export const colourName = (fill) =>
  Object.keys(COLOURS).reduce((best, name) =>
    distance(COLOURS[name], fill) < distance(COLOURS[best], fill) ? name : best,
  );
export const sizeName = (radius) => (radius < 0.125 ? "small" : "large");
export const plural = (shape) => shape + (shape.endsWith("s") ? "es" : "s");
export const label = (count, colour, shape) => {
  if (count !== 1) return `${count} ${[colour, plural(shape)].join(" ").trim()}`;
  const words = `${colour} ${shape}`.trim();
  return `${"aeiou".includes(words[0]) ? "an" : "a"} ${words}`;
};

// What can be seen, for those who cannot see it: "a red circle and 2 blue squares".
export function describe({ items }) {
  const kinds = new Map();
  for (const item of items.filter(isStamp)) {
    const kind = [colourName(item.fill), item.shape].join(" ");
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const words = [...kinds].map(([kind, count]) => label(count, ...kind.split(" ")));
  const strokes = items.filter((item) => !isStamp(item)).length;
  if (strokes) words.push(strokes === 1 ? "a stroke of the brush" : `${strokes} brush strokes`);
  return words.join(", ").replace(/, ([^,]*)$/, " and $1") || "an empty sheet";
}

// What tiny was never trained on, or nothing: it saw one to four shapes of one kind, size and
// colour.
export function unusual({ items }) {
  const kind = ({ shape, fill, radius }) => `${colourName(fill)} ${shape} ${sizeName(radius)}`;
  if (!items.length) return "an empty sheet";
  if (!items.every(isStamp)) return "brush strokes";
  if (new Set(items.map(kind)).size > 1) return "shapes that differ in kind, size or colour";
  return items.length > 4 ? "more than four shapes" : "";
}

const round = (share) => Math.round(share * 1000) / 1000; // what a link can say
export const snap = (item) =>
  isStamp(item)
    ? { ...item, x: round(item.x), y: round(item.y), radius: round(item.radius) }
    : { ...item, points: item.points.map(round) };

// ---- painting -----------------------------------------------------------------------------------

// Smooth, at any size, for the eye; without its sheet where only the items are wanted.
export function paint(context, { background, items }, size, sheet = true) {
  if (sheet) {
    context.fillStyle = css(background);
    context.fillRect(0, 0, size, size);
  }
  for (const item of items) {
    if (isStamp(item)) {
      context.beginPath();
      for (const corners of outlines(item, size)) {
        corners.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x, y));
        if (corners.length) context.closePath();
      }
      context.fillStyle = css(item.fill);
      context.fill("evenodd");
    } else {
      const { radius } = item;
      const points = item.points.map((share) => share * size);
      context.beginPath();
      context.moveTo(points[0], points[1]);
      for (let i = 0; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
      context.strokeStyle = css(item.fill ?? background);
      context.lineWidth = 2 * radius * size;
      context.lineCap = context.lineJoin = "round";
      context.stroke();
    }
  }
}

// CANVAS x CANVAS pixels without smoothing, for the model: { width, height, data }, RGBA.
export function raster({ background, items }) {
  const data = new Uint8ClampedArray(CANVAS * CANVAS * 4).fill(255);
  const row = (y, from, to, fill) => {
    if (y < 0 || y >= CANVAS) return;
    const last = Math.min(to, CANVAS - 1);
    for (let x = Math.max(from, 0); x <= last; x++) data.set(fill, (y * CANVAS + x) * 4);
  };
  for (let y = 0; y < CANVAS; y++) row(y, 0, CANVAS, background);
  for (const item of items) {
    if (isStamp(item)) {
      const [outer, hole] = outlines(item);
      fillPolygon(outer, (y, from, to) => row(y, from, to, item.fill));
      if (hole.length) fillPolygon(hole, (y, from, to) => row(y, from, to, background));
    } else {
      fillStroke(item, (y, from, to) => row(y, from, to, item.fill ?? background));
    }
  }
  return { width: CANVAS, height: CANVAS, data };
}

// Every pixel whose centre the brush has covered.
function fillStroke({ points, radius }, row) {
  const [r, p] = [radius * CANVAS, points.map((share) => share * CANVAS - 0.5)];
  for (let i = 0; i < p.length; i += 2) {
    const [x0, y0] = [p[Math.max(i - 2, 0)], p[Math.max(i - 1, 1)]];
    const [dx, dy] = [p[i] - x0, p[i + 1] - y0];
    const length = dx * dx + dy * dy || 1;
    for (let y = Math.ceil(Math.min(y0, y0 + dy) - r); y <= Math.max(y0, y0 + dy) + r; y++) {
      for (let x = Math.ceil(Math.min(x0, x0 + dx) - r); x <= Math.max(x0, x0 + dx) + r; x++) {
        const t = Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / length, 0), 1);
        if (Math.hypot(x - x0 - t * dx, y - y0 - t * dy) <= r) row(y, x, x);
      }
    }
  }
}

const f32 = Math.fround; // Pillow's edges are in single precision
const halfUp = (x) => (x >= 0 ? Math.floor(f32(x + 0.5)) : -Math.floor(f32(-x + 0.5)));
const halfDown = (x) => (x >= 0 ? Math.ceil(f32(x - 0.5)) : -Math.ceil(f32(-x - 0.5)));

// As Pillow fills a polygon: its corners become whole numbers, and each row is filled between pairs
// of edges, the edges' own pixels too.
function fillPolygon(corners, row) {
  const whole = corners.map((corner) => corner.map(Math.trunc));
  const rows = whole.map(([, y]) => y);
  const bottom = Math.min(Math.max(...rows), CANVAS);
  const edges = [];
  whole.forEach(([x0, y0], i) => {
    const [x1, y1] = whole[(i + 1) % whole.length];
    if (y0 === y1) row(y0, Math.min(x0, x1), Math.max(x0, x1));
    else {
      const dx = f32((x1 - x0) / (y1 - y0));
      const at = (y) => f32(f32((y - y0) * dx) + x0);
      edges.push({ dx, at, ends: [Math.min(y0, y1), Math.max(y0, y1)] });
    }
  });
  for (let y = Math.max(Math.min(...rows), 0); y <= bottom; y++) {
    const xs = crossings(edges, y, bottom).sort((a, b) => a - b);
    for (let i = 1; i < xs.length; i += 2) row(y, halfUp(xs[i - 1]), halfDown(xs[i]));
  }
}

function crossings(edges, y, bottom) {
  const xs = [];
  edges.forEach((edge, i) => {
    const [low, high] = edge.ends;
    if (y < low || y > high) return;
    const x = edge.at(y);
    xs.push(x);
    if (y === high && y < bottom) xs.push(x);
    else if ((y === low || y === high) && edge.dx) {
      xs[xs.length - 1] = joined(x, edge, edges.slice(0, i), y);
    }
  });
  return xs;
}

// Where two flat edges meet in a corner, the corner's row reaches to within a pixel of the next
// one.
function joined(x, edge, before, y) {
  const next = y === edge.ends[1] ? y - 1 : y + 1;
  const other = before.find(
    ({ dx, ends, at }) =>
      dx && ends.includes(y) && ends[0] <= next && next <= ends[1] && halfUp(at(y)) === halfUp(x),
  );
  if (!other) return x;
  const [left, right] = [edge.at(next), other.at(next)].sort((a, b) => a - b);
  if (x > right + 1) return halfUp(right) + 1;
  return x < left - 1 ? halfUp(left) - 1 : x;
}

// ---- scenes from a seed -------------------------------------------------------------------------

// Mulberry32: numbers in [0, 1), the same for a seed everywhere.
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z = (z + Math.imul(z ^ (z >>> 7), z | 61)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

// One to four objects of one colour and one shape that neither overlap nor touch the edge, as in
// shapes_world.random_scene.
export function randomScene(seed) {
  const next = random(seed);
  const between = (low, high) => low + (high - low) * next();
  const choice = (list) => list[Math.floor(next() * list.length)];
  const shade = (fill, jitter) =>
    fill.map((c) => Math.min(255, Math.max(0, c + Math.round(between(-jitter, jitter)))));
  const count = 1 + Math.floor(next() * 4);
  const [shape, size] = [choice(Object.keys(SHAPES)), choice(Object.keys(SIZES))];
  const fill = shade(COLOURS[choice(Object.keys(COLOURS))], 14);
  const background = shade([235, 235, 235], 16);
  const items = [];
  for (let tries = 1; items.length < count; tries++) {
    if (tries % 100 === 0) items.length = 0; // no room may be left: begin anew
    const radius = between(...SIZES[size]);
    const edge = MARGIN + 1.12 * radius;
    const [x, y, angle] = [between(edge, 1 - edge), between(edge, 1 - edge), between(-15, 15)];
    const clear = items.every(
      (o) => Math.hypot(x - o.x, y - o.y) > 1.12 * (radius + o.radius) + GAP,
    );
    if (clear) items.push(snap({ shape, fill, x, y, radius, angle: Math.round(angle) }));
  }
  return { background, items };
}

// For a scene of one kind: two true captions, one with a wrong number, one all wrong.
export function captionsFor({ items }) {
  const [{ shape, fill }] = items;
  const [n, colour] = [items.length, colourName(fill)];
  const other = colour === "blue" ? "2 green hearts" : "2 blue squares";
  return [label(n, colour, shape), label(n, "", shape), label((n % 4) + 1, colour, shape), other];
}

// ---- scenes in an address -----------------------------------------------------------------------

// #tiny=1/background/item/item//caption/caption: a stamp is shape.fill.x.y.radius.angle, a stroke
// b.fill.radius.x.y.x.y…; lengths in thousandths of the canvas, colours in hexadecimal digits.
const VERSION = "#tiny=1/";
const hex = (fill) => fill.map((c) => c.toString(16).padStart(2, "0")).join("");
const thousandths = (share) => Math.round(share * 1000);

export const isLink = (hash) => hash.startsWith("#tiny=");

export function toLink({ background, items }, captions) {
  const words = items.map((item) =>
    (isStamp(item)
      ? [Object.keys(SHAPES).indexOf(item.shape), hex(item.fill),
          ...[item.x, item.y, item.radius].map(thousandths), item.angle]
      : ["b", item.fill ? hex(item.fill) : "", ...[item.radius, ...item.points].map(thousandths)]
    ).join("."),
  );
  return VERSION + [hex(background), ...words, "", ...captions.map(encodeURIComponent)].join("/");
}

// { scene, captions }, or null for what is no such address.
export function fromLink(hash) {
  if (!hash.startsWith(VERSION)) return null;
  const parts = hash.slice(VERSION.length).split("/");
  const gap = parts.indexOf("");
  if (gap < 1 || gap > LONGEST.items || parts.length - gap - 1 > LONGEST.captions) return null;
  try {
    const captions = parts.slice(gap + 1).map(decodeURIComponent);
    if (!captions.length || captions.some((text) => text.length > LONGEST.letters)) return null;
    const [background, ...words] = parts.slice(0, gap);
    return { scene: { background: toFill(background), items: words.map(toItem) }, captions };
  } catch {
    return null; // what decodeURIComponent, toFill and toItem refuse
  }
}

function toFill(text) {
  if (!/^[0-9a-f]{6}$/.test(text)) throw new Error(`${text} is no colour`);
  return [0, 2, 4].map((i) => parseInt(text.slice(i, i + 2), 16));
}

function toItem(text) {
  const [kind, fill, ...rest] = text.split(".");
  const numbers = rest.map((word) => (/^-?\d{1,4}$/.test(word) ? Number(word) : NaN));
  const share = (i) => numbers[i] / 1000;
  if (numbers.some((n) => Number.isNaN(n))) throw new Error(`${text} is no item`);
  const { length } = numbers;
  if (kind === "b" && length >= 3 && length % 2 && length < LONGEST.points) {
    const points = numbers.slice(1).map((n) => n / 1000);
    return { fill: fill ? toFill(fill) : null, radius: share(0), points };
  }
  const shape = Object.keys(SHAPES)[kind];
  if (!shape || numbers.length !== 4) throw new Error(`${text} is no item`);
  const [x, y, radius] = [share(0), share(1), share(2)];
  return { shape, fill: toFill(fill), x, y, radius, angle: numbers[3] };
}
