"""The exercises in a browser: right, wrong and unreadable answers, hints, what is kept, keyboard.

On no page is an answer to be seen, and no box changes its size.
"""

import re

import pytest

from siglip_lab.figures.exercises import EXERCISES, unseal

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/08_losses.html"
READY = "siglip-exercise form"
ALL_READY = """[...document.querySelectorAll("siglip-exercise")]
  .every((e) => e.querySelector("form"))"""


def box(page, number):
    """The box of an exercise of this page; 3 is the third."""
    return page.locator("siglip-exercise").nth(number - 1)


def says(page, number):
    return box(page, number).locator(".ex-says").inner_text()


def give(page, number, *answers):
    for answer in answers:
        box(page, number).locator("input").fill(answer)
        box(page, number).get_by_role("button", name="Check").click()


def hints(number):
    return EXERCISES[number]["hints"]


def count(page):
    return page.locator("#exercises .ex-count").first.inner_text()


def test_a_hint_a_stronger_hint_the_solution_and_right(page):
    assert says(page, 2) == "A number, give or take 0.01."
    give(page, 2, "-5")
    assert says(page, 2) == f"Not yet. {hints('08.2')[0]}"
    assert not box(page, 2).get_by_role("button", name="Solution").count()
    give(page, 2, "-5")
    assert says(page, 2) == f"Not yet. {hints('08.2')[1]}"
    give(page, 2, "6,93")  # a mistake of its own
    assert says(page, 2).startswith("Not yet. The size is right.")
    solution = box(page, 2).locator(
        "xpath=ancestor::div[contains(@class, 'cell ')]/following::details"
    )
    assert not solution.first.evaluate("e => e.open")
    box(page, 2).get_by_role("button", name="Solution").click()
    assert solution.first.evaluate("e => e.open")
    assert 'exercise("08.2", answer=' in solution.first.inner_text()
    assert page.evaluate("document.activeElement.localName") == "summary"
    give(page, 2, "−6.93")
    assert says(page, 2) == f"✓ Right. {EXERCISES['08.2']['right']}"
    assert box(page, 2).get_attribute("data-state") == "right"


@pytest.mark.parametrize("typed", ["", "   ", "many", "6.9.3", "x" * 200])
def test_what_cannot_be_read_says_what_is_expected_and_is_no_try(page, typed):
    give(page, 2, *3 * [typed])
    assert says(page, 2).endswith(": a number, give or take 0.01.") and len(says(page, 2)) < 100
    give(page, 2, "-5")
    assert says(page, 2) == f"Not yet. {hints('08.2')[0]}"


def test_words_are_chosen(page):
    third = box(page, 3)
    third.get_by_role("button", name="Check").click()
    assert says(page, 3) == "Nothing is chosen yet: choose all that fit, one or more."
    for choice in ("+3 to all", "+3 to a row", "+3 to a column"):
        third.locator("label", has_text=choice).click()
    third.get_by_role("button", name="Check").click()
    assert says(page, 3).startswith("Not yet. The row’s own softmax")
    for choice in ("+3 to a row", "+3 to a column"):
        third.locator("label", has_text=choice).click()
    third.get_by_role("button", name="Check").click()
    assert says(page, 3).startswith("✓ Right. ")


def test_what_was_solved_is_there_on_the_next_visit(page):
    assert count(page) == "0 of 4 solved"
    give(page, 1, "1", "−0,350")
    give(page, 2, "7")
    box(page, 3).locator("label", has_text="+3 to all").click()
    box(page, 3).get_by_role("button", name="Check").click()
    assert count(page) == "2 of 4 solved"
    page.reload()
    page.wait_for_selector(READY)
    assert count(page) == "2 of 4 solved"
    assert says(page, 1) == f"✓ Right. {EXERCISES['08.1']['right']}"
    assert box(page, 1).locator("input").input_value() == "−0,350"
    assert box(page, 3).locator("input:checked").count() == 1 and "Right" in says(page, 3)
    assert says(page, 2) == "A number, give or take 0.01."
    give(page, 1, "1")  # which takes nothing away
    assert says(page, 1).startswith("Not yet. ") and count(page) == "2 of 4 solved"


@pytest.mark.parametrize("kept", ["7", ["+3 to all"], 3, {"a": 1}, None, True])
def test_what_others_wrote_where_it_is_kept_does_no_harm(page, kept):
    page.evaluate(
        "(kept) => localStorage.setItem('siglip-progress',"
        " JSON.stringify({exercises: {'08.2': kept, '08.3': kept}}))", kept
    )  # fmt: skip
    page.reload()
    page.wait_for_selector(READY)
    assert says(page, 2) == "A number, give or take 0.01."
    assert ("Right" in says(page, 3)) == (kept == ["+3 to all"])
    give(page, 4, "42.7")
    assert says(page, 4).startswith("✓ Right. ")


