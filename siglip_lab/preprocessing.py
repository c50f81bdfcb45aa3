"""Images to pixel values: upright RGB, squash to a square, scale to [-1, 1].

Chapter "Preprocessing". Three steps, each a function: `load_image` gives the picture as a person
sees it, `resize` squashes it to S x S, `to_pixel_values` turns levels 0..255 into numbers.

The result equals, bit for bit, that of transformers' `SiglipImageProcessorPil` for RGB images.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglip_lab.images import WHITE, ImageLike, check_background, load_image

__all__ = ["preprocess", "resize", "to_pixel_values", "to_image"]

MAX_THREADS = 8


def preprocess(
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
    size: int = 384,
    background: tuple[int, int, int] = WHITE,
) -> Tensor:
    """Turn images into the pixel values that a SigLIP image tower takes.

    Args:
        images: One image or a list or tuple of them, each as `load_image` takes it.
        size: Side S of the square result, in pixels. The aspect ratio is not kept.
        background: RGB levels 0..255 that show through where an image is transparent.

    Returns:
        float32 `[B, 3, S, S]` in [-1, 1]; B is 1 for a single image.

    Raises:
        TypeError, ValueError, FileNotFoundError: As `load_image`; in a list, the message begins
            with the image's index. ValueError also for an empty list or a size below 1.

    Source: transformers, ``image_processing_pil_siglip.py``; big_vision squashes the same way, but
    with a bilinear filter and no antialiasing (``pp/ops_image.py``).

    >>> pixel_values = preprocess(Image.new("RGB", (640, 480), "red"))
    >>> pixel_values.shape, pixel_values[0, :, 0, 0].tolist()
    (torch.Size([1, 3, 384, 384]), [1.0, -1.0, -1.0])
    """
    size = check_size(size)
    return load_images(images, background, lambda image: to_pixel_values(resize(image, size)))


def load_images(
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
    background: tuple[int, int, int],
    prepare: Callable[[Image.Image], Tensor],
) -> Tensor:
    """Load images and prepare each: `[B, 3, S, S]`; arguments and errors as for `preprocess`."""
    background = check_background(background)
    if not isinstance(images, (list, tuple)):
        return prepare(load_image(images, background))[None]  # [1, 3, S, S]
    if not images:
        raise ValueError("the list of images is empty; expected at least one image")

    def one(index: int) -> Tensor:
        try:
            return prepare(load_image(images[index], background))  # [3, S, S]
        except (TypeError, ValueError, FileNotFoundError) as error:
            raise type(error)(f"images[{index}]: {error}") from error

    # Pillow and NumPy let go of Python's lock while they compute, so threads share the work. Each
    # holds one picture at full size.
    with ThreadPoolExecutor(min(len(images), os.cpu_count() or 1, MAX_THREADS)) as pool:
        return torch.stack(list(pool.map(one, range(len(images)))))  # [B, 3, S, S]


def resize(image: Image.Image, size: int) -> Image.Image:
    """Squash an image to a square, with a bicubic filter.

    When it shrinks, Pillow widens the filter to the size of the step (antialiasing).

    Args:
        image: PIL image.
        size: Side S of the result, in pixels.

    Returns:
        PIL image, S x S.

    Raises:
        TypeError, ValueError: If the size is not an integer of at least 1.

    >>> resize(Image.new("RGB", (640, 480)), 384).size
    (384, 384)
    """
    size = check_size(size)
    return image.resize((size, size), Image.Resampling.BICUBIC)


def to_pixel_values(image: Image.Image) -> Tensor:
    """Turn levels 0..255 into numbers in [-1, 1]: divide by 255, subtract 0.5, divide by 0.5.

    Args:
        image: PIL image of mode "RGB".

    Returns:
        float32 `[3, H, W]` in [-1, 1].

    Raises:
        ValueError: If the image is not RGB.

    >>> to_pixel_values(Image.new("RGB", (2, 2), (0, 51, 255)))[:, 0, 0]
    tensor([-1.0000, -0.6000,  1.0000])
    """
    if image.mode != "RGB":
        raise ValueError(f"the image has mode {image.mode}; expected RGB: use load_image first")
    x = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C")  # [3, H, W]
    x /= 255
    x -= 0.5
    x /= 0.5
    return torch.from_numpy(x)


def to_image(pixel_values: Tensor) -> Image.Image:
    """Turn the pixel values of one image back into a picture to look at.

    Args:
        pixel_values: Floating `[3, H, W]` in [-1, 1].

    Returns:
        PIL image of mode "RGB"; each number is rounded to the nearest level.

    Raises:
        TypeError: If they are not a floating-point tensor.
        ValueError: If shape or range differ.

    >>> square = Image.new("RGB", (8, 8), (10, 200, 30))
    >>> to_image(to_pixel_values(square)).getpixel((0, 0))
    (10, 200, 30)
    """
    if not isinstance(pixel_values, Tensor) or not pixel_values.is_floating_point():
        got = (
            pixel_values.dtype if isinstance(pixel_values, Tensor) else type(pixel_values).__name__
        )
        raise TypeError(f"got {got}; expected a floating-point tensor [3, H, W] in [-1, 1]")
    if pixel_values.ndim != 3 or pixel_values.shape[0] != 3 or 0 in pixel_values.shape:
        raise ValueError(
            f"pixel values have shape {tuple(pixel_values.shape)}; expected [3, H, W]: "
            "take one image of a batch with pixel_values[0]"
        )
    x = pixel_values.detach().cpu().float()
    if not (x.abs() <= 1).all():
        raise ValueError(
            f"pixel values lie in [{x.min():.4g}, {x.max():.4g}]; expected [-1, 1]: "
            "cut what lies outside with pixel_values.clamp(-1, 1)"
        )
    levels = ((x * 0.5 + 0.5) * 255).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())  # [H, W, 3]


def check_size(size: int) -> int:
    try:
        side = operator.index(size)
    except TypeError:
        side = None
    if side is None or isinstance(size, bool):
        raise TypeError(
            f"size is {size!r}; expected one integer, such as 384: the model's images are square"
        )
    if side < 1:
        raise ValueError(f"size is {size}; expected at least 1 pixel")
    return side
