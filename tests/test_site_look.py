"""The site around the chapters: numbers, minutes, progress, colours, the reference's tables."""

import importlib
import importlib.util
import pkgutil
import re
import sys
from types import SimpleNamespace

import pytest
import yaml
from docutils import nodes
from PIL import Image

import siglip_lab


@pytest.fixture(scope="module")
def chapters(root, book_site):
    sys.modules.setdefault("book_site", book_site)
    spec = importlib.util.spec_from_file_location("chapters", root / "book/_ext/chapters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parts(root):
    """Caption of each part with chapters -> their names."""
    toc = yaml.safe_load((root / "book/_toc.yml").read_text())
    return {
        part["caption"]: [each["file"] for each in part["chapters"]]
        for part in toc["parts"]
        if part["chapters"][0]["file"].startswith("notebooks/")
    }


@pytest.fixture(scope="module")
def names(parts):
    return [name for part in parts.values() for name in part]


# ------------------------------------------------------------------------------ words


def test_a_number_and_its_unit_stay_on_one_line(book_site):
    code = nodes.literal("", "50 % 7")
    paragraph = nodes.paragraph("", "", nodes.Text("46 % of 24 GB, 3 minutes; "), code)
    book_site._keep_units(None, paragraph)
    assert paragraph.astext() == "46\u00a0% of 24\u00a0GB, 3 minutes; 50 % 7"


# ------------------------------------------------------------------------------ minutes


def words(count):
    return nodes.paragraph("", "word " * count)


def cell(lines, *outputs, tag=""):
    code = nodes.literal_block("", "\n".join(["x = 1"] * lines))
    inside = nodes.container("", code, classes=["cell_input"])
    printed = nodes.container("", *outputs, classes=["cell_output"])
    return nodes.container("", inside, printed, classes=["cell", tag])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([words(2200)], 10),
        ([cell(45)], 3),
        ([nodes.figure(), nodes.figure(), nodes.figure(), nodes.figure()], 2),
        ([words(1100), cell(30), nodes.figure(), nodes.figure()], 8),
        ([words(220), cell(300, tag="tag_hide-input")], 1),  # folded
        (
            [words(220), cell(0, *[nodes.figure()] * 4, tag="tag_hide-input")],
            3,
        ),  # but not what it drew
        ([words(220), cell(300, nodes.figure(), tag="tag_hide-cell")], 1),
        ([words(220), cell(0, words(2200), nodes.literal_block("", "1\n" * 99))], 1),  # printed
        ([words(220), nodes.container("", words(2200), design_component="dropdown")], 1),
        ([words(3)], 1),
    ],
)
def test_minutes_are_words_code_and_figures(chapters, content, expected):
    document = nodes.document(None, None)
    document += [each.deepcopy() for each in content]
    assert chapters.minutes(document) == expected


# ------------------------------------------------------------- where the site's pages are


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        ("", ""),
        ("https://github.com/me/my.book", "https://me.github.io/my.book/"),
    ],
)
def test_address_of_the_site(chapters, repository, expected):
    config = SimpleNamespace(html_theme_options={"repository_url": repository}, html_baseurl="")
    chapters._address_of_the_site(None, config)
    assert config.html_baseurl == expected


def test_cards_name_a_picture_where_the_address_is_known(chapters, root):
    said = {}
    for address in ("", "https://me.github.io/book/"):
        app = SimpleNamespace(
            config=SimpleNamespace(html_title="T", html_baseurl=address, root_doc="index"),
            builder=SimpleNamespace(get_target_uri=lambda name: f"{name}.html"),
        )
        context = {"metatags": '<meta content="D" name="description" />', "title": "<b>A & B</b>"}
        said[address] = chapters._cards(app, "notebooks/x", context)
        assert '<meta property="og:title" content="A &amp; B" />' in said[address]
        assert '<meta property="og:description" content="D" />' in said[address]
    assert "og:image" not in said[""]
    picture = "https://me.github.io/book/_static/card.png"
    assert f'og:image" content="{picture}"' in said["https://me.github.io/book/"]
    with Image.open(root / "book/_static/card.png") as card:
        assert card.size == (1200, 630)


def test_typefaces_are_small_and_have_their_licence(root):
    fonts = list((root / "book/_static/fonts").glob("*.woff2"))
    assert 2 <= len(fonts) <= 4
    assert sum(font.stat().st_size for font in fonts) <= 80 * 1024
    assert "SIL Open Font License" in (root / "book/_static/fonts/LICENSE.txt").read_text()


