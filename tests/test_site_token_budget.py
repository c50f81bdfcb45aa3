"""The figure to touch of "Into a language model", against the arithmetic of the chapter."""

import re

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/27_language_model.html"
READY = "siglip-token-budget .tb-patches"
# Side, patch and factor of one square, as the chapter's table has them.
MODELS = {
    "SmolVLM": (384, 14, 3), "Idefics3": (364, 14, 2),
    "nanoVLM": (512, 16, 4), "PaliGemma": (448, 14, 1),
}  # fmt: skip


def says(page):
    return page.locator(".tb-readout").inner_text()


def move(page, name, value):
    page.locator(f"siglip-token-budget input[name={name}]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("tiles", [0, 6])
def test_tokens_and_memory(page, name, tiles):
    move(page, "tiles", 12)  # a model begins with its one square
    page.get_by_role("button", name=name, exact=True).click()
    if tiles:
        move(page, "tiles", tiles)
    side, patch, factor = MODELS[name]
    grid = side // patch
    tokens = (grid // factor) ** 2
    numbers = [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d)?", says(page))]
    kept = round(tokens * (tiles + 1) * 40_960 / 2**20, 1)
    unused = [side % patch] if side % patch else []
    between = [tiles + 1, tokens * (tiles + 1)] if tiles else []
    assert numbers == [grid, grid, grid**2, *unused, tokens, *between, kept]
    chosen = page.locator("siglip-token-budget [data-kind=model][aria-pressed=true]")
    assert chosen.inner_text() == name


def test_what_is_left_over_is_named_and_drawn(page):
    page.get_by_role("button", name="2", exact=True).click()  # SmolVLM's 27 patches a side
    assert "27 isn’t divisible by 2: 1 row and as many columns are left over." in says(page)
    assert says(page).endswith("364 or 392 pixels would do.")
    assert page.locator(".tb-left").count() == 1
    move(page, "side", 364)
    assert "676 patches become 169 tokens" in says(page)
    assert page.locator(".tb-left").count() == 0


def test_readers_without_scripts_see_an_example(without_scripts):
    assert "81 tokens" in without_scripts.locator("siglip-token-budget").inner_text()
