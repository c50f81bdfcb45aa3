"""Texts to CLIP's token ids: clean, split into words, join bytes to pieces, pad with zeros.

Byte-pair encoding begins with the 256 bytes, so no text is unknown. A list of 48,894 merges, from
the most frequent pair on, says which two pieces become one. The result is a vocabulary of 49,408:
bytes, bytes that end a word, merges, and two marks for start and end. The list comes with a folder
of Hugging Face, and with the Python package ``openai-clip``.

Source: openai/CLIP, ``clip/simple_tokenizer.py``.
"""

from __future__ import annotations

import gzip
import html
import json
import os
import re
from collections.abc import Iterable
from copy import copy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from siglip_lab import tokenizer as siglip
from siglip_lab.checks import check_context_length, check_ids, check_text

__all__ = ["END", "START", "Tokenizer", "clean", "tokenize"]

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"
OPENAI_FILE = "bpe_simple_vocab_16e6.txt.gz"
OPENAI_MERGES = 48_894  # the file has more; CLIP took the first
KNOWN_WORDS = 2**15  # whose pieces are kept, some 15 MB; then all are forgotten
KNOWN_LENGTH = 32  # letters of the longest that is kept

WORDS = (
    re.escape(START) + "|" + re.escape(END) + "|"
    r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
)
Pair = tuple[str, ...]  # of two pieces


def clean(text: str) -> str:
    """Repair broken encodings, undo HTML escapes twice, make white space single, lower the case.

    >>> clean("  Fish &amp;amp; Chips\\n")
    'fish & chips'
    """
    text = html.unescape(html.unescape(_import("ftfy").fix_text(text)))
    return re.sub(r"\s+", " ", text.strip()).strip().lower()


class Tokenizer(siglip.Tokenizer):
    """CLIP's byte-pair tokenizer: a row is start, pieces, end, then zeros.

    Args:
        vocabulary: A Hugging Face folder with ``vocab.json`` and ``merges.txt``, or with
            ``tokenizer.json`` alone, or OpenAI's file ``bpe_simple_vocab_16e6.txt.gz``. Default:
            the file of the installed package ``openai-clip``, which is read but not imported.
        context_length: Length L of every row, in tokens.

    Raises:
        FileNotFoundError: If there is no vocabulary.
        ValueError: If a file is damaged or of another kind.
    """

    pad_id = 0

    def __init__(self, vocabulary: str | os.PathLike | None = None, context_length: int = 77):
        self.context_length = check_context_length(context_length, least=2)
        path = _installed_file() if vocabulary is None else Path(vocabulary)
        self._ids, merges = _read_folder(path) if path.is_dir() else _read_openai(path)
        for piece in (START, END, *_LETTERS, *(letter + END_OF_WORD for letter in _LETTERS)):
            if piece not in self._ids:
                raise ValueError(
                    f"{str(path)!r} has no {piece!r}; expected CLIP's vocabulary: bytes, bytes "
                    f"that end a word, merges, {START!r} and {END!r}"
                )
        self._pieces = {i: piece for piece, i in self._ids.items()}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._known: dict[str, tuple[str, ...]] = {}  # the pieces of words

    @property
    def vocab_size(self) -> int:
        """Number of pieces; ids run from 0 to one less."""
        return len(self._ids)

    def files(self) -> dict[str, bytes]:
        """Give the content of ``vocab.json`` and ``merges.txt``, as Hugging Face has them."""
        ids = json.dumps(self._ids, ensure_ascii=False)
        merges = "\n".join(["#version: 0.2", *map(" ".join, self._ranks), ""])
        return {"vocab.json": ids.encode(), "merges.txt": merges.encode()}

    def encode(self, text: str) -> list[int]:
        """Turn one text into ids, start and end included, without cutting or padding."""
        return [self._ids[piece] for piece in self.pieces(text)]

    def pieces(self, text: str) -> list[str]:
        """Cut one text into pieces, one for each id of `encode`.

        A piece that ends a word carries "</w>". Bytes are written as letters: those of printable
        ASCII as themselves, others as stand-ins ("é" is "Ã©").
        """
        check_text(text, "the text")
        words = _import("regex").findall(WORDS, clean(text))
        return [START, *(piece for word in words for piece in self._join(word)), END]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Turn ids back into text, up to its end: lower case, one space after each word."""
        letters = "".join(self._pieces[i] for i in check_ids(ids, self.vocab_size))
        letters = letters.partition(END)[0].replace(START, "").replace(END_OF_WORD, " ")
        data = bytes(_LETTERS[letter] if letter != " " else 32 for letter in letters)
        return data.decode("utf-8", errors="replace").strip()

    def _join(self, word: str) -> tuple[str, ...]:
        """Join the bytes of a word, the earliest merge of the list first, until none applies."""
        if word in (START, END):
            return (word,)
        if word in self._known:
            return self._known[word]
        letters = [_BYTES[byte] for byte in word.encode("utf-8")]
        pieces = [*letters[:-1], letters[-1] + END_OF_WORD]
        while len(pieces) > 1:
            pairs = set(zip(pieces, pieces[1:], strict=False))
            first = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if first not in self._ranks:
                break
            pieces = _merge(pieces, first)
        if len(self._known) >= KNOWN_WORDS:
            self._known.clear()
        if len(word) <= KNOWN_LENGTH:
            self._known[word] = tuple(pieces)
        return tuple(pieces)


_installed = cache(Tokenizer)


def tokenize(
    texts: str | list[str] | tuple[str, ...], context_length: int = 77, truncate: bool = False
) -> Tensor:
    """Turn texts into ids, as OpenAI's function of this name, with its vocabulary.

    Args:
        texts: One text or a list or tuple of them.
        context_length: Length L of every row, in tokens.
        truncate: Cut texts that are too long, and keep their end; False refuses them.

    Returns:
        int64 `[B, L]`: start (49406), pieces, end (49407), then zeros.

    >>> tokenize("a diagram")[0, :5]
    tensor([49406,   320, 22697, 49407,     0])
    """
    tokenizer = copy(_installed())  # shares the vocabulary
    tokenizer.context_length = check_context_length(context_length, least=2)
    return tokenizer(texts, truncate)


def _merge(pieces: list[str], pair: Pair) -> list[str]:
    """Join the pair wherever it is, from the left."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


