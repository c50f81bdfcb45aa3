"""What the site does differently from Jupyter Book's defaults.

- Formulas are drawn in the reader's browser by the KaTeX that ships in `_static/katex`; pages
  without a formula load none of it.
- A figure that the reader can touch is an element `<siglip-NAME>`, which `{touchable} NAME` puts on
  a page, `{explorer}` or a cell that shows one of `siglip_lab.figures.touch`. The page then has its
  script and style sheets.
- Nothing is loaded that no page uses or that comes from another host.
- Without a `repository.url` in `_config.yml` no button leads to one.
"""

from __future__ import annotations

import base64
import json
import posixpath
import re
from html import escape
from io import BytesIO
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.math import get_node_equation_number

from siglip_lab.figures import touch

SCRIPTS = Path(__file__).parents[1] / "_static/js"

# ------------------------------------------------------------------------------------- formulas


def _inline_math(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(self.encode(node.astext()) + "</span>")
    raise nodes.SkipNode


def _display_math(self, node):
    self.body.append(self.starttag(node, "div", "", CLASS="math notranslate nohighlight"))
    self.body.append(f'<div class="formula">{self.encode(node.astext())}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


# --------------------------------------------------------------------------- figures to touch


class touchable(nodes.General, nodes.Element):
    """A custom element around what is shown where its script does not run."""


class Touchable(SphinxDirective):
    """`{touchable} NAME` with `:caption:` and `:name:`; `:data:` is JSON for the script, or a file
    of it. The content is what a reader without scripts sees; the script may read the pixels of its
    pictures.
    """

    required_arguments = 1
    has_content = True
    option_spec = {
        "caption": directives.unchanged_required,
        "name": directives.unchanged_required,
        "data": directives.unchanged_required,
    }

    def run(self):
        self.assert_has_content()
        for option in ("caption", "name"):
            if option not in self.options:
                raise self.error(f"{self.name} needs :{option}:")
        element = touchable(tag=self.arguments[0], data={})
        if "data" in self.options:
            data = self.options["data"]
            if not data.startswith("{"):
                data = self._dependency(data).read_text("utf-8")
            element["data"] = json.loads(data)
        element += self.parse_content_to_nodes()
        for image in list(element.findall(nodes.image)):
            picture = _embedded(self._dependency(image["uri"]), image["alt"])
            image.replace_self(nodes.raw("", picture, format="html"))
        words, messages = self.parse_inline(self.options["caption"])
        figure = nodes.figure("", element, nodes.caption("", "", *words), *messages)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]

    def _dependency(self, name) -> Path:
        relative, path = self.env.relfn2path(name)
        self.env.note_dependency(relative)
        return Path(path)


class Explorer(SphinxDirective):
    """`{explorer}`: the figure of `siglip_lab.figures.touch`, as a cell shows it."""

    def run(self):
        return [nodes.raw("", touch.Explorer()._repr_html_(), format="html")]


def _embedded(path: Path, alt: str) -> str:
    """The picture is written into the page, without its colour profile: a script may then read its
    bytes as they are, from a server or from a file."""
    with Image.open(path) as picture:
        width, height = picture.size
        file = BytesIO()
        picture.convert("RGB").save(file, "WEBP", lossless=True, method=6, exact=True)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<img src="data:image/webp;base64,{data}" alt="{escape(alt)}" '
        f'width="{width}" height="{height}">'
    )


def _visit_touchable(self, node):
    """As `siglip_lab.figures.touch.Touchable` writes it."""
    data = json.dumps(node["data"], ensure_ascii=False, separators=(",", ":"))
    tag = f"siglip-{node['tag']}"
    self.body.append(self.starttag(node, tag, CLASS="touchable", **{"data-json": data}))


def _depart_touchable(self, node):
    self.body.append(f"</siglip-{node['tag']}>\n")


IMPORT = re.compile(r'^import \{[^}]*\} from "(\.[\w./-]+)\.js";\n', re.MULTILINE)


def modules(name: str) -> dict[str, str]:
    """The module `NAME.js` after all that it imports: name -> text without imports and exports."""
    found = {}

    def add(name):
        text = (SCRIPTS / f"{name}.js").read_text("utf-8")
        for needed in IMPORT.findall(text):
            needed = posixpath.normpath(posixpath.join(posixpath.dirname(name), needed))
            if needed not in found:
                add(needed)
        text = IMPORT.sub("", text)
        if re.search(r"^import|^export (default|\{|\*)|</script", text, re.MULTILINE):
            raise ExtensionError(f"{name}.js has more than named imports and exports")
        found[name] = re.sub("^export ", "", text, flags=re.MULTILINE)

    add(name)
    return found


