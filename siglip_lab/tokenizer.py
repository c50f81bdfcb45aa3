"""Texts to token ids: lower-case, drop punctuation, split into SentencePiece pieces, pad to length.

Chapter "Text". The ids equal those of transformers' `SiglipTokenizer` on the same model file with
``padding="max_length", truncation=True``. Padding is not optional: the text tower has no attention
mask and reads its answer at the last position, so it was trained on padded rows only.
"""

from __future__ import annotations

import operator
import os
import re
import string
from collections.abc import Iterable
from pathlib import Path

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

__all__ = ["Tokenizer", "canonicalize"]

END, UNKNOWN = "</s>", "<unk>"
END_ID = 1  # ends a text, and fills the row behind it
SPACE = "▁"  # U+2581, how SentencePiece writes a space

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonicalize(text: str) -> str:
    """Lower the case, delete ASCII punctuation, make every run of white space one space.

    Punctuation goes without a trace: "hot_dog" becomes "hotdog", not "hot dog".

    Args:
        text: Any text.

    Returns:
        The text that is cut into pieces, without white space at its ends.

    Source: transformers, ``SiglipTokenizer.canonicalize_text``; big_vision's
    ``prompt_engineering.canonicalize_text`` first turns "_" into a space, and its demo keeps
    punctuation.

    >>> canonicalize("  A photo:   2 Hot_Dogs! ")
    'a photo 2 hotdogs'
    """
    return re.sub(r"\s+", " ", text.lower().translate(_PUNCTUATION)).strip()


