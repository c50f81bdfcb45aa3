"""Text in columns, for what shows itself on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["table"]


def table(rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Lay out rows of cells in columns, each as wide as its widest cell.

    Args:
        rows: Rows of equally many cells.
        left: How many columns, counted from the first, are flush left; the others are flush right.

    Returns:
        One line of text for each row.

    >>> print(table([("tokens", "FLOPs"), (9, 1250), (729, 10)]))
    tokens  FLOPs
    9        1250
    729        10
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [[*map(str.ljust, row[:left], widths), *map(str.rjust, row[left:], widths[left:])]
               for row in cells]  # fmt: skip
    return "\n".join("  ".join(row).rstrip() for row in aligned)
