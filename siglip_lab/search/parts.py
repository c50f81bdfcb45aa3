"""What an unfinished run has on the disk: finished batches, in files that are whole or not there.

A part has the vectors of some batches in a row. Which pictures a batch has is settled before the
first of them is read, so a run that goes on, with as many processes as it likes, ends with the same
vectors.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from siglip_lab.checks import shown
from siglip_lab.loading.folder import write_files
from siglip_lab.search.index import ITEMS, OFFSETS, VECTORS
from siglip_lab.search.items import Items
from siglip_lab.search.manifest import MANIFEST, Manifest
from siglip_lab.training.config import option

__all__ = ["WORK", "Part", "begin", "finish", "finished_batches", "read_job", "write_part"]

WORK = ".unfinished"  # the folder of an unfinished run, in that of the index
JOB = "job.json"
SKIPPED = "skipped.json"


class Part(NamedTuple):
    """Batches in a row."""

    vectors: np.ndarray  # float32 [r, E]
    rows: np.ndarray  # int64 [r]: which of the items they are of
    skipped: dict[int, str]  # the other items of these batches, and why


def read_job(out: Path, job: dict[str, Any]) -> bool:
    """Whether a run is to go on; refuse one that was begun otherwise.

    Args:
        out: The folder of the index.
        job: All that must be the same.
    """
    path = out / WORK / JOB
    if not path.exists():
        return False
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{shown(path, 120)} is damaged: delete the folder") from error
    for name, value in job.items():
        if found.get(name) != value:
            words = f"{option(name)} {found.get(name)} (now {value})"
            raise ValueError(
                f"{shown(out, 90)} is unfinished, and was begun with {_CHANGED.get(name, words)}. "
                "Go on with what it had, or name another folder"
            )
    return True


_CHANGED = {
    "items": "other pictures or texts than there are now",
    "weights": "a model of other weights",
    "preprocessing": "a processor of other settings",
    "siglip_lab": "another version of this library",
}


def begin(out: Path, job: dict[str, Any]) -> None:
    """Write down what a run does, before its first part."""
    write_files(out / WORK, {JOB: job})


def write_part(out: Path, first: int, last: int, part: Part) -> None:
    """Write the batches from `first` to `last`.

    Raises:
        OSError: If there is no room or no right to write; earlier parts stay.
    """
    buffer, skipped = io.BytesIO(), json.dumps(part.skipped).encode()
    np.savez(buffer, vectors=part.vectors, rows=part.rows, skipped=np.frombuffer(skipped, np.uint8))
    with _kept(out):
        write_files(out / WORK, {f"{first:09}-{last:09}.npz": buffer.getvalue()})


def finished_batches(out: Path) -> set[int]:
    """The numbers of all batches that parts have."""
    found: set[int] = set()
    for path in (out / WORK).glob("*.npz"):
        first, last = map(int, path.stem.split("-"))
        found.update(range(first, last + 1))
    return found


def finish(out: Path, items: Items, manifest: Manifest) -> Manifest:
    """Make the index of its parts; the manifest comes last, and without it there is no index.

    Raises:
        OSError: If there is no room or no right to write; the parts stay.
        ValueError: If nothing could be read, or a part is damaged.
    """
    rows: list[int] = []
    skipped: dict[Any, str] = {}
    for part in _parts(out):
        rows += part.rows.tolist()
        skipped |= part.skipped
    why = {items.names[int(row)]: reason for row, reason in skipped.items()}
    if not rows:
        name, reason = next(iter(why.items()))
        raise ValueError(
            f"none of {len(items):,} {items.kind} can be read, such as {shown(name, 60)}: "
            f"{shown(reason, 120)}"
        )
    lines = [json.dumps(items.to_dict(row), ensure_ascii=False).encode() + b"\n" for row in rows]
    offsets = io.BytesIO()
    np.save(offsets, np.cumsum([0, *map(len, lines)], dtype=np.int64))
    values = manifest.to_dict() | {"rows": len(rows), "skipped": len(why)}
    for stale in out.glob(".new-*"):  # of a run that was killed here
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    with _kept(out):
        _write_vectors(out, len(rows), manifest.width)
        write_files(
            out,
            {
                ITEMS: b"".join(lines), OFFSETS: offsets.getvalue(),
                SKIPPED: json.dumps(why, indent=1, ensure_ascii=False).encode(),
                MANIFEST: values,
            },
        )  # fmt: skip
    shutil.rmtree(out / WORK, ignore_errors=True)
    return Manifest(**values)


def _parts(out: Path) -> Iterator[Part]:
    for path in sorted((out / WORK).glob("*.npz")):
        try:
            with np.load(path) as found:
                skipped = json.loads(found["skipped"].tobytes())
                part = Part(found["vectors"], found["rows"], skipped)
        except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{shown(path, 120)} is damaged: delete it, and give the same command again"
            ) from error
        yield part


def _write_vectors(out: Path, rows: int, width: int) -> None:
    """All parts as one `.npy`. Written, not mapped: a full disk ends a process that maps."""
    new = out / f".new-{VECTORS}"
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    try:
        with open(new, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in _parts(out):
                file.write(np.ascontiguousarray(part.vectors, "<f4").data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, out / VECTORS)
    except OSError:
        new.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _kept(out: Path) -> Iterator[None]:
    """Say of an error of the disk that nothing is lost."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f"cannot write into {shown(out, 90)} ({shown(error, 90)}). What is done is kept: make "
            "room, and give the same command again"
        ) from error
