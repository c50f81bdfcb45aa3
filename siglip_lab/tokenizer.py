"""Texts to token ids: lower-case, drop punctuation, split into SentencePiece pieces, pad to length.

Chapter "Text". The ids equal those of transformers' `SiglipTokenizer`, padded to the full length:
the text tower has no attention mask, and was trained on such rows only.
"""

import os
import re
import string
from collections.abc import Iterable

import torch
from torch import Tensor

from siglip_lab.checks import as_list, check_context_length, check_ids, check_lengths, check_text
from siglip_lab.loading.vocabulary import END, END_ID, UNKNOWN, read_sentencepiece

__all__ = ["Tokenizer", "canonicalize"]

SPACE = "▁"  # U+2581, how SentencePiece writes a space

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonicalize(text: str) -> str:
    """Lower the case, delete ASCII punctuation, make every run of white space one space.

    Punctuation goes without a trace: "hot_dog" becomes "hotdog", not "hot dog".

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

    Source: transformers, ``tokenization_siglip.py``; big_vision ``pp/ops_text.py``.

    >>> from importlib.resources import files
    >>> tokenizer = Tokenizer(files("siglip_lab") / "tiny" / "spiece.model", context_length=8)
    >>> tokenizer.pieces("A photo of 2 circles!")
    ['▁a', '▁photo', '▁of', '▁2', '▁circles', '</s>']
    >>> tokenizer("A photo of 2 circles!").shape
    torch.Size([1, 8])
    """

    pad_id = END_ID

    def __init__(self, model_file: str | os.PathLike, context_length: int = 64):
        self.context_length = check_context_length(context_length, least=1)
        self._model, self.model_bytes = read_sentencepiece(model_file)
        self._prefix_length = len(self._model.encode(UNKNOWN, out_type=str))

    @property
    def vocab_size(self) -> int:
        """Number of pieces, without the sentinels that end mT5's file (SigLIP's multilingual)."""
        size = self._model.get_piece_size()
        while "<extra_id_" in self._model.id_to_piece(size - 1):  # no text gives them
            size -= 1
        return size

    def __call__(self, texts: str | list[str] | tuple[str, ...], truncate: bool = True) -> Tensor:
        """Turn texts into the ids that a SigLIP text tower takes.

        Args:
            texts: One text or a list or tuple of them.
            truncate: Cut a text of more than L tokens, end token included; False refuses it.

        Returns:
            int64 `[B, L]`. Every row holds an end token; it is the padding of the rest, too.
        """
        length = self.context_length
        rows = [self.encode(text) for text in as_list(texts)]
        if not truncate:
            check_lengths(rows, length)
        rows = [row[: length - 1] + row[-1:] if len(row) > length else row for row in rows]
        return torch.tensor([row + [self.pad_id] * (length - len(row)) for row in rows])  # [B, L]

    def files(self) -> dict[str, bytes]:
        """Give the content of ``spiece.model``, as it was read."""
        return {"spiece.model": self.model_bytes}

    def encode(self, text: str) -> list[int]:
        """Turn one text into the ids of its pieces, without cutting or padding."""
        return self._model.piece_to_id(self.pieces(text))

    def pieces(self, text: str) -> list[str]:
        """Cut one text into pieces, one for each id of `encode`, with "</s>" at the end.

        "▁" marks the beginning of a word. A piece that is not in the vocabulary is given as it
        stands in the text; its id is that of "<unk>". "</s>" and "<unk>" written in the text mean
        the tokens themselves.
        """
        check_text(text, "the text")
        pieces: list[str] = []
        for part in re.split(f"({END}|{UNKNOWN})", SPACE + text.replace(SPACE, " ")):
            pieces += [part] if part in (END, UNKNOWN) else self._split(canonicalize(part))
        if pieces[:1] == [SPACE] and pieces[1:2] in ([END], [UNKNOWN]):
            pieces = pieces[1:]
        return pieces if pieces[-1:] == [END] else pieces + [END]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Turn the ids of one text back into its canonical text; an unknown piece reads " ⁇ "."""
        return self._model.decode(check_ids(ids, self.vocab_size))

    def _split(self, text: str) -> list[str]:
        # SentencePiece strips a leading space; "<unk>" in front protects it and is cut off again.
        return self._model.encode(UNKNOWN + text, out_type=str)[self._prefix_length :]
