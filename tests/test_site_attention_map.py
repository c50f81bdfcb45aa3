"""The attention map in a browser: against the tensors, by pointer, by keyboard, without scripts."""

import json
import re
from html import unescape

import pytest
import torch
from pictures import PIXELS
from PIL import Image

import siglip_lab as sl
from siglip_lab.figures import touch
from siglip_lab.toy.shapes_world import Combination, draw, random_scene

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/05_encoder_layers.html"
READY = "siglip-attention-map .am-readout"
WORDS = (
    r"(?P<layer>.+), (?P<head>.+): patch (?P<query>\d+) \(row \d, column \d\) takes most "
    r"from patch (?P<key>\d+) \(row (?P<row>\d), column (?P<column>\d)\), (?P<most>[\d.]+)\s%; "
    r"from itself, (?P<own>[\d.]+)\s%\."
)


@pytest.fixture(scope="module")
def weights():
    """`[layers, heads, queries, keys]` of tiny on the drawing of the page."""
    tower = sl.SigLIP.from_pretrained("tiny", dtype=torch.float64).vision_model
    stars = draw(random_scene(1, Combination(3, "red", "star"))).resize((40, 40))
    return attention(tower, stars)


def attention(tower, picture):
    maps = []
    with torch.no_grad():
        pixels = sl.preprocess(picture, size=40)
        x = tower.embeddings(pixels.to(tower.post_layernorm.weight.dtype))
        for layer in tower.encoder.layers:
            y, attn = layer.layer_norm1(x), layer.self_attn
            q, k = (
                proj(y).unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
                for proj in (attn.q_proj, attn.k_proj)
            )
            maps.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)[0])
            x = layer(x)
    return torch.stack(maps)


CHANGED = """(before) => String(document.querySelector("siglip-attention-map").weights)
  !== String(before)"""


def choose(page, kind, value):
    page.locator(f"siglip-attention-map input[name$='-{kind}'][value='{value}']").check(force=True)


def point(page, patch):
    page.locator("siglip-attention-map .am-veil").nth(patch).hover(force=True)


def readout(page):
    return re.fullmatch(WORDS, page.locator(".am-readout").inner_text()).groupdict()


def test_every_weight_is_that_of_the_model(page, weights):
    shown = page.evaluate("document.querySelector('siglip-attention-map').weights")
    shown = torch.tensor(shown).reshape(weights.shape) / 1000
    assert (shown - weights).abs().max() <= 0.0005 + 1e-9


@pytest.mark.parametrize(
    ("layer", "head", "query"), [(0, 1, 0), (1, 3, 22), (3, 4, 14), (2, 0, 35)]
)
def test_words_and_veils_follow_the_weights(page, weights, layer, head, query):
    choose(page, "layer", layer)
    choose(page, "head", head)  # 4 is the mean
    point(page, query)
    row = weights[layer, head, query] if head < 4 else weights[layer, :, query].mean(dim=0)
    words = readout(page)
    assert words["layer"].lower() == f"layer {layer}" and int(words["query"]) == query
    assert words["head"] == (f"head {head}" if head < 4 else "mean of heads")
    assert float(words["most"]) == pytest.approx(100 * row.max().item(), abs=0.11)
    key = int(words["key"])
    assert row[key] >= row.max() - 0.001
    assert (int(words["row"]), int(words["column"])) == divmod(key, 6)
    assert float(words["own"]) == pytest.approx(100 * row[query].item(), abs=0.11)
    veils = page.locator(".am-veil")
    opacity = [float(veils.nth(i).get_attribute("fill-opacity")) for i in range(36)]
    expected = 0.8 * (1 - row / row.max())
    assert torch.allclose(torch.tensor(opacity, dtype=row.dtype), expected, atol=0.02)
    numbers = page.locator(".am-number").all_text_contents()
    for number, weight in zip(numbers, row.tolist(), strict=True):
        assert abs(float(number or 0) - 100 * weight) <= 0.56


