"""Training in the page: what is seen and said, by each loss; pause, steps, phone, calm, no script.

Its numbers are compared with PyTorch's in test_small_world_js.py.
"""

import itertools
import re
from math import isnan

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/08_losses.html"
READY = "siglip-small-world .sw-curve[d]"
END = "document.querySelector('.sw-count').innerText === 'step 100 of 100'"


def press(page, name):
    """Opens what is behind "more", if need be."""
    if name in ("Start over", "One step"):
        page.locator(".sw-run details").evaluate("e => (e.open = true)")
    page.locator("siglip-small-world").get_by_role("button", name=name, exact=True).click()


def choose(page, kind, i):
    page.locator(".sw-run details").evaluate("e => (e.open = true)")
    page.locator(f"siglip-small-world [data-kind={kind}]").nth(i).click()


def numbers(page):
    """Best is own, yes to own (0 to 1), yes to others, t, b, own and other cosine, loss.

    NaN where a softmax gives neither a yes nor a no.
    """
    texts = page.locator(".sw-numbers b").all_inner_texts()
    texts += page.locator(".sw-last").evaluate_all("all => all.map((e) => e.textContent)")
    texts = [text.replace("\u2212", "-").replace("\u2013", "nan") for text in texts]
    best, own, others, scalars, *last = texts
    t, b = scalars.split(", ")
    found = [best.rstrip("% \u00a0"), own.rstrip("% \u00a0"), others.split()[0], t, b, *last]
    best, own, *rest = map(float, found)
    return [best / 100, own / 100, *rest]


def trained(page, loss, bias=0, seed=0):
    """The numbers after all steps, and the words."""
    choose(page, "loss", loss)
    choose(page, "bias", bias)
    choose(page, "seed", seed)
    if page.locator(".sw-train").inner_text() != "Pause":
        page.locator(".sw-train").click()
    page.wait_for_function(END, timeout=60_000)
    return numbers(page), page.locator(".sw-readout").inner_text()


