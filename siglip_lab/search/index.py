"""An index that is finished: its vectors, memory-mapped, what they are of, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from siglip_lab.checks import shown
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.pairs import check_fit
from siglip_lab.processor import Processor
from siglip_lab.search.items import read_item
from siglip_lab.search.manifest import Manifest, read_manifest

__all__ = ["ITEMS", "OFFSETS", "VECTORS", "Index", "open_index"]

VECTORS, ITEMS, OFFSETS = "vectors.npy", "items.jsonl", "offsets.npy"


class Index:
    """An index; nothing of it is in memory before it is needed.

    Args:
        folder: Where it is.
        manifest: What is known of it.
        vectors: Unit vectors, float32 `[n, E]`.
        offsets: Where the line of each row begins in ``items.jsonl``, and where the last ends.
    """

    def __init__(self, folder: Path, manifest: Manifest, vectors: np.ndarray, offsets: np.ndarray):
        self.folder, self.manifest, self.vectors, self._offsets = folder, manifest, vectors, offsets

    def __len__(self) -> int:
        return len(self.vectors)

    def item(self, row: int) -> dict[str, Any]:
        """What a row is of: its "name", and where it is in a shard."""
        start, end = self._offsets[row : row + 2].tolist()
        with open(self.folder / ITEMS, "rb") as file:
            file.seek(start)
            return json.loads(file.read(end - start))

    def image(self, row: int) -> str | bytes:
        """The picture of a row, for `load_image`: its path, or its bytes."""
        return read_item(Path(self.manifest.source), self.item(row))

    def embed(
        self,
        model: Any,
        processor: Processor,
        texts: str | Iterable[str] | None = None,
        images: Any = None,
    ) -> np.ndarray:
        """Embed questions with the model that made the index: unit vectors, float32 `[q, E]`."""
        model = check_fit(model, processor)
        self.manifest.check(self.folder, model, processor)
        if (texts is None) == (images is None):
            raise ValueError("ask by texts or by images: give one of the two")
        if texts is not None:
            return embed_texts(model, processor, texts).cpu().numpy()
        return embed_images(model, processor, images).cpu().numpy()


def open_index(folder: str | Path) -> Index:
    """Open an index that `embed` has finished.

    Raises:
        FileNotFoundError: If the folder holds none, or its run is not finished.
        ValueError: If a file of it is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    try:
        # Copy on write: nothing is written, and PyTorch takes what may be written
        vectors = np.load(folder / VECTORS, mmap_mode="c")
        offsets = np.load(folder / OFFSETS, mmap_mode="r")
        size = (folder / ITEMS).stat().st_size
        found = (vectors.shape, vectors.dtype, offsets.shape, int(offsets[-1]))
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise ValueError(
            f"{shown(folder, 90)} is damaged ({shown(error, 90)}): embed again"
        ) from error
    shape = (manifest.rows, manifest.width)
    if found != (shape, np.dtype(np.float32), (manifest.rows + 1,), size):
        raise ValueError(
            f"{shown(folder, 90)} is damaged: its vectors are {vectors.dtype} "
            f"{list(vectors.shape)} with {len(offsets) - 1} names, its manifest says float32 "
            f"{list(shape)}: embed again"
        )
    return Index(folder, manifest, vectors, offsets)
