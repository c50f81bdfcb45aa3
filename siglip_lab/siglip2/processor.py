"""Texts, and images of any shape, to the inputs of a NaFlex model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from siglip_lab import processor as siglip
from siglip_lab.checks import check_integer
from siglip_lab.images import ImageLike
from siglip_lab.loading.processors import read_processor, write_processor
from siglip_lab.processor import Inputs
from siglip_lab.siglip2.configs import SIGLIP2
from siglip_lab.siglip2.preprocessing import preprocess_each
from siglip_lab.tokenizer import Tokenizer

__all__ = ["Processor"]


class Processor(siglip.Processor):
    """Turns texts into ids, and images of any shape into patches.

    SigLIP 2 at fixed resolution takes `siglip_lab.Processor`, as SigLIP does.

    Args:
        tokenizer: A `siglip2.Tokenizer`.
        max_num_patches: The budget of an image; a call may give another.
        patch_size: Side of a patch, in pixels.
    """

    format = SIGLIP2

    def __init__(self, tokenizer: Tokenizer, max_num_patches: int = 256, patch_size: int = 16):
        check_integer("max_num_patches", max_num_patches)
        check_integer("patch_size", patch_size)
        self.tokenizer = tokenizer
        self.max_num_patches = max_num_patches
        self.patch_size = patch_size

    @classmethod
    def from_pretrained(cls, where: str | os.PathLike, *, revision: str | None = None) -> Processor:
        """Load a model's processor; arguments and errors as for `SigLIP2.from_pretrained`."""
        tokenizer, _, settings = read_processor(where, cls.format, revision)
        numbers = {name: settings[name] for name in cls.format.image_numbers if name in settings}
        return cls(tokenizer, **numbers)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write the tokenizer's file and the settings, as transformers reads them."""
        settings = {name: getattr(self, name) for name in self.format.image_numbers}
        write_processor(folder, self.tokenizer, None, settings, self.format)

    def __call__(  # type: ignore[override]
        self,
        text: str | list[str] | tuple[str, ...] | None = None,
        images: ImageLike | list[ImageLike] | tuple[ImageLike, ...] | None = None,
        truncate: bool = True,
        max_num_patches: int | None = None,
    ) -> Inputs:
        """Prepare texts, images or both, for `model(**processor(text=..., images=...))`.

        Returns:
            What was asked for: ``input_ids`` int64 `[n_txt, L]`, and the three tensors of
            `preprocess`. Texts that are too long are cut, or refused if not `truncate`.
        """
        if max_num_patches is not None:
            other = type(self)(self.tokenizer, max_num_patches, self.patch_size)
            return other(text, images, truncate)
        return super().__call__(text, images, truncate)

    def prepare(self, images: Sequence[ImageLike]) -> tuple[Inputs, dict[int, Exception]]:
        """Images to the three tensors, and by its index the error of each that cannot be read."""
        inputs, errors = preprocess_each(images, self.max_num_patches, patch_size=self.patch_size)
        return Inputs(inputs), errors

    def transform(self, image: ImageLike) -> Inputs:  # type: ignore[override]
        """One image to the three tensors of `preprocess`, without their first dimension."""
        return Inputs({name: x[0] for name, x in self(images=image).items()})

    def collate(self, pairs: Iterable[tuple[Any, str]]) -> Inputs:
        """Pairs of an image, or what `transform` made of it, and its text: a batch."""
        images, texts = map(list, zip(*pairs, strict=True))
        ready = [x if isinstance(x, Inputs) else self.transform(x) for x in images]
        stacked = {name: torch.stack([x[name] for x in ready]) for name in ready[0]}
        return Inputs(self(text=texts) | stacked)