# ------------------------------------------------------------------------ the built site

site_test = pytest.mark.site
browser_test = pytest.mark.browser


def text(html):
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", html)).strip()


@site_test
def test_every_page_lists_the_chapters_in_parts(site, parts, names):
    for page in ("index", "book/api", names[3]):
        html = (site / f"{page}.html").read_text("utf-8")
        nav = re.search(r'<nav class="bd-links.*?</nav>', html, re.DOTALL)[0]
        captions = re.findall(r'<span class="caption-text">(.*?)</span>', nav)
        assert captions[: len(parts)] == list(parts)
        assert re.findall(r'class="number">(\d+)<', nav) == [str(i + 1) for i in range(len(names))]
        assert len(re.findall(r"[1-9]\d* min<", nav)) == len(names)
        assert nav.count('aria-current="page"') == (page != "index")


@site_test
def test_a_chapter_says_its_number_part_and_minutes_as_the_landing_page_does(site, parts, names):
    landing = (site / "index.html").read_text("utf-8")
    entries = re.findall(r'<li class="chapter".*?</li>', landing, re.DOTALL)
    assert len(entries) == len(names)
    for part, inside in parts.items():
        for name in inside:
            number = names.index(name) + 1
            html = (site / f"{name}.html").read_text("utf-8")
            line = text(re.search(r'<div class="chapter-line".*?</p>', html, re.DOTALL)[0])
            minutes = re.fullmatch(
                rf"Chapter {number} of {len(names)} · {part} · (\d+) minutes", line
            )[1]
            assert f"{minutes} min" in text(entries[number - 1])
            assert f'href="{name}.html"' in entries[number - 1]
            top = html[html.index('<div class="chapter-line"') : html.index("<section")]
            picture = re.search(r'<svg class="pictogram".*?</svg>', top)[0]
            assert "<path" in picture and picture in entries[number - 1]
            assert html.count(picture) == 2  # in the contents, too
            assert f'_sources/{name}.ipynb" download>Download the notebook</a>' in top


@site_test
def test_figures_are_numbered_in_their_chapter(site, names):
    for chapter, name in enumerate(names, 1):
        html = (site / f"{name}.html").read_text("utf-8")
        found = re.findall(r'<span class="caption-number">(.*?) ?</span>', html)
        assert found == [f"Figure {chapter}.{i + 1}" for i in range(len(found))], name
        assert found


@site_test
def test_titles_are_not_doubled_and_pages_have_cards(root, site, names):
    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"]
    for name in ("index", "book/api", *names):
        html = (site / f"{name}.html").read_text("utf-8")
        title = re.search("<title>(.*?)</title>", html)[1]
        assert title.count("SigLIP, step by step") == 1
        for tag in ("og:title", "og:description", "twitter:card"):
            assert html.count(f'"{tag}"') == 1, (name, tag)
        assert ('"og:image"' in html) == bool(repository)


@site_test
def test_the_reference_has_every_public_name(site):
    html = (site / "book/api.html").read_text("utf-8")
    tables = re.findall(r"<table class=\"names.*?</table>", html, re.DOTALL)
    cells = [
        tuple(text(cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL))
        for table in tables
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    ]
    modules = [siglip_lab] + [
        importlib.import_module(each.name)
        for each in pkgutil.walk_packages(siglip_lab.__path__, "siglip_lab.")
        if not each.name.endswith("__main__")
    ]
    with_names = [each.__name__ for each in modules if getattr(each, "__all__", [])]
    assert not [name for name in with_names if name not in text(html)], "they go to book/api.md"
    public = [name for module in modules for name in getattr(module, "__all__", [])]
    assert sorted(name for name, _ in cells) == sorted(public)
    assert all(about for _, about in cells)


@site_test
def test_a_module_has_a_page_with_its_names(site):
    html = (site / "book/api/preprocessing.html").read_text("utf-8")
    assert 'id="siglip_lab.preprocessing.preprocess"' in html
    assert "Photo to pixels" in html
    chapter = (site / "notebooks/02_preprocessing.html").read_text("utf-8")
    assert "book/api/preprocessing.html#siglip_lab.preprocessing.preprocess" in chapter


# ----------------------------------------------------------------------------- in a browser


