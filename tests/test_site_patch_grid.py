"""The figure to touch of the chapter "Patchify": its numbers are the library's."""

import base64
import dataclasses
import random
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from siglip_lab.patches import patchify
from siglip_lab.published import get_config
from siglip_lab.towers import VisionTower

pytestmark = [pytest.mark.site, pytest.mark.browser]

PUBLISHED = [(224, 14), (384, 14), (378, 14), (256, 16), (384, 16), (512, 16)]
OPEN_CLIP = {(224, 14): 220.35, (384, 14): 670.35, (256, 16): 220.46}  # GFLOPs, so400m
SETTINGS = [(64, 4), (64, 32), (100, 32), (397, 14), (383, 4), (500, 31), (1000, 30), (1024, 32)]


@pytest.fixture(scope="module")
def where(url, site) -> str:
    pages = sorted(site.glob("notebooks/*.html"))
    name = next(p.name for p in pages if "<siglip-patch-grid" in p.read_text("utf-8"))
    return f"{url}/notebooks/{name}"


@pytest.fixture
def grid(browser, where):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(where)
    page.locator("siglip-patch-grid").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.pg-gflops')?.textContent")
    yield page
    page.close()


def slide(page, **values):
    for name, value in values.items():
        page.locator(f"siglip-patch-grid input[name={name}]").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            value,
        )


def said(page, name):
    return page.locator(f"siglip-patch-grid .pg-{name}").inner_text().replace("\u00a0", " ")


