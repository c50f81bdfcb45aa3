"""Texts and images to the inputs of a CLIP."""

from __future__ import annotations

import os

from siglip_lab.clip.configs import get_config, list_models
from siglip_lab.clip.loading import CLIP_FORMAT
from siglip_lab.clip.preprocessing import preprocess
from siglip_lab.clip.tokenizer import Tokenizer
from siglip_lab.loading.pretrained import read_processor, write_processor
from siglip_lab.processor import Processor as SigLIPProcessor

__all__ = ["Processor"]


class Processor(SigLIPProcessor):
    """Turns images and texts into a CLIP's inputs."""

    preprocess = staticmethod(preprocess)

    @classmethod
    def from_pretrained(
        cls,
        where: str | os.PathLike,
        *,
        revision: str | None = None,
        vocabulary: str | os.PathLike | None = None,
    ) -> Processor:
        """Load the processor of a model.

        Args:
            where: As for `CLIP.from_pretrained`. A name of `list_models` fetches nothing: its
                vocabulary is the installed one, or `vocabulary`.
            revision: Branch, tag or commit on the hub.
            vocabulary: As for `Tokenizer`, instead of the folder's.

        Returns:
            The processor.

        Raises:
            CheckpointError: If a file is missing or damaged, or the folder asks for another
                preprocessing than CLIP's.
            FileNotFoundError: If there is no such path or vocabulary.
        """
        if where in list_models():
            config = get_config(str(where))
            return cls(Tokenizer(vocabulary, config.text.context_length), config.vision.image_size)
        return cls(
            *read_processor(
                where,
                lambda folder, length: Tokenizer(vocabulary or folder, length),
                CLIP_FORMAT,
                revision,
            )
        )

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write the vocabulary and the settings, as transformers reads them.

        Args:
            folder: The folder; made if need be.
        """
        files, length = self.tokenizer.files(), self.tokenizer.context_length
        write_processor(folder, files, length, self.image_size, CLIP_FORMAT)
