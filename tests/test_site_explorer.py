"""The explorer in a browser: its answers against PyTorch's, and all that a reader can do."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import siglip_lab as sl
from siglip_lab.figures import touch
from siglip_lab.toy.shapes_world import all_combinations, draw, random_scene

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "index.html"
READY = "siglip-explorer .ex-caption"
STATIONS = [
    "pixels", "patches", "tokens", "attention", "probe", "image-vector", "pieces", "text-tokens",
    "text-attention", "last-token", "text-vector", "product", "probability",
]  # fmt: skip
EXPLORER = "document.querySelector('siglip-explorer')"
SHOWN = re.compile(r"([\d.]+)\s%")


@pytest.fixture(scope="module")
def model():
    """tiny as the page has it: weights in half precision."""
    model = sl.SigLIP.from_pretrained("tiny", dtype=torch.float16).double()
    return model, sl.Processor.from_pretrained("tiny")


def answers(model, image, captions):
    model, processor = model
    inputs = processor(text=captions, images=[image])
    with torch.no_grad():
        out = model(inputs["pixel_values"].double(), inputs["input_ids"])
    return out


def probabilities(page):
    texts = page.locator(".ex-caption output").all_inner_texts()
    return [float(SHOWN.fullmatch(text)[1]) for text in texts]


def captions(page):
    return [field.input_value() for field in page.locator(".ex-caption input[type=text]").all()]


def sheet(page):
    """The 120 x 120 pixels that the model is given."""
    data = page.evaluate(f"Array.from({EXPLORER}.drawing.pixels().data)")
    return Image.fromarray(np.array(data, np.uint8).reshape(120, 120, 4)[..., :3])


def settle(page):
    """Wait until the answer is about what is drawn and written now."""
    page.wait_for_function(
        f"""() => {{
          const e = {EXPLORER};
          return e.model && !e.frame && JSON.stringify([e.answered, e.shown])
            === JSON.stringify([e.captions, e.drawing.scene]);
        }}"""
    )


def drag(page, start, end, steps=8):
    """From one place of the sheet to another, in shares of its side."""
    box = page.locator(".ex-drawing .dr-sheet").bounding_box()
    (x0, y0), (x1, y1) = (
        (box["x"] + u * box["width"], box["y"] + v * box["height"]) for u, v in (start, end)
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=steps)
    page.mouse.up()


def press(page, u, v):
    box = page.locator(".ex-drawing .dr-sheet").bounding_box()
    page.mouse.click(box["x"] + u * box["width"], box["y"] + v * box["height"])


def open_station(page, name):
    card = page.locator(f"[data-id='{name}'] .ex-card")
    if card.get_attribute("aria-expanded") == "false":
        card.click()
    return page.locator(f"[data-id='{name}']")


def numbers(station, selector=".st-say"):
    text = station.locator(selector).inner_text().replace("−", "-")
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", text)]


# ---- the first view ------------------------------------------------------------------------------


def test_the_first_view_is_pytorchs_answer_and_fetches_no_weights(browser, url, model):
    page, asked = browser.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{url}/{PAGE}")
    page.wait_for_selector(READY)
    page.wait_for_timeout(300)
    explorer = touch.Explorer()
    assert sheet(page).tobytes() == draw(explorer.scene).tobytes()
    assert captions(page) == [*explorer.captions]
    out = answers(model, draw(explorer.scene), captions(page))
    expected = 100 * out.logits_per_image[0].sigmoid()
    assert probabilities(page) == [round(p, 1) for p in expected.tolist()]
    assert expected[:2].min() > 95 and 1 < expected[2] < 10 and expected[3] < 1
    assert not [name for name in asked if "tiny/" in name or "worker" in name]

    # What the page computes is the same again.
    page.locator(".ex-caption input[type=text]").last.fill("2 blue squares ")
    settle(page)
    assert [name for name in asked if "tiny/model.safetensors" in name]
    assert probabilities(page) == [round(p, 1) for p in expected.tolist()]
    page.close()


def test_readers_without_scripts_see_the_drawing_and_its_probabilities(without_scripts, page):
    still = without_scripts.locator("siglip-explorer")
    assert still.locator("svg").bounding_box()["width"] > 250
    rows = still.locator("tr").all_inner_texts()[1:]
    assert [float(SHOWN.search(row)[1]) for row in rows] == probabilities(page)


def test_a_page_opened_from_a_file_says_what_to_do(browser, site):
    page = browser.new_page()
    page.goto((site / PAGE).as_uri())
    page.wait_for_selector(READY)
    before = probabilities(page)
    press(page, 0.2, 0.8)
    page.wait_for_selector(".ex-failed")
    assert "opened from a file" in page.locator(".ex-status").inner_text()
    assert probabilities(page) == before
    page.close()


# ---- drawing -------------------------------------------------------------------------------------


def test_the_page_paints_as_pillow_does(page):
    for seed in range(0, 320, 7):
        scene = random_scene(seed, all_combinations()[seed])
        page.evaluate(f"scene => {EXPLORER}.drawing.show(scene)", touch._drawn(scene))
        assert sheet(page).tobytes() == draw(scene).tobytes(), scene


def test_every_seed_gives_a_scene(page):
    counts = page.evaluate(
        """async () => {
          const { randomScene } = await import("./_static/js/scenes.js");
          return [...Array(20000).keys()].map((seed) => randomScene(seed).items.length);
        }"""
    )
    assert set(counts) == {1, 2, 3, 4}


def test_a_finger_on_bare_paper_scrolls_and_on_a_shape_drags(browser, url):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{url}/{PAGE}")
    page.wait_for_selector(READY)
    finger = context.new_cdp_session(page)
    box = page.locator(".ex-drawing .dr-sheet").bounding_box()

    def swipe(u, v):
        x, y = box["x"] + u * box["width"], box["y"] + v * box["height"]
        for i, kind in enumerate(["touchStart", *10 * ["touchMove"], "touchEnd"]):
            points = [] if kind == "touchEnd" else [{"x": x, "y": y - 12 * i}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            page.wait_for_timeout(20)

    items = f"{EXPLORER}.drawing.scene.items"
    before = page.evaluate(items)
    swipe(0.6, 0.5)  # the lower circle
    after = page.evaluate(items)
    assert page.evaluate("scrollY") == 0
    assert after[0]["y"] < before[0]["y"] and after[1:] == before[1:]
    swipe(0.15, 0.9)
    assert page.evaluate("scrollY") > 50 and page.evaluate(items) == after
    context.close()


def test_moving_a_circle_says_little_and_its_colour_says_much(page, model):
    drag(page, (0.6, 0.5), (0.25, 0.7))
    settle(page)
    moved = probabilities(page)
    assert moved[0] > 80
    press(page, 0.25, 0.7)
    page.locator("[data-colour=blue]").click()
    settle(page)
    assert probabilities(page)[0] < moved[0] - 30
    out = answers(model, sheet(page), captions(page))
    expected = 100 * out.logits_per_image[0].sigmoid()
    assert probabilities(page) == pytest.approx(expected.tolist(), abs=0.06)


def test_a_third_circle_makes_two_captions_false_and_one_true(page):
    """As the tour promises, wherever the reader presses."""
    for u, v in [(0.2, 0.2), (0.25, 0.7), (0.8, 0.8), (0.5, 0.85)]:
        press(page, u, v)
        settle(page)
        shown = probabilities(page)
        assert shown[0] < 60 and shown[1] < 30 and shown[2] > 90, (u, v)
        assert "tiny answered" in page.locator(".ex-status").inner_text()
        page.locator("[data-act=undo]").click()


def test_a_press_beside_a_shape_adds_one_and_on_it_takes_it(page):
    taken = f"{EXPLORER}.drawing.taken"
    items = f"{EXPLORER}.drawing.scene.items.map((item) => item.shape)"
    page.locator("[data-tool=heart]").click()
    press(page, 0.596 - 0.115, 0.497)  # the lower circle's edge is at 0.1
    assert page.evaluate(items) == ["circle", "circle", "heart"]
    page.locator("[data-act=undo]").click()
    press(page, 0.596 - 0.09, 0.497)
    assert page.evaluate(items) == ["circle", "circle"] and page.evaluate(taken) == 0
    assert "You hold this red circle" in page.locator(".ex-drawing .dr-hint").inner_text()
    page.locator("[data-tool=square]").click()
    press(page, 0.1, 0.9)  # lets go
    square = page.evaluate(f"{EXPLORER}.drawing.scene.items[0]")
    assert square["shape"] == "square" and page.evaluate(taken) is None
    corner = 0.75 * square["radius"]
    press(page, square["x"] - corner, square["y"] - corner / 2)
    assert page.evaluate(taken) == 0


def test_stamps_strokes_eraser_undo_and_clear(page):
    items = f"{EXPLORER}.drawing.scene.items.length"
    page.locator("[data-tool=star]").click()
    page.locator("[data-colour=black]").click()
    page.locator("[data-size=small]").click()
    press(page, 0.2, 0.8)
    star = page.evaluate(f"{EXPLORER}.drawing.scene.items[2]")
    assert (star["shape"], star["fill"]) == ("star", [25, 25, 25]) and star["radius"] < 0.115
    page.locator("[data-tool=brush]").click()
    drag(page, (0.1, 0.1), (0.4, 0.1))
    assert page.evaluate(items) == 4 and sheet(page).getpixel((30, 12)) == (25, 25, 25)
    page.locator("[data-tool=eraser]").click()
    drag(page, (0.2, 0.05), (0.2, 0.2))
    assert sheet(page).getpixel((24, 12)) == touch.Explorer().scene.background
    for left in (4, 3, 2):
        page.locator("[data-act=undo]").click()
        assert page.evaluate(items) == left
    page.locator("[data-act=clear]").click()
    assert page.evaluate(items) == 0
    page.locator("[data-act=undo]").click()
    assert page.evaluate(items) == 2


def test_a_shuffled_scene_brings_captions_unless_the_reader_wrote_some(page, model):
    page.locator("[data-act=shuffle]").click()
    settle(page)
    assert captions(page)[0] != "2 red circles"
    page.locator(".ex-caption input[type=text]").first.fill("a cat")
    page.locator("[data-act=shuffle]").click()
    settle(page)
    assert captions(page)[0] == "a cat"


def test_the_keyboard_draws(page):
    items = f"{EXPLORER}.drawing.scene.items"
    page.locator("[data-tool=square]").focus()
    page.keyboard.press("Enter")
    page.locator(".ex-drawing .dr-sheet").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    square = page.evaluate(f"{items}[2]")
    assert square["shape"] == "square" and square["x"] == pytest.approx(0.2)
    page.keyboard.press("Enter")  # takes it
    page.keyboard.press("ArrowDown")
    assert page.evaluate(f"{items}[2].y") == pytest.approx(0.525)
    page.keyboard.press("Delete")
    assert page.evaluate(f"{items}.length") == 2
    page.keyboard.press("Control+z")
    assert page.evaluate(f"{items}.length") == 3


# ---- captions ------------------------------------------------------------------------------------


def test_captions_are_edited_added_and_removed(page, model):
    fields = page.locator(".ex-caption input[type=text]")
    fields.nth(1).fill("3 yellow stars")
    page.get_by_role("button", name="Add a caption").click()
    page.keyboard.type("two red circles")
    settle(page)
    out = answers(model, sheet(page), captions(page))
    assert len(captions(page)) == 5 and captions(page)[4] == "two red circles"
    expected = 100 * out.logits_per_image[0].sigmoid()
    assert probabilities(page) == pytest.approx(expected.tolist(), abs=0.06)
    page.get_by_role("button", name="Remove caption 1").click()
    settle(page)
    assert captions(page)[0] == "3 yellow stars" and len(probabilities(page)) == 4


def test_softmax_shares_100_per_cent_where_two_are_true(page, model):
    page.get_by_text("softmax", exact=True).click()
    out = answers(model, sheet(page), captions(page))
    expected = 100 * out.logits_per_image[0].softmax(-1)
    assert probabilities(page) == pytest.approx(expected.tolist(), abs=0.06)
    assert sum(probabilities(page)) == pytest.approx(100, abs=0.25)
    assert max(probabilities(page)) < 60  # though two captions are true


def test_a_caption_has_no_number_until_something_is_written(page, model):
    page.get_by_text("softmax", exact=True).click()
    page.get_by_role("button", name="Add a caption").click()
    settle(page)
    outputs = page.locator(".ex-caption output").all_inner_texts()
    assert outputs[4] == "–"
    assert sum(float(SHOWN.fullmatch(text)[1]) for text in outputs[:4]) == pytest.approx(100, abs=1)
    page.keyboard.type("circles")
    settle(page)
    assert probabilities(page)[4] > 30


def test_the_probability_has_softmaxs_share_beside_it(page, model):
    station = open_station(page, "probability")
    share = station.locator(".st-share b").inner_text()
    logits = answers(model, sheet(page), captions(page)).logits_per_image[0]
    assert float(SHOWN.fullmatch(share)[1]) == pytest.approx(
        100 * logits.softmax(-1)[0].item(), abs=0.06
    )
    assert page.request.get(station.locator(".st-share a").evaluate("a => a.href")).ok


# ---- stations ------------------------------------------------------------------------------------


def test_each_station_opens_to_the_models_numbers(page, model):
    for name in STATIONS:
        open_station(page, name)
    page.locator("[data-id=text-tokens]").get_by_text("piece", exact=True).click()
    settle(page)
    model, processor = model
    inputs = processor(text=captions(page), images=[sheet(page)])
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))
    with torch.no_grad():
        out = model(inputs["pixel_values"].double(), inputs["input_ids"])

    def station(name):
        return page.locator(f"[data-id='{name}']")

    x, y = page.evaluate(f"{EXPLORER}.stations[0].at")
    cells = station("pixels").locator("tbody td").all_inner_texts()
    pixel = inputs["pixel_values"][0, :, y, x].tolist()
    shown = [float(text.replace("−", "-")) for text in cells[1::2]]
    assert shown == pytest.approx(pixel, abs=0.0006)

    patch = page.evaluate(f"{EXPLORER}.patch")
    row, column = divmod(patch, 6)
    square = inputs["pixel_values"][0, :, 6 * row : 6 * row + 6, 6 * column : 6 * column + 6]
    assert numbers(station("patches")) == pytest.approx(
        [square.min().item(), square.max().item()], abs=0.006
    )
    tokens = seen["vision_model.embeddings"][0]
    assert numbers(station("tokens")) == pytest.approx([tokens[patch, 0].item()], abs=0.0006)

    q, k = (
        seen[f"vision_model.encoder.layers.0.self_attn.{part}_proj"]
        .unflatten(-1, (4, -1))
        .transpose(1, 2)
        for part in "qk"
    )
    weights = 100 * (q @ k.mT / 18**0.5).softmax(-1)[0].mean(0)[patch]
    shown = numbers(station("attention"))
    assert shown == pytest.approx([weights.max().item(), weights[patch].item()], abs=0.06)
    assert f"from patch {weights.argmax().item()} " in station("attention").inner_text()
    assert numbers(station("probe"))[0] >= 100 / 36

    image, text = out.image_embeds[0], out.text_embeds[0]
    assert numbers(station("image-vector")) == pytest.approx([image[0].item(), 1], abs=6e-5)
    assert numbers(station("text-vector")) == pytest.approx([text[0].item(), 1], abs=6e-5)

    ids = station("pieces").locator("li span").all_inner_texts()
    assert [int(i) for i in ids] == inputs["input_ids"][0].tolist()
    bare = seen["text_model.embeddings.token_embedding"][0, 1, 0].item()
    assert numbers(station("text-tokens")) == pytest.approx([bare], abs=0.0006)
    q, k = (
        seen[f"text_model.encoder.layers.0.self_attn.{part}_proj"]
        .unflatten(-1, (4, -1))
        .transpose(1, 2)
        for part in "qk"
    )
    weights = 100 * (q @ k.mT / 18**0.5).softmax(-1)[0].mean(0)[1]
    assert numbers(station("text-attention")) == pytest.approx(
        [weights[0].item(), weights.max().item()], abs=0.06
    )
    last = seen["text_model.final_layer_norm"][0, 1, 0].item()
    head = seen["text_model.head"][0, 0].item()
    assert numbers(station("last-token")) == pytest.approx([last, head], abs=0.0006)

    product = (image[0] * text[0]).item()
    assert numbers(station("product")) == pytest.approx(
        [image[0].item(), text[0].item(), product, product], abs=0.0006
    )
    cosine = (image @ text).item()
    assert numbers(station("product"), ".st-equation") == pytest.approx([cosine], abs=0.0006)
    logit = out.logits_per_image[0, 0]
    shown = numbers(station("probability"), ".st-equation")
    t, b = model.logit_scale.exp().item(), abs(model.logit_bias.item())
    expected = [t, cosine, b, logit.item(), 100 * logit.sigmoid().item()]
    assert shown == pytest.approx(expected, abs=0.06)


def test_the_first_pixels_are_levels_before_the_model_comes(page, model):
    station = open_station(page, "pixels")
    pixels = model[1](text="a", images=[sheet(page)])["pixel_values"][0]
    for x, y in [(23, 20), (18, 20), (0, 0), (19, 19)]:
        page.evaluate(f"{EXPLORER}.stations[0].at = [{x}, {y}]; {EXPLORER}.drawStations()")
        cells = station.locator("tbody td").all_inner_texts()
        shown = [float(text.replace("−", "-")) for text in cells[1::2]]
        assert shown == pytest.approx(pixels[:, y, x].tolist(), abs=0.00051)
        levels = [int(text) / 127.5 - 1 for text in cells[::2]]
        assert shown == pytest.approx(levels, abs=0.00051)
    assert not page.evaluate(f"Boolean({EXPLORER}.model)")


def test_every_shape_is_said_in_words(page):
    """With the numbers of the code, but for those of one drawing or of all captions."""
    codes = page.locator(".ex-name code")
    words = [code.get_attribute("title") for code in codes.all()]
    assert sum(bool(text) for text in words) == 11
    for code, text in zip(codes.all_inner_texts(), words, strict=True):
        if text and "→" not in code:
            needed = set(re.findall(r"\d+", code.replace("[4,", "[")))
            assert needed <= set(re.findall(r"\d+", text)), (code, text)


def test_what_was_opened_stays_open_and_follows_the_drawing(page):
    open_station(page, "attention")
    station = open_station(page, "product")
    before = station.inner_text()
    drag(page, (0.6, 0.5), (0.2, 0.2))
    page.locator("[data-colour=green]").click()
    drag(page, (0.75, 0.24), (0.8, 0.8))
    settle(page)
    assert station.locator(".ex-open").is_visible() and station.inner_text() != before
    assert page.locator("[data-id=attention] .ex-open").is_visible()


def test_a_layer_and_a_head_can_be_chosen(page):
    station = open_station(page, "attention")
    seen = {station.locator(".st-say").inner_text()}
    for choice, value in [("layer", 3), ("head", 0)]:
        station.locator(f"[data-choice={choice}] input[value='{value}']").check(force=True)
        settle(page)
        said = "document.querySelector('[data-id=attention] .st-say').innerText"
        page.wait_for_function(f"seen => !seen.includes({said})", arg=[*seen])
        seen.add(station.locator(".st-say").inner_text())
    assert station.locator(".ex-now").inner_text() == "layer 3"


def test_pointing_at_a_patch_is_followed_by_all_stations(page):
    for name in ("patches", "tokens", "attention"):
        open_station(page, name)
    settle(page)
    canvas = page.locator("[data-id=attention] canvas.st-large")
    canvas.focus()
    before = page.evaluate(f"{EXPLORER}.patch")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    patch = before - 5
    for name in ("patches", "tokens", "attention"):
        said = page.locator(f"[data-id={name}] .st-say").inner_text().lower()
        assert said.startswith(f"patch {patch} ")


def test_another_caption_can_be_followed(page, model):
    station = open_station(page, "probability")
    page.locator(".ex-follow input").nth(3).check()
    settle(page)
    out = answers(model, sheet(page), captions(page))
    shown = numbers(station, ".st-equation")
    assert shown[3] == pytest.approx(out.logits_per_image[0, 3].item(), abs=0.006)


# ---- tour, link, sizes ---------------------------------------------------------------------------


def test_the_tour_has_seven_steps_that_open_what_they_speak_of(page):
    page.get_by_role("button", name="Guided tour").click()
    titles, opened = [], set()
    for step in range(7):
        titles.append(page.locator(".ex-tour-title").inner_text())
        assert titles[-1].startswith(f"{step + 1}/7")
        opened |= set(page.evaluate(f"[...{EXPLORER}.open]"))
        page.get_by_role("button", name="Done" if step == 6 else "Next").click()
    assert len(set(titles)) == 7 and len(opened) >= 10
    assert page.locator(".ex-tour").is_hidden()
    page.wait_for_function("document.querySelector('.ex-top').getBoundingClientRect().top > 0")
    page.get_by_role("button", name="Guided tour").click()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Back").click()
    assert page.locator(".ex-tour-title").inner_text().startswith("1/7")
    page.keyboard.press("Escape")
    assert page.locator(".ex-tour").is_hidden()


def test_enter_and_the_arrows_lead_through_the_tour(page):
    page.get_by_role("button", name="Guided tour").focus()
    for key, step in [
        ("Enter", 1), ("ArrowLeft", 1), ("Enter", 2), ("ArrowRight", 3), ("ArrowLeft", 2),
        *(("ArrowRight", step) for step in [3, 4, 5, 6, 7, 7]),
    ]:  # fmt: skip
        page.keyboard.press(key)
        assert page.locator(".ex-tour-title").inner_text().startswith(f"{step}/7")
        assert page.evaluate("document.activeElement.matches('.ex-next')")
    page.keyboard.press("Enter")
    assert page.locator(".ex-tour").is_hidden()


@pytest.mark.parametrize("screen", ["page", "phone"])
def test_next_stays_under_the_finger(screen, request):
    screen = request.getfixturevalue(screen)
    screen.get_by_role("button", name="Guided tour").click()
    places = set()
    for _ in range(6):
        screen.wait_for_timeout(800)
        box = screen.locator(".ex-next").bounding_box()
        places.add((round(box["x"] + box["width"]), round(box["y"])))
        screen.get_by_role("button", name="Next").click()
    assert len(places) == 1


def test_on_a_phone_the_sheet_stays_in_sight_and_done_leads_to_softmax(phone):
    phone.get_by_role("button", name="Guided tour").click()
    phone.wait_for_timeout(800)
    sheet = phone.locator(".ex-drawing .dr-sheet").bounding_box()
    dock = phone.locator(".ex-dock").bounding_box()
    assert sheet["y"] > 50 and sheet["y"] + sheet["height"] < dock["y"]
    for _ in range(6):
        phone.get_by_role("button", name="Next").click()
    phone.get_by_role("button", name="Done").click()
    phone.wait_for_timeout(1200)
    for place in (phone.locator(".ex-caption").first, phone.get_by_text("softmax", exact=True)):
        box = place.bounding_box()
        assert box["y"] > 50 and box["y"] + box["height"] < phone.evaluate("innerHeight")


def test_each_step_of_the_tour_begins_with_the_first_scene(page, model):
    before = sheet(page).tobytes()
    page.get_by_role("button", name="Guided tour").click()
    page.locator(".ex-top [data-act=clear]").click()
    page.locator(".ex-caption input[type=text]").first.fill("a cat")
    page.get_by_role("button", name="Next").click()
    settle(page)
    assert captions(page) == [*touch.Explorer().captions] and sheet(page).tobytes() == before


def test_after_the_tour_the_reader_has_their_own_scene_again(page, model):
    drag(page, (0.6, 0.5), (0.3, 0.7))
    page.locator(".ex-caption input[type=text]").first.fill("a cat")
    mine = sheet(page).tobytes()
    page.get_by_role("button", name="Guided tour").click()
    page.get_by_role("button", name="Next").click()
    assert sheet(page).tobytes() != mine
    page.keyboard.press("Escape")
    assert sheet(page).tobytes() == mine and captions(page)[0] == "a cat"


def test_a_station_opens_where_the_reader_is(page):
    ids = page.locator(".ex-walk [data-id]").evaluate_all("all => all.map(e => e.dataset.id)")
    for name in ids:
        page.evaluate("scrollTo(0, 760)")
        for _ in range(2):  # opened and closed
            page.locator(f'[data-id="{name}"] .ex-card').dispatch_event("click")
            assert page.evaluate("scrollY") == 760, name


def test_an_open_station_has_the_width_of_both_sides_and_all_keep_their_order(page):
    for name in ("attention", "last-token"):
        open_station(page, name)
    walk = page.locator(".ex-walk").bounding_box()
    for side in ("image", "text"):
        ids = page.locator(f".ex-{side} > ol > li").evaluate_all(
            "all => all.map(e => e.dataset.id)"
        )
        boxes = {name: page.locator(f'[data-id="{name}"]').bounding_box() for name in ids}
        ends = [walk["y"]]
        for name, box in boxes.items():
            is_open = name in ("attention", "last-token")
            assert (box["width"] == walk["width"]) == is_open and box["y"] >= ends[-1]
            ends.append(box["y"] + box["height"])
        assert page.locator(".ex-joint").bounding_box()["y"] >= ends[-1]


def test_what_was_dragged_is_let_go_of_and_what_was_pressed_is_held(page):
    drag(page, (0.6, 0.5), (0.3, 0.7))
    assert page.evaluate(f"{EXPLORER}.drawing.taken") is None
    press(page, 0.3, 0.7)
    assert page.evaluate(f"{EXPLORER}.drawing.taken") == 0
    page.locator(".ex-top [data-colour=blue]").click()
    assert page.evaluate(f"{EXPLORER}.drawing.scene.items[0].fill") == [30, 70, 215]


def test_it_says_where_its_answers_mean_little(page, model):
    page.locator(".ex-caption input[type=text]").first.fill("2 red zebras")
    settle(page)
    assert "never learned the word “zebras”" in page.locator(".ex-status").inner_text()
    page.locator(".ex-caption input[type=text]").first.fill("Two RED circles!")
    settle(page)
    assert "little" not in page.locator(".ex-status").inner_text()
    page.locator(".ex-top [data-act=clear]").click()
    settle(page)
    assert "an empty sheet: its answers mean little" in page.locator(".ex-status").inner_text()
    page.locator("[data-tool=brush]").click()
    drag(page, (0.1, 0.1), (0.4, 0.1))
    page.locator(".ex-caption input[type=text]").nth(1).fill("2 red zebras")
    settle(page)
    both = "the word “zebras” (caption 2), nor from brush strokes: its answers mean little"
    assert both in page.locator(".ex-status").inner_text()
    page.locator(".ex-follow input").nth(0).check()  # nothing new is asked
    assert "zebras" not in page.locator(".ex-status").inner_text()
    assert "from brush strokes" in page.locator(".ex-status").inner_text()


@pytest.mark.parametrize(
    "change, said",
    [
        ("items.push({ ...items[0], x: 0.2, fill: [30, 70, 215] })", "differ"),
        ("items.push({ ...items[0], x: 0.2, radius: 0.14 })", "differ"),
        ("items.push({ ...items[0], x: 0.2, shape: 'star' })", "differ"),
        ("items.push(items[0], items[0], items[0])", "more than four shapes"),
        ("items.push(items[0], items[0])", ""),
    ],
)
def test_what_tiny_learned_is_one_to_four_shapes_of_a_kind_size_and_colour(page, change, said):
    unusual = page.evaluate(
        """async (change) => {
          const { unusual } = await import("./_static/js/scenes.js");
          const items = [...document.querySelector("siglip-explorer").drawing.scene.items];
          new Function("items", change)(items);
          return unusual({ items });
        }""",
        change,
    )
    assert said in unusual if said else unusual == ""


def test_a_link_brings_the_scene_and_its_captions_back(browser, page, url):
    page.locator("[data-tool=brush]").click()
    drag(page, (0.1, 0.9), (0.5, 0.8))
    page.locator(".ex-caption input[type=text]").first.fill("2 círcles / 100% #?&")
    settle(page)
    page.get_by_role("button", name="Copy link").click()
    other = browser.new_page()
    other.goto(page.url)
    other.wait_for_selector(READY)
    settle(other)
    assert captions(other) == captions(page)
    assert sheet(other).tobytes() == sheet(page).tobytes()
    assert probabilities(other) == probabilities(page)
    other.close()


@pytest.mark.parametrize(
    "hash", ["#tiny=", "#tiny=1/xyz//a", "#tiny=2/ebebeb//a", "#tiny=1/ebebeb//%E0"]
)
def test_a_bad_link_is_ignored_with_a_word(browser, url, hash):
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{url}/{PAGE}{hash}")
    page.wait_for_selector(READY)
    assert "could not be read" in page.locator(".ex-status").inner_text()
    assert captions(page) == [*touch.Explorer().captions] and wrong == []
    page.close()


def test_the_pages_own_anchors_still_work(page):
    page.evaluate("location.hash = '#the-chapters'")
    page.wait_for_timeout(200)
    assert captions(page) == [*touch.Explorer().captions]
    assert "could not be read" not in page.locator(".ex-status").inner_text()


def test_it_keeps_its_size_while_the_hand_moves(page):
    size = f"{EXPLORER}.offsetHeight"
    before = page.evaluate(size)
    drag(page, (0.6, 0.5), (0.3, 0.3))
    settle(page)
    assert page.evaluate(size) == before
    page.get_by_text("softmax", exact=True).click()
    assert page.evaluate(size) == before


def test_what_changes_is_read_aloud_once_the_hand_rests(page):
    aloud = page.locator(".ex-aloud")
    page.locator("[data-act=clear]").click()
    page.wait_for_function("document.querySelector('.ex-aloud').innerText.includes('empty sheet')")
    assert all(f"“{text}”" in aloud.inner_text() for text in captions(page))


def test_it_fits_a_phone(phone):
    for name in STATIONS:
        card = phone.locator(f"[data-id='{name}'] .ex-card")
        card.evaluate("card => card.scrollIntoView({ block: 'center', behavior: 'instant' })")
        card.tap()
    settle(phone)
    outside = phone.locator("siglip-explorer").bounding_box()
    assert outside["x"] >= 0 and outside["x"] + outside["width"] <= 390
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    wide = phone.evaluate(
        f"""() => [...{EXPLORER}.querySelectorAll("*")]
          .filter((e) => e.getClientRects().length && !e.closest(".ex-aloud"))
          .filter((e) => e.getBoundingClientRect().right > {outside["x"] + outside["width"]} + 0.5)
          .map((e) => e.className)"""
    )
    assert wide == []


def test_in_a_chapter_the_stations_wait_behind_a_button_and_the_tour_opens_it(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.goto(f"{url}/notebooks/01_start_here.html")
    page.wait_for_selector(READY)
    shown = "document.querySelector('.ex-walk').checkVisibility()"
    button = page.locator("button.ex-inside")
    height = page.evaluate(f"{EXPLORER}.offsetHeight")
    assert not page.evaluate(shown) and height < 700 and "13 stations" in button.inner_text()
    button.click()
    assert page.evaluate(shown) and button.get_attribute("aria-expanded") == "true"
    button.click()
    page.get_by_role("button", name="Guided tour").click()
    assert not page.evaluate(shown)
    page.get_by_role("button", name="Next").click()
    assert page.evaluate(shown) and page.locator("[data-id=patches] .ex-open").is_visible()
    page.keyboard.press("Escape")
    assert not page.evaluate(shown) and page.evaluate(f"{EXPLORER}.offsetHeight") == height
    page.wait_for_function("document.querySelector('.ex-top').getBoundingClientRect().top > 0")
    page.close()


def test_on_a_phone_the_first_step_shows_every_caption_and_the_sheet_begins_small(phone):
    phone.get_by_role("button", name="Guided tour").click()
    rows = phone.locator(".ex-all li")
    assert phone.locator(".ex-all").is_visible() and rows.count() == 4
    assert "98.0" in rows.first.inner_text() and "3.7" in rows.nth(2).inner_text()
    phone.get_by_role("button", name="Next").click()
    assert not phone.locator(".ex-all").is_visible()
    phone.keyboard.press("Escape")
    phone.locator(".ex-shares").get_by_text("softmax", exact=True).click()
    open_station(phone, "probe")
    phone.locator("[data-id=probe]").evaluate("e => e.scrollIntoView({ behavior: 'instant' })")
    hand = phone.locator(".ex-at-hand")
    phone.wait_for_function("!document.querySelector('.ex-dock').inert")
    assert "softmax" in hand.locator("output").inner_text()
    assert not hand.locator("canvas").is_visible()
    hand.get_by_role("button").click()
    assert hand.locator("canvas").is_visible()


def test_the_walk_below_leads_to_chapters(page):
    links = page.locator(".walk-strip a")
    assert links.count() == 9
    for link in links.all():
        assert page.request.get(link.evaluate("a => a.href")).ok, link.inner_text()


def test_links_of_the_stations_lead_to_chapters(page, url):
    for link in page.locator(".ex-open a").all():
        target = link.evaluate("a => a.href")
        assert page.request.get(target).ok, target


def test_a_scene_is_kept_to_what_a_link_can_say():
    scene = touch.Explorer().scene
    again = replace(scene, radii=tuple(round(1000 * r) / 1000 for r in scene.radii))
    assert again == scene
