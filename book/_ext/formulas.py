"""Formulas are drawn while the book is built, by the KaTeX in `_static/katex`: a page carries HTML
for the eye and MathML for the ear, and no script. A formula that KaTeX refuses stops the build.

The style sheet names KaTeX's fonts; `finished_pages` keeps of them what the formulas use.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from docutils import nodes
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.math import get_node_equation_number

KATEX = Path(__file__).parents[1] / "_static/katex/katex.min.js"


@cache
def _katex() -> MiniRacer:
    engine = MiniRacer()
    engine.eval(KATEX.read_text("utf-8"))
    return engine


@cache
def formula(tex: str, display: bool = False) -> str:
    """HTML with MathML of a formula.

    Raises:
        ExtensionError: KaTeX does not understand it.
    """
    options = {"displayMode": display, "throwOnError": True, "strict": "error"}
    try:
        return _katex().call("katex.renderToString", tex, options)
    except JSEvalException as error:
        reason = str(error).splitlines()[0].partition("ParseError: ")[2] or error
        raise ExtensionError(f"a formula that cannot be drawn: {tex!r}: {reason}") from None


def _inline(self, node):
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(formula(node.astext()) + "</span>")
    raise nodes.SkipNode


def _display(self, node):
    self.body.append(self.starttag(node, "div", "", CLASS="math notranslate nohighlight"))
    self.body.append(f'<div class="formula">{formula(node.astext(), display=True)}</div>')
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _style(app, pagename, templatename, context, doctree):
    if doctree and any(doctree.findall(lambda n: isinstance(n, (nodes.math, nodes.math_block)))):
        app.add_css_file("katex/katex.min.css")


def setup(app: Sphinx):
    app.add_html_math_renderer(
        "katex", inline_renderers=(_inline, None), block_renderers=(_display, None)
    )
    app.connect("html-page-context", _style, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
