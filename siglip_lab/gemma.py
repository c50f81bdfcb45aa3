"""SigLIP 2's tokenizer, Gemma's: 256,000 pieces in many languages.

Text is lower-cased, letter by letter, and keeps its punctuation. There is no start token; the end
token follows, then padding up to the full length, which the text tower attends to, as in training.

Source: big_vision, ``README_siglip2.md`` and ``pp/ops_text.py``; transformers,
``tokenization_siglip2.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from siglip_lab import tokenizer as siglip
from siglip_lab.checks import CheckpointError, check_context_length, check_ids, check_text, shown

__all__ = ["FILE", "GemmaTokenizer"]

FILE = "tokenizer.json"
SPECIAL = {"<pad>": 0, "<eos>": 1}


class GemmaTokenizer(siglip.Tokenizer):
    """Byte-pair tokenizer of SigLIP 2, read by the library `tokenizers`.

    Args:
        file: The ``tokenizer.json`` of a SigLIP 2 or of a Gemma.
        context_length: Length L of every row, in tokens.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is damaged, or another family's.
        ModuleNotFoundError: If `tokenizers` is not installed.
    """

    pad_id = SPECIAL["<pad>"]

    def __init__(self, file: str | os.PathLike, context_length: int = 64):
        self.context_length = check_context_length(context_length, least=1)
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {str(path)!r}; expected a {FILE}")
        self._content = path.read_bytes()
        library = _import()
        try:
            read: Any = library.Tokenizer.from_buffer(self._content)
        except ValueError as error:
            raise CheckpointError(f"{path} is no {FILE}, or is damaged: {error}") from error
        found = {piece: read.token_to_id(piece) for piece in SPECIAL}
        if found != SPECIAL or not getattr(read.model, "byte_fallback", False):
            raise CheckpointError(
                f"{path} is a {type(read.model).__name__} with {shown(found)}; expected a BPE with "
                f"byte fallback and {SPECIAL}, as in SigLIP 2's, which is Gemma's"
            )
        parts = library.normalizers
        # Special tokens in a text are found before it is lower-cased; Python's own way with a
        # Greek word's last sigma is not that of the training.
        read.normalizer = parts.Sequence([parts.Lowercase(), parts.Replace(" ", "▁")])
        read.no_truncation()  # which a folder that was used once holds
        read.no_padding()
        self._tokenizer = read

    @property
    def vocab_size(self) -> int:
        """Number of pieces."""
        return self._tokenizer.get_vocab_size()

    def files(self) -> dict[str, bytes]:
        """Give the content of ``tokenizer.json``, as it was read."""
        return {FILE: self._content}

    def fast(self) -> Any:
        """Give a copy as a tokenizer of `tokenizers`: it lower-cases, and neither cuts nor pads."""
        return _import().Tokenizer.from_str(self._tokenizer.to_str())

    def added_tokens(self) -> dict[int, str]:
        """Give what is a token wherever it stands in a text, by its id."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {i: token.content for i, token in added.items()}

    def encode(self, text: str) -> list[int]:
        """Turn one text into the ids of its pieces and of its end, without cutting or padding."""
        check_text(text, "the text")
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [*ids, SPECIAL["<eos>"]]

    def pieces(self, text: str) -> list[str]:
        """Cut one text into pieces, one for each id of `encode`; "▁" stands for a space.

        A letter that the vocabulary has not is given byte by byte: "<0xE2>".
        """
        return [self._tokenizer.id_to_token(i) for i in self.encode(text)]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Turn the ids of one text back into text, lower-cased as it was read."""
        return self._tokenizer.decode(check_ids(ids, self.vocab_size), skip_special_tokens=True)


def _import() -> Any:
    try:  # only SigLIP 2 needs it
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "SigLIP 2's tokenizer needs tokenizers: run pip install 'siglip-lab[siglip2]'"
        ) from error
    return tokenizers
