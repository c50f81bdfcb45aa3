"""The drawn figures of the site: words that can be read and stand apart, at both widths."""

import re

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

# Words that are small, meet others, or leave their drawing. A text's box is higher than its ink.
WRONG_WORDS = """() => {
  const wrong = [];
  for (const svg of document.querySelectorAll("svg.drawn")) {
    const name = svg.closest("figure")?.id ?? svg.getAttribute("aria-label");
    const edge = svg.getBoundingClientRect();
    const scale = edge.width / svg.viewBox.baseVal.width;
    const boxes = [...svg.querySelectorAll("text")].map((text) => {
      const size = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (size < 11 || size > 19) wrong.push([name, `${size} px`, text.textContent]);
      const { left, right, top, bottom } = text.getBoundingClientRect();
      const [x, y] = /rotate/.test(text.getAttribute("transform")) ? [0.14, 0] : [0, 0.14];
      return { words: text.textContent, left: left + x * size, right: right - x * size,
        top: top + y * size, bottom: bottom - y * size };
    });
    boxes.forEach((a, i) => {
      if (a.left < edge.left - 1 || a.right > edge.right + 1
          || a.top < edge.top - 1 || a.bottom > edge.bottom + 1)
        wrong.push([name, "leaves the drawing", a.words]);
      for (const b of boxes.slice(i + 1))
        if (Math.min(a.right, b.right) > Math.max(a.left, b.left)
            && Math.min(a.bottom, b.bottom) > Math.max(a.top, b.top))
          wrong.push([name, "meets", a.words, b.words]);
    });
  }
  return wrong;
}"""

# Words whose contrast to what is drawn right below them is too small; photos are left out.
PALE_WORDS = """() => {
  const rgb = (value) => value.match(/[\\d.]+/g).map(Number);
  const over = (top, share, ground) => ground.map((g, i) => share * top[i] + (1 - share) * g);
  const light = (colour) => colour.map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const page = rgb(getComputedStyle(document.body).backgroundColor).slice(0, 3);
  const wrong = [];
  for (const svg of document.querySelectorAll("svg.drawn")) {
    const drawn = [...svg.querySelectorAll("path, text, image, rect, foreignObject")];
    for (const text of svg.querySelectorAll("text")) {
      const { left, right, top, bottom } = text.getBoundingClientRect();
      const [x, y] = [(left + right) / 2, (top + bottom) / 2];
      let ground = page;
      for (const shape of drawn.slice(0, drawn.indexOf(text))) {
        const box = shape.getBoundingClientRect();
        if (shape.closest("mask") || box.left > x || box.right < x || box.top > y || box.bottom < y)
          continue;
        if (shape.tagName !== "path") {
          if (shape.tagName !== "text") ground = null;
          continue;
        }
        const point = new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse());
        const style = getComputedStyle(shape);
        if (ground && style.fill !== "none" && shape.isPointInFill(point))
          ground = over(rgb(style.fill), Number(style.fillOpacity), ground);
      }
      if (!ground) continue;
      const [a, b] = [light(rgb(getComputedStyle(text).fill)), light(ground)].sort((p, q) => q - p);
      const contrast = (a + 0.05) / (b + 0.05);
      if (contrast < 4.5)
        wrong.push([svg.closest("figure")?.id, text.textContent, contrast.toFixed(2)]);
    }
  }
  return wrong;
}"""


@pytest.fixture(scope="module")
def pages(site) -> list[str]:
    """Those with a drawing."""
    found = [path for path in site.rglob("*.html") if 'class="drawn"' in path.read_text("utf-8")]
    assert len(found) >= 15
    return sorted(str(path.relative_to(site)) for path in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_words_can_be_read(browser, url, pages, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, wrong = context.new_page(), []
    for name in pages:
        page.goto(f"{url}/{name}")
        page.evaluate("document.fonts.ready")
        wrong += [(name, *each) for each in page.evaluate(WRONG_WORDS)]
        wrong += [(name, *each) for each in page.evaluate(PALE_WORDS)]
    context.close()
    assert not wrong, "\n".join(map(str, wrong))


def test_every_figure_is_drawn_in_the_page_and_says_what_it_shows(site, pages):
    for name in pages:
        html = (site / name).read_text("utf-8")
        assert "data:image/png;base64,iVBORw0KGgo" not in re.sub("<svg.*?</svg>", "", html), name
        drawings = re.findall(r'<svg [^>]*class="drawn"[^>]*>', html)
        for drawing in drawings:
            assert re.search(r' role="(img|group)" aria-label="\w+\W+\w+', drawing), name
        assert len(re.findall(r"<img [^>]*\.svg", html)) == 0, name
        masks = re.findall(r'<mask id="([^"]*)"', html)
        assert len(masks) == len(set(masks)), name


def test_stations_of_the_map_lead_to_their_chapters(browser, url):
    page = browser.new_page()
    page.goto(f"{url}/notebooks/02_preprocessing.html")
    page.locator("svg.drawn a", has_text="pooling").click()
    page.wait_for_url("**/06_pooling_heads.html")
    page.goto(f"{url}/notebooks/13_clip.html")
    links = page.locator("svg.drawn a").evaluate_all("all => all.map(e => e.getAttribute('href'))")
    assert len(set(links)) == 5
    for link in links:
        assert page.locator(f"section{link}").count() == 1, link
    page.close()


def test_photos_wait_until_the_reader_comes(browser, url):
    page, fetched = browser.new_page(viewport={"width": 390, "height": 800}), []
    page.on("request", lambda request: fetched.append(request.url))
    page.goto(f"{url}/notebooks/02_preprocessing.html", wait_until="networkidle")
    photos = page.locator("svg.drawn img.photo")
    early = len([each for each in fetched if "/_images/" in each])
    assert early < photos.count()
    photos.last.scroll_into_view_if_needed()
    last = photos.last.element_handle()
    page.wait_for_function("e => e.complete && e.naturalWidth > 0", arg=last)
    page.close()
