"""Faster or smaller than exact search, by FAISS: it proposes rows, exact cosines put them in order.

Needs the extra ``search``. Each kind is built from the vectors once and kept beside them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from siglip_lab.checks import shown
from siglip_lab.search.exact import check_k, check_queries, rerank
from siglip_lab.search.index import Index

__all__ = ["FACTORIES", "Approximate", "build", "open_approximate"]

PROPOSED = 10  # rows that FAISS proposes for each that is asked for
PROBES = 32  # cells of an inverted file that a question looks into
_BLOCK = 2**16  # vectors that are added at once: never are all of them in memory twice
_SAMPLE = 2**17  # vectors that centroids, codes or axes are learned from
_LEAST = 39 * 256  # vectors that they need: 39 for each value of a byte, says FAISS


def _cells(n: int) -> int:
    """Cells of an inverted file: near 4 sqrt(n), each with vectors enough to learn its centre."""
    return max(1, min(round(4 * n**0.5), min(n, _SAMPLE) // 39))


# In FAISS's own words (its "index factory"), for n vectors of width e
FACTORIES: dict[str, Callable[[int, int], str]] = {
    "flat": lambda n, e: "Flat",  # all of them, in memory
    "int8": lambda n, e: "SQ8",  # a byte a number
    "pca": lambda n, e: f"PCA{max(1, e // 4)},Flat",  # the quarter of the axes that differ most
    "binary": lambda n, e: "ITQ,LSH" if e % 8 == 0 else f"ITQ{e // 8 * 8 or 8},LSH",  # a bit
    "ivfpq": lambda n, e: f"IVF{_cells(n)},PQ{_codes(e)}np",  # cells, and a byte for some numbers
    "hnsw": lambda n, e: "HNSW32",  # a graph of near vectors
}


def _codes(e: int) -> int:
    """Bytes of a product quantiser's code: one for 4 numbers, or for as many as divide."""
    return next(codes for codes in range(max(1, e // 4), 0, -1) if e % codes == 0)


class Approximate:
    """A kind of FAISS's, with the vectors that put its answers in order.

    Args:
        found: FAISS's index.
        vectors: The vectors, float32 `[n, E]`.
    """

    def __init__(self, found: Any, vectors: np.ndarray):
        self.found, self.vectors = found, vectors

    def nearest(
        self, queries: np.ndarray, k: int, proposed: int = PROPOSED
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find about the k rows with the largest cosine to each query.

        Args:
            queries: Unit vectors `[q, E]`.
            k: How many rows to return for each query, at most n.
            proposed: How many times as many FAISS proposes.

        Returns:
            Cosines float32 `[q, k]`, exact and best first, and rows int64 `[q, k]`; -1 where fewer
            were proposed.
        """
        queries = check_queries(queries, self.vectors.shape[1])
        check_k(k, len(self.vectors))
        rows = self.propose(queries, min(len(self.vectors), k * proposed))
        return rerank(self.vectors, queries, rows, k)

    def propose(self, queries: np.ndarray, c: int) -> np.ndarray:
        """What FAISS alone takes for the best c rows, int64 `[q, c]`, best first."""
        faiss = _faiss()
        if hasattr(self.found, "hnsw"):
            self.found.hnsw.efSearch = max(64, c)
        if isinstance(self.found, faiss.IndexIVF):
            self.found.nprobe = min(PROBES, self.found.nlist)
        return self.found.search(np.ascontiguousarray(queries, np.float32), c)[1]


def open_approximate(index: Index, kind: str) -> Approximate:
    """Open one of `FACTORIES` for an index; build and keep it if it is not there yet.

    Raises:
        ImportError: If FAISS is not installed.
        OSError: If there is no room or no right to keep it; nothing is left half written.
        ValueError: If the kind is unknown, needs more vectors, or its file is damaged.
    """
    faiss, path = _faiss(), index.folder / f"{kind}.faiss"
    if kind not in FACTORIES:
        raise ValueError(f"kind is {kind!r}; expected exact or one of {', '.join(FACTORIES)}")
    if not path.exists():
        _write(build(index.vectors, kind), path)
    try:
        found = faiss.read_index(str(path))
    except RuntimeError as error:
        found, why = None, str(error).splitlines()[-1]
    else:
        why = f"it is of {found.ntotal:,} vectors of {found.d}"
    if found is None or (found.ntotal, found.d) != index.vectors.shape:
        raise ValueError(
            f"{shown(path, 120)} is damaged, or of other vectors ({shown(why, 90)}): delete it, "
            "and it is built again"
        )
    return Approximate(found, index.vectors)


def build(vectors: np.ndarray, kind: str) -> Any:
    """Build one of `FACTORIES` for unit vectors, float32 `[n, E]`."""
    faiss, (n, width) = _faiss(), vectors.shape
    # Bits are compared by how many differ; FAISS's PCA subtracts the mean, after which products of
    # unit vectors have another order, and distances have the same.
    metric = faiss.METRIC_L2 if kind in ("binary", "pca") else faiss.METRIC_INNER_PRODUCT
    found = faiss.index_factory(width, FACTORIES[kind](n, width), metric)
    if not found.is_trained:
        if n < _LEAST:
            raise ValueError(
                f"{kind} learns from at least {_LEAST:,} vectors, the index has {n:,}: exact "
                "search is fast with so few"
            )
        rows = np.random.default_rng(0).permutation(n)[:_SAMPLE]
        found.train(np.ascontiguousarray(vectors[np.sort(rows)]))
    for start in range(0, n, _BLOCK):
        found.add(np.ascontiguousarray(vectors[start : start + _BLOCK]))
    return found


def _write(found: Any, path: Path) -> None:
    new = path.with_name(f".new-{path.name}")
    try:
        _faiss().write_index(found, str(new))
        os.replace(new, path)
    except (OSError, RuntimeError) as error:  # FAISS has its own words for a full disk
        new.unlink(missing_ok=True)
        why = shown(str(error).splitlines()[-1], 90)
        raise OSError(f"cannot write {shown(path, 90)} ({why}): make room") from error


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError("FAISS is not installed: pip install 'siglip-lab[search]'") from error
    return faiss
