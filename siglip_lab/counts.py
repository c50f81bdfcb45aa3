"""A count: a number, the parts that it is the sum of, and how it shows itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from siglip_lab.tables import table

__all__ = ["Count", "compare"]


@dataclass(frozen=True, repr=False)
class Count:
    """A number and the parts that it is the sum of; shows itself as a tree.

    ``count["vision"]["layer 0"]["mlp"]`` is a part, and iterating gives the parts. Where there is a
    part "vision" or "text", ``count.vision`` is short for it. Equal layers are shown on one line.
    """

    name: str
    unit: str  # "parameters", "FLOPs" or "bytes"
    total: int
    parts: tuple[Count, ...] = ()

    @classmethod
    def of(cls, unit: str, content: int | dict, name: str = "total") -> Count:
        """Add up nested dicts, from a part's name to its parts or to an integer.

        >>> Count.of("bytes", {"weights": {"vision": 8, "text": 4}, "inputs": 3}).total
        15
        """
        if isinstance(content, int):
            return cls(name, unit, content)
        parts = tuple(cls.of(unit, part, name) for name, part in content.items())
        return cls(name, unit, sum(part.total for part in parts), parts)

    @property
    def vision(self) -> Count:
        """The image tower's part."""
        return self._tower("vision")

    @property
    def text(self) -> Count:
        """The text tower's part."""
        return self._tower("text")

    def _tower(self, name: str) -> Count:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(*error.args) from None

    def __getitem__(self, name: str) -> Count:
        for part in self.parts:
            if part.name == name:
                return part
        names = ", ".join(part.name for part in self.parts) or "none"
        raise KeyError(f"{self.name!r} has no part {name!r}; parts: {names}")

    def __iter__(self) -> Iterator[Count]:
        return iter(self.parts)

    def to_dict(self) -> dict:
        """Nested plain dicts, ready for JSON: ``{"total": …, "vision": {"total": …, …}, …}``."""
        return {"total": self.total} | {part.name: part.to_dict() for part in self.parts}

    def __repr__(self) -> str:
        return compare({"number": self})


def compare(counts: dict[str, Count]) -> str:
    """Lay trees side by side, with each part's share of the total; equal layers share a line.

    Args:
        counts: Heading of a column -> a count.

    Returns:
        Lines of text.

    Raises:
        ValueError: If there is no count, or they are of different units.

    >>> small, large = {"scale": 1, "table": 6}, {"scale": 1, "table": 12, "bias": 3}
    >>> print(compare({"B": Count.of("numbers", small), "L": Count.of("numbers", large)}))
    numbers  B   share   L   share
    total    7  100.0%  16  100.0%
      scale  1   14.3%   1    6.2%
      table  6   85.7%  12   75.0%
      bias   -           3   18.8%
    """
    units = {count.unit for count in counts.values()}
    if len(units) != 1:
        raise ValueError(f"expected one or more counts of one unit, got {sorted(units)}")
    rows = [[*units, *(part for heading in counts for part in (heading, "share"))]]
    totals = [count.total or 1 for count in counts.values()]
    for depth, name, cells in _rows("total", [(1, count) for count in counts.values()], 0):
        row = ["  " * depth + name]
        for (times, count), total in zip(cells, totals, strict=True):
            number = f"{times} x " if times > 1 else ""
            row.append(f"{number}{count.total:,}" if count else "-")
            row.append(f"{times * count.total / total:.1%}" if count else "")
        rows.append(row)
    return table(rows)


def _rows(name: str, cells: list[tuple[int, Count | None]], depth: int) -> Iterator[tuple]:
    """(depth, name, one (times, count) for each tree), from the top down."""
    yield depth, name, cells
    children = [_folded(count) for _, count in cells]
    for key in dict.fromkeys(key for parts in children for key in parts):
        found = [parts.get(key, (1, None)) for parts in children]
        below = [(n * times, part) for (n, part), (times, _) in zip(found, cells, strict=True)]
        label = f"{key} …" if any(n > 1 for n, _ in found) else key
        yield from _rows(label, below, depth + 1)


def _folded(count: Count | None) -> dict[str, tuple[int, Count]]:
    """Name of a part -> how many equal ones begin with it, and the part."""
    runs: dict[str, tuple[int, Count]] = {}
    alike, first = None, ""
    for part in count or ():
        stem = part.name.rstrip("0123456789")
        key = (stem, part.total, part.parts)
        if key == alike and stem != part.name:
            runs[first] = runs[first][0] + 1, runs[first][1]
        else:
            alike, first = key, part.name
            runs[first] = 1, part
    return runs
