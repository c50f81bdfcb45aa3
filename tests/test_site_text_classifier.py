"""The classifier made of text in a browser: the products are those of the library."""

import json

import pytest
import torch

import siglip_lab as sl
from siglip_lab.toy.shapes_world import Combination, draw, random_scene

pytestmark = [pytest.mark.site, pytest.mark.browser]

NAME = "siglip-text-classifier"


@pytest.fixture
def figure(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{url}/notebooks/13_clip.html")
    figure = page.locator(NAME)
    figure.scroll_into_view_if_needed()
    page.wait_for_selector(f"{NAME} .cl-answer:not(:empty)")
    yield figure
    page.close()


def products(figure):
    return [float(p.replace("−", "-")) for p in figure.locator("output").all_inner_texts()]


def scene(figure):
    """The first drawing, as a picture for the library."""
    items = json.loads(figure.get_attribute("data-json"))["scene"]["items"]
    drawn = random_scene("test 1", Combination(len(items), "red", "heart"))
    assert [(i["x"], i["y"]) for i in items] == [tuple(c) for c in drawn.centres]
    return draw(drawn)


def wait(figure, before):
    figure.page.wait_for_function(
        "([name, before]) => [...document.querySelectorAll(`${name} output`)]"
        ".map((e) => e.innerText).join() !== before",
        arg=[NAME, ",".join(before)],
    )


def test_products_are_the_library_s(figure):
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    labels = figure.locator("input").evaluate_all("all => all.map(e => e.value)")
    image = sl.embed_images(model, processor, [scene(figure)])[0]

    def expected(template):
        texts = sl.embed_texts(model, processor, [template.format(label) for label in labels])
        return pytest.approx((texts @ image).tolist(), abs=0.011)

    assert products(figure) == expected("This is a photo of {}.")
    before = figure.locator("output").all_inner_texts()
    figure.get_by_role("button", name="not {}", exact=True).click()
    wait(figure, before)
    assert products(figure) == expected("not {}")
    before = figure.locator("output").all_inner_texts()
    labels[2] = "a red heart"
    figure.locator("input").nth(2).fill(labels[2])
    wait(figure, before)
    assert products(figure) == expected("not {}")


def test_bars_are_as_long_as_the_products(figure):
    figure.locator(".cl-bar i").evaluate_all("all => all.map((e) => (e.style.transition = 'none'))")
    rows = figure.locator(".cl-label")
    zeros, lengths = [], []
    for i, product in enumerate(products(figure)):
        bar = rows.nth(i).locator("i").bounding_box()
        zeros.append(bar["x"] + (0 if product > 0 else bar["width"]))
        lengths.append(bar["width"] if product > 0 else -bar["width"])
    assert zeros == pytest.approx([zeros[0]] * len(zeros), abs=1)
    scale = max(map(abs, lengths)) / max(map(abs, products(figure)))
    assert lengths == pytest.approx([scale * each for each in products(figure)], abs=1.5)


def test_the_largest_product_is_the_answer(figure):
    best = int(torch.tensor(products(figure)).argmax())
    label = figure.locator("input").nth(best).input_value()
    assert figure.locator(".cl-answer").inner_text() == label
    assert figure.locator(".cl-prompt").inner_text() == f"“This is a photo of {label}.”"
    assert figure.locator(".cl-best input").input_value() == label
    before = figure.locator("output").all_inner_texts()
    figure.get_by_role("button", name="Another drawing").click()
    wait(figure, before)
    assert figure.locator(".cl-drawing").get_attribute("aria-label") != "3 red hearts"


def test_another_drawing_leaves_what_the_reader_typed(figure):
    fields = figure.locator("input")
    given = fields.evaluate_all("all => all.map(e => e.value)")
    fields.nth(1).fill("a red heart")
    fields.nth(3).fill("")
    fields.nth(4).fill("something else")
    fields.nth(4).fill(given[4])  # as it was: it may follow again
    for _ in range(3):
        figure.get_by_role("button", name="Another drawing").click()
        now = fields.evaluate_all("all => all.map(e => e.value)")
        assert now[1] == "a red heart" and now[3] == ""
        assert now[0] == figure.locator(".cl-drawing").get_attribute("aria-label")
        assert all(now[i] != given[i] for i in (0, 2, 4, 5))
        assert figure.evaluate("e => e.labels") == now
        given = now


def test_an_empty_label_and_odd_words(figure):
    for text in ("", "<b>&amp;</b>", "{}{}", "漢字 🐈", "a" * 60):
        before = figure.locator("output").all_inner_texts()
        figure.locator("input").first.fill(text)
        wait(figure, before)
        assert all(-1 <= p <= 1 for p in products(figure))
    assert "<b>" not in figure.locator(".cl-answer").inner_html()


def test_an_old_answer_is_not_told_of_a_new_question(figure):
    said = figure.locator(".cl-answer").inner_text()
    figure.page.route("**/model/**", lambda route: None)  # it never comes
    figure.get_by_role("button", name="Another drawing").click()
    assert "cl-waiting" in figure.get_attribute("class")
    assert figure.locator(".cl-answer").inner_text() == said
    assert figure.locator(".cl-answer").evaluate("e => getComputedStyle(e).opacity") == "0.35"


def test_a_row_shows_what_its_product_is_the_sum_of(figure):
    rows, drawn = figure.locator(".cl-label"), set()

    def check(i):
        assert (
            figure.locator(".cl-terms small").inner_text()
            == rows.nth(i).locator("input").input_value()
        )
        assert (
            figure.locator(".cl-terms b").inner_text() == rows.nth(i).locator("output").inner_text()
        )
        drawn.add(figure.locator(".cl-terms canvas").evaluate("e => e.toDataURL()"))

    who = figure.locator(".cl-terms span span")
    check(0)  # the answer's
    assert who.inner_text() == "the winner"
    rows.nth(5).hover()
    check(5)
    assert who.inner_text() == "pointed at"
    rows.nth(1).locator("input").focus()
    check(1)
    figure.page.mouse.move(0, 0)
    check(1)
    rows.nth(1).locator("input").blur()
    check(0)
    assert len(drawn) == 3


def test_a_prompt_is_whole_on_a_phone(figure):
    figure.page.set_viewport_size({"width": 390, "height": 844})
    prompt = figure.locator(".cl-prompt")
    assert prompt.evaluate(
        "e => e.scrollHeight <= e.clientHeight && e.scrollWidth <= e.clientWidth"
    )
