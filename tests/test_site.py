"""The built site, looked at page by page in a browser: light and dark, desktop and phone."""

import random
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from PIL import Image

from siglip_lab.preprocessing import preprocess

pytestmark = [pytest.mark.site, pytest.mark.browser]

VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

# What is wider than its column and does not scroll inside itself.
TOO_WIDE = """() => {
  const column = document.querySelector("article.bd-article") ?? document.body;
  const right = Math.min(column.getBoundingClientRect().right, innerWidth) + 1;
  const scrolls = (e) => {
    for (; e && e !== column; e = e.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX)
          && e.getBoundingClientRect().right <= right) return true;
    return false;
  };
  return [...column.querySelectorAll("img, svg, canvas, video, table, pre, figure, div.math")]
    .filter((e) => e.getClientRects().length && e.getBoundingClientRect().right > right)
    .filter((e) => !scrolls(e)).map((e) => e.outerHTML.slice(0, 120));
}"""

# Formulas that were not drawn, for the eye and for the ear.
BAD_FORMULAS = """() => [
  ...[...document.querySelectorAll("span.math, div.math > .formula")]
    .filter((e) => !e.querySelector(".katex math") || !e.querySelector(".katex-html"))
    .map((e) => e.textContent),
  ...[...document.querySelectorAll("article p, article li, article td, article figcaption")]
    .map((e) => { const copy = e.cloneNode(true);
      copy.querySelectorAll("code, pre, .katex, script").forEach((x) => x.remove());
      return copy.textContent; })
    .filter((text) => /\\$[^$]+\\$|\\\\[a-zA-Z]{2,}|\\\\\\(/.test(text)),
]"""

# Those that wait until the reader is near come now.
SEE_PICTURES = """() => Promise.allSettled([...document.images].map((e) => {
  e.loading = "eager";
  return e.decode();
}))"""

