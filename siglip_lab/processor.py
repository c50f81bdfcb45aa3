"""Texts and images to a model's inputs."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from siglip_lab.batches import transform_all, transform_each
from siglip_lab.checks import check_integer
from siglip_lab.gemma import GemmaTokenizer
from siglip_lab.images import WHITE, ImageLike
from siglip_lab.loading.folder import GEMMA
from siglip_lab.loading.hubs import PushToHub
from siglip_lab.loading.pretrained import SIGLIP
from siglip_lab.loading.processors import read_processor, write_processor
from siglip_lab.preprocessing import BICUBIC, transform
from siglip_lab.tokenizer import Tokenizer

__all__ = ["Inputs", "Processor"]

P = TypeVar("P", bound="Processor")


class Inputs(dict[str, Tensor]):
    """A model's inputs by name, for ``model(**inputs)``."""

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> "Inputs":
        """Move all tensors to a device; `dtype` is for pixel values, ids stay integers."""
        if isinstance(device, torch.dtype):  # as in ``.to(torch.bfloat16)``
            device, dtype = None, device
        types = {name: dtype if x.is_floating_point() else None for name, x in self.items()}
        return Inputs({name: x.to(device, types[name]) for name, x in self.items()})


class Processor(PushToHub):
    """Turns texts and images into a model's inputs: by its tokenizer, and to S x S pixels.

    Args:
        tokenizer: A `Tokenizer`, or SigLIP 2's, `siglip2.Tokenizer`.
        image_size: Side S of the images, in pixels.
        resample: Pillow's filter that resizes them: 3, bicubic, or 2, bilinear, as SigLIP 2 has it.
    """

    format = SIGLIP

    def __init__(self, tokenizer: Tokenizer, image_size: int, resample: int = BICUBIC):
        check_integer("image_size", image_size)
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.resample = resample

    @classmethod
    def from_pretrained(
        cls: type[P], where: str | os.PathLike, *, revision: str | None = None
    ) -> P:
        """Load a model's processor; arguments and errors as for `SigLIP.from_pretrained`."""
        tokenizer, size, settings = read_processor(where, cls.read_tokenizer, cls.format, revision)
        return cls(tokenizer, size, settings.get("resample", BICUBIC))

    @staticmethod
    def read_tokenizer(path: Path, context_length: int) -> Tokenizer:
        """A tokenizer of its file: SigLIP 2's is known by its name."""
        kind = GemmaTokenizer if path.name == GEMMA else Tokenizer
        return kind(path, context_length)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write the tokenizer's files and the settings, as transformers reads them."""
        settings = {"resample": self.resample}
        write_processor(folder, self.tokenizer, self.image_size, settings, self.format)

    def transform_one(
        self, image: ImageLike, size: int, background: tuple[int, int, int] = WHITE
    ) -> Tensor:
        """One image to `[3, size, size]`."""
        return transform(image, size, background, self.resample)

    def __call__(
        self,
        text: str | list[str] | tuple[str, ...] | None = None,
        images: ImageLike | list[ImageLike] | tuple[ImageLike, ...] | None = None,
        truncate: bool = True,
    ) -> "Inputs":
        """Prepare texts, images or both, for `model(**processor(text=..., images=...))`.

        Returns:
            `{"input_ids": int64 [n_txt, L], "pixel_values": float32 [n_img, 3, S, S]}`, with only
            what was asked for. Texts that are too long are cut, or refused if not `truncate`.
        """
        if text is None and images is None:
            raise ValueError("give text, images or both")
        inputs = Inputs()
        if text is not None:
            inputs["input_ids"] = self.tokenizer(text, truncate)
        if images is not None:
            inputs["pixel_values"] = transform_all(
                self.transform_one, images, self.image_size, WHITE
            )
        return inputs

    def prepare(self, images: list[ImageLike]) -> tuple[Inputs, dict[int, Exception]]:
        """What `images` become, and by its index the error of each that cannot be read."""
        values, errors = transform_each(self.transform_one, images, self.image_size)
        return Inputs(pixel_values=values), errors

    def transform(self, image: ImageLike) -> Tensor:
        """One image to `[3, S, S]`: what a torchvision dataset takes as its `transform`."""
        return self.transform_one(image, self.image_size)

    def collate(self, pairs: Iterable[tuple[Any, str]]) -> Inputs:
        """Pairs of an image, or a tensor of `transform`, and its text: a `DataLoader`'s batch."""
        images, texts = map(list, zip(*pairs, strict=True))
        if any(isinstance(image, Tensor) for image in images):
            ready = [x if isinstance(x, Tensor) else self.transform(x) for x in images]
            return Inputs(self(text=texts), pixel_values=torch.stack(ready))
        return self(text=texts, images=images)
