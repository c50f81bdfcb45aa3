"""Preprocessing: equal to transformers to the bit; every kind of image; every error."""

import importlib
import io
import os
import struct
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps, ImageSequence
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from siglip_lab.images import load_image
from siglip_lab.preprocessing import preprocess, resize, to_image, to_pixel_values

# The package's `preprocess` is the function; its module has to be asked for by name.
module = importlib.import_module("siglip_lab.preprocessing")
WHITE = (255, 255, 255)
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


def peer(images, size):
    processor = SiglipImageProcessorPil(
        size={"height": size, "width": size},
        resample=3,
        rescale_factor=1 / 255,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return processor(images, return_tensors="pt")["pixel_values"]


def pixels(image):
    return np.asarray(load_image(image))


def png(chunks, colour_type=2):
    """A PNG of 8 x 8 zeros, with further chunks between its header and its pixels."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, colour_type, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(8 * {2: 3, 3: 1}[colour_type])) * 8)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        file += struct.pack(">I", len(data)) + kind + data + checksum
    return file


# Equality with transformers


@quick
@given(
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    size=st.integers(1, 80),
    seed=st.integers(0, 9),
)
def test_equals_transformers(height, width, size, seed):
    image = rgb(height, width, seed)
    ours, theirs = preprocess(image, size), peer(image, size)
    assert ours.dtype == theirs.dtype == torch.float32
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", [(480, 640), (300, 451), (384, 384), (2, 500), (1200, 900)])
def test_equals_transformers_at_real_sizes(shape):
    image = rgb(*shape)
    assert torch.equal(preprocess(image), peer(image, 384))


def test_equals_transformers_at_every_level():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    assert torch.equal(preprocess(image, 16), peer(image, 16))


def test_equals_transformers_in_a_batch():
    images = [rgb(20 + i, 50 - i, seed=i) for i in range(9)]
    assert torch.equal(preprocess(images, 32), peer(images, 32))


# Kinds of input


def test_path_bytes_pil_and_array_agree(tmp_path):
    image = rgb()
    path = tmp_path / "photo.png"
    path.write_bytes(encode(image))
    kinds = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), image, noise()]
    expected = peer(image, 24)
    for kind in kinds:
        assert torch.equal(preprocess(kind, 24), expected), type(kind)
    batch = preprocess(tuple(kinds), 24)
    assert batch.shape == (len(kinds), 3, 24, 24)
    assert torch.equal(batch, expected.expand_as(batch))


@pytest.mark.parametrize("kind", [io.BytesIO, memoryview])
def test_open_files_and_views_of_bytes(tmp_path, kind):
    image = rgb()
    image.save(tmp_path / "photo.png")
    with open(tmp_path / "photo.png", "rb") as file:
        batch = preprocess([file, kind(encode(image))], 24)
    assert torch.equal(batch, preprocess([image, image], 24))


def test_a_list_of_one_is_a_batch_of_one():
    assert torch.equal(preprocess([rgb()], 16), preprocess(rgb(), 16))


def test_the_order_of_a_list_is_kept():
    images = [Image.new("RGB", (2 + 30 * (20 - i), 40), (i, i, i)) for i in range(20)]
    firsts = preprocess(images, 8)[:, 0, 0, 0]
    assert torch.equal(firsts, torch.stack([to_pixel_values(i)[0, 0, 0] for i in images]))


def test_one_lazily_opened_image_many_times_in_a_list():
    data = encode(rgb(400, 400))
    for _ in range(5):
        lazy = Image.open(io.BytesIO(data))
        batch = preprocess([lazy] * 8, 16)
        assert torch.equal(batch, preprocess(data, 16).expand_as(batch))


def test_only_one_thread_at_a_time_reads_a_pil_image():
    reading, most = [], []

    class Slow(Image.Image):
        def load(self):
            reading.append(1)
            most.append(len(reading))
            time.sleep(0.02)
            reading.pop()

    slow = Slow()
    slow._mode, slow._size = "RGB", (4, 4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(module._open, [slow] * 4))
    assert len(most) == 4 and max(most) == 1


def test_the_given_image_is_not_changed():
    image = Image.new("RGBA", (4, 6), (10, 20, 30, 40))
    image.getexif()[0x0112] = 6
    before = image.tobytes(), image.size, image.mode, dict(image.getexif())
    array = noise()
    copy = array.copy()
    preprocess([image, array], 8)
    assert (image.tobytes(), image.size, image.mode, dict(image.getexif())) == before
    assert np.array_equal(array, copy)


def test_arrays_need_not_be_contiguous_or_writeable():
    array = noise(40, 60)[::2, ::-3]
    array.flags.writeable = False
    assert np.array_equal(pixels(array), array)


@quick
@given(
    mode=st.sampled_from(
        ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"]
    ),
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    seed=st.integers(0, 5),
)
def test_every_mode_gives_finite_values_in_range(mode, height, width, seed):
    image = rgb(height, width, seed).convert("L" if mode in ("LA", "PA") else "RGB").convert(mode)
    x = preprocess(image, 12)
    assert x.shape == (1, 3, 12, 12) and x.is_contiguous()
    assert x.abs().max() <= 1
    assert torch.equal(x, preprocess(load_image(image), 12))


# What a person sees


def test_grey_becomes_three_equal_channels():
    grey = noise(channels=0)
    expected = np.stack([grey] * 3, axis=-1)
    for image in (grey, grey[:, :, None], Image.fromarray(grey), encode(Image.fromarray(grey))):
        assert np.array_equal(pixels(image), expected)


def test_one_bit_is_black_and_white():
    bits = Image.fromarray(noise(channels=0)).convert("1")
    assert set(np.unique(pixels(bits))) == {0, 255}
    assert np.array_equal(pixels(bits)[:, :, 0] == 255, np.asarray(bits))


def test_palette_shows_its_colours():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 10, 30])
    assert load_image(encode(image)).getpixel((0, 0)) == (200, 10, 30)


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_transparent_palette_shows_the_background(format):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([9, 9, 9, 200, 10, 30])
    image.putpixel((2, 2), 0)
    data = encode(image, format, transparency=0)
    assert load_image(data).getpixel((2, 2)) == WHITE
    assert load_image(data, background=(1, 2, 3)).getpixel((2, 2)) == (1, 2, 3)
    assert load_image(data).getpixel((0, 0)) == (200, 10, 30)


def test_palette_with_degrees_of_transparency():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 100, 100, 100])
    data = encode(image, transparency=bytes([255, 51]))  # entry 1 is 20 % opaque
    assert load_image(data).getpixel((0, 0)) == pytest.approx((224, 224, 224), abs=1)


def test_a_transparent_colour_of_an_rgb_image():
    image = Image.new("RGB", (4, 4), (5, 6, 7))
    image.putpixel((1, 1), (50, 60, 70))
    data = encode(image, transparency=(5, 6, 7))
    assert load_image(data).getpixel((0, 0)) == WHITE
    assert load_image(data).getpixel((1, 1)) == (50, 60, 70)


@quick
@given(seed=st.integers(0, 50), background=st.tuples(*[st.integers(0, 255)] * 3))
def test_transparency_is_laid_over_the_background(seed, background):
    array = noise(8, 9, 4, seed)
    alpha = array[:, :, 3:] / 255
    expected = array[:, :, :3] * alpha + np.array(background) * (1 - alpha)
    for image in (array, Image.fromarray(array), encode(Image.fromarray(array))):
        result = np.asarray(load_image(image, background), dtype=float)
        assert np.abs(result - expected).max() <= 1


def test_grey_with_transparency():
    array = noise(8, 9, 2)
    expected = array[:, :, :1] * (array[:, :, 1:] / 255) + 255 - array[:, :, 1:]
    for image in (array, Image.fromarray(array), encode(Image.fromarray(array))):
        assert np.abs(pixels(image) - expected).max() <= 1


def test_the_background_reaches_preprocess():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (preprocess(clear, 4) == 1).all()
    assert preprocess(clear, 4, background=(0, 255, 0))[0, :, 0, 0].tolist() == [-1, 1, -1]
    assert preprocess([clear], 4, background=(0, 255, 0))[0, :, 0, 0].tolist() == [-1, 1, -1]


def test_cmyk():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert load_image(image).getpixel((0, 0)) == (255, 0, 0)
    jpeg = load_image(encode(image, "JPEG", quality=100)).getpixel((8, 8))
    assert jpeg == pytest.approx((255, 0, 0), abs=4)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_16_bits_are_scaled_and_not_clipped(dtype):
    levels = noise(channels=0)
    array = (levels.astype(np.uint32) * 257).astype(dtype)
    assert np.array_equal(pixels(array)[:, :, 0], levels)
    array = np.array([[0, 128, 129, 65535], [256, 32768, 65406, 65407]], dtype=dtype)
    assert pixels(array)[:, :, 0].tolist() == [[0, 0, 1, 255], [1, 128, 254, 255]]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM"])
def test_16_bit_files_are_scaled_and_not_clipped(format):
    levels = noise(channels=0)
    image = Image.fromarray(levels.astype(np.uint16) * 257)
    assert np.array_equal(pixels(encode(image, format)), np.stack([levels] * 3, axis=-1))
    assert np.array_equal(pixels(image)[:, :, 0], levels)


def test_floats_are_scaled_and_rounded():
    levels = noise()
    for dtype in (np.float32, np.float64):
        assert np.array_equal(pixels(levels.astype(dtype) / 255), levels)
    array = np.array([[0, 0.4 / 255, 0.6 / 255, 1]] * 2)
    assert pixels(array)[0, :, 0].tolist() == [0, 0, 1, 255]
    assert pixels(np.full((4, 4), 0.5, np.float16))[0, 0, 0] == 128
    assert pixels(Image.fromarray(np.full((4, 4), 0.2, np.float32)))[0, 0, 0] == 51


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(rgb(16, 32), format, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert upright.size == ((32, 16) if orientation < 5 else (16, 32))
    assert np.array_equal(pixels(data), np.asarray(upright))
    assert np.array_equal(pixels(Image.open(io.BytesIO(data))), np.asarray(upright))


def test_exif_orientation_6_turns_clockwise():
    """By the EXIF standard: the stored first row is the right-hand side of the scene."""
    stored = np.zeros((4, 6, 3), dtype=np.uint8)
    stored[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = pixels(encode(Image.fromarray(stored), exif=exif))
    assert (seen[:, -1] == 255).all() and (seen[:, :-1] == 0).all()


@pytest.mark.parametrize("kind, value", [(3, b"\0\0\0\0"), (3, b"\0\x09\0\0"), (2, b"six\0")])
def test_an_impossible_orientation_is_ignored(kind, value):
    entry = bytes([0x01, 0x12, 0, kind, 0, 0, 0, 4 if kind == 2 else 1]) + value
    data = encode(rgb(), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4))
    assert 0x0112 in Image.open(io.BytesIO(data)).getexif()
    assert np.array_equal(pixels(data), noise())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_load_image_gave_is_not_turned_again(format):
    exif = Image.Exif()
    exif[0x0112] = 6
    once = load_image(encode(rgb(16, 32), format, exif=exif))
    assert once.size == (16, 32)
    assert np.array_equal(pixels(once), np.asarray(once))


def test_a_turned_image_keeps_its_transparent_colour():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(Image.new("RGB", (8, 6), (5, 6, 7)), exif=exif, transparency=(5, 6, 7))
    assert (pixels(data) == 255).all() and load_image(data).size == (6, 8)


@pytest.mark.parametrize(
    "data",
    [
        png([(b"eXIf", b"\0\x08\0\x02\x01\x12\0\x03")]),
        png([(b"eXIf", b"b'Exif\\x00\\x00MM'")]),
        png([(b"tEXt", b"Raw profile type exif\0\nexif\n   20\nzz")]),
        encode(Image.new("RGB", (8, 8)), "WEBP", lossless=True, exif=b"Exif\0\0garbage!!!!"),
        encode(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0garbage!!!!"),
    ],
    ids=["PNG", "PNG, repr of bytes", "PNG, text not in hex", "WebP", "JPEG"],
)
def test_damaged_exif_is_ignored(data):
    lazy = Image.open(io.BytesIO(data))
    for image in (data, lazy, lazy):
        assert np.array_equal(pixels(image), np.zeros((8, 8, 3)))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (8, 8), c) for c in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 3
    assert load_image(data).getpixel((4, 4)) == (250, 0, 0)


# The parts


def test_the_parts_make_the_whole():
    image = Image.fromarray(noise(channels=4))
    assert torch.equal(to_pixel_values(resize(load_image(image), 20))[None], preprocess(image, 20))


def test_resize_is_antialiased():
    stripes = np.zeros((64, 64), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(resize(load_image(stripes), 8))
    assert np.abs(small.astype(int) - 128).max() < 12  # without antialiasing: all 0 or all 255


@quick
@given(seed=st.integers(0, 99), height=st.integers(1, 20), width=st.integers(1, 20))
def test_to_image_undoes_to_pixel_values(seed, height, width):
    image = rgb(height, width, seed)
    x = to_pixel_values(image)
    assert np.array_equal(np.asarray(to_image(x)), np.asarray(image))
    assert np.array_equal(np.asarray(to_image(x.double().requires_grad_())), np.asarray(image))


def test_numpy_integers_are_sizes():
    assert preprocess(rgb(), np.int64(8)).shape == (1, 3, 8, 8)


# Errors


def raises(error, message, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert message in str(caught.value), str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "format, options",
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {}),
        ("PPM", {}),
    ],
)
def test_a_truncated_file_is_refused_wherever_it_is_cut(format, options):
    data = encode(rgb(20, 24), format, **options)
    whole = pixels(data)
    refused = 0
    for length in range(0, len(data), 7):
        try:
            seen = pixels(data[:length])
        except ValueError as error:
            refused += 1
            assert any(w in str(error) for w in ("truncated", "not an image", "empty"))
        else:
            assert np.array_equal(seen, whole)
    assert refused > 0.9 * len(data) / 7


def test_a_truncated_file_says_so(tmp_path):
    data = encode(rgb(60, 60), "JPEG")
    path = tmp_path / "half.jpg"
    path.write_bytes(data[: len(data) // 2])
    error = raises(ValueError, "is truncated or damaged", preprocess, path)
    assert "half.jpg" in str(error) and "nothing is decoded half" in str(error)
    lazy = Image.open(path)
    raises(ValueError, "PIL image is truncated or damaged", preprocess, lazy)
    raises(ValueError, "PIL image is truncated or damaged", preprocess, lazy)  # and again


def test_a_pil_image_whose_file_is_closed(tmp_path):
    rgb().save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pass
    error = raises(ValueError, "or its file was closed before image.load()", preprocess, image)
    assert "()" not in str(error).replace("image.load()", "")


def test_a_damaged_file_says_so():
    data = bytearray(encode(rgb(60, 60)))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    raises(ValueError, "is truncated or damaged", preprocess, bytes(data))


@quick
@given(
    data=st.binary(min_size=1, max_size=200),
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"P6\n"]),
)
@pytest.mark.filterwarnings("ignore")
def test_garbage_is_an_image_or_a_value_error(data, head):
    try:
        assert preprocess(head + data, 4).shape == (1, 3, 4, 4)
    except ValueError as error:
        assert "expected" in str(error)


def test_not_an_image(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html><p>404")
    error = raises(ValueError, "is not an image that can be read", preprocess, path)
    assert "page.html" in str(error) and "b'<!DOCTYPE html>" in str(error)
    raises(ValueError, "is not an image that can be read", preprocess, b"hello")


Image.init()
WRITABLE = sorted(set(module.FORMATS) & set(Image.SAVE))


@pytest.mark.parametrize("format", WRITABLE)
def test_every_raster_format_is_read(format):
    image = Image.new("RGB", (64, 64), (200, 40, 90))
    options = {"save_all": True, "append_images": [image]} if format == "MPO" else {}
    data = encode(image, format, **options)
    for kind in (data, Image.open(io.BytesIO(data))):
        assert load_image(kind).getpixel((9, 9)) == pytest.approx((200, 40, 90), abs=6)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n%%EndComments\nshowpage\n%%EOF\n"
WMF = b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<4hH", 0, 0, 40, 30, 72) + bytes(6) + b"\x01\0\t\0"


def test_a_drawing_named_png_starts_no_program(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: started.append(a))
    (tmp_path / "a.png").write_bytes(EPS)
    for kind in (tmp_path / "a.png", EPS, io.BytesIO(EPS)):
        error = raises(ValueError, "is not an image that can be read", preprocess, kind)
        assert "b'%!PS-Adobe" in str(error)
    lazy = Image.open(io.BytesIO(EPS))
    error = raises(ValueError, "PIL image is in the format EPS; expected one of", preprocess, lazy)
    assert "PNG, PPM" in str(error) and "image.copy()" in str(error)
    assert not started


def test_a_metafile_is_refused():
    raises(ValueError, "is not an image that can be read", preprocess, WMF)
    lazy = Image.open(io.BytesIO(WMF))
    raises(ValueError, "PIL image is in the format WMF", preprocess, lazy)


def test_a_plugin_reads_heif(monkeypatch):
    class Heif(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._mode, self._size, self.tile = "RGB", (4, 4), []
            self.im = Image.new("RGB", (4, 4), (1, 2, 3)).im

    data = b"\0\0\0\x18ftypheic"
    raises(ValueError, "is not an image that can be read", preprocess, data)
    monkeypatch.setitem(Image.OPEN, "HEIF", (Heif, lambda head: head[4:12] == b"ftypheic"))
    assert load_image(data).getpixel((0, 0)) == (1, 2, 3)


def test_an_unreadable_path(tmp_path, monkeypatch):
    (tmp_path / "secret.png").touch()
    raises(ValueError, "is a pipe or a device; read it yourself", preprocess, os.devnull)

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "open", refuse, raising=False)
    message = "secret.png' cannot be opened (Permission denied); expected"
    raises(ValueError, message, preprocess, [tmp_path / "secret.png"])


def test_an_open_file_that_gives_nothing(tmp_path):
    closed = io.BytesIO(encode(rgb()))
    closed.close()
    raises(ValueError, "images[0]: BytesIO cannot be read (", preprocess, [closed])
    with open(tmp_path / "a.png", "wb") as file:
        raises(ValueError, "images[1]: BufferedWriter cannot be read (", preprocess, [rgb(), file])


def test_long_names_are_cut(tmp_path):
    path = tmp_path / ("\x1b" * 200 + ".png")
    for data, message in [(None, "there is no file"), (bytes(99), "is not an image")]:
        if data:
            path.write_bytes(data)
        error = raises((FileNotFoundError, ValueError), message, preprocess, [path])
        assert ".png'" in str(error) and "\x1b" not in str(error) and len(str(error)) <= 300
    error = raises(FileNotFoundError, "there is no file", preprocess, "a/" * 500_000)
    assert len(str(error)) <= 300


def test_empty_bytes_and_files(tmp_path):
    (tmp_path / "empty.png").touch()
    raises(ValueError, "image of 0 bytes is empty", preprocess, b"")
    raises(ValueError, "empty.png' is empty", preprocess, tmp_path / "empty.png")
    raises(ValueError, "BytesIO has nothing left to read", preprocess, io.BytesIO())


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_opened_as_text(tmp_path, encoding):
    rgb().save(tmp_path / "a.png")
    with open(tmp_path / "a.png", encoding=encoding) as file:
        error = raises(TypeError, "TextIOWrapper reads as str; expected", preprocess, [file])
    assert str(error).endswith('open the file with mode "rb"')


def test_no_such_file(tmp_path):
    error = raises(FileNotFoundError, "there is no file", preprocess, tmp_path / "gone.png")
    assert "gone.png" in str(error)
    raises(FileNotFoundError, "there is no file", preprocess, "")


def test_a_folder(tmp_path):
    raises(ValueError, "is a folder; pass its image files as a list", preprocess, tmp_path)


@pytest.mark.parametrize("url", ["https://a.org/cat.jpg", "s3://a/b.png", "data:image/png;base64,"])
def test_a_url(url):
    raises(ValueError, "is a URL; download it first", preprocess, url)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    data = encode(rgb(30, 40))
    path = tmp_path / "large.png"
    path.write_bytes(data[:80])  # its header; whoever decodes it finds it truncated
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1199)
    with Image.open(path) as opened:
        for kind in (path, data[:80], io.BytesIO(data[:80]), opened):
            error = raises(
                ValueError, " is 40 x 30 pixels; expected at most 1,199", preprocess, kind
            )
            assert "shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS" in str(error)
    for limit in (1200, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert np.array_equal(pixels(data), noise(30, 40))
        raises(ValueError, "is truncated or damaged", preprocess, path)


@pytest.mark.parametrize("limit", [100, 599, 1199])
def test_pillows_own_refusal_says_how_to_raise_the_limit(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = raises(ValueError, "is too large to decode safely", preprocess, encode(rgb(30, 40)))
    assert "MAX_IMAGE_PIXELS" in str(error) and "1200 pixels" in str(error)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_levels_are_scaled_without_large_copies(dtype):
    array = np.zeros((1000, 1000, 3), dtype)
    tracemalloc.start()
    try:
        module._to_levels(array)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < array.size + 4_000_000  # the levels, a byte each, and a few chunks


def test_a_transparent_image_is_laid_on_one_canvas():
    image = Image.fromarray(noise(30, 40, 4))
    before = Image.core.get_stats()["new_count"]  # of images that Pillow has ever made
    load_image(image)
    assert Image.core.get_stats()["new_count"] == before + 1


@pytest.mark.parametrize(
    "data",
    [
        png([], colour_type=3),  # no palette
        png([(b"PLTE", bytes(9)), (b"tRNS", bytes(range(1, 256)) * 2)], colour_type=3),
    ],
    ids=["none", "more transparent entries than colours"],
)
def test_a_damaged_palette_says_so(data):
    raises(ValueError, f"images[0]: image of {len(data)} bytes is trunc", preprocess, [data])


@pytest.mark.parametrize("width, height", [(0, 5), (5, 0), (1, 9), (9, 1), (1, 1)])
def test_an_empty_or_thin_image(width, height):
    message = f"the image is {width} pixels wide and {height} high; expected at least 2"
    raises(ValueError, message, preprocess, Image.new("RGB", (width, height)))
    raises(ValueError, message, preprocess, np.zeros((height, width, 3), np.uint8))
    raises(ValueError, message, preprocess, np.zeros((height, width)))
    if width and height:
        raises(ValueError, message, preprocess, encode(Image.new("RGB", (width, height))))


@pytest.mark.parametrize("value", [-0.001, 1.001, 255.0])
def test_a_float_array_outside_its_range(value):
    array = np.full((4, 4, 3), 0.5)
    array[1, 2, 0] = value
    error = raises(ValueError, "expected [0, 1]: divide levels by 255", preprocess, array)
    assert f"{value:.4g}" in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_float_array_with_nan_or_infinity(value):
    array = np.full((4, 4), 0.5, np.float32)
    array[1, 2] = value
    raises(ValueError, "holds NaN or infinity; expected floats in [0, 1]", preprocess, array)
    raises(ValueError, "holds NaN or infinity", preprocess, Image.fromarray(array))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_array_with_channels_first(channels):
    array = np.zeros((channels, 20, 30), np.uint8)
    error = raises(ValueError, "channels first; expected [H, W, C]", preprocess, array)
    assert "transpose(1, 2, 0)" in str(error)
    preprocess(array.transpose(1, 2, 0), 8)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int32, np.int64, np.uint32, complex, object])
def test_an_array_of_another_dtype(dtype):
    array = np.zeros((4, 4, 3), dtype)
    message = f"the array has dtype {array.dtype}; expected uint8"
    error = raises(TypeError, message, preprocess, array)
    assert str(error).endswith("* 255" if dtype is bool else "if it holds levels")


@pytest.mark.parametrize("shape", [(9,), (9, 9, 5), (9, 9, 0), (2, 9, 9, 3, 1), ()])
def test_an_array_of_another_shape(shape):
    array = np.zeros(shape, np.uint8)
    raises(ValueError, f"the array has shape {shape}; expected [H, W], or", preprocess, array)


def test_an_array_of_many_images():
    array = np.zeros((2, 9, 9, 3), np.uint8)
    raises(ValueError, "pass list(array) for a batch", preprocess, array)
    assert preprocess(list(array), 8).shape == (2, 3, 8, 8)


def test_a_32_bit_image():
    raises(TypeError, "dtype int32", preprocess, Image.new("I", (4, 4), 70000))


def test_a_torch_tensor():
    error = raises(
        TypeError, "got a torch tensor of shape (3, 8, 8)", preprocess, torch.rand(3, 8, 8)
    )
    assert "permute(1, 2, 0)" in str(error) and "give it to the model" in str(error)


@pytest.mark.parametrize("thing", [None, 3, {}, (i for i in range(2))])
def test_something_else(thing):
    message = f"got {type(thing).__name__}; expected a path, the bytes of an image file"
    raises(TypeError, message, preprocess, thing)


def test_an_empty_list():
    raises(ValueError, "the list of images is empty", preprocess, [])


def test_an_error_in_a_list_names_the_index(tmp_path):
    good = rgb()
    raises(ValueError, "images[1]: image of 0 bytes is empty", preprocess, [good, b"", good])
    raises(TypeError, "images[2]: got NoneType", preprocess, [good, good, None])
    raises(TypeError, "images[0]: got list", preprocess, [[good]])
    gone = tmp_path / "gone.png"
    raises(FileNotFoundError, "images[0]: there is no file", preprocess, (gone, None))


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_1(size):
    raises(ValueError, f"size is {size}; expected at least 1 pixel", preprocess, rgb(), size)
    raises(ValueError, f"size is {size}; expected at least 1 pixel", resize, rgb(), size)


@pytest.mark.parametrize("size", [384.0, "384", None, True, (384, 384)])
def test_a_size_that_is_no_integer(size):
    raises(TypeError, "expected one integer, such as 384", preprocess, rgb(), size)


@pytest.mark.parametrize("background", [(0, 0), (0, 0, 256), (-1, 0, 0), (0.5, 0, 0), "white", 0])
def test_a_background_that_is_no_colour(background):
    raises(ValueError, "expected three levels 0..255", preprocess, rgb(), 8, background)
    raises(ValueError, "expected three levels 0..255", load_image, rgb(), background)


def test_the_arguments_are_checked_before_the_images():
    raises(ValueError, "size is 0", preprocess, "gone.png", 0)
    raises(ValueError, "background is", preprocess, "gone.png", 8, (0, 0))


def test_to_pixel_values_wants_rgb():
    raises(ValueError, "has mode L; expected RGB", to_pixel_values, Image.new("L", (4, 4)))


def test_to_image_wants_one_image_in_range():
    raises(
        TypeError, "got torch.uint8; expected", to_image, torch.zeros(3, 4, 4, dtype=torch.uint8)
    )
    raises(TypeError, "got ndarray; expected", to_image, np.zeros((3, 4, 4), np.float32))
    raises(ValueError, "pixel_values[0]", to_image, torch.zeros(1, 3, 4, 4))
    raises(ValueError, "expected [3, H, W]", to_image, torch.zeros(1, 4, 4))
    raises(ValueError, "expected [-1, 1]", to_image, torch.full((3, 4, 4), 1.01))
    raises(ValueError, "expected [-1, 1]", to_image, torch.full((3, 4, 4), torch.nan))
