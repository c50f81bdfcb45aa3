"""How well a model names new pictures: of what it has seen in training, and of what it has not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.toy.shapes_world import (
    Combination,
    Scene,
    all_combinations,
    draw,
    held_out_combinations,
    random_scene,
    training_combinations,
)

__all__ = ["Accuracy", "NamingTest", "evaluate", "naming_test"]


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


@dataclass(frozen=True)
class NamingTest:
    """Drawings that a model has not seen, and all 320 texts among which each has to find its own.

    Args:
        scenes: What is drawn.
        drawings: A picture of each.
        texts: Every combination's label, put into a prompt template.
        own: For each drawing the number of its own text, `[n]`.
    """

    scenes: list[Scene]
    drawings: list[Image.Image]
    texts: list[str]
    own: Tensor

    def hits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """For each drawing: has its own text the largest cosine? bool `[n]`, on the CPU."""
        return (image_embeds @ text_embeds.T).argmax(dim=1).cpu() == self.own

    def accuracy(self, image_embeds: Tensor, text_embeds: Tensor) -> float:
        """Top-1 accuracy: the share of drawings whose own text wins."""
        return self.hits(image_embeds, text_embeds).sum().item() / len(self.own)


def naming_test(
    combinations: Sequence[Combination] | None = None,
    n: int = 400,
    template: str = "This is a photo of {}.",
    aspect: float = 1.0,
) -> NamingTest:
    """Draw the n pictures on which the chapters measure tiny; the same on every machine.

    Args:
        combinations: What to draw, over and over. Default: what tiny was trained on.
        n: Number of drawings.
        template: Sentence into which a label is put.
        aspect: Width by height of each drawing, from 1/4 to 4.

    >>> test = naming_test(n=3)
    >>> test.texts[0], [scene.combination.label for scene in test.scenes][:2]
    ('This is a photo of a red circle.', ['a red circle', 'a red square'])
    """
    combinations = training_combinations() if combinations is None else combinations
    every = all_combinations()
    named = (combinations[i % len(combinations)] for i in range(n))
    scenes = [random_scene(f"test {i}", each, aspect) for i, each in enumerate(named)]
    own = torch.tensor([every.index(scene.combination) for scene in scenes])
    texts = [template.replace("{}", label.label) for label in every]
    return NamingTest(scenes, [draw(scene) for scene in scenes], texts, own)
