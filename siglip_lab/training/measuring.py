"""How good a model is on pictures with captions: naming, finding; and what it could do before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from siglip_lab.checks import shown
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.model import TwoTowers
from siglip_lab.processor import Processor
from siglip_lab.toy.evaluation import naming_test
from siglip_lab.training.data import Pairs, Picture

__all__ = ["BEFORE", "best_texts", "measure", "recall", "shapes_world_pairs"]

BEFORE = "shapes world"  # what every model is asked, before and after
_BATCHES = 64  # between two looks at the bar
_CHUNK = 1024  # pictures or texts whose cosines are in memory at once


@torch.no_grad()
def measure(
    model: TwoTowers,
    processor: Processor,
    pairs: Pairs,
    batch_size: int = 32,
    num_workers: int = 0,
    progress: bool = False,
) -> dict[str, float]:
    """Let each picture find its text, and each text its picture.

    Texts are what the pairs can be named: each distinct caption, or each group, by the mean of its
    captions' embeddings. Pictures that cannot be read are left out.

    Args:
        model: The model.
        processor: Its processor.
        pairs: Pictures that training has not seen.
        batch_size: Pictures to compute at once.
        num_workers: Processes that read pictures.
        progress: Whether to show a bar.

    Returns:
        Shares: "name@1" and "name@5", of pictures one of whose own texts is the best of all
        (zero-shot top-1 accuracy), or among the best five; "find@1" and "find@5", of texts (those
        that some picture has) for pictures; numbers: "pictures", "texts".
    """
    every, captions = list(pairs.texts.values()), pairs.texts.values()
    embeds = embed_texts(model, processor, [text for texts in captions for text in texts])
    means = [each.mean(0) for each in embeds.split([len(texts) for texts in every])]
    text_embeds = F.normalize(torch.stack(means), dim=-1)  # [m, E]
    image_embeds, skipped = _embedded(model, processor, pairs, batch_size, num_workers, progress)
    kept = [picture for i, picture in enumerate(pairs) if i not in skipped]
    if not kept:
        raise ValueError(
            f"none of {len(pairs)} held-out pictures can be read: look at "
            f"{shown(pairs[0].name, 60)} ({shown(_why(pairs[0]), 120)})"
        )
    of_images = [pairs.ids(picture) for picture in kept]
    of_texts: list[list[int]] = [[] for _ in every]
    for i, ids in enumerate(of_images):
        for number in ids:
            of_texts[number].append(i)
    found = {}
    for k in (1, 5):
        found[f"name@{k}"] = recall(image_embeds, text_embeds, of_images, k)
        found[f"find@{k}"] = recall(text_embeds, image_embeds, of_texts, k)
    return found | {"pictures": float(len(kept)), "texts": float(len(every))}


def recall(queries: Tensor, answers: Tensor, true: Sequence[Sequence[int]], k: int) -> float:
    """The share of queries with a true answer that find one among their best k.

    Args:
        queries: Unit vectors `[n, E]`.
        answers: Unit vectors `[m, E]`.
        true: For each query the numbers of its true answers, n lists.
        k: How many answers count.

    >>> x = torch.eye(3)
    >>> recall(x, x[[1, 0, 2]], [[0], [0], [2]], k=1)  # the first finds answer 1, which is not its
    0.6666666666666666
    """
    hits = 0
    for start in range(0, len(queries), _CHUNK):
        best = (queries[start : start + _CHUNK] @ answers.T).topk(min(k, len(answers))).indices
        for row, wanted in zip(best.tolist(), true[start : start + _CHUNK], strict=True):
            hits += not set(wanted).isdisjoint(row)
    return hits / max(1, sum(map(bool, true)))


@torch.no_grad()
def best_texts(model: TwoTowers, processor: Processor, pairs: Pairs, n: int = 5) -> dict[str, str]:
    """What the first n pictures are taken for: of all that a picture can be named, the best."""
    texts = [texts[0] for texts in pairs.texts.values()]
    x, skipped = _embedded(model, processor, pairs[:n])
    names = [picture.name for i, picture in enumerate(pairs[:n]) if i not in skipped]
    best = (x @ embed_texts(model, processor, texts).T).argmax(1).tolist()
    return {name: texts[i] for name, i in zip(names, best, strict=True)}


def _embedded(model, processor, pairs, batch_size=32, num_workers=0, progress=False):
    """As `embed_images` with "skip", some batches at a time, so that a bar can tell of them."""
    embeds, skipped, some = [], {}, batch_size * _BATCHES
    with tqdm(total=len(pairs), unit="picture", disable=not progress) as bar:
        for start in range(0, len(pairs), some):
            images = [picture.image for picture in pairs[start : start + some]]
            x, odd = embed_images(model, processor, images, batch_size, num_workers, "skip")
            embeds.append(x)
            skipped |= {start + i: why for i, why in odd.items()}
            bar.update(len(images))
    return torch.cat(embeds), skipped


def _why(picture: Picture) -> str:
    try:
        picture.open()
    except Exception as error:
        return str(error)
    return "it could not be read"


@lru_cache(maxsize=1)
def shapes_world_pairs(n: int = 320) -> Pairs:
    """Drawings of the shapes world among all its 320 captions: a test that needs no data.

    A model that never met it still tells something, as any zero-shot test of drawings does.
    """
    test = naming_test(n=n)
    pictures = [
        Picture(f"drawing {i}", drawing, (test.texts[own],), test.texts[own])
        for i, (drawing, own) in enumerate(zip(test.drawings, test.own.tolist(), strict=True))
    ]
    return Pairs(pictures, groups={text: (text,) for text in test.texts})
