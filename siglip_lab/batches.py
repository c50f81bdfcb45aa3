"""Many images at once: threads share the work, and what cannot be read is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from siglip_lab.decoding import ImageLike
from siglip_lab.image_checks import check_background, check_side
from siglip_lab.images import WHITE

__all__ = ["transform_all", "transform_each"]

MAX_THREADS = 8


def transform_all(
    transform: Callable[..., Tensor],
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
    size: int,
    background: tuple[int, int, int],
) -> Tensor:
    """Transform one image or several to `[B, 3, S, S]`; an error names the image's index."""
    check_side(size)
    check_background(background)
    if not isinstance(images, (list, tuple)):
        return transform(images, size, background)[None]  # [1, 3, S, S]
    if not images:
        raise ValueError("the list of images is empty; expected at least one image")
    pixel_values, errors = transform_each(transform, images, size, background)
    for index, error in sorted(errors.items()):
        raise type(error)(f"images[{index}]: {error}") from error
    return pixel_values


def transform_each(
    transform: Callable[..., Tensor], images: Sequence[ImageLike], size: int, background=WHITE
) -> tuple[Tensor, dict[int, Exception]]:
    """Transform images to `[B, 3, S, S]`, and give the errors of those whose rows mean nothing."""
    # Pillow and NumPy let go of Python's lock while they compute, so threads share the work, each
    # with one picture at full size. The batch is NumPy's: it asks for large pages of memory, and
    # PyTorch's own threads, waiting for more to copy, would be in the way.
    pixel_values = np.empty((len(images), 3, size, size), np.float32)
    errors: dict[int, Exception] = {}

    def one(index: int) -> None:
        try:
            pixel_values[index] = transform(images[index], size, background)  # [3, S, S]
        except (TypeError, ValueError, FileNotFoundError) as error:
            errors[index] = error

    with ThreadPoolExecutor(min(len(images), torch.get_num_threads(), MAX_THREADS)) as pool:
        run = pool.map if len(images) > 1 else map
        list(run(one, range(len(images))))
    return torch.from_numpy(pixel_values), errors
