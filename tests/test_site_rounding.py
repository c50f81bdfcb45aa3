"""The figure to touch of "Faster, smaller, elsewhere", against PyTorch."""

import re

import pytest
import torch

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/29_fast.html"
READY = "siglip-rounding .ro-after"
ROW = torch.tensor([0.50, -0.20, 0.10, -0.45], dtype=torch.float64)


def move(page, name, value):
    page.locator(f"siglip-rounding input[name={name}]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )


@pytest.mark.parametrize(("fifth", "bits"), [(0.4, 8), (8, 8), (0.2, 3), (3.05, 4), (8, 2)])
def test_steps_and_errors(page, fifth, bits):
    move(page, "fifth", fifth)
    move(page, "bits", bits)
    most = 2 ** (bits - 1) - 1
    step = max(fifth, 0.5) / most
    rounded = (ROW / step).round() * step
    said = page.locator(".ro-readout").inner_text()
    numbers = [float(n) for n in re.findall(r"\d+\.\d{4}", said)]
    assert numbers == pytest.approx([step, (rounded - ROW).abs().max().item()], abs=6e-5)
    gone = int((rounded == 0).sum())
    words = ["", "One", "Two", "Three", "All"][gone]
    assert said.endswith(f" {words} of the four became 0.") if gone else "became" not in said
    assert ("0.50 is still the largest" in said) == (fifth < 0.5)
    assert page.locator("text.ro-fifth").text_content().startswith(f"{fifth:.2f}")
    centres = page.locator(".ro-after").evaluate_all(
        "all => all.map(e => Number(e.getAttribute('cx')))"
    )
    ends = page.locator(".ro-before").evaluate_all(
        "all => all.map(e => Number(e.getAttribute('cx')))"
    )
    scale = (ends[0] - ends[3]) / 0.95  # pixels for 1
    moved = [(a - b) / scale for a, b in zip(centres, ends, strict=True)]
    assert moved == pytest.approx((rounded - ROW).tolist(), abs=2e-3)


def test_readers_without_scripts_see_an_example(without_scripts):
    assert "0.063" in without_scripts.locator("siglip-rounding").inner_text()
