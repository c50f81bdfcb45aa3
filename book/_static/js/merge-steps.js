// <merge-steps>: byte pairs join to pieces, one merge of CLIP's list at a time. data-words holds for
// each word its states: the pieces, the place in the list of each pair of neighbours (null: not in
// it), and the ids at the end.

const escapeHTML = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const place = (rank) => rank.toLocaleString("en-US");

class MergeSteps extends HTMLElement {
  connectedCallback() {
    this.words = JSON.parse(this.dataset.words);
    const pills = Object.keys(this.words).map((word) => `<button type="button">${word}</button>`);
    this.innerHTML = `
      <div class="pills">${pills.join("")}</div>
      <label class="ms-slider"><span>merges done</span> <output></output>
        <input type="range" name="step" min="0" step="1" value="0"></label>
      <ol class="ms-pieces"></ol>
      <p class="ms-readout" aria-live="polite"></p>
      <p class="ms-help">Between two pieces: the place of the pair in the list of 48,894 merges, or a
        dash where it is not in it. Green: the earliest, which is joined next.</p>`;
    this.slider = this.querySelector("input");
    this.slider.addEventListener("input", () => this.draw());
    this.addEventListener("click", ({ target }) => {
      if (target.tagName === "BUTTON") this.choose(target.textContent);
    });
    this.choose(this.dataset.word);
  }

  choose(word) {
    this.word = word;
    this.slider.max = this.words[word].states.length - 1;
    this.slider.value = 0;
    this.querySelectorAll("button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.textContent === word));
    });
    this.draw();
  }

  draw() {
    const { states, ids } = this.words[this.word];
    const step = Number(this.slider.value);
    const [pieces, ranks] = states[step];
    const known = ranks.filter((rank) => rank !== null);
    const next = known.length ? ranks.indexOf(Math.min(...known)) : -1;
    const last = states.length - 1;
    this.querySelector("output").textContent = `${step} of ${last}`;
    this.querySelector(".ms-pieces").innerHTML = pieces
      .map((piece, i) => {
        const rank = ranks[i] === null ? "–" : place(ranks[i] ?? 0);
        const pair = `<i class="${i === next ? "ms-next" : ""}">${rank}</i>`;
        return `<li><b>${escapeHTML(piece)}</b>${i < ranks.length ? pair : ""}</li>`;
      })
      .join("");
    const word = `“${this.word}”`;
    this.querySelector(".ms-readout").textContent =
      next >= 0
        ? `Next: ${pieces[next]} and ${pieces[next + 1]}, merge ${place(ranks[next])} of the list, ` +
          `the earliest of the ${known.length === 1 ? "one pair" : `${known.length} pairs`} that it has.`
        : pieces.length === 1
          ? `Done: ${word} is one piece, id ${ids[0]}.`
          : `Done: no pair is in the list. ${word} is ${pieces.length} pieces, ids ${ids.join(", ")}.`;
  }
}

customElements.define("merge-steps", MergeSteps);
