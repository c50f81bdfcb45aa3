"""The probe's attention in a browser: two drawings to touch, against the trained head."""

import re

import pytest
import torch

import siglip_lab as sl
from siglip_lab.toy.shapes_world import Combination, draw, random_scene

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/06_pooling_heads.html"
READY = "siglip-attention-map .am-readout"
SCENES = [(5, Combination(4, "yellow", "star")), (11, Combination(1, "purple", "heart"))]
WORDS = (
    r"MAP head, (?P<head>.+): the probe takes most from patch (?P<key>\d+) "
    r"\(row \d, column \d\), (?P<most>[\d.]+)\s%; "
    r"from patch (?P<patch>\d+) \(row \d, column \d\), (?P<share>[\d.]+)\s%\."
)


@pytest.fixture(scope="module")
def weights():
    """`[drawings, heads, patches]` of tiny's head."""
    tower = sl.SigLIP.from_pretrained("tiny", dtype=torch.float64).vision_model
    pictures = [draw(random_scene(*scene)) for scene in SCENES]
    head = tower.head
    with torch.no_grad():
        tokens = tower(sl.preprocess(pictures, size=40).double()).last_hidden_state
        (w_q, w_k, _), (b_q, b_k, _) = (
            p.chunk(3) for p in (head.attention.in_proj_weight, head.attention.in_proj_bias)
        )
        q, k = (
            x.unflatten(-1, (4, -1)).transpose(1, 2)
            for x in (head.probe @ w_q.T + b_q, tokens @ w_k.T + b_k)
        )
        return (q @ k.mT / 18**0.5).softmax(dim=-1)[:, :, 0]


def choose(element, head):
    element.locator(f"input[name$='-head'][value='{head}']").check(force=True)


def readout(element):
    return re.fullmatch(WORDS, element.locator(".am-readout").inner_text()).groupdict()


def test_every_weight_is_that_of_the_model(page, weights):
    shown = page.locator("siglip-attention-map").evaluate_all("all => all.map((e) => e.weights)")
    shown = torch.tensor(shown).reshape(weights.shape) / 1000
    assert (shown - weights).abs().max() <= 0.0005 + 1e-6


@pytest.mark.parametrize(("drawing", "head", "patch"), [(0, 1, 7), (0, 3, 35), (1, 0, 14)])
def test_words_follow_the_head_and_the_patch(page, weights, drawing, head, patch):
    element = page.locator("siglip-attention-map").nth(drawing)
    element.scroll_into_view_if_needed()
    choose(element, head)
    element.locator(".am-veil").nth(patch).hover(force=True)
    row, words = weights[drawing, head], readout(element)
    assert words["head"] == f"head {head}" and int(words["patch"]) == patch
    assert float(words["share"]) == pytest.approx(100 * row[patch].item(), abs=0.11)
    assert float(words["most"]) == pytest.approx(100 * row.max().item(), abs=0.11)
    assert row[int(words["key"])] >= row.max() - 0.001


def test_the_keyboard_moves_one_drawing_alone(page):
    first, second = (page.locator("siglip-attention-map").nth(i) for i in range(2))
    before = readout(second)
    patch = int(readout(first)["patch"])
    first.locator("> svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert int(readout(first)["patch"]) == patch + 7
    choose(first, 3)
    assert readout(second) == before


def test_readers_without_scripts_see_the_mean_of_the_heads(without_scripts, weights):
    numbers = (
        without_scripts.locator("siglip-attention-map")
        .nth(0)
        .locator(".am-number")
        .all_text_contents()
    )
    for number, weight in zip(numbers, weights[0].mean(dim=0).tolist(), strict=True):
        assert abs(float(number or 0) - 100 * weight) <= 0.56
