"""The two arrows in a browser: by pointer, finger and keyboard, and without scripts."""

import math
import re

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/01_start_here.html"
READY = "siglip-two-arrows .ta-curve[d]"
NUMBER = r"([\u2212-]?[\d.]+)"
WORDS = (
    rf"cos {NUMBER}° = {NUMBER} logit( = t · cos θ \+ b)? = {NUMBER} · \(?{NUMBER}\)? ([+\u2212]) "
    rf"{NUMBER} = {NUMBER} p = σ\(logit\) = {NUMBER} %"
)
LARGE, SECOND = "large-patch16-384", "SigLIP 2 so400m-patch16-256"


def said(page):
    """Angle, cosine, t, b, logit and p, as the page says them."""
    text = " ".join(page.locator(".ta-readout").inner_text().split())
    found = re.fullmatch(WORDS, text).groups()
    sign = -1 if found[5] == "\u2212" else 1
    angle, cosine, t, again, b, logit, p = (
        float(found[i].replace("\u2212", "-")) for i in (0, 1, 3, 4, 6, 7, 8)
    )
    assert again == cosine
    return angle, cosine, t, sign * b, logit, p / 100


def check(page):
    """What the page says is right, and drawn; returns cosine and p."""
    angle, cosine, t, b, logit, p = said(page)
    assert math.cos(math.radians(angle)) == pytest.approx(cosine, abs=2e-3)
    assert t * cosine + b == pytest.approx(logit, abs=0.0051)
    exact = 1 / (1 + math.exp(-(t * cosine + b)))
    assert p == pytest.approx(exact, abs=0.00051)
    box = page.locator(".ta-dot circle").last.bounding_box()
    axes = page.locator(".ta-axes").bounding_box()
    middle = box["y"] + box["height"] / 2
    height = axes["y"] + axes["height"] - middle
    assert height / axes["height"] == pytest.approx(exact, abs=0.015)
    return cosine, p


def centre(place):
    box = place.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, handle, x, y):
    page.mouse.move(*centre(handle))
    page.mouse.down()
    page.mouse.move(x, y, steps=3)
    page.mouse.up()


def turn(page, side, angle):
    """Drag the tip of an arrow to an angle."""
    x, y = centre(page.locator(".ta-outline"))
    radius = page.locator(".ta-outline").bounding_box()["width"] / 2
    x, y = x + radius * math.cos(math.radians(angle)), y - radius * math.sin(math.radians(angle))
    drag(page, page.locator(f".ta-arrow.ta-{side} .ta-halo"), x, y)


def chosen(page, kind="preset"):
    return page.locator(f"[data-kind={kind}][aria-pressed=true]").all_inner_texts()


def test_it_begins_with_a_trained_model_where_the_curve_turns(page):
    assert said(page) == pytest.approx((83.0, 0.122, 118.2, -12.66, 1.76, 0.853))
    assert chosen(page) == [LARGE] and chosen(page, "view") == ["close-up"]
    check(page)


def test_a_preset_keeps_the_angle_and_the_dot_in_sight(page):
    page.get_by_role("button", name="start of training").click()
    assert said(page)[:4] == pytest.approx((83.0, 0.122, 10, -10))
    assert chosen(page, "view") == ["all cosines"]
    assert "Even at 0° p is only 50.0" in page.locator(".ta-words").inner_text()
    check(page)


@pytest.mark.parametrize(("image", "text"), [(0, 90), (90, 20), (-60, 125), (170, -170), (10, 10)])
def test_the_tips_can_be_dragged(page, image, text):
    turn(page, "image", image)
    turn(page, "text", text)
    cosine, _ = check(page)
    assert cosine == pytest.approx(math.cos(math.radians(text - image)), abs=0.015)


