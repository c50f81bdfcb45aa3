"""A drawn digit in a browser: its 8 x 8 pixels, and that the three answers are the library's."""

import json
import math

import numpy as np
import one_figure
import pytest
import torch
from PIL import Image
from test_site_touch_room import LETTERS, TARGETS, UNMARKED

import siglip_lab as sl
from siglip_lab.figures import touch

pytestmark = [pytest.mark.browser]

NAME = "siglip-digit-pad"
CAPTIONS = [f"the digit {digit}" for digit in range(10)]
SEVEN = [(0.25, 0.2), (0.75, 0.25), (0.4, 0.85)]
SHOWN = f"(() => document.querySelector('{NAME}').shown)()"


@pytest.fixture(scope="module")
def figure():
    return touch.DigitPad()


def add(extension, static):
    model = extension("tiny_model")
    model.write(static / "tiny", model.files())


@pytest.fixture(scope="module")
def address(root, book_site, figure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("digit")
    with one_figure.site_of(figure, "digit-pad", root, book_site, folder, add) as address:
        yield address


@pytest.fixture
def opened(request, browser, address):
    """The page, and all that it asked for."""
    options = {"viewport": {"width": 1280, "height": 1400}} | getattr(request, "param", {})
    with one_figure.opened(browser, address, f"{NAME} .dp-answer:not(:empty)", **options) as page:
        yield page


@pytest.fixture
def element(opened):
    return opened.locator(NAME).first


# ---- what the reader does, and what stands there then --------------------------------------------


def settle(element):
    """All three have answered what is on the sheet."""
    element.page.wait_for_function(
        f"(() => {{ const e = document.querySelector('{NAME}'); return e.shown.found[0]"
        " && !e.frame && e.shown.counts.join() === e.counts.join() })()"
    )


def draw(element, points):
    box = element.locator(".dp-sheet").bounding_box()
    mouse = element.page.mouse
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=5)
    mouse.up()
    settle(element)


def press(element, i):
    element.locator(".dp-presets button").nth(i).click()
    settle(element)


def check(element, figure):
    """The three answers to the 8 x 8 that the page shows are those of the library."""
    shown = element.page.evaluate(SHOWN)
    ink = np.array(shown["counts"]).reshape(8, 8)
    levels = 255 - np.rint(ink * (255 / 16)).astype(np.uint8)
    picture = Image.fromarray(levels).convert("RGB")
    tiny, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    image = sl.embed_images(tiny, processor, [picture])[0]
    with torch.no_grad():
        before = tiny.logits(image[None], sl.embed_texts(tiny, processor, CAPTIONS))[0]
    texts = torch.tensor(figure.taught["texts"])
    after = figure.taught["t"] * texts @ image + figure.taught["b"]
    for found, logits in zip(shown["found"], (before, after), strict=False):
        assert found["logit"] == pytest.approx(logits.max().item(), abs=0.15)  # float16 weights
        assert found["bars"] == pytest.approx(logits.softmax(0).tolist(), abs=0.04)
        assert logits[found["best"]] > logits.max() - 0.15
    known = [np.asarray(figure.digits.pictures[i])[..., 0] for i in figure.known]
    known = torch.tensor(255 - np.stack(known)).double().flatten(1)
    own = torch.tensor(255 - levels).double().flatten()
    cosines = torch.cosine_similarity(known, own[None])
    pixels, labels = shown["found"][2], figure.digits.labels[figure.known]
    assert (pixels["place"], pixels["best"]) == (cosines.argmax(), labels[cosines.argmax()])
    assert pixels["bars"] == pytest.approx([cosines[labels == d].max().item() for d in range(10)])
    best = [str(found["best"]) for found in shown["found"]]
    assert element.locator(".dp-best").all_inner_texts() == best
    assert element.locator(".dp-is-best b").all_inner_texts() == best
    words = "tiny says {}, taught {}; the nearest known digit is {}.".format(*best)
    assert element.locator(".dp-answer").inner_text().endswith(words)
    return [found["best"] for found in shown["found"]]


def test_three_answers_to_test_digits_are_the_library_s(element, figure):
    test = figure.digits.test.tolist()
    for i, place in reversed([*enumerate(figure.shown)]):
        press(element, i)
        shown = np.asarray(figure.digits.pictures[place])[..., 0]
        counts = element.page.evaluate(SHOWN)["counts"]
        assert (255 - np.rint(np.array(counts) * (255 / 16)) == shown.flatten()).all()
        every = figure.as_is["best"], figure.taught["best"], figure.nearest
        assert check(element, figure) == [best[test.index(place)] for best in every]
        label = figure.digits.labels[place]
        assert element.locator(".dp-answer").inner_text().startswith(f"This {label}: ")


