"""Loading: every kind of image as a person sees it; every error."""

import io
import os
import struct
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pictures import encode, noise, pixels, png, quick, raises, rgb
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps, ImageSequence

from siglip_lab.decoding import FORMATS
from siglip_lab.images import WHITE, load_image

# Kinds of input


@pytest.mark.parametrize("kind", [io.BytesIO, memoryview])
def test_open_files_and_views_of_bytes(tmp_path, kind):
    image = rgb()
    image.save(tmp_path / "photo.png")
    with open(tmp_path / "photo.png", "rb") as file:
        assert np.array_equal(pixels(file), noise())
    assert np.array_equal(pixels(kind(encode(image))), noise())


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
        list(pool.map(load_image, [slow] * 4))
    assert len(most) == 4 and max(most) == 1


def test_arrays_need_not_be_contiguous_or_writeable():
    array = noise(40, 60)[::2, ::-3]
    array.flags.writeable = False
    assert np.array_equal(pixels(array), array)


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


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_written_back_turns_the_image(format):
    """Pillow reads a width of -1 there, and would refuse to write it."""
    entries = b"\x01\0\0\x08\0\0\0\1\xff\xff\0\0" + b"\x01\x12\0\3\0\0\0\1\0\6\0\0"
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\2" + entries + bytes(4)
    assert load_image(encode(rgb(16, 32), format, exif=exif)).size == (16, 32)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(format):
    frames = [Image.new("RGB", (8, 8), c) for c in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encode(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert len(list(ImageSequence.Iterator(Image.open(io.BytesIO(data))))) == 3
    assert load_image(data).getpixel((4, 4)) == (250, 0, 0)


# Errors


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
    error = raises(ValueError, "truncated", load_image, path)
    assert "half.jpg" in str(error)
    lazy = Image.open(path)
    raises(ValueError, "truncated", load_image, lazy)
    raises(ValueError, "truncated", load_image, lazy)  # and again


def test_a_pil_image_whose_file_is_closed(tmp_path):
    rgb().save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pass
    error = raises(ValueError, "or its file was closed before image.load()", load_image, image)
    assert "()" not in str(error).replace("image.load()", "")


def test_a_damaged_file_says_so():
    data = bytearray(encode(rgb(60, 60)))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    raises(ValueError, "truncated", load_image, bytes(data))


@quick
@given(
    data=st.binary(min_size=1, max_size=200),
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"P6\n"]),
)
@pytest.mark.filterwarnings("ignore")
def test_garbage_is_an_image_or_a_value_error(data, head):
    try:
        assert load_image(head + data).mode == "RGB"
    except ValueError as error:
        assert "expected" in str(error)


