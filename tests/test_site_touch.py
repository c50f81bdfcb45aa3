"""All figures to touch together: on one page, twice each; and on pages opened from a file."""

import re

import pytest
from sphinx.errors import ExtensionError

pytestmark = [pytest.mark.site, pytest.mark.browser]

ELEMENT = re.compile(r"<siglip-([a-z-]+) .*?</siglip-\1>", re.DOTALL)
SCRIPT = re.compile(r'<script type="module">.*?</script>', re.DOTALL)
# What an element says, and how many of its radio buttons are chosen.
SAYS = "(element) => [element.innerText, element.querySelectorAll('input:checked').length]"
# A figure that reads a photo starts when it is near.
SEE_ALL = """async () => {
  for (const figure of document.querySelectorAll(".touchable")) {
    figure.scrollIntoView();
    await new Promise((then) => setTimeout(then, 50));
  }
}"""
READY = """() => [...document.querySelectorAll(".touchable")]
  .every((e) => e.querySelector("[aria-live]")?.innerText.trim())"""


# All questions to the model are answered, and what came of them is drawn.
ANSWERED = """async () => {
  const frame = () => new Promise((then) => setTimeout(() => requestAnimationFrame(then), 50));
  await frame();
  const asked = async () => {
    const models = await Promise.all(Object.values(globalThis.siglipModels ?? {}));
    return models.some(({ waiting }) => waiting.size);
  };
  for (let still = 0; still < 3; still = (await asked()) ? 0 : still + 1) await frame();
}"""


@pytest.fixture(scope="module")
def elements(site):
    """Name of a figure -> its HTML and its script, as they are on a page of the book."""
    found = {}
    for path in sorted(site.glob("notebooks/*.html")):
        html = path.read_text("utf-8")
        scripts = SCRIPT.findall(html)
        for match in ELEMENT.finditer(html):
            (script,) = (text for text in scripts if f'define("{match[1]}"' in text)
            found[match[1]] = match[0], script
    return found


@pytest.fixture
def together(browser, url, elements):
    # Without motion, or the small world would train by itself while others are pressed.
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    page.wrong = []
    page.on("console", lambda m: m.type in ("error", "warning") and page.wrong.append(m.text))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    html = "<!doctype html><html data-content_root='../' data-theme='light'>"
    html += "<body class='bd-article'>"
    html += "<link rel='stylesheet' href='../_static/site.css'>"
    html += "".join(script for _, script in elements.values())
    html += 2 * "".join(element for element, _ in elements.values())
    answer = {"body": html, "content_type": "text/html;charset=utf-8"}
    page.route(f"{url}/notebooks/together.html", lambda route: route.fulfill(**answer))
    page.goto(f"{url}/notebooks/together.html")
    page.evaluate(SEE_ALL)
    page.wait_for_function(READY)
    yield page
    page.close()


def use(element):
    """Press its last free button, move its first slider, or choose another radio button."""
    element.locator("details").evaluate_all("all => all.forEach((e) => (e.open = true))")
    button = element.locator("button:enabled:visible:not([aria-pressed=true]):not([inert] *)")
    slider = element.locator("input[type=range]")
    if button.count():
        button.last.click()
    elif slider.count():
        slider.first.focus()
        slider.first.press("ArrowRight")
    else:
        element.locator("label:visible:not(:has(:checked))").first.click()


def test_every_figure_of_the_folder_is_in_the_book(root, elements):
    scripts = {path.stem: path.read_text("utf-8") for path in root.glob("book/_static/js/*.js")}
    assert {name for name, text in scripts.items() if "extends Touchable" in text} == set(elements)
    assert set(elements) <= {path.stem for path in root.glob("book/_static/css/*.css")}


def test_all_stand_on_one_page_and_each_listens_to_its_own_reader(together, elements):
    figures = together.locator(".touchable")
    assert figures.count() == 2 * len(elements)
    for i in range(figures.count()):
        before = figures.evaluate_all(f"all => all.map({SAYS})")
        use(figures.nth(i))
        together.evaluate(ANSWERED)
        after = figures.evaluate_all(f"all => all.map({SAYS})")
        name = figures.nth(i).evaluate("element => element.localName")
        assert after[i][0] != before[i][0], f"{name} says the same as before"
        assert after[i][1] == before[i][1], f"{name} lost a choice"
        assert after[:i] + after[i + 1 :] == before[:i] + before[i + 1 :], f"{name} moves others"
    ids = together.evaluate("[...document.querySelectorAll('.touchable [id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert together.wrong == []


def test_a_figure_that_moves_in_the_page_or_meets_a_new_theme_keeps_what_was_chosen(together):
    figures = together.locator(".touchable")
    for i in range(figures.count()):
        use(figures.nth(i))
    together.evaluate(ANSWERED)
    before = figures.evaluate_all(f"all => all.map({SAYS})")
    together.evaluate("document.documentElement.dataset.theme = 'dark'")
    together.evaluate(
        "document.querySelectorAll('.touchable').forEach((e) => document.body.append(e))"
    )
    assert figures.evaluate_all(f"all => all.map({SAYS})") == before
    assert together.wrong == []


def test_they_work_on_pages_opened_from_a_file(browser, site, elements):
    page, wrong, met = browser.new_page(), [], set()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for path in sorted(site.glob("notebooks/*.html")):
        tags = {match[1] for match in ELEMENT.finditer(path.read_text("utf-8"))}
        if tags - met:
            page.goto(path.as_uri())
            page.evaluate(SEE_ALL)
            page.wait_for_function(READY)
            met |= tags
    page.close()
    assert wrong == [] and met == set(elements)


def test_a_script_has_each_module_once_and_in_order(book_site, tmp_path, monkeypatch):
    monkeypatch.setattr(book_site, "SCRIPTS", tmp_path)
    (tmp_path / "low.js").write_text("export const low = 1;\n")
    (tmp_path / "mid.js").write_text('import { low } from "./low.js";\n\nexport const mid = low;\n')
    (tmp_path / "top.js").write_text(
        'import { low } from "./low.js";\nimport {\n  mid,\n} from "./mid.js";\nmid + low;\n'
    )
    lines = [line for line in book_site.one_script("top").splitlines() if line]
    assert lines == ["const low = 1;", "const mid = low;", "mid + low;"]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/side.js").write_text('import { low } from "../low.js";\nlow;\n')
    (tmp_path / "far.js").write_text(
        'import { low } from "./low.js";\nimport { side } from "./in/side.js";\nside;\n'
    )
    lines = [line for line in book_site.one_script("far").splitlines() if line]
    assert lines == ["const low = 1;", "low;", "side;"]
    (tmp_path / "odd.js").write_text('import low from "./low.js";\n')
    with pytest.raises(ExtensionError, match="odd.js"):
        book_site.one_script("odd")
