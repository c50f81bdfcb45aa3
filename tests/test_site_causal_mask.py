"""The causal mask in a browser: tokens of the library, and who sees whom."""

import pytest

from siglip_lab.clip import Tokenizer

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/13_clip.html"
READY = "siglip-causal-mask .cm-readout:not(:empty)"
SHOWN = 10  # positions


def mask(page):
    return page.locator("siglip-causal-mask")


def choose(page, name):
    mask(page).get_by_role("button", name=name, exact=True).first.click()


def said(page):
    return page.locator(".cm-readout").inner_text()


def filled(page):
    """`[rows][columns]` of what the cells show: text, padding, or nothing."""
    kinds = page.locator(".cm-grid i").evaluate_all(
        "all => all.map((e) => e.className.match(/cm-(text|padding)/)?.[1] ?? '')"
    )
    return [kinds[i : i + SHOWN] for i in range(0, SHOWN**2, SHOWN)]


def tokens(page):
    return page.locator(".cm-grid button").all_inner_texts()


@pytest.mark.parametrize("caption", ["a cat", "a photo of a cat", "two giraffes"])
def test_each_token_sees_itself_and_what_is_before_it(page, caption):
    choose(page, caption)
    choose(page, "causal mask")
    pieces = [piece.removesuffix("</w>") for piece in Tokenizer().pieces(caption)[1:-1]]
    end = len(pieces) + 1
    assert tokens(page)[: end + 1] == ["start", *pieces, "end"]
    assert set(tokens(page)[end + 1 :]) == {"0"}
    kinds = ["text" if i <= end else "padding" for i in range(SHOWN)]
    seen = [[kinds[j] if j <= i else "" for j in range(SHOWN)] for i in range(SHOWN)]
    assert filled(page) == seen
    assert f"{end + 1} of 77 positions, no padding. The text is read here." in said(page)
    choose(page, "no mask")
    assert filled(page) == [kinds] * SHOWN
    assert said(page) == (
        f"“end” sees all 77 positions: {end + 1} of text and {76 - end} of padding."
        " The text is read here."
    )


def test_a_pressed_token_lights_its_row_and_the_tokens_that_it_sees(page):
    choose(page, "a cat")
    choose(page, "causal mask")
    choose(page, "cat")
    assert said(page) == "“cat” sees start, a and cat: 3 of 77 positions, no padding."
    lit = page.locator(".cm-grid b").evaluate_all("a => a.map((e) => e.matches('.cm-lit'))")
    assert lit == [True] * 3 + [False] * 7
    bright = page.locator(".cm-grid i:not(.cm-pale)")
    assert set(bright.evaluate_all("all => all.map((e) => e.dataset.row)")) == {"2"}
    page.locator(".cm-grid i[data-row='5']").first.click()
    assert said(page) == (
        "The padding at position 5 sees all of the text: 6 of 77 positions,"
        " 2 of them padding. Nothing is read here."
    )


def test_the_green_row_is_that_of_the_end(page):
    for caption in ("two giraffes", "a cat"):
        choose(page, caption)
        end, frame = page.locator(".cm-grid :is(button.cm-end, .cm-read)").evaluate_all(
            "all => all.map((e) => e.getBoundingClientRect()).map((e) => e.top + e.height / 2)"
        )
        assert end == pytest.approx(frame, abs=1)


def test_the_keyboard_goes_from_token_to_token(page):
    choose(page, "a cat")
    choose(page, "causal mask")
    page.locator(".cm-grid button").first.focus()
    for word in ("start", "a", "cat", "end"):
        assert said(page).startswith(f"“{word}” sees start")
        page.keyboard.press("Tab")


@pytest.mark.parametrize("caption", ["It's a København cat, 26!", "unbelievable", "", "q"])
def test_a_typed_caption_has_the_librarys_tokens(page, caption):
    page.locator("siglip-causal-mask input").fill(caption)
    page.wait_for_function(
        "(c) => document.querySelector('siglip-causal-mask').caption === c", arg=caption
    )
    pieces = [piece.removesuffix("</w>") for piece in Tokenizer().pieces(caption)[1:-1]]
    fit = pieces[: SHOWN - 2]
    assert tokens(page)[: len(fit) + 2] == ["start", *fit, "end"]
    lost = len(pieces) - len(fit)
    assert (f"{lost} token" in page.locator(".cm-help").inner_text()) == bool(lost)


def test_from_a_file_it_says_why_there_are_only_these_captions(browser, site):
    page = browser.new_page()
    page.goto((site / PAGE).as_uri())
    page.locator("siglip-causal-mask input").fill("a platypus")
    page.get_by_text("opened from a file cannot load the list").wait_for()
    choose(page, "two giraffes")
    assert "6 of 77" in said(page) or "5 of 77" in said(page)
    page.close()


def test_readers_without_scripts_see_both_masks(without_scripts):
    drawing = without_scripts.locator("siglip-causal-mask svg")
    assert drawing.bounding_box()["width"] > 300
    assert "framed in green" in drawing.get_attribute("aria-label")
