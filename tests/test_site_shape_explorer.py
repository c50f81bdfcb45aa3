"""The explorer of shapes in a browser: every number against the library, refusals, keys."""

import json
import random
from dataclasses import astuple
from html import unescape

import pytest

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.published import get_config, list_models

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/11_compute.html"
READY = "shape-explorer .se-readout table"
PUBLISHED = [*(name for name in list_models() if name != "tiny"), *list_models(version=2)]
PARTS = ("patches", "attention", "attention map", "mlp", "head")


def choose(page, name):
    page.locator("shape-explorer select[name=shape]").select_option(name)


def readout(page):
    return page.locator("shape-explorer .se-readout").inner_text().replace("\u00a0", " ")


def fill(page, name, value):
    page.locator(f"shape-explorer input[name={name}-number]").fill(str(value))


def expected(config):
    """What the element's `count` must give for a model."""
    parameters, flops = count_parameters(config), count_flops(config)
    vision = flops.vision
    layers = [part for part in vision if part.name.startswith("layer ")]
    parts = [sum(layer[name].total for layer in layers) for name in PARTS[1:4]]
    return {
        "tokens": config.vision.num_patches,
        "parts": [vision["embeddings"]["patches"].total, *parts, vision["head"].total],
        "image": {"parameters": parameters.vision.total, "flops": vision.total},
        "text": {"parameters": parameters.text.total, "flops": flops.text.total},
        "whole": {"parameters": parameters.total, "flops": flops.total},
    }


def count(page, image, text):
    call = "(element, [image, text]) => element.count(image, text)"
    return page.locator("shape-explorer").evaluate(call, [image, text])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_equal_the_library_s(page, name):
    config = get_config(name)
    numbers = expected(config)
    text = config.text
    shape = [text.vocab_size, text.context_length, text.width, text.depth, text.mlp_dim]
    found = count(page, astuple(config.vision), [*shape, text.embed_dim])
    assert found == numbers
    choose(page, name)
    rows = [line.split("\t") for line in readout(page).splitlines() if "\t" in line][1:]
    assert rows == [
        [label, f"{numbers[key]['parameters']:,}", f"{numbers[key]['flops'] / 1e9:.2f}"]
        for label, key in [
            ("image tower", "image"), ("text tower", "text"), ("whole, a pair", "whole"),
        ]
    ]  # fmt: skip
    training = count_flops(config, texts=0, training=True).total / 1e9
    assert f"Training on an image: {training:.2f} GFLOPs." in readout(page)


def test_any_shape_equals_the_library_s(page):
    draw = random.Random(0)
    for _ in range(50):
        heads, patch = draw.randint(1, 24), draw.randint(1, 32)
        size = draw.randint(patch, 1000)
        width, depth, mlp = heads * draw.randint(1, 120), draw.randint(1, 48), draw.randint(1, 9000)
        vision = VisionConfig(size, patch, width, depth, heads, mlp)
        shape = draw.randint(2, 300_000), draw.randint(1, 100), 64, draw.randint(1, 48)
        text = TextConfig(*shape, 1, draw.randint(1, 9000), embed_dim=width)
        numbers = [*shape, text.mlp_dim, width]
        config = SigLIPConfig(vision, text)
        assert count(page, astuple(vision), numbers) == expected(config)
        alone = count(page, astuple(vision), None)
        assert alone["image"] == expected(config)["image"] and "text" not in alone


def test_a_slider_and_the_keyboard_change_the_numbers(page):
    assert "428,225,600\t670.35" in readout(page)
    slider = page.locator("shape-explorer input[name=depth]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("shape-explorer input[name=depth-number]").input_value() == "28"
    assert page.locator("shape-explorer select[name=shape]").input_value() == ""
    layer = count_parameters(get_config("siglip-so400m-patch14-384")).vision["layer 0"].total
    assert f"{428_225_600 + layer:,}" in readout(page)
    assert f"{449_734_896 + layer:,}" in readout(page)  # the text tower follows
    page.keyboard.press("ArrowLeft")
    assert "428,225,600\t670.35" in readout(page)


def test_what_it_says_of_a_shape(page):
    assert "27 × 27 = 729 tokens; 6 pixels at the right and at the bottom unseen." in readout(page)
    assert "Heads of 72, a multiple of 8, not of 16." in readout(page)
    assert "MLP 4304, no multiple of 64; padded to 4352 it costs 1.1 % more." in readout(page)
    label = page.locator("shape-explorer .se-bar").get_attribute("aria-label")
    assert "attention maps 9.9" in label
    widths = page.locator("shape-explorer .se-bar i").evaluate_all(
        "boxes => boxes.map(box => box.getBoundingClientRect().width)"
    )
    parts = expected(get_config("siglip-so400m-patch14-384"))["parts"]
    for width, part in zip(widths, parts, strict=True):
        assert width / sum(widths) == pytest.approx(part / sum(parts), abs=0.003)
    choose(page, "siglip-base-patch16-224")
    assert "14 × 14 = 196 tokens." in readout(page)
    assert "MLP 3072, a multiple of 64." in readout(page)


def test_a_text_tower_can_be_another_or_none(page):
    menu = page.locator("shape-explorer select[name=text]")
    menu.select_option("as wide and deep, 250,000 pieces, 64 tokens")
    assert f"{877_960_498 + 218_000 * 1152:,}" in readout(page)
    menu.select_option("none")
    assert "text tower" not in readout(page)
    assert "428,225,600\t670.35" in readout(page)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("heads", 20, "A width of 1152 cannot be shared by 20 heads: 1152 / 20 = 57.60."),
        ("heads", 20, "Nearest: 18 or 24 heads."),
        ("size", 13, "No patch fits: the image is 13 pixels wide, a patch 14."),
        ("depth", 0, "depth must be a whole number from 1 to 100,000."),
        ("mlp", "", "MLP must be a whole number from 1 to 100,000."),
        ("patch", 7.5, "patch must be a whole number"),
    ],
)
def test_it_refuses_what_cannot_be(page, name, value, words):
    fill(page, name, value)
    assert words in readout(page)
    assert page.locator("shape-explorer .se-bar i").count() == 0
    choose(page, "siglip-so400m-patch14-384")
    assert "670.35" in readout(page)


def test_it_fits_a_phone_and_nothing_jumps(phone):
    outside = phone.locator("shape-explorer").bounding_box()
    for inside in phone.locator("shape-explorer input, shape-explorer select").all():
        place = inside.bounding_box()
        assert outside["x"] <= place["x"]
        assert place["x"] + place["width"] <= outside["x"] + outside["width"] <= 390
    for name in ("siglip2-giant-opt-patch16-384", "siglip-base-patch16-224", "SoViT-400m/14, 518"):
        choose(phone, name)
        assert phone.locator("shape-explorer").bounding_box()["height"] == outside["height"]
    fill(phone, "heads", 5)
    assert phone.locator("shape-explorer").bounding_box()["height"] == outside["height"]


def test_readers_without_scripts_get_a_table(without_scripts):
    words = without_scripts.locator("shape-explorer").inner_text()
    assert "siglip-so400m-patch14-384" in words
    assert "428,225,600" in words and "670.35" in words
    shapes = json.loads(
        unescape(without_scripts.locator("shape-explorer").get_attribute("data-shapes"))
    )
    assert set(PUBLISHED) < set(shapes)
