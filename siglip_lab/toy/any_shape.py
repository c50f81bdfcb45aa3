"""tiny for pictures of any shape: its weights in NaFlex's form, and what adapts them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from siglip_lab import siglip2
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.toy.data import Batch
from siglip_lab.toy.shapes_world import (
    random_caption,
    random_scene,
    training_combinations,
)

__all__ = ["ASPECTS", "flexible", "flexible_processor", "training_batch"]

ASPECTS = (1 / 4, 1 / 2, 1, 2, 4)  # width by height


def flexible(model: SigLIP) -> siglip2.SigLIP2:
    """Put a SigLIP's weights into the form that reads images of any shape; nothing is trained.

    The patch embedding's convolution becomes a matrix for patches that are laid out row, column,
    channel; the table of positions becomes NaFlex's. On the same pixels both compute the same; but
    tiny crops 40 pixels to the 36 that its grid covers, and NaFlex resizes to 36.

    Args:
        model: Its grid is the table from which positions are interpolated.

    >>> from PIL import Image
    >>> model = flexible(SigLIP.from_pretrained("tiny"))
    >>> inputs = siglip2.preprocess(Image.new("RGB", (240, 60)), 36, patch_size=6)
    >>> inputs["spatial_shapes"], model.encode_image(**inputs).shape
    (tensor([[ 3, 12]]), torch.Size([1, 72]))
    """
    config = model.config
    seen = config.vision.grid_size * config.vision.patch_size  # tiny drops its last 4 pixels
    vision = replace(config.vision, image_size=seen)
    new = siglip2.SigLIP2(replace(config, vision=vision))
    weights = model.state_dict()
    name = "vision_model.embeddings.patch_embedding.weight"
    weights[name] = weights[name].permute(0, 2, 3, 1).flatten(1)  # [D, 3, P, P] to [D, P * P * 3]
    new.load_state_dict(weights)
    return new.eval()


def flexible_processor(processor: Processor, model: siglip2.SigLIP2) -> siglip2.Processor:
    """The processor that goes with it, whose budget is the table's number of positions."""
    vision = model.config.vision
    return siglip2.Processor(processor.tokenizer, vision.num_patches, vision.patch_size)


def training_batch(seed: int, step: int, batch_size: int, aspects: Sequence[float]) -> Batch:
    """As `siglip_lab.toy.data.training_batch`, each picture in a shape drawn from `aspects`."""
    rng = random.Random(f"any shape {seed} {step}")
    combinations = rng.sample(training_combinations(), batch_size)
    scenes = [random_scene(rng, each, rng.choice(list(aspects))) for each in combinations]
    return Batch(scenes, [random_caption(scene, rng) for scene in scenes])
