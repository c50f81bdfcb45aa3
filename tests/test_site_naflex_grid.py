"""The figure to touch of "Any aspect ratio", against the library."""

import re

import pytest

from siglip_lab import siglip2

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/23_any_shape.html"
READY = "siglip-naflex-grid .ng-kept path"
GRID = "siglip-naflex-grid"
SHAPES = {
    "banner": (1200, 200), "photo": (640, 480), "square": (512, 512), "page": (1240, 1754),
    "receipt": (200, 1200),
}  # fmt: skip


def press(page, name):
    page.locator(GRID).get_by_role("button", name=name, exact=True).click()


def says(page, name):
    return page.locator(f"{GRID} .ng-{name}").inner_text().replace("\u00a0", " ")


def numbers(words):
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", words)]


def check(page, width, height, budget):
    """Every number that is said is the library's."""
    tall, wide = siglip2.target_size(height, width, 16, budget)
    rows, columns = tall // 16, wide // 16
    assert numbers(says(page, "grid")) == [rows, columns, rows * columns]
    assert numbers(says(page, "resized")) == [wide, tall]
    assert numbers(says(page, "padding"))[:2] == [budget - rows * columns, budget]
    for i, name in enumerate(siglip2.list_models()):
        flops = siglip2.count_flops(siglip2.get_config(name), budget, texts=0).total / 1e9
        assert says(page, f"flops-{i}") == f"{flops:,.1f} GFLOPs"
    lines = page.locator(f"{GRID} .ng-kept path").get_attribute("d")
    assert lines.count("v") == columns + 1 and lines.count("h") == rows + 1


def test_presets_and_budgets_are_the_librarys(page):
    for name, (width, height) in SHAPES.items():
        press(page, name)
        assert numbers(says(page, "size")) == [width, height]
        for budget in (128, 256, 576, 784, 1024):
            press(page, str(budget) if budget < 1000 else "1024")
            check(page, width, height, budget)
        chosen = page.locator(f"{GRID} [aria-pressed=true]").all_inner_texts()
        assert chosen == [name, "1024"]
    press(page, "256")


def test_the_slider_gives_any_shape(page):
    slider = page.locator(f"{GRID} input[name=aspect]")
    for value in (-4.3, -2.22, -0.5, 0.1, 1.7, 4.3):
        slider.evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            value,
        )
        width, height = numbers(says(page, "size"))
        assert width / height == pytest.approx(2 ** float(slider.input_value()), rel=0.02)
        check(page, width, height, 256)
    assert page.locator(f"{GRID} [data-kind=shape][aria-pressed=true]").count() == 0


def test_keys_and_the_hand_move_it(page):
    press(page, "square")
    slider = page.locator(f"{GRID} input[name=aspect]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert numbers(says(page, "size"))[0] > numbers(says(page, "size"))[1]
    assert slider.get_attribute("aria-valuetext") == "1 : 1"
    box = page.locator(f"{GRID} .ng-kept").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle[0] + 20, middle[1] + 20)
    page.mouse.down()
    page.mouse.move(middle[0] + 96, middle[1] + 12, steps=4)
    page.mouse.up()
    width, height = numbers(says(page, "size"))
    assert width / height == pytest.approx(8, rel=0.06)


def test_circles_stay_circles_but_for_the_rounding(page):
    press(page, "banner")
    radii = page.locator(f"{GRID} ellipse").evaluate_all(
        """(all) => all.map((e) =>
          [e.closest("svg").classList[0], e.rx.baseVal.value, e.ry.baseVal.value])"""
    )
    assert {kind for kind, *_ in radii} == {"ng-kept", "ng-square"} and len(radii) == 12
    for kind, x, y in radii:
        assert x / y == pytest.approx(1 if kind == "ng-kept" else 1 / 6, rel=0.01)
    assert says(page, "bent") == "1 : 1; squashed, 1 : 6"


def test_a_phone_shows_all_of_it(phone):
    frame = phone.locator(GRID).bounding_box()
    for name in SHAPES:
        press(phone, name)
        boxes = phone.locator(f"{GRID} :is(svg, td, th, button)").evaluate_all(
            """(all) => all.map((e) => e.getBoundingClientRect())
              .map(({ left, right }) => [left, right])"""
        )
        assert all(left >= frame["x"] - 1 and right <= frame["x"] + frame["width"] + 1
                   for left, right in boxes)  # fmt: skip


def test_a_table_stays_for_readers_without_scripts(without_scripts):
    rows = without_scripts.locator(f"{GRID} tr").all_inner_texts()
    for name, (width, height) in SHAPES.items():
        (row,) = (row for row in rows if row.startswith(name))
        tall, wide = siglip2.target_size(height, width, 16, 256)
        assert f"{tall // 16} × {wide // 16}" in row
