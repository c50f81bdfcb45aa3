"""How well a model names and finds drawings, and how well plain pixels do: the bar to pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from siglip_lab.emoji.data import Drawing, Emoji
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor

__all__ = ["Naming", "Report", "evaluate", "naming", "pixel_scores", "recall_at_k"]


@dataclass(frozen=True)
class Naming:
    """Shares of drawings whose own name is the best, or one of the best five.

    Args:
        top1, top5: Of all drawings among the names of all emoji.
        things_top1, things_top5: Of the drawings of things, among the names of things.
    """

    top1: float
    top5: float
    things_top1: float
    things_top5: float


@dataclass(frozen=True)
class Report:
    """What `evaluate` measures; recall says, by k, how often a keyword finds a drawing of its."""

    naming: Naming
    recall: dict[int, float]


def recall_at_k(scores: Tensor, true: Tensor, k: int, known: Tensor | None = None) -> float:
    """Compute the share of rows with a true column among the k best; rows without one do not count.

    Rows are drawings and columns names to measure naming, where k = 1 gives top-1 accuracy; rows
    are keywords and columns drawings to measure retrieval.

    Args:
        scores: Any similarity `[n, m]`, larger is closer.
        true: bool `[n, m]`.
        k: Number of columns that a row may choose.
        known: bool `[n, m]`, pairs seen in training, which leave the ranking, so that a new pair is
            not asked to beat them.

    >>> scores = torch.tensor([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]])
    >>> true = torch.tensor([[True, False, False], [False, True, False]])
    >>> recall_at_k(scores, true, 1), recall_at_k(scores, true, 2)
    (0.5, 1.0)
    """
    if known is not None:
        scores = scores.masked_fill(known, -torch.inf)
    best = scores.topk(min(k, scores.shape[1])).indices
    hits = true.gather(1, best).any(dim=1)[true.any(dim=1)]
    return hits.float().mean().item()


def naming(
    scores: Tensor, drawings: Sequence[Drawing], emoji: Sequence[Emoji], language: str = "en"
) -> Naming:
    """Measure what scores name, whatever made them.

    Args:
        scores: `[n, m]`, of drawing i and the name of emoji j.
        drawings: n of them.
        emoji: The m that may be named.
        language: Of the names; emoji of one name count as one.
    """
    names = [each.names[language] for each in emoji]
    true = torch.tensor([[d.emoji.names[language] == name for name in names] for d in drawings])
    rows = torch.tensor([drawing.emoji.is_thing for drawing in drawings])
    columns = torch.tensor([each.is_thing for each in emoji])
    parts = ((scores, true), (scores[rows][:, columns], true[rows][:, columns]))
    return Naming(*(recall_at_k(*part, k=k) for part in parts for k in (1, 5)))


def pixel_scores(
    drawings: Sequence[Drawing], references: Sequence[Drawing], emoji: Sequence[Emoji]
) -> Tensor:
    """Compare with other artists' drawings, pixel by pixel: what one has without learning.

    Two pictures are as close as their pixels' correlation (mean taken off, then the cosine), which
    finds more than their distance does. An emoji is as close as its closest reference.

    Args:
        drawings: n of them.
        references: Drawings whose names are known.
        emoji: The m that may be named, each of which is among the references.

    Returns:
        Correlations `[n, m]`.
    """
    x, y = _unit(drawings), _unit(references)  # [n, 3 S S], [r, 3 S S]
    column = {each: place for place, each in enumerate(emoji)}
    places = torch.tensor([column[reference.emoji] for reference in references])
    scores = torch.full((len(drawings), len(emoji)), -torch.inf)
    return scores.scatter_reduce(1, places.expand(len(drawings), -1), x @ y.T, "amax")


def _unit(drawings: Sequence[Drawing]) -> Tensor:
    pixels = np.stack([drawing.pixels.reshape(-1) for drawing in drawings])
    x = torch.from_numpy(pixels).float()
    return torch.nn.functional.normalize(x - x.mean(dim=1, keepdim=True), dim=1)


def evaluate(
    model: SigLIP,
    processor: Processor,
    drawings: Sequence[Drawing],
    emoji: Sequence[Emoji],
    template: str = "{}",
    language: str = "en",
    pairs: Collection[tuple[str, str]] | None = None,
    ks: Sequence[int] = (1, 5, 10),
) -> Report:
    """Measure zero-shot naming, and retrieval by keyword.

    Args:
        model: The model.
        processor: Its processor.
        drawings: What it is to name and to find.
        emoji: All that may be named; the drawings' own are among them.
        template: Sentence into which names and keywords are put.
        language: Of names and keywords.
        pairs: Pairs of code points and keyword that count, of `by_keyword`; what is true beside
            them leaves the ranking. Default: all.
        ks: Numbers of drawings that a keyword may find.
    """
    images = embed_images(model, processor, [drawing.image for drawing in drawings])

    def scores(texts: Sequence[str]) -> Tensor:
        embeds = embed_texts(model, processor, [template.replace("{}", text) for text in texts])
        return (images @ embeds.T).cpu()  # the logits' order is the cosines'

    every = {(d.emoji.code_points, word) for d in drawings for word in d.emoji.keywords[language]}
    counted = every if pairs is None else every.intersection(pairs)
    keywords = sorted({word for _, word in counted})

    def table(of: set[tuple[str, str]]) -> Tensor:
        points = [drawing.emoji.code_points for drawing in drawings]
        return torch.tensor([[(each, word) in of for each in points] for word in keywords])

    found, true, known = scores(keywords).T, table(counted), table(every - counted)
    return Report(
        naming(scores([each.names[language] for each in emoji]), drawings, emoji, language),
        {k: recall_at_k(found, true, k, known) for k in ks},
    )
