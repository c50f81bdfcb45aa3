"""What a page asks of the reader's line and browser before anybody scrolls."""

import re
import time

import pytest
from sphinx.errors import ExtensionError

pytestmark = [pytest.mark.site, pytest.mark.browser]

FIRST_VIEW = 250 * 1024  # bytes, compressed
SHIFT = """() => new Promise((then) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => then(sum), 100);
})"""


@pytest.fixture(scope="module")
def pages(site) -> list[str]:
    found = [*site.glob("notebooks/*.html"), *site.glob("book/**/*.html")]
    return ["index.html", *sorted(path.relative_to(site).as_posix() for path in found)]


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_first_view_is_light_and_nothing_moves(browser, url, pages, width, height):
    wrong = []
    modules = [name for name in pages if name.startswith("book/api/")]  # they are all alike
    for name in [page for page in pages if page not in modules] + modules[:2]:
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        asked, received = {}, {}  # by the request; what a data: address holds came with its file
        network.on(
            "Network.requestWillBeSent",
            lambda e, to=asked: to.update({e["requestId"]: e["request"]["url"]}),
        )
        network.on(
            "Network.loadingFinished",
            lambda e, to=received: to.update({e["requestId"]: e["encodedDataLength"]}),
        )
        page.goto(f"{url}/{name}", wait_until="networkidle")
        moved = page.evaluate(SHIFT)
        context.close()
        sent = {i: address for i, address in asked.items() if not address.startswith("data:")}
        size = sum(received.get(i, 0) for i in sent)
        sent = [address for address in sent.values() if not address.startswith("blob:")]
        if size > FIRST_VIEW:
            wrong.append((name, f"{size / 1024:.0f} KiB", *sent))
        if moved > 0.01:
            wrong.append((name, "things move by", moved))
        wrong += [(name, address) for address in sent if not address.startswith(url)]
        wrong += [(name, each) for each in sent if re.search(r"katex\.min\.js|awesome", each)]
    assert not wrong, "\n".join(map(str, wrong))


def test_every_picture_says_its_size_and_the_later_ones_come_later(site, pages):
    for name in pages:
        pictures = re.findall(r"<img\b[^>]*>", (site / name).read_text("utf-8"))
        for picture in pictures:
            assert re.search(r'\b(width="\d+"[^>]* height="\d+"|style=")', picture), (name, picture)
        early = [p for p in pictures if "data:" not in p and 'loading="lazy"' not in p]
        assert len(early) <= 1, (name, early)


def test_a_page_has_one_style_sheet_and_no_script_but_the_book_s(site, pages):
    for name in pages:
        html = (site / name).read_text("utf-8")
        assert len(re.findall(r'rel="stylesheet"', html)) == 1, name
        for script in re.findall(r'<script[^>]*src="([^"]*)"', html):
            assert "/js/" in f"/{script}", (name, script)


def test_rules_go_that_nothing_has_a_use_for(finished_pages, tmp_path):
    (tmp_path / "base.css").write_text("@media print{.used{color:red}}")
    (tmp_path / "a.css").write_text(
        '@import url("base.css"); :root{--on:red;--off:red}'
        ".used,.gone{color:var(--on)} .gone .used{top:0} .set-by-script{left:0} #here:hover{top:0}"
    )
    html = '<p class="more used" id="here" data-word="gone">'
    (tmp_path / "css").mkdir()
    (tmp_path / "css/own.css").write_text(".put-together{left:0}")
    sheets = [tmp_path / "a.css", tmp_path / "css/own.css"]
    used = finished_pages._names_in_use([html], ['classList.add("set-by-script")'])
    sheet = finished_pages._one_sheet(tmp_path, sheets, used)
    kept = ("@media print{.used", "--on", "color:var(--on)}", ".set-by-script", "#here", ".put-to")
    assert all(part in sheet for part in kept)
    assert ".gone .used" not in sheet and "--off" not in sheet


def test_lines_of_code_know_their_indent_and_keep_one_empty_line(finished_pages):
    code = 'a  <span class="c1"># [n]</span>\n\n\n    b\n    <span class="c1"># all of it</span>\n'
    html = f'<div class="highlight-python"><div class="highlight"><pre>{code}</pre></div></div>'
    lines = re.findall(
        r'<span class="line"(.*?)>(.*?)\n</span>',
        finished_pages.CODE.sub(finished_pages._in_lines, html),
    )
    assert lines == [
        ("", 'a  <span class="c1 aside"># [n]</span>'), ("", ""), (' style="--in:4ch"', "    b"),
        (' style="--in:4ch"', '    <span class="c1"># all of it</span>'),
    ]  # fmt: skip


def test_sheets_keep_their_order(finished_pages):
    lists = [["theme", "own"], ["theme", "figure", "own"], ["theme", "katex", "figure", "own"]]
    assert finished_pages._in_order(lists) == ["theme", "katex", "figure", "own"]


def test_a_formula_is_drawn_for_eye_and_ear(formulas):
    html = formulas.formula(r"\sigma(t\cos + b)")
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML">' in html and "katex-html" in html
    assert 'display="block"' in formulas.formula("n^2", display=True)


@pytest.mark.parametrize("tex", [r"\frac{1", r"\nosuchcommand x", "a_b_c"])
def test_a_formula_that_katex_refuses_stops_the_build(formulas, tex):
    with pytest.raises(ExtensionError, match="a formula that cannot be drawn: .+"):
        formulas.formula(tex)


@pytest.mark.parametrize("name", ["07_two_towers", "20_fine_tune", "23_any_shape"])
def test_letters_that_come_late_move_nothing(browser, url, name):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()

    def late(route):
        time.sleep(0.6)  # seconds; what is hidden until its letters are there waits 0.3
        route.continue_()

    page.route("**/*.woff2", late)
    page.goto(f"{url}/notebooks/{name}.html", wait_until="networkidle")
    moved = page.evaluate(SHIFT)
    context.close()
    assert moved < 0.01
