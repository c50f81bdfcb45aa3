"""What training reads: batches of pictures with captions, and the tokenizer of their words."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor

from siglip_lab.preprocessing import resize, to_pixel_values
from siglip_lab.tokenizer import canonicalize
from siglip_lab.toy.shapes_world import (
    Caption,
    Scene,
    draw,
    random_caption,
    random_scene,
    training_combinations,
)

__all__ = ["Batch", "train_tokenizer", "training_batch"]

_ENGLISH = Path(__file__).with_name("english.txt")  # words, an empty line, sentences


@dataclass(frozen=True)
class Batch:
    """n scenes and n captions; the caption of scene i, captions[i], may be true of others, too."""

    scenes: list[Scene]
    captions: list[Caption]

    @property
    def labels(self) -> Tensor:
        """bool `[n, n]`: caption j is true of scene i. The diagonal is true."""
        return torch.tensor([[c.is_true_of(s) for c in self.captions] for s in self.scenes])

    @property
    def texts(self) -> list[str]:
        """The words of the captions."""
        return [caption.text for caption in self.captions]

    def pixel_values(self, size: int) -> Tensor:
        """Draw the scenes: `[n, 3, size, size]`, as `preprocess` makes them."""
        # Not by `preprocess`: on pictures as small as these its threads cost more than they save.
        return torch.stack([to_pixel_values(resize(draw(scene), size)) for scene in self.scenes])


def training_batch(seed: int, step: int, batch_size: int) -> Batch:
    """Make the batch of one training step; it depends on nothing but the arguments.

    All scenes differ in their combination, and none is held out.

    Args:
        seed: Seed of the run.
        step: Number of the step, from 0.
        batch_size: Number n of scenes, at most 288.

    >>> batch = training_batch(seed=0, step=0, batch_size=8)
    >>> batch.labels.shape, bool(batch.labels.diagonal().all())
    (torch.Size([8, 8]), True)
    """
    rng = random.Random(f"train {seed} {step}")
    combinations = rng.sample(training_combinations(), batch_size)
    scenes = [random_scene(rng, combination) for combination in combinations]
    return Batch(scenes, [random_caption(scene, rng) for scene in scenes])


def train_tokenizer(vocab_size: int) -> bytes:
    """Train a SentencePiece model on the world's captions and some everyday English.

    Its layout is that of SigLIP's English vocabulary: `<pad>` 0, `</s>` 1, `<unk>` 2, no `<s>`;
    texts are padded with `</s>`.

    Args:
        vocab_size: Number of pieces.

    Returns:
        The bytes of a ``spiece.model``: the same bytes on every call.

    Raises:
        ValueError: If the texts do not yield so many pieces.
    """
    captions = [text for step in range(40) for text in training_batch(0, step, 100).texts]
    words, sentences = _ENGLISH.read_text(encoding="utf-8").split("\n\n")
    english = [*words.split(), *sentences.splitlines(), *"abcdefghijklmnopqrstuvwxyz0123456789"]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(canonicalize, captions + 8 * english),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            character_coverage=1.0,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"no vocabulary of {vocab_size} pieces: {error}") from error
    return model.getvalue()
