// Runs the model that its address names beside the page, so that the page answers the reader while
// the model computes. Questions are answered in their order.

import { answer } from "./inference.js";
import { fromPretrained } from "./loading.js";
import { search } from "./search.js";

const loading = fromPretrained(new URL(`../../${location.hash.slice(1)}/`, import.meta.url));
loading.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ ready: false, error: error.message }),
);
addEventListener("message", async ({ data: { number, question } }) => {
  try {
    const reply = question.search ? search : answer;
    postMessage({ number, answer: reply(await loading, question) });
  } catch (error) {
    postMessage({ number, error: error.message });
  }
});
