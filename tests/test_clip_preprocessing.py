"""CLIP's preprocessing: equal to transformers, but for its half pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import raises
from PIL import Image
from transformers import CLIPImageProcessorPil

import siglip_lab as sl
from siglip_lab.clip.preprocessing import (
    MEAN,
    STD,
    center_crop,
    resize_shorter_side,
    to_pixel_values,
    transform,
)

THEIRS = CLIPImageProcessorPil()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def left_over(width: int, height: int, size: int = 224) -> int:
    """Pixels of the longer side that the crop cuts away."""
    return int(size * max(width, height) / min(width, height)) - size


@settings(max_examples=40, deadline=None)
@given(st.integers(30, 400), st.integers(30, 400))
def test_equal_to_transformers(width, height):
    image = noise(width, height)
    theirs = THEIRS(image, return_tensors="pt")["pixel_values"]
    ours = sl.clip.preprocess(image)
    if left_over(width, height) % 4 != 3:  # else theirs rounds down, ours as torchvision
        assert (ours - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("width, height", [(450, 448), (454, 448), (458, 448), (462, 448)])
def test_half_pixels_go_to_the_even_side(width, height):
    """As Python's round in torchvision's center_crop: 0.5 to 0, 1.5 to 2, 2.5 to 2, 3.5 to 4."""
    image = noise(width, height)
    resized = resize_shorter_side(image, 224)
    over = resized.width - 224
    assert over % 2 == 1
    left = {1: 0, 3: 2, 5: 2, 7: 4}[over]
    expected = np.asarray(resized)[:, left : left + 224]
    assert np.array_equal(np.asarray(center_crop(resized, 224)), expected)


def test_the_longer_side_is_rounded_down():
    assert resize_shorter_side(noise(300, 200), 224).size == (336, 224)
    assert resize_shorter_side(noise(200, 301), 224).size == (224, 337)
    assert resize_shorter_side(noise(100, 100), 224).size == (224, 224)


def test_mean_and_spread():
    grey = to_pixel_values(Image.new("RGB", (2, 2), (128, 64, 255)))[:, 0, 0]
    expected = [(v / 255 - m) / s for v, m, s in zip((128, 64, 255), MEAN, STD, strict=True)]
    assert grey.tolist() == pytest.approx(expected, abs=1e-6)


def test_lists_sizes_and_transparency():
    assert sl.clip.preprocess([noise(50, 60), noise(60, 50)], size=96).shape == (2, 3, 96, 96)
    clear = Image.new("RGBA", (40, 50), (0, 0, 0, 0))
    black = sl.clip.preprocess(clear, background=(0, 0, 0))
    white = sl.clip.preprocess(clear)
    assert torch.allclose(white - black, 1 / torch.tensor(STD).view(1, 3, 1, 1))


def test_preprocess_is_the_transform_of_each_image():
    images = [noise(50, 60), noise(61, 50)]
    expected = torch.stack([transform(image, 24) for image in images])
    assert torch.equal(sl.clip.preprocess(images, 24), expected)


def test_errors():
    raises(ValueError, "empty", sl.clip.preprocess, [])
    raises(ValueError, "images[1]: ", sl.clip.preprocess, [noise(9, 9), b"no"])
    raises(ValueError, "size", sl.clip.preprocess, noise(9, 9), size=0)
    raises(ValueError, "size", transform, noise(9, 9), size=0)
    raises(ValueError, "smaller", center_crop, noise(9, 20), 10)


def test_a_thin_picture_is_refused_before_it_is_enlarged():
    """Its middle would cost what the whole does: the longer side grows with the shorter one."""
    raises(ValueError, "2240000 x 224", sl.clip.preprocess, Image.new("1", (20_000, 2)))
    raises(ValueError, "224 x 2240000", transform, Image.new("1", (2, 20_000)))


def test_a_long_picture_is_resized(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80 * 8)
    assert resize_shorter_side(noise(20, 2), 8).size == (80, 8)
    raises(ValueError, "at most 640", resize_shorter_side, noise(21, 2), 8)
