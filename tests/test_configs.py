from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.model import SigLIP
from siglip_lab.published import get_config, list_models

VISION = VisionConfig(384, 14, width=1152, depth=27, num_heads=16, mlp_dim=4304)
TEXT = TextConfig(32_000, 64, width=1152, depth=27, num_heads=16, mlp_dim=4304)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_the_parts_of_so400m():
    with torch.device("meta"):
        model = SigLIP(get_config("siglip-so400m-patch14-384"))
    vision, text = model.vision_model, model.text_model
    assert count(vision.encoder.layers[0]) == count(text.encoder.layers[26]) == 15_239_504
    assert count(vision.head) == 15_238_352
    assert count(vision.embeddings) == 1_518_336
    assert count(text.embeddings.token_embedding) == 36_864_000
    assert count(text.head) == 1_328_256


def test_quirks_of_published_shapes():
    assert get_config("siglip-so400m-patch14-224").text.context_length == 16
    assert get_config("siglip-base-patch16-256-multilingual").text.vocab_size == 250_000
    assert get_config("google/siglip-base-patch16-224") == get_config("siglip-base-patch16-224")


def test_tiny_is_the_shape_of_the_embedded_checkpoint():
    assert SigLIP.from_pretrained("tiny").config == get_config("tiny")
    tiny = get_config("tiny").vision
    assert tiny.image_size % tiny.patch_size, "tiny keeps the leftover pixels of the real model"


def test_emoji_is_the_shape_of_the_embedded_checkpoint():
    model = SigLIP.from_pretrained("emoji")
    assert model.config == get_config("emoji")
    assert model.text_model.head.weight.dtype == torch.float16  # half the size
    assert model.logit_scale.dtype == torch.float32


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown model 'siglip-huge'.*siglip-so400m-patch14-384"):
        get_config("siglip-huge")
    with pytest.raises(ValueError, match="unknown model None"):
        get_config(None)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"num_heads": 7}, ValueError, "width 1152 cannot be split into 7 equal heads"),
        ({"image_size": 13}, ValueError, "image_size 13 is smaller than patch_size 14"),
        ({"depth": 0}, ValueError, "depth must be at least 1, got 0"),
        ({"width": -1152}, ValueError, "width must be at least 1"),
        ({"image_size": 384.0}, TypeError, "image_size must be an integer, got 384.0"),
        ({"depth": True}, TypeError, "depth must be an integer, got True"),
        ({"width": 10**18}, ValueError, "width must be at most 500,000, got 1000000000000000000"),
        ({"depth": 501}, ValueError, "depth must be at most 500, got 501"),
        ({"mlp_dim": "\x1b" * 10**6}, TypeError, r"got '.x1b.{84}'$"),
        ({"mlp_dim": "4304"}, TypeError, "mlp_dim must be an integer, got '4304'"),
    ],
)
def test_vision_shapes_that_cannot_be(change, error, message):
    with pytest.raises(error, match=message):
        replace(VISION, **change)


def test_text_shapes_that_cannot_be():
    with pytest.raises(ValueError, match="context_length must be at least 1"):
        replace(TEXT, context_length=0)


def test_both_embeddings_have_the_image_towers_width():
    config = SigLIPConfig(replace(VISION, width=1536), TEXT)
    assert (config.embed_dim, config.text.width) == (1536, 1152)


def test_towers_must_be_configs():
    with pytest.raises(TypeError, match="vision must be a VisionConfig, got TextConfig"):
        SigLIPConfig(TEXT, TEXT)
    with pytest.raises(TypeError, match="text must be a TextConfig, got {}"):
        SigLIPConfig(VISION, {})


def test_siglip2_shapes_by_name():
    names = list_models(version=2)
    assert len(names) == 15
    assert {get_config(name).text.vocab_size for name in names} == {256_000}
    giant = get_config("google/siglip2-giant-opt-patch16-384")
    assert (giant.vision.width, giant.text.width, giant.embed_dim) == (1536, 1152, 1536)
    with pytest.raises(ValueError, match="version must be 1 or 2, got 3"):
        list_models(version=3)


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        VISION.depth = 26
