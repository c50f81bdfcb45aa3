"""The two softmaxes of CLIP's loss in a browser: their shares and losses are PyTorch's."""

import json
import re

import pytest
import torch
from torch.nn.functional import cross_entropy

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/13_clip.html"
NAME = "siglip-two-softmaxes"
READY = f"{NAME} .ts-readout:not(:empty)"


@pytest.fixture
def logits(page):
    data = page.locator(NAME).get_attribute("data-json")
    return torch.tensor(json.loads(data)["logits"], dtype=torch.float64)


def said(page):
    return page.locator(".ts-readout").inner_text()


def press(page, who):
    page.locator(NAME).get_by_role("button", name=who, exact=True).click()


def shown(page, selector):
    return page.locator(f".ts-grid {selector}").all_inner_texts()


@pytest.mark.parametrize("side", ["image", "text"])
def test_each_line_shows_its_softmax_and_its_part_in_the_loss(page, logits, side):
    n, dim = len(logits), 1 if side == "image" else 0
    shares = logits.softmax(dim=dim)
    costs = -shares.diagonal().log()
    own = "text" if side == "image" else "image"
    for i in range(n):
        press(page, f"{side} {i + 1}")
        line = shares[i] if dim else shares[:, i]
        assert shown(page, "i.ts-chosen") == [f"{100 * share:.0f}" for share in line]
        assert shown(page, ".ts-cost b") == [f"{cost:.2f}" for cost in costs]
        share, cost = shares[i, i].item(), costs[i].item()
        assert f"gives its own {own} {100 * share:.1f}\u00a0%" in page.locator(
            ".ts-readout"
        ).evaluate("e => e.textContent")
        numbers = [
            float(x) for x in re.findall(r"= (\d\.\d\d)|adds (\d\.\d\d)", said(page))[0] if x
        ]
        assert numbers == [pytest.approx(cost, abs=0.006)]
        assert f"adds {cost / n:.2f} to" in said(page)
        assert said(page).endswith(f"{costs.mean():.2f}.")


def test_the_loss_is_the_mean_of_both_cross_entropies(page, logits):
    labels = torch.arange(len(logits))
    both = cross_entropy(logits, labels), cross_entropy(logits.T, labels)
    words = page.locator(".ts-loss").inner_text()
    assert re.findall(r"\d\.\d\d", words) == [f"{x:.2f}" for x in (*both, sum(both) / 2)]


def test_pointing_at_a_cell_lights_the_row_or_the_column_that_it_is_in(page):
    cell = page.locator(".ts-grid i[data-row='5'][data-column='1']")
    page.locator(NAME).get_by_role("button", name="rows").click()
    cell.hover()
    assert said(page).startswith("Image 6 ")
    lit, place = page.locator(".ts-lit").bounding_box(), cell.bounding_box()
    assert lit["y"] <= place["y"] and lit["height"] < 2 * place["height"]
    page.locator(NAME).get_by_role("button", name="columns").click()
    cell.click()
    assert said(page).startswith("Text 2 ")
    lit = page.locator(".ts-lit").bounding_box()
    assert lit["x"] <= place["x"] and lit["height"] > 7 * place["height"]


def test_the_keyboard_goes_from_image_to_image(page):
    page.mouse.move(0, 0)
    page.locator(".ts-grid button[data-side='0']").first.focus()
    for i in range(3):
        assert said(page).startswith(f"Image {i + 1} ")
        page.keyboard.press("Tab")


def test_readers_without_scripts_see_both_grids(without_scripts):
    drawing = without_scripts.locator(f"{NAME} svg")
    assert drawing.bounding_box()["width"] > 300
    assert "which text?" in drawing.get_attribute("aria-label")
