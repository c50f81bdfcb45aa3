// Draws every formula of the page; a mistake in one is shown in red, and the tests look for it.
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll("span.math, div.math > .formula")) {
    katex.render(place.textContent, place, {
      displayMode: place.tagName === "DIV",
      throwOnError: false,
    });
  }
});