# A printable letter for each byte: itself where it is one, else the next from U+0100 on.
_BYTES = {b: chr(b) for b in (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))}
_BYTES |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in _BYTES)}
_LETTERS = {letter: byte for byte, letter in _BYTES.items()}


def _installed_file() -> Path:
    package = find_spec("clip")
    if package and package.origin:
        path = Path(package.origin).with_name(OPENAI_FILE)
        if path.exists():
            return path
    found = f"the package clip at {package.origin!r} has none" if package else "no package has it"
    raise FileNotFoundError(
        f"CLIP's vocabulary is not installed ({found}): run pip install 'siglip-lab[clip]', which "
        f"brings {OPENAI_FILE}, or give a folder with vocab.json and merges.txt to clip.Tokenizer"
    )


def _read_folder(folder: Path) -> tuple[dict[str, int], list[Pair]]:
    one, ids, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    try:
        if one.exists() and not ids.exists():  # all that transformers 5 writes
            content = json.loads(one.read_text(encoding="utf-8"))
            added = {token["content"] for token in content["added_tokens"]} - {START, END}
            if added or "Lowercase" not in str(content["normalizer"]):
                raise ValueError("expected a normalizer to lower case, and no added tokens")
            vocabulary, lines = content["model"]["vocab"], content["model"]["merges"]
            lines = [line if isinstance(line, str) else " ".join(line) for line in lines]
        else:
            vocabulary = json.loads(ids.read_text(encoding="utf-8"))
            lines = merges.read_text(encoding="utf-8").splitlines()
            lines = [line for line in lines if line and not line.startswith("#version")]
        if set(vocabulary.values()) != set(range(len(vocabulary))):
            raise ValueError(f"expected the ids 0 to {len(vocabulary) - 1}")
        return vocabulary, _merges(lines)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"there is no {Path(error.filename).name} in {str(folder)!r}; expected vocab.json and "
            "merges.txt, as in the published folders of CLIP"
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the vocabulary in {str(folder)!r} is damaged or not CLIP's: {error!r:.90}"
        ) from error


def _read_openai(path: Path) -> tuple[dict[str, int], list[Pair]]:
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file or folder {str(path)!r}; expected a folder with vocab.json and "
            f"merges.txt, or {OPENAI_FILE}"
        )
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{str(path)!r} is not {OPENAI_FILE}, or is damaged: {error}") from error
    merges = _merges(lines[1 : 1 + OPENAI_MERGES])
    pieces = [*_BYTES.values(), *(letter + END_OF_WORD for letter in _BYTES.values())]
    pieces += [*("".join(pair) for pair in merges), START, END]
    return {piece: i for i, piece in enumerate(pieces)}, merges


def _merges(lines: list[str]) -> list[Pair]:
    for line in lines:
        if len(line.split()) != 2:
            raise ValueError(f"a merge must join two pieces, got {line!r:.60}")
    return [tuple(line.split()) for line in lines]


def _import(name: str) -> Any:
    try:  # only CLIP's tokenizer needs it
        return __import__(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"CLIP's tokenizer needs {name}: run pip install 'siglip-lab[clip]'"
        ) from error
