from dataclasses import FrozenInstanceError, replace

import pytest

import siglip_lab as sl
from siglip_lab.clip import CLIPConfig, ResNetConfig, get_config, list_models
from siglip_lab.configs import TextConfig, VisionConfig

NAMES = ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"]
NAMES += ["ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px"]

RN50 = ResNetConfig(224, 64, (3, 4, 6, 3))
TEXT = TextConfig(49_408, 77, width=512, depth=12, num_heads=8, mlp_dim=2048)


def test_nine_models_by_openais_names():
    assert list_models() == NAMES
    shape = {"width": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072}
    assert sl.clip.get_config("ViT-B/32").vision == VisionConfig(224, 32, **shape)


@pytest.mark.parametrize("name", NAMES)
def test_what_all_nine_share(name):
    text = get_config(name).text
    assert (text.vocab_size, text.context_length, text.depth) == (49_408, 77, 12)
    assert text.head_dim == 64
    assert text.mlp_dim == 4 * text.width


# CLIP paper, table 19: embedding size, image size, text width.
@pytest.mark.parametrize(
    ("name", "embed_dim", "image_size", "text_width"),
    [
        ("RN50", 1024, 224, 512),
        ("RN101", 512, 224, 512),
        ("RN50x4", 640, 288, 640),
        ("RN50x16", 768, 384, 768),
        ("RN50x64", 1024, 448, 1024),
        ("ViT-B/16", 512, 224, 512),
        ("ViT-L/14@336px", 768, 336, 768),
    ],
)
def test_sizes_in_the_paper(name, embed_dim, image_size, text_width):
    config = get_config(name)
    found = (config.embed_dim, config.vision.image_size, config.text.width)
    assert found == (embed_dim, image_size, text_width)


def test_resnet_properties():
    assert (RN50.grid_size, RN50.feature_dim, RN50.num_heads) == (7, 2048, 32)
    assert get_config("RN50x64").vision.num_heads == 64


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"image_size": 225}, ValueError),
        ({"image_size": 0}, ValueError),
        ({"width": 63}, ValueError),
        ({"width": 64.0}, TypeError),
        ({"layers": (3, 4, 6)}, ValueError),
        ({"layers": (3, 4, 6, 0)}, ValueError),
        ({"layers": (3, 4, 6, True)}, TypeError),
        ({"layers": [3, 4, 6, 3]}, TypeError),
    ],
)
def test_resnets_that_cannot_be(change, error):
    with pytest.raises(error, match=next(iter(change))):
        replace(RN50, **change)


def test_models_that_cannot_be():
    with pytest.raises(TypeError, match="vision"):
        CLIPConfig(TEXT, TEXT, 512)
    with pytest.raises(TypeError, match="text"):
        CLIPConfig(RN50, RN50, 512)
    with pytest.raises(TypeError, match="embed_dim"):
        CLIPConfig(RN50, TEXT, 512.0)
    with pytest.raises(ValueError, match="embed_dim"):
        CLIPConfig(RN50, TEXT, 0)
    with pytest.raises(FrozenInstanceError):
        get_config("RN50").vision = None


@pytest.mark.parametrize("name", ["ViT-H/14", "vit-b/32", None])
def test_unknown_name(name):
    with pytest.raises(ValueError, match=f"{name!r}.*ViT-L/14@336px"):
        get_config(name)
