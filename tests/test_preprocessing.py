"""Preprocessing: equal to transformers to the bit, for one image, many, and every size."""

import io
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pictures import encode, noise, quick, raises, rgb
from PIL import Image
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from siglip_lab.batches import transform_each
from siglip_lab.images import load_image
from siglip_lab.preprocessing import (
    preprocess,
    resize,
    to_image,
    to_pixel_values,
    transform,
)


def peer(images, size):
    processor = SiglipImageProcessorPil(
        size={"height": size, "width": size},
        resample=3,
        rescale_factor=1 / 255,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return processor(images, return_tensors="pt")["pixel_values"]


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


def test_the_given_image_is_not_changed():
    image = Image.new("RGBA", (4, 6), (10, 20, 30, 40))
    image.getexif()[0x0112] = 6
    before = image.tobytes(), image.size, image.mode, dict(image.getexif())
    array = noise()
    copy = array.copy()
    preprocess([image, array], 8)
    assert (image.tobytes(), image.size, image.mode, dict(image.getexif())) == before
    assert np.array_equal(array, copy)


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


def test_the_background_reaches_preprocess():
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (preprocess(clear, 4) == 1).all()
    assert preprocess(clear, 4, background=(0, 255, 0))[0, :, 0, 0].tolist() == [-1, 1, -1]
    assert preprocess([clear], 4, background=(0, 255, 0))[0, :, 0, 0].tolist() == [-1, 1, -1]


# One image, without threads


def test_preprocess_is_the_transform_of_each_image():
    images = [rgb(20 + i, 50 - i, seed=i) for i in range(5)]
    expected = torch.stack([transform(image, 24) for image in images])
    assert torch.equal(preprocess(images, 24), expected)
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert transform(clear, 4, (0, 255, 0))[:, 0, 0].tolist() == [-1, 1, -1]


def test_one_image_needs_no_thread(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread"))
    expected = transform(rgb(), 24)[None]
    assert torch.equal(preprocess(rgb(), 24), expected)
    assert torch.equal(preprocess([rgb()], 24), expected)


@pytest.mark.parametrize("allowed", [1, 2])
def test_as_many_threads_as_pytorch_may_use(allowed):
    """A data loader's workers, to which PyTorch gives one each, start no more."""
    seen = set()

    def slow(image, size, background):
        seen.add(threading.get_ident())
        time.sleep(0.01)
        return torch.zeros(3, size, size)

    before = torch.get_num_threads()
    torch.set_num_threads(allowed)
    try:
        transform_each(slow, [rgb()] * 8, 4)
    finally:
        torch.set_num_threads(before)
    assert len(seen) == allowed


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


def test_an_empty_list():
    raises(ValueError, "empty", preprocess, [])


def test_an_error_in_a_list_names_the_index(tmp_path):
    good = rgb()
    raises(ValueError, "images[1]: ", preprocess, [good, b"", good])
    raises(TypeError, "images[2]: ", preprocess, [good, good, None])
    raises(TypeError, "images[0]: ", preprocess, [[good]])
    gone = tmp_path / "gone.png"
    raises(FileNotFoundError, "images[0]: ", preprocess, (gone, None))


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_1(size):
    for call in (preprocess, transform, resize):
        raises(ValueError, "size", call, rgb(), size)


@pytest.mark.parametrize("size", [384.0, "384", None, True, (384, 384)])
def test_a_size_that_is_no_integer(size):
    for call in (preprocess, transform, resize):
        raises(TypeError, "size", call, rgb(), size)


def test_the_arguments_are_checked_before_the_images():
    raises(ValueError, "size", preprocess, "gone.png", 0)
    raises(ValueError, "background", preprocess, "gone.png", 8, (0, 0))


def test_to_pixel_values_wants_rgb():
    raises(ValueError, "RGB", to_pixel_values, Image.new("L", (4, 4)))


def test_to_image_wants_one_image_in_range():
    raises(TypeError, "uint8", to_image, torch.zeros(3, 4, 4, dtype=torch.uint8))
    raises(TypeError, "ndarray", to_image, np.zeros((3, 4, 4), np.float32))
    raises(ValueError, "pixel_values[0]", to_image, torch.zeros(1, 3, 4, 4))
    raises(ValueError, "[3, H, W]", to_image, torch.zeros(1, 4, 4))
    raises(ValueError, "[-1, 1]", to_image, torch.full((3, 4, 4), 1.01))
    raises(ValueError, "[-1, 1]", to_image, torch.full((3, 4, 4), torch.nan))
