"""The figure to touch of the chapter "CLIP, line by line": merges as the library makes them."""

import json
import re

import pytest

from siglip_lab.clip import Tokenizer

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/13_clip.html"
READY = "siglip-merge-steps .ms-pieces b"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer()


def choose(page, word):
    page.locator("siglip-merge-steps").get_by_role("button", name=word, exact=True).click()


def move_to(page, step):
    page.locator("siglip-merge-steps input[name=step]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", step
    )


def shown(page, what="b"):
    return page.locator(f"siglip-merge-steps .ms-pieces {what}").all_inner_texts()


def last_step(page):
    return int(page.locator("siglip-merge-steps input[name=step]").get_attribute("max"))


def words(page):
    return list(json.loads(page.locator("siglip-merge-steps").get_attribute("data-json"))["words"])


def test_every_word_ends_in_the_librarys_pieces_and_ids(page, tokenizer):
    assert len(words(page)) == 12
    for word in words(page):
        choose(page, word)
        assert shown(page) == [*word[:-1], word[-1] + "</w>"]
        move_to(page, last_step(page))
        assert shown(page) == tokenizer.pieces(word)[1:-1]
        said = page.locator(".ms-readout").inner_text()
        assert ", ".join(map(str, tokenizer.encode(word)[1:-1])) in said


def test_each_step_joins_the_earliest_pair_of_the_list(page, tokenizer):
    lines = tokenizer.files()["merges.txt"].decode().splitlines()[1:]
    ranks = {tuple(line.split()): rank for rank, line in enumerate(lines)}
    for word in words(page):
        choose(page, word)
        for step in range(last_step(page) + 1):
            move_to(page, step)
            pieces = shown(page)
            pairs = list(zip(pieces, pieces[1:], strict=False))
            places = [f"{ranks[pair] + 1:,}" if pair in ranks else "–" for pair in pairs]
            assert shown(page, "i") == places
            known = [pair for pair in pairs if pair in ranks]
            if step == last_step(page):
                assert not known and not shown(page, ".ms-next")
                continue
            first = min(known, key=ranks.get)
            assert shown(page, ".ms-next") == [f"{ranks[first] + 1:,}"]
            at = pairs.index(first)
            move_to(page, step + 1)
            assert shown(page) == [*pieces[:at], "".join(first), *pieces[at + 2 :]]


@pytest.mark.parametrize(
    "word", ["platypus", "København", "naïve", "mississippi", "光合作用", "don't", "q"]
)
def test_a_typed_word_ends_in_the_librarys_pieces_and_ids(page, tokenizer, word):
    page.locator("siglip-merge-steps [type=text]").fill(word)
    first = re.match(r"[^\W\d_]+", word.lower())[0]
    page.wait_for_function(
        "(w) => document.querySelector('siglip-merge-steps').word === w", arg=first
    )
    move_to(page, last_step(page))
    assert shown(page) == tokenizer.pieces(first)[1:-1]
    said = page.locator(".ms-readout").inner_text()
    assert ", ".join(map(str, tokenizer.encode(first)[1:-1])) in said
    assert page.locator("siglip-merge-steps [aria-pressed=true]").count() == 0


def test_the_list_that_the_page_loads_gives_the_steps_that_came_with_it(page):
    page.locator("siglip-merge-steps [type=text]").fill("platypus")
    page.wait_for_function("document.querySelector('siglip-merge-steps').merges")
    same = page.evaluate(
        """() => { const { merges, data } = document.querySelector("siglip-merge-steps");
        return Object.entries(data.words).map(([word, steps]) =>
          JSON.stringify(merges.steps(word)) === JSON.stringify(steps)); }"""
    )
    assert same == [True] * 12


def test_from_a_file_it_says_why_there_are_only_these_words(browser, site):
    page = browser.new_page()
    page.goto((site / PAGE).as_uri())
    page.locator("siglip-merge-steps [type=text]").fill("platypus")
    page.get_by_text("opened from a file cannot load the list").wait_for()
    choose(page, "cat")
    assert shown(page) == ["c", "a", "t</w>"]
    page.close()


def test_keyboard(page):
    page.locator("siglip-merge-steps button").nth(1).focus()
    page.keyboard.press("Enter")
    before = shown(page)
    page.locator("siglip-merge-steps input[name=step]").focus()
    page.keyboard.press("ArrowRight")
    assert len(shown(page)) == len(before) - 1
    page.keyboard.press("End")
    assert "Done" in page.locator(".ms-readout").inner_text()


def test_nothing_is_wider_than_a_phone(phone):
    choose(phone, max(words(phone), key=len))
    box = phone.locator("siglip-merge-steps").bounding_box()
    right = phone.evaluate(
        """() => Math.max(...[...document.querySelectorAll("siglip-merge-steps *")]
        .map((e) => e.getBoundingClientRect().right))"""
    )
    assert right <= box["x"] + box["width"] <= 390


def test_no_line_ends_within_the_pair_that_is_joined_next(phone):
    for word in words(phone):
        choose(phone, word)
        for step in range(last_step(phone)):
            move_to(phone, step)
            boxes = [each.bounding_box() for each in phone.locator(".ms-joins, .ms-next").all()]
            middles = [box["y"] + box["height"] / 2 for box in boxes]
            assert len(boxes) == 3 and max(middles) - min(middles) < 3, (word, step)


def test_readers_without_scripts_see_one_word(without_scripts):
    assert "photograph</w>" in without_scripts.locator("siglip-merge-steps").inner_text()
