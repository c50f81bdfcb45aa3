"""The figure to touch of "Where in the picture?", against the library's maps."""

import re

import pytest
import torch
from pictures import PIXELS
from PIL import Image

import siglip_lab as sl
from siglip_lab import maps

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/26_where.html"
READY = "siglip-where-map .wm-readout"
ASKED = """(caption) => {
  const map = document.querySelector("siglip-where-map");
  return map.find(".wm-asked input").value === caption && map.found.falls.length === 36 && map.asked
    && map.find(".wm-readout").innerText.includes("when");
}"""
FOUND = "(element) => element.found"


@pytest.fixture(scope="module")
def model():
    return sl.SigLIP.from_pretrained("tiny", dtype=torch.float16).double()


def check(page, model, caption):
    """What the page found in what it shows is what the library finds there."""
    element = page.locator("siglip-where-map")
    shown = Image.frombytes("RGBA", (40, 40), bytes(element.evaluate(PIXELS))).convert("RGB")
    given = sl.Processor.from_pretrained("tiny")(images=[shown], text=[caption])
    pixels = given["pixel_values"].double()
    paper = torch.tensor([element.evaluate("(e) => e.drawing.scene.background")])
    with torch.no_grad():
        logit = model(pixels, given["input_ids"]).logits_per_image.item()
        falls = maps.occlusion_map(model, pixels, given["input_ids"], paper / 127.5 - 1)[0]
        attention = maps.attention_map(model, pixels)[0]
    found = element.evaluate(FOUND)
    assert found["logit"] == pytest.approx(logit, abs=2e-3)
    for name, values in (("falls", falls), ("attention", attention)):
        assert torch.allclose(torch.tensor(found[name]).double(), values.flatten(), atol=2e-3)
    return falls, attention


def test_the_first_map_is_the_library_s(page, model):
    falls, _ = check(page, model, "a brown circle")
    words = page.locator(".wm-readout").inner_text()
    row, column = divmod(falls.argmax().item(), 6)
    assert f"when row {row}, column {column} is covered" in words
    assert f"by {falls.max():.1f}" in words


def test_another_caption_moves_one_map_and_not_the_other(page, model):
    before = page.locator("siglip-where-map").evaluate(FOUND)
    page.locator(".wm-asked input").fill("black triangles")
    page.wait_for_function(ASKED, arg="black triangles")
    _, attention = check(page, model, "black triangles")
    after = page.locator("siglip-where-map").evaluate(FOUND)
    assert after["falls"] != before["falls"]
    assert after["attention"] == pytest.approx(before["attention"], abs=1e-3)
    page.get_by_role("button", name="attention").click()
    row, column = divmod(attention.argmax().item(), 6)
    said = page.locator(".wm-readout").inner_text()
    assert re.match(rf"The head attends most to row {row}, column {column}: \d+", said)


def test_the_reader_s_own_drawing(page, model):
    page.get_by_role("button", name="star", exact=True).click()
    page.get_by_role("button", name="blue", exact=True).click()
    page.locator(".dr-sheet").click(position={"x": 30, "y": 60})
    page.locator(".wm-asked input").fill("1 blue star")
    page.wait_for_function(ASKED, arg="1 blue star")
    check(page, model, "1 blue star")


def test_readers_without_scripts_see_the_falls(without_scripts):
    assert without_scripts.locator("siglip-where-map table tr").count() == 7
    assert "8.9" in without_scripts.locator("siglip-where-map table").inner_text()