def opened(browser, url, name, reduced_motion="reduce", **options):
    context = browser.new_context(reduced_motion=reduced_motion, **options)
    page = context.new_page()
    page.goto(f"{url}/{name}")
    return page


@site_test
@browser_test
def test_what_was_read_is_ticked_and_the_landing_page_leads_on(browser, url, names):
    page = opened(browser, url, f"{names[0]}.html")
    entry = page.locator(".bd-links [data-chapter]").first
    assert "read" not in entry.get_attribute("class").split()
    page.locator(".prev-next-footer").scroll_into_view_if_needed()
    page.wait_for_selector(".bd-links [data-chapter].read", state="attached")
    page.goto(f"{url}/index.html")
    assert page.locator("li.chapter.read").count() == 1
    assert page.locator("li.chapter .done").first.text_content() == "read"
    way = page.locator(".way-to-read")
    assert "Continue with chapter 2" in way.inner_text()
    assert way.locator("a").get_attribute("href").endswith(f"{names[1]}.html")
    page.evaluate(
        """() => {
          const kept = JSON.parse(localStorage.getItem("siglip-progress"));
          kept.exercises = { "08.1": "2", "08.3": "5", "09.1": "1" };
          localStorage.setItem("siglip-progress", JSON.stringify(kept));
          const losses = document.querySelectorAll("[data-chapter^='08']");
          losses.forEach((e) => (e.dataset.exercises = 4));
          dispatchEvent(new Event("storage"));
        }"""
    )
    assert page.locator("li.chapter .done").nth(7).text_content() == "2 of 4 solved"
    page.context.close()


@site_test
@browser_test
def test_without_scripts_nothing_claims_to_know_the_reader(browser, url):
    page = opened(browser, url, "index.html", java_script_enabled=False)
    assert page.locator(".read").count() == 0
    assert set(page.locator(".done").all_text_contents()) == {""}
    assert "Begin with chapter 1" in page.locator(".way-to-read").inner_text()
    assert page.locator(".ways a").count() == 3
    page.context.close()


# Colours of the palette are for what they mean: in figures, in the mark, and in words marked so.
COLOURED = """() => {
  const probe = document.body.appendChild(document.createElement("i"));
  const palette = ["image", "text", "joint", "mistake"].map((name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  const own = ".touchable, .two-arrows, .c-image, .c-text, .c-joint, .c-mistake, figure, svg";
  const sides = ["Top", "Right", "Bottom", "Left"].map((side) => `border${side}`);
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest(own) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const used = [style.color, style.backgroundColor, style.textDecorationColor,
      ...sides.filter((s) => style[s + "Width"] !== "0px").map((s) => style[s + "Color"])];
    if (used.some((colour) => palette.includes(colour))) found.push(e.outerHTML.slice(0, 120));
  }
  return found;
}"""

LINKS = """() => {
  const found = new Set();
  const links = "article a:not(.headerlink, .way, .sd-stretched-link, .touchable *, .drawn *)";
  for (const e of document.querySelectorAll(links)) {
    if (!e.getClientRects().length || !e.textContent.trim()) continue;
    const style = getComputedStyle(e);
    const around = getComputedStyle(e.parentElement).color;
    found.add([style.textDecorationLine, style.color === around].join(" "));
  }
  return [...found];
}"""

