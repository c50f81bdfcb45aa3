"""Texts and images to the inputs of a CLIP."""

from __future__ import annotations

import os

from torch import Tensor

from siglip_lab import processor as siglip
from siglip_lab.clip.configs import get_config, list_models
from siglip_lab.clip.loading import CLIP_FORMAT
from siglip_lab.clip.preprocessing import transform
from siglip_lab.clip.tokenizer import Tokenizer
from siglip_lab.images import WHITE, ImageLike

__all__ = ["Processor"]


class Processor(siglip.Processor):
    """Turns images and texts into a CLIP's inputs."""

    format = CLIP_FORMAT

    def transform_one(
        self, image: ImageLike, size: int, background: tuple[int, int, int] = WHITE
    ) -> Tensor:
        return transform(image, size, background)

    @classmethod
    def from_pretrained(cls, where: str | os.PathLike, *, revision: str | None = None) -> Processor:
        """Load a model's processor; arguments and errors as for `CLIP.from_pretrained`.

        A name of `list_models` fetches nothing: its vocabulary is the installed one.
        """
        if where in list_models():
            config = get_config(str(where))
            tokenizer = Tokenizer(context_length=config.text.context_length)
            return cls(tokenizer, config.vision.image_size)
        return super().from_pretrained(where, revision=revision)
