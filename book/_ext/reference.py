"""The reference: a page a module, and in `book/api.md` a table of all names.

The overview lists the modules; their pages are written into `book/api/` before the contents are
read, a few lines each, and are no part of the repository.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

OVERVIEW = Path("book/api.md")
FOLDER = Path("book/api")

PAGE = """\
---
myst:
  html_meta:
    description: "{description}"
---

# {module}

[Reference of siglip_lab](../api.md) · {group}

```{{eval-rst}}
.. automodule:: {module}
   :members:
```
"""


def first_line(thing: object) -> str:
    """What a docstring begins with."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _is_package(module: ModuleType) -> bool:
    return hasattr(module, "__path__")


def _named(line: str) -> list[str]:
    """A module, or all of a package: `siglip_lab.figures.*`."""
    if not line.endswith(".*"):
        return [line]
    package = importlib.import_module(line[:-2])
    return [each.name for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


def modules(overview: str) -> dict[str, str]:
    """Each module of the overview, and the heading that it stands under."""
    found, group = {}, ""
    for line in overview.splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif re.fullmatch(r" +siglip_lab[\w.]*(\.\*)?", line):
            found |= dict.fromkeys(_named(line.strip()), group)
    return found


def _write_pages(app: Sphinx, config):
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    pages = {}
    for module, group in modules((Path(app.srcdir) / OVERVIEW).read_text("utf-8")).items():
        if _is_package(thing := importlib.import_module(module)):
            continue  # its names live elsewhere
        description = re.sub(r"[`\\]", "", first_line(thing)).replace('"', "'")
        name = folder / f"{module.removeprefix('siglip_lab.')}.md"
        pages[name] = PAGE.format(module=module, group=group, description=description)
    for page in set(folder.glob("*.md")) - set(pages):
        page.unlink(missing_ok=True)
    for page, text in pages.items():
        if not page.exists() or page.read_text("utf-8") != text:  # or all would be read again
            page.write_text(text, "utf-8")


class Names(SphinxDirective):
    """`names`: for each module that a line names, a table of what is in its `__all__`."""

    has_content = True

    def run(self):
        lines = []
        for name in (name for line in self.content for name in _named(line)):
            module = importlib.import_module(name)
            if name != "siglip_lab":
                role = "" if _is_package(module) else ":py:mod:"
                lines += [f"{role}`{name}`: {first_line(module)}", ""]
            lines += [".. list-table::", "   :class: names", ""]
            for each in module.__all__:
                lines += [f"   * - {_link(module, each)}", f"     - {_about(module, each)}"]
            lines.append("")
        return self.parse_text_to_nodes("\n".join(lines))


def _link(module: ModuleType, name: str) -> str:
    thing = getattr(module, name)
    if inspect.ismodule(thing):
        return f"``{name}``" if _is_package(thing) else f":py:mod:`{name} <{thing.__name__}>`"
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return f":py:obj:`{name} <{thing.__module__}.{thing.__qualname__}>`"
    return f"``{name}``"


def _about(module: ModuleType, name: str) -> str:
    thing = getattr(module, name)
    if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing):
        return first_line(thing)
    value = repr(thing)
    return f"``{value}``" if len(value) <= 60 else f"A ``{type(thing).__name__}``."


def _resolve(app: Sphinx, function, bound_method):
    """Give arguments their types: autodoc knows those of a class by their bare names alone."""
    with contextlib.suppress(AttributeError, NameError, TypeError):  # built in, or hidden
        function.__annotations__ = get_type_hints(function)


def setup(app: Sphinx):
    app.add_directive("names", Names)
    app.connect("autodoc-before-process-signature", _resolve, priority=100)
    app.connect("config-inited", _write_pages, priority=100)  # before the contents are read
    return {"parallel_read_safe": True, "parallel_write_safe": True}