def test_not_an_image(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<!DOCTYPE html><p>404")
    error = raises(ValueError, "not an image", load_image, path)
    assert "page.html" in str(error) and "b'<!DOCTYPE html>" in str(error)
    raises(ValueError, "not an image", load_image, b"hello")


Image.init()
WRITABLE = sorted(set(FORMATS) & set(Image.SAVE))


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
        error = raises(ValueError, "not an image", load_image, kind)
        assert "b'%!PS-Adobe" in str(error)
    lazy = Image.open(io.BytesIO(EPS))
    error = raises(ValueError, "format EPS", load_image, lazy)
    assert "image.copy()" in str(error)
    assert not started


def test_a_metafile_is_refused():
    raises(ValueError, "not an image", load_image, WMF)
    lazy = Image.open(io.BytesIO(WMF))
    raises(ValueError, "format WMF", load_image, lazy)


def test_a_plugin_reads_heif(monkeypatch):
    class Heif(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._mode, self._size, self.tile = "RGB", (4, 4), []
            self.im = Image.new("RGB", (4, 4), (1, 2, 3)).im

    data = b"\0\0\0\x18ftypheic"
    raises(ValueError, "not an image", load_image, data)
    monkeypatch.setitem(Image.OPEN, "HEIF", (Heif, lambda head: head[4:12] == b"ftypheic"))
    assert load_image(data).getpixel((0, 0)) == (1, 2, 3)


def test_an_unreadable_path(tmp_path, monkeypatch):
    (tmp_path / "secret.png").touch()
    raises(ValueError, "device", load_image, os.devnull)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    raises(ValueError, "secret.png", load_image, tmp_path / "secret.png")


def test_an_open_file_that_gives_nothing(tmp_path):
    closed = io.BytesIO(encode(rgb()))
    closed.close()
    raises(ValueError, "closed", load_image, closed)
    with open(tmp_path / "a.png", "wb") as file:
        raises(ValueError, "read", load_image, file)


def test_long_names_are_cut(tmp_path):
    path = tmp_path / ("\x1b" * 200 + ".png")
    for data, message in [(None, "there is no file"), (bytes(99), "is not an image")]:
        if data:
            path.write_bytes(data)
        error = raises((FileNotFoundError, ValueError), message, load_image, path)
        assert ".png'" in str(error) and "\x1b" not in str(error)
    raises(FileNotFoundError, "there is no file", load_image, "a/" * 500_000)


def test_empty_bytes_and_files(tmp_path):
    (tmp_path / "empty.png").touch()
    raises(ValueError, "empty", load_image, b"")
    raises(ValueError, "empty.png", load_image, tmp_path / "empty.png")
    at_its_end = io.BytesIO(encode(rgb()))
    at_its_end.read()
    raises(ValueError, "seek(0)", load_image, at_its_end)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_file_opened_as_text(tmp_path, encoding):
    rgb().save(tmp_path / "a.png")
    with open(tmp_path / "a.png", encoding=encoding) as file:
        raises(TypeError, 'mode "rb"', load_image, file)


def test_no_such_file(tmp_path):
    error = raises(FileNotFoundError, "there is no file", load_image, tmp_path / "gone.png")
    assert "gone.png" in str(error)
    raises(FileNotFoundError, "there is no file", load_image, "")


def test_a_folder(tmp_path):
    raises(ValueError, "folder", load_image, tmp_path)


@pytest.mark.parametrize("url", ["https://a.org/cat.jpg", "s3://a/b.png", "data:image/png;base64,"])
def test_a_url(url):
    raises(ValueError, "URL", load_image, url)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    data = encode(rgb(30, 40))
    path = tmp_path / "large.png"
    path.write_bytes(data[:80])  # its header; whoever decodes it finds it truncated
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1199)
    with Image.open(path) as opened:
        for kind in (path, data[:80], io.BytesIO(data[:80]), opened):
            error = raises(ValueError, "MAX_IMAGE_PIXELS", load_image, kind)
            assert "40 x 30" in str(error)
    for limit in (1200, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert np.array_equal(pixels(data), noise(30, 40))
        raises(ValueError, "truncated", load_image, path)


@pytest.mark.parametrize("limit", [100, 599, 1199])
def test_pillows_own_refusal_says_how_to_raise_the_limit(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = raises(ValueError, "MAX_IMAGE_PIXELS", load_image, encode(rgb(30, 40)))
    assert "1200 pixels" in str(error)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_levels_are_scaled_without_large_copies(dtype):
    array = np.zeros((1000, 1000, 3), dtype)
    tracemalloc.start()  # it does not see Pillow's own copy
    try:
        load_image(array)
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
    raises(ValueError, "truncated", load_image, data)


@pytest.mark.parametrize("width, height", [(0, 5), (5, 0), (1, 9), (9, 1), (1, 1)])
def test_an_empty_or_thin_image(width, height):
    message = f"{width} pixels wide"
    raises(ValueError, message, load_image, Image.new("RGB", (width, height)))
    raises(ValueError, message, load_image, np.zeros((height, width, 3), np.uint8))
    raises(ValueError, message, load_image, np.zeros((height, width)))
    if width and height:
        raises(ValueError, message, load_image, encode(Image.new("RGB", (width, height))))


@pytest.mark.parametrize("value", [-0.001, 1.001, 255.0])
def test_a_float_array_outside_its_range(value):
    array = np.full((4, 4, 3), 0.5)
    array[1, 2, 0] = value
    error = raises(ValueError, "[0, 1]", load_image, array)
    assert f"{value:.4g}" in str(error)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_float_array_with_nan_or_infinity(value):
    array = np.full((4, 4), 0.5, np.float32)
    array[1, 2] = value
    raises(ValueError, f"{value}", load_image, array)
    raises(ValueError, f"{value}", load_image, Image.fromarray(array))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_array_with_channels_first(channels):
    array = np.zeros((channels, 20, 30), np.uint8)
    error = raises(ValueError, "channels first", load_image, array)
    assert "transpose(1, 2, 0)" in str(error)
    load_image(array.transpose(1, 2, 0))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int32, np.int64, np.uint32, complex, object])
def test_an_array_of_another_dtype(dtype):
    array = np.zeros((4, 4, 3), dtype)
    raises(TypeError, str(array.dtype), load_image, array)


@pytest.mark.parametrize("shape", [(9,), (9, 9, 5), (9, 9, 0), (2, 9, 9, 3, 1), ()])
def test_an_array_of_another_shape(shape):
    array = np.zeros(shape, np.uint8)
    raises(ValueError, str(shape), load_image, array)


def test_an_array_of_many_images():
    array = np.zeros((2, 9, 9, 3), np.uint8)
    raises(ValueError, "batch", load_image, array)


def test_a_32_bit_image():
    raises(TypeError, "int32", load_image, Image.new("I", (4, 4), 70000))


def test_a_torch_tensor():
    raises(TypeError, "permute(1, 2, 0)", load_image, torch.rand(3, 8, 8))


@pytest.mark.parametrize("thing", [None, 3, {}, [], (i for i in range(2))])
def test_something_else(thing):
    raises(TypeError, type(thing).__name__, load_image, thing)


@pytest.mark.parametrize("background", [(0, 0), (0, 0, 256), (-1, 0, 0), (0.5, 0, 0), "white", 0])
def test_a_background_that_is_no_colour(background):
    raises(ValueError, "background", load_image, rgb(), background)


def test_a_background_is_a_tuple_or_a_list():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert load_image(clear, [1, 2, 3]).getpixel((0, 0)) == (1, 2, 3)
