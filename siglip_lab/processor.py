"""Texts and images to a model's inputs."""

from __future__ import annotations

import os
from collections.abc import Callable

from torch import Tensor

from siglip_lab.loading.pretrained import PushToHub, read_processor, write_processor
from siglip_lab.preprocessing import preprocess
from siglip_lab.tokenizer import Tokenizer

__all__ = ["Processor"]


class Processor(PushToHub):
    """Turns images and texts into a model's inputs.

    Args:
        tokenizer: Turns texts into ids: the model's, which pads to its context length.
        image_size: Side of the model's images, in pixels.
        preprocess: What turns images and that size into pixel values.
    """

    def __init__(
        self,
        tokenizer: Callable,
        image_size: int,
        preprocess: Callable = preprocess,
    ):
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.preprocess = preprocess

    @classmethod
    def from_pretrained(cls, where: str | os.PathLike, *, revision: str | None = None) -> Processor:
        """Load the processor of a model; arguments and errors as for `SigLIP.from_pretrained`."""
        return cls(*read_processor(where, Tokenizer, revision=revision))

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write ``spiece.model`` and the settings, as transformers reads them."""
        files = {"spiece.model": self.tokenizer.serialized()}
        write_processor(folder, files, self.tokenizer.context_length, self.image_size)

    def __call__(self, text=None, images=None) -> dict[str, Tensor]:
        """Prepare texts, images or both.

        Args:
            text: A string or a list of strings.
            images: Anything that `preprocess` takes: one image or a list.

        Returns:
            `{"input_ids": int64 [n_txt, L], "pixel_values": float32 [n_img, 3, S, S]}`, with only
            what was asked for, so that `model(**processor(text=..., images=...))` works.

        Raises:
            ValueError: If neither is given.
        """
        if text is None and images is None:
            raise ValueError("give text, images or both")
        inputs = {}
        if text is not None:
            inputs["input_ids"] = self.tokenizer(text)
        if images is not None:
            inputs["pixel_values"] = self.preprocess(images, self.image_size)
        return inputs