@pytest.fixture
def calm(browser, url):
    """For a reader who wants no motion, the training runs without being shown."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    page.goto(f"{url}/{PAGE}")
    page.wait_for_selector(READY)
    yield page
    page.close()


def dots(page, side):
    """The cosines at which the dots are drawn."""
    path = page.locator(f".sw-dots.sw-{side}").get_attribute("d")
    return [2 * (float(x) - 34) / 338 - 1 for x in re.findall(r"M([\d.]+) ", path)]


def mean(values):
    return sum(values) / len(values)


def test_it_trains_once_by_itself_when_it_is_seen(page):
    page.wait_for_function(END, timeout=60_000)
    assert numbers(page)[0] > 0.95 and "have parted" in page.locator(".sw-readout").inner_text()
    press(page, "Start over")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(200)
    page.locator(".sw-pairs").scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    assert page.locator(".sw-count").inner_text() == "step 0 of 100"


def test_where_no_motion_is_wanted_it_waits(calm):
    calm.locator(".sw-pairs").scroll_into_view_if_needed()
    calm.wait_for_timeout(500)
    assert calm.locator(".sw-count").inner_text() == "step 0 of 100"
    best, yes_own, yes_others, t, b, own, others, _ = numbers(calm)
    assert best < 0.02 and yes_own == yes_others == 0 and (t, b) == (10, -10)
    assert abs(own - others) < 0.05
    assert "Nothing is learned yet" in calm.locator(".sw-readout").inner_text()
    pressed = calm.locator("siglip-small-world [aria-pressed=true]").all_text_contents()
    assert pressed == ["sigmoid", "\u221210", "0"]


def test_the_good_start_parts_own_from_others(calm):
    (best, yes_own, yes_others, _, _, own, others, loss), words = trained(calm, 0)
    assert best > 0.95 and 0 < yes_own < 1 and yes_others < 0.5
    assert own > 0.8 and abs(others) < 0.1 and loss < 3
    assert words.startswith(f"After 100 steps, {100 * best:.0f}\u00a0% of the photos find")
    assert words.endswith("Own and other pairs have parted.")
    assert len(dots(calm, "own")) == 256 and len(dots(calm, "others")) == 768
    assert mean(dots(calm, "own")) == pytest.approx(own, abs=0.01)
    assert mean(dots(calm, "others")) == pytest.approx(others, abs=0.05)


def test_where_b_begins_at_0_own_and_others_fall_together(calm):
    choose(calm, "bias", 1)
    for _ in range(5):
        press(calm, "One step")
    *_, own, others, _ = numbers(calm)
    assert own < -0.4 and others < -0.4
    (best, yes_own, _, _, b, own, others, _), words = trained(calm, 0, bias=1)
    assert best < 0.2 and yes_own == 0 and abs(b) < 0.5
    assert own < -0.2 and others < -0.2 and "fallen together" in words


def test_only_the_diagonal_gathers_everything_in_one_place(calm):
    (best, yes_own, yes_others, _, _, own, others, loss), words = trained(calm, 2)
    assert own > 0.99 and others > 0.95 and loss < 0.1
    assert yes_own == 1 and yes_others > 250 and best < 0.6
    assert "everything is a yes" in words


def test_a_softmax_parts_them_and_never_teaches_b(calm):
    numbers, words = trained(calm, 1)
    best, yes_own, yes_others, _, b, own, others, _ = numbers
    assert best > 0.95 and own > 0.9 and abs(others) < 0.1 and b == -9.9  # AdamW's decay alone
    assert isnan(yes_own) and isnan(yes_others) and "never teaches b" in words
    assert calm.locator(".sw-none").is_visible() and calm.locator(".sw-curve").is_hidden()
    choose(calm, "loss", 0)
    assert calm.locator(".sw-none").is_hidden() and calm.locator(".sw-curve").is_visible()
    (same, *_), _ = trained(calm, 1, bias=1)
    assert same == best


def test_a_seed_gives_the_same_run_and_another_seed_another(calm):
    (*first, loss), _ = trained(calm, 0, seed=1)
    press(calm, "Train again")
    calm.wait_for_function(END, timeout=60_000)
    assert numbers(calm) == [*first, loss]
    assert trained(calm, 0, seed=2)[0] != [*first, loss]


def test_training_is_seen_and_can_be_paused(page):
    press(page, "Start over")
    press(page, "Train")
    page.wait_for_function("document.querySelector('.sw-count').innerText.startsWith('step 3 ')")
    assert page.locator(".sw-readout").inner_text() == "Training …"
    press(page, "Pause")
    count = page.locator(".sw-count").inner_text()
    page.wait_for_timeout(400)
    assert page.locator(".sw-count").inner_text() == count
    steps = int(count.split()[1])
    said = page.locator(".sw-readout").inner_text()
    assert said.startswith(f"Paused after {steps} of 100 steps: so far ")
    press(page, "One step")
    assert page.locator(".sw-count").inner_text() == f"step {steps + 1} of 100"
    press(page, "Go on")
    page.wait_for_function(END, timeout=60_000)
    page.wait_for_timeout(500)  # the dots come to rest
    *_, own, _, _ = numbers(page)
    assert mean(dots(page, "own")) == pytest.approx(own, abs=0.01)
    points = page.locator(".sw-line.sw-own").get_attribute("d").count("L")
    assert points == 100
    press(page, "Start over")
    assert page.locator(".sw-count").inner_text() == "step 0 of 100"
    assert page.locator(".sw-line.sw-own").get_attribute("d").count("L") == 0


def test_a_choice_begins_anew_and_never_runs(page):
    """Before a run, while one is on, after one was paused, and after one has ended."""

    def chosen(kind, i):
        choose(page, kind, i)
        page.wait_for_timeout(400)  # longer than a step takes
        assert page.locator(".sw-count").inner_text() == "step 0 of 100"
        assert page.locator(".sw-train").inner_text() == "Train"
        assert "Press Train" in page.locator(".sw-readout").inner_text()

    chosen("bias", 1)
    press(page, "Train")
    page.wait_for_function("document.querySelector('.sw-count').innerText.startsWith('step 2 ')")
    chosen("loss", 2)
    press(page, "One step")
    assert page.locator(".sw-readout").inner_text().startswith("Paused after 1 of 100 steps")
    assert page.locator(".sw-train").inner_text() == "Go on"
    chosen("bias", 0)
    press(page, "Train")
    page.wait_for_function(END, timeout=60_000)
    assert page.locator(".sw-train").inner_text() == "Train again"
    chosen("seed", 1)


def test_the_run_before_stays_in_sight(calm):
    ghost, line = (calm.locator(f".sw-{kind}") for kind in ("ghost-own", "line.sw-own"))
    assert ghost.get_attribute("d") is None
    assert "after a run" in calm.locator(".sw-before").inner_text()
    (best, *_), _ = trained(calm, 0)
    first = line.get_attribute("d")
    trained(calm, 1)
    assert ghost.get_attribute("d") == first != line.get_attribute("d")
    said = calm.locator(".sw-before").inner_text()
    assert said.startswith("Pale: the run before (sigmoid, b from −10, seed 0), ")
    assert f"{100 * best:.1f}\u00a0% best is own" in said


def test_by_keyboard(calm):
    calm.locator(".sw-train").focus()
    calm.keyboard.press("Enter")
    calm.wait_for_function(END, timeout=60_000)
    calm.keyboard.press("Tab")
    calm.keyboard.press("Space")  # more
    calm.keyboard.press("Tab")
    calm.keyboard.press("Space")  # start over
    assert calm.locator(".sw-count").inner_text() == "step 0 of 100"


def test_the_page_stays_awake(page):
    """Between any two steps it does what else is due, although each has eight million products."""
    page.evaluate("""() => {
      globalThis.seen = new Set();
      const count = document.querySelector(".sw-count");
      setInterval(() => seen.add(count.textContent), 1);
    }""")
    press(page, "Start over")
    press(page, "Train")
    page.wait_for_function(END, timeout=60_000)
    assert page.evaluate("seen.size") >= 50


def test_it_keeps_its_size_and_fits_a_phone(calm, phone):
    for view in (calm, phone):
        element = view.locator("siglip-small-world")
        before = element.bounding_box()
        for loss, bias in [(0, 1), (1, 0), (2, 0)]:
            choose(view, "loss", loss)
            choose(view, "bias", bias)
            press(view, "One step")
            press(view, "One step")
            assert element.bounding_box()["height"] == before["height"]
        trained(view, 1)
        assert element.bounding_box()["height"] == before["height"]
        for part in (".sw-pairs", ".sw-chart", ".sw-numbers span", ".sw-row", ".sw-row button"):
            for box in (each.bounding_box() for each in view.locator(part).all()):
                assert box["x"] >= before["x"]
                assert box["x"] + box["width"] <= before["x"] + before["width"]


def test_words_stay_apart(calm, phone):
    for view in (calm, phone):
        words = view.locator("siglip-small-world :is(.sw-drawings text, .sw-count)")
        boxes = [box for each in words.all() if (box := each.bounding_box())]
        for a, b in itertools.combinations(boxes, 2):
            beside = a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]
            upper, lower = sorted((a, b), key=lambda box: box["y"])
            # A box has room above and below its letters.
            stacked = upper["y"] + 0.8 * upper["height"] <= lower["y"] + 0.2 * lower["height"]
            assert beside or stacked, (a, b)


def test_readers_without_scripts_learn_what_it_shows(without_scripts):
    words = without_scripts.locator("siglip-small-world").inner_text()
    assert "fall together to −0.6" in words and "98\u00a0%" in words and "one place" in words
