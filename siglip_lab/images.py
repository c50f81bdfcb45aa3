"""Any picture to upright, opaque RGB: decode, turn, lay on white."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from siglip_lab.checks import shown

__all__ = ["WHITE", "ImageLike", "check_background", "check_pixels", "load_image"]

ImageLike = str | os.PathLike | bytes | BinaryIO | Image.Image | np.ndarray

WHITE = (255, 255, 255)

# Pixels in rows. Pillow knows more formats, but for EPS it starts Ghostscript, and others hold
# drawings. HEIF needs a plugin. TGA has no signature, so it is tried last.
FORMATS = (
    "AVIF", "BMP", "DDS", "GIF", "HEIF", "ICNS", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG",
    "PPM", "PSD", "QOI", "TIFF", "WEBP", "TGA",
)  # fmt: skip

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


def load_image(image: ImageLike, background: tuple[int, int, int] = WHITE) -> Image.Image:
    """Read an image and give it as a person sees it: upright, opaque, RGB, 8 bits a channel.

    A camera's EXIF orientation is applied; transparent parts are laid over the background; grey,
    palette, CMYK and 1-bit images become RGB; 16-bit grey is scaled, not clipped, to 8 bits. Of an
    animation, the first frame is taken. Colour profiles are ignored, as every SigLIP pipeline does,
    and so is EXIF that is damaged.

    The formats read are AVIF, BMP, DDS, GIF, ICNS, ICO, JPEG (MPO too), JPEG 2000, PCX, PNG, PPM,
    PSD, QOI, TGA, TIFF and WebP, AVIF if Pillow was built with it, and HEIF with a plugin such as
    pillow-heif. A small file can hold a huge picture: one of more than `PIL.Image.MAX_IMAGE_PIXELS`
    pixels, by default 89,478,485, is refused before it is decoded. Raise that number, or set it to
    None, for files that you trust; decoding takes up to 16 bytes of memory for each pixel.

    Args:
        image: One of
            a path;
            the bytes of an image file;
            an open file, or what else has a `read` that gives such bytes;
            a PIL image, which is loaded and stays so: of many large ones, give the paths;
            a NumPy array `[H, W]` (grey) or `[H, W, C]` with C = 1 (grey), 2 (grey, alpha),
            3 (RGB) or 4 (RGBA), whose dtype is uint8, or uint16 (0..65535, divided by 257), or
            floating in [0, 1] (multiplied by 255). Both are rounded to the nearest level.
        background: RGB levels 0..255 that show through where the image is transparent.

    Returns:
        A PIL image of mode "RGB", at its own size. It may be the given one: do not draw on it.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is in another format, has too many pixels, cannot be decoded to the end,
            or has a side shorter than 2 pixels, or an array has another shape, dtype or range.
        FileNotFoundError: If there is no such file.

    >>> load_image(np.full((4, 6), 128, dtype=np.uint8)).getpixel((0, 0))
    (128, 128, 128)
    >>> load_image(Image.new("RGBA", (6, 4), (0, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    background = check_background(background)
    image = _open(image)
    if image.mode == "RGB":
        return image
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image)  # equals alpha_composite, with half its memory
    return canvas


def _open(image: ImageLike) -> Image.Image:
    """The image decoded, upright, in RGB, or in RGBA if it can be transparent."""
    if isinstance(image, (str, os.PathLike)):
        with _open_path(image) as file:
            return _decode(file, f"file {_quote(image)}")
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _decode_bytes(bytes(image))
    if isinstance(image, Image.Image):
        if image.format not in (None, *FORMATS):
            raise ValueError(
                f"PIL image is in the format {image.format}; expected one of {', '.join(FORMATS)}: "
                "pass image.copy() if you trust its decoder"
            )
        with _reading:
            return _load(image, "PIL image")
    if isinstance(image, np.ndarray):
        return _to_rgb(_from_array(image))
    if isinstance(image, Tensor):
        raise TypeError(
            f"got a torch tensor of shape {tuple(image.shape)}; if it holds preprocessed pixel "
            "values, give it to the model as it is; if it holds levels [3, H, W], pass "
            "tensor.permute(1, 2, 0).cpu().numpy()"
        )
    if hasattr(image, "read"):
        with _reading:
            data = _read_open(image)
        return _decode_bytes(data)
    raise TypeError(
        f"got {type(image).__name__}; expected a path, the bytes of an image file, an open file, "
        "a PIL image, a NumPy array [H, W, C], or a list of these"
    )


def _open_path(path: str | os.PathLike) -> BinaryIO:
    name = _quote(path)
    if "://" in str(path) or str(path).startswith("data:"):
        raise ValueError(f"{name} is a URL; download it first and pass the bytes")
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {name} in {_quote(os.getcwd())}")
    if os.path.isdir(path):
        raise ValueError(f"{name} is a folder; pass its image files as a list")
    if not os.path.isfile(path):  # a pipe may never begin, a device may never end
        raise ValueError(f"{name} is a pipe or a device; read it yourself and pass the bytes")
    try:
        return open(path, "rb")
    except OSError as error:
        raise ValueError(
            f"file {name} cannot be opened ({error.strerror}); expected an image file that this "
            "user may read"
        ) from error


def _quote(path: str | os.PathLike) -> str:
    return shown(repr(os.fspath(path)), 60)


def _read_open(file: BinaryIO) -> bytes:
    name = type(file).__name__
    try:
        data = file.read()
    except UnicodeDecodeError:
        data = ""
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be read ({error}); expected an image file, open for reading"
        ) from error
    if not isinstance(data, bytes):
        raise TypeError(
            f'{name} reads as {type(data).__name__}; expected bytes: open the file with mode "rb"'
        )
    if not data:
        raise ValueError(
            f"{name} has nothing left to read; expected an image file: start again with seek(0), "
            "if it has been read or written"
        )
    return data


def _decode_bytes(data: bytes) -> Image.Image:
    return _decode(io.BytesIO(data), f"image of {len(data)} bytes")


def _decode(file: BinaryIO, name: str) -> Image.Image:
    Image.init()  # loads Pillow's readers
    formats = [format for format in FORMATS if format in Image.OPEN]
    with _guard(name):
        head = file.read(16)
        try:
            image = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            image = None
    if not head:
        raise ValueError(f"{name} is empty; expected an image file such as PNG or JPEG")
    if image is None:
        raise ValueError(
            f"{name} is not an image that can be read: it begins with {head!r}; expected a whole "
            "file such as JPEG, PNG, WebP or TIFF (load_image says which formats are read)"
        )
    return _load(image, name)


def _load(image: Image.Image, name: str) -> Image.Image:
    _check_sides(*image.size)
    check_pixels(*image.size, f"{name} is")
    with _guard(name):
        image.load()
        image = _upright(image)
    image = _to_8_bits(image)
    with _guard(name):  # a palette can be damaged, too
        return _to_rgb(image)


@contextmanager
def _guard(name: str) -> Iterator[None]:
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


def _to_8_bits(image: Image.Image) -> Image.Image:
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # Pillow reads their 16 bits into 32
        return _from_array(np.asarray(image).astype(np.uint16))
    if image.mode.startswith(("I", "F")):
        return _from_array(np.asarray(image))
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _from_array(array: np.ndarray) -> Image.Image:
    _check_shape(array.shape)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(_to_levels(array)))


