"""What is to be embedded: pictures of a folder, of a list or of shards, or lines of text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from siglip_lab.checks import shown
from siglip_lab.training.lists import SUFFIXES, find_pictures
from siglip_lab.training.sources import Member, tar_members

__all__ = ["Items", "open_items", "read_item"]

_LOOKED_AT = 100  # lines of a list, to tell names from other text


@dataclass(frozen=True)
class Items:
    """Things to embed, by name; nothing of them is read yet.

    Args:
        kind: "images" or "texts".
        root: The folder that the names of pictures are relative to.
        names: One for each: a path, ``TAR/PATH`` in a shard, or the text itself.
        members: Where the last of them are, those in shards.
    """

    kind: str
    root: Path
    names: list[str]
    members: list[Member]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def files(self) -> int:
        """How many of them, the first, are files of their own."""
        return len(self.names) - len(self.members)

    def images(self) -> list[str | Member]:
        """What `embed_images` takes: a path, or a function that reads from a shard."""
        return [*(str(self.root / name) for name in self.names[: self.files]), *self.members]

    def to_dict(self, row: int) -> dict[str, Any]:
        """A name and all that it takes to read it again, for JSON."""
        found: dict[str, Any] = {"name": self.names[row]}
        if row >= self.files:
            member = self.members[row - self.files]
            tar = member.path.relative_to(self.root).as_posix()
            found |= {"tar": tar, "start": member.start, "size": member.size}
        return found

    def fingerprint(self) -> str:
        """Kind, names and places as a few letters: another list has others."""
        digest = hashlib.sha256(self.kind.encode())
        for row in range(len(self)):
            digest.update(repr(self.to_dict(row)).encode())
        return digest.hexdigest()[:16]


def read_item(root: Path, item: dict[str, Any]) -> str | bytes:
    """The picture that `Items.to_dict` described: its path, or its bytes."""
    if "tar" in item:
        return Member(root / item["tar"], item["start"], item["size"])()
    return str(root / item["name"])


def open_items(where: str | Path, texts: bool = False) -> Items:
    """List what there is to embed.

    Args:
        where: One of

            - a folder: every picture in it and in the folders in it, and every picture in the
              ``.tar`` files there (shards, as webdataset writes them);
            - a ``.tar`` file;
            - a text file: the path of a picture on each line, relative to the file's folder; or,
              with `texts`, a text on each line. Blank lines are left out.

        texts: Whether `where` holds texts.

    Raises:
        FileNotFoundError, ValueError: If it is none of these, or holds nothing of the kind.
        OSError: If it may not be read.
    """
    path = Path(where)
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {shown(repr(str(where)), 120)}")
    root = path.absolute() if path.is_dir() else path.absolute().parent
    if texts:
        if path.is_dir() or path.suffix.lower() in (*SUFFIXES, ".tar"):
            raise ValueError(
                f"{shown(path, 120)} is no list of texts; expected a text file, a text on each line"
            )
        return Items("texts", root, _lines(path), [])
    if path.is_dir():
        names = [each.relative_to(path).as_posix() for each in find_pictures(path)]
        items = _with_shards(root, names, find_pictures(root, [".tar"]))
        if not items.names:
            raise ValueError(
                f"{shown(path, 120)} has no pictures ({', '.join(sorted(SUFFIXES))}), nor .tar "
                "files with pictures: name the folder that has them, or a list of paths"
            )
        return items
    if path.suffix.lower() == ".tar":
        items = _with_shards(root, [], [root / path.name])
        if not items.names:
            raise ValueError(f"{shown(path, 120)} has no pictures in it")
        return items
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(
            f"{shown(path, 120)} is a picture; expected its folder, or a text file with the path "
            "of a picture on each line"
        )
    names = _lines(path)
    if not any((root / name).is_file() for name in names[:_LOOKED_AT]):
        raise ValueError(
            f"{shown(path, 90)}: none of its first lines, such as {shown(repr(names[0]), 60)}, is "
            "a file. Paths are relative to the list's folder; for texts give --texts (texts=True)"
        )
    return Items("images", root, names, [])


def _with_shards(root: Path, names: list[str], tars: Iterable[Path]) -> Items:
    members = []
    for tar in tars:
        for name, member in tar_members(tar):
            file = Path(name)
            if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                names.append(f"{tar.relative_to(root).as_posix()}/{name}")
                members.append(member)
    return Items("images", root, names, members)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{shown(path, 120)} is not UTF-8 text: save it as UTF-8") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{shown(path, 120)} has no lines; expected one for each picture or text")
    return lines