def test_by_keyboard(page):
    box(page, 1).locator("input").focus()
    page.keyboard.type("-0.35")
    page.keyboard.press("Enter")
    assert says(page, 1).startswith("✓ Right. ")
    box(page, 2).locator("input").focus()
    for answer in ("1", "2"):
        page.keyboard.press("Control+A")
        page.keyboard.type(answer)
        page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Solution"
    box(page, 3).locator("input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    assert says(page, 3).startswith("✓ Right. ")


def test_by_finger(phone):
    first = box(phone, 1)
    first.locator("input").fill("-0.35")
    first.get_by_role("button", name="Check").tap()
    assert says(phone, 1).startswith("✓ Right. ")
    for button in phone.locator(".ex-entry button").all():
        assert button.bounding_box()["height"] >= 32


def test_without_scripts(without_scripts):
    for place in without_scripts.locator("siglip-exercise").all():
        assert place.inner_text().startswith("In the notebook, put ")


# ---- all of them ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1280, 390])
def chapters(request, browser, url, site):
    """All chapters, one after the other, at one width."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    page = context.new_page()

    def visit():
        for path in sorted(site.glob("notebooks/*.html")):
            page.goto(f"{url}/notebooks/{path.name}")
            page.wait_for_function(ALL_READY)
            yield page, [number for number in EXERCISES if number[:2] == path.name[:2]]

    yield visit
    context.close()


# The question before an exercise, and its box.
SEEN = """(boxes) => boxes.map((box) => {
  let text = box.innerText, place = box.closest(".cell").previousElementSibling;
  for (; place && !place.matches(".cell"); place = place.previousElementSibling)
    text = place.innerText + "\\n" + text;
  return text;
})"""
# Every answer in turn, and the heights of the box.
TRY = """(box, answers) => answers.map((answer) => {
  box.check(answer);
  return [box.querySelector(".ex-says").innerText, box.offsetHeight];
})"""


def typed(entry, value):
    """As a reader types it, or the words that they choose."""
    if "choices" in entry:
        return value if isinstance(value, list) else [value]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def test_every_answer_is_accepted_and_no_box_changes_its_size(chapters):
    seen = []
    for page, numbers in chapters():
        boxes = page.locator("siglip-exercise")
        assert boxes.evaluate_all("all => all.map(e => e.asked.id)") == numbers
        seen += numbers
        for i, number in enumerate(numbers):
            entry = EXERCISES[number]
            before = boxes.nth(i).evaluate("e => e.offsetHeight")
            wrong = [
                (typed(entry, value), f"Not yet. {hint}") for value, hint in entry.get("wrong", [])
            ]
            right = typed(entry, unseal(entry["answer"])), f"✓ Right. {entry['right']}"
            said = boxes.nth(i).evaluate(TRY, [answer for answer, _ in [*wrong, right]])
            assert [text for text, _ in said] == [text for _, text in [*wrong, right]]
            unread = [] if "choices" in entry else "n" * 40
            said += boxes.nth(i).evaluate(TRY, [unread])
            if "choices" not in entry:  # each hint, also the second and the third time
                odd = ", ".join(["98765.25"] * len(re.findall(",", right[0]) + [0]))
                odd = "x y z" if entry["kind"] == "pieces" else odd
                said += boxes.nth(i).evaluate("e => { e.wrong = 0; return []; }")
                said += boxes.nth(i).evaluate(TRY, [odd] * 3)
            assert {height for _, height in said} == {before}, (number, before, said)
    assert seen == list(EXERCISES)


def test_no_answer_is_to_be_seen(chapters):
    for page, numbers in chapters():
        page.evaluate("localStorage.clear()")
        page.reload()
        page.wait_for_selector(READY)
        texts = page.locator("siglip-exercise").evaluate_all(SEEN)
        section = page.locator("#exercises").inner_text()
        assert "answer=" not in section and "# Solution" not in section
        for number, text in zip(numbers, texts, strict=True):
            assert f"{int(number[3])}. " in text
            text = re.sub(r"\d of \d solved", "", text)
            if "choices" in EXERCISES[number]:
                continue
            answer = unseal(EXERCISES[number]["answer"])
            ways = [typed(EXERCISES[number], answer)]
            if not isinstance(answer, list):
                ways += [f"{answer:,}", f"{answer:.2f}", f"{answer:.3f}"]
            for way in set(ways) - {"0.00", "0.000"}:
                found = re.search(rf"(?<![\w.,]){re.escape(way)}(?![\w%]|[.,]\d)", text)
                assert not found, (number, way)
                assert len(way) < 5 or way not in section, (number, way)