def one_script(name: str) -> str:
    """The same as one text, which a page can have in itself: no browser lets a page that was opened
    from a file load a module."""
    return "\n".join(modules(name).values())


# ---------------------------------------------------------------------- what each page loads


def _load_what_the_page_uses(app, pagename, templatename, context, doctree):
    """Scripts and style sheets, page by page."""
    context["script_files"][:] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{getattr(script, 'filename', script)}".lower()
        and "THEBE" not in str(getattr(script, "attributes", {}).get("body", ""))
    ]
    context["css_files"][:] = [
        sheet
        for sheet in context["css_files"]
        if "thebe" not in f"{getattr(sheet, 'filename', sheet)}"
    ]
    if doctree is None:
        return
    if any(doctree.findall(lambda n: isinstance(n, (nodes.math, nodes.math_block)))):
        app.add_css_file("katex/katex.min.css")
        app.add_js_file("katex/katex.min.js", loading_method="defer")
        app.add_js_file("js/formulas.js", loading_method="defer")
    tags = {node["tag"] for node in doctree.findall(touchable)}
    for html in doctree.findall(nodes.raw):  # what a cell printed
        tags.update(re.findall(r"<siglip-([a-z-]+)", html.astext()))
    sheets = {path.stem for path in (SCRIPTS.parent / "css").glob("*.css")}
    for tag in sorted(tags):
        parts = modules(tag)  # a part that several figures share may have a style sheet, too
        for name in sorted(parts.keys() & sheets):
            app.add_css_file(f"css/{name}.css")
        app.add_js_file(None, body="\n".join(parts.values()), type="module")


def _mend_pages(app: Sphinx, exception):
    """Take out of the finished pages what the theme cannot be told to leave out."""
    if exception or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        html = before = page.read_text("utf-8")
        # The style sheets draw the icons: 1.4 MB of script that does it again is not needed.
        html = re.sub(r"\s*<(script|link)\b[^>]*fontawesome\.js[^>]*>(</script>)?", "", html)
        # A label that hides the visible words from a screen reader.
        html = re.sub(r'(<label class="sidebar-toggle[^>]*?) aria-label="[^"]*"', r"\1", html)
        if html != before:
            page.write_text(html, "utf-8")
    for script in Path(app.outdir).glob("_static/scripts/fontawesome.js*"):
        script.unlink()
    for script in Path(app.outdir).glob("_static/sphinx-thebe.*"):
        script.unlink()
    _mend_search(Path(app.outdir) / "_static/searchtools.js")


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


def _leave_thebe_out(app, config):
    """sphinx-thebe belongs to Jupyter Book; its scripts come from another host when clicked."""
    for event in ("env-before-read-docs", "doctree-resolved", "builder-inited"):
        listeners = app.events.listeners[event]
        listeners[:] = [
            each for each in listeners if not each.handler.__module__.startswith("sphinx_thebe")
        ]


def _buttons_of_the_repository(app, config):
    """To its source, and from each chapter to Colab, which fetches notebooks from there."""
    options = config.html_theme_options
    options["use_repository_button"] = bool(options["repository_url"])
    if not options["repository_url"]:
        del options["launch_buttons"]


def _keep_colons(app, what, name, obj, options, lines):
    """Napoleon takes a property's "The label: ..." for a type called "The label". It looks at the
    first line only, so that becomes an empty comment."""
    if what in ("property", "attribute"):
        lines[:0] = ["..", ""]


def setup(app: Sphinx):
    app.add_html_math_renderer(
        "katex", inline_renderers=(_inline_math, None), block_renderers=(_display_math, None)
    )
    app.add_node(touchable, html=(_visit_touchable, _depart_touchable))
    app.add_directive("touchable", Touchable)
    app.add_directive("explorer", Explorer)
    app.connect("config-inited", _buttons_of_the_repository)
    app.connect("config-inited", _leave_thebe_out, priority=900)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.connect("html-page-context", _load_what_the_page_uses, priority=900)
    app.connect("build-finished", _mend_pages, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
