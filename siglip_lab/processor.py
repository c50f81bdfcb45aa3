"""Texts and images to a model's inputs."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from siglip_lab.batches import transform_all, transform_each
from siglip_lab.checks import check_integer
from siglip_lab.images import WHITE, ImageLike
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

    `resample` is Pillow's filter that resizes images: 3, bicubic, or 2, bilinear.
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
        tokenizer, size, settings = read_processor(where, cls.format, revision)
        return cls(tokenizer, size, settings.get("resample", BICUBIC))

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
            inputs |= transform_all(self.prepare, images)
        return inputs

    def prepare(self, images: Sequence[ImageLike]) -> tuple[Inputs, dict[int, Exception]]:
        """Images to inputs, and by its index the error of each that cannot be read."""
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
