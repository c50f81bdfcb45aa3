"""The explorer of shapes in a browser: every number against the library, refusals, keys."""

import json
import random
from html import unescape

import pytest

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.published import get_config, list_models

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/12_compute.html"
READY = "siglip-shape-explorer .se-readout table"
PUBLISHED = [
    *(name for name in list_models() if name.startswith("siglip-")),
    *list_models(version=2),
]
PARTS = ("attention", "attention map", "mlp")


def choose(page, name):
    page.locator("siglip-shape-explorer select[name=shape]").select_option(name)


def readout(page):
    return page.locator("siglip-shape-explorer .se-readout").inner_text().replace("\u00a0", " ")


def fill(page, name, value):
    page.locator(f"siglip-shape-explorer input[name={name}-number]").fill(str(value))


def rows(page):
    """Name of a row -> its parameters and GFLOPs, as the element writes them."""
    lines = [line.split("\t") for line in readout(page).splitlines() if "\t" in line][1:]
    return {name: numbers for name, *numbers in lines}


def row(parameters, flops):
    return [f"{parameters.total:,}", f"{flops.total / 1e9:.2f}"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_equal_the_library_s(page, name):
    choose(page, name)
    config = get_config(name)
    parameters, flops = count_parameters(config), count_flops(config)
    assert rows(page) == {
        "image tower": row(parameters.vision, flops.vision),
        "text tower": row(parameters.text, flops.text),
        "whole, a pair": row(parameters, flops),
    }
    training = count_flops(config, texts=0, training=True).total / 1e9
    assert f"Training on an image: {training:.2f} GFLOPs." in readout(page)


def test_any_shape_equals_the_library_s(page):
    draw = random.Random(0)
    page.locator("siglip-shape-explorer select[name=text]").select_option("none")
    for _ in range(20):
        heads, patch = draw.randint(1, 24), draw.randint(1, 32)
        shape = {
            "image_size": draw.randint(patch, 1000),
            "patch_size": patch,
            "width": heads * draw.randint(1, 120),
            "depth": draw.randint(1, 48),
            "num_heads": heads,
            "mlp_dim": draw.randint(1, 9000),
        }
        for name, value in shape.items():
            fill(page, name, value)
        text = TextConfig(1, 1, width=shape["width"], depth=1, num_heads=1, mlp_dim=1)
        config = SigLIPConfig(VisionConfig(**shape), text)
        expected = row(count_parameters(config).vision, count_flops(config).vision)
        assert rows(page) == {"image tower": expected}


def test_a_slider_and_the_keyboard_change_the_numbers(page):
    assert "428,225,600\t670.35" in readout(page)
    slider = page.locator("siglip-shape-explorer input[name=depth]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("siglip-shape-explorer input[name=depth-number]").input_value() == "28"
    assert page.locator("siglip-shape-explorer select[name=shape]").input_value() == ""
    layer = count_parameters(get_config("siglip-so400m-patch14-384")).vision["layer 0"].total
    assert f"{428_225_600 + layer:,}" in readout(page)
    assert f"{449_734_896 + layer:,}" in readout(page)  # the text tower follows
    page.keyboard.press("ArrowLeft")
    assert "428,225,600\t670.35" in readout(page)


def test_what_it_says_of_a_shape(page):
    assert "27 × 27 = 729 tokens; 6 pixels at the right and at the bottom unseen." in readout(page)
    assert "Heads of 72, a multiple of 8, not of 16." in readout(page)
    assert "MLP 4304, no multiple of 64; padded to 4352 it costs 1.1 % more." in readout(page)
    label = page.locator("siglip-shape-explorer .se-bar").get_attribute("aria-label")
    assert "attention maps 9.9" in label
    widths = page.locator("siglip-shape-explorer .se-bar i").evaluate_all(
        "boxes => boxes.map(box => box.getBoundingClientRect().width)"
    )
    vision = count_flops(get_config("siglip-so400m-patch14-384")).vision
    layers = [part for part in vision if part.name.startswith("layer ")]
    parts = [sum(layer[name].total for layer in layers) for name in PARTS]
    parts = [vision["embeddings"].total, *parts, vision["head"].total]
    for width, part in zip(widths, parts, strict=True):
        assert width / sum(widths) == pytest.approx(part / sum(parts), abs=0.003)
    choose(page, "siglip-base-patch16-224")
    assert "14 × 14 = 196 tokens." in readout(page)
    assert "MLP 3072, a multiple of 64." in readout(page)


def test_a_text_tower_can_be_another_or_none(page):
    menu = page.locator("siglip-shape-explorer select[name=text]")
    menu.select_option("as wide and deep, 250,000 pieces, 64 tokens")
    assert f"{877_960_498 + 218_000 * 1152:,}" in readout(page)
    menu.select_option("none")
    assert "text tower" not in readout(page)
    assert "428,225,600\t670.35" in readout(page)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("num_heads", 20, "A width of 1152 cannot be shared by 20 heads: 1152 / 20 = 57.60."),
        ("num_heads", 20, "Nearest: 18 or 24 heads."),
        ("image_size", 13, "No patch fits: the image is 13 pixels wide, a patch 14."),
        ("depth", 0, "depth must be a whole number from 1 to 100,000."),
        ("mlp_dim", "", "MLP must be a whole number from 1 to 100,000."),
        ("patch_size", 7.5, "patch must be a whole number"),
    ],
)
def test_it_refuses_what_cannot_be(page, name, value, words):
    fill(page, name, value)
    assert words in readout(page)
    assert page.locator("siglip-shape-explorer .se-bar i").count() == 0
    choose(page, "siglip-so400m-patch14-384")
    assert "670.35" in readout(page)


def test_it_fits_a_phone_and_nothing_jumps(phone):
    outside = phone.locator("siglip-shape-explorer").bounding_box()
    for inside in phone.locator("siglip-shape-explorer input, siglip-shape-explorer select").all():
        place = inside.bounding_box()
        assert outside["x"] <= place["x"]
        assert place["x"] + place["width"] <= outside["x"] + outside["width"] <= 390
    for name in ("siglip2-giant-opt-patch16-384", "siglip-base-patch16-224", "SoViT-400m/14, 518"):
        choose(phone, name)
        assert phone.locator("siglip-shape-explorer").bounding_box()["height"] == outside["height"]
    fill(phone, "num_heads", 5)
    assert phone.locator("siglip-shape-explorer").bounding_box()["height"] == outside["height"]


def test_readers_without_scripts_get_a_table(without_scripts):
    words = without_scripts.locator("siglip-shape-explorer").inner_text()
    assert "siglip-so400m-patch14-384" in words
    assert "428,225,600" in words and "670.35" in words
    shapes = json.loads(
        unescape(without_scripts.locator("siglip-shape-explorer").get_attribute("data-json"))
    )["shapes"]
    assert set(PUBLISHED) < set(shapes)
