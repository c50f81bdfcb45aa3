"""What a training gave: what the model gained, what it forgot, and how to load it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from siglip_lab.checks import shown
from siglip_lab.loading.folder import write_files
from siglip_lab.tables import table
from siglip_lab.training.data import named

__all__ = ["Report"]

_WORDS = {
    "name@1": "a picture's own text is the best of {texts}",
    "name@5": "... or among the best 5",
    "find@1": "a text's own picture is the best of {pictures}",
    "find@5": "... or among the best 5",
}


@dataclass(frozen=True)
class Report:
    """A finished training; shows itself as text.

    Args:
        out: The checkpoint folder.
        config: The settings.
        first: What was measured before: test -> measure -> share. The first test is held-out data,
            the others are what the model could do before.
        last: The same, measured after.
        seconds: Of all its parts, if it was interrupted.
        learning: How many numbers learned.
        parameters: How many there are.
        pictures: How many it was trained with.
        left_out: Entries of the data that were no pairs, and why.
        unreadable: Pictures that could not be read, and why.
    """

    out: str
    config: dict[str, Any]
    first: dict[str, dict[str, float]]
    last: dict[str, dict[str, float]]
    seconds: float
    learning: int
    parameters: int
    pictures: int
    left_out: dict[str, str]
    unreadable: dict[str, str]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        config = self.config
        yield (
            f"{config['steps']:,} steps of {config['batch_size']} pairs, {self.pictures:,} "
            f"pictures, {self.seconds:,.0f} s; {self.learning:,} of {self.parameters:,} numbers "
            "learned"
        )
        for number, (test, last) in enumerate(self.last.items()):
            what = "held-out data" if not number else f"what it could do before: {test}"
            rows = [[what, "before", "after", "change"]]
            for key, words in _WORDS.items():
                one, two = self.first[test][key], last[key]
                numbers = {name: f"{last[name]:,.0f}" for name in ("texts", "pictures")}
                row = [f"{one:.1%}", f"{two:.1%}", f"{100 * (two - one):+.1f} points"]
                rows.append([words.format(**numbers), *row])
            yield f"\n{table(rows)}"
        for what, entries in (("left out", self.left_out), ("unreadable", self.unreadable)):
            if entries:
                yield f"\n{what}: {named(entries)}; all in report.json"
        yield (
            "\nLoad it in transformers:\n"
            f"    model = transformers.AutoModel.from_pretrained({self.out!r})\n"
            f"    processor = transformers.AutoProcessor.from_pretrained({self.out!r})\n"
            f"or here: siglip-lab classify --model {shown(self.out)} PHOTO CAPTION ..."
        )

    def save(self, folder: str | Path) -> None:
        """Write ``report.md`` and ``report.json``."""
        text = f"# Training report\n\n```text\n{self}\n```\n"
        write_files(Path(folder), {"report.md": text.encode(), "report.json": asdict(self)})
