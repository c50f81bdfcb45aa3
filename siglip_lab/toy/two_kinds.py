"""Drawings with two kinds of objects, and where each lies.

Chapter "Where in the picture?". `shapes_world` draws one kind a picture; here two of its scenes
share one sheet, one kind on the left and one on the right. tiny was trained on no such picture.
"""

from dataclasses import dataclass, replace
from random import Random

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglip_lab.toy.shapes_world import (
    Combination,
    Scene,
    draw,
    plural,
    random_scene,
    training_combinations,
)

__all__ = ["TwoKinds", "draw_two_kinds", "kind_caption"]


@dataclass(frozen=True)
class TwoKinds:
    """A drawing, its two scenes (left, right), and for each the pixels that it painted."""

    image: Image.Image
    scenes: tuple[Scene, Scene]
    masks: tuple[np.ndarray, np.ndarray]

    @property
    def captions(self) -> tuple[str, str]:
        """Colour and shape of each kind, worded as for tiny: "a brown circle", "black stars"."""
        left, right = (kind_caption(s.count, s.colour, s.shape) for s in self.scenes)
        return left, right

    def shares(self, image_size: int, patch_size: int) -> Tensor:
        """Share of each patch that each kind covers: `[2, rows, columns]`."""
        side = image_size // patch_size
        rows = []
        for mask in self.masks:
            small = Image.fromarray(np.uint8(255 * mask)).resize(
                (image_size,) * 2, Image.Resampling.BOX
            )
            seen = torch.tensor(np.array(small) / 255)[: side * patch_size, : side * patch_size]
            rows.append(seen.reshape(side, patch_size, side, patch_size).mean((1, 3)))
        return torch.stack(rows)


def kind_caption(count: int, colour: str, shape: str) -> str:
    """Name a kind without its number; a bare plural means two or more, as in tiny's captions.

    >>> kind_caption(1, "brown", "circle"), kind_caption(2, "black", "star")
    ('a brown circle', 'black stars')
    """
    return Combination(1, colour, shape).label if count == 1 else f"{colour} {plural(shape)}"


def draw_two_kinds(seed: int) -> TwoKinds:
    """Draw one or two objects of one kind on the left, and of another on the right.

    The two kinds differ in colour and in shape. The same seed gives the same drawing.

    >>> draw_two_kinds(0).captions == draw_two_kinds(0).captions
    True
    """
    rng = Random(f"two {seed}")
    while True:
        first, second = (rng.choice(training_combinations()) for _ in range(2))
        if max(first.count, second.count) > 2:
            continue
        if first.shape == second.shape or first.colour == second.colour:
            continue
        for _ in range(50):
            left, right = random_scene(rng, first), random_scene(rng, second)
            if "left" not in left.sides or "right" not in right.sides:
                continue
            right = replace(right, background=left.background)
            sheets = [np.array(draw(scene)) for scene in (left, right)]
            one, two = ((sheet != left.background).any(-1) for sheet in sheets)
            if not (one & two).any():
                picture = np.where(two[..., None], sheets[1], sheets[0])
                return TwoKinds(Image.fromarray(picture), (left, right), (one, two))
