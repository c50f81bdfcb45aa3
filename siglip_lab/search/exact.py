"""Exact search: every vector is compared, a block at a time, and the best are kept."""

from __future__ import annotations

import numpy as np

from siglip_lab.checks import check_integer

__all__ = ["check_k", "check_queries", "nearest", "rerank"]

_BLOCK = 2**24  # bytes of vectors at once: they stay near the processor while they are compared


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows with the largest cosine to each query.

    NumPy's product of a matrix and a vector is nearly as fast as memory gives the matrix, and of
    each block only rows that beat the k best so far are looked at; so a memory-mapped file is
    searched nearly as fast as it is read.

    Args:
        vectors: Unit vectors, float32 `[n, E]`, in memory or memory-mapped.
        queries: Unit vectors, float32 `[q, E]`.
        k: How many rows to return for each query, at most n.

    Returns:
        Cosines float32 `[q, k]`, best first, and rows int64 `[q, k]`; equal cosines in the order
        of their rows.

    Raises:
        ValueError: If shapes do not fit, k is too large, or a vector holds NaN.

    >>> vectors = np.eye(3, dtype=np.float32)
    >>> cosines, rows = nearest(vectors, np.array([[0.0, 0.6, 0.8]], np.float32), k=2)
    >>> rows.tolist()
    [[2, 1]]
    """
    queries = check_queries(queries, vectors.shape[1])
    check_k(k, len(vectors))
    best = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    worst = np.full(len(queries), -np.inf, np.float32)  # of the k best so far
    step = max(1, _BLOCK // vectors[:1].nbytes)
    for start in range(0, len(vectors), step):
        cosines = vectors[start : start + step] @ queries.T  # [b, q]
        better = np.flatnonzero(~(cosines <= worst).all(1))  # also NaN
        best = np.concatenate([best, cosines[better].T], 1)
        places = np.broadcast_to(start + better, (len(queries), len(better)))
        best, rows = _keep(best, np.concatenate([rows, places], 1), k)
        if best.shape[1] == k:
            worst = best.min(1)
    return _in_order(best, rows)


def rerank(
    vectors: np.ndarray, queries: np.ndarray, rows: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of some rows for each query, int64 `[q, c]` (-1: none), the k best by their exact cosines."""
    found = np.full(rows.shape, -np.inf, np.float32)
    for cosines, query, some in zip(found, queries, rows, strict=True):
        there = some >= 0
        cosines[there] = vectors[some[there]] @ query
    return _in_order(*_keep(found, rows, k))


def _keep(cosines: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query, in any order; NaN counts as the best of all."""
    if cosines.shape[1] <= k:
        return cosines, rows
    kept = np.argpartition(cosines, -k, axis=1)[:, -k:]
    return np.take_along_axis(cosines, kept, 1), np.take_along_axis(rows, kept, 1)


def _in_order(cosines: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best first, equal ones by their rows; refuse NaN, which the best always hold."""
    wrong = ~(np.abs(cosines) < 1.01) & (rows >= 0)
    if wrong.any():
        row = rows[wrong][0]
        raise ValueError(
            f"row {row} of the index is no unit vector (a cosine is {cosines[wrong][0]:.3g}): its "
            "file is damaged, or was changed; embed again"
        )
    order = np.lexsort((rows, -cosines))
    return np.take_along_axis(cosines, order, 1), np.take_along_axis(rows, order, 1)


def check_k(k: int, rows: int) -> None:
    """Refuse to return more rows than there are."""
    check_integer("k", k)
    if k > rows:
        raise ValueError(f"k is {k}, but the index has {rows:,} rows: give at most {rows}")


def check_queries(queries: np.ndarray, width: int) -> np.ndarray:
    """Refuse what is no unit vectors `[q, width]`; return them as float32."""
    queries = np.asarray(queries)
    if queries.ndim != 2 or queries.shape[1] != width or not len(queries):
        raise ValueError(
            f"queries have shape {queries.shape}; expected [q, {width}] with q >= 1, from the "
            "model that made the index"
        )
    lengths = np.linalg.norm(queries.astype(np.float32), axis=1)
    wrong = ~(np.abs(lengths - 1) <= 0.01)  # also NaN
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(
            f"query {place} has length {lengths[place]:.4g}; expected a unit vector: use "
            "embed_texts or embed_images"
        )
    return queries.astype(np.float32)
