// A question of the chapter: a field or choices, and a button; right, or a hint. The second wrong
// answer gets a stronger hint and a way to the solution. What was solved is kept with the progress.
// It reads and compares as `siglip_lab/figures/exercises.py`.

import { recall, remember } from "./progress.js";
import { Touchable, buttons, define, escapeHTML, radios } from "./touch.js";

const GROUPED = /^([+-]?[1-9][0-9]{0,2})((?:[ ,_][0-9]{3})+)(?![0-9])/;
const NUMBER =
  /^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)(?: ?\/ ?([1-9][0-9]*))?( ?%)?$/;

const MOST = 30; // letters of an unreadable answer that are said again

const plain = (text) => text.replace(/[\u2212\u2013]/g, "-").replace(/\s+/g, " ").trim();

// All numbers that a text may mean: 6,930 may be thousands or a decimal comma.
export function readings(text, unit = "") {
  text = plain(text).toLowerCase();
  if (unit && text.endsWith(unit.toLowerCase())) text = text.slice(0, -unit.length).trim();
  const grouped = text.replace(GROUPED, (_, first, rest) => first + rest.replace(/[ ,_]/g, ""));
  const values = [grouped, text.replace(",", ".")].flatMap((way) => {
    const [, number, below, percent] = way.match(NUMBER) ?? [];
    return number ? [Number(number) / Number(below ?? 1) / (percent ? 100 : 1)] : [];
  });
  return [...new Set(values)];
}

// A list as somebody types it: [3, 17] · 3 and 17 · 57,1; 182,9 · 80 000, 512 000
export function split(text) {
  text = plain(text).replace(/[[\](){}"'\u201c\u201d`]/g, "").replace(/^[ ,;]+|[ ,;]+$/g, "");
  return text.split([/ ?; ?/, / ?, | ,| and | [+] /, / /].find((way) => way.test(text)) ?? ",");
}

const listed = (value) => (Array.isArray(value) ? value : [value]);

// Strings, or for each number the ways to read it; null if it cannot be read.
export function read({ kind, unit, choices, answer }, text) {
  if (choices) return text.length ? text : null;
  if (kind === "pieces") return split(text).map((piece) => piece.replaceAll("_", "\u2581"));
  const words = kind === "numbers" ? split(text) : [text];
  const numbers = words.map((word) => readings(word, unit));
  const complete = numbers.every((ways) => ways.length) && numbers.length === listed(answer).length;
  return complete ? numbers : null;
}

// True if what was given is what was expected.
export function same({ kind, choices, within = 0, any_order: anyOrder }, expected, given) {
  expected = listed(expected);
  if (given.length !== expected.length) return false;
  if (choices) return expected.every((word) => given.includes(word));
  if (kind === "pieces") return expected.every((piece, i) => piece === given[i]);
  if (anyOrder) {
    expected = [...expected].sort((a, b) => a - b);
    given = [...given].sort(([a], [b]) => a - b);
  }
  const near = (way, value) => Math.abs(way - value) <= within + 1e-9 * Math.abs(value);
  return expected.every((value, i) => given[i].some((way) => near(way, value)));
}

const unseal = (text) =>
  JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))));

