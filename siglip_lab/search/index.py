"""An index that is finished: its vectors, memory-mapped, what they are of, and whose they are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from siglip_lab.checks import shown
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.model import SigLIP
from siglip_lab.pairs import check_fit
from siglip_lab.processor import Processor
from siglip_lab.search.exact import nearest
from siglip_lab.search.items import read_item
from siglip_lab.search.manifest import Manifest, read_manifest

__all__ = ["ITEMS", "OFFSETS", "VECTORS", "Hit", "Index", "find", "open_index"]

VECTORS, ITEMS, OFFSETS = "vectors.npy", "items.jsonl", "offsets.npy"


class Hit(NamedTuple):
    """A row of an index that fits a question."""

    row: int
    name: str  # of the picture, or the text
    cosine: float
    probability: float | None  # that the text belongs to the picture; only between these two


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


def find(
    index: Index,
    model: Any,
    processor: Processor,
    texts: str | Iterable[str] | None = None,
    images: Any = None,
    k: int | None = None,
    kind: str = "exact",
) -> list[list[Hit]]:
    """Find the rows of an index that fit each text, or each image, best.

    Args:
        index: What to search.
        model: The model that made it.
        processor: Its processor.
        texts: What to look for: one text or several.
        images: Or pictures: one or several, as `embed_images` takes them.
        k: How many rows to return for each. Default: 10, or all where there are fewer.
        kind: "exact", or one of `siglip_lab.search.approximate.FACTORIES`, which FAISS searches: it
            is built when it is first asked for, and kept beside the vectors. What it finds is put
            in order by the exact cosines.

    Returns:
        For each question its hits, best first.

    Raises:
        ValueError: If the model is another one, or a question or k does not fit.
    """
    queries = index.embed(model, processor, texts, images)
    k = min(10, len(index)) if k is None else k
    if kind == "exact":
        cosines, rows = nearest(index.vectors, queries, k)
    else:
        from siglip_lab.search.approximate import open_approximate

        cosines, rows = open_approximate(index, kind).nearest(queries, k)
    crossed = (texts is not None) == (index.manifest.kind == "images")
    return [
        [
            Hit(row, index.item(row)["name"], cosine, _probability(model, cosine, crossed))
            for cosine, row in zip(*each, strict=True)
            if row >= 0
        ]
        for each in zip(cosines.tolist(), rows.tolist(), strict=True)
    ]


def _probability(model: Any, cosine: float, crossed: bool) -> float | None:
    """SigLIP's: CLIP has none for a pair alone, and no model for two pictures or two texts."""
    with contextlib.suppress(AttributeError):
        if crossed and isinstance(model, SigLIP):
            logit = cosine * model.logit_scale.exp() + model.logit_bias
            return float(torch.sigmoid(logit.detach()).item())
    return None
