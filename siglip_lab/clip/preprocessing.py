"""Images to CLIP's pixel values: shorter side to size, centre crop, CLIP's own mean and spread.

Loading is SigLIP's (`siglip_lab.load_image`). What follows keeps the aspect ratio and pays for it
at the edges: whatever lies outside the central square is never seen.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import siglip_lab.preprocessing as siglip
from siglip_lab.batches import transform_all, transform_each
from siglip_lab.image_checks import check_pixel_count, check_side
from siglip_lab.images import WHITE, ImageLike, load_image

__all__ = [
    "MEAN", "STD", "center_crop", "preprocess", "resize_shorter_side", "to_pixel_values",
    "transform",
]  # fmt: skip

# Of red, green and blue, in [0, 1]. CLIP's own, measured on its training images: ImageNet's are
# (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def preprocess(
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
    size: int = 224,
    background: tuple[int, int, int] = WHITE,
) -> Tensor:
    """Turn images into the pixel values that a CLIP image tower takes.

    Args:
        images: One image or a list or tuple of them, each as `siglip_lab.load_image` takes it.
        size: Side S of the square result, in pixels: 224, or the model's `vision.image_size`.
        background: RGB levels 0..255 that show through where an image is transparent.

    Returns:
        float32 `[B, 3, S, S]`, about -1.8 to 2.1; B is 1 for a single image.

    Raises:
        TypeError, ValueError, FileNotFoundError: As `siglip_lab.preprocess` and
            `resize_shorter_side`.

    Source: openai/CLIP, ``clip/clip.py``, ``_transform``.

    >>> preprocess(Image.new("RGB", (640, 480), "red")).shape
    torch.Size([1, 3, 224, 224])
    """
    return transform_all(lambda listed: transform_each(transform, listed, size, background), images)


def transform(
    image: ImageLike, size: int = 224, background: tuple[int, int, int] = WHITE
) -> Tensor:
    """Turn one image into `[3, S, S]`, without threads: what a data loader's workers call."""
    check_side(size)
    image = resize_shorter_side(load_image(image, background), size)
    return to_pixel_values(center_crop(image, size))


def resize_shorter_side(image: Image.Image, size: int) -> Image.Image:
    """Shrink or enlarge, bicubically, until the shorter side has `size` pixels.

    The longer side keeps the aspect ratio, rounded down.

    Raises:
        ValueError: If the picture is so long and thin that the result has more pixels than
            `PIL.Image.MAX_IMAGE_PIXELS`: at size 224, if one side is some 1,780 times the other.

    >>> resize_shorter_side(Image.new("RGB", (640, 480)), 224).size
    (298, 224)
    """
    shorter = min(image.size)
    width, height = (int(size * side / shorter) for side in image.size)
    enlarged = f"the image is {image.width} x {image.height}, and resized it would be"
    check_pixel_count(width, height, enlarged, cure="cut its longer side")
    return image.resize((width, height), Image.Resampling.BICUBIC)


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Cut the central square of `size` x `size` pixels.

    Half a pixel is rounded to the nearest even number, as in torchvision, which OpenAI used;
    transformers rounds down, and then lies one pixel away where 3, 7, 11, … pixels are left over.

    Raises:
        ValueError: If the image is smaller.

    >>> center_crop(Image.new("RGB", (298, 224)), 224).size
    (224, 224)
    """
    if min(image.size) < size:
        raise ValueError(
            f"the image is {image.width}x{image.height}, smaller than the square of {size}x{size} "
            "to be cut from it: resize it first"
        )
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def to_pixel_values(image: Image.Image) -> Tensor:
    """Turn levels 0..255 into numbers: divide by 255, subtract CLIP's mean, divide by its spread.

    Args:
        image: PIL image of mode "RGB".

    Returns:
        float32 `[3, H, W]`.

    Raises:
        ValueError: If the image is not RGB.

    >>> to_pixel_values(Image.new("RGB", (2, 2), "white"))[:, 0, 0]
    tensor([1.9303, 2.0749, 2.1459])
    """
    x = siglip.to_pixel_values(image).numpy()  # [3, H, W] in [-1, 1]
    x += 1
    x /= 2  # in [0, 1]
    x -= np.array(MEAN, np.float32)[:, None, None]
    x /= np.array(STD, np.float32)[:, None, None]
    return torch.from_numpy(x)
