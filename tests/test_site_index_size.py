"""The figure to touch of "Search a million pictures", against what was measured there."""

import json

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/28_million.html"
READY = "siglip-index-size .is-list li"
NAMES = {"HNSW": "hnsw", "flat": "flat", "int8": "int8", "IVF-PQ": "ivfpq", "binary": "binary"}
# What a byte count grows by with each number of a vector.
GROWS = {"hnsw": 4, "flat": 4, "int8": 1, "ivfpq": 1 / 4, "binary": 1 / 8}


def move(page, name, value):
    page.locator(f"siglip-index-size input[name={name}]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


def shown(page):
    """Kind -> GB."""
    rows = page.locator("siglip-index-size li")
    names = rows.locator("b").all_inner_texts()
    sizes = [words.split()[:2] for words in rows.locator("em").all_inner_texts()]
    units = {"GB": 1, "TB": 1000}
    return {
        name: float(n.replace(",", "")) * units[unit]
        for name, (n, unit) in zip(names, sizes, strict=True)
    }


@pytest.mark.parametrize("width", [768, 1152, 1536])
def test_bytes_are_those_that_were_measured(page, root, width):
    stored = json.loads((root / "siglip_lab/data/results/search.json").read_text("utf-8"))
    measured = {row["kind"]: row["bytes_per_vector"] for row in stored["trained"]}  # at 128
    page.get_by_role("button", name=str(width), exact=True).click()
    move(page, "vectors", 8)
    for name, gigabytes in shown(page).items():
        kind = NAMES[name]
        expected = measured[kind] + GROWS[kind] * (width - 128)
        assert gigabytes == pytest.approx(expected * 1e8 / 1e9, rel=0.06), name


def test_what_fits_is_said(page):
    says = page.locator(".is-readout")
    assert "Float32 fits;" in says.inner_text() and "180 ms" in says.inner_text()
    move(page, "vectors", 7)
    words = "Float32 doesn’t fit. int8 does; reading all of them once takes 460 ms."
    assert says.inner_text() == words
    assert page.locator(".is-over em").all_inner_texts()[1] == "46 GB · 2.9 ×"
    move(page, "vectors", 10)
    move(page, "memory", 0)
    assert says.inner_text().startswith("None fits")
    assert page.locator(".is-over").count() == len(NAMES)


def test_readers_without_scripts_see_an_example(without_scripts):
    words = without_scripts.locator("siglip-index-size").inner_text().replace("\u00a0", " ")
    assert "4.6 GB" in words
