"""Pictures for the tests, and how they are refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from siglip_lab.images import load_image

# The pixels of the picture that an element of a page shows, 40 x 40, RGBA: of its SVG, or its data.
PIXELS = """async (element) => {
  const picture = new Image();
  picture.src = element.querySelector("image")?.getAttribute("href") ?? element.data.picture;
  await picture.decode();
  const pen = new OffscreenCanvas(40, 40).getContext("2d");
  pen.drawImage(picture, 0, 0);
  return [...pen.getImageData(0, 0, 40, 40).data];
}"""

quick = settings(max_examples=60, deadline=None, derandomize=True)


def noise(height=30, width=40, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def rgb(height=30, width=40, seed=0):
    return Image.fromarray(noise(height, width, seed=seed))


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(chunks, colour_type=2):
    """A PNG of 8 x 8 zeros, with further chunks between its header and its pixels."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, colour_type, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(8 * {2: 3, 3: 1}[colour_type])) * 8)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        file += struct.pack(">I", len(data)) + kind + data + checksum
    return file


def pixels(image):
    return np.asarray(load_image(image))


def raises(error, noun, call, *arguments, **options):
    """The message names what matters and is short."""
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert noun in str(caught.value), str(caught.value)
    assert len(str(caught.value)) <= 300
    return caught.value
