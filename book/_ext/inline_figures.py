"""Drawings of `siglip_lab.figures` stand in the page itself, where its colours and letters reach
them; their photos are files again, fetched when the reader comes near.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" class="drawn"'
LINK = re.compile(r'(?<=<a href=")([\w-]+)\.ipynb(?=")')
BOX = re.compile(r'<a (href="[^"]*")>(?=<path [^>]*/></a>)')  # its words are a link of their own
# What is shorter than a request stays in the page.
PHOTO = re.compile(r'<image ([^>]*?) href="data:image/(\w+);base64,([\w+/=]{4000,})"/>')


def inline(app: Sphinx, doctree) -> None:
    """Put the SVG in the place of the image; the words that say what it shows become its name."""
    docname = app.env.docname
    for image in list(doctree.findall(nodes.image)):
        if not image["uri"].endswith(".svg"):
            continue
        relative, path = app.env.relfn2path(image["uri"], docname)
        svg = Path(path).read_text("utf-8").strip()
        if not svg.startswith(DRAWING):
            continue
        app.env.note_dependency(relative)
        svg = LINK.sub(lambda m: app.builder.get_relative_uri(docname, f"notebooks/{m[1]}"), svg)
        svg = BOX.sub(r'<a \1 tabindex="-1" aria-hidden="true">', svg)
        role = "group" if "<a " in svg else "img"
        name = f' role="{role}" aria-label="{escape(image["alt"])}"'
        html = f'<div class="drawn-frame">{svg.replace(DRAWING, DRAWING + name, 1)}</div>'
        image.replace_self(nodes.raw("", html, format="html"))


def finish(app: Sphinx, pagename, templatename, context, doctree) -> None:
    """Load the style sheet, and move the photos out of the page."""
    if 'class="drawn"' not in context.get("body", ""):
        return
    app.add_css_file("css/drawn.css")

    def move(match) -> str:
        place, kind, data = match.groups()
        content = base64.b64decode(data)
        name = f"_images/{hashlib.sha256(content).hexdigest()[:16]}.{kind}"
        path = Path(app.outdir) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        place = re.sub(' style="[^"]*"| preserveAspectRatio="none"', "", place)
        # An <image> is fetched at once, an <img> can wait.
        return (
            f'<foreignObject {place}><img class="photo" src="{context["pathto"](name, 1)}" alt=""'
            ' loading="lazy"></foreignObject>'
        )

    context["body"] = PHOTO.sub(move, context["body"])


def setup(app: Sphinx):
    app.connect("doctree-read", inline, priority=400)  # before the images are collected
    app.connect("html-page-context", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
