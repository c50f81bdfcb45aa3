"""Words that find pictures in a browser: what is found is what the library finds."""

import io
import json
import re

import one_figure
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from test_site_touch_room import LETTERS, TARGETS, UNMARKED

import siglip_lab as sl
from siglip_lab.figures import touch

pytestmark = [pytest.mark.browser]

NAME = "siglip-emoji-search"
WORDS = ["food", "a", "red heart", "Weather!", "something to eat", "女 🐈 & <b>Zürich</b>", ""]


@pytest.fixture(scope="module")
def figure():
    return touch.EmojiSearch()


@pytest.fixture(scope="module")
def served(root, book_site, figure, tmp_path_factory):
    """The folder of a site with the figure, and its address."""

    def add(extension, static):
        extension("tiny_model").write(static / "emoji", extension("emoji_model").files(figure))

    folder = tmp_path_factory.mktemp("emoji")
    with one_figure.site_of(figure, "emoji-search", root, book_site, folder, add) as address:
        yield folder, address


@pytest.fixture
def opened(request, browser, served):
    """The page, and all that it asked for."""
    options = {"viewport": {"width": 1280, "height": 1000}} | getattr(request, "param", {})
    ready = f"{NAME} .es-answer:not(:empty)"
    with one_figure.opened(browser, served[1], ready, **options) as page:
        yield page


@pytest.fixture
def element(opened):
    return opened.locator(NAME).first


def ask(element, text):
    """Type, and wait for what was found."""
    element.get_by_role("textbox").fill(text)
    element.page.wait_for_function(
        "([name, text]) => { const e = document.querySelector(name);"
        " return e.asked === text && !e.classList.contains('es-waiting') }",
        arg=[NAME, text],
    )


def press(element, i):
    element.locator(".es-grid button").nth(i).click()
    name = element.locator(".es-grid button").nth(i).get_attribute("title").rpartition(":")[0]
    element.page.wait_for_function(
        "([name, text]) => document.querySelector(`${name} .es-answer`).innerText.includes(text)",
        arg=[NAME, f"name of “{name}”"],
    )


def shown(element):
    """What the script holds: places, cosines and probabilities, of pictures and of names."""
    both = element.evaluate("e => [e.found, e.called]")
    return [
        [tuple(each[k] for k in ("place", "cosine", "probability")) for each in all_]
        for all_ in both
    ]


def check(found, cosines, model):
    """They are the best, the best first, but for what half precision cannot tell apart."""
    best = cosines.topk(len(found)).values.tolist()
    for (place, cosine, probability), expected in zip(found, best, strict=True):
        assert cosine == pytest.approx(cosines[place].item(), abs=2e-3)
        assert cosine == pytest.approx(expected, abs=2e-3)
        logit = model.logit_scale.exp() * cosine + model.logit_bias
        assert probability == pytest.approx(
            logit.sigmoid().item(), abs=0.02
        )  # a cosine's 2e-3, times t / 4
    assert len({place for place, *_ in found}) == len(found)


def test_what_is_found_is_what_the_library_finds(element, figure):
    processor = sl.Processor.from_pretrained("emoji")
    for text in WORDS:
        ask(element, text)
        found, called = shown(element)
        texts = sl.embed_texts(figure.model, processor, text)
        check(found, figure.images @ texts[0], figure.model)
        check(called, figure.texts @ figure.images[found[0][0]], figure.model)
    probabilities, places = sl.retrieve(figure.model, processor, "food", figure.images, k=12)
    ask(element, "food")
    assert {place for place, *_ in shown(element)[0][:3]} <= set(places[0].tolist())
    assert shown(element)[0][0][2] == pytest.approx(probabilities[0, 0].item(), abs=0.02)


def test_names_bars_and_pictures_are_those_of_the_answer(element, figure, served):
    ask(element, "fruit")
    found, called = shown(element)
    tiles = element.locator(".es-grid button")
    titles = tiles.evaluate_all("all => all.map(e => [e.title, e.innerText.trim()])")
    for (title, share), (place, cosine, probability) in zip(titles, found, strict=True):
        assert title == f"{figure.names[place]}: cosine {cosine:.2f}"
        assert int(share.replace("\u00a0%", "")) == pytest.approx(100 * probability, abs=0.51)
    names = element.locator(".es-name").all_inner_texts()
    assert [name.removesuffix(" ✓") for name in names] == [
        figure.names[place] for place, *_ in called
    ]
    assert element.locator(".es-answer").inner_text() == (
        f"The best picture for “fruit”: {figure.names[found[0][0]]}."
    )
    # The picture itself, as it is drawn: mostly the colours of the artist's drawing
    tiles.nth(1).scroll_into_view_if_needed()
    element.page.wait_for_load_state("networkidle")
    drawn = Image.open(io.BytesIO(tiles.nth(1).locator(".es-picture").screenshot()))
    drawn = drawn.convert("RGB").resize((10, 10), Image.Resampling.BOX)
    true = figure.drawings[found[1][0]].image.resize((10, 10), Image.Resampling.BOX)
    difference = torch.frombuffer(bytearray(drawn.tobytes()), dtype=torch.uint8).float()
    difference -= torch.frombuffer(bytearray(true.tobytes()), dtype=torch.uint8).float()
    assert difference.abs().mean() < 12


def test_a_picture_finds_names(element, figure):
    ask(element, "animal")
    press(element, 4)
    found, called = shown(element)
    check(called, figure.texts @ figure.images[found[4][0]], figure.model)
    own = figure.names[found[4][0]]
    assert element.locator(".es-answer").inner_text() == (
        f"The best name of “{own}”: {figure.names[called[0][0]]}."
    )
    right = element.locator(".es-right .es-name").all_inner_texts()
    said = element.locator(".es-true").inner_text()
    assert (right == [own] and not said) or (not right and said == f"Unicode calls it “{own}”.")
    assert element.locator(".es-grid [aria-pressed=true]").get_attribute("data-i") == "4"


