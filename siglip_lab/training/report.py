"""What a training gave: what the model gained, what it forgot, and how to load it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from siglip_lab.checks import shown
from siglip_lab.loading.folder import write_files
from siglip_lab.tables import table
from siglip_lab.training.data import named

__all__ = ["HELD_OUT", "Report"]

HELD_OUT = "held out"  # the test of held-out data
_WORDS = {
    "name@1": "a picture's own text is the best of {texts}",
    "name@5": "... or among the best 5",
    "find@1": "a text's own picture is the best of {pictures}",
    "find@5": "... or among the best 5",
}
_FEW = 10  # of so few five are half
_LOAD = """Load it in transformers:

import torch, transformers
from PIL import Image
model = transformers.AutoModel.from_pretrained({out!r}).eval()
processor = transformers.AutoProcessor.from_pretrained({out!r})
inputs = processor(
    text={texts!r}, images=Image.open({photo!r}).convert("RGB"),
    padding="max_length", truncation=True, return_tensors="pt",
)
with torch.no_grad():
    print(model(**inputs).logits_per_image.sigmoid())

(It may warn of bos_token_id 49406: that is of its own default, not of this model.) Or here:

siglip-lab classify --model {shell_out} --template "{{}}" {shell_words}"""


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
        origin: The model that it began with.
        data: How the data was read.
        examples: Some held-out pictures: a caption of theirs, the best of all before, and after.
        photo: The file of one of them.
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
    origin: str = ""
    data: str = ""
    examples: dict[str, list[str]] = field(default_factory=dict)
    photo: str = "photo.jpg"

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        config = self.config
        epochs = config["steps"] * config["batch_size"] / max(1, self.pictures)
        if self.origin:
            yield f"{shown(self.origin, 60)}, trained on {shown(self.data, 120)}"
        yield (
            f"{config['steps']:,} steps of {config['batch_size']} pairs, {epochs:,.1f} epochs of "
            f"{self.pictures:,} pictures, {self.seconds:,.0f} s; {self.learning:,} of "
            f"{self.parameters:,} numbers learned"
        )
        yield (
            f"learned: {config['learn']}; peak learning rate {config['learning_rate']:g}, "
            f"{config['warmup']:,} steps of warm-up, seed {config['seed']}; all in report.json"
        )
        if words := self._verdict():
            yield f"\n{words}"
        for test, last in self.last.items():
            yield f"\n{table(self._rows(test, last))}"
            n = last["pictures"]
            yield f"({n:,.0f} pictures: one of them is {100 / n:.1f} points)"
        if self.examples:
            rows = [["held-out picture", "its caption", "best before", "best after"]]
            rows += [[shown(x, 36) for x in (n, *texts)] for n, texts in self.examples.items()]
            yield f"\n{table(rows, 4)}"
        if len(self.unreadable) > (self.pictures + len(self.unreadable)) / 10:
            yield f"\nWARNING: {len(self.unreadable):,} pictures could not be read"
        for what, entries in (("left out", self.left_out), ("unreadable", self.unreadable)):
            if entries:
                yield f"\n{what}: {named(entries)}; all in report.json"
        texts = list(dict.fromkeys(t for row in self.examples.values() for t in row[:1]))[:2]
        texts = texts or ["a cat", "a dog"]
        yield "\n" + _LOAD.format(
            out=self.out, photo=self.photo, texts=texts, shell_out=shlex.quote(self.out),
            shell_words=shlex.join([self.photo, *texts]),
        )  # fmt: skip

    def _verdict(self) -> str:
        """Gained and forgotten in one sentence."""
        change = {
            t: 100 * (row["name@1"] - self.first[t]["name@1"]) for t, row in self.last.items()
        }
        words = []
        if HELD_OUT in change:
            words.append(f"naming held-out pictures {change.pop(HELD_OUT):+.1f} points")
        if change:
            test, worst = min(change.items(), key=lambda each: each[1])
            words.append(f"naming what it could do before ({shown(test, 40)}) {worst:+.1f} points")
        return f"In short: {', '.join(words)}." if words else ""

    def _rows(self, test: str, last: dict[str, float]) -> list[list[str]]:
        what = "held-out data" if test == HELD_OUT else f"what it could do before: {test}"
        rows = [[what, "before", "after", "change"]]
        numbers = {name: f"{last[name]:,.0f}" for name in ("texts", "pictures")}
        for key, words in _WORDS.items():
            if key.endswith("5") and last["texts" if key == "name@5" else "pictures"] < _FEW:
                continue
            one, two = self.first[test][key], last[key]
            row = [f"{one:.1%}", f"{two:.1%}", f"{100 * (two - one):+.1f} points"]
            rows.append([words.format(**numbers), *row])
        return rows

    def save(self, folder: str | Path) -> None:
        """Write ``report.md`` and ``report.json``."""
        text = f"# Training report\n\n```text\n{self}\n```\n"
        write_files(Path(folder), {"report.md": text.encode(), "report.json": asdict(self)})
