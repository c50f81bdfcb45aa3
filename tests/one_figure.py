"""A figure alone in a browser, twice on a page, with the site's files that it asks for."""

import importlib
import shutil
from contextlib import contextmanager

import pytest
from serving import served


@contextmanager
def site_of(figure, name, root, book_site, folder, add):
    """Yields the address; the page is pages/page.html.

    `add(extension, static)` writes what is built with the site: `extension(name)` is a module of
    book/_ext, `static` the folder.
    """
    shutil.copytree(root / "book/_static", folder / "_static")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root / "book/_ext")
        add(importlib.import_module, folder / "_static")
    html = "<!doctype html><html data-content_root='../' data-theme='light'><meta charset=utf-8>"
    html += "<link rel=icon href=data:,><meta name=viewport content='width=device-width'>"
    for sheet in ("custom", name):
        html += f"<link rel='stylesheet' href='../_static/css/{sheet}.css'>"
    html += f"<body class='bd-article'>{2 * figure._repr_html_()}"
    html += f"<script type='module'>{book_site.one_script(name)}</script>"
    (folder / "pages").mkdir()
    (folder / "pages/page.html").write_text(html, encoding="utf-8")
    with served(folder) as address:
        yield address


@contextmanager
def opened(browser, address, ready, **options):
    """The page, with all that it asked for; it ends without an error."""
    context = browser.new_context(reduced_motion="reduce", **options)
    page = context.new_page()
    page.asked, page.wrong = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(f"{address}/pages/page.html")
    if options.get("java_script_enabled", True):
        page.wait_for_selector(ready)
    yield page
    assert page.wrong == []
    context.close()
