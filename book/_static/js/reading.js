// Marks what was read, in the contents and on the landing page: a chapter is, once its end was seen.

import { recall, recallAll, remember } from "./progress.js";

const places = [...document.querySelectorAll("[data-chapter]")];

// "read", and how many of its exercises are solved: their ids are "08.1", "08.2" in chapter 08_losses.
function done({ chapter, exercises }) {
  const ids = Object.keys(recallAll("exercises"));
  const solved = ids.filter((id) => id.startsWith(`${chapter.slice(0, 2)}.`)).length;
  const words = recall("chapters", chapter) ? ["read"] : [];
  if (solved && exercises > 0) words.push(`${solved} of ${exercises} solved`);
  return words.join(", ");
}

function mark() {
  for (const place of places) {
    place.classList.toggle("read", Boolean(recall("chapters", place.dataset.chapter)));
    place.querySelector(".done").textContent = done(place.dataset);
  }
}

// On the landing page the way in leads on from where the reader was.
function leadOn() {
  const way = document.querySelector(".way-to-read");
  const list = [...document.querySelectorAll("li.chapter")];
  const last = list.findLastIndex(({ dataset }) => recall("chapters", dataset.chapter));
  const next = list[last + 1];
  if (!way || last < 0 || !next) return;
  const link = next.querySelector("a");
  const number = next.querySelector(".number").textContent;
  way.querySelector("a").href = link.href;
  way.querySelector(".sd-card-title").textContent = `Continue with chapter ${number}`;
  way.querySelector(".sd-card-text").textContent = link.textContent;
}

const here = document.querySelector(".chapter-line")?.dataset.here;
if (here) {
  const end = document.querySelector(".prev-next-footer");
  new IntersectionObserver((entries, watcher) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    remember("chapters", here, true);
    mark();
  }).observe(end);
}
addEventListener("storage", mark); // another tab wrote
addEventListener("pageshow", mark); // the reader came back
mark();
leadOn();
