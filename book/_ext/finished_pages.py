"""What a finished page carries, and nothing else.

- One style sheet for the whole site: our own rules, and of the theme's those that a page or a
  script has a use for. Of KaTeX's fonts, the letters that the formulas have.
- No script of the theme or of Sphinx, but on the page of the search; `js/site.js` does their work.
- Pictures know their size, so that nothing moves when they come, and come when they are near.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import shutil
from io import BytesIO
from pathlib import Path

import lightningcss
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# In the head, so that no page is light before it is dark.
THEME = (
    '<script>((d, m = "auto") => { try { m = localStorage.getItem("mode") || m } catch {} '
    'd.mode = m; d.theme = m !== "auto" ? m : '
    'matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light" '
    "})(document.documentElement.dataset)</script>"
)
# After the style sheet, which brings the letters. To unpack them takes a moment, and what is
# painted before that would move: it waits, a moment at most.
LETTERS = (
    "<script>(({ style }, show = () => (style.visibility = '')) => { "
    "style.visibility = 'hidden'; setTimeout(show, 300); "
    "addEventListener('DOMContentLoaded', () => { "
    "document.body.offsetHeight; document.fonts.ready.then(show) }) "
    "})(document.documentElement)</script>"
)

logging.getLogger("fontTools.subset").setLevel(logging.WARNING)  # it tells of each table

# Buttons that would do nothing are not there, and on a phone the contents stand under the text.
WITHOUT_SCRIPTS = """<noscript><style>
.pst-js-only, .sidebar-toggle, .btn-fullscreen-button, .btn-download-pdf-button { display: none !important; }
@media (max-width: 959.98px) {
  .bd-container .bd-container__inner { flex-direction: column; }
  .bd-sidebar-primary { position: static; order: 1; visibility: visible; width: 100%; max-width: none;
    height: auto; max-height: none; margin: 0; }
}
</style></noscript>"""  # noqa: E501

SHEET = re.compile(r'\s*<link\b[^>]*?href="([^"]*\.css)(?:\?[^"]*)?"[^>]*?>')
SCRIPT = re.compile(r"\s*<script\b([^>]*)>(.*?)</script>", re.DOTALL)
# Where a phone may break a line of code.
BREAKS = re.compile(r'<span class="(?:o|p)">[.(=]</span>|_')
CODE = re.compile(
    r'(<div class="highlight-(?:python|sh)[^>]*><div class="highlight"><pre>'
    r"(?:<span></span>)?)(.*?)(</pre>)", re.DOTALL,
)  # fmt: skip
PRINTED = re.compile(
    r'(<div class="output [^>]*highlight-[^>]*><div class="highlight"><pre>(?:<span></span>)?)'
    r"(.*?)(</pre>)", re.DOTALL,
)  # fmt: skip
COLUMNS = re.compile(r"\S {2,}\S")
IMAGE = re.compile(r"<img\b[^>]*>")
TAG = re.compile(r"<([a-z][\w-]*)((?:\s[^<>]*)?)>")

# What Sphinx's search needs, on its own page.
SEARCH = (
    "documentation_options", "doctools", "sphinx_highlight", "language_data", "searchtools",
    "searchindex",
)  # fmt: skip
# What the theme and the extensions bring beside, by address or by a word of the script.
UNUSED = (
    "scripts/bootstrap", "scripts/pydata-sphinx-theme", "scripts/sphinx-book-theme",
    "scripts/fontawesome", "clipboard.min.js", "copybutton", "togglebutton", "design-tabs",
    "thebe", "THEBE", "toggleHint", "toggleOpenOnPrint", "search_as_you_type",
    "localStorage.getItem(\"theme\")",
)  # fmt: skip


# --------------------------------------------------------------------------------------- a page


def _mended(html: str, name: str) -> str:
    """Without what the theme cannot be told to leave out."""
    search = name == "search.html"

    def script(match):
        attributes, body = match.groups()
        if any(word in match[0] for word in UNUSED):
            return ""
        if any(f"{word}.js" in attributes for word in SEARCH) or "DOCUMENTATION_OPTIONS" in body:
            return match[0] if search else ""
        return match[0]

    html = SCRIPT.sub(script, html)
    html = re.sub(r'\s*<link rel="preload" as="script"[^>]*>', "", html)
    html = re.sub(r"\s*<link\b[^>]*thebe[^>]*>", "", html)
    html = html.replace('data-theme="auto"', 'data-theme="light"', 1)  # until the script has run
    html = html.replace('<meta charset="utf-8" />', f'<meta charset="utf-8" />{THEME}', 1)
    html = re.sub(r"<noscript>\s*<style>.*?</noscript>", "", html, count=1, flags=re.DOTALL)
    html = html.replace("</head>", f"{WITHOUT_SCRIPTS}</head>", 1)
    # The first of several is enough.
    viewport = re.compile(r'<meta name="viewport"[^>]*>\n?')
    html = viewport.sub("", html).replace(THEME, THEME + viewport.search(html)[0].strip(), 1)
    # A second title and table of contents, for paper only; a pill that lies on the words; a place
    # for advertisements.
    html = re.sub(
        r'<div id="jb-print-docs-body".*?</div>\s*</div>\s*</div>\s*(?=<div id="searchbox")',
        "", html, flags=re.DOTALL,
    )  # fmt: skip
    html = re.sub(r'<button[^>]*id="pst-back-to-top".*?</button>', "", html, flags=re.DOTALL)
    html = re.sub(
        r'<div class="sidebar-primary-item">\s*<div id="ethical-ad-placement".*?</div>\s*</div>',
        "", html, flags=re.DOTALL,
    )  # fmt: skip
    # A label that hides the visible words from a screen reader.
    html = re.sub(r'(<label class="sidebar-toggle[^>]*?) aria-label="[^"]*"', r"\1", html)
    html = html.replace(
        '<div id="pst-primary-sidebar"',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="Contents of the book"',
    )
    # An empty cell is no heading; a list of literature is none of ARIA's lists.
    html = re.sub(r'<th class="head[^>]*>(<p></p>)?</th>', "<td></td>", html)
    html = re.sub(r' role="doc-biblioentry"| role="list"(?= class="citation-list")', "", html)
    html = CODE.sub(_in_lines, html)
    # What is printed in columns cannot be broken, and scrolls.
    html = PRINTED.sub(lambda m: m[0] if COLUMNS.search(m[2]) else _in_lines(m), html)
    # Figures start when the page is there: their scripts stand behind it.
    figures = re.findall(r'\s*<script type="module">.*?</script>', html, re.DOTALL)
    for figure in figures:
        html = html.replace(figure, "", 1)
    head, end, tail = html.rpartition("</body>")
    return head + "".join(figures) + "\n" + end + tail


def _in_lines(code: re.Match) -> str:
    """Make each line, of code or printed, an element that knows its indent: a phone breaks it.

    A comment behind code goes to the next line as a whole; of two empty lines one stays.
    """
    lines, open_tags = [], []
    empty = '<span class="line">\n</span>'
    for line in code[2].removesuffix("\n").split("\n"):
        before = "".join(open_tags)
        for tag in re.findall(r"<[^>]*>", line):
            open_tags = open_tags[:-1] if tag.startswith("</") else [*open_tags, tag]
        after = "".join(f"</{tag[1:].split()[0].rstrip('>')}>" for tag in reversed(open_tags))
        words = re.sub(r"<[^>]*>", "", line)
        indent = len(words) - len(words.lstrip(" "))
        look = f' style="--in:{indent}ch"' if indent else ""
        line = BREAKS.sub(r"\g<0><wbr>", line)
        if not words.lstrip().startswith("#"):
            line = line.replace('<span class="c1">', '<span class="c1 aside">')
        line = f'<span class="line"{look}>{before}{line}{after}\n</span>'
        if not line == empty == "".join(lines[-1:]):
            lines.append(line)
    return f"{code[1]}{''.join(lines)}{code[3]}"


# ----------------------------------------------------------------------------- the style sheet


def _in_order(lists: list[list[str]]) -> list[str]:
    """All of several lists, each in its own order."""
    merged: list[str] = []
    for names in lists:
        place = len(merged)
        for name in reversed(names):
            if name in merged:
                place = merged.index(name)
            else:
                merged.insert(place, name)
    return merged


def _names_in_use(pages: list[str], scripts: list[str]) -> set[str]:
    """Tags, attributes, classes, ids and variables of the pages, and every word of a script."""
    used: set[str] = set()
    for html in pages:
        for tag, attributes in set(TAG.findall(html)):
            used.add(tag)
            for name, value in re.findall(r'([\w-]+)(?:="([^"]*)")?', attributes):
                used.add(name)
                if name in ("class", "id"):
                    used.update(value.split())
                elif name == "style":
                    used.update(re.findall(r"var\((--[\w-]+)", value))
    for script in scripts:
        used.update(re.findall(r"[\w-]+", script))
    return used


def _text(sheet: Path) -> str:
    """What the sheet and those that it imports say."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text("utf-8"), flags=re.DOTALL)
    imported = r"""@import\s+(?:url\()?["']?([^"')\s;]*)["']?\)?\s*;"""
    return re.sub(imported, lambda match: _text(sheet.parent / match[1]), text)