class Tokenizer:
    """SentencePiece tokenizer of SigLIP.

    Args:
        model_file: A SentencePiece model (``spiece.model``) whose end token has id 1, as in the
            English (32,000 pieces) and the multilingual vocabulary (250,000) of SigLIP.
        context_length: Length L of every row, in tokens: 64, or 16 for so400m-patch14-224.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a model, or the context length is below 1.
        TypeError: If the context length is not an integer.

    Source: transformers, ``tokenization_siglip.py``; SigLIP paper, section 4 (32k vocabulary of
    C4); big_vision ``pp/ops_text.py`` (``eos="sticky", pad_value=1``).

    >>> from importlib.resources import files
    >>> tokenizer = Tokenizer(files("siglip_lab") / "tiny" / "spiece.model", context_length=8)
    >>> tokenizer.pieces("A photo of 2 circles!")
    ['▁a', '▁photo', '▁of', '▁2', '▁circles', '</s>']
    >>> tokenizer("A photo of 2 circles!").shape
    torch.Size([1, 8])
    """

    def __init__(self, model_file: str | os.PathLike, context_length: int = 64):
        self.context_length = check_context_length(context_length, least=1)
        self._model = _load(Path(model_file))
        self._prefix_length = len(self._model.encode(UNKNOWN, out_type=str))

    @property
    def vocab_size(self) -> int:
        """Number of pieces; ids run from 0 to one less."""
        return self._model.get_piece_size()

    def serialized(self) -> bytes:
        """The SentencePiece model, as its file holds it."""
        return self._model.serialized_model_proto()

    def __call__(self, texts: str | list[str] | tuple[str, ...]) -> Tensor:
        """Turn texts into the ids that a SigLIP text tower takes.

        Args:
            texts: One text or a list or tuple of them.

        Returns:
            int64 `[B, L]`. A text longer than L - 1 tokens is cut there, so that every row holds
            an end token; what is left of the row is filled with it.

        Raises:
            TypeError: If a text is not a string.
            ValueError: If the list is empty, or a text cannot be written in UTF-8.
        """
        last = self.context_length - 1
        rows = [self.encode(text)[:last] for text in list_of(texts)]
        rows = [row + [END_ID] * (self.context_length - len(row)) for row in rows]
        return torch.tensor(rows)  # [B, L]

    def encode(self, text: str) -> list[int]:
        """Turn one text into ids, without cutting or padding.

        Args:
            text: Any text.

        Returns:
            The ids of `pieces(text)`, end token included.
        """
        return self._model.piece_to_id(self.pieces(text))

    def pieces(self, text: str) -> list[str]:
        """Cut one text into pieces, one for each id of `encode`.

        "▁" marks the beginning of a word. A piece that is not in the vocabulary is given as it
        stands in the text; its id is that of "<unk>". "</s>" and "<unk>" written in the text mean
        the tokens themselves.

        Args:
            text: Any text.

        Returns:
            The pieces, with "</s>" at the end.
        """
        check_text(text, "the text")
        pieces = []
        for part in re.split(f"({END}|{UNKNOWN})", SPACE + text.replace(SPACE, " ")):
            pieces += [part] if part in (END, UNKNOWN) else self._split(canonicalize(part))
        if pieces[:1] == [SPACE] and pieces[1:2] in ([END], [UNKNOWN]):
            pieces = pieces[1:]
        return pieces if pieces[-1:] == [END] else pieces + [END]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Turn the ids of one text back into text.

        Args:
            ids: Integers, or a row of `input_ids`.

        Returns:
            The canonical text, without end tokens; an unknown piece reads " ⁇ ".

        Raises:
            TypeError: If the ids are not integers.
            ValueError: If an id is not in the vocabulary.
        """
        ids = ids.tolist() if isinstance(ids, Tensor) else ids
        if not isinstance(ids, Iterable):
            raise TypeError(f"got {ids!r}; expected the ids of one text, such as input_ids[0]")
        ids = list(ids)
        for i in ids:
            if not isinstance(i, int):
                raise TypeError(f"got {i!r}; expected the ids of one text, such as input_ids[0]")
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"id {i} is not in the vocabulary of {self.vocab_size} pieces")
        return self._model.decode(ids)

    def _split(self, text: str) -> list[str]:
        # SentencePiece strips a leading space; "<unk>" in front protects it and is cut off again.
        return self._model.encode(UNKNOWN + text, out_type=str)[self._prefix_length :]


def _load(path: Path) -> SentencePieceProcessor:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; expected a SentencePiece model: every SigLIP "
            "checkpoint folder has one, spiece.model"
        )
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; pass the spiece.model in it")
    data, model = path.read_bytes(), SentencePieceProcessor()
    try:
        model.LoadFromSerializedProto(data)
    except RuntimeError as error:
        raise ValueError(
            f"{str(path)!r} ({len(data)} bytes) is not a SentencePiece model, or is damaged; "
            "fetch the file again"
        ) from error
    if model.get_piece_size() <= END_ID or model.id_to_piece(END_ID) != END:
        pieces = [model.id_to_piece(i) for i in range(min(3, model.get_piece_size()))]
        raise ValueError(
            f"{str(path)!r} has {model.get_piece_size()} pieces that begin with {pieces}; expected "
            f"{END!r} at id {END_ID}, as in SigLIP's own: train with pad_id=0, eos_id=1, unk_id=2"
        )
    if model.id_to_piece(model.unk_id()) != UNKNOWN:
        raise ValueError(
            f"{str(path)!r} names its unknown piece {model.id_to_piece(model.unk_id())!r}; "
            f"expected {UNKNOWN!r}"
        )
    return model


def check_context_length(length: int, least: int) -> int:
    """The length as an integer that leaves room for the marks of start and end."""
    try:
        length = operator.index(length)
    except TypeError:
        raise TypeError(f"context_length is {length!r}; expected an integer, such as 64") from None
    if length < least:
        marks = "the end token" if least == 1 else "start and end"
        raise ValueError(f"context_length is {length}; expected at least {least}, for {marks}")
    return length


def list_of(texts: str | list[str] | tuple[str, ...]) -> list[str]:
    """One text or several as a list, each of them checked."""
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, (list, tuple)):
        raise TypeError(f"got {type(texts).__name__}; expected a string or a list of strings")
    if not texts:
        raise ValueError("the list of texts is empty; expected at least one text")
    for index, text in enumerate(texts):
        check_text(text, f"texts[{index}]")
    return list(texts)


def check_text(text: str, name: str) -> None:
    """Refuse what is no string, or cannot be written in UTF-8."""
    if not isinstance(text, str):
        raise TypeError(f"{name} is a {type(text).__name__}; expected a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds half of a surrogate pair at position {error.start}; expected text that "
            "UTF-8 can write: decode the bytes it came from again"
        ) from None
