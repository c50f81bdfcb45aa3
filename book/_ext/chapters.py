"""Chapters: their numbers, parts and minutes, wherever a page says them.

The contents in `book/_toc.yml` give number, part and, where it is short, the sidebar's title; the
minutes are computed as the site is built. The sidebar, the line over a chapter's title, and the
list on the landing page show them. The marks of what was read are made in the reader's browser, by
`_static/js/reading.js`.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from book_site import one_script
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

FOLDER = "notebooks/"
COLAB = "https://colab.research.google.com/github"

# ------------------------------------------------------------------------ what a chapter takes

FOLDED = {"tag_hide-cell", "tag_remove-cell", "dropdown"}
CODE_FOLDED = FOLDED | {"tag_hide-input", "tag_remove-input", "cell_output"}
PROSE = (nodes.paragraph, nodes.title, nodes.caption, nodes.term, nodes.rubric)


def _inside(node: nodes.Node, classes: set[str]) -> bool:
    while node := node.parent:
        if classes & {*node.get("classes", ()), node.get("design_component")}:
            return True
    return False


def minutes(doctree: nodes.document) -> int:
    """Minutes to read a chapter: a minute for 220 words of prose, 4 s for a line of code, 30 s for
    a figure. What is folded when the page opens is not counted, nor is what cells print."""
    prose = (each for each in doctree.findall() if isinstance(each, PROSE))
    words = sum(
        len(each.astext().split()) for each in prose if not _inside(each, FOLDED | {"cell_output"})
    )
    lines = sum(
        sum(1 for line in block.astext().splitlines() if line.strip())
        for block in doctree.findall(nodes.literal_block)
        if not _inside(block, CODE_FOLDED)
    )
    figures = sum(1 for each in doctree.findall(nodes.figure) if not _inside(each, FOLDED))
    return max(1, round(words / 220 + (4 * lines + 30 * figures) / 60))


def _measure(app: Sphinx, doctree: nodes.document):
    if app.env.docname.startswith(FOLDER):
        printed = "".join(each.astext() for each in doctree.findall(nodes.raw))
        app.env.metadata[app.env.docname] |= {
            "minutes": minutes(doctree),
            "exercises": len(set(re.findall("<siglip-exercise.*", printed))),
        }


# ---------------------------------------------------------------------------- its small picture


@cache
def _pictures() -> dict[str, str]:
    text = Path(__file__).with_name("pictograms.svg").read_text("utf-8")
    return dict(re.findall(r'<symbol id="(\w+)">(.*?)</symbol>', text, re.DOTALL))


def pictogram(key: str) -> str:
    """The chapter's picture, in the page's colours; beside its title it says nothing new."""
    inside = re.sub(r">\s+<", "><", _pictures()[key].strip())
    return f'<svg class="pictogram" viewBox="0 0 48 48" aria-hidden="true">{inside}</svg>'


# ------------------------------------------------------------------------------- the contents


class Chapter(NamedTuple):
    """A page of the contents; one that is no chapter has neither number nor minutes."""

    name: str
    title: str
    part: str
    short: str
    number: int | None
    minutes: int | None
    exercises: int | None

    @property
    def key(self) -> str:
        """What the reader's browser knows it by."""
        return self.name.rpartition("/")[2]


def contents(env: BuildEnvironment) -> list[Chapter]:
    """All pages that the contents name under a part, in their order."""
    found: list[Chapter] = []
    for tree in env.external_site_map.root.subtrees:
        for name in tree.items:
            number = sum(each.number is not None for each in found) + 1
            title = env.titles[name].astext() if name in env.titles else name
            found.append(
                Chapter(
                    name := str(name),
                    title,
                    tree.caption or "",
                    env.external_site_map[name].title or title.partition(": ")[0],
                    number if name.startswith(FOLDER) else None,
                    *(env.metadata.get(name, {}).get(what) for what in ("minutes", "exercises")),
                )
            )
    return found


def _in_parts(pages: list[Chapter]) -> dict[str, list[Chapter]]:
    parts: dict[str, list[Chapter]] = {}
    for page in pages:
        parts.setdefault(page.part, []).append(page)
    return parts


# ------------------------------------------------------------ the list on the landing page


class chapter(nodes.General, nodes.Element):
    """An entry of the list: a link, its minutes, and a sentence."""


class Chapters(SphinxDirective):
    """`{chapters}`: a line `NAME: SENTENCE` for each chapter of the contents, in their order."""

    has_content = True

    def run(self):
        lines = dict(line.split(": ", 1) for line in self.content if line.strip())
        names = [
            str(name).removeprefix(FOLDER)
            for tree in self.env.external_site_map.root.subtrees
            for name in tree.items
            if str(name).startswith(FOLDER)
        ]
        if list(lines) != names:
            raise self.error(f"expected a line for each of {names}, in this order; got {[*lines]}")
        found = [nodes.raw("", '<div class="parts">', format="html")]
        for tree in self.env.external_site_map.root.subtrees:
            inside = [str(name).removeprefix(FOLDER) for name in tree.items]
            if not set(inside) <= set(names):
                continue
            heading = f'<div class="part"><h3>{escape(tree.caption)}</h3>\n<ol class="chapters">'
            found.append(nodes.raw("", heading, format="html"))
            for name in inside:
                words, messages = self.parse_inline(lines[name])
                found += [chapter("", *words, name=FOLDER + name), *messages]
            found.append(nodes.raw("", "</ol></div>\n", format="html"))
        return [*found, nodes.raw("", "</div>\n", format="html")]


