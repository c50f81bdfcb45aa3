"""Augmentation: plain functions of a picture and a random generator. By default nothing is done.

What the released SigLIPs were trained with is not published. big_vision's public SigLIP example
(``configs/proj/image_text/siglip_lit_coco.py``) has ``resize|flip_lr|randaug(2,10)``; its own LiT
and the tiny model of this package have none. A mirror turns "left" into "right" and spoils letters,
a crop can lose what the caption names: look at what they do to your pictures before you train.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from PIL import Image, ImageEnhance, ImageOps

__all__ = [
    "AUGMENTATIONS", "chain", "coco_example", "flip", "jitter", "rand_augment", "random_crop",
]  # fmt: skip

_GREY = (128, 128, 128)  # where nothing is left


def flip(image: Image.Image, rng: random.Random) -> Image.Image:
    """Mirror every other picture, left to right."""
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def random_crop(image: Image.Image, rng: random.Random, least: float = 0.6) -> Image.Image:
    """Cut out a rectangle of at least this share of the area, of nearly the picture's shape.

    >>> random_crop(Image.new("RGB", (100, 80)), random.Random(0)).size
    (100, 71)
    """
    area = rng.uniform(least, 1)
    ratio = rng.uniform(3 / 4, 4 / 3) ** 0.5
    width = min(image.width, max(2, round(image.width * area**0.5 * ratio)))
    height = min(image.height, max(2, round(image.height * area**0.5 / ratio)))
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def jitter(image: Image.Image, rng: random.Random, strength: float = 0.3) -> Image.Image:
    """Change brightness, contrast and colour, each by at most this share."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(1 + rng.uniform(-strength, strength))
    return image


def rand_augment(
    image: Image.Image, rng: random.Random, layers: int = 2, magnitude: int = 10
) -> Image.Image:
    """Apply `layers` of 16 changes, drawn at random, at one magnitude (0 to 10).

    Source: RandAugment (arXiv 1909.13719), with the changes and strengths of big_vision's
    ``pp/autoaugment.py``, whose pixels are taken as shares of a picture of 224.
    """
    for _ in range(layers):
        image = rng.choice(_CHANGES)(image, magnitude / 10, rng)
    return image


def coco_example(image: Image.Image, rng: random.Random) -> Image.Image:
    """What big_vision's public SigLIP example does: a mirror, then two random changes."""
    return rand_augment(flip(image, rng), rng)


def chain(*augmentations: Callable) -> Callable[[Image.Image, random.Random], Image.Image]:
    """Make one augmentation of several, applied from left to right."""
    return partial(_in_turn, augmentations)


def _in_turn(augmentations, image: Image.Image, rng: random.Random) -> Image.Image:
    for augment in augmentations:
        image = augment(image, rng)
    return image


AUGMENTATIONS = {
    "flip": flip, "crop": random_crop, "jitter": jitter, "randaug": rand_augment,
    "coco-example": coco_example,
}  # fmt: skip


# ---- RandAugment's changes: (picture, share of the largest magnitude, random generator) ----------


def _affine(matrix: Callable[[float, Image.Image], tuple]) -> Callable:
    def change(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
        how = matrix(share * rng.choice((-1, 1)), image)
        return image.transform(image.size, Image.Transform.AFFINE, how, fillcolor=_GREY)

    return change


def _enhance(kind) -> Callable:
    return lambda image, share, rng: kind(image).enhance(0.1 + 1.8 * share)


def _cut_out(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    half = round(40 / 224 * share * min(image.size))
    x, y = rng.randrange(image.width), rng.randrange(image.height)
    image = image.copy()
    image.paste(_GREY, (x - half, y - half, x + half, y + half))
    return image


def _solarize_add(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    return image.point([min(255, v + round(110 * share)) if v < 128 else v for v in range(256)] * 3)


_CHANGES: list[Callable[[Image.Image, float, random.Random], Image.Image]] = [
    lambda image, share, rng: ImageOps.autocontrast(image),
    lambda image, share, rng: ImageOps.equalize(image),
    lambda image, share, rng: ImageOps.invert(image),
    lambda image, share, rng: ImageOps.posterize(image, max(1, round(4 * share))),
    lambda image, share, rng: ImageOps.solarize(image, round(256 * share)),
    lambda image, share, rng: image.rotate(30 * share * rng.choice((-1, 1)), fillcolor=_GREY),
    _solarize_add,
    _cut_out,
    _enhance(ImageEnhance.Color),
    _enhance(ImageEnhance.Contrast),
    _enhance(ImageEnhance.Brightness),
    _enhance(ImageEnhance.Sharpness),
    _affine(lambda much, image: (1, 0.3 * much, 0, 0, 1, 0)),  # shear
    _affine(lambda much, image: (1, 0, 0, 0.3 * much, 1, 0)),
    _affine(lambda much, image: (1, 0, 100 / 224 * much * image.width, 0, 1, 0)),  # shift
    _affine(lambda much, image: (1, 0, 0, 0, 1, 100 / 224 * much * image.height)),
]