def test_the_first_answer_comes_with_the_page_and_the_rest_when_it_is_used(opened, element, served):
    def fetched():
        return {name for name in map(lambda url: url.split("/_static/")[-1], opened.asked)}

    assert element.locator(".es-answer").inner_text().startswith("The best picture for “dog”: ")
    assert not [name for name in fetched() if "emoji/" in name or "worker" in name]
    said = float(re.search(r"\((\d\.\d) MB\)", element.locator(".es-help").inner_text())[1])
    ask(element, "house")
    opened.wait_for_load_state("networkidle")
    files = [*(served[0] / "_static/emoji").iterdir()]
    assert {f"emoji/{path.name}" for path in files} <= fetched()
    assert sum(path.stat().st_size for path in files) / 1e6 == pytest.approx(said, abs=0.05)
    assert "128 numbers" in element.locator(".es-help").inner_text()
    assert not [name for name in fetched() if "tiny/" in name]


def test_a_word_that_is_typed_on_has_only_its_own_answer(element, figure):
    element.get_by_role("textbox").press_sequentially("flowe")
    ask(element, "flower")
    direct = shown(element)
    ask(element, "house")
    ask(element, "flower")
    assert shown(element) == direct


def test_odd_words_are_words(element):
    ask(element, "<b>&amp;</b>")
    assert "<b>" not in element.locator(".es-answer").inner_html()
    ask(element, "  ")
    assert "an empty text" in element.locator(".es-answer").inner_text()
    ask(element, "w" * 80)
    assert element.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_it_works_by_keyboard(opened, element):
    element.get_by_role("textbox").focus()
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    opened.wait_for_function(f"document.querySelector('{NAME}').asked === 'food'")
    for _ in range(6):
        opened.keyboard.press("Tab")
    before = element.locator(".es-answer").inner_text()
    opened.keyboard.press("Space")
    opened.wait_for_function(
        "([name, before]) => document.querySelector(`${name} .es-answer`).innerText !== before",
        arg=[NAME, before],
    )
    assert opened.evaluate("document.activeElement.dataset.kind") == "picture"
    assert opened.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"


def test_two_on_a_page_keep_apart(opened):
    first, second = opened.locator(NAME).all()
    before = second.inner_text()
    ask(first, "sport")
    press(first, 3)
    assert second.inner_text() == before
    kept = first.inner_text()
    second.get_by_role("button", name="house").click()
    opened.wait_for_function(f"document.querySelectorAll('{NAME}')[1].asked === 'house'")
    assert first.inner_text() == kept
    opened.evaluate("document.documentElement.dataset.theme = 'dark'")
    opened.evaluate(f"document.body.append(document.querySelector('{NAME}'))")
    assert opened.locator(NAME).last.inner_text() == kept


@pytest.mark.parametrize(
    "opened",
    [{}, {"viewport": {"width": 390, "height": 800}, "has_touch": True}],
    indirect=True,
    ids=["desk", "phone"],
)
def test_it_keeps_its_height_and_is_large_enough(opened, element):
    height = element.bounding_box()["height"]
    assert not any(element.evaluate(UNMARKED))
    for text in ("food", "", "the strangest imaginable giraffe", "family"):
        ask(element, text)
        assert element.bounding_box()["height"] == pytest.approx(height, abs=0.5), text
        for i in (0, 7, 11):
            press(element, i)
            assert element.bounding_box()["height"] == pytest.approx(height, abs=0.5), (text, i)
        assert element.evaluate("e => e.scrollWidth <= e.clientWidth"), text
    assert [each for each in element.evaluate(LETTERS) if each[1] < 11] == []
    assert [each for each in element.evaluate(TARGETS) if min(each[1:]) < 24] == []


@pytest.mark.parametrize("opened", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_there_is_a_picture_of_a_result(opened, figure):
    element = opened.locator(NAME).first
    for each in figure.found:
        assert each["name"] in element.inner_text()
    picture = element.locator("img")
    assert picture.get_attribute("alt") and picture.bounding_box()["height"] > 20
    assert picture.evaluate("e => e.naturalWidth") == 12 * 40
    assert "Twemoji" in element.inner_text() and "CC-BY-4.0" in element.inner_text()


def test_what_fails_is_said(opened, element):
    opened.route("**/emoji/model.safetensors", lambda route: route.fulfill(status=404))
    element.get_by_role("button", name="house").click()
    opened.wait_for_function(
        f"document.querySelector('{NAME} .es-help').innerText.includes('no model.safetensors')"
    )
    opened.unroute("**/emoji/model.safetensors")
    ask(element, "sport")  # the next question tries again
    assert "128 numbers" in element.locator(".es-help").inner_text()


def test_the_file_is_the_text_tower_and_vectors_in_half_precision(served, figure):
    path = served[0] / "_static/emoji/model.safetensors"
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["names"]) == figure.names
        assert not [name for name in file.keys() if name.startswith("vision_model")]
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}
        assert torch.equal(file.get_tensor("image_embeds"), figure.images.half())
        for name, tensor in sl.SigLIP.from_pretrained("emoji").text_model.state_dict().items():
            assert torch.equal(file.get_tensor(f"text_model.{name}"), tensor)


@pytest.mark.site
def test_the_site_has_what_the_figure_fetches(site):
    names = {path.name for path in (site / "_static/emoji").iterdir()}
    assert names == {"model.safetensors", "vocabulary.txt", "pictures.webp"}
