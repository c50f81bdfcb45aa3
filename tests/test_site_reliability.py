"""The figure to touch of the chapter "The real model": reliability for any scale and bias."""

import math
import re

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/14_real_model.html"
READY = "reliability-sliders .rs-dots circle"


@pytest.fixture(scope="module")
def answers(root):
    """Kind of drawings -> [(cosine, wrong, right)], as the script holds them."""
    script = (root / "book/_static/js/reliability-sliders.js").read_text(encoding="utf-8")
    lists = [list(map(int, text.split())) for text in re.findall(r"`\n([\d\s]+)`", script)]
    cosines = [-0.4 + 0.002 * (i + 0.5) for i in range(len(lists[0]))]
    return {
        "clean": list(zip(cosines, *lists[:2], strict=True)),
        "grainy": list(zip(cosines, *lists[2:], strict=True)),
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
    page.locator("reliability-sliders").get_by_role("button", name=name, exact=True).click()


def move(page, **values):
    for name, value in values.items():
        page.locator(f"reliability-sliders input[name={name}]").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            value,
        )


def said(page):
    return page.locator(".rs-readout").inner_text()


def readout(error, many, good):
    share = f", {100 * good / many:.0f} % of them true" if many else ""
    return f"Calibration error {100 * error:.1f} %. Above 50 %: {many} answers{share}."


def test_it_has_the_answers_of_the_library(answers):
    import torch

    import siglip_lab as sl
    from siglip_lab.toy.shapes_world import (
        all_combinations,
        draw,
        random_scene,
        training_combinations,
    )

    model, processor = sl.load_model("tiny"), sl.load_processor("tiny")
    every, known = all_combinations(), training_combinations()
    scenes = [random_scene(f"test {i}", known[i % len(known)]) for i in range(400)]
    texts = sl.embed_texts(model, processor, [f"This is a photo of {c.label}." for c in every])
    cosines = sl.embed_images(model, processor, [draw(s) for s in scenes]) @ texts.T
    wrong, right = torch.zeros(305), torch.zeros(305)
    for row, scene in zip(cosines, scenes, strict=True):
        for cosine, c in zip(row.tolist(), every, strict=True):
            differing = sum(x != y for x, y in zip(c, scene.combination, strict=True))
            if differing <= 1:
                step = min(max(math.floor((cosine + 0.4) / 0.002), 0), 304)
                (wrong if differing else right)[step] += 1
    found = torch.tensor([[w, r] for _, w, r in answers["clean"]])
    assert found.sum() == sum(w + r for _, w, r in answers["grainy"]) == 8000
    assert (found - torch.stack([wrong, right], dim=1)).abs().sum() <= 20  # at the steps' borders


@pytest.mark.parametrize("kind", ["clean", "grainy"])
@pytest.mark.parametrize("t, b", [(44.4, -3.86), (91.3, -9.95), (25.4, -3.09), (150, 0), (10, -20)])
def test_it_computes_the_truth(page, answers, kind, t, b):
    press(page, kind)
    move(page, t=t, b=b)
    *numbers, dots = expected(answers[kind], t, b)
    assert said(page) == readout(*numbers)
    circles = page.locator(READY).evaluate_all(
        "all => all.map(c => [c.getAttribute('cx') / 260, 1 - c.getAttribute('cy') / 260])"
    )
    assert circles == [pytest.approx(dot, abs=1e-6) for dot in dots]


def test_buttons_set_both_numbers_and_say_which_is_on(page, answers):
    press(page, "fitted on grainy")
    press(page, "grainy")
    assert said(page) == readout(*expected(answers["grainy"], 25.4, -3.09)[:3])
    on = "reliability-sliders button[aria-pressed=true]"
    assert page.locator(on).all_inner_texts() == ["grainy", "fitted on grainy"]
    move(page, t=26)
    assert page.locator(on).all_inner_texts() == ["grainy"]


def test_keys_move_it(page, answers):
    page.locator("reliability-sliders input[name=b]").focus()
    page.keyboard.press("ArrowRight")
    assert said(page) == readout(*expected(answers["clean"], 44.4, -3.85)[:3])


def test_readers_without_scripts_see_what_it_shows(without_scripts):
    assert "errs by 2.8" in without_scripts.locator("reliability-sliders").inner_text()


def test_it_fits_a_phone(phone):
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
