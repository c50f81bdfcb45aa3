"""NaFlex's preprocessing, and SigLIP 2's bilinear one, to the bit against transformers'."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorPil,
    get_image_size_for_max_num_patches,
)

import siglip_lab as sl
from siglip_lab import siglip2
from siglip_lab.preprocessing import BICUBIC, BILINEAR
from siglip_lab.siglip2.preprocessing import preprocess_each

THEIRS = Siglip2ImageProcessorPil()
NAMES = ["pixel_values", "pixel_attention_mask", "spatial_shapes"]


def noise(height, width, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def assert_same(ours, theirs):
    assert list(ours) == NAMES
    for name in NAMES:
        assert ours[name].dtype == theirs[name].dtype, name
        assert torch.equal(ours[name], theirs[name]), name


SHAPES = [
    (224, 224), (480, 640), (640, 480), (1024, 1024), (224, 1024), (2, 2), (3, 3), (16, 16),
    (17, 15), (40, 800), (800, 40), (2000, 90), (7, 140), (100, 2000), (15, 1), (256, 255),
]  # fmt: skip
SHAPES = [(h, w) for h, w in SHAPES if min(h, w) > 1]


@pytest.mark.parametrize("budget", [1, 2, 3, 16, 64, 100, 128, 256, 576])
def test_equal_to_transformers_to_the_bit(budget):
    images = [noise(height, width, i) for i, (height, width) in enumerate(SHAPES)]
    ours = siglip2.preprocess(images, budget)
    assert_same(ours, THEIRS(images, max_num_patches=budget, return_tensors="pt"))
    assert ours["pixel_attention_mask"].sum(1).tolist() == ours["spatial_shapes"].prod(1).tolist()


@pytest.mark.parametrize("patch_size", [1, 7, 14, 32])
def test_other_patches(patch_size):
    images = [noise(30, 50), noise(64, 20)]
    options = {"max_num_patches": 60, "patch_size": patch_size}
    ours = siglip2.preprocess(images, **options)
    assert_same(ours, THEIRS(images, return_tensors="pt", **options))


@settings(max_examples=40, derandomize=True)
@given(
    height=st.integers(2, 200), width=st.integers(2, 200), budget=st.integers(1, 300),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_any_image_and_any_budget(height, width, budget, seed):
    image = noise(height, width, seed)
    theirs = THEIRS(image, max_num_patches=budget, return_tensors="pt")
    assert_same(siglip2.preprocess(image, budget), theirs)


@settings(max_examples=300, derandomize=True)
@given(
    height=st.integers(1, 20_000), width=st.integers(1, 20_000), patch=st.integers(1, 64),
    budget=st.integers(1, 2000),
)  # fmt: skip
def test_any_size(height, width, patch, budget):
    found = siglip2.target_size(height, width, patch, budget)
    assert found == get_image_size_for_max_num_patches(height, width, patch, budget)
    rows, columns = (side // patch for side in found)
    assert found == (rows * patch, columns * patch) and 1 <= rows * columns <= budget


@pytest.mark.parametrize(
    "given, size",
    [
        ((2853, 1000, 16, 1024), (848, 304)),  # printed in big_vision's demo: 19 columns
        ((480, 640, 16, 256), (224, 288)),
        ((224, 224, 16, 256), (256, 256)),
        ((1024, 1024, 16, 256), (256, 256)),
        ((224, 1024, 16, 256), (112, 512)),
        ((480, 640, 16, 1024), (432, 576)),
        ((384, 384, 16, 576), (384, 384)),
        ((100, 2000, 16, 256), (64, 1024)),  # 1 : 20 becomes 1 : 16, in whole patches
        ((2000, 100, 16, 256), (1024, 64)),
        ((480, 640, 16, 1), (16, 16)),
        ((2, 3000, 16, 9), (16, 144)),
        ((1, 1, 16, 256), (112, 112)),  # enlarged a hundredfold at most
    ],
)
def test_known_sizes(given, size):
    assert siglip2.target_size(*given) == size


def test_too_long_for_any_scale():
    """transformers gives more patches than were allowed, of which the model then knows nothing."""
    assert get_image_size_for_max_num_patches(2, 20_000_000, 16, 1) == (16, 32)
    with pytest.raises(ValueError, match="too long and thin: .* 1 x 2, the budget 1 patches"):
        siglip2.target_size(2, 20_000_000, 16, 1)


def test_one_image_is_a_batch_of_one():
    image = noise(50, 90)
    one, listed = siglip2.preprocess(image, 30), siglip2.preprocess([image], 30)
    assert all(torch.equal(one[name], listed[name]) for name in NAMES)
    assert {name: tuple(x.shape) for name, x in one.items()} == {
        "pixel_values": (1, 30, 768), "pixel_attention_mask": (1, 30), "spatial_shapes": (1, 2),
    }  # fmt: skip
    assert one["pixel_values"][one["pixel_attention_mask"] == 0].eq(0).all()


def test_patches_are_the_image():
    """Row by row; in a patch row, column, channel."""
    levels = np.arange(32 * 48 * 3, dtype=np.int64).reshape(32, 48, 3) % 251
    image = Image.fromarray(levels.astype(np.uint8))
    inputs = siglip2.preprocess(image, 6)
    assert inputs["spatial_shapes"].tolist() == [[2, 3]]
    patch = inputs["pixel_values"][0, 4].reshape(16, 16, 3)  # second row, second column
    expected = torch.tensor(levels[16:, 16:32] / 127.5 - 1, dtype=torch.float32)
    torch.testing.assert_close(patch, expected)


def test_what_shows_through():
    clear = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert siglip2.preprocess(clear, 4)["pixel_values"].unique().tolist() == [1.0]
    black = siglip2.preprocess(clear, 4, background=(0, 0, 0))["pixel_values"]
    assert black.unique().tolist() == [-1.0]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (([],), ValueError, "list of images is empty"),
        (([noise(4, 4), "nowhere.png"],), FileNotFoundError, r"images\[1\]: there is no file"),
        (("nowhere.png",), FileNotFoundError, "^there is no file"),
        (([noise(4, 4), 5],), TypeError, r"images\[1\]: got int"),
        ((torch.zeros(3, 4, 4),), TypeError, "torch tensor"),
        ((noise(4, 4), 0), ValueError, "max_num_patches must be at least 1, got 0"),
        ((noise(4, 4), 2.5), TypeError, "max_num_patches must be an integer"),
        ((noise(4, 4), True), TypeError, "max_num_patches must be an integer"),
        ((noise(4, 4), 9, "white"), ValueError, "background"),
        ((noise(4, 4), 9, (0, 0, 0), 0), ValueError, "patch_size must be at least 1"),
        ((Image.new("RGB", (1, 9)),), ValueError, "at least 2 each way"),
    ],
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        siglip2.preprocess(*arguments)


def test_what_cannot_be_read_leaves_the_others_alone():
    images = [noise(20, 30), "nowhere.png", noise(30, 20)]
    inputs, errors = preprocess_each(images, 9)
    assert list(errors) == [1] and isinstance(errors[1], FileNotFoundError)
    for index in (0, 2):
        alone = siglip2.preprocess(images[index], 9)
        assert all(torch.equal(inputs[name][index], alone[name][0]) for name in NAMES)


# ---- fixed resolution ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 224, 384])
@pytest.mark.parametrize("shape", [(224, 224), (480, 640), (90, 31), (2, 3), (600, 20)])
def test_bilinear_squares_equal_transformers_to_the_bit(size, shape):
    image = noise(*shape)
    options = {"size": {"height": size, "width": size}, "resample": 2, "return_tensors": "pt"}
    expected = SiglipImageProcessorPil()(image, **options)["pixel_values"]
    assert torch.equal(sl.preprocess(image, size, resample=BILINEAR), expected)
    bicubic = sl.preprocess(image, size)
    assert torch.equal(bicubic, sl.preprocess(image, size, resample=BICUBIC))
    assert torch.equal(bicubic, expected) == (shape == (size, size))