@pytest.mark.parametrize(
    ("name", "t", "b", "half", "climb"),
    [
        (LARGE, 118.2, -12.66, "83.9°, cosine 0.107", 2.9),
        (SECOND, 109.9, -15.93, "81.7°, cosine 0.145", 3.1),
    ],
)
def test_presets_are_those_of_the_published_models(page, name, t, b, half, climb):
    turn(page, "image", 0)
    turn(page, "text", 82.5)
    page.get_by_role("button", name=name).click()
    assert chosen(page) == [name]
    assert said(page)[2:4] == (t, b)
    check(page)
    words = page.locator(".ta-words").inner_text()
    assert f"One half is at {half}" in words and f"it takes {climb}°" in words
    page.locator("siglip-two-arrows input[name=t]").press("ArrowRight")
    assert chosen(page) == []


def test_the_dot_can_be_dragged_and_turns_the_text_arrow(page):
    page.get_by_role("button", name="all cosines").click()
    axes, dot = page.locator(".ta-axes").bounding_box(), page.locator(".ta-dot circle").last
    drag(page, dot, axes["x"] + 0.75 * axes["width"], axes["y"])  # of cosines from −1 to 1
    cosine, _ = check(page)
    assert cosine == pytest.approx(0.5, abs=0.015)
    page.get_by_role("button", name="close-up").click()
    assert chosen(page, "view") == ["close-up"]
    assert check(page) == pytest.approx((0.107, 0.5), abs=0.005)  # in sight, at one half
    low, high = (12.66 - 6) / 118.2, (12.66 + 6) / 118.2
    for share in (0.2, 0.5, 0.9):
        drag(page, dot, axes["x"] + share * axes["width"], axes["y"])
        cosine, _ = check(page)
        assert cosine == pytest.approx(low + share * (high - low), abs=0.0015)


def test_by_keyboard(page):
    page.locator(".ta-arrow.ta-text").focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")  # away from the image arrow
    assert said(page)[0] == pytest.approx(53.13 + 33, abs=0.1)
    page.keyboard.press("Shift+ArrowRight")
    assert said(page)[0] == pytest.approx(53.13 + 23, abs=0.1)
    page.locator(".ta-arrow.ta-image").focus()
    page.keyboard.press("Shift+ArrowUp")
    assert said(page)[0] == pytest.approx(63 + 23, abs=0.1)
    page.locator(".ta-dot").focus()
    before = said(page)[1]
    page.keyboard.press("ArrowLeft")
    assert said(page)[1] == pytest.approx(before - 0.005, abs=0.0011)
    check(page)


def test_by_finger(phone):
    """A finger on a tip turns the arrow, and does not scroll the page."""
    phone.locator(".ta-circle").scroll_into_view_if_needed()
    x, y = centre(phone.locator(".ta-arrow.ta-text .ta-halo"))
    session = phone.context.new_cdp_session(phone)
    top = phone.locator(".ta-circle").bounding_box()["y"]

    def touch(kind, *points):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    touch("touchStart", {"x": x, "y": y})
    for down in (20, 40, 60, 80):
        touch("touchMove", {"x": x, "y": y + down})
    touch("touchEnd")
    phone.wait_for_function("parseFloat(document.querySelector('.ta-of').innerText.slice(4)) > 100")
    assert phone.locator(".ta-circle").bounding_box()["y"] == top


def test_it_keeps_its_size_and_fits_a_phone(page, phone):
    for view in (page, phone):
        element = view.locator("siglip-two-arrows")
        before = element.bounding_box()
        for name in (LARGE, SECOND, "close-up", "start of training"):
            view.get_by_role("button", name=name).click()
            view.locator(".ta-arrow.ta-text").press("Shift+ArrowUp")
            assert element.bounding_box()["height"] == before["height"]
        for part in (".ta-circle", ".ta-plot", ".ta-readout > span", ".ta-readout b"):
            for box in (each.bounding_box() for each in view.locator(part).all()):
                assert box["x"] >= before["x"]
                assert box["x"] + box["width"] <= before["x"] + before["width"]


def test_readers_without_scripts_learn_what_it_shows(without_scripts):
    words = without_scripts.locator("siglip-two-arrows").inner_text()
    assert "reaches one half only at 0°" in words and "83.9°, cosine 0.107" in words