def _visit_chapter(self, node):
    env = self.builder.env
    page = next(each for each in contents(env) if each.name == node["name"])
    link = self.builder.get_relative_uri(self.builder.current_docname, page.name)
    self.body.append(
        f'<li class="chapter" data-chapter="{page.key}" data-exercises="{page.exercises}">'
        f'{pictogram(page.key)}<span class="entry"><span class="number">{page.number}</span> '
        f'<a class="reference internal" href="{link}">{escape(page.title)}</a></span>'
        f'<span class="minutes"><span class="done"></span> {page.minutes} min</span>\n<p>'
    )


def _depart_chapter(self, node):
    self.body.append("</p></li>\n")


# ----------------------------------------------------------------------------- on every page


def _line_over_the_title(app: Sphinx, page: Chapter, pathto) -> str:
    """Where we are, how long it takes, and the ways to run it."""
    numbered = [each for each in contents(app.env) if each.number]
    ways = [
        f'<a class="way" href="{pathto(f"_sources/{page.name}.ipynb", 1)}" download>'
        "Download the notebook</a>"
    ]
    if repository := app.config.html_theme_options.get("repository_url"):
        owner_and_name = repository.removeprefix("https://github.com/")
        branch = app.config.html_theme_options.get("repository_branch") or "main"
        address = f"{COLAB}/{owner_and_name}/blob/{branch}/{page.name}.ipynb"
        ways.insert(0, f'<a class="way" href="{escape(address)}">Run this chapter on Colab</a>')
    return (
        f'<div class="chapter-line" data-here="{page.key}">{pictogram(page.key)}<p>'
        f'Chapter {page.number} of {len(numbered)} <span class="part">· {escape(page.part)}'
        f'</span> <span class="minutes">· {page.minutes} minutes</span></p>'
        f'<p class="ways-to-run d-print-none">{" ".join(ways)}</p></div>\n'
    )


def _cards(app: Sphinx, pagename: str, context: dict) -> str:
    """What a page says of itself where it is shared. A picture needs the site's address."""
    description = re.search(r'<meta content="([^"]*)" name="description"', context["metatags"])
    title = app.config.html_title if pagename == app.config.root_doc else context["title"]
    title = escape(re.sub("<[^>]+>", "", title), quote=True)
    said = {"og:type": "website", "og:site_name": escape(app.config.html_title), "og:title": title}
    if description:
        said["og:description"] = description[1]
    if address := app.config.html_baseurl:
        address = address.rstrip("/")
        said["og:url"] = f"{address}/{app.builder.get_target_uri(pagename)}"
        said["og:image"] = f"{address}/_static/card.png"
        said["og:image:width"], said["og:image:height"] = "1200", "630"
        said["og:image:alt"] = "Two arrows, one for a photo and one for a caption, and their angle."
    tags = [f'<meta property="{name}" content="{text}" />' for name, text in said.items()]
    tags.append('<meta name="twitter:card" content="summary_large_image" />')
    return "\n".join(tags) + "\n"


def _say_where_we_are(app: Sphinx, pagename, templatename, context, doctree):
    pages = contents(app.env)
    context["parts"] = _in_parts(pages)
    context["pictogram"] = pictogram
    app.add_js_file(None, body=one_script("reading"), type="module", priority=900)
    by_link = {context["pathto"](each.name): each for each in pages if each.number}
    for side in ("prev", "next"):
        near = by_link.get((context.get(side) or {}).get("link"))
        if near:
            context[side] = context[side] | {"title": f"{near.number} · {escape(near.title)}"}
    if doctree is None:
        return
    context["metatags"] = _cards(app, pagename, context) + context["metatags"]
    # Where the keyboard can go at once.
    context["body"], found = re.subn(
        r"<siglip-(?!exercise)[a-z-]+(?=[ >])", r'\g<0> id="to-touch"', context["body"], count=1
    )
    context["has_figure_to_touch"] = bool(found)
    page = next((each for each in pages if each.name == pagename), None)
    if page and page.number:
        line = _line_over_the_title(app, page, context["pathto"])
        context["body"] = line + context["body"]


def _address_of_the_site(app: Sphinx, config):
    """The pages of a repository are at OWNER.github.io/NAME."""
    found = re.fullmatch(
        r"https://github\.com/([\w-]+)/([\w.-]+)", config.html_theme_options["repository_url"]
    )
    if found and not config.html_baseurl:
        config.html_baseurl = "https://{}.github.io/{}/".format(*found.groups())


def setup(app: Sphinx):
    app.add_node(chapter, html=(_visit_chapter, _depart_chapter))
    app.add_directive("chapters", Chapters)
    app.connect("config-inited", _address_of_the_site)
    app.connect("doctree-read", _measure, priority=900)
    app.connect("html-page-context", _say_where_we_are, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
