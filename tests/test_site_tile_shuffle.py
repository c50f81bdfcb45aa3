"""The tiles of "Patchify" to shuffle: the pictures and logits are the library's."""

import io
import json

import numpy as np
import pytest
import torch
from pictures import PIXELS
from PIL import Image

import siglip_lab as sl

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/04_patchify.html"
READY = "siglip-tile-shuffle .ts-readout:not(:empty)"
TILES = "siglip-tile-shuffle .ts-tiles"
PLACES = """(all) => all.map((e) => [e.style.left, e.style.top].map(parseFloat))
  .map(([x, y]) => Math.round(y * 0.06) * 6 + Math.round(x * 0.06))"""


@pytest.fixture(scope="module")
def model():
    return sl.SigLIP.from_pretrained("tiny", dtype=torch.float16).double()


def press(page, name):
    page.locator("siglip-tile-shuffle").get_by_role("button", name=name).click()


def shown(page):
    """What the table says: [caption][no positions, with positions], the last number of each."""
    cells = page.locator(".ts-logits td").all_inner_texts()
    numbers = [float(cell.split(" → ")[-1].replace("\u2212", "-")) for cell in cells]
    return np.reshape(numbers, (-1, 2))


def logits(page, model, positions):
    """What tiny says of the drawing with its tiles as the page has them."""
    element = page.locator("siglip-tile-shuffle")
    drawing = Image.frombytes("RGBA", (40, 40), bytes(element.evaluate(PIXELS))).convert("RGB")
    captions = element.evaluate("(e) => e.data.captions")
    given = sl.Processor.from_pretrained("tiny")(images=[drawing], text=captions)
    place = page.locator(f"{TILES} i").evaluate_all(PLACES)
    tower = model.vision_model
    table = tower.embeddings.position_embedding.weight
    with torch.no_grad():
        tokens = tower.embeddings(given["pixel_values"].double())[0] - table
        laid = torch.empty_like(tokens)
        laid[place] = tokens
        pooled = tower.head(tower.post_layernorm(tower.encoder(laid[None] + positions * table)))
        unit = torch.nn.functional.normalize(pooled, dim=-1)
        return model.logits(unit, model.encode_text(given["input_ids"], normalize=True))[0]


@pytest.mark.parametrize("order", ["in order", "upside down", "shuffle the tiles"])
def test_each_order_has_the_librarys_logits(page, model, order):
    press(page, order)
    for column, positions in enumerate((0, 1)):
        wanted = logits(page, model, positions)
        np.testing.assert_allclose(shown(page)[:, column], wanted, atol=0.0051)


def test_without_positions_nothing_moves_and_with_them_something_does(page):
    press(page, "in order")
    before = shown(page)
    said, places = set(), set()
    for _ in range(4):
        press(page, "shuffle the tiles")
        now = shown(page)
        assert (now[:, 0] == before[:, 0]).all() and (now[:, 1] != before[:, 1]).any()
        said.add(page.locator(".ts-readout").inner_text())
        places.add(tuple(page.locator(f"{TILES} i").evaluate_all(PLACES)))
    assert len(said) == len(places) == 4
    assert all("Without positions no number moves." in words for words in said)
    press(page, "in order")
    assert (shown(page) == before).all()
    assert page.locator(f"{TILES} i").evaluate_all(PLACES) == list(range(36))


def test_the_tiles_in_order_are_the_drawing(page):
    """Read from the screen, at the middle of each pixel of the model."""
    press(page, "in order")
    page.add_style_tag(content=".ts-tiles i { border: 0 !important; transition: none !important }")
    element = page.locator("siglip-tile-shuffle")
    pixels = np.reshape(element.evaluate(PIXELS), (40, 40, 4))[:36, :36, :3]
    places = page.locator(f"{TILES} i").evaluate_all(PLACES)
    assert places == list(range(36))
    shot = page.locator(TILES).screenshot()
    screen = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
    at = ((np.arange(36) + 0.5) * len(screen) / 36).astype(int)
    off = abs(screen[at][:, at] - pixels).max(axis=-1)
    assert (off > 40).mean() < 0.05  # the edges of shapes are soft


def test_readers_without_scripts_see_both_columns(without_scripts):
    element = without_scripts.locator("siglip-tile-shuffle")
    assert element.locator("table tr").count() == 4
    data = json.loads(element.get_attribute("data-json"))
    assert data["logits"][1][0][0].replace("-", "\u2212") in element.locator("table").inner_text()