# Words with less contrast than 4.5 against the nearest ground behind them.
PALE = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => v / 255).map((v) =>
      v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (e) => {
    const layers = [];
    for (; e; e = e.parentElement) {
      const [r, g, b, a] = rgba(getComputedStyle(e).backgroundColor);
      layers.push([r, g, b, a / 255]);
      if (a === 255) break;
    }
    return layers.reverse().reduce((under, [r, g, b, a]) =>
      [r, g, b].map((v, i) => v * a + under[i] * (1 - a)), [255, 255, 255]);
  };
  const found = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest("svg, script, style, .touchable, dialog") || !e.getClientRects().length) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const style = getComputedStyle(e);
    if (style.visibility === "hidden" || style.opacity === "0") continue;
    const [a, b] = [light(rgba(style.color).slice(0, 3)), light(ground(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.add(`${contrast.toFixed(2)} ${e.outerHTML.slice(0, 90)}`);
  }
  return [...found].slice(0, 10);
}"""

PAGES = ["index.html", "notebooks/08_losses.html", "notebooks/15_real_model.html",
         "notebooks/16_scores.html", "notebooks/18_mistakes.html", "book/api/model.html",
         "book/notation.html"]  # fmt: skip


@site_test
@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_mean_one_thing_and_everything_can_be_read(browser, url, scheme):
    wrong = []
    page = opened(browser, url, "index.html", color_scheme=scheme)
    for name in PAGES:
        page.goto(f"{url}/{name}")
        wrong += [(name, "palette", each) for each in page.evaluate(COLOURED)]
        wrong += [(name, "contrast", each) for each in page.evaluate(PALE)]
        links = page.evaluate(LINKS)
        wrong += [(name, "link", each) for each in links if each != "underline true"]
    page.context.close()
    assert not wrong, "\n".join(map(str, wrong))


@site_test
@browser_test
def test_headings_typefaces_and_the_way_past_the_contents(browser, url):
    page = opened(browser, url, "notebooks/08_losses.html")
    sizes = page.evaluate(
        """() => ["h1", "h2", "h3"].map((tag) => {
          const style = getComputedStyle(document.querySelector(`article ${tag}`));
          return [parseFloat(style.fontSize), Number(style.fontWeight)];
        })"""
    )
    assert sizes[0] > sizes[1] > sizes[2]
    assert len({weight for _, weight in sizes}) == 1
    page.evaluate("document.fonts.ready")
    loaded = page.evaluate(
        "[...document.fonts].filter((f) => f.status === 'loaded').map((f) => f.family)"
    )
    assert {"Book Sans", "Book Mono"} <= {family.strip('"') for family in loaded}
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert (
        page.evaluate("document.activeElement.textContent") == "Skip to the first figure to touch"
    )
    page.keyboard.press("Enter")
    assert page.locator("#to-touch").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("Boolean(document.activeElement.closest('#to-touch'))")
    page.context.close()


@site_test
@browser_test
def test_on_a_phone_what_scrolls_shows_that_it_does(browser, url):
    page = opened(browser, url, "notebooks/28_million.html", viewport={"width": 390, "height": 844})
    hidden = page.evaluate(
        """() => [...document.querySelectorAll("pre, table, .pst-scrollable-table-container")]
          .filter((e) => !e.closest(".touchable") && e.scrollWidth > e.clientWidth + 1)
          .map((e) => getComputedStyle(e).backgroundAttachment)"""
    )
    assert hidden and all("local" in each and "scroll" in each for each in hidden)
    page.context.close()


def test_palette_of_the_mark_is_that_of_the_site(root):
    css = (root / "book/_static/css/custom.css").read_text()
    mark = (root / "book/_static/favicon.svg").read_text()
    colours = dict(re.findall(r"--(\w+): (#\w{6});", css.split("html[data-theme")[0]))
    drawn = re.findall(r"\.(\w+) \{ stroke: (#\w+)", mark.split("@media")[0])
    assert drawn == [(name, colours[name]) for name in ("image", "text", "joint")]


@site_test
@browser_test
def test_nothing_moves_for_readers_who_want_no_motion(browser, url, names):
    moving = """() => [...document.querySelectorAll("*")].filter((element) => {
      const { transitionDuration, animationName } = getComputedStyle(element);
      return parseFloat(transitionDuration) > 0 || animationName !== "none";
    }).length"""
    for name in ("index", names[2], names[8]):
        page = opened(browser, url, f"{name}.html")
        assert page.evaluate(moving) == 0
        page.context.close()
    page = opened(browser, url, "index.html", reduced_motion="no-preference")
    assert page.evaluate(moving) > 0  # so the test would see it
    page.context.close()


def test_the_tour_stays_in_sight_inside_a_chapter(browser, url):
    """Around it, a chapter has boxes of its own, one of which could hold it back."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{url}/notebooks/01_start_here.html")
    page.get_by_role("button", name="Guided tour").click()
    card = page.locator(".ex-tour")
    card.wait_for(state="visible")
    page.wait_for_timeout(500)
    box = card.bounding_box()
    assert 0 <= box["y"] and box["y"] + box["height"] <= 900
    page.close()


def test_a_title_is_broken_in_the_middle(site):
    """Bootstrap's unused class `text-wrap` goes, the property of this name stays."""
    assert "text-wrap:balance" in (site / "_static/site.css").read_text("utf-8")
