"""The first loss against the bias: its numbers are the library's, by mouse, by keyboard."""

import math

import pytest
import torch

from siglip_lab.losses import sigmoid_loss

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/08_losses.html"
READY = "siglip-first-loss .fl-dot"
SIZES = [128, 16_384]


def move(page, b):
    page.locator("siglip-first-loss input[name=b]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", str(b)
    )


def shown(page):
    """Of both batches: loss, pull and push."""
    cells = page.locator(".fl-table td").all_inner_texts()
    numbers = [float(cell.replace(",", "")) for cell in cells]
    return [numbers[:3], numbers[3:]]


def expected(n, b):
    """By autograd, from the library's loss of a photo whose cosines are all 0."""
    x, y = torch.eye(1, n + 1, dtype=torch.float64), torch.eye(n + 1, dtype=torch.float64)[1:]
    bias = torch.tensor(b, dtype=torch.float64)
    if n <= 128:  # a whole batch: all its photos are alike
        loss = sigmoid_loss(x.repeat(n, 1), y, torch.zeros((), dtype=torch.float64), bias).item()
    else:
        logits = bias.repeat(n)
        z = torch.full((n,), -1.0, dtype=torch.float64)
        z[0] = 1
        loss = -torch.nn.functional.logsigmoid(z * logits).sum().item()
    p = bias.sigmoid().item()
    return [loss, 1 - p, (n - 1) * p]


@pytest.mark.parametrize("b", [0.0, -10.0, -16.0, 1.0, -4.84, -9.7, -7.31])
def test_its_numbers_are_the_library_s(page, b):
    move(page, b)
    for numbers, n in zip(shown(page), SIZES, strict=True):
        assert numbers == pytest.approx(expected(n, b), abs=0.0051)
    heights = page.locator("siglip-first-loss").evaluate(
        """({ plot }) => [...plot.svg.querySelectorAll(".fl-dot")].map((dot) =>
        -0.3 + 5 * (plot.foot - dot.cy.baseVal.value) / (plot.foot - plot.top))"""
    )
    assert [10**height for height in heights] == pytest.approx(
        [expected(n, b)[0] for n in SIZES], rel=0.01
    )


def test_presets_are_those_of_the_page_and_the_lowest_points(page):
    buttons = page.locator("siglip-first-loss .pills button")
    assert buttons.all_inner_texts() == [
        "b = 0", "b = −10", "lowest for 128", "lowest for 16,384",
    ]  # fmt: skip
    assert shown(page)[1] == [11_356.52, 0.5, 8_191.5]  # it begins with b = 0
    said = page.locator(".fl-readout")
    assert "16,384 the push is 16,383 times the pull" in said.inner_text()
    buttons.nth(1).click()
    assert shown(page)[1] == [10.74, 1.0, 0.74] and "1.3 times" in said.inner_text()
    for i, n in ((2, 128), (3, 16_384)):
        buttons.nth(i).click()
        assert f"In a batch of {n:,} pull and push cancel." in said.inner_text()
        b = page.locator("siglip-first-loss output").inner_text().replace("−", "-")
        assert float(b) == round(-math.log(n - 1), 2)
        assert buttons.nth(i).get_attribute("aria-pressed") == "true"


def test_it_is_dragged_and_moved_by_keys(page):
    svg = page.locator("siglip-first-loss > svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    x = page.locator("siglip-first-loss").evaluate("({ plot }) => plot.x(-5)")
    page.mouse.move(box["x"] + x, box["y"] + 40)
    page.mouse.down()
    page.mouse.up()
    output = page.locator("siglip-first-loss output")
    assert output.inner_text() == "−5.00"
    page.locator("siglip-first-loss input[name=b]").focus()
    page.keyboard.press("ArrowLeft")
    assert output.inner_text() == "−5.01"


def test_it_keeps_its_size_and_its_words_apart(page, phone):
    for view in (page, phone):
        view.bring_to_front()  # what lies behind is painted once in a second
        view.locator("siglip-first-loss").scroll_into_view_if_needed()
        view.wait_for_selector(READY)
        height = view.locator("siglip-first-loss").bounding_box()["height"]
        for b in (-16, -10, -3, 1):
            move(view, b)
            assert view.locator("siglip-first-loss").bounding_box()["height"] == height
        boxes = view.locator("siglip-first-loss text").evaluate_all(
            "all => all.map((e) => e.getBoundingClientRect().toJSON()).filter((box) => box.width)"
        )
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
                upper, lower = sorted((a, b), key=lambda box: box["y"])
                stacked = upper["y"] + 0.8 * upper["height"] <= lower["y"] + 0.2 * lower["height"]
                assert beside or stacked, (a, b)


def test_readers_without_scripts_see_curves_and_both_starts(without_scripts):
    element = without_scripts.locator("siglip-first-loss")
    assert element.locator("svg.drawn").count() == 1
    words = element.inner_text()
    assert "11,356.52" in words and "10.74" in words and "8,191.50" in words
