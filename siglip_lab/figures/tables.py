"""Tables that are seen before they are read: with each number a bar, or behind it a shade, of its
size.

In a terminal they are plain text; on a page they are tables in the page's colours. The site says
where a bar stands: beside its number, with `--w`; without it the bar stands below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from typing import Any

import torch

from siglip_lab.figures.svg import JOINT, NEUTRAL, themed
from siglip_lab.tables import table

__all__ = ["Table", "bars", "matrix", "shapes"]


class Table:
    """What `bars`, `shapes` and `matrix` return; a notebook's cell shows it as its last line.

    Args:
        names: One for each row, or none.
        cells: Rows of numbers and words.
        sizes: Of what is drawn in each cell: 0 nothing, 1 all of it, below 0 in grey.
        heads: One for each column, or none.
        forms: How the numbers of each column are written, as in `format(number, form)`.
        colours: One of the palette for each column.
        shaded: True: the whole cell is tinted by its size; False: a bar has that length.
        marked: The name of the row that the page shows in bold, if any.
    """

    def __init__(self, names, cells, sizes, heads, forms, colours, shaded, marked=None):
        self.names, self.heads, self.sizes = list(names), list(heads), sizes
        self.colours, self.shaded, self.marked = colours, shaded, marked
        if marked is not None and marked not in self.names:
            raise ValueError(f"no row {marked!r} to mark; there are {self.names}")
        given = {"forms": forms, "colours": colours, "heads": self.heads or forms}
        for what, each in given.items():
            if len(each) != len(cells[0]):
                raise ValueError(f"{len(each)} {what} for {len(cells[0])} columns: give one each")
        self.cells = [list(map(_written, row, forms)) for row in cells]

    def __repr__(self) -> str:
        rows = [self.heads] * bool(self.heads) + self.cells
        if self.names:
            names = [""] * bool(self.heads) + self.names
            rows = [[name, *row] for name, row in zip(names, rows, strict=True)]
        return table(rows, left=len(self.names[:1]))

    def _repr_html_(self) -> str:
        corner = "<td></td>" if self.names else ""
        column = '<th scope="col">{}</th>'  # an empty one is no head
        heads = "".join(column.format(escape(h)) if h else "<td></td>" for h in self.heads)
        head = f"<thead><tr>{corner}{heads}</tr></thead>" if heads else ""
        names = self.names or [""] * len(self.cells)
        longest = [max(map(len, column)) for column in zip(*self.cells, strict=True)]
        body = ""
        for name, row, sizes in zip(names, self.cells, self.sizes, strict=True):
            look, words = "", escape(name)
            if self.names and name == self.marked:
                look, words = ' class="marked" style="font-weight:600"', f"<b>{words}</b>"
            named = f'<th scope="row">{words}</th>' if self.names else ""
            drawn = "".join(map(self._cell, row, sizes, self.colours, longest))
            body += f"<tr{look}>{named}{drawn}</tr>"
        kind = "matrix" if self.shaded else "bars"
        return f'<table class="measured {kind}">{head}<tbody>{body}</tbody></table>'

    def _cell(self, words: str, size: float, colour: str, longest: int) -> str:
        part, colour = min(abs(size), 1), themed(NEUTRAL if size < 0 else colour)
        if not round(100 * part):
            return f"<td>{escape(words)}</td>"
        if self.shaded:
            look = f"background:color-mix(in srgb,{colour} {round(45 * part)}%,transparent)"
        else:
            bar = f"calc({part:.2f}*(100% - var(--w,0px)))"
            look = (
                f"--n:{longest};background:linear-gradient({colour},{colour})"
                f" 0 var(--y,100%)/{bar} var(--h,4px) no-repeat"
            )
        return f'<td style="{look}">{escape(words)}</td>'


def bars(
    rows: Mapping[str, Any],
    heads: Sequence[str] = (),
    form: str | Sequence[str] = ",",
    full: float | Sequence[float | None] | None = None,
    colours: str | Sequence[str] = NEUTRAL,
    marked: str | None = None,
) -> Table:
    """Write rows of numbers, with each a bar that is as long as the number is large.

    Args:
        rows: Name to a number or a word, or to a list of them, one for each column.
        heads: One for each column; default: none.
        form: How numbers are written, `",.2f"`, `".1%"`; one for all columns, or one for each.
        full: The number whose bar fills its cell, one for all columns or one for each; default:
            the largest of its column.
        colours: One of the palette for all columns, or one for each.
        marked: The name of a row that the page shows in bold.

    Raises:
        ValueError: If there are no rows, or rows, heads, forms or colours are not of one length, or
            there is no row to mark.

    Example:
        >>> bars({"attention": 5_308_416, "MLP": 9_921_680}, heads=["parameters"])
                   parameters
        attention   5,308,416
        MLP         9,921,680
    """
    cells = [[c.item() if isinstance(c, torch.Tensor) else c for c in _listed(row)]
             for row in rows.values()]  # fmt: skip
    if not cells:
        raise ValueError("no rows: expected at least one")
    width = len(cells[0])
    for name, row in zip(rows, cells, strict=True):
        if len(row) != width:
            raise ValueError(f"row {name!r} has {len(row)} cells, the first one {width}")
    fills = full if isinstance(full, Sequence) else [full] * width
    largest = [max(abs(_size(c)) for c in column) for column in zip(*cells, strict=True)]
    most = [fill or most or 1 for fill, most in zip(fills, largest, strict=True)]
    sizes = [[_size(c) / m for c, m in zip(row, most, strict=True)] for row in cells]
    forms = [form] * width if isinstance(form, str) else form
    colours = [colours] * width if isinstance(colours, str) else colours
    return Table(rows, cells, sizes, heads, forms, colours, shaded=False, marked=marked)


def shapes(tensors: Mapping[str, torch.Tensor], colour: str = NEUTRAL) -> Table:
    """Write the shape of each tensor, and how many numbers that is.

    Example:
        >>> shapes({"pixels": torch.empty(1, 3, 224, 224), "patches": torch.empty(1, 49, 768)})
                       shape  numbers
        pixels   1×3×224×224  150,528
        patches     1×49×768   37,632
    """
    rows = {name: ["×".join(map(str, t.shape)), t.numel()] for name, t in tensors.items()}
    return bars(rows, heads=["shape", "numbers"], colours=colour)


def matrix(
    numbers: torch.Tensor | Sequence[Sequence[float]],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    form: str = ".2f",
    colour: str = JOINT,
) -> Table:
    """Write a matrix, each cell the darker the larger its number; negative ones are grey.

    Args:
        numbers: `[n, m]`, of any type; what is infinite or NaN has no shade.
        rows: n names; default: none.
        columns: m names; default: none.
        form: How numbers are written.
        colour: One of the palette.

    Raises:
        ValueError: If it is no matrix, or names are missing.

    Example:
        >>> matrix(torch.eye(2), rows=["a cat", "a dog"], columns=["cat", "dog"], form=".0f")
               cat  dog
        a cat    1    0
        a dog    0    1
    """
    values = torch.as_tensor(numbers)
    if values.ndim != 2:
        raise ValueError(f"a tensor of shape {list(values.shape)}; expected a matrix, [n, m]")
    if rows and len(rows) != len(values):
        raise ValueError(f"{len(rows)} names for {len(values)} rows: give one each")
    cells, width = values.tolist(), values.shape[1]
    most = max(abs(_size(c)) for row in cells for c in row) or 1
    sizes = [[_size(c) / most for c in row] for row in cells]
    return Table(rows, cells, sizes, columns, [form] * width, [colour] * width, shaded=True)


def _listed(row) -> list:
    alone = isinstance(row, str) or getattr(row, "ndim", None) == 0 or not hasattr(row, "__len__")
    return [row] if alone else list(row)


def _written(cell, form: str) -> str:
    return cell if isinstance(cell, str) else re.sub("^-", "\u2212", format(cell, form))


def _size(cell) -> float:
    return 0.0 if isinstance(cell, str) or not isfinite(cell) else cell
