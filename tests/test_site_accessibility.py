"""The rules of axe, on every page at two widths and in both themes."""

from pathlib import Path

import axe_playwright_python
import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

# Thousands of coloured words of code, formulas and entries of the reference differ in their words
# alone; axe, which looks at each for a while, is shown some of each kind.
FEWER = """() => {
  const seen = new Set();
  for (const word of document.querySelectorAll("pre span:not(.line)")) {
    const places = [".cell_output", "details", ".admonition", "dl", ".touchable"];
    const key = [word.className, ...places.map((place) => !!word.closest(place))].join();
    if (seen.has(key)) word.replaceWith(...word.childNodes);
    seen.add(key);
  }
  document.querySelectorAll("pre").forEach((each) => each.normalize());
  for (const formula of [...document.querySelectorAll(".katex")].slice(3)) formula.remove();
  for (const entry of [...document.querySelectorAll("dl.py")].slice(20)) entry.remove();
  for (const entry of [...document.querySelectorAll(".genindextable li")].slice(40)) entry.remove();
}"""
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ id, nodes }) => [id, nodes.length, nodes[0].html.slice(0, 200), nodes[0].failureSummary],
)"""


@pytest.fixture(scope="module")
def pages(site) -> list[str]:
    found = [*site.glob("notebooks/*.html"), *site.glob("book/**/*.html")]
    found += sorted(site.glob("_modules/siglip_lab/*.html"))[:1]  # they are all alike
    rest = ["index.html", "search.html", "genindex.html"]
    return rest + sorted(path.relative_to(site).as_posix() for path in found)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), VIEWS, ids=[f"{w}-{s}" for w, s in VIEWS])
def test_axe_finds_nothing(browser, url, pages, width, scheme):
    wrong = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    for name in pages:
        page.goto(f"{url}/{name}")
        page.evaluate(FEWER)
        page.evaluate(AXE)
        wrong += [(name, *each) for each in page.evaluate(RUN)]
    context.close()
    assert not wrong, "\n".join(map(str, wrong))


def test_axe_would_find_something(browser):
    page = browser.new_page()
    page.set_content("<html lang='en'><title>a</title><main><h1>b</h1><img src='data:,'></main>")
    page.evaluate(AXE)
    assert [each[0] for each in page.evaluate(RUN)] == ["image-alt"]
    page.close()