def test_three_answers_to_a_drawing_are_the_library_s(element, figure):
    draw(element, SEVEN)
    check(element, figure)
    assert element.locator("[aria-pressed=true]").count() == 0
    draw(element, [(0.3, 0.55), (0.7, 0.5)])
    assert check(element, figure)[2] == 7
    element.get_by_role("button", name="Clear").click()
    element.page.wait_for_function(f"!{SHOWN}.found[2]")
    assert element.locator(".dp-best").all_inner_texts() == ["–"] * 3
    assert element.locator(".dp-answer").inner_text() == "Nothing is drawn yet."


def test_how_often_each_is_right_is_written_at_its_head(element, figure):
    heads = element.locator(".dp-right").all_inner_texts()
    own = figure.digits.labels[figure.digits.test]
    every = figure.as_is["best"], figure.taught["best"], figure.nearest
    shares = [(best == own).double().mean().item() for best in every]
    assert heads == [f"right on {100 * share:.0f}\u00a0%" for share in shares]


# ---- from a drawing to 8 x 8 ---------------------------------------------------------------------


def normalized(bitmap):
    """NIST's norm_2nd_gen and shear_mis in NumPy, then the counts."""
    rows, columns = np.nonzero(bitmap)
    crop = bitmap[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    def picks(n, m):
        if n < m:  # each of n is repeated up to its rounded end
            ends = [int((k + 1) * m / n - 0.5) for k in range(n)]
            return [next(k for k, end in enumerate(ends) if end >= i) for i in range(m)]
        return [int(i * n / m + 0.5) for i in range(m)]

    box = np.zeros((34, 34), int)  # with a border of paper
    box[1:33, 7:27] = crop[picks(crop.shape[0], 32)][:, picks(crop.shape[1], 20)]

    def cross(box, reduce):
        around = np.stack([box, *(np.roll(box, s, axis) for axis in (0, 1) for s in (1, -1))])
        out = np.zeros_like(box)
        out[1:33, 1:33] = reduce(around, axis=0)[1:33, 1:33]
        return out

    pixels = box.sum()
    for _ in range(int(pixels > 412) + int(pixels > 560)):
        box = cross(box, np.min)
    for _ in range(int(pixels < 256) + int(pixels < 108)):
        box = cross(box, np.max)
    box = box[1:33, 1:33]
    inked = np.nonzero(box.any(axis=1))[0]
    top, bottom = inked[0] + 2, inked[-1] - 2
    if len(inked) > 5 and box[top].any() and box[bottom].any():
        slope = (int(box[top].argmax()) - int(box[bottom].argmax())) / (bottom - top)
        upright = np.zeros((32, 96), int)
        for y in range(32):
            shift = (y - 16) * slope
            push = int(shift + math.copysign(0.5, shift))
            upright[y, 32 + push : 64 + push] = box[y]
        box = upright[:, 32:64]
    return box.reshape(8, 4, 8, 4).sum(axis=(1, 3))


def strokes(points, radius, n=128):
    """A line of round pen strokes, as a bitmap."""
    y, x = np.mgrid[0.5:n, 0.5:n]
    bitmap = np.zeros((n, n), bool)
    for (ax, ay), (bx, by) in zip(points, points[1:], strict=False):
        a, d = np.array([ax, ay]) * n, np.array([bx - ax, by - ay]) * n
        along = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1]) / max(d @ d, 1e-9), 0, 1)
        far = np.hypot(x - a[0] - along * d[0], y - a[1] - along * d[1])
        bitmap |= far <= radius
    return bitmap.astype(int)


DRAWINGS = {
    "seven": SEVEN,
    "slanted one": [(0.7, 0.1), (0.3, 0.9)],
    "leaning back": [(0.2, 0.1), (0.75, 0.9)],
    "upright one": [(0.5, 0.15), (0.5, 0.85)],
    "small two": [(0.4, 0.45), (0.5, 0.4), (0.55, 0.5), (0.4, 0.6), (0.58, 0.6)],
    "wide": [(0.05, 0.5), (0.95, 0.52)],
    "dot": [(0.5, 0.5), (0.5, 0.5)],
    "at the edge": [(0, 0), (1, 1), (0, 1)],
}


@pytest.mark.parametrize("drawn", DRAWINGS)
def test_a_drawing_becomes_8_by_8_as_the_data_set_was_made(opened, book_site, drawn):
    script = book_site.one_script("digit-pad").replace('define("digit-pad", DigitPad);', "")
    points = json.dumps(DRAWINGS[drawn])
    given = f"const points = {points}, bitmap = new Uint8Array(128 ** 2);"
    given += "points.slice(1).forEach((point, i) => ink(bitmap, points[i], point));"
    given += "globalThis.answer = [[...bitmap], blocks(bitmap)];"
    opened.add_script_tag(type="module", content=script + given)
    opened.wait_for_function("globalThis.answer")
    bitmap, counts = opened.evaluate("globalThis.answer")
    expected = strokes(DRAWINGS[drawn], 6.6)
    assert (np.array(bitmap).reshape(128, 128) == expected).all()
    assert (np.array(counts).reshape(8, 8) == normalized(expected)).all()
    assert sum(counts) > 100


