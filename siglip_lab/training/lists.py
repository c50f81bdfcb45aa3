"""Pictures with their captions beside them: a list of both, or a text file for each picture."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from siglip_lab.checks import shown
from siglip_lab.training.data import Pairs, Picture, named

__all__ = [
    "CAPTION", "LISTS", "NO_FILE", "SUFFIXES", "find_lists", "find_pictures", "find_texts",
    "group_name", "read_captions", "read_texts", "texts_of",
]  # fmt: skip

NO_FILE = "there is no such file"
LISTS = ("captions.csv", "captions.jsonl", "metadata.csv", "metadata.jsonl")  # Hugging Face's, too
FILE = ("file", "file_name", "filename", "filepath", "image")  # names of a column; the first is
CAPTION = ("caption", "captions", "text", "title")  # what we ask for
SUFFIXES = {
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm",
    ".qoi", ".tif", ".tiff", ".webp",
}  # fmt: skip


def find_pictures(folder: Path, suffixes: Collection[str] = SUFFIXES) -> Iterator[Path]:
    """All pictures in a folder and in the folders in it, to judge by their names.

    Args:
        folder: Where they are.
        suffixes: The endings of their names; others find other files.

    Raises:
        OSError: If one of the folders may not be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    walk = os.walk(folder, onerror=refuse)
    paths = (Path(top, name) for top, _, names in walk for name in names)
    for path in sorted(path for path in paths if path.suffix.lower() in suffixes):
        if not path.name.startswith(".") and path.is_file():
            yield path


def find_lists(folder: Path) -> list[Path]:
    """The lists of captions in a folder."""
    return sorted(path for path in folder.iterdir() if path.name.lower() in LISTS)


def find_texts(folder: Path) -> bool:
    """Whether at least half of a folder's pictures have a text file of the same name."""
    pictures = list(find_pictures(folder))
    with_text = sum(path.with_suffix(".txt").is_file() for path in pictures)
    return 0 < len(pictures) <= 2 * with_text


def read_texts(folder: str | Path) -> Pairs:
    """Read pictures with a text file beside each, ``a.jpg`` and ``a.txt``; each line is a caption.

    Raises:
        ValueError: If a text is not UTF-8, or no picture has one.
    """
    folder = Path(folder)
    pictures, left_out = [], {}
    for path in find_pictures(folder):
        name, text = path.relative_to(folder).as_posix(), path.with_suffix(".txt")
        try:
            lines = text.read_text(encoding="utf-8-sig").splitlines() if text.is_file() else []
        except UnicodeDecodeError as error:
            raise ValueError(f"{shown(text, 120)} is not UTF-8 text: save it as UTF-8") from error
        if captions := tuple(dict.fromkeys(texts_of(lines))):
            pictures.append(Picture(name, path, captions))
        else:
            left_out[name] = "no caption"
    return Pairs(pictures, left_out, how="a .txt with captions beside each picture")


def read_captions(folder: str | Path) -> Pairs:
    """Read a folder with ``captions.csv`` or ``captions.jsonl``; a picture may have several rows.

    The columns are "file", relative to the folder, "caption" and, if you like, "group": pictures
    of one group share their captions. In JSON lines a caption may be a list. A ``metadata.csv`` or
    ``.jsonl`` with "file_name" and "text", of Hugging Face's ImageFolder, is read in the same way.

    Raises:
        ValueError: If the list cannot be read, or no row has a picture and a caption.
    """
    folder = Path(folder)
    lists = find_lists(folder)
    if len(lists) != 1:
        found = " and ".join(path.name for path in lists) or "none of " + ", ".join(LISTS)
        raise ValueError(f"{shown(folder, 120)} has {found}: keep one")
    (path,) = lists
    rows = (_csv_rows if path.suffix.lower() == ".csv" else _json_rows)(path)
    captions: dict[str, dict[str, None]] = {}
    groups: dict[str, str | None] = {}
    for file, texts, group in rows:
        if "\\" in file and not (folder / file).is_file():  # written on Windows
            file = file.replace("\\", "/")
        captions.setdefault(file, {}).update(dict.fromkeys(texts))
        groups[file] = group if group is not None else groups.get(file)
    found_names = {p.relative_to(folder).as_posix(): p.resolve() for p in find_pictures(folder)}
    missing = [file for file in captions if not (folder / file).is_file()]
    left_out = dict.fromkeys(missing, NO_FILE + _suggestion(missing, found_names))
    left_out |= {file: "no caption" for file, texts in captions.items() if not texts}
    listed = {(folder / file).resolve() for file in captions}
    left_out |= {name: "no caption" for name, p in found_names.items() if p not in listed}
    pictures = [
        Picture(file, folder / file, tuple(texts), groups[file])
        for file, texts in captions.items()
        if file not in left_out
    ]
    if not pictures:
        raise ValueError(
            f"{shown(path, 60)}: none of its {len(captions)} rows has a caption and a picture "
            f"in that folder ({named(captions, 1)}{_suggestion(missing, found_names)}); expected "
            "rows of file,caption, with files relative to the folder"
        )
    return Pairs(pictures, left_out, how=path.name)


def _suggestion(missing: list[str], found: dict[str, Path]) -> str:
    """For the first missing picture that is there in another case, type or folder."""
    stems = {_stem(name): name for name in reversed(found)}
    for file in missing:
        if _stem(file) in stems:
            return f" (for {shown(file, 40)}: did you mean {shown(stems[_stem(file)], 40)}?)"
    return ""


def _stem(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).stem.casefold()


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str], str | None]]:
    number = 1
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            header = [str(name).strip().lower() for name in rows.fieldnames or []]
            rows.fieldnames = header
            columns = _columns(path, header)
            for row in rows:
                number = rows.line_num
                if rest := [field for field in row.get(None, []) if field.strip()]:
                    fields = len(header) + len(rest)
                    raise ValueError(
                        f"{shown(path, 90)}, line {number} has {fields} fields, the header "
                        f"{len(header)}: put a caption with a comma in quotes, such as "
                        'a.jpg,"a cat, asleep"'
                    )
                file_name, caption = (row.get(column) or "" for column in columns)
                group = row.get("group") if "group" in header else None
                if file_name.strip():
                    yield file_name.strip(), texts_of(caption), group
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path, 120)} is not UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(
            f"{shown(path, 90)}, after line {number}: {shown(error, 60)}; look for a quote that is "
            'not closed: a caption in quotes writes its own twice, "a ""big"" cat"'
        ) from error


def _json_rows(path: Path) -> Iterator[tuple[str, list[str], str | None]]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            file_column, caption_column = _columns(path, list(row))
            yield str(row[file_column]), texts_of(row[caption_column]), group_name(row.get("group"))
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
            raise ValueError(
                f'{shown(path, 90)}, line {number}: expected {{"file": ..., "caption": ...}}, got '
                f"{shown(line.decode(errors='replace'), 60)}"
            ) from error


def _columns(path: Path, header: list[str]) -> tuple[str, str]:
    found = [next((n for n in names if n in header), None) for names in (FILE, CAPTION)]
    if found[0] is None or found[1] is None:
        raise ValueError(
            f"{shown(path, 90)} has the columns {shown(', '.join(header) or 'none', 60)}; expected "
            '"file" and "caption", separated by a comma, in its first line'
        )
    return found[0], found[1]


def texts_of(given: Any) -> list[str]:
    """Captions as a list, blank ones left out."""
    every = [given] if isinstance(given, str) else [] if given is None else given
    return [text.strip() for text in every if text.strip()]


def group_name(group: Any) -> str | None:
    """A group as a text."""
    return None if group is None else str(group)
