"""Images of any shape to patches within a budget; equal to `Siglip2ImageProcessorPil` to the bit.

An image keeps its aspect ratio, but for the rounding of its sides to whole patches, and becomes as
large as the budget of patches allows. Small pictures are enlarged, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglip_lab.batches import run_each, transform_all
from siglip_lab.checks import check_integer
from siglip_lab.image_checks import check_background
from siglip_lab.images import WHITE, ImageLike, load_image
from siglip_lab.preprocessing import to_pixel_values

__all__ = ["preprocess", "preprocess_each", "target_size", "transform"]

PRECISION = 1e-5  # of the scale that is looked for; it decides sides at the edge
MOST_SCALE = 100.0


def target_size(height: int, width: int, patch_size: int = 16, max_num_patches: int = 256) -> tuple:
    """The size that an image is resized to: whole patches, as many as the budget allows.

    Both sides are scaled alike and rounded up to whole patches, one at least; the scale is the
    largest, up to 100, with which they fit.

    Args:
        height: The image's, in pixels.
        width: The same.
        patch_size: Side P of a patch, in pixels.
        max_num_patches: The budget.

    Returns:
        Height and width in pixels, multiples of P.

    Raises:
        ValueError: If the image is so long and thin that no scale fits: one row of patches, or one
            column, would be longer than the budget.

    Source: transformers, ``image_processing_siglip2.py``, ``get_image_size_for_max_num_patches``.

    >>> target_size(480, 640)  # 14 x 18 patches, 252 of 256
    (224, 288)
    """
    sizes = ("height", height), ("width", width), ("patch_size", patch_size)
    for name, value in (*sizes, ("max_num_patches", max_num_patches)):
        check_integer(name, value)

    def scaled(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(side * scale / patch_size)) for side in (height, width))
        return rows * patch_size, columns * patch_size

    low, high = PRECISION / 10, MOST_SCALE
    while high - low >= PRECISION:
        middle = (low + high) / 2
        rows, columns = (side // patch_size for side in scaled(middle))
        low, high = (middle, high) if rows * columns <= max_num_patches else (low, middle)
    rows, columns = (side // patch_size for side in scaled(low))
    if rows * columns > max_num_patches:
        raise ValueError(
            f"an image of {width} x {height} pixels is too long and thin: the smallest grid is "
            f"{rows} x {columns}, the budget {max_num_patches} patches; crop it, or allow more"
        )
    return scaled(low)


def transform(
    image: ImageLike,
    max_num_patches: int = 256,
    background: tuple[int, int, int] = WHITE,
    patch_size: int = 16,
) -> tuple[Tensor, tuple[int, int]]:
    """Turn one image into patches `[n, P * P * 3]` in [-1, 1], and its grid: rows, columns.

    The numbers of a patch are ordered row, column, channel.
    """
    picture = load_image(image, background)
    height, width = target_size(picture.height, picture.width, patch_size, max_num_patches)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    rows, columns, p = height // patch_size, width // patch_size, patch_size
    x = to_pixel_values(picture).reshape(3, rows, p, columns, p)
    return x.permute(1, 3, 2, 4, 0).reshape(rows * columns, -1), (rows, columns)


def preprocess(
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
    max_num_patches: int = 256,
    background: tuple[int, int, int] = WHITE,
    patch_size: int = 16,
) -> dict[str, Tensor]:
    """Turn one image or several, each of its own shape, into patches, a mask, and grids.

    Args:
        images: As `siglip_lab.load_image` takes them; an error names the image's index.
        max_num_patches: The budget N of each image: 128, 256, 576, 784 and 1024 in training.
        background: What shows through where an image is transparent.
        patch_size: Side P of a patch.

    Returns:
        ``pixel_values`` float32 `[B, N, P * P * 3]` in [-1, 1], padding 0; ``pixel_attention_mask``
        int32 `[B, N]`, 1 for patches and 0 for padding; ``spatial_shapes`` int64 `[B, 2]`, rows and
        columns.

    Source: transformers, ``image_processing_pil_siglip2.py``.

    >>> inputs = preprocess(Image.new("RGB", (1024, 224)))
    >>> inputs["spatial_shapes"], inputs["pixel_attention_mask"].sum()
    (tensor([[ 7, 32]]), tensor(224))
    """
    return transform_all(
        lambda listed: preprocess_each(listed, max_num_patches, background, patch_size), images
    )


def preprocess_each(
    images: Sequence[ImageLike], max_num_patches: int, background=WHITE, patch_size: int = 16
) -> tuple[dict[str, Tensor], dict[int, Exception]]:
    """As `preprocess`, with the errors of those images whose rows mean nothing, by index."""
    check_integer("max_num_patches", max_num_patches)
    check_integer("patch_size", patch_size)
    check_background(background)
    n = len(images)
    patches = np.zeros((n, max_num_patches, 3 * patch_size**2), np.float32)
    mask = np.zeros((n, max_num_patches), np.int32)
    grids = np.ones((n, 2), np.int64)

    def one(index: int) -> None:
        x, grids[index] = transform(images[index], max_num_patches, background, patch_size)
        patches[index, : len(x)], mask[index, : len(x)] = x, 1

    errors = run_each(one, n)
    names = "pixel_values", "pixel_attention_mask", "spatial_shapes"
    return dict(zip(names, map(torch.from_numpy, (patches, mask, grids)), strict=True)), errors