BAD_PICTURES = """() => [...document.querySelectorAll("article img:not(svg img)")]
  .filter((e) => !e.complete || !e.naturalWidth || !/\\w+\\W+\\w+/.test(e.alt)
    || /[/\\\\]|\\.(png|jpe?g|svg)$/.test(e.alt)).map((e) => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def pages(site) -> list[str]:
    found = (str(path.relative_to(site)) for path in site.rglob("*.html"))
    return sorted(name for name in found if not name.startswith("_static/"))


@pytest.mark.parametrize(("width", "scheme"), VIEWS, ids=[f"{w}-{s}" for w, s in VIEWS])
def test_every_page_is_whole(browser, url, pages, width, scheme):
    wrong = []
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.on("console", lambda m: m.type in ("error", "warning") and wrong.append((name, m.text)))
    page.on("pageerror", lambda error: wrong.append((name, str(error))))
    page.on("response", lambda r: r.status >= 400 and wrong.append((name, r.status, r.url)))
    page.on(
        "request",
        lambda r: (
            r.url.startswith((url, "data:", "blob:")) or wrong.append((name, "another host", r.url))
        ),
    )
    for name in pages:
        page.goto(f"{url}/{name}", wait_until="load")
        page.evaluate(SEE_PICTURES)
        theme, across = page.evaluate(
            "[document.documentElement.dataset.theme, document.documentElement.scrollWidth]"
        )
        if theme != scheme or across > width:
            wrong.append((name, theme, across))
        for what in (TOO_WIDE, BAD_FORMULAS, BAD_PICTURES):
            wrong += [(name, each) for each in page.evaluate(what)]
    context.close()
    assert not wrong, "\n".join(map(str, wrong))


def test_links_and_anchors_lead_somewhere(browser, url, pages):
    page = browser.new_page()
    anchors, links = {}, []
    for name in pages:
        page.goto(f"{url}/{name}", wait_until="domcontentloaded")
        here = f"{url}/{name}"
        anchors[here] = set(page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)"))
        hrefs = page.evaluate(
            "[...document.querySelectorAll('a[href]')].map(e => e.getAttribute('href'))"
        )
        links += [(name, urljoin(here, href)) for href in hrefs if href != "#"]
    page.close()
    broken = set()
    for name, target in links:
        if target.startswith(url):
            where, _, anchor = target.partition("#")
            path = urlsplit(where).path
            if where in anchors and anchor and unquote(anchor) not in anchors[where]:
                broken.add((name, target))
            elif where not in anchors and not path.startswith(("/_sources/", "/_images/")):
                broken.add((name, target))
    assert not broken


def test_pages_describe_themselves_and_chapters_have_their_buttons(root, site, pages):
    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"]
    for name in pages:
        html = (site / name).read_text("utf-8")
        assert 'rel="icon"' in html
        assert "thebe" not in html.lower(), name
        if name == "index.html" or name.startswith(("book/", "notebooks/")):
            assert '<meta content="' in html and 'name="description"' in html, name
        if name.startswith("notebooks/"):
            assert ("colab.research.google.com" in html) == bool(repository), name
            assert ".ipynb" in html, name
        script = "extends Touchable" in html and not name.startswith("_modules/")
        assert not script or "<siglip-" in html, name  # scripts go where they are used
        assert ("source-repository-button" in html) == bool(repository), name


def test_search_finds_a_term(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/search.html?q=probe")
    page.wait_for_selector("#search-results li a")
    page.close()


@pytest.mark.parametrize("words", ["constructor", "__proto__", "probe constructor"])
def test_search_for_a_word_that_every_javascript_object_has(browser, url, words):
    """It ends, without an error, and finds what the pages say and nothing else."""
    page, errors = browser.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{url}/search.html?q={words}")
    page.wait_for_function(
        "document.querySelector('#search-results h2')?.innerText === 'Search Results'", timeout=5000
    )
    assert errors == []
    assert "undefined" not in page.locator("#search-results").inner_text()
    page.close()


# ----------------------------------------------------------------------- the pixel explorer


@pytest.fixture(scope="module")
def photo(root):
    return Image.open(root / "siglip_lab/data/chelsea.png")


@pytest.fixture
def explorer(browser, url, pages, site):
    """The first page with an explorer, opened at it."""
    name = next(p for p in pages if "<siglip-pixel-explorer" in (site / p).read_text("utf-8"))
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{url}/{name}")
    page.locator("siglip-pixel-explorer").scroll_into_view_if_needed()
    page.wait_for_selector("siglip-pixel-explorer canvas")
    yield page
    page.close()


def choose(page, kind, value):
    words = f"{value} × {value}" if kind == "size" else value
    page.locator("siglip-pixel-explorer label", has_text=words).click(timeout=5000)


def readout(page):
    """Row and column of the pixel, and what the table says about it: R, G, B by stage."""
    where = page.locator(".pe-where").inner_text()
    y, x = (int(n) for n in where.removeprefix("pixel_values[0, :, ").rstrip("]").split(","))
    cells = page.locator(".pe-readout tbody td").all_inner_texts()
    numbers = np.array([float(cell.replace("\u2212", "-")) for cell in cells]).reshape(3, 3)
    return y, x, numbers


@pytest.mark.parametrize("size", [384, 224, 96, 40])
def test_explorer_shows_what_preprocess_computes(explorer, photo, size):
    choose(explorer, "size", size)
    choose(explorer, "filter", "bicubic")
    values = preprocess(photo, size=size)[0].numpy()
    box = explorer.locator(".pe-view canvas").bounding_box()
    draw = random.Random(size)
    for _ in range(12):
        u, v = draw.random(), draw.random()
        explorer.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        y, x, numbers = readout(explorer)
        assert abs(y - v * size) <= 1 and abs(x - u * size) <= 1
        byte, unit, value = numbers.T
        assert np.array_equal(byte, np.rint((values[:, y, x] + 1) * 127.5))
        np.testing.assert_allclose(unit, byte / 255, atol=5.1e-5)
        np.testing.assert_allclose(value, values[:, y, x], atol=5.1e-5)


def test_explorer_equals_the_library_at_every_pixel(explorer, photo):
    """Not only where the pointer went: the whole canvas, for a shrunken and a stretched side."""
    for size in (384, 40):
        choose(explorer, "size", size)
        rgba = explorer.evaluate(
            """() => { const c = document.querySelector(".pe-view canvas");
            return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]; }"""
        )
        shown = np.array(rgba).reshape(size, size, 4)[..., :3]
        computed = np.rint((preprocess(photo, size=size)[0].numpy() + 1) * 127.5)
        assert np.array_equal(shown, computed.transpose(1, 2, 0))


@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
def test_explorer_without_antialiasing(explorer, photo, kind):
    choose(explorer, "size", 96)
    choose(explorer, "filter", kind)
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float()
    mode = {"nearest": "nearest-exact", "bilinear": "bilinear"}[kind]
    expected = F.interpolate(pixels, (96, 96), mode=mode)[0].numpy()
    box = explorer.locator(".pe-view canvas").bounding_box()
    for u, v in [(0.01, 0.01), (0.3, 0.4), (0.62, 0.81), (0.99, 0.99)]:
        explorer.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        y, x, numbers = readout(explorer)
        np.testing.assert_allclose(numbers[:, 0], expected[:, y, x], atol=0.501)


def test_explorer_obeys_the_keyboard(explorer):
    choose(explorer, "size", 40)
    explorer.locator(".pe-view canvas").focus()
    y, x, _ = readout(explorer)
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "Shift+ArrowLeft"):
        explorer.keyboard.press(key)
    assert readout(explorer)[:2] == (y + 2, x - 9)
    for _ in range(10):
        explorer.keyboard.press("Shift+ArrowUp")
    assert readout(explorer)[:2] == (0, x - 9)


def test_explorer_leaves_the_photo_to_readers_without_scripts(browser, url, pages, site):
    name = next(p for p in pages if "<siglip-pixel-explorer" in (site / p).read_text("utf-8"))
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{url}/{name}")
    assert page.locator("siglip-pixel-explorer img").bounding_box()["width"] > 200
    page.close()


# ------------------------------------------------------------------- the probability's curve


@pytest.fixture
def curve(browser, url, pages, site):
    name = next(p for p in pages if "<siglip-probability-curve" in (site / p).read_text("utf-8"))
    page = browser.new_page(viewport={"width": 1280, "height": 1000}, reduced_motion="reduce")
    page.goto(f"{url}/{name}")
    page.wait_for_selector("siglip-probability-curve svg")
    yield page
    page.close()


def said(page):
    return page.locator(".pc-readout").inner_text().replace("\u00a0", " ")


def preset(page, name):
    page.get_by_role("button", name=name).click()


def slide(page, **values):
    for name, value in values.items():
        slider = page.locator(f"siglip-probability-curve input[name={name}]")
        slider.evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            value,
        )


def dot(page):
    """Its centre in the window, and the share of the plot's height at which it is."""
    box = page.locator("siglip-probability-curve circle").bounding_box()
    x, y = (box[side] + box[size] / 2 for side, size in (("x", "width"), ("y", "height")))
    axes = page.locator("siglip-probability-curve .pc-axes path").bounding_box()
    return x, y, (axes["y"] + axes["height"] - y) / axes["height"]


