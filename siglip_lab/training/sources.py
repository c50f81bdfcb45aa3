"""Where pictures and captions come from: lists, texts, class folders, shards, or a data set."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siglip_lab.checks import check_template, shown
from siglip_lab.training.data import Pairs, Picture, named
from siglip_lab.training.lists import (
    CAPTION,
    LISTS,
    SUFFIXES,
    find_lists,
    find_pictures,
    find_texts,
    group_name,
    read_captions,
    read_texts,
    texts_of,
)

__all__ = [
    "TEMPLATES", "Member", "open_pairs", "read_class_folders", "read_dataset", "read_shards",
    "tar_members",
]  # fmt: skip

TEMPLATES = ("This is a photo of {}.",)


def open_pairs(
    where: str | Path, templates: Iterable[str] = TEMPLATES, strict: bool = False
) -> Pairs:
    """Read pictures with captions from a folder or a shard, whichever kind it is.

    Args:
        where: One of

            - a folder with ``captions.csv`` or ``.jsonl``, or Hugging Face's ``metadata.csv`` or
              ``.jsonl``: `read_captions`;
            - a folder with a ``.txt`` beside each picture: `read_texts`;
            - a folder of class folders: `read_class_folders`;
            - a ``.tar`` file, or a folder of them: `read_shards`;
            - a folder that `datasets.Dataset.save_to_disk` wrote: `read_dataset`.

        templates: Sentences around the names of classes.
        strict: Refuse captions without pictures and pictures without captions, which otherwise are
            left out, and named in `left_out`.

    Raises:
        FileNotFoundError, ValueError: If it is none of these, or has no pair at all.
    """
    folder = Path(where)
    if not folder.exists():
        raise FileNotFoundError(f"there is no file or folder {shown(repr(str(where)), 120)}")
    if folder.is_file():
        if ".tar" not in folder.suffixes:
            raise ValueError(
                f"{shown(folder, 90)} is a file: give the folder that holds it, "
                f"{shown(repr(str(folder.parent)), 60)}, with its captions.csv; of files only "
                ".tar (webdataset) is read"
            )
        pairs = read_shards([folder])
    elif find_lists(folder):
        pairs = read_captions(folder)
    elif shards := sorted(folder.glob("*.tar")):
        pairs = read_shards(shards)
    elif (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
        pairs = read_dataset(_stored_dataset(folder), templates=templates)
    elif deeper := sorted(path for path in folder.rglob("*") if path.name.lower() in LISTS):
        first = deeper[0].relative_to(folder)
        raise ValueError(
            f"{shown(folder, 60)} has no list of captions, but folders in it have: "
            f"{shown(first, 60)} ({len(deeper)} in all). Give one of these folders, or put one "
            f"captions.csv here, with paths such as {shown(first.parent, 30)}/a.jpg"
        )
    elif find_texts(folder):
        pairs = read_texts(folder)
    else:
        pairs = read_class_folders(folder, templates)
    pairs.how = f"{shown(where, 60)}: {pairs.how}"
    if strict and pairs.left_out:
        why = next(iter(pairs.left_out.values()))
        raise ValueError(
            f"{shown(folder, 60)}: {len(pairs.left_out)} entries are no pairs, {why}: "
            f"{named(pairs.left_out)}; mend them, or leave them out without strict"
        )
    return pairs


# ---- class folders -------------------------------------------------------------------------------


def read_class_folders(folder: str | Path, templates: Iterable[str] = TEMPLATES) -> Pairs:
    """Read a folder of class folders; a folder's name, put into each template, gives the captions.

    An underscore in a name stands for a space. Pictures of one class share all captions.

    Raises:
        ValueError: If there are no pictures in folders.
    """
    folder, templates = Path(folder), list(templates)
    pictures, left_out = [], {}
    for path in find_pictures(folder):
        parts = path.relative_to(folder).parts
        if len(parts) == 1:
            left_out[parts[0]] = "no caption"
            continue
        label = parts[0].replace("_", " ")
        pictures.append(Picture("/".join(parts), path, _sentences(label, templates), label))
    if not pictures:
        raise ValueError(
            f"{shown(folder, 60)} has no captions.csv or .jsonl, no .txt beside its pictures, no "
            f"folders of pictures and no .tar: expected one of these{_seen(folder)}. A "
            "captions.csv has rows of file,caption under exactly these two words"
        )
    classes = len({picture.group for picture in pictures})
    how = f'class folders: {classes} classes, "{shown(pictures[0].captions[0], 60)}"'
    return Pairs(pictures, left_out, how=how)


def _seen(folder: Path) -> str:
    """What may be meant as a list of captions."""
    endings = (".csv", ".json", ".jsonl", ".parquet", ".tsv", ".txt", ".xlsx")
    names = [path.name for path in sorted(folder.iterdir()) if path.suffix.lower() in endings]
    return f"; it has {named(names, 1)}" if names else ""


def _sentences(label: str, templates: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_template([label], t)[0] for t in templates))


# ---- shards of webdataset ------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A file within a tar: where it begins, and its size."""

    path: Path
    start: int
    size: int

    def __call__(self) -> bytes:
        with open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read(self.size)


