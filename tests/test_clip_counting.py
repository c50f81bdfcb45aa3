"""CLIP's counts against built models, transformers, open_clip's profile and PyTorch's counters."""

import pytest
import torch
from any_shape import flops, meta, parameters
from torch import nn
from transformers import CLIPConfig, CLIPModel

from siglip_lab import clip
from siglip_lab.clip import count_flops, count_parameters
from siglip_lab.clip.configs import ResNetConfig
from siglip_lab.clip.pooling import AttentionPool2d
from siglip_lab.published import get_config

# open_clip, docs/model_profile.csv: millions of parameters and GFLOPs: both, image, text.
PROFILE = {
    "RN50": (102.01, 38.32, 63.69, 18.18, 12.22, 5.96),
    "RN101": (119.69, 56.26, 63.43, 25.5, 19.54, 5.96),
    "RN50x4": (178.3, 87.14, 91.16, 51.82, 42.56, 9.27),
    "RN50x16": (290.98, 167.33, 123.65, 162.69, 149.39, 13.3),
    "RN50x64": (623.26, 420.38, 202.88, 552.65, 529.11, 23.55),
    "ViT-B/32": (151.28, 87.85, 63.43, 14.78, 8.82, 5.96),
    "ViT-B/16": (149.62, 86.19, 63.43, 41.09, 35.13, 5.96),
    "ViT-L/14": (427.62, 303.97, 123.65, 175.33, 162.03, 13.3),
    "ViT-L/14@336px": (427.94, 304.29, 123.65, 395.22, 381.92, 13.3),
}

CLIP_VITS = {
    "ViT-B/32": 151_277_313,  # also printed by openai/CLIP's notebook
    "ViT-B/16": 149_620_737,
    "ViT-L/14": 427_616_513,
    "ViT-L/14@336px": 427_944_193,
}


@pytest.mark.parametrize("name", CLIP_VITS)
def test_parameters_of_clips_vits_equal_transformers(name):
    config = clip.get_config(name)
    shape = {"image_size": config.vision.image_size, "patch_size": config.vision.patch_size}
    twin = CLIPConfig(
        projection_dim=config.embed_dim,
        vision_config=clip_tower(config.vision) | shape,
        text_config=clip_tower(config.text),
    )
    model, count = meta(lambda: CLIPModel(twin)), count_parameters(config)
    assert count.total == CLIP_VITS[name] == parameters(model)
    vision = parameters(model.vision_model) + parameters(model.visual_projection)
    assert count.vision.total == vision


def clip_tower(config):
    return {
        "hidden_size": config.width, "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads, "intermediate_size": config.mlp_dim,
    }  # fmt: skip


@pytest.mark.parametrize("name", PROFILE)
def test_millions_of_parameters_in_open_clips_profile(name):
    count = count_parameters(clip.get_config(name))
    found = tuple(round(c.total / 1e6, 2) for c in (count, count.vision, count.text))
    assert found == PROFILE[name][:3]


def test_every_published_name_is_checked():
    assert [*PROFILE] == clip.list_models()


class Bottleneck(nn.Module):
    def __init__(self, channels, inner, stride):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.AvgPool2d(stride),
            nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if stride > 1 or channels != 4 * inner:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(channels, 4 * inner, 1, bias=False),
                nn.BatchNorm2d(4 * inner),
            )

    def forward(self, x):
        return torch.relu(self.path(x) + self.shortcut(x))


def modified_resnet(config, embed_dim):
    """CLIP's ModifiedResNet (openai/CLIP, clip/model.py) of plain layers."""
    width, stem = config.width, []
    for channels, out, stride in (
        (3, width // 2, 2),
        (width // 2, width // 2, 1),
        (width // 2, width, 1),
    ):
        stem += [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)]
        stem += [nn.BatchNorm2d(out), nn.ReLU()]
    blocks, channels = [nn.AvgPool2d(2)], width
    for stage, depth in enumerate(config.layers):
        for block in range(depth):
            inner = width * 2**stage
            blocks.append(Bottleneck(channels, inner, 2 if stage and not block else 1))
            channels = 4 * inner
    pool = AttentionPool2d(config.grid_size, channels, config.num_heads, embed_dim)
    return nn.Sequential(*stem, *blocks, pool)


@pytest.mark.parametrize("name", ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"])
def test_resnets_equal_one_of_plain_layers(name):
    config = clip.get_config(name)
    model = meta(lambda: modified_resnet(config.vision, config.embed_dim))
    assert count_parameters(config).vision.total == parameters(model)


@pytest.mark.parametrize("name", ["RN50", "RN50x4"])
def test_flops_of_resnets_equal_those_of_one_of_plain_layers(name):
    config = clip.get_config(name)
    model = meta(lambda: modified_resnet(config.vision, config.embed_dim))
    images = torch.empty(2, 3, *[config.vision.image_size] * 2, device="meta")
    forward, backward = flops(lambda: model(images))
    assert count_flops(config, images=2, texts=0).total == forward
    assert count_flops(config, images=2, texts=0, training=True).total == forward + backward


def all_ask(config):
    """What open_clip's attention pooling computes for tokens that nobody reads."""
    if not isinstance(config.vision, ResNetConfig):
        return 0
    unread, d = config.vision.grid_size**2, config.vision.feature_dim
    return unread * (2 * d * d + 4 * (unread + 1) * d + 2 * d * config.embed_dim)


@pytest.mark.parametrize("name", PROFILE)
def test_gflops_in_open_clips_profile(name):
    config = clip.get_config(name)
    count, more = count_flops(config), all_ask(config)
    found = (
        count.vision.total + count.text.total + more,
        count.vision.total + more,
        count.text.total,
    )
    assert tuple(round(number / 1e9, 2) for number in found) == PROFILE[name][3:]


def test_a_siglip_is_refused():
    for counting in (count_parameters, count_flops):
        with pytest.raises(TypeError, match="CLIPConfig"):
            counting(get_config("tiny"))