def test_the_data_set_looks_as_if_it_was_made_so(figure):
    """Its digits reach from top to bottom, stand upright at the left, and have as much ink."""
    ink = 255 - torch.tensor(np.array([np.asarray(p)[..., 0] for p in figure.digits.pictures]))
    ink = (ink.double() * 16 / 255).round()
    assert (ink[:, 0].sum(1) > 0).all() and (ink[:, 7].sum(1) > 0).all()
    first = [(ink[:, row] >= 2).int().argmax(dim=1) for row in (0, 7)]
    assert ((first[0] - first[1]).abs() <= 1).double().mean() > 0.99
    total = ink.sum((1, 2))
    assert ((256 <= total) & (total <= 412)).double().mean() > 0.9


# ---- the page ------------------------------------------------------------------------------------


def test_the_first_answer_comes_with_the_page_and_tiny_when_it_is_used(opened, element, figure):
    check(element, figure)
    assert not [url for url in opened.asked if "tiny/" in url or "worker" in url]
    press(element, 2)
    assert [url for url in opened.asked if url.endswith("tiny/model.safetensors")]


def test_it_works_by_keyboard(opened, element, figure):
    element.locator(".dp-sheet").focus()
    opened.keyboard.press("ArrowRight")  # moves the pen, and draws nothing
    assert element.locator(".dp-answer").inner_text().startswith("This ")
    assert "Shift" in element.locator(".dp-here").inner_text()
    for _ in range(12):
        opened.keyboard.press("Shift+ArrowDown")
    settle(element)
    check(element, figure)
    assert element.locator(".dp-answer").inner_text().startswith("Your digit")
    for _ in range(2):
        opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    settle(element)
    assert element.locator("[aria-pressed=true]").get_attribute("data-i") == "1"


def test_two_on_a_page_keep_apart(opened, element):
    second = opened.locator(NAME).last
    before = second.inner_text()
    draw(element, SEVEN)
    assert second.inner_text() == before
    kept = element.inner_text()
    opened.evaluate("document.documentElement.dataset.theme = 'dark'")
    opened.evaluate(f"document.body.append(document.querySelector('{NAME}'))")
    assert opened.locator(NAME).last.inner_text() == kept


@pytest.mark.parametrize(
    "opened",
    [{}, {"viewport": {"width": 390, "height": 1400}, "has_touch": True}],
    indirect=True,
    ids=["desk", "phone"],
)
def test_it_keeps_its_height_and_is_large_enough(opened, element):
    height = element.bounding_box()["height"]
    assert not any(element.evaluate(UNMARKED))
    for use in (
        lambda: press(element, 4),
        lambda: draw(element, SEVEN),
        lambda: element.get_by_role("button", name="Clear").click(),
        lambda: element.locator(".dp-sheet").focus(),
    ):
        use()
        assert element.bounding_box()["height"] == pytest.approx(height, abs=0.5)
        assert element.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert [each for each in element.evaluate(LETTERS) if each[1] < 11] == []
    assert [each for each in element.evaluate(TARGETS) if min(each[1:]) < 24] == []


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_there_are_a_digit_and_its_answers(opened, figure):
    element = opened.locator(NAME).first
    assert "A handwritten 7" in element.locator("img").get_attribute("alt")
    assert element.locator("img").bounding_box()["height"] == 160
    test = figure.digits.test.tolist().index(figure.shown[0])
    cells = element.locator("td").all_inner_texts()
    every = figure.as_is["best"], figure.taught["best"], figure.nearest
    assert cells[::2] == [str(best[test].item()) for best in every]


def test_what_fails_is_said_and_the_pixels_still_answer(opened, element):
    opened.route("**/tiny/model.safetensors", lambda route: route.fulfill(status=404))
    element.locator(".dp-presets button").nth(1).click()
    opened.wait_for_function(
        f"document.querySelector('{NAME} .dp-help').innerText.includes('no model.safetensors')"
    )
    assert element.locator(".dp-best").all_inner_texts() == ["–", "–", "0"]
    assert element.locator(".dp-answer").inner_text() == "This 0: the nearest known digit is 0."
    opened.unroute("**/tiny/model.safetensors")
    press(element, 2)  # the next one tries again
    assert "500 test digits" in element.locator(".dp-help").inner_text()