def _one_sheet(static: Path, sheets: list[Path], used: set[str]) -> str:
    texts = []
    for sheet in sheets:
        text = _text(sheet)
        if "vendor/fontawesome" in text:  # css/icons.css draws the few that are used
            text = re.sub(r"@font-face\s*\{[^}]*fontawesome[^}]*\}", "", text)
            names = set(re.findall(r"\.(fa[\w-]*)", text))
            text = lightningcss.process_stylesheet(text, unused_symbols=names)
        folder = sheet.parent

        def address(match, folder=folder):
            if match[1].startswith(("data:", "#", "http")):
                return match[0]
            file = (folder / match[1].split("?")[0]).resolve()
            return f"url({file.relative_to(static)})"

        texts.append(re.sub(r"""url\(["']?([^)"']*)["']?\)""", address, text))
    text = "\n".join(texts)
    # Our own rules stay: scripts put the names of some together, `lp-${kind}`.
    own = "\n".join(_text(sheet) for sheet in sheets if sheet.parent == static / "css")
    name = re.compile(r"[.#](-?[A-Za-z_][\w-]*)")
    unused = set(name.findall(text)) - set(name.findall(own)) - used
    # A class may be called as a property is, `text-wrap`, which would go with it.
    unused -= set(re.findall(r"[{;]\s*([a-z-]+)\s*:", own))
    while True:
        out = lightningcss.process_stylesheet(text, unused_symbols=unused)
        variables = set(re.findall(r"(--[\w-]+)\s*:", out))
        needless = variables - set(re.findall(r"var\(\s*(--[\w-]+)", out)) - used - unused
        if not needless:
            return out
        unused |= needless


