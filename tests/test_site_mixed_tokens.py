"""The figure to touch of "Start here": what each of three tokens gathers, against PyTorch."""

import re

import pytest
import torch

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/01_start_here.html"
READY = "siglip-mixed-tokens .mt-readout:not(:empty)"
NAMES = ["first", "second", "third"]


def numbers(words):
    return [float(n) for n in re.findall(r"\d+(?:\.\d+)?", words)]


def lit(page):
    """The thickness of the lines that are lit."""
    lines = page.locator("siglip-mixed-tokens path.mt-lit")
    return lines.evaluate_all("all => all.map(e => Number(e.getAttribute('stroke-width')))")


@pytest.mark.parametrize("i", range(3))
def test_each_token_shows_what_it_gathers(page, i):
    page.locator("siglip-mixed-tokens").get_by_role("button", name=NAMES[i]).click()
    three = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    weights = (three @ three.T).softmax(dim=-1)[i]
    parts = [[w, *token] for w, token in zip(weights.tolist(), three.tolist(), strict=True)]
    expected = [*sum(parts, []), *(weights @ three).tolist()]
    shown = page.locator(".mt-readout").inner_text()
    assert shown.startswith(f"The {NAMES[i]} gathers")
    assert numbers(shown) == pytest.approx(expected, abs=0.0051)
    thickness = torch.tensor(lit(page))
    assert thickness / thickness.sum() == pytest.approx(weights.numpy(), abs=0.001)


def test_pointing_and_keys_choose_a_token(page):
    figure = page.locator("siglip-mixed-tokens")
    box = figure.locator("svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 90, box["y"] + 48)
    assert "The first gathers" in figure.inner_text()
    figure.get_by_role("button", name="second").focus()
    page.keyboard.press("Enter")
    assert "The second gathers" in figure.inner_text() and len(lit(page)) == 3


def test_no_words_meet_on_a_phone(phone):
    figure = phone.locator("siglip-mixed-tokens")
    boxes = figure.locator("svg text").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).map(b => [b.x, b.y, b.right, b.bottom])"
    )
    outside = figure.bounding_box()
    for i, (x, y, right, bottom) in enumerate(boxes):
        assert x >= outside["x"] and right <= outside["x"] + outside["width"]
        for x2, y2, right2, bottom2 in boxes[:i]:
            assert x >= right2 or right <= x2 or y >= bottom2 - 3 or bottom - 3 <= y2


def test_readers_without_scripts_see_all_lines(without_scripts):
    drawn = without_scripts.locator("siglip-mixed-tokens svg")
    assert "third 0.21 0.21 0.58" in drawn.get_attribute("aria-label")