class Exercise extends Touchable {
  render({ sealed, ...shown }) {
    this.asked = { ...shown, ...unseal(sealed) };
    this.wrong = 0;
    const { id, kind, choices, unit, ask, form } = this.asked;
    const name = `Your answer to exercise ${Number(id.split(".")[1])}`;
    const words = choices?.map(escapeHTML);
    const boxes = {
      choice: () => radios(this.key, words, -1),
      choices: () => radios(this.key, words, -1).replaceAll('"radio"', '"checkbox"'),
    }[kind];
    const field = `<input type="text" aria-label="${name}" placeholder="your answer"
      autocomplete="off" autocapitalize="off" spellcheck="false">`;
    this.innerHTML = `<form novalidate>
      ${ask ? `<p class="ex-ask">${escapeHTML(ask)}</p>` : ""}
      ${boxes ? `<fieldset class="pills" aria-label="${name}">${boxes()}</fieldset>` : ""}
      <div class="ex-entry">
        ${boxes ? "" : field}${unit ? `<span class="ex-unit">${escapeHTML(unit)}</span>` : ""}
        <button type="submit">Check</button>
      </div>
      <div class="ex-answer">
        <p class="ex-room" aria-hidden="true">${this.room()}</p>
        <p class="ex-says" aria-live="polite"></p>
      </div>
    </form>`;
    this.answer = { state: "open", words: `${form[0].toUpperCase()}${form.slice(1)}.` };
    this.find("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.check(this.typed());
    });
    this.onPress("solution", () => this.showSolution());
    const kept = recall("exercises", id);
    if (kept !== undefined) this.comeBack(kept);
  }

  // As long as the longest that will be said, without saying it.
  room() {
    const { hints, right, wrong = [] } = this.asked;
    const all = [...hints, right, ...wrong.map(([, hint]) => hint), this.unread("n".repeat(MOST))];
    const longest = Math.max(...all.map((words) => words.length));
    return ` Not yet. ${all.find((words) => words.length === longest)}`.replace(/\S/g, "n");
  }

  unread(typed) {
    const start = typed.length > MOST ? `${typed.slice(0, MOST)}…` : typed;
    const nothing = this.asked.choices ? "Nothing is chosen yet" : "Type your answer first";
    return `${start ? `“${start}” cannot be read. Expected` : nothing}: ${this.asked.form}.`;
  }

  // What the reader typed, or the words of what they chose.
  typed() {
    if (!this.asked.choices) return this.find("input").value;
    const chosen = this.all("input:checked").map((input) => Number(input.value));
    return chosen.map((i) => this.asked.choices[i]);
  }

  // Kept from an earlier visit, if it is still the answer.
  comeBack(kept) {
    const given = typeof kept === "string" || this.asked.choices ? read(this.asked, kept) : null;
    if (!given || !same(this.asked, this.asked.answer, given)) return;
    if (this.asked.choices) {
      this.all("input").forEach((box, i) => (box.checked = kept.includes(this.asked.choices[i])));
    } else this.find("input").value = kept;
    this.answer = { state: "right", words: this.asked.right };
  }

  check(typed) {
    const { id, answer, wrong = [], hints, right, choices } = this.asked;
    const given = read(this.asked, typed);
    if (!given) {
      this.answer = { state: "unread", words: this.unread(choices ? "" : typed.trim()) };
    } else if (same(this.asked, answer, given)) {
      this.answer = { state: "right", words: right };
      remember("exercises", id, typed);
    } else {
      this.wrong += 1;
      const known = wrong.find(([value]) => same(this.asked, value, given));
      const hint = known?.[1] ?? hints[Math.min(this.wrong, hints.length) - 1];
      this.answer = { state: "wrong", words: hint };
      if (this.wrong === 2 && this.solution()) {
        this.find(".ex-entry").insertAdjacentHTML("beforeend", buttons("solution", ["Solution"]));
      }
    }
    this.draw();
  }

  // The folded cell that follows.
  solution() {
    return this.closest(".cell")?.nextElementSibling?.querySelector("details");
  }

  showSolution() {
    this.solution().open = true;
    this.solution().scrollIntoView({ block: "nearest" });
    this.solution().querySelector("summary").focus();
  }

  draw() {
    const { state, words } = this.answer;
    const verdict = { right: "<b>✓ Right.</b> ", wrong: "<b>Not yet.</b> " }[state] ?? "";
    this.dataset.state = state;
    this.find(".ex-says").innerHTML = verdict + escapeHTML(words);
    this.countSolved();
  }

  // Beside the heading: how many of the section are solved.
  countSolved() {
    const section = this.closest("section");
    const heading = section?.querySelector("h1, h2, h3");
    if (!heading) return;
    const all = [...section.querySelectorAll("siglip-exercise")];
    const solved = all.filter(({ dataset }) => recall("exercises", JSON.parse(dataset.json).id));
    if (!heading.querySelector(".ex-count"))
      heading.insertAdjacentHTML("beforeend", ' <span class="ex-count"></span>');
    heading.querySelector(".ex-count").textContent = `${solved.length} of ${all.length} solved`;
  }
}

define("exercise", Exercise);