def seen_and_dropped(size, patch):
    """Tokens, rows that are never seen, and share of pixels, counted with the library."""
    numbered = torch.arange(size * size, dtype=torch.float64).reshape(1, 1, size, size)
    patches = patchify(numbered, patch)
    rows = (patches // size).unique()
    return patches.shape[1], size - len(rows), 1 - patches.numel() / size**2


def counted_gflops(size, patch):
    """Every matrix product of a forward pass, two for each multiplication, without weights."""
    vision = get_config("siglip-so400m-patch14-384").vision
    config = dataclasses.replace(vision, image_size=size, patch_size=patch)
    products = [0]

    def linear(module, inputs, output):
        products[0] += output.numel() * module.in_features

    def convolution(module, inputs, output):
        products[0] += output.numel() * module.weight[0].numel()

    with torch.device("meta"):
        tower = VisionTower(config)
        for module in tower.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(linear)
            elif isinstance(module, nn.Conv2d):
                module.register_forward_hook(convolution)
        tokens, width = config.num_patches, config.width
        x = tower.embeddings(torch.empty(1, 3, size, size))
        tower.encoder(x)
    products[0] += config.depth * 2 * tokens**2 * width  # q k^T, and the weights times v
    products[0] += 2 * width**2 * (tokens + 1) + 2 * tokens * width  # the probe's attention
    products[0] += 2 * width * config.mlp_dim  # the MAP head's MLP
    return 2 * products[0] / 1e9


def check(page, size, patch):
    tokens, rest, share = seen_and_dropped(size, patch)
    side = round(tokens**0.5)
    assert said(page, "division") == f"{size} / {patch} = {size / patch + 1e-9:.2f}"
    assert said(page, "tokens") == f"{side} × {side} = {tokens:,}"
    plural = "s" if rest != 1 else ""
    dropped = f"{rest} row{plural}, {rest} column{plural}" if rest else "nothing"
    assert said(page, "dropped") == dropped
    assert float(said(page, "share").removesuffix(" %")) == pytest.approx(100 * share, abs=0.0501)
    assert said(page, "map") == f"{tokens**2:,} numbers"
    found = float(said(page, "gflops").removesuffix(" GFLOPs").replace(",", ""))
    assert found == pytest.approx(counted_gflops(size, patch), abs=0.00501)
    if (size, patch) in OPEN_CLIP:
        assert found == OPEN_CLIP[size, patch]


@pytest.mark.parametrize(("size", "patch"), PUBLISHED)
def test_buttons_show_the_published_shapes(grid, size, patch):
    button = grid.get_by_role("button", name=f"{size} / {patch}", exact=True)
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    check(grid, size, patch)


def test_sliders_count_what_the_library_counts(grid):
    draw = random.Random(0)
    anywhere = [(draw.randint(64, 1024), draw.randint(4, 32)) for _ in range(8)]
    for size, patch in SETTINGS + anywhere:
        slide(grid, size=size, patch=patch)
        check(grid, size, patch)


def point(page, size, patch, row, column):
    box = page.locator("siglip-patch-grid .pg-view").bounding_box()
    x, y = ((i + 0.5) * patch / size * box["width"] for i in (column, row))
    page.mouse.move(box["x"] + x, box["y"] + y)


@pytest.mark.parametrize(("size", "patch", "row", "column"), [(384, 14, 26, 3), (100, 32, 1, 2)])
def test_a_patch_tells_its_number_its_place_and_its_pixels(grid, size, patch, row, column):
    grid.locator("siglip-patch-grid .pg-view").scroll_into_view_if_needed()
    slide(grid, size=size, patch=patch)
    point(grid, size, patch, row, column)
    numbered = torch.arange(size * size, dtype=torch.float64).reshape(1, 1, size, size)
    side = size // patch
    pixels = patchify(numbered, patch)[0, row * side + column].long()
    (top, bottom), (left, right) = (
        (places.min().item(), places.max().item()) for places in (pixels // size, pixels % size)
    )
    assert said(grid, "number") == f"patch {row * side + column:,}"
    assert said(grid, "place") == f"row {row}, column {column}"
    assert said(grid, "pixels") == f"pixels {left} to {right} across, {top} to {bottom} down"
    assert said(grid, "count").endswith(f"= {3 * len(pixels):,} numbers")
    shown = grid.evaluate(
        """() => { const { small, lens, grid } = document.querySelector("siglip-patch-grid");
        const { row, column, patch } = grid, n = patch;
        const cut = (canvas, x, y) => [...canvas.getContext("2d").getImageData(x, y, n, n).data];
        return [cut(lens, 0, 0), cut(small, column * n, row * n), lens.width]; }"""
    )
    assert shown[0] == shown[1] and shown[2] == patch


def test_the_row_has_the_order_of_patchify(grid):
    slide(grid, size=100, patch=32)
    point(grid, 100, 32, 1, 2)
    row, pixels = grid.evaluate(
        """() => { const { line, small } = document.querySelector("siglip-patch-grid");
        const all = (canvas) => { const { width, height } = canvas;
          return [...canvas.getContext("2d").getImageData(0, 0, width, height).data]; };
        return [all(line), all(small)]; }"""
    )
    picture = torch.tensor(pixels).reshape(1, 100, 100, 4).permute(0, 3, 1, 2)[:, :3]
    wanted = patchify(picture, 32)[0, 1 * 3 + 2]
    shown = torch.tensor(row).reshape(-1, 4)[:, :3]
    assert torch.equal(shown.sum(1), wanted)  # in one channel only
    assert torch.equal(shown[:1024, 0], wanted[:1024])
    assert torch.equal(shown[2048:, 2], wanted[2048:])


def test_the_readers_drawing_takes_the_place_of_the_photo(grid):
    def corner():
        return grid.evaluate(
            """() => { const { small } = document.querySelector("siglip-patch-grid");
            return [...small.getContext("2d").getImageData(2, 2, 1, 1).data]; }"""
        )

    photo = corner()
    grid.get_by_role("button", name="Draw your own").click()
    grid.locator("siglip-patch-grid .dr-sheet").wait_for()
    grid.wait_for_function("document.querySelector('siglip-patch-grid').own")
    grid.locator("siglip-patch-grid [data-act=clear]").click()
    background = grid.evaluate(
        "document.querySelector('siglip-patch-grid').drawing.scene.background"
    )
    assert corner() == [*background, 255] != photo
    grid.get_by_role("button", name="512 / 16").click()
    check(grid, 512, 16)
    assert corner() == [*background, 255]
    name = grid.locator("siglip-patch-grid .pg-view").get_attribute("aria-label")
    assert name.startswith("The drawing under 32 by 32 patches")
    grid.get_by_role("button", name="Photo").click()
    grid.wait_for_function("!document.querySelector('siglip-patch-grid').own")
    slide(grid, size=384)
    assert corner()[:3] != background


@pytest.mark.parametrize("width", [1280, 800, 390, 320])
def test_the_readers_sheet_takes_no_more_room_than_the_photo(browser, where, width):
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.goto(where)
    element = page.locator("siglip-patch-grid")
    element.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.pg-gflops')?.textContent")
    before = element.bounding_box()["height"]
    page.get_by_role("button", name="Draw your own").click()
    page.wait_for_function("document.querySelector('siglip-patch-grid').own")
    for size, patch in [(384, 14), (1024, 32), (1024, 4)]:
        slide(page, size=size, patch=patch)
        point(page, size, patch, size // patch - 1, size // patch - 1)
        assert element.bounding_box()["height"] == before
    page.close()


def test_the_keyboard_moves_the_patch(grid):
    grid.locator("siglip-patch-grid .pg-view").focus()
    row, column = (int(word.split()[1]) for word in said(grid, "place").split(", "))
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowRight"):
        grid.keyboard.press(key)
    assert said(grid, "place") == f"row {row}, column {column + 2}"
    for _ in range(27):
        grid.keyboard.press("ArrowDown")
    assert said(grid, "place") == f"row 26, column {column + 2}"  # stops at the edge


def test_many_patches_are_no_veil(grid):
    """The photo under 256 x 256 patches is nearly as bright as under 8 x 8."""
    means = []
    for size, patch in [(256, 32), (1024, 4)]:
        slide(grid, size=size, patch=patch)
        means.append(
            grid.evaluate(
                """() => { const c = document.querySelector("siglip-patch-grid").painted;
            const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
            return data.reduce((a, b) => a + b) / data.length; }"""
            )
        )
    assert means[1] - means[0] < 12  # of 255


def test_red_covers_what_is_dropped_and_nothing_else(grid):
    for size, patch in [(384, 14), (100, 32), (512, 16)]:
        slide(grid, size=size, patch=patch)
        point(grid, size, patch, 0, 0)  # its frame hides nothing of the margin
        picture = grid.evaluate(
            """() => document.querySelector("siglip-patch-grid .pg-view").toDataURL()"""
        )
        png = BytesIO(base64.b64decode(picture.partition(",")[2]))
        rgb = np.asarray(Image.open(png).convert("RGB")).astype(int)
        red = (abs(rgb - [0xB7, 0x30, 0x1F]) < 3).all(axis=-1)
        *_, share = seen_and_dropped(size, patch)
        assert red.mean() == pytest.approx(share, abs=0.006)
        assert not red[:300, :300].any()


def test_red_follows_the_theme(grid):
    def last_pixel():
        return grid.evaluate(
            """() => { const c = document.querySelector("siglip-patch-grid .pg-view");
            return [...c.getContext("2d").getImageData(760, 760, 1, 1).data]; }"""
        )

    light = last_pixel()
    grid.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert light == [0xB7, 0x30, 0x1F, 255] and last_pixel() == [0xEC, 0x76, 0x68, 255]


def test_keyboard_moves_the_sliders(grid):
    grid.locator("siglip-patch-grid input[name=size]").focus()
    for _ in range(6):
        grid.keyboard.press("ArrowLeft")
    check(grid, 378, 14)
    grid.keyboard.press("Tab")
    grid.keyboard.press("ArrowRight")
    check(grid, 378, 15)
    grid.get_by_role("button", name="512 / 16").focus()
    grid.keyboard.press("Enter")
    check(grid, 512, 16)


def test_the_photo_stays_for_readers_without_scripts(browser, where):
    page = browser.new_page(java_script_enabled=False)
    page.goto(where)
    assert page.locator("siglip-patch-grid img").bounding_box()["width"] > 200
    assert "729" in page.locator("siglip-patch-grid").inner_text()
    page.close()
