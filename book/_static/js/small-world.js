// The small world of the chapter on losses, trained while one looks: where its pairs are, step by
// step, and what the model says of them.

import { Training, randomNumbers } from "./small-world-training.js";
import {
  Touchable, buttons, clamp, count, define, fixed, percent, range, sigmoid, still,
} from "./touch.js";

const CHOICES = {
  loss: [["sigmoid", "sigmoid"], ["softmax", "softmax"], ["diagonal", "diagonal"]],
  bias: [["−10", -10], ["0", 0]],
  seed: [["0", 0], ["1", 1], ["2", 2]],
};
const WORDS = { loss: "loss", bias: "b from", seed: "seed" };
const NUMBERS = [ // names, and what they mean
  ["best is own", "own caption ranks first"],
  ["yes to own", "own pairs with p > ½"],
  ["yes to others", "wrong ones, per photo"],
  ["t and b", "scale and bias"],
];
const [STEPS, PAIRS] = [100, 256];
const SHOWN = 3; // of the 255 other captions of each photo
const [SLOW, FAST] = [260, 45]; // milliseconds for a step: the first few decide

// The drawing of the pairs: cosines from −1 to 1; the curve of p from 0 to 1, and below it a strip
// for the own pairs and one for the others.
const [LEFT, RIGHT, TOP, BOTTOM] = [34, 372, 24, 262];
const [FOOT, OWN, OTHERS, STRIP] = [92, 120, 204, 52]; // end of the curve; tops of the strips, height
const across = (cosine) => LEFT + ((cosine + 1) / 2) * (RIGHT - LEFT);
const height = (p) => FOOT - p * (FOOT - TOP);
// The two charts: steps from 0 to 100.
const [START, END, HIGH, LOW] = [44, 214, 34, 116];
const time = (step) => START + (step / STEPS) * (END - START);
const scales = {
  cosines: (value) => LOW - ((value + 1) / 2) * (LOW - HIGH),
  loss: (value) => LOW - ((Math.log10(clamp(value, 0.01, 1000)) + 2) / 5) * (LOW - HIGH),
};

const short = (value) => fixed(Math.round(100 * value) / 100 + 0, 2); // + 0: no −0.00

const label = (x, y, anchor, words) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}">${words}</text>`;
// Several lines have names, in a row of their own below the title; one has its title close above it.
const chart = (kind, title, ticks, lines, several = lines.length > 1, top = several ? -22 : 12) => `
  <svg class="sw-chart" viewBox="0 ${top} 220 ${142 - top}" role="img"
       aria-label="${title} against the step">
    ${several ? `<text x="4" y="${13 + top}">${title}</text>` : ""}
    <text x="4" y="${several ? 13 : 13 + top}">${several ? "" : title}
      ${lines
        .map((line, i) => `<tspan class="sw-${line}"${i ? ' dx="8"' : ""}>${several ? line : ""}
          <tspan class="sw-last"></tspan></tspan>`)
        .join(" ")}</text>
    ${ticks
      .map(([value, word]) => {
        const y = scales[kind](value).toFixed(1);
        return `<path class="sw-grid" d="M${START} ${y}H${END}" />
          ${label(START - 5, Number(y) + 5, "end", word)}`;
      })
      .join("")}
    <text class="sw-end" x="${END}" y="${LOW + 22}" text-anchor="end">step ${STEPS}</text>
    ${lines.map((line) => `<path class="sw-ghost sw-ghost-${line}" />`).join("")}
    ${lines.map((line) => `<path class="sw-line sw-${line}" />`).join("")}
  </svg>`;

