"""Emoji as captioned pictures: real data, small enough to train on without a GPU.

>>> from siglip_lab import emoji
>>> parts = emoji.by_artist(emoji.load())
>>> {role: len(drawings) for role, drawings in parts.items()}
{'train': 3140, 'validation': 1570, 'test': 1570}
"""

from siglip_lab.emoji.data import (
    ARTISTS,
    TEMPLATES,
    Batch,
    Drawing,
    Emoji,
    group_ids,
    labels,
    load,
    training_batch,
)
from siglip_lab.emoji.evaluation import evaluate, naming, pixel_scores, recall_at_k
from siglip_lab.emoji.splits import by_artist, by_concept, by_keyword

__all__ = [
    "ARTISTS", "TEMPLATES", "Batch", "Drawing", "Emoji", "by_artist", "by_concept", "by_keyword",
    "evaluate", "group_ids", "labels", "load", "naming", "pixel_scores", "recall_at_k",
    "training_batch",
]  # fmt: skip
