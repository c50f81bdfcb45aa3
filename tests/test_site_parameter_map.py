"""The map of parameters in a browser: every number against the library, areas, keys, no scripts."""

import json
from html import unescape

import pytest

from siglip_lab import clip
from siglip_lab.counting import count_parameters
from siglip_lab.published import get_config, list_models

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/11_parameters.html"
READY = "siglip-parameter-map .pm-map i"
SIGLIP = [*(name for name in list_models() if name.startswith("siglip-")), *list_models(version=2)]
CLIP = [name for name in clip.list_models() if name.startswith("ViT")]
NAMES = {  # the page's name -> the library's
    "patch embedding": "patches", "token table": "tokens", "first norm": "norm",
    "MLP": "mlp", "MAP head": "head", "projection": "head",
}  # fmt: skip


def choose(page, model):
    page.locator("siglip-parameter-map select").select_option(model)


def readout(page):
    return page.locator("siglip-parameter-map .pm-readout").inner_text().replace("\u00a0", " ")


def box(page, cell):
    return page.locator(f"siglip-parameter-map i[data-cell='{cell}']").bounding_box()


def test_every_model_of_the_page_is_on_the_list(page):
    assert page.locator("siglip-parameter-map option").all_inner_texts() == [*SIGLIP, *CLIP]
    labels = page.locator("siglip-parameter-map optgroup")
    assert [each.get_attribute("label") for each in labels.all()] == ["SigLIP", "SigLIP 2", "CLIP"]


@pytest.mark.parametrize("model", [*SIGLIP, *CLIP])
def test_every_part_of_every_model_equals_the_library_s(page, model):
    choose(page, model)
    if model in CLIP:
        count = clip.count_parameters(clip.get_config(model))
    else:
        count = count_parameters(get_config(model))
    towers = page.locator("siglip-parameter-map").evaluate("element => element.towers")
    for tower, rows in zip((count.vision, count.text), towers, strict=True):
        assert [NAMES.get(name, name) for name, _ in rows] == [part.name for part in tower]
        for (_, cells), part in zip(rows, tower, strict=True):
            expected = {cell.name: cell.total for cell in part} or {part.name: part.total}
            assert {NAMES.get(name, name): number for name, number in cells} == expected
    words = page.locator("siglip-parameter-map .pm-total").inner_text()
    for number in (count.total, count.vision.total, count.text.total, count["scalars"].total):
        assert f"{number:,}" in words


def test_areas_are_proportional_to_the_numbers(page):
    def area(cell):
        place = box(page, cell)
        return place["width"] * place["height"]

    token_table, attention, mlp = area("1 0 0"), area("0 1 1"), area("0 1 2")
    assert mlp / attention == pytest.approx(9_921_872 / 5_313_024, rel=0.01)
    assert token_table / mlp == pytest.approx(36_864_000 / 9_921_872, rel=0.01)
    page.locator("siglip-parameter-map input[type=checkbox]").check()
    choose(page, "siglip-base-patch16-224")
    small = area("1 0 0")
    choose(page, "siglip2-giant-opt-patch16-256")
    assert area("1 0 0") / small == pytest.approx(256_000 * 1152 / (32_000 * 768), rel=0.02)


def test_the_mouse_finds_a_part(page):
    place = box(page, "0 5 2")
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert readout(page) == "image tower, layer 4, MLP: 9,921,872, 1.1 % of the model."
    assert page.locator("siglip-parameter-map .pm-chosen").count() == 1


def test_a_button_takes_all_layers(page):
    page.locator("siglip-parameter-map .pm-image-parts button", has_text="layers").click()
    assert readout(page) == "image tower, 27 layers: 411,466,608, 46.9 % of the model."
    assert page.locator("siglip-parameter-map .pm-chosen").count() == 3 * 27
    page.locator("siglip-parameter-map .pm-image-parts button", has_text="positions").click()
    assert readout(page) == "image tower, positions: 839,808, 0.1 % of the model."
    page.locator("siglip-parameter-map .pm-text-parts button", has_text="final norm").click()
    assert readout(page) == "text tower, final norm: 2,304, under 0.1 % of the model."
    choose(page, "ViT-B/16")
    assert readout(page) == "text tower, token table: 25,296,896, 16.9 % of the model."


def test_the_keyboard_walks_from_part_to_part(page):
    page.locator("siglip-parameter-map .pm-map").focus()
    for key, expected in [
        ("ArrowDown", "text tower, layer 0, norms"),
        ("ArrowRight", "text tower, layer 0, attention"),
        ("ArrowLeft", "text tower, layer 0, norms"),
        ("ArrowLeft", "image tower, layer 0, MLP"),
        ("ArrowUp", "image tower, embeddings, positions"),
        ("ArrowUp", "image tower, embeddings, positions"),
        ("ArrowRight", "text tower, embeddings, token table"),
    ]:
        page.keyboard.press(key)
        assert readout(page).startswith(expected + ":")


def test_it_fits_a_phone_and_nothing_jumps(phone):
    outside = phone.locator("siglip-parameter-map").bounding_box()
    for inside in phone.locator("siglip-parameter-map button, siglip-parameter-map select").all():
        place = inside.bounding_box()
        assert outside["x"] <= place["x"]
        assert place["x"] + place["width"] <= outside["x"] + outside["width"] <= 390
    phone.locator("siglip-parameter-map i[data-cell='1 9 2']").tap()
    assert readout(phone).startswith("text tower, layer 8, MLP: 9,921,872")
    for model in ("siglip2-giant-opt-patch16-256", "ViT-B/16"):
        choose(phone, model)
        assert phone.locator("siglip-parameter-map").bounding_box()["height"] == outside["height"]


def test_readers_without_scripts_get_a_table(without_scripts):
    words = without_scripts.locator("siglip-parameter-map").inner_text()
    assert "siglip-so400m-patch14-384" in words and "877,960,498" in words
    assert "411,466,608" in words
    shapes = json.loads(
        unescape(without_scripts.locator("siglip-parameter-map").get_attribute("data-json"))
    )
    assert len(shapes["models"]) == 29