def _to_levels(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _in_chunks(lambda levels: levels / 257, array)  # 65535 = 257 * 255
    if array.dtype.kind != "f":
        rest = " * 255" if array.dtype.kind == "b" else " if it holds levels"
        raise TypeError(
            f"the array has dtype {array.dtype}; expected uint8 (0..255), uint16 (0..65535) or "
            f"floats in [0, 1]: convert it with array.astype(np.uint8){rest}"
        )
    low, high = array.min(), array.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("the array holds NaN or infinity; expected floats in [0, 1]")
    if low < 0 or high > 1:
        raise ValueError(
            f"the float array lies in [{low:.4g}, {high:.4g}]; expected [0, 1]: divide levels by "
            "255, or cut small overshoots with array.clip(0, 1)"
        )
    return _in_chunks(lambda levels: levels.astype(np.float64) * 255, array)


def _in_chunks(scale: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
    """Scale and round to uint8; float64 takes eight times the room, so never all at once."""
    levels = np.empty(array.shape, np.uint8)
    kinds = [["readonly"], ["writeonly"]]
    with np.nditer([array, levels], ["external_loop", "buffered"], kinds, buffersize=2**16) as it:
        for chunk, result in it:
            result[...] = np.rint(scale(chunk))
    return levels


def _check_shape(shape: tuple[int, ...]) -> None:
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
    _check_sides(shape[1], shape[0])


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < 2:
        raise ValueError(
            f"the image is {width} pixels wide and {height} high; expected at least 2 each way: "
            "nothing can be seen in it once it is squashed to a square"
        )


def check_pixels(width: int, height: int, subject: str, cure: str = "shrink it") -> None:
    """Refuse more pixels than Pillow's limit: up to twice as many, Pillow itself only warns."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ValueError(
            f"{subject} {width} x {height} pixels; expected at most {limit:,} in all: {cure}, or "
            "raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
        )


def check_background(background: tuple[int, int, int]) -> tuple[int, int, int]:
    levels = tuple(background) if isinstance(background, (list, tuple)) else ()
    if len(levels) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in levels):
        raise ValueError(
            f"background is {background!r}; expected three levels 0..255, such as (255, 255, 255)"
        )
    return levels
