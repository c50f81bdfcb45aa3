"""The figure to touch of "Scores that you can trust": reliability for any scale and bias."""

import json
import math

import numpy as np
import pytest

from benchmarks import reliability

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/16_scores.html"
READY = "siglip-reliability-sliders .rd-dots circle"


@pytest.fixture(scope="module")
def answers(root):
    """Kind of drawings -> [(cosine, wrong, right)], as they were counted."""
    stored = json.loads((root / "siglip_lab/data/results/reliability.json").read_text("utf-8"))
    cosines = [stored["first"] + stored["step"] * (i + 0.5) for i in range(305)]
    return {
        kind: list(zip(cosines, counts["wrong"], counts["right"], strict=True))
        for kind, counts in stored["answers"].items()
    }


def expected(answers, t, b):
    bins = [[0, 0.0, 0] for _ in range(10)]
    for cosine, wrong, right in answers:
        score = 1 / (1 + math.exp(-t * cosine - b))
        bin = bins[min(9, int(10 * score))]
        bin[0] += wrong + right
        bin[1] += score * (wrong + right)
        bin[2] += right
    error = sum(abs(score - right) for _, score, right in bins) / 8000
    many, good = sum(n for n, *_ in bins[5:]), sum(right for *_, right in bins[5:])
    return error, many, good, [(score / n, right / n) for n, score, right in bins if n]


def press(page, name):
    page.locator("siglip-reliability-sliders").get_by_role("button", name=name, exact=True).click()


def move(page, **values):
    for name, value in values.items():
        page.locator(f"siglip-reliability-sliders input[name={name}]").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            value,
        )


def said(page):
    return page.locator(".rd-readout").inner_text().replace("\u00a0", " ")


def readout(error, many, good):
    share = f", {100 * good / many:.0f} % of them true" if many else ""
    answers = f"{many} answer{'s' * (many != 1)}"
    return f"Calibration error {100 * error:.1f} %. Above 50 %: {answers}{share}."


@pytest.mark.slow
def test_the_stored_answers_are_those_of_tiny(answers):
    for kind, counts in reliability.count().items():
        wrong, right = (np.array([row[i] for row in answers[kind]]) for i in (1, 2))
        assert (wrong.sum(), right.sum()) == (7600, 400)
        moved = abs(wrong - counts["wrong"]).sum() + abs(right - counts["right"]).sum()
        assert moved <= 20  # another processor may put an answer on the other side of a border


@pytest.mark.parametrize("kind", ["clean", "grainy"])
@pytest.mark.parametrize("t, b", [(44.4, -3.86), (91.3, -9.95), (25.4, -3.09), (150, 0), (10, -20)])
def test_it_computes_the_truth(page, answers, kind, t, b):
    press(page, kind)
    move(page, t=t, b=b)
    *numbers, dots = expected(answers[kind], t, b)
    assert said(page) == readout(*numbers)
    circles = page.locator("siglip-reliability-sliders").evaluate(
        """({ plot }) => [...plot.svg.querySelectorAll(".rd-dots circle")].map((dot) => [
        (dot.cx.baseVal.value - plot.left) / (plot.end - plot.left),
        (plot.foot - dot.cy.baseVal.value) / (plot.foot - plot.top)])"""
    )
    assert circles == [pytest.approx(dot, abs=1e-5) for dot in dots]


def test_buttons_set_both_numbers_and_say_which_is_on(page, answers):
    press(page, "fitted on grainy")
    press(page, "grainy")
    assert said(page) == readout(*expected(answers["grainy"], 25.4, -3.09)[:3])
    on = "siglip-reliability-sliders button[aria-pressed=true]"
    assert page.locator(on).all_inner_texts() == ["grainy", "fitted on grainy"]
    move(page, t=26)
    assert page.locator(on).all_inner_texts() == ["grainy"]


def test_keys_move_it(page, answers):
    page.locator("siglip-reliability-sliders input[name=b]").focus()
    page.keyboard.press("ArrowRight")
    assert said(page) == readout(*expected(answers["clean"], 44.4, -3.85)[:3])


def test_readers_without_scripts_see_what_it_shows(without_scripts):
    assert "the error is 2.8" in without_scripts.locator("siglip-reliability-sliders").inner_text()


def test_it_fits_a_phone(phone):
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