class SmallWorld extends Touchable {
  render() {
    this.chosen = { loss: 0, bias: 0, seed: 0 };
    // Each dot keeps its place in height.
    const random = randomNumbers(1);
    const scatter = (n, top) => range(n).map(() => top + STRIP * random());
    this.heights = [scatter(PAIRS, OWN), scatter(SHOWN * PAIRS, OTHERS)];
    const choices = (kind) => `
      <div class="pills sw-${kind}" role="group" aria-label="${WORDS[kind]}">
        <span>${WORDS[kind]}</span>${buttons(kind, CHOICES[kind].map(([word]) => word))}
      </div>`;
    this.innerHTML = `
      <div class="sw-row">
        ${choices("loss")}${choices("bias")}
        <div class="pills sw-run">
          <button type="button" class="sw-train" data-kind="train" data-i="0"></button>
          <details><summary>more</summary>
            <div class="pills">${buttons("again", ["Start over"])}${buttons("step", ["One step"])}
              ${choices("seed")}</div>
          </details>
        </div>
      </div>
      <div class="sw-drawings">
        <span class="sw-count"></span>
        <svg class="sw-pairs" viewBox="0 0 380 300" role="img"
             aria-label="Own and other pairs against their cosine, and the curve of p">
          <rect class="sw-yes" y="${TOP}" height="${BOTTOM - TOP}" />
          <path class="sw-grid" d="M${LEFT} ${TOP}V${BOTTOM}M${across(0)} ${TOP}V${BOTTOM}" />
          <path class="sw-grid" d="M${LEFT} ${FOOT}H${RIGHT}" />
          <path class="sw-axis" d="M${LEFT} ${BOTTOM}H${RIGHT}" />
          ${[[-1, "−1"], [-0.5, "−0.5"], [0, "0"], [0.5, "0.5"], [1, "1"]]
            .map(([c, word]) => label(across(c), BOTTOM + 17, "middle", word))
            .join("")}
          ${label(across(0), BOTTOM + 34, "middle", "cosine")}
          ${[[0, "0"], [0.5, "<tspan font-style='italic'>p</tspan>"], [1, "1"]]
            .map(([p, word]) => label(LEFT - 7, height(p) + 5, "end", word))
            .join("")}
          <path class="sw-dots sw-others" /><path class="sw-dots sw-own" />
          <path class="sw-halo" /><path class="sw-curve" />
          <text class="sw-word" x="${RIGHT - 6}" y="${TOP - 8}" text-anchor="end">yes</text>
          <text class="sw-none" x="${across(0)}" y="${height(0.5) + 5}" text-anchor="middle">a softmax compares: no curve, no yes</text>
          <text class="sw-name sw-own" x="${LEFT + 6}" y="${OWN - 8}">own pairs</text>
          <text class="sw-name sw-others" x="${LEFT + 6}" y="${OTHERS - 8}">other pairs</text>
        </svg>
        <div class="sw-charts">
          ${chart("cosines", "mean cosine", [[-1, "−1"], [0, "0"], [1, "1"]], ["own", "others"])}
          ${chart("loss", "loss", [[0.01, "0.01"], [1, "1"], [100, "100"]], ["loss"])}
        </div>
      </div>
      <div class="sw-numbers">
        ${NUMBERS.map(([name, what]) => `<span><i>${name}</i> <b></b><small>${what}</small></span>`)
          .join("")}
      </div>
      <p class="sw-before"></p>
      <p class="sw-readout" aria-live="polite"></p>`;
    for (const kind of Object.keys(CHOICES))
      this.onPress(kind, (i) => {
        this.chosen[kind] = i;
        this.begin();
      });
    this.onPress("again", () => this.begin());
    this.onPress("step", () => {
      if (this.training.steps >= STEPS) this.begin();
      this.running = false;
      this.step();
      this.draw();
    });
    this.onPress("train", () => {
      if (this.running) this.running = false;
      else {
        if (this.training.steps >= STEPS) this.begin();
        this.run();
      }
      this.draw();
    });
    this.begin();
    this.showOnce();
  }

  // It trains by itself when it is first seen, unless the reader is faster or wants no motion.
  showOnce() {
    if (still()) return;
    const watch = new IntersectionObserver(
      (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        watch.disconnect();
        this.run();
      },
      { threshold: 0.3 },
    );
    watch.observe(this.find(".sw-pairs"));
    this.addEventListener("click", () => watch.disconnect(), { once: true });
  }

  // Every choice begins anew at step 0, and only "Train" and "One step" go on from there. The last
  // whole run stays in sight, pale, beside the next one.
  begin() {
    if (this.training?.steps >= STEPS) this.past = { seen: this.seen, name: this.name };
    const chosen = Object.keys(CHOICES).map((kind) => CHOICES[kind][this.chosen[kind]]);
    const [loss, bias, seed] = chosen.map(([, value]) => value);
    this.name = `${chosen[0][0]}, b from ${chosen[1][0]}, seed ${chosen[2][0]}`;
    this.training = new Training({ loss, bias, seed });
    this.running = false;
    this.seen = [];
    this.look();
    this.draw();
  }

  // Also at the start.
  look() {
    const { cosines, ...seen } = this.training.look();
    this.now = seen;
    this.seen.push(seen);
    const others = range(SHOWN * PAIRS).map((k) => {
      const [row, turn] = [Math.floor(k / SHOWN), 1 + 83 * (k % SHOWN)];
      return cosines[row * PAIRS + ((row + turn) % PAIRS)];
    });
    this.aims = [range(PAIRS).map((i) => cosines[i * (PAIRS + 1)]), others];
  }

  step() {
    this.training.step();
    this.look();
  }

  // A step in one frame, a look at where it leads in the next, so that the page stays awake; where
  // motion is not wanted, only its end shows.
  run() {
    const training = this.training;
    let last = -Infinity;
    const next = (now) => {
      if (!this.isConnected || this.training !== training) return;
      if (training.steps === this.seen.length) { // not yet looked at: the start was, too
        this.look();
        if (training.steps >= STEPS) this.running = false;
        if (!still() || !this.running) this.draw();
      } else if (!this.running) return;
      else if (now - last >= (still() ? 0 : training.steps < 8 ? SLOW : FAST)) {
        training.step();
        last = now;
      }
      requestAnimationFrame(next);
    };
    this.running = true;
    this.draw();
    requestAnimationFrame(next);
  }