# ------------------------------------------------------------------------------------- fonts


def _own_fonts(sheet: str, static: Path) -> str:
    """The book's letters in the sheet itself: those that come after it would move the lines."""

    def inline(match):
        file = static / match[1]
        letters = base64.b64encode(file.read_bytes()).decode()
        file.unlink()
        return f"url(data:font/woff2;base64,{letters})"

    return re.sub(r"url\(\"?(fonts/[^)\"]*)\"?\)", inline, sheet)


def _formula_fonts(sheet: str, pages: list[str], static: Path) -> str:
    """KaTeX's fonts with the letters that formulas have; those with none of them go."""
    letters = set()
    for html in pages:
        for formula in re.findall(r'class="katex-html".*?(?=<span class="katex|</p>|</div>)', html):
            letters.update(re.sub(r"<[^>]*>|&[a-z]+;", "", formula))
    unicodes = {ord(letter) for letter in letters} | {ord(sign) for sign in "<>&\u00a0\u200b"}
    for face in re.findall(r"@font-face\s*\{[^}]*katex/fonts[^}]*\}", sheet):
        file = static / re.search(r"url\(([^)]*)\)", face)[1]
        font = TTFont(file)
        if not letters or not unicodes & set(font.getBestCmap()):
            sheet = sheet.replace(face, "")
            file.unlink()
            continue
        options = subset.Options(flavor="woff2", layout_features=["*"], hinting=False)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=unicodes)
        cutter.subset(font)
        subset.save_font(font, str(file), options)
    return sheet


# ----------------------------------------------------------------------------------- pictures


EXACT = 60_000  # bytes; what is larger pixel by pixel is a photo, which need not be exact


def _small(file: Path) -> Path:
    """The picture as WebP beside it, where that is smaller."""
    small = file.with_suffix(".webp")
    if file.suffix != ".png" or small.exists():
        return small if small.exists() else file
    with Image.open(file) as picture:
        if picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255):
            picture = picture.convert("RGB")
        data = _webp(picture, lossless=True)
        if len(data) > EXACT:
            data = min(data, _webp(picture, quality=90), key=len)
    if len(data) >= file.stat().st_size:
        return file
    small.write_bytes(data)
    return small


def _webp(picture: Image.Image, **options) -> bytes:
    data = BytesIO()
    picture.save(data, "WEBP", method=4, **options)
    return data.getvalue()


def _picture_to_read(tag: str, source: str, images: Path, folder: str) -> str:
    """A picture whose exact pixels a figure reads: they wait in a script until the figure is near,
    because a page that was opened from a file may not read those of a picture beside it."""
    data = source.partition(",")[2]
    name = hashlib.sha256(data.encode()).hexdigest()[:16]
    with Image.open(BytesIO(base64.b64decode(data))) as picture:
        (images / f"{name}.webp").write_bytes(_webp(picture, quality=80))
    told = f'new CustomEvent("told", {{ detail: "{source}" }})'
    (images / f"{name}.js").write_text(f"document.currentScript.dispatchEvent({told});\n", "utf-8")
    return tag.replace(
        f'data-exact src="{source}"', f'data-exact="{folder}{name}.js" src="{folder}{name}.webp"'
    )


