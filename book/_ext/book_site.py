"""What the site does differently from Jupyter Book's defaults.

- A figure that the reader can touch is an element `<siglip-NAME>`, which `{touchable} NAME` puts on
  a page, `{explorer}` or a cell that shows one of `siglip_lab.figures.touch`. The page then has its
  script and style sheets.
- Nothing is loaded from another host.
- A number and its unit, `46 %` or `24 GB`, stay on one line.
- Without a `repository.url` in `_config.yml` no button leads to one.

Formulas are drawn by `formulas`; what a page finally carries is the work of `finished_pages`.
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

from siglip_lab.figures import touch

SCRIPTS = Path(__file__).parents[1] / "_static/js"

# --------------------------------------------------------------------------- figures to touch


class touchable(nodes.General, nodes.Element):
    """A custom element around what is shown where its script does not run."""


class Touchable(SphinxDirective):
    """`{touchable} NAME` with `:caption:` and `:name:`; `:data:` is JSON for the script, or a file
    of it. The content is what a reader without scripts sees; the script may read the pixels of its
    pictures, which are `:exact:` or a tenth of the size.
    """

    required_arguments = 1
    has_content = True
    option_spec = {
        "caption": directives.unchanged_required,
        "name": directives.unchanged_required,
        "data": directives.unchanged_required,
        "exact": directives.flag,
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
            exact = "exact" in self.options
            picture = _embedded(self._dependency(image["uri"]), image["alt"], exact)
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


def _embedded(path: Path, alt: str, exact: bool) -> str:
    """The picture is written into the page, without its colour profile: a script may then read its
    bytes as they are, from a server or from a file. `finished_pages` takes them out again."""
    with Image.open(path) as picture:
        width, height = picture.size
        file = BytesIO()
        how = {"lossless": True, "exact": True} if exact else {"quality": 80}
        picture.convert("RGB").save(file, "WEBP", method=6, **how)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<img data-exact src="data:image/webp;base64,{data}" alt="{escape(alt)}" '
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


def _load_what_its_figures_need(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    tags = {node["tag"] for node in doctree.findall(touchable)}
    for html in doctree.findall(nodes.raw):  # what a cell printed
        tags.update(re.findall(r"<siglip-([a-z-]+)", html.astext()))
    sheets = {path.stem for path in (SCRIPTS.parent / "css").glob("*.css")}
    for tag in sorted(tags):
        parts = modules(tag)  # a part that several figures share may have a style sheet, too
        for name in sorted(parts.keys() & sheets):
            app.add_css_file(f"css/{name}.css")
        app.add_js_file(None, body="\n".join(parts.values()), type="module")


# ------------------------------------------------------------------------- what is left out


def _leave_thebe_out(app, config):
    """sphinx-thebe belongs to Jupyter Book; its scripts come from another host when clicked."""
    for event in ("env-before-read-docs", "doctree-resolved", "builder-inited"):
        listeners = app.events.listeners[event]
        listeners[:] = [
            each for each in listeners if not each.handler.__module__.startswith("sphinx_thebe")
        ]


def _button_of_the_repository(app, config):
    options = config.html_theme_options
    options["use_repository_button"] = bool(options["repository_url"])
    del options["launch_buttons"]  # the way to Colab stands in words over a chapter's title


def _keep_colons(app, what, name, obj, options, lines):
    """Napoleon takes a property's "The label: ..." for a type called "The label". It looks at the
    first line only, so that becomes an empty comment."""
    if what in ("property", "attribute"):
        lines[:0] = ["..", ""]


_UNIT = re.compile(r"(?<=\d) (?=(?:%|[kMG]B|ms|px|GFLOPs|million|billion)(?![\w]))")


def _keep_units(app, doctree):
    for text in list(doctree.findall(nodes.Text)):
        if not isinstance(
            text.parent, (nodes.FixedTextElement, nodes.literal, nodes.math, nodes.raw)
        ):
            text.parent.replace(text, nodes.Text(_UNIT.sub("\u00a0", text)))


def setup(app: Sphinx):
    app.connect("doctree-read", _keep_units)
    app.add_node(touchable, html=(_visit_touchable, _depart_touchable))
    app.add_directive("touchable", Touchable)
    app.add_directive("explorer", Explorer)
    app.connect("config-inited", _button_of_the_repository)
    app.connect("config-inited", _leave_thebe_out, priority=900)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.connect("html-page-context", _load_what_its_figures_need, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
