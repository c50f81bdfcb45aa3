"""`siglip_lab.maps`: each map against what the head itself computes."""

import pytest
import torch
from PIL import Image

import siglip_lab as sl
from siglip_lab import maps


@pytest.fixture(scope="module")
def given():
    model = sl.SigLIP(sl.get_config("tiny"), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 40, 40, generator=generator) * 2 - 1
    length = model.config.text.context_length
    ids = torch.randint(0, 99, (2, length), generator=generator)
    return model, pixels, ids


@torch.no_grad()
def test_shapes_and_attention(given):
    model, pixels, ids = given
    attention = maps.attention_map(model, pixels)
    assert attention.shape == maps.value_map(model, pixels, ids).shape == (2, 6, 6)
    torch.testing.assert_close(attention.sum((1, 2)), torch.ones(2))


@torch.no_grad()
def test_value_map_is_the_head_on_one_token(given):
    model, pixels, ids = given
    token = model.vision_model(pixels).last_hidden_state[1, 8]
    alone = model.vision_model.head(token[None, None])[0]
    cosine = torch.cosine_similarity(alone, model.encode_text(ids)[1], dim=0)
    torch.testing.assert_close(maps.value_map(model, pixels, ids)[1, 1, 2], cosine)


@torch.no_grad()
def test_occlusion_of_a_patch_of_that_colour_is_nothing(given):
    model, pixels, ids = given
    plain, paint = torch.zeros_like(pixels), torch.zeros(2, 3)
    found = maps.occlusion_map(model, plain, ids, paint)
    torch.testing.assert_close(found, torch.zeros(2, 6, 6), atol=1e-4, rtol=0)


def test_gradient_is_that_of_the_logit(given):
    model, pixels, ids = given
    tokens = model.vision_model(pixels).last_hidden_state.detach().requires_grad_()
    image = torch.nn.functional.normalize(model.vision_model.head(tokens), dim=-1)
    model.logits(image, model.encode_text(ids)).diagonal().sum().backward()
    wanted = (tokens.grad * tokens).sum(-1).detach().reshape(2, 6, 6)
    torch.testing.assert_close(maps.gradient_map(model, pixels, ids), wanted)


def test_overlay_leaves_the_last_pixels_alone():
    white = Image.new("RGB", (384, 384), "white")
    laid = maps.overlay(white, torch.ones(27, 27), 384, 14)
    assert laid.size == (384, 384)
    assert laid.getpixel((377, 377)) != (255, 255, 255) == laid.getpixel((378, 378))


def test_errors(given):
    model, pixels, ids = given
    with pytest.raises(ValueError, match=r"\[n, 3, S, S\]"):
        maps.attention_map(model, pixels[0])
    with pytest.raises(ValueError, match="one text an image"):
        maps.value_map(model, pixels, ids[:1])
    with pytest.raises(ValueError, match="a colour an image"):
        maps.occlusion_map(model, pixels, ids, torch.zeros(3))
    with pytest.raises(ValueError, match=r"\[27, 27\]"):
        maps.overlay(Image.new("RGB", (9, 9)), torch.ones(24, 24), 384, 14)
