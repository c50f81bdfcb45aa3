"""Bytes, files and arrays to pixels, 8 bits a channel: the odd formats, and what can go wrong."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from siglip_lab.image_checks import check_array, check_pixel_count, check_sides, quoted

__all__ = ["FORMATS", "ImageLike", "decode"]

ImageLike = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray

# Pixels in rows. Pillow knows more formats, but for EPS it starts Ghostscript, and others hold
# drawings. HEIF needs a plugin. TGA has no signature, so it is tried last.
FORMATS = (
    "AVIF", "BMP", "DDS", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG",
    "PPM", "PSD", "QOI", "TIFF", "WEBP", "TGA",
)  # fmt: skip

# Not ImageOps.exif_transpose: it writes the rest of the EXIF back, which fails if that is damaged.
_UPRIGHT = {  # EXIF orientation: what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# The same PIL image or open file may stand in a list twice: two threads must not read at once.
_reading = threading.Lock()


def decode(image: ImageLike) -> Image.Image:
    """The image decoded, upright, in RGB, or in RGBA if it can be transparent."""
    if isinstance(image, np.ndarray):
        return _to_rgb(_from_array(image))
    if isinstance(image, Image.Image):
        with _reading:
            return _load(image, "PIL image")
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            return _decode(file, f"file {quoted(image)}")
    if hasattr(image, "read"):
        with _reading:
            image = image.read()
    return _decode(io.BytesIO(image), f"image of {len(image)} bytes")


def _decode(file: BinaryIO, name: str) -> Image.Image:
    """Open with one of the readers for `FORMATS`, then load."""
    Image.init()  # loads Pillow's readers
    formats = [format for format in FORMATS if format in Image.OPEN]
    with _named(name):
        head = file.read(16)
        try:
            image = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            image = None
    if image is None:
        found = f"begins with {head!r}" if head else "is empty, or read to its end: use seek(0)"
        raise ValueError(
            f"{name} is not an image that can be read: it {found}; expected a whole file such as "
            "JPEG, PNG, WebP or TIFF (load_image says which formats are read)"
        )
    return _load(image, name)


def _load(image: Image.Image, name: str) -> Image.Image:
    """Every pixel of an image that is open: upright, 8 bits a channel, RGB or RGBA."""
    check_sides(*image.size)
    check_pixel_count(*image.size, f"{name} is")
    with _named(name):
        image.load()
        image = _upright(image)
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        if image.mode == "I" and image.format in ("PNG", "PPM"):  # 16 bits, which Pillow widens
            levels = levels.astype(np.uint16)
        image = _from_array(levels)
    with _named(name):  # a palette can be damaged, too
        return _to_rgb(image)


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # the pixels are whole; viewers show them as they are stored, too
        return image
    if orientation not in _UPRIGHT:
        return image
    upright = image.transpose(_UPRIGHT[orientation])
    # EXIF and XMP still tell the old orientation: whoever loads the result would turn it again.
    upright.info = {key: value for key, value in image.info.items() if key == "transparency"}
    return upright


def _to_rgb(image: Image.Image) -> Image.Image:
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _from_array(array: np.ndarray) -> Image.Image:
    """The image of an array [H, W] or [H, W, C], scaled to levels 0..255."""
    check_array(array)
    if array.dtype != np.uint8:
        array = _to_levels(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array))


def _to_levels(array: np.ndarray) -> np.ndarray:
    levels = np.empty(array.shape, np.uint8)
    step = 1 + 2**16 // array[0].size  # float64 takes eight times the room: never all rows at once
    for start in range(0, len(array), step):
        rows = array[start : start + step]
        scaled = rows / 257 if rows.dtype.kind == "u" else rows.astype(np.float64) * 255
        levels[start : start + step] = np.rint(scaled)  # 65535 = 257 * 255
    return levels


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Whatever Pillow raises, and each decoder has its own kinds, names the picture."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{name} is too large to decode safely ({error}); shrink it, or raise "
            "PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        ) from error
    except Exception as error:
        closed = ", or its file was closed before image.load()" if name == "PIL image" else ""
        raise ValueError(
            f"{name} is truncated or damaged{closed} ({str(error)[:80] or type(error).__name__}); "
            "expected a whole file: nothing is decoded half"
        ) from error