def test_the_keyboard_moves_the_patch(page):
    point(page, 14)
    page.locator("siglip-attention-map > svg").focus()
    for key, patch in [("ArrowRight", 15), ("ArrowDown", 21), ("ArrowLeft", 20), ("ArrowUp", 14)]:
        page.keyboard.press(key)
        assert int(readout(page)["query"]) == patch
    for _ in range(7):
        page.keyboard.press("ArrowLeft")
    assert int(readout(page)["query"]) == 12  # stops at the edge
    page.locator("siglip-attention-map input[name$='-layer'][value='0']").focus()
    page.keyboard.press("ArrowRight")
    assert readout(page)["layer"].lower() == "layer 1"


def test_a_single_query(browser, book_site):
    """The probe of a pooling head: the mark names a key, the query stays."""
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(1, 1, 1, 4).repeat(2, 1, 1, 1)
    element = touch.AttentionMap(
        Image.new("RGB", (12, 12)), weights, patch_size=6, query=1, layers=["one", "two"]
    )
    script = book_site.one_script("attention-map")
    page = browser.new_page()
    page.set_content(f"{element._repr_html_()}<script type='module'>{script}</script>")
    assert page.locator(".am-readout").inner_text() == (
        "one, head 0: the probe takes most from patch 3 (row 1, column 1), 40.0\u00a0%; "
        "from patch 1 (row 0, column 1), 20.0\u00a0%."
    )
    choose(page, "layer", 1)
    point(page, 2)
    words = page.locator(".am-readout").inner_text()
    assert words.startswith("two, head 0: the probe takes most from patch 3")
    assert words.endswith("from patch 2 (row 1, column 0), 30.0\u00a0%.")
    assert page.locator("input[name$='-head']").count() == 1
    assert not page.locator("input[name$='-head']").is_visible()
    page.close()


def test_the_reader_s_own_drawing(page):
    """Every weight is that of the model in the page, for the picture that is shown."""
    element = page.locator("siglip-attention-map")
    printed = element.evaluate("(e) => e.weights")
    height = element.bounding_box()["height"]
    assert element.evaluate("(e) => e.drawing.scene.items.map((i) => i.shape)") == ["star"] * 3
    page.get_by_role("button", name="your own").click()
    page.wait_for_function(CHANGED, arg=printed)
    first = element.evaluate("(e) => e.weights")
    page.get_by_role("button", name="star", exact=True).click()
    page.get_by_role("button", name="yellow", exact=True).click()
    page.locator(".dr-sheet").click(position={"x": 20, "y": 180})
    page.wait_for_function(CHANGED, arg=first)
    drawn = torch.tensor(element.evaluate("(e) => e.weights")).reshape(4, 4, 36, 36)
    pixels = element.evaluate(PIXELS)
    shown = Image.frombytes("RGBA", (40, 40), bytes(pixels)).convert("RGB")
    model = sl.SigLIP.from_pretrained("tiny", dtype=torch.float16).vision_model.float()
    assert (drawn / 1000 - attention(model, shown)).abs().max() < 1e-3
    assert element.bounding_box()["height"] == height
    choose(page, "layer", 3)
    assert readout(page)["layer"].lower() == "layer 3"
    page.get_by_role("button", name="the book’s drawing").click()
    assert element.evaluate("(e) => e.weights") == printed


def test_it_fits_a_phone(phone):
    inside = phone.locator("siglip-attention-map > svg").bounding_box()
    outside = phone.locator("siglip-attention-map").bounding_box()
    assert inside["x"] >= outside["x"]
    assert inside["x"] + inside["width"] <= outside["x"] + outside["width"] <= 390


def test_readers_without_scripts_see_the_mean_of_layer_0(without_scripts, weights):
    assert without_scripts.locator("siglip-attention-map > svg").bounding_box()["width"] > 200
    numbers = without_scripts.locator(".am-number").all_text_contents()
    data = without_scripts.locator("siglip-attention-map").get_attribute("data-json")
    query = json.loads(unescape(data))["query"]
    for number, weight in zip(numbers, weights[0, :, query].mean(dim=0).tolist(), strict=True):
        assert abs(float(number or 0) - 100 * weight) <= 0.56
