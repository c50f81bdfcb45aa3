"""Room, letters and targets of all figures to touch: in their pages, on a desk and on a phone."""

import re

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

ELEMENT = re.compile(r"<siglip-([a-z-]+) ")
OPENS = {"explorer"}  # its stations are there to be opened
# What can be touched: [what, width, height]; a hidden radio button by its label.
TARGETS = """(element) => [...element.querySelectorAll("button, select, input, [tabindex]")]
  .map((e) => (/radio|checkbox/.test(e.type) && e.closest("label")) || e)
  .filter((e) => e.checkVisibility())
  .map((e) => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
  .map(([what, { width, height }]) => [what, width, height])"""
# Every word and the size in which it is drawn, whatever the scale of its drawing.
LETTERS = """(element) => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT), found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const place = node.parentElement, word = node.textContent.trim();
    if (!word || !place.checkVisibility() || place.closest("option, optgroup")) continue;
    const drawn = place.getScreenCTM?.(); // of a drawing
    const scale = drawn ? Math.hypot(drawn.a, drawn.b) : 1;
    found.push([word.slice(0, 40), scale * parseFloat(getComputedStyle(place).fontSize)]);
  }
  return found;
}"""
# Buttons that choose, and are not marked when they were pressed.
UNMARKED = """async (element) => {
  const acts = ["play", "next", "again", "step", "train"], found = [];
  for (const button of element.querySelectorAll("button:not(.drawing button)")) {
    if (acts.includes(button.dataset.kind) || button.type === "submit") continue;
    button.click();
    await new Promise(requestAnimationFrame);
    if (button.getAttribute("aria-pressed") !== "true") found.push(button.innerText);
  }
  return found;
}"""
MOVE = """(input, where) => {
  input.value = where === "end" ? input.max : input.min;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}"""


@pytest.fixture(scope="module", params=[1280, 390], ids=["desk", "phone"])
def figures(request, browser, url, site):
    """Name of a figure -> the first of its kind in the book, on its page."""
    context = browser.new_context(
        viewport={"width": request.param, "height": 900}, reduced_motion="reduce"
    )
    found = {}
    for path in sorted(site.glob("notebooks/*.html")):
        new = set(ELEMENT.findall(path.read_text("utf-8"))) - set(found) - OPENS
        if new:
            page = context.new_page()
            page.goto(f"{url}/notebooks/{path.name}")
            for name in new:
                page.locator(f"siglip-{name}").first.scroll_into_view_if_needed()  # it may wait
                page.wait_for_selector(f"siglip-{name} [aria-live]")
                found[name] = page.locator(f"siglip-{name}").first
    yield found
    context.close()


def in_front(figures):
    """A browser paints a page that lies behind another once in a second."""
    for name, element in figures.items():
        element.page.bring_to_front()
        yield name, element


def uses(element):
    """Whatever its controls can do, one after the other; says what it did."""
    for i in range(element.locator("summary:visible").count()):
        element.locator("summary").nth(i).click()
        yield f"summary {i}"
    buttons = element.locator("button:not(.drawing button, [aria-expanded])")  # these open more
    for i in range(buttons.count()):
        button = buttons.nth(i)
        words = button.inner_text()
        button.click()
        yield f"button {words!r}"
    for i in range(element.locator("select").count()):
        menu = element.locator("select").nth(i)
        for j in range(0, menu.locator("option").count(), 3):
            menu.select_option(index=j)
            yield f"option {j} of menu {i}"
    for kind in ("radio", "checkbox"):
        for i in range(element.locator(f"input[type={kind}]").count()):
            element.locator(f"input[type={kind}]").nth(i).evaluate("input => input.click()")
            yield f"{kind} {i}"
    sliders = element.locator("input[type=range]")
    for where in ("end", "start"):
        for i in range(sliders.count()):
            sliders.nth(i).evaluate(MOVE, where)
            yield f"slider {i} at its {where}"
    for i in range(element.locator("input[type=text]").count()):
        for words in ("", "a", "the strangest imaginable giraffe"):
            element.locator("input[type=text]").nth(i).fill(words)
            yield f"typed {words!r}"
    for i in range(element.locator("[tabindex]").count()):
        for key in ("ArrowDown", "ArrowRight"):
            element.locator("[tabindex]").nth(i).press(key)
            yield key


def test_no_figure_changes_its_height_or_spills_while_it_is_used(figures):
    wrong = []
    for name, element in in_front(figures):
        height = element.bounding_box()["height"]
        for what in uses(element):
            if abs(element.bounding_box()["height"] - height) > 0.5:
                wrong.append((name, what, height, element.bounding_box()["height"]))
                height = element.bounding_box()["height"]
            if element.evaluate("e => e.scrollWidth > e.clientWidth"):
                wrong.append((name, what, "is wider than its frame"))
    assert wrong == [], wrong


def test_letters_are_large_enough(figures):
    small = [
        (name, word, size)
        for name, element in figures.items()
        for word, size in element.evaluate(LETTERS)
        if size < 11
    ]
    assert small == []


def test_a_finger_hits_every_control(figures):
    small = [
        (name, what, width, height)
        for name, element in figures.items()
        for what, width, height in element.evaluate(TARGETS)
        if min(width, height) < 24
    ]
    assert small == []


def test_a_choice_among_presets_is_marked(figures):
    unmarked = {name: element.evaluate(UNMARKED) for name, element in in_front(figures)}
    assert not any(unmarked.values()), unmarked
