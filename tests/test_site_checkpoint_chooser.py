"""The chooser of "Which checkpoint?", against the same choice in Python."""

import math

import pytest

from siglip_lab.figures.ch24 import checkpoints

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/24_which_checkpoint.html"
READY = "siglip-checkpoint-chooser .cc-list li"
CHOOSER = "siglip-checkpoint-chooser"
ROWS = checkpoints()
TASKS = {
    "name pictures": "imagenet",
    "find pictures by text": "by_text",
    "find texts for a picture": "by_image",
    "find in 36 languages": "by_text_36",
}
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


def press(page, name):
    page.locator(CHOOSER).get_by_role("button", name=name, exact=True).click()


def allow(page, **values):
    for name, value in values.items():
        page.locator(f"{CHOOSER} input[name={name}]").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            math.log10(value),
        )


def shown(page):
    return page.locator(f"{CHOOSER} .cc-list b").all_inner_texts()


def expected(task, many=False, long=False, size=2, memory=8, speed=1500):
    fitting = [
        row
        for row in ROWS
        if (not many or row["languages"] == "many")
        and long == (row["size"] == 0)
        and row["parameters"] * size / 1e9 <= memory
        and row["gflops"] <= speed
    ]
    fitting.sort(key=lambda row: (-(row[task] or -1), row["gflops"]))
    return [row["name"] for row in fitting]


@pytest.fixture(autouse=True)
def from_the_start(page):
    for name in ("name pictures", "English is enough", "photos", "bfloat16"):
        press(page, name)
    allow(page, memory=8, speed=1500)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("memory", "speed"), [(8, 1500), (2, 1500), (1, 250), (0.8, 40)])
def test_the_best_that_fit_are_shown_in_order(page, task, memory, speed):
    press(page, task)
    allow(page, memory=memory, speed=speed)
    many = task == "find in 36 languages"
    names = expected(TASKS[task], many=many, memory=memory, speed=speed)
    assert shown(page) == names[:5]
    assert page.locator(".cc-readout").inner_text().startswith(f"{len(names)} of 27 checkpoints")
    assert f"Try {names[0]}." in page.locator(".cc-readout").inner_text()


def test_languages_shapes_and_types(page):
    press(page, "many languages")
    assert shown(page) == expected("imagenet", many=True)[:5]
    press(page, "long pictures, pages")
    assert shown(page) == ["siglip2-so400m-patch16-naflex", "siglip2-base-patch16-naflex"]
    press(page, "photos")
    for name, size in BYTES.items():
        press(page, name)
        allow(page, memory=1)
        assert shown(page) == expected("imagenet", many=True, size=size, memory=1)[:5]


def test_nothing_fits(page):
    allow(page, memory=0.2, speed=10)
    assert shown(page) == []
    assert "allow more memory" in page.locator(".cc-readout").inner_text()


def test_what_nobody_published_says_so(page):
    press(page, "find in 36 languages")
    press(page, "long pictures, pages")
    assert page.locator(".cc-value em").all_inner_texts() == ["not published"] * 2
    assert page.locator(".cc-readout").inner_text() == (
        "2 of 27 checkpoints fit; no number is published to choose by."
    )


def test_keys_and_words(page):
    slider = page.locator(f"{CHOOSER} input[name=memory]")
    slider.focus()
    page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "0.2 GB"
    assert page.locator(f"{CHOOSER} output").first.inner_text() == "0.2\u00a0GB"


def test_a_phone_shows_all_of_it(phone):
    frame = phone.locator(CHOOSER).bounding_box()
    boxes = phone.locator(f"{CHOOSER} :is(li, button, input, b)").evaluate_all(
        """(all) => all.map((e) => e.getBoundingClientRect()).map(({ left, right }) =>
          [left, right])"""
    )
    assert all(left >= frame["x"] - 1 and right <= frame["x"] + frame["width"] + 1
               for left, right in boxes)  # fmt: skip


def test_a_table_stays_for_readers_without_scripts(without_scripts):
    rows = without_scripts.locator(f"{CHOOSER} tr").all_inner_texts()
    assert len(rows) == 28
    for row in ROWS:
        assert any(text.startswith(row["name"]) for text in rows)