def read_shards(paths: Iterable[str | Path]) -> Pairs:
    """Read shards as `webdataset` writes them: ``KEY.jpg`` beside ``KEY.txt`` or ``KEY.json``.

    A ``.txt`` is one caption; a ``.json`` has "caption" (or "captions", a list) and, if you like,
    "group". Only the tars' lists of contents are read; pictures are read when they are needed, in
    any order, so shards may be of any size. They lie on this machine, and are not compressed.

    Raises:
        ValueError: If a shard is damaged, or no key has a picture and a caption.
    """
    pictures, left_out = [], {}
    for path in map(Path, paths):
        for key, members in _keys(path).items():
            name = f"{path.name}/{key}"
            image = next((m for ext, m in members.items() if f".{ext}" in SUFFIXES), None)
            captions, group = _member_texts(name, members)
            if image is None:
                left_out[name] = "there is no picture"
            elif not captions:
                left_out[name] = "no caption"
            else:
                pictures.append(Picture(name, image, tuple(dict.fromkeys(captions)), group))
    if not pictures:
        raise ValueError(
            "no key of the shards has a picture and a caption; expected KEY.jpg beside KEY.txt "
            f"or KEY.json ({named(left_out) or 'they are empty'})"
        )
    return Pairs(pictures, left_out, how="shards of webdataset")


def _keys(path: Path) -> dict[str, dict[str, Member]]:
    """Key -> ending -> where that file is."""
    found: dict[str, dict[str, Member]] = {}
    for file, where in tar_members(path):
        folder, _, name = file.rpartition("/")
        stem, _, ending = name.partition(".")
        if stem:
            found.setdefault(f"{folder}/{stem}".lstrip("/"), {})[ending.lower()] = where
    return found


def tar_members(path: Path) -> list[tuple[str, Member]]:
    """The files of a tar by their names, in its order; only its list of contents is read.

    Raises:
        ValueError: If it is no tar, compressed, or cut off.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            found = [(m.name, Member(path, m.offset_data, m.size)) for m in tar if m.isfile()]
            with open(path, "rb") as file:
                file.seek(tar.offset)  # tarfile takes any place without a header for the end
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("it ends too early")
    except (tarfile.TarError, OSError) as error:
        raise ValueError(
            f"{shown(path, 90)} is no whole, uncompressed tar ({shown(error, 60)}): write it "
            "again, or unpack a .tar.gz with gunzip"
        ) from error
    return found


def _member_texts(name: str, members: Mapping[str, Member]) -> tuple[list[str], str | None]:
    texts: list[str] = []
    group = None
    try:
        if "json" in members:
            row = json.loads(members["json"]())
            texts = texts_of(row.get("captions", row.get("caption")))
            group = group_name(row.get("group"))
        if "txt" in members:
            texts = texts_of(members["txt"]().decode())
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{shown(name, 90)}: {shown(error, 90)}; expected UTF-8 text") from error
    return texts, group


# ---- a data set of Hugging Face ------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """The picture of a row, as it is stored."""

    dataset: Any
    index: int
    column: str

    def __call__(self) -> Any:
        value = self.dataset[self.index][self.column]
        if isinstance(value, dict):  # an Image that is not decoded
            return value["path"] if value.get("bytes") is None else value["bytes"]
        return value


def read_dataset(
    dataset: Any,
    image: str = "image",
    caption: str | None = None,
    group: str | None = None,
    templates: Iterable[str] = TEMPLATES,
) -> Pairs:
    """Read a `datasets.Dataset`, with its pictures left undecoded until they are needed.

    Args:
        dataset: One split of a data set, not streamed.
        image: Its column of pictures.
        caption: Its column of captions: a text, a list of texts, or a class, whose name goes into
            the templates. Default: the first of "caption", "captions", "text", "title", "label".
        group: A column of equal values for pictures that share their captions; classes are groups.
        templates: Sentences around the names of classes.

    Raises:
        TypeError, ValueError: If it is no such data set, or has no such column.
    """
    features = getattr(dataset, "features", None)
    if not isinstance(features, Mapping) or not hasattr(dataset, "__len__"):
        raise TypeError(
            f"got a {type(dataset).__name__}; expected a datasets.Dataset: choose a split, such as "
            'dataset["train"], and load it without streaming=True'
        )
    choices = [caption] if caption else [n for n in (*CAPTION, "label") if n in features]
    wanted = [image, *(choices[:1] or ["caption"]), *([group] if group else [])]
    missing = [name for name in wanted if name not in features]
    if missing:
        raise ValueError(
            f"the data set has the columns {shown(', '.join(features), 90)}; expected "
            f"{missing[0]!r}: pass image=, caption= or group="
        )
    names = getattr(features[wanted[1]], "names", None)  # of classes
    if type(features[image]).__name__ == "Image":
        import datasets

        dataset = dataset.cast_column(image, datasets.Image(decode=False))
    groups = list(dataset[group]) if group else [None] * len(dataset)
    templates, pictures, left_out = list(templates), [], {}
    for index, (given, of) in enumerate(zip(dataset[wanted[1]], groups, strict=True)):
        label = names[given].replace("_", " ") if names else None
        texts = _sentences(label, templates) if label else tuple(texts_of(given))
        if texts:
            row = _Row(dataset, index, image)
            name = group_name(of if group else label)
            pictures.append(Picture(f"row {index}", row, texts, name))
        else:
            left_out[f"row {index}"] = "no caption"
    how = f"a data set of Hugging Face: columns {wanted[0]} and {wanted[1]}"
    return Pairs(pictures, left_out, how=how)


def _stored_dataset(folder: Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ValueError(
            f"{shown(folder, 90)} is a data set of Hugging Face: pip install 'siglip-lab[datasets]'"
        ) from error
    dataset = datasets.load_from_disk(str(folder))
    return dataset["train"] if isinstance(dataset, dict) and "train" in dataset else dataset
