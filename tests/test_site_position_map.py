"""The position maps of "Patchify": their colours and means are those of the tables."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import siglip_lab as sl

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/04_patchify.html"
READY = "siglip-position-map .po-place:not(:empty)"
MAPS = "siglip-position-map > svg"


@pytest.fixture(scope="module")
def tiny():
    """Cosines `[36, 36]` of tiny's own table."""
    model = sl.SigLIP.from_pretrained("tiny")
    unit = F.normalize(model.vision_model.embeddings.position_embedding.weight.detach(), dim=-1)
    return unit @ unit.T


def opacities(page, kind):
    values = page.locator(f"{MAPS} .po-{kind}").evaluate_all(
        "all => all.map((e) => Number(e.getAttribute('fill-opacity')))"
    )
    return torch.tensor(values).view(-1, 36)


def choose(page, position):
    page.locator(f"{MAPS} .po-far").nth(position).hover(force=True)


@pytest.mark.parametrize("position", [7, 0, 35, 20])
def test_the_first_map_is_tinys_table(page, tiny, position):
    choose(page, position)
    shown = opacities(page, "near") - opacities(page, "far")
    torch.testing.assert_close(shown[0], tiny[position], atol=0.0051, rtol=0)
    assert shown[:, position].tolist() == [1, 1]
    row, column = divmod(position, 6)
    assert page.locator(".po-place").inner_text() == f"row {row}, column {column}"


def test_the_means_are_those_of_the_tables(page):
    choose(page, 8)
    spots = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0))
    distance = torch.cdist(spots, spots)
    data = json.loads(page.locator("siglip-position-map").get_attribute("data-json"))
    cells = page.locator(".po-means td").all_inner_texts()
    wanted = []
    for pairs in (distance == 1, distance >= 4):
        for text in data["cosines"].values():
            table = torch.tensor([float(word) for word in text.split()]).view(36, 36)
            wanted += [table[8][pairs[8]].mean(), table[pairs].mean()]
    shown = [
        float(word.strip("()").replace("\u2212", "-")) for cell in cells for word in cell.split()
    ]
    np.testing.assert_allclose(shown, wanted, atol=0.0051)
    near, far = shown[3], shown[7]  # of all, in the table that had to learn the plane
    assert near > 0.6 and far < -0.4


def test_the_keyboard_moves_the_dot_and_stops_at_the_edge(page):
    page.locator(MAPS).focus()
    for key in ["ArrowUp"] * 7 + ["ArrowRight"] * 2:
        page.keyboard.press(key)
    assert page.locator(".po-place").inner_text() == "row 0, column 2"
    boxes = [
        page.locator(f"{MAPS} {what}").bounding_box()
        for what in (".po-near >> nth=2", ".po-dot >> nth=0")
    ]
    middles = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) for box in boxes]
    np.testing.assert_allclose(*middles, atol=1)


@pytest.mark.parametrize(
    ("spot", "position"), [("a corner", 0), ("an edge", 3), ("the middle", 21)]
)
def test_buttons_choose_a_position(page, tiny, spot, position):
    page.get_by_role("button", name=spot).click()
    shown = opacities(page, "near") - opacities(page, "far")
    torch.testing.assert_close(shown[0], tiny[position], atol=0.0051, rtol=0)


def test_readers_without_scripts_see_both_maps(without_scripts):
    assert without_scripts.locator(MAPS).bounding_box()["width"] > 300
    assert without_scripts.locator(f"{MAPS} .po-near").count() == 72
