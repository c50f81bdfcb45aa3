"""Texts and images to a model's inputs."""

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from siglip_lab.checks import check_integer
from siglip_lab.images import ImageLike
from siglip_lab.loading.hubs import PushToHub
from siglip_lab.loading.pretrained import SIGLIP
from siglip_lab.loading.processors import read_processor, write_processor
from siglip_lab.preprocessing import preprocess, transform
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
    """Turns texts and images into a model's inputs: by its tokenizer, and to S x S pixels."""

    format = SIGLIP
    read_tokenizer: type[Tokenizer] = Tokenizer
    preprocess = staticmethod(preprocess)
    transform_one = staticmethod(transform)

    def __init__(self, tokenizer: Tokenizer, image_size: int):
        check_integer("image_size", image_size)
        self.tokenizer = tokenizer
        self.image_size = image_size

    @classmethod
    def from_pretrained(
        cls: type[P], where: str | os.PathLike, *, revision: str | None = None
    ) -> P:
        """Load a model's processor; arguments and errors as for `SigLIP.from_pretrained`."""
        return cls(*read_processor(where, cls.read_tokenizer, cls.format, revision))

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write the tokenizer's files and the settings, as transformers reads them."""
        words = self.tokenizer
        sizes = self.image_size, words.context_length, words.vocab_size
        write_processor(folder, words.files(), *sizes, self.format)

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
            inputs["pixel_values"] = self.preprocess(images, self.image_size)
        return inputs

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
