import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parity import twin_config
from PIL import Image
from torch.nn import functional as F
from transformers import SiglipVisionModel

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.patches import VisionEmbeddings, interpolate_positions, patchify

CONFIG = VisionConfig(image_size=46, patch_size=6, width=24, depth=1, num_heads=2, mlp_dim=32)


@given(
    batch=st.integers(1, 3),
    patch=st.integers(1, 9),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    rest=st.tuples(st.integers(0, 8), st.integers(0, 8)),
)
def test_patchify_is_unfold(batch, patch, rows, columns, rest):
    height = rows * patch + min(rest[0], patch - 1)
    width = columns * patch + min(rest[1], patch - 1)
    images = torch.randn(batch, 3, height, width)
    expected = F.unfold(images, patch, stride=patch).transpose(1, 2)
    assert torch.equal(patchify(images, patch), expected)


def test_patches_times_kernel_is_the_convolution():
    torch.manual_seed(0)
    embeddings = VisionEmbeddings(CONFIG)
    images = torch.randn(2, 3, 46, 46)
    conv = embeddings.patch_embedding
    tokens = patchify(images, 6) @ conv.weight.flatten(1).T + conv.bias
    tokens = tokens + embeddings.position_embedding.weight
    torch.testing.assert_close(embeddings(images), tokens, rtol=0, atol=1e-5)


def test_the_last_rows_and_columns_are_never_seen():
    torch.manual_seed(0)
    embeddings = VisionEmbeddings(CONFIG)
    images = torch.randn(1, 3, 46, 46)
    changed = images.clone()
    changed[:, :, 42:, :] = 9.0
    changed[:, :, :, 42:] = -9.0
    assert torch.equal(embeddings(images), embeddings(changed))
    changed[:, :, 41, 0] = 9.0
    assert not torch.equal(embeddings(images), embeddings(changed))


@pytest.mark.parametrize(("height", "width"), [(46, 46), (92, 92), (24, 60), (69, 46)])
def test_interpolated_positions_equal_transformers(height, width):
    torch.manual_seed(0)
    text = TextConfig(10, 4, width=24, depth=1, num_heads=2, mlp_dim=32)
    other = SiglipVisionModel(twin_config(SigLIPConfig(CONFIG, text)).vision_config).embeddings
    ours = VisionEmbeddings(CONFIG)
    ours.load_state_dict(other.state_dict())
    images = torch.randn(1, 3, height, width)
    expected = other(images, interpolate_pos_encoding=True)
    found = ours(images, interpolate_pos_encoding=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_interpolation_of_a_table_to_its_own_size_changes_nothing():
    table = torch.randn(49, 8)
    assert interpolate_positions(table, 7, 7) is table
    assert interpolate_positions(table, 14, 3).shape == (42, 8)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            Image.new("RGB", (46, 46)),
            TypeError,
            r"images are of type Image; .*processor\(images=...\)",
        ),
        ("a.png", TypeError, "images are of type str"),
        (np.zeros((1, 3, 46, 46), np.float32), TypeError, "images are of type ndarray"),
        ({"pixel_values": torch.zeros(1, 3, 46, 46)}, TypeError, "images are of type dict"),
        (torch.zeros(3, 46, 46), ValueError, r"expected \[B, C, H, W\].*images\[None\]"),
        (torch.zeros(1, 46, 46, 3), ValueError, r"\[B, 3, H, W\].*images.permute\(0, 3, 1, 2\)"),
        (torch.zeros(1, 3, 5, 46), ValueError, "smaller than one patch of 6x6"),
        (torch.zeros(1, 3, 46, 46, dtype=torch.uint8), TypeError, "torch.uint8; expected float"),
        (torch.zeros(0, 3, 46, 46), ValueError, "B >= 1"),
        (torch.zeros(1, 1, 46, 46), ValueError, r"shape \(1, 1, 46, 46\)"),
        (torch.zeros(1, 3, 46, 46).half(), TypeError, "torch.float16, the weights torch.float32"),
        (torch.zeros(1, 3, 46, 46).bfloat16(), TypeError, "half precision"),
        (torch.zeros(1, 3, 48, 46), ValueError, "48x46.*46x46.*interpolate_pos_encoding=True"),
    ],
)
def test_images_that_do_not_fit(images, error, message):
    with pytest.raises(error, match=message):
        VisionEmbeddings(CONFIG)(images)


def test_patchify_takes_tensors_alone():
    with pytest.raises(TypeError, match="images are of type Image; expected a tensor"):
        patchify(Image.new("RGB", (46, 46)), 2)