  // The dots go to where they belong, a part of the way in each frame.
  glide() {
    if (still() || !this.places) this.places = this.aims.map((aims) => [...aims]);
    let far = 0;
    this.places.forEach((places, side) => {
      const aims = this.aims[side];
      const dots = places.map((place, i) => {
        far = Math.max(far, Math.abs(aims[i] - place));
        places[i] = place + 0.25 * (aims[i] - place);
        return `M${across(places[i]).toFixed(1)} ${this.heights[side][i].toFixed(1)}h0`;
      });
      this.find(`.sw-dots.${side ? "sw-others" : "sw-own"}`).setAttribute("d", dots.join(""));
    });
    this.gliding = far > 0.002 && this.isConnected;
    if (this.gliding) requestAnimationFrame(() => this.glide());
  }

  draw() {
    const { now, seen, running } = this;
    const { steps } = this.training;
    for (const kind of Object.keys(CHOICES)) this.press(kind, this.chosen[kind]);
    const next = steps >= STEPS ? "Train again" : steps > 0 ? "Go on" : "Train";
    this.say(".sw-train", running ? "Pause" : next);
    this.say(".sw-count", `step ${steps} of ${STEPS}`);
    if (!this.gliding) this.glide();

    const points = range(RIGHT - LEFT + 1).map((x) => {
      const cosine = (2 * x) / (RIGHT - LEFT) - 1;
      return `${LEFT + x} ${height(sigmoid(now.t * cosine + now.b)).toFixed(1)}`;
    });
    for (const curve of this.all(".sw-curve, .sw-halo"))
      curve.setAttribute("d", `M${points.join("L")}`);
    // A softmax compares; it has no curve, and nothing above it is a yes.
    const compares = CHOICES.loss[this.chosen.loss][1] === "softmax";
    const half = compares ? 1 : clamp(-now.b / now.t, -1, 1);
    this.find(".sw-pairs").classList.toggle("sw-compares", compares);
    this.find(".sw-word").style.visibility = half < 1 ? "visible" : "hidden";
    this.find(".sw-yes").setAttribute("x", across(half));
    this.find(".sw-yes").setAttribute("width", RIGHT - across(half));

    const { past } = this;
    for (const [name, kind] of [["own", "cosines"], ["others", "cosines"], ["loss", "loss"]]) {
      const place = (at, i) => `${time(i).toFixed(1)} ${scales[kind](at[name]).toFixed(1)}`;
      const line = (run) => `M${run.map(place).join("L")}`;
      this.find(`.sw-line.sw-${name}`).setAttribute("d", line(seen));
      if (past) this.find(`.sw-ghost-${name}`).setAttribute("d", line(past.seen));
    }
    this.say(
      ".sw-before",
      past
        ? `Pale: the run before (${past.name}), ${percent(past.seen.at(-1).best)} best is own.`
        : "Change something after a run, and the run stays in sight, pale.",
    );
    this.sayAll(".sw-last", [
      short(now.own),
      short(now.others),
      now.loss < 0.1 ? now.loss.toFixed(3) : now.loss.toFixed(1),
    ]);
    this.sayAll(".sw-numbers b", [
      percent(now.best),
      compares ? "–" : percent(now.yesToOwn, 0),
      compares ? "–" : `${now.yesToOthers.toFixed(1)} of ${PAIRS - 1}`,
      `${now.t.toFixed(1)}, ${fixed(now.b, 1)}`,
    ]);
    this.say(".sw-readout", this.words(steps));
  }

  words(steps) {
    if (this.running) return "Training …";
    if (steps === 0)
      return "Nothing is learned yet: own and other pairs are mixed. Press Train, and watch where the " +
        "green and the grey dots go.";
    const { best, own, others, yesToOthers } = this.now;
    const kind = CHOICES.loss[this.chosen.loss][1];
    const ways = [
      [others > 0.7 && yesToOthers > 200, "All vectors are in one place, and everything is a yes."],
      [others > 0.7, "All vectors are gathering in one place."],
      [own < -0.2 && others < -0.2, "Own and others have fallen together: a no to everything."],
      [kind === "softmax" && own - others > 0.5,
       "Own and others have parted; but a softmax never teaches b."],
      [own - others > 0.5, "Own and other pairs have parted."],
    ];
    const way = ways.find(([holds]) => holds)?.[1] ?? "";
    const when =
      steps < STEPS
        ? `Paused after ${steps} of ${count(STEPS, "step")}: so far`
        : `After ${count(steps, "step")},`;
    return `${when} ${percent(best, 0)} of the photos find their caption. ${way}`;
  }
}

define("small-world", SmallWorld);
