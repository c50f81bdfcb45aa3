"""How well a model names new pictures: of what it has seen in training, and of what it has not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.toy.shapes_world import (
    all_combinations,
    draw,
    held_out_combinations,
    random_scene,
    training_combinations,
)

__all__ = ["Accuracy", "evaluate"]


@dataclass(frozen=True)
class Accuracy:
    """Shares of pictures whose best label of all 320 is the right one, and numbers of pictures."""

    seen: float
    held_out_triples: float
    held_out_pairs: float
    pictures: dict[str, int]


def evaluate(
    model: SigLIP,
    processor: Processor,
    pictures_per_combination: int = 10,
    seed: int = 0,
    template: str = "This is a photo of {}.",
) -> Accuracy:
    """Measure zero-shot accuracy on new pictures, with all combinations of the world as labels.

    Args:
        model: The model.
        processor: Its processor.
        pictures_per_combination: New pictures of each of the 320 combinations.
        seed: Seed of the pictures; none of them occurs in training.
        template: Sentence into which a label is put.

    Returns:
        Accuracy on combinations seen in training, on held-out triples and on held-out pairs.
    """
    groups = {
        "seen": list(training_combinations()),
        "held_out_triples": sorted(held_out_combinations("triples")),
        "held_out_pairs": sorted(held_out_combinations("pairs")),
    }
    labels = all_combinations()
    texts = [template.replace("{}", label.label) for label in labels]
    text_embeds = embed_texts(model, processor, texts)  # [320, D]
    shares: dict[str, float] = {}
    pictures: dict[str, int] = {}
    for name, combinations in groups.items():
        rng = random.Random(f"evaluate {seed} {name}")
        right: list[bool] = []
        for _ in range(pictures_per_combination):
            images = [draw(random_scene(rng, combination)) for combination in combinations]
            embeds = embed_images(model, processor, images)
            best = (embeds @ text_embeds.T).argmax(dim=1)  # the logits' order is the cosines'
            right += [labels[i] == c for i, c in zip(best.tolist(), combinations, strict=True)]
        shares[name], pictures[name] = sum(right) / len(right), len(right)
    return Accuracy(**shares, pictures=pictures)
