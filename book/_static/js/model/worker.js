// Runs the model beside the page, so that the page answers the reader while the model computes.
// Questions are answered in their order.

import { answer } from "./inference.js";
import { fromPretrained } from "./loading.js";

const loading = fromPretrained(new URL("../../tiny/", import.meta.url));
loading.then(
  () => postMessage({ ready: true }),
  (error) => postMessage({ ready: false, error: error.message }),
);
addEventListener("message", async ({ data: { number, question } }) => {
  try {
    postMessage({ number, answer: answer(await loading, question) });
  } catch (error) {
    postMessage({ number, error: error.message });
  }
});
