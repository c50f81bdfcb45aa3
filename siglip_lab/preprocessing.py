"""Images to pixel values, chapter "Preprocessing"; RGB as `SiglipImageProcessorPil` to the bit."""

from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglip_lab.batches import transform_all, transform_each
from siglip_lab.image_checks import check_picture, check_side
from siglip_lab.images import WHITE, ImageLike, load_image

__all__ = [
    "BICUBIC", "BILINEAR", "preprocess", "resize", "to_image", "to_pixel_values", "transform",
]  # fmt: skip

BICUBIC, BILINEAR = int(Image.Resampling.BICUBIC), int(Image.Resampling.BILINEAR)


def preprocess(
    images: ImageLike | list[ImageLike] | tuple[ImageLike, ...],
    size: int = 384,
    background: tuple[int, int, int] = WHITE,
    resample: int = BICUBIC,
) -> Tensor:
    """Turn one image or several into pixel values: float32 `[B, 3, S, S]` in [-1, 1].

    Images and background are as `load_image` takes them; an error names the image's index. The
    aspect ratio is not kept. `resample` is Pillow's filter: 3, bicubic, or 2, bilinear.

    Source: transformers, ``image_processing_pil_siglip.py``; big_vision squashes the same way, but
    with a bilinear filter and no antialiasing (``pp/ops_image.py``).

    >>> pixel_values = preprocess(Image.new("RGB", (640, 480), "red"))
    >>> pixel_values.shape, pixel_values[0, :, 0, 0].tolist()
    (torch.Size([1, 3, 384, 384]), [1.0, -1.0, -1.0])
    """
    one = partial(transform, resample=resample)
    return transform_all(lambda listed: transform_each(one, listed, size, background), images)


def transform(
    image: ImageLike,
    size: int = 384,
    background: tuple[int, int, int] = WHITE,
    resample: int = BICUBIC,
) -> Tensor:
    """Turn one image into `[3, S, S]`, without threads: what a data loader's workers call."""
    check_side(size)
    return to_pixel_values(resize(load_image(image, background), size, resample))


def resize(image: Image.Image, size: int, resample: int = BICUBIC) -> Image.Image:
    """Squash an image to a square of S x S pixels, with a bicubic filter or another of Pillow's.

    When it shrinks, Pillow widens the filter to the size of the step (antialiasing).
    """
    check_side(size)
    return image.resize((size, size), resample)


def to_pixel_values(image: Image.Image) -> Tensor:
    """Turn levels 0..255 of an RGB image into float32 `[3, H, W]` in [-1, 1].

    >>> to_pixel_values(Image.new("RGB", (2, 2), (0, 51, 255)))[:, 0, 0]
    tensor([-1.0000, -0.6000,  1.0000])
    """
    if image.mode != "RGB":
        raise ValueError(f"the image has mode {image.mode}; expected RGB: use load_image first")
    x = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C")  # [3, H, W]
    x /= 127.5  # the same to the bit, with one step less: doubling and halving lose nothing
    x -= 1
    return torch.from_numpy(x)


def to_image(pixel_values: Tensor) -> Image.Image:
    """Turn the pixel values `[3, H, W]` of one image back into a picture to look at."""
    check_picture(pixel_values)
    x = pixel_values.detach().cpu().float()
    levels = ((x + 1) * 127.5).round().byte()
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().numpy())  # [H, W, 3]
