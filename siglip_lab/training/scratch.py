"""What a training from nothing needs: new weights, a vocabulary."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
import torch

from siglip_lab.checks import check_integer, shown
from siglip_lab.loading.pretrained import SIGLIP, resolve
from siglip_lab.loading.weights import read_json
from siglip_lab.model import SigLIP
from siglip_lab.tokenizer import Tokenizer, canonicalize
from siglip_lab.training.config import TrainConfig

__all__ = ["new_model", "train_tokenizer"]


def new_model(where: str | os.PathLike, config: TrainConfig) -> SigLIP:
    """Draw new weights for the shape of a checkpoint folder, or a name that has one.

    b starts where the answer to every pair is the share of true ones, 1 in a batch: the paper's -10
    is that of 22 thousand.

    Args:
        where: As for `SigLIP.from_pretrained`; its weights are not read.
        config: Has the seed and the batch size.
    """
    folder = resolve(where, SIGLIP.repositories, weights=False)
    path = folder / "config.json"
    (shape,) = SIGLIP.read_config(path, read_json(path))
    model = SigLIP(shape, seed=config.seed)
    torch.nn.init.constant_(model.logit_bias, -math.log(max(1, config.batch_size - 1)))
    return model


def train_tokenizer(
    texts: Iterable[str], file: str | os.PathLike, pieces: int = 1024, context_length: int = 16
) -> Tokenizer:
    """Learn a vocabulary of byte pairs from captions, and write it as SigLIP's tokenizer reads it.

    Byte pairs are chosen by counts, so that every machine chooses the same; the released
    vocabularies are SentencePiece's other kind, unigram.

    Args:
        texts: The captions; what comes twice counts twice.
        file: Where to write the vocabulary, ``spiece.model``.
        pieces: How many pieces there are, with the three that have a meaning of their own.
        context_length: Length of the tokenizer's rows.

    Raises:
        ValueError: If the captions are too few for so many pieces.
    """
    check_integer("pieces", pieces, least=4)
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(canonicalize, texts), model_writer=written, model_type="bpe",
            vocab_size=pieces, character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
            num_threads=1, minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise ValueError(f"no vocabulary of {pieces} pieces: {shown(error, 150)}") from error
    Path(file).write_bytes(written.getvalue())
    return Tokenizer(file, context_length)
