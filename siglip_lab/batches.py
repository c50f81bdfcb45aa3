"""Many images at once: threads share the work, and what cannot be read is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from siglip_lab.decoding import ImageLike
from siglip_lab.image_checks import check_background, check_side
from siglip_lab.images import WHITE

__all__ = ["run_each", "transform_all", "transform_each"]

MAX_THREADS = 8
Errors = dict[int, Exception]
T = TypeVar("T")


def transform_all(
    each: Callable[[Sequence[ImageLike]], tuple[T, Errors]],
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
) -> T:
    """Transform one image or several by what takes a list; an error names the image's index."""
    if not isinstance(images, (list, tuple)):
        result, errors = each([images])
        if errors:
            raise errors[0]
        return result
    if not images:
        raise ValueError("the list of images is empty; expected at least one image")
    result, errors = each(images)
    for index, error in sorted(errors.items()):
        raise type(error)(f"images[{index}]: {error}") from error
    return result


def transform_each(
    transform: Callable[..., Tensor], images: Sequence[ImageLike], size: int, background=WHITE
) -> tuple[Tensor, Errors]:
    """Transform images to `[B, 3, S, S]`, and give the errors of those whose rows mean nothing."""
    check_side(size)
    check_background(background)
    # The batch is NumPy's: it asks for large pages of memory, and PyTorch's own threads, waiting
    # for more to copy, would be in the way.
    pixel_values = np.empty((len(images), 3, size, size), np.float32)

    def one(index: int) -> None:
        pixel_values[index] = transform(images[index], size, background)  # [3, S, S]

    errors = run_each(one, len(images))
    return torch.from_numpy(pixel_values), errors


def run_each(one: Callable[[int], None], count: int) -> Errors:
    """Do something for each index; what goes wrong with an image is returned, not raised."""
    errors: Errors = {}

    def attempt(index: int) -> None:
        try:
            one(index)
        except (OSError, TypeError, ValueError) as error:
            errors[index] = error

    # Pillow and NumPy let go of Python's lock while they compute, so threads share the work, each
    # with one picture at full size.
    with ThreadPoolExecutor(min(count, torch.get_num_threads(), MAX_THREADS)) as pool:
        list((pool.map if count > 1 else map)(attempt, range(count)))
    return errors
