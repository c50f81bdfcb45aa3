"""Texts and images to a model's inputs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from siglip_lab.images import ImageLike
from siglip_lab.loading.pretrained import SIGLIP, PushToHub, read_processor, write_processor
from siglip_lab.preprocessing import preprocess
from siglip_lab.tokenizer import Tokenizer

__all__ = ["Batches", "Inputs", "Processor", "default_device"]

P = TypeVar("P", bound="Processor")


class Inputs(dict[str, Tensor]):
    """A model's inputs by name, for ``model(**inputs)``."""

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Inputs:
        """Move all tensors to a device; `dtype` is for pixel values, ids stay integers."""
        return Inputs(
            {
                name: x.to(device, dtype if x.is_floating_point() else None)
                for name, x in self.items()
            }
        )


class Processor(PushToHub):
    """Turns images and texts into a model's inputs.

    Args:
        tokenizer: The model's: it pads to its context length.
        image_size: Side S of the model's images, in pixels.
    """

    format = SIGLIP
    read_tokenizer: type[Tokenizer] = Tokenizer
    preprocess = staticmethod(preprocess)

    def __init__(self, tokenizer: Tokenizer, image_size: int):
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
        files, length = self.tokenizer.files(), self.tokenizer.context_length
        write_processor(folder, files, length, self.image_size, self.format)

    def __call__(
        self,
        text: str | list[str] | tuple[str, ...] | None = None,
        images: ImageLike | list[ImageLike] | tuple[ImageLike, ...] | None = None,
        truncate: bool = True,
    ) -> Inputs:
        """Prepare texts, images or both.

        Args:
            text: A string or a list of strings.
            images: Anything that `preprocess` takes: one image or a list.
            truncate: Cut texts that are too long; False refuses them.

        Returns:
            `{"input_ids": int64 [n_txt, L], "pixel_values": float32 [n_img, 3, S, S]}`, with only
            what was asked for, so that `model(**processor(text=..., images=...))` works.

        Raises:
            ValueError: If neither is given.
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
        return self.preprocess(image, self.image_size)[0]

    def collate(self, pairs: Iterable[tuple[Any, str]]) -> Inputs:
        """Pairs of an image and its text to a batch: a `DataLoader`'s `collate_fn`.

        Args:
            pairs: Images are as `preprocess` takes them, or tensors `[3, S, S]` of `transform`.
        """
        images, texts = map(list, zip(*pairs, strict=True))
        if all(isinstance(image, Tensor) for image in images):
            return Inputs(self(text=texts), pixel_values=torch.stack(images))
        return self(text=texts, images=images)


class Batches(Dataset):
    """Pixel values of each batch, and by its index the error of each image that cannot be read."""

    def __init__(self, processor: Processor, images: list[ImageLike], batch_size: int):
        self.processor, self.images, self.batch_size = processor, images, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[int, Exception]]:
        start = index * self.batch_size
        batch = self.images[start : start + self.batch_size]
        with suppress(TypeError, ValueError, FileNotFoundError):
            return self.processor(images=batch)["pixel_values"], {}
        # Once more, one by one, to know which it is
        values, errors = [torch.empty(0)], dict[int, Exception]()
        for number, image in enumerate(batch, start):
            try:
                values.append(self.processor.transform(image)[None])
            except (TypeError, ValueError, FileNotFoundError) as error:
                errors[number] = type(error)(f"images[{number}]: {error}")
        return torch.cat(values), errors


def default_device() -> torch.device:
    """The device to run on: a CUDA or Apple GPU where there is one, else the CPU."""
    for name in ("cuda", "mps"):
        if getattr(torch, name).is_available():
            return torch.device(name)
    return torch.device("cpu")
