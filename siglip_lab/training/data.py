"""Pictures with their captions, what belongs together, and which of them a step sees.

Which pictures, captions and augmentations a step gets follows from seed and step alone: a run that
was stopped goes on with the same data, on any number of processes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, overload

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from siglip_lab.batches import transform_each
from siglip_lab.checks import check_text, shown
from siglip_lab.decoding import ImageLike
from siglip_lab.images import load_image
from siglip_lab.processor import Processor
from siglip_lab.tokenizer import canonicalize

__all__ = ["Augment", "Batch", "Batches", "Pairs", "Picture", "named"]

Augment = Callable[[Image.Image, random.Random], Image.Image]
MOST_HELD_OUT = 1000  # pictures that a share takes: enough to measure, quick to embed
_TRIES = 20  # pictures drawn for one that cannot be read


@dataclass(frozen=True)
class Picture:
    """A picture with its captions.

    Args:
        name: How messages call it.
        image: What `load_image` takes, or a function without arguments that gives it.
        captions: One or more texts that are true of it.
        group: Pictures of one group share all their captions. None: those that share a caption
            share it alone.
    """

    name: str
    image: ImageLike | Callable[[], ImageLike]
    captions: tuple[str, ...]
    group: str | None = None

    def open(self) -> Image.Image:
        """Read it, in RGB; whatever goes wrong is a ValueError, or `load_image`'s own."""
        try:
            image = self.image() if callable(self.image) else self.image
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {shown(error, 120)}") from error
        return load_image(image)


class Pairs(Sequence[Picture]):
    """A list of pictures with captions, and what of them can be true of each other.

    Args:
        pictures: At least one. All have a group, or none has.
        left_out: Why other pictures are not among them, by their names.
        groups: The captions of every group, if there are more groups than have pictures here.
        how: In what form they were found, in a few words.

    Raises:
        ValueError, TypeError: If there is no picture, or one without a caption.

    >>> pairs = Pairs([Picture("a", "a.png", ("A cat.",)), Picture("b", "b.png", ("a cat", "b"))])
    >>> pairs.ids(pairs[0]), pairs.ids(pairs[1])  # the caption they share is one
    ((0,), (0, 1))
    """

    def __init__(
        self,
        pictures: Iterable[Picture],
        left_out: Mapping[str, str] | None = None,
        groups: Mapping[str, tuple[str, ...]] | None = None,
        how: str = "a list of pictures",
    ):
        self.how = how
        self._pictures, self.left_out = list(pictures), dict(left_out or {})
        if not self._pictures:
            raise ValueError("there is no picture with a caption; expected at least one")
        for picture in self._pictures:
            if not picture.captions or isinstance(picture.captions, str):
                raise ValueError(f"{shown(picture.name)}: captions must be a tuple of texts")
            for caption in picture.captions:
                check_text(caption, f"a caption of {shown(picture.name)}")
        self.grouped = self._pictures[0].group is not None
        odd = next((p for p in self._pictures if (p.group is not None) != self.grouped), None)
        if odd is not None:
            raise ValueError(f"{shown(odd.name)}: either all pictures have a group, or none has")
        self._groups = groups

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Pairs: ...
    def __getitem__(self, index):
        found = self._pictures[index]
        return Pairs(found, groups=self._groups) if isinstance(index, slice) else found

    def __len__(self) -> int:
        return len(self._pictures)

    @cached_property
    def texts(self) -> dict[str, tuple[str, ...]]:
        """What a picture can be named: each group with its captions, or each distinct caption."""
        if self._groups is not None:
            return dict(self._groups)
        found: dict[str, dict[str, None]] = {}
        for picture in self._pictures:
            for caption in picture.captions:
                found.setdefault(_key(picture, caption), {})[caption] = None
        # Captions that differ in nothing but what the tokenizer deletes are one
        return {k: tuple(v) if self.grouped else tuple(v)[:1] for k, v in found.items()}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {key: number for number, key in enumerate(self.texts)}

    def id(self, picture: Picture, caption: str) -> int:
        """The number, in `texts`, of what a caption says."""
        return self._numbers[_key(picture, caption)]

    def ids(self, picture: Picture) -> tuple[int, ...]:
        """The numbers, in `texts`, of all that is true of a picture."""
        return tuple(dict.fromkeys(self.id(picture, caption) for caption in picture.captions))

    def captions(self) -> list[str]:
        """All captions, each once."""
        return list(dict.fromkeys(c for picture in self._pictures for c in picture.captions))

    def fingerprint(self) -> str:
        """Names and captions as a few letters: other data has others."""
        rows = ((p.name, p.captions, p.group) for p in self._pictures)
        return hashlib.sha256("\n".join(map(repr, rows)).encode()).hexdigest()[:16]

    def split(self, held_out: float | int, seed: int) -> tuple[Pairs, Pairs]:
        """Two parts, to train with and to measure with, by the pictures' names and the seed.

        Args:
            held_out: How many pictures to measure with: a number, or a share, which takes at least
                one and at most 1,000.
            seed: Another seed, another split.

        Raises:
            ValueError: If one of the parts would be empty.
        """
        n, share = len(self), isinstance(held_out, float)
        number = min(MOST_HELD_OUT, max(1, round(held_out * n))) if share else int(held_out)
        if not 0 < held_out or number >= n or (share and held_out >= 1):
            most = f", or a number from 1 to {n - 1}" if n > 1 else ", and more pictures than one"
            raise ValueError(
                f"held_out is {held_out} of {n} pictures, which leaves an empty split; expected a "
                f"share between 0 and 1, such as 0.1{most}. held_out=None trains on everything"
            )
        order = sorted(range(n), key=lambda i: (_draw(seed, self[i].name), i))
        out = set(order[:number])
        groups = self.texts if self.grouped else None
        parts = (
            Pairs((p for i, p in enumerate(self._pictures) if (i in out) == held), groups=groups)
            for held in (False, True)
        )
        train, other = parts
        return train, other


