"""The nine pairs in a browser: against the library, by mouse, by keyboard, without scripts."""

import re

import pytest
import torch

from siglip_lab.figures import ch08
from siglip_lab.losses import clip_loss, sigmoid_loss

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/08_losses.html"
READY = "siglip-loss-pair .lp-readout"
COSINES = torch.tensor([[0.7, 0.5, 0.2], [0.4, 0.6, 0.2], [0.1, 0.3, 0.5]], dtype=torch.float64)


def number(text):
    return float(text.replace("\u2212", "-"))


def move(page, name, value):
    """As a reader's drag would: the slider's value, and the event."""
    page.locator(f"siglip-loss-pair input[name={name}]").evaluate(
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', {bubbles: true})); }",
        str(value),
    )


def choose(page, pair):
    page.locator(f"siglip-loss-pair input[type=radio][value='{pair}']").check(force=True)


def preset(page, name):
    page.locator("siglip-loss-pair .pills button", has_text=name).click()


def shown(page, kind):
    """The loss and the nine forces that the element shows."""
    forces = page.locator(f".lp-{kind} tbody td").all_inner_texts()
    loss = page.locator(f".lp-{kind} .lp-loss").inner_text()
    return float(loss), torch.tensor([number(text) for text in forces]).reshape(3, 3)


def computed(kind, cosines, t, b):
    """The same from the library: captions at right angles, photos with these cosines."""
    rest = (1 - cosines.square().sum(dim=1, keepdim=True)).sqrt()
    x = torch.cat([cosines, rest], dim=1).requires_grad_()
    y = torch.eye(3, 4, dtype=torch.float64)
    log_t = torch.tensor(t, dtype=torch.float64).log()
    bias = torch.tensor(b, dtype=torch.float64)
    loss = clip_loss(x, y, log_t) if kind == "clip" else sigmoid_loss(x, y, log_t, bias)
    (grad,) = torch.autograd.grad(loss, x)
    return loss.item(), (3 * grad[:, :3] / t).float()


def agrees(page, cosines, t, b):
    for kind in ("clip", "siglip"):
        loss, forces = shown(page, kind)
        expected_loss, expected_forces = computed(kind, cosines, t, b)
        assert loss == pytest.approx(expected_loss, abs=0.00051)
        assert torch.allclose(forces, expected_forces, atol=0.0051)


def test_it_begins_with_the_page_s_numbers(page):
    agrees(page, COSINES, 10.0, -5.0)
    assert shown(page, "clip")[0] == 0.152 and shown(page, "siglip")[0] == 0.794


@pytest.mark.parametrize(
    ("pair", "cosine", "t", "b"),
    [(3, 0.6, 10.0, -5.0), (1, -0.6, 30.0, -9.5), (8, 0.9, 117.3, -12.93), (4, 0.0, 1.0, 0.0)],
)
def test_every_number_equals_the_library_s(page, pair, cosine, t, b):
    choose(page, pair)
    for name, value in [("cosine", cosine), ("t", t), ("b", b)]:
        move(page, name, value)
    cosines = COSINES.clone()
    cosines.view(-1)[pair] = cosine
    agrees(page, cosines, t, b)
    z = t * cosine + b
    assert f"logit {z:.2f}" in page.locator(".lp-readout").inner_text().replace("\u2212", "-")


def test_a_cosine_moves_five_pairs_of_clip_and_one_of_siglip(page):
    changed = re.compile(r"changed (\d) of 9 forces under CLIP, (\d) of 9 under SigLIP")
    assert not changed.search(page.locator(".lp-readout").inner_text())
    for name, value, expected in [
        ("cosine", 0.6, ("5", "1")), ("b", -10, ("0", "9")), ("t", 12, ("9", "9")),
    ]:  # fmt: skip
        move(page, name, value)
        assert changed.search(page.locator(".lp-readout").inner_text()).groups() == expected
        marked = [page.locator(f".lp-{kind} td.lp-moved").count() for kind in ("clip", "siglip")]
        assert tuple(map(str, marked)) == expected


def test_presets_set_everything_and_say_what_to_see(page):
    pressed = page.locator("siglip-loss-pair [aria-pressed=true]")
    assert pressed.all_inner_texts() == ["as on this page"]
    nothing = torch.zeros(3, 3, dtype=torch.float64)
    for name, cosines, t, b, words in [
        ("the same with b = −10", COSINES, 10.0, -10.0, "three strong pulls, hardly a push"),
        ("t = 1, b = 0", nothing, 1.0, 0.0, "six pairs as hard as it pulls three"),
        ("start of training", nothing, 10.0, -10.0, "SigLIP only pulls"),
        ("as on this page", COSINES, 10.0, -5.0, "which forces follow"),
    ]:
        preset(page, name)
        agrees(page, cosines, t, b)
        assert words in page.locator(".lp-readout").inner_text()
        assert pressed.all_inner_texts() == [name]
    move(page, "t", 11)
    assert pressed.count() == 0


def test_arrows_are_as_long_as_the_force(page):
    preset(page, "as on this page")
    for kind in ("clip", "siglip"):
        forces = shown(page, kind)[1].flatten().tolist()
        for cell, force in zip(page.locator(f".lp-{kind} tbody td").all(), forces, strict=True):
            width = cell.locator("path").evaluate_all("all => all.map((p) => p.getBBox().width)")
            if width:
                assert width == [pytest.approx(5 + 16 * abs(force), abs=0.15)] * 2
            assert ("lp-pull" in (cell.get_attribute("class") or "")) == (force < 0)


def test_arrows_lie_within_their_cells(page, phone):
    for view in (page, phone):
        preset(view, "the same with b = −10")  # pulls of nearly 1
        for cell in view.locator(".lp-clip tbody td, .lp-siglip tbody td").all():
            outside = cell.bounding_box()
            for box in (arrow.bounding_box() for arrow in cell.locator("path").all()):
                assert box["x"] >= outside["x"] + 1
                assert box["x"] + box["width"] <= outside["x"] + outside["width"] - 1


def test_the_keyboard_chooses_a_pair_and_moves_it(page):
    page.locator("siglip-loss-pair input[type=radio][value='3']").focus()
    page.keyboard.press("ArrowRight")
    assert "Photo of a dog with “dog”" in page.locator(".lp-readout").inner_text()
    page.locator("siglip-loss-pair input[name=cosine]").focus()
    page.keyboard.press("ArrowLeft")
    cosines = COSINES.clone()
    cosines[1, 1] = 0.59
    agrees(page, cosines, 10.0, -5.0)


def test_it_fits_a_phone_and_nothing_jumps(phone):
    outside = phone.locator("siglip-loss-pair").bounding_box()
    for table in phone.locator("siglip-loss-pair table").all():
        inside = table.bounding_box()
        assert outside["x"] <= inside["x"]
        assert inside["x"] + inside["width"] <= outside["x"] + outside["width"] <= 390
    height = outside["height"]
    move(phone, "b", -10)
    assert phone.locator("siglip-loss-pair").bounding_box()["height"] == height


def test_photos_are_drawn_as_in_the_figures(page):
    """The same outlines, three in each table."""
    found = page.locator("siglip-loss-pair th path").evaluate_all(
        "all => all.map((e) => e.getAttribute('d'))"
    )
    assert found == 3 * [ch08._DRAWINGS[name] for name in ("cat", "dog", "boat")]


def test_readers_without_scripts_are_told_what_moves(without_scripts):
    words = without_scripts.locator("siglip-loss-pair").inner_text()
    assert "0.152" in words and "0.794" in words and "five of the nine pairs" in words
