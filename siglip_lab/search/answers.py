"""From a question to answers: its vector, by the model that made the index; the nearest rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from siglip_lab.model import SigLIP
from siglip_lab.pairs import plain_model
from siglip_lab.processor import Processor
from siglip_lab.search.approximate import open_approximate
from siglip_lab.search.exact import nearest
from siglip_lab.search.index import Index

__all__ = ["Hit", "find"]


class Hit(NamedTuple):
    """A row of an index that fits a question."""

    row: int
    name: str  # of the picture, or the text
    cosine: float
    probability: float | None  # that the text belongs to the picture; only between these two


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
        cosines, rows = open_approximate(index, kind).nearest(queries, k)
    plain = plain_model(model)
    crossed = (texts is not None) == (index.manifest.kind == "images")
    # CLIP has no probability for a pair alone, and no model one for two pictures or two texts
    scored = plain if crossed and isinstance(plain, SigLIP) else None
    return [
        [
            Hit(row, index.item(row)["name"], cosine, _probability(scored, cosine))
            for cosine, row in zip(*each, strict=True)
            if row >= 0
        ]
        for each in zip(cosines.tolist(), rows.tolist(), strict=True)
    ]


@torch.no_grad()
def _probability(model: SigLIP | None, cosine: float) -> float | None:
    if model is None:
        return None
    logit = cosine * model.logit_scale.exp() + model.logit_bias
    return model.to_probabilities(logit).item()
