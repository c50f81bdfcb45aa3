"""Emoji as captioned pictures: drawings of the same things by several hands, with many names.

>>> drawings = load(["noto", "twemoji"], languages=["en", "es"])
>>> cat = next(drawing for drawing in drawings if drawing.emoji.code_points == "1f408")
>>> cat.artist, cat.emoji.group, cat.emoji.names
('noto', 'Animals & Nature', {'en': 'cat', 'es': 'gato'})
>>> cat.emoji.captions("en")
('cat', 'animal', 'animals', 'cats', 'kitten', 'pet')
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglip_lab.preprocessing import resize, to_pixel_values

__all__ = [
    "ARTISTS", "SHIPPED", "TEMPLATES", "THINGS", "TILES", "Artist", "Batch", "Drawing", "Emoji",
    "group_ids", "labels", "load", "training_batch",
]  # fmt: skip

SHIPPED = Path(__file__).with_name("data")
TILES = 40  # drawings in a row of a sheet


@dataclass(frozen=True)
class Artist:
    """Who drew, under which licence, and what the drawings are for: train, validation or test."""

    title: str
    credit: str
    source: str
    licence: str
    role: str


# Microsoft drew each emoji once and painted it twice: of 100 flat ones, 93 have their own in 3D as
# the nearest in pixels. The two stay on one side.
ARTISTS = {
    "noto": Artist(
        "Noto Emoji", "Google LLC", "https://github.com/googlefonts/noto-emoji",
        "Apache-2.0", "validation",
    ),
    "twemoji": Artist(
        "Twemoji", "Twitter, Inc and other contributors", "https://github.com/jdecked/twemoji",
        "CC-BY-4.0", "test",
    ),
    "fluent-flat": Artist(
        "Fluent Emoji Flat", "Microsoft Corporation", "https://github.com/microsoft/fluentui-emoji",
        "MIT", "train",
    ),
    "fluent-3d": Artist(
        "Fluent Emoji 3D", "Microsoft Corporation", "https://github.com/microsoft/fluentui-emoji",
        "MIT", "train",
    ),
    "openmoji": Artist(
        "OpenMoji", "the OpenMoji project", "https://openmoji.org", "CC-BY-SA-4.0", "train"
    ),
}  # fmt: skip

# Groups of Unicode whose emoji are things, which have a look and a name of their own
THINGS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")

# Other languages have their captions bare.
TEMPLATES = {
    "en": ("{}", "{} emoji", "a picture of {}", "a drawing of {}", "This is a picture of {}."),
    "ar": ("{}", "رمز تعبيري: {}"),
    "es": ("{}", "un emoji de {}"),
    "hi": ("{}", "{} का इमोजी"),
    "zh": ("{}", "{}的表情符号"),
}


@dataclass(frozen=True)
class Emoji:
    """What is drawn.

    Args:
        code_points: In hexadecimal, without the variation selector FE0F: "1f3c3-200d-2640".
        group: Unicode's group, "Animals & Nature" and eight more.
        names: By language, the name that Unicode gives it.
        keywords: By language, other words for it, which emoji share.
    """

    code_points: str
    group: str
    names: dict[str, str] = field(compare=False)
    keywords: dict[str, tuple[str, ...]] = field(compare=False)

    @property
    def character(self) -> str:
        """The character itself, or the sequence of them."""
        return "".join(chr(int(each, 16)) for each in self.code_points.split("-"))

    @property
    def is_thing(self) -> bool:
        """Whether it is an animal, food, a place, an activity or an object: see `THINGS`."""
        return self.group in THINGS

    def captions(self, language: str = "en") -> tuple[str, ...]:
        """Its name, then its keywords."""
        return (self.names[language], *self.keywords[language])


@dataclass(frozen=True, eq=False)
class Drawing:
    """An emoji by an artist; pixels are uint8 `[S, S, 3]`, on white."""

    emoji: Emoji
    artist: str
    pixels: np.ndarray

    @property
    def image(self) -> Image.Image:
        """The drawing as a picture."""
        return Image.fromarray(self.pixels)


def load(
    artists: Iterable[str] | None = None,
    languages: Iterable[str] = ("en",),
    folder: str | Path = SHIPPED,
) -> list[Drawing]:
    """Load every emoji by every artist, artist after artist, in an order that never changes.

    Args:
        artists: Keys of `ARTISTS`. Default: all that the folder has; with the package come Noto,
            Twemoji and both of Fluent.
        languages: Codes of languages; with the package come ar, en, es, hi and zh.
        folder: What ``python -m siglip_lab.emoji.build`` wrote. Default: what comes with the
            package, drawings of 40 x 40 pixels.

    Raises:
        FileNotFoundError: If the folder has not got what is asked for.
    """
    folder = Path(folder)
    groups = _read(folder / "emoji.json")
    if artists is None:
        artists = [name for name in ARTISTS if (folder / f"{name}.webp").exists()]
    texts = {language: _read(folder / f"{language}.json") for language in languages}
    every = [
        Emoji(
            code_points,
            group,
            {language: of[code_points][0] for language, of in texts.items()},
            {language: tuple(of[code_points][1:]) for language, of in texts.items()},
        )
        for code_points, group in groups.items()
    ]
    return [
        Drawing(emoji, artist, pixels)
        for artist in artists
        for emoji, pixels in zip(every, _tiles(folder / f"{artist}.webp", len(every)), strict=True)
    ]


def _tiles(path: Path, n: int) -> np.ndarray:
    """Cut a sheet into its n drawings: uint8 `[n, S, S, 3]`."""
    with Image.open(_existing(path)) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    size = pixels.shape[1] // TILES
    tiles = pixels.reshape(-1, size, TILES, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)
    return tiles[:n]


def _read(path: Path) -> dict:
    return json.loads(_existing(path).read_text(encoding="utf-8"))


def _existing(path: Path) -> Path:
    if path.exists():
        return path
    there = ", ".join(sorted(each.stem for each in path.parent.glob(f"*{path.suffix}")))
    raise FileNotFoundError(
        f"{path.parent} has no {path.name}, only {there or 'nothing of the kind'}; "
        "python -m siglip_lab.emoji.build OUT --artists ... --languages ... makes others"
    )


# ---- captions ------------------------------------------------------------------------------------


def labels(drawings: Sequence[Drawing], captions: Sequence[str]) -> Tensor:
    """Say which caption is true of which drawing: bool `[n, m]`, as `sigmoid_loss` takes it.

    True is what the drawing's emoji is called in any of the languages that were loaded.
    """
    sets = [{text for key in d.emoji.names for text in d.emoji.captions(key)} for d in drawings]
    return torch.tensor([[text in names for text in captions] for names in sets])


def group_ids(captions: Iterable[str]) -> Tensor:
    """Give each caption a number, equal ones the same: int64 `[n]`, the other form of labels.

    The number is made of the caption alone, so all ranks agree. It knows less than `labels`: a
    lemon whose caption in this batch is "lemon" does not belong to another's "fruit".
    """
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in captions]
    return torch.tensor([int.from_bytes(each, "big", signed=True) for each in digests])


@dataclass(frozen=True)
class Batch:
    """n drawings and m captions, the same number for each drawing, drawing after drawing.

    Args:
        drawings: n of them.
        captions: m of them, bare; each may be true of several drawings.
        texts: The captions in their templates.
    """

    drawings: list[Drawing]
    captions: list[str]
    texts: list[str]

    @property
    def labels(self) -> Tensor:
        """bool `[n, m]`: caption j is true of drawing i."""
        return labels(self.drawings, self.captions)

    def pixel_values(self, size: int) -> Tensor:
        """float32 `[n, 3, size, size]`, as `preprocess` makes them."""
        return torch.stack([to_pixel_values(resize(d.image, size)) for d in self.drawings])


def training_batch(
    drawings: Sequence[Drawing],
    seed: int,
    step: int,
    batch_size: int,
    captions_each: int = 1,
    hidden: Collection[tuple[str, str]] = frozenset(),
) -> Batch:
    """Draw the batch of one training step; it depends on nothing but the arguments.

    Args:
        drawings: What to draw from.
        seed: Seed of the run.
        step: Number of the step, from 0.
        batch_size: Number n of drawings.
        captions_each: Number of captions that each brings.
        hidden: Pairs of code points and keyword that training must not meet, as `by_keyword` gives
            them: a keyword does not occur in a batch where it is hidden for one of the drawings.

    >>> batch = training_batch(load(["noto"]), seed=0, step=0, batch_size=8, captions_each=2)
    >>> batch.labels.shape, batch.pixel_values(32).shape
    (torch.Size([8, 16]), torch.Size([8, 3, 32, 32]))
    """
    rng = random.Random(f"emoji {seed} {step}")
    chosen = rng.sample(drawings, batch_size)
    here = {drawing.emoji.code_points for drawing in chosen}
    barred = {keyword for code_points, keyword in hidden if code_points in here}
    captions, texts = [], []
    for drawing in chosen:
        for _ in range(captions_each):
            language = rng.choice(list(drawing.emoji.names))
            name, *keywords = drawing.emoji.captions(language)
            # A name is never barred: it is what is left where every keyword is.
            captions.append(rng.choice([name, *(k for k in keywords if k not in barred)]))
            template = rng.choice(TEMPLATES.get(language, ("{}",)))
            texts.append(template.replace("{}", captions[-1]))
    return Batch(chosen, captions, texts)
