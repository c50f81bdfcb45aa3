"""What `load_image` and `preprocess` refuse, before any work is done."""

from __future__ import annotations

import io
import operator
import os

import numpy as np
from PIL import Image
from torch import Tensor

from siglip_lab.checks import shown

__all__ = [
    "check_array", "check_background", "check_image", "check_path", "check_picture",
    "check_pixel_count", "check_side", "check_sides", "quoted",
]  # fmt: skip


def quoted(path: str | os.PathLike) -> str:
    """A path for a message."""
    return shown(repr(os.fspath(path)), 60)


def check_image(image: object, formats: tuple[str, ...]) -> None:
    """Refuse what is no picture, or a PIL image whose decoder is not one of `formats`."""
    if isinstance(image, (str, os.PathLike)):
        check_path(image)
    elif isinstance(image, Tensor):
        raise TypeError(
            f"got a torch tensor of shape {tuple(image.shape)}; if it holds preprocessed pixel "
            "values, give it to the model as it is; if it holds levels [3, H, W], pass "
            "tensor.permute(1, 2, 0).cpu().numpy()"
        )
    elif isinstance(image, io.TextIOBase):
        raise TypeError(
            f'{type(image).__name__} reads text; expected bytes: open the file with mode "rb"'
        )
    elif isinstance(image, Image.Image) and image.format not in (None, *formats):
        raise ValueError(
            f"PIL image is in the format {image.format}; expected one of {', '.join(formats)}: "
            "pass image.copy() if you trust its decoder"
        )
    elif not isinstance(image, (bytes, bytearray, memoryview, np.ndarray, Image.Image)):
        if not hasattr(image, "read"):
            raise TypeError(
                f"got {type(image).__name__}; expected a path, the bytes of an image file, an "
                "open file, a PIL image, a NumPy array [H, W, C], or a list of these"
            )


def check_path(path: str | os.PathLike) -> None:
    """Refuse what is no file that this user may read."""
    name = quoted(path)
    if "://" in str(path) or str(path).startswith("data:"):
        raise ValueError(f"{name} is a URL; download it first and pass the bytes")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {name} in {quoted(os.getcwd())}")
    if os.path.isdir(path):
        raise ValueError(f"{name} is a folder; pass its image files as a list")
    if not os.path.isfile(path):  # a pipe may never begin, a device may never end
        raise ValueError(f"{name} is a pipe or a device; read it yourself and pass the bytes")
    if not os.access(path, os.R_OK):
        raise ValueError(f"{name} may not be read by this user; expected a readable image file")


def check_array(array: np.ndarray) -> None:
    """Refuse an array that is no image of levels, or whose levels would be misread."""
    shape = array.shape
    if len(shape) == 4:
        raise ValueError(
            f"the array has shape {shape}, a batch; expected one image [H, W, C]: "
            "pass list(array) for a batch"
        )
    if len(shape) == 3 and shape[2] not in (1, 2, 3, 4) and shape[0] in (1, 2, 3, 4):
        raise ValueError(
            f"the array has shape {shape}, channels first; expected [H, W, C]: "
            "transpose it with array.transpose(1, 2, 0)"
        )
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 2, 3, 4)):
        raise ValueError(
            f"the array has shape {shape}; expected [H, W], or [H, W, C] with C = 1 (grey), "
            "2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels"
        )
    check_sides(shape[1], shape[0])
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # or NaN
            raise ValueError(
                f"the float array lies in [{low:.4g}, {high:.4g}]; expected [0, 1]: divide levels "
                "by 255, or cut small overshoots with array.clip(0, 1)"
            )
    elif array.dtype.kind != "u" or array.dtype.itemsize > 2:
        rest = " * 255" if array.dtype.kind == "b" else " if it holds levels"
        raise TypeError(
            f"the array has dtype {array.dtype}; expected uint8 (0..255), uint16 (0..65535) or "
            f"floats in [0, 1]: convert it with array.astype(np.uint8){rest}"
        )


def check_sides(width: int, height: int) -> None:
    """Refuse an image in which nothing can be seen once it is squashed to a square."""
    if min(width, height) < 2:
        raise ValueError(
            f"the image is {width} pixels wide and {height} high; expected at least 2 each way"
        )


def check_pixel_count(width: int, height: int, subject: str, cure: str = "shrink it") -> None:
    """Refuse more pixels than Pillow's limit: up to twice as many, Pillow itself only warns."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ValueError(
            f"{subject} {width} x {height} pixels; expected at most {limit:,} in all: {cure}, or "
            "raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )


def check_background(background: tuple[int, int, int]) -> None:
    """Refuse what is no colour of three levels."""
    levels = background if isinstance(background, (list, tuple)) else ()
    if len(levels) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in levels):
        raise ValueError(
            f"background is {background!r}; expected three levels 0..255, such as (255, 255, 255)"
        )


def check_side(size: int) -> None:
    """Refuse what is no side of a square, in pixels."""
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


def check_picture(pixel_values: Tensor) -> None:
    """Refuse what are not the pixel values of one image, floating `[3, H, W]` in [-1, 1]."""
    if not isinstance(pixel_values, Tensor) or not pixel_values.is_floating_point():
        got = f"{type(pixel_values).__name__} of {getattr(pixel_values, 'dtype', 'no numbers')}"
        raise TypeError(f"got a {got}; expected a floating-point tensor [3, H, W] in [-1, 1]")
    if pixel_values.ndim != 3 or pixel_values.shape[0] != 3 or 0 in pixel_values.shape:
        raise ValueError(
            f"pixel values have shape {tuple(pixel_values.shape)}; expected [3, H, W]: "
            "take one image of a batch with pixel_values[0]"
        )
    low, high = pixel_values.min().item(), pixel_values.max().item()
    if not (low >= -1 and high <= 1):  # or NaN
        raise ValueError(
            f"pixel values lie in [{low:.4g}, {high:.4g}]; expected [-1, 1]: "
            "cut what lies outside with pixel_values.clamp(-1, 1)"
        )