def _pictures(html: str, page: Path, images: Path) -> str:
    """Each says its size; what is not on the first screen comes later."""
    first_screen = html.find("<h2", html.find("<article"))
    folder = re.search(r'data-content_root="([^"]*)"', html)[1] + "_images/"
    seen = 0

    def picture(match):
        nonlocal seen
        tag = match[0]
        source = re.search(r'\ssrc="([^"]*)"', tag)
        if source is None or source[1].startswith("http"):
            return tag
        if source[1].startswith("data:"):
            if " data-exact" not in tag:
                return tag
            tag = _picture_to_read(tag, source[1], images, folder)
        elif (file := page.parent / source[1]).suffix in (".png", ".jpg", ".jpeg", ".webp"):
            tag = tag.replace(source[1], source[1][: -len(file.name)] + _small(file).name)
            if not re.search(r'\s(width|height|style)="', tag):
                with Image.open(file) as image:
                    width, height = image.size
                tag = tag.replace("<img", f'<img width="{width}" height="{height}"', 1)
        if "loading=" not in tag:
            early = seen == 0 and match.start() < first_screen
            how = 'fetchpriority="high"' if early else 'loading="lazy" decoding="async"'
            tag = tag.replace("<img", f"<img {how}", 1)
        seen += 1
        return tag

    return IMAGE.sub(picture, html)


# ------------------------------------------------------------------------------------ the site


def _finish(app: Sphinx, exception):
    if exception or app.builder.format != "html":
        return
    out = Path(app.outdir)
    static = out / "_static"
    _mend_search(static / "searchtools.js")
    pages, lists = {}, []
    for page in sorted(out.rglob("*.html")):
        if static in page.parents:
            page.unlink()  # the theme's macros
            continue
        html = _mended(page.read_text("utf-8"), page.relative_to(out).as_posix())
        if 'class="admonition dropdown' in html:
            raise ExtensionError(f"{page.name}: an admonition that opens is a {{dropdown}} here")
        if "bd-sidebar-secondary" not in html:  # said first, or what is painted early moves
            html = html.replace("<body", '<body class="alone"', 1)
        pages[page] = _pictures(html, page, out / "_images")
        lists.append([str((page.parent / name).resolve()) for name in SHEET.findall(html)])
    scripts = [path.read_text("utf-8") for path in (static / "js").rglob("*.js")]
    scripts += [(static / name).read_text("utf-8") for name in ("searchtools.js", "doctools.js")]
    sheet = _one_sheet(
        static.resolve(),
        [Path(name) for name in _in_order(lists)],
        _names_in_use(list(pages.values()), scripts),
    )
    sheet = _own_fonts(_formula_fonts(sheet, list(pages.values()), static), static)
    formulas = re.findall(r"url\(\"?(katex/fonts/KaTeX_Ma(?:in-Regular|th-Italic)\.woff2)", sheet)
    (static / "site.css").write_text(sheet, "utf-8")
    version = hashlib.sha256(sheet.encode()).hexdigest()[:8]
    for page, html in pages.items():
        root = re.search(r'data-content_root="([^"]*)"', html)[1]
        fonts = formulas if 'class="katex"' in html else []
        link = "".join(
            f'\n<link rel="preload" href="{root}_static/{font}" as="font" type="font/woff2"'
            " crossorigin />"
            for font in fonts
        )
        link += f'\n<link rel="stylesheet" href="{root}_static/site.css?v={version}" />{LETTERS}'
        first = SHEET.search(html)
        html = html[: first.start()] + link + SHEET.sub("", html[first.start() :])
        page.write_text(html, "utf-8")
    for name in ("vendor", "scripts", "styles", "locales"):
        shutil.rmtree(static / name)
    for path in [*static.glob("sphinx-thebe.*"), static / "katex/katex.min.js"]:
        path.unlink()
    for path in [*static.glob("images/*"), *out.glob("_images/*.png")]:
        if not any(path.name in html for html in pages.values()):
            path.unlink()


def _mend_search(script: Path):
    """Look a word up among the index's own words only, as Sphinx 8 does. Before, the words that
    every JavaScript object has (constructor, __proto__) were found there, and stopped the search.
    """
    text = script.read_text("utf-8")
    for terms in ("terms", "titleTerms"):
        lookup = f"files: {terms}[word]"
        if text.count(lookup) != 1:
            raise ExtensionError(f"{script}: expected {lookup!r} once; is it mended in Sphinx now?")
        mended = f"files: {terms}.hasOwnProperty(word) ? {terms}[word] : undefined"
        text = text.replace(lookup, mended)
    script.write_text(text, "utf-8")


def setup(app: Sphinx):
    app.connect("build-finished", _finish, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