def _key(picture: Picture, caption: str) -> str:
    return canonicalize(caption) if picture.group is None else picture.group


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def named(names: Iterable[str], most: int = 3) -> str:
    """The first few names, and how many there are besides.

    >>> named(["a.png", "b.png", "c.png", "d.png"])
    'a.png, b.png, c.png and 1 more'
    """
    every = list(names)
    rest = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(shown(name, 60) for name in every[:most]) + rest


# ---- what a step sees ----------------------------------------------------------------------------


class Batch(NamedTuple):
    """One process's part of a step's batch."""

    pixel_values: Tensor  # [n, 3, S, S]
    input_ids: Tensor  # [n, L]
    image_ids: Tensor  # [n, k], what is true of each picture, -1 where there is less than k
    text_ids: Tensor  # [n]
    names: tuple[str, ...]  # of the pictures
    unreadable: dict[str, str]  # name -> why: another picture took its place

    def to(self, device: torch.device) -> Batch:
        """Move the tensors to a device, without waiting for it."""
        names = "pixel_values", "input_ids", "image_ids", "text_ids"
        return self._replace(**{n: getattr(self, n).to(device, non_blocking=True) for n in names})

    def split(self, size: int) -> list[tuple[Tensor, Tensor]]:
        """Pixel values and ids, at most `size` at a time."""
        both = self.pixel_values.split(size), self.input_ids.split(size)
        return list(zip(*both, strict=True))


class Batches(Dataset):
    """A batch for every step: an epoch's pictures in a random order, the last few left out.

    Args:
        pairs: The pictures.
        processor: Makes pixel values and ids.
        steps: How many batches there are.
        batch_size: Pictures of a batch, over all processes.
        seed: Seed of order, captions and augmentation.
        augment: What is done to a picture first: a function of it and of a random generator.
        part: This process's number, and how many there are; each takes its part of every batch.
    """

    def __init__(
        self,
        pairs: Pairs,
        processor: Processor,
        steps: int,
        batch_size: int,
        seed: int = 0,
        augment: Augment | None = None,
        part: tuple[int, int] = (0, 1),
    ):
        self.pairs, self.processor, self.steps, self.seed = pairs, processor, steps, seed
        self.batch_size, self.augment, (self.rank, self.world) = batch_size, augment, part

    def __len__(self) -> int:
        return self.steps

    def indices(self, step: int) -> list[int]:
        """Which pictures the whole batch of a step has."""
        epoch, place = divmod(step, len(self.pairs) // self.batch_size)
        order = _order(len(self.pairs), self.seed, epoch)
        return order[place * self.batch_size : (place + 1) * self.batch_size].tolist()

    def __getitem__(self, step: int) -> Batch:
        if not 0 <= step < self.steps:
            raise IndexError(f"step is {step}; expected 0 to {self.steps - 1}")  # ends a for loop
        share = self.batch_size // self.world
        places = range(self.rank * share, (self.rank + 1) * share)
        indices = self.indices(step)
        pictures = {place: self.pairs[indices[place]] for place in places}
        values, unreadable = self._read(step, pictures)
        captions, image_ids, text_ids = [], [], []
        for place, picture in pictures.items():
            caption = self._random(step, place, "caption").choice(picture.captions)
            captions.append(caption)
            image_ids.append(self.pairs.ids(picture))
            text_ids.append(self.pairs.id(picture, caption))
        k = max(map(len, image_ids))
        return Batch(
            values,
            self.processor.tokenizer(captions),
            torch.tensor([[*ids, *[-1] * (k - len(ids))] for ids in image_ids]),
            torch.tensor(text_ids),
            tuple(picture.name for picture in pictures.values()),
            unreadable,
        )

    def _read(self, step: int, pictures: dict[int, Picture]) -> tuple[Tensor, dict[str, str]]:
        """Pixel values; for a picture that cannot be read, another is drawn and takes its place."""
        size = self.processor.image_size
        unreadable: dict[str, str] = {}
        places, values = list(pictures), torch.empty(0)
        todo = places
        for attempt in range(_TRIES):
            jobs: list[Any] = [(step, place, pictures[place]) for place in todo]
            found, errors = transform_each(self._transform, jobs, size)
            if attempt == 0:
                values = found
            else:
                values[[places.index(place) for place in todo]] = found
            unreadable |= {pictures[todo[i]].name: str(e) for i, e in sorted(errors.items())}
            todo = [todo[i] for i in sorted(errors)]
            if not todo:
                return values, unreadable
            for place in todo:
                rng = self._random(step, place, f"instead {attempt}")
                pictures[place] = self.pairs[rng.randrange(len(self.pairs))]
        name, why = next(iter(unreadable.items()))
        raise ValueError(
            f"{_TRIES} pictures drawn one after the other cannot be read: {named(unreadable)}. "
            f"Look at {shown(name, 60)}: {shown(why, 120)}"
        )

    def _transform(self, job: Any, size: int, background: Any) -> Tensor:
        step, place, picture = job
        image = picture.open()
        if self.augment is not None:
            image = self.augment(image, self._random(step, place, "augment"))
        return self.processor.transform_one(image, size, background)

    def _random(self, step: int, place: int, purpose: str) -> random.Random:
        return random.Random(f"{self.seed} {step} {place} {purpose}")


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> Tensor:
    number = int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest()[:8], "big")
    return torch.randperm(n, generator=torch.Generator().manual_seed(number % 2**63))