@pytest.mark.parametrize(("cosine", "t", "b"), [(0.96, 10, -10), (0.11, 118.2, -12.66), (0, 1, 0)])
def test_curve_computes_the_sigmoid(curve, cosine, t, b):
    preset(curve, "where training starts")
    slide(curve, cosine=cosine, t=t, b=b)
    p = 1 / (1 + np.exp(-(t * cosine + b)))
    assert f"= {100 * p:.1f} %." in said(curve)
    assert dot(curve)[2] == pytest.approx(p, abs=0.01)


def test_curve_begins_with_what_its_chapter_asks_for(browser, url, pages, site):
    found = {}
    for name in pages:
        if "<siglip-probability-curve" in (site / name).read_text("utf-8"):
            page = browser.new_page()
            page.goto(f"{url}/{name}")
            page.wait_for_selector(".pc-readout")
            pressed = page.locator("siglip-probability-curve [aria-pressed=true]")
            found[name[10:12]] = *pressed.all_inner_texts(), said(page).split(" = ")[1]
            page.close()
    siglip2 = "SigLIP 2 so400m-patch16-256"
    assert found == {
        "07": (siglip2, "close-up", "σ(109.9 · 0.130 − 15.93)"),
        "18": (siglip2, "close-up", "σ(109.9 · 0.000 − 15.93)"),
    }


def test_curve_obeys_buttons_and_keyboard(curve):
    preset(curve, "where training starts")
    pressed = curve.locator("siglip-probability-curve [aria-pressed=true]")
    assert pressed.all_inner_texts() == ["where training starts", "all cosines"]
    preset(curve, "trained large-patch16-384")
    assert pressed.all_inner_texts() == ["trained large-patch16-384", "close-up"]
    assert "One half is reached at cosine 0.107" in said(curve)
    slide(curve, cosine=0.1)
    curve.locator("siglip-probability-curve input[name=cosine]").focus()
    curve.keyboard.press("ArrowRight")
    assert "118.2 · 0.101" in said(curve)
    slide(curve, t=50)
    assert pressed.all_inner_texts() == ["close-up"]


def test_curve_s_dot_can_be_dragged(curve):
    preset(curve, "trained large-patch16-384")
    curve.locator("siglip-probability-curve svg").scroll_into_view_if_needed()
    x, y, _ = dot(curve)
    axes = curve.locator("siglip-probability-curve .pc-axes path").bounding_box()
    curve.mouse.move(x, y)
    curve.mouse.down()
    curve.mouse.move(axes["x"] + axes["width"] * 0.6, y - 300, steps=4)  # above the plot, too
    curve.mouse.up()
    assert "118.2 · 0.130" in said(curve) and "93.7 %" in said(curve)
    curve.mouse.move(axes["x"], y)  # not pressed
    assert "118.2 · 0.130" in said(curve)


def test_curve_compares_models_at_the_same_cosine(curve):
    slide(curve, cosine=0.13)
    for name, p, half in [
        ("SigLIP 2 so400m-patch16-256", "16.2 %", "0.145"),
        ("trained large-patch16-384", "93.7 %", "0.107"),
    ]:
        preset(curve, name)
        found = said(curve)
        assert "· 0.13" in found and p in found and f"One half is reached at cosine {half}" in found


def test_curve_leaves_a_sentence_to_readers_without_scripts(browser, url, pages, site):
    name = next(p for p in pages if "<siglip-probability-curve" in (site / p).read_text("utf-8"))
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{url}/{name}")
    assert "reaches one half" in page.locator("siglip-probability-curve").inner_text()
    page.close()
