"""Parameters and FLOPs of a CLIP, as openai/CLIP builds it: what differs from SigLIP's counts."""

from __future__ import annotations

from collections.abc import Callable

from siglip_lab.checks import shown
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.configs import VisionConfig
from siglip_lab.counting import (
    batch_flops,
    encoder_flops,
    encoder_parameters,
    text_flops,
    text_parameters,
)
from siglip_lab.counts import Count

__all__ = ["count_flops", "count_parameters"]


def count_parameters(config: CLIPConfig) -> Count:
    """Count a CLIP's learned numbers, part by part, as `siglip_lab.count_parameters`.

    The running statistics of a ResNet's batch norms are not learned, and not counted.

    >>> from siglip_lab import clip
    >>> count_parameters(clip.get_config("ViT-B/32")).total
    151277313
    """
    _check(config)
    vision, text, e = config.vision, config.text, config.embed_dim
    if isinstance(vision, ResNetConfig):
        image_tower = _resnet_parameters(vision, e)
    else:
        image_tower = _vit_parameters(vision, e)
    text_tower = text_parameters(text, e) | {"head": text.width * e}  # no bias
    content = {"vision": image_tower, "text": text_tower, "scalars": {"logit scale": 1}}
    return Count.of("parameters", content)


def count_flops(
    config: CLIPConfig,
    images: int = 1,
    texts: int = 1,
    training: bool = False,
    attention_maps: bool = True,
) -> Count:
    """Count the FLOPs of one pass over a batch, as `siglip_lab.count_flops`.

    Source: for the ViTs, the digits of open_clip's ``docs/model_profile.csv``. For the ResNets,
    open_clip lets all tokens of the attention pooling ask, though only the first is read: its
    numbers are larger by what `AttentionPool2d` does not compute.

    >>> from siglip_lab import clip
    >>> round(count_flops(clip.get_config("RN50"), texts=0).total / 1e9, 2)
    11.59
    """
    _check(config)
    vision, text, e = config.vision, config.text, config.embed_dim
    if isinstance(vision, ResNetConfig):
        image_tower = _resnet_flops(vision, e)
    else:
        image_tower = _vit_flops(vision, e)
    text_tower = text_flops(text, e)
    return batch_flops(image_tower, text_tower, e, images, texts, training, attention_maps)


def _check(config: CLIPConfig) -> None:
    if not isinstance(config, CLIPConfig):
        raise TypeError(f"config must be a CLIPConfig, got {shown(repr(config))}")


def _vit_parameters(config: VisionConfig, embed_dim: int) -> dict:
    d = config.width
    embeddings = {
        "patches": 3 * config.patch_size**2 * d,  # no bias
        "class token": d,
        "positions": (1 + config.num_patches) * d,
        "norm": 2 * d,
    }
    layers = encoder_parameters(config)
    return {"embeddings": embeddings, **layers, "final norm": 2 * d, "head": d * embed_dim}


def _vit_flops(config: VisionConfig, embed_dim: int) -> dict:
    n, d = config.num_patches, config.width
    patches = {"patches": n * 2 * 3 * config.patch_size**2 * d}
    layers = encoder_flops(config, 1 + n)  # a class token
    return {"embeddings": patches, **layers, "head": 2 * d * embed_dim}


def _resnet_parameters(config: ResNetConfig, embed_dim: int) -> dict:
    d = config.feature_dim
    positions = (1 + config.grid_size**2) * d  # the mean, too, has one
    attention = 3 * (d * d + d) + d * embed_dim + embed_dim
    stages = _sums(config, lambda k, i, o, side: k**2 * i * o + 2 * o)  # and a batch norm's
    return stages | {"head": {"positions": positions, "attention": attention}}


def _resnet_flops(config: ResNetConfig, embed_dim: int) -> dict:
    n, d = 1 + config.grid_size**2, config.feature_dim
    attention = 2 * d * d + n * 2 * (2 * d * d) + 2 * d * embed_dim  # q; k, v of all tokens; out
    stages = _sums(config, lambda k, i, o, side: side**2 * 2 * k**2 * i * o)
    return stages | {"head": {"attention": attention, "attention map": 2 * (2 * n * d)}}


def _sums(config: ResNetConfig, of: Callable[[int, int, int, int], int]) -> dict:
    """Stage -> block -> `of` added up over its convolutions."""
    return {
        stage: {block: sum(of(*shape) for shape in shapes) for block, shapes in blocks.items()}
        for stage, blocks in _convolutions(config).items()
    }


def _convolutions(config: ResNetConfig) -> dict:
    """Stage -> block -> its (kernel, channels in, channels out, side of the output)."""
    width, side = config.width, config.image_size // 2  # the first convolution has stride 2
    half = width // 2
    stem = [(3, 3, half, side), (3, half, half, side), (3, half, width, side)]
    stages = {"stem": {f"convolution {i}": [convolution] for i, convolution in enumerate(stem)}}
    channels, side = width, side // 2
    for stage, depth in enumerate(config.layers):
        inner, outer = width * 2**stage, 4 * width * 2**stage
        blocks = stages[f"stage {stage}"] = {}
        for block in range(depth):
            convolutions = [(1, channels, inner, side), (3, inner, inner, side)]
            side //= 2 if stage > 0 and block == 0 else 1  # an average pooling after the 3x3
            convolutions.append((1, inner, outer, side))
            if block == 0:  # the shortcut changes size
                convolutions.append((1, channels, outer, side))
            blocks[f"block {block}"], channels = convolutions, outer
    return stages
