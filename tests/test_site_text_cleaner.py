"""The text cleaner in a browser: it cleans, cuts and pads as the library does."""

import re
import string

import pytest
from sentencepiece import SentencePieceProcessor

from siglip_lab.tokenizer import Tokenizer, canonicalize

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/03_text.html"
READY = "siglip-text-cleaner .tc-row span"
TEXTS = [
    "",
    "   ",
    "a",
    "This is a photo of 2 red circles.",
    "hot_dog",
    "A PHOTO,   of: (a) CAT!",
    "the evening hearth",
    "don't stop me now; 3.5 km",
    "🐈",
    "a 🐈🐕 and 👩‍🔬 x",
    "漢字 and кот",
    "Zürich ÜBER cafés, Straße",
    "ﬁ ½ ™ Ⅷ ｗｉｄｅ ～ e\u0301",
    "tabs\tand\u00a0odd\u3000spaces\u200b.",
    "▁a▁b",
    "cat</s>dog",
    "</s>",
    "<unk> a <unk>漢",
    "<b>&amp; \"quoted\" 'text'</b>",
    "ΣΊΣΥΦΟΣ İstanbul",
    string.printable.strip(),
    " ".join(["a red circle"] * 30),
    "supercalifragilisticexpialidocious" * 4,
]


@pytest.fixture(scope="module")
def path(root):
    return root / "siglip_lab/tiny/spiece.model"


@pytest.fixture(scope="module")
def page(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{url}/{PAGE}")
    page.wait_for_selector("siglip-text-cleaner .tc-row span")
    yield page
    page.close()


def show(page, text, cleaning=0, places=16):
    page.locator("siglip-text-cleaner .tc-places label", has_text=f"{places} positions").click()
    page.locator(f"siglip-text-cleaner input[name$='-cleaning'][value='{cleaning}']").check()
    page.locator("siglip-text-cleaner .tc-field input").evaluate(
        "(e, t) => { e.value = t; e.dispatchEvent(new Event('input', {bubbles: true})); }", text
    )
    shown = page.evaluate(
        """() => { const all = (q) => [...document.querySelectorAll("siglip-text-cleaner " + q)];
        return {
          cleaned: all(".tc-cleanings code").map((e) => e.textContent),
          pieces: all(".tc-pieces b").map((e) => e.textContent),
          ids: all(".tc-pieces i").map((e) => Number(e.textContent)),
          row: all(".tc-row span").map((e) => Number(e.textContent)),
          readout: all(".tc-readout")[0].textContent }; }"""
    )
    return shown


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_and_ids_equal_the_library(page, path, text):
    for places in (16, 64):
        tokenizer = Tokenizer(path, places)
        text = re.sub(r"[\n\r]", "", text)  # what a field of one line drops
        shown = show(page, text, places=places)
        assert shown["pieces"] == tokenizer.pieces(text)
        assert shown["ids"] == tokenizer.encode(text)
        assert shown["row"] == tokenizer(text)[0].tolist()


@pytest.mark.parametrize("text", ["A Hot_Dog!", "don't", "3.5  km", "___"])
def test_three_cleanings(page, path, text):
    collapsed = canonicalize(text.replace("_", " "))
    expected = [canonicalize(text), collapsed, text.lower()]
    library = SentencePieceProcessor(model_file=str(path))
    for i, clean in enumerate(expected):
        shown = show(page, text, cleaning=i)
        assert shown["cleaned"] == [each or "(nothing)" for each in expected]
        assert shown["pieces"] == library.encode(clean, out_type=str) + ["</s>"]


def test_the_readout_counts(page):
    assert (
        "5 pieces in 16 positions; 11 padded with id 1" in show(page, "a photo of a cat")["readout"]
    )
    assert "59 padded" in show(page, "a photo of a cat", places=64)["readout"]
    assert "the last 75 are cut off" in show(page, "a red circle " * 30)["readout"]


def test_keyboard(page):
    show(page, "")
    page.locator("siglip-text-cleaner .tc-field input").focus()
    page.keyboard.type("A Cat")
    pieces = page.locator("siglip-text-cleaner .tc-pieces b")
    assert pieces.all_inner_texts() == ["▁a", "▁cat", "</s>"]
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # the second example
    page.keyboard.press("Enter")
    assert page.locator("siglip-text-cleaner .tc-field input").input_value() == "hot_dog"
    page.locator("siglip-text-cleaner input[name$='-cleaning']").first.focus()
    page.keyboard.press("ArrowDown")
    assert "▁dog" in pieces.all_inner_texts()
    page.locator("siglip-text-cleaner input[name$='-places']").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("siglip-text-cleaner .tc-row span").count() == 64


@pytest.mark.parametrize(
    ("caption", "fits"),
    [("2 red circles", 0), ("three blue stars", 1), ("a heart", 2), ("hot_dog", None)],
)
def test_the_model_scores_the_caption(page, caption, fits):
    field = page.locator("siglip-text-cleaner .tc-field input")
    height = page.locator("siglip-text-cleaner").bounding_box()["height"]
    field.fill(caption)
    scores = page.locator("siglip-text-cleaner .tc-scores output")
    names = ["2 red circles", "3 blue stars", "a green heart"]
    name = "none of the three" if fits is None else names[fits]
    page.get_by_text(f"It fits {name}, says the model.").wait_for()
    shares = [float(text.removesuffix("\u00a0%")) for text in scores.all_inner_texts()]
    assert [share > 50 for share in shares] == [i == fits for i in range(3)]
    assert page.locator("siglip-text-cleaner").bounding_box()["height"] == height


def test_a_phone_shows_all_of_it(phone):
    show(phone, "supercalifragilistic " * 8, cleaning=2, places=64)
    box = phone.locator("siglip-text-cleaner").bounding_box()
    inner = phone.evaluate(
        """() => Math.max(...[...document.querySelectorAll("siglip-text-cleaner *")]
        .map((e) => e.getBoundingClientRect().right))"""
    )
    assert inner <= box["x"] + box["width"] <= 390


def test_readers_without_scripts_see_the_pieces(without_scripts):
    text = without_scripts.locator("siglip-text-cleaner").inner_text()
    assert "This is a photo of a hot_dog!" in text and "▁photo" in text
