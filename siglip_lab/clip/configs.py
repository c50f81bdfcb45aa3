"""Shapes of CLIP models: what the ResNets need beside SigLIP's configs, and OpenAI's nine by name.

Source: CLIP (arXiv 2103.00020), tables 19 and 20; openai/CLIP, ``clip/model.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from siglip_lab.checks import check_size, shown
from siglip_lab.configs import TextConfig, VisionConfig
from siglip_lab.published import TOWERS

__all__ = ["CLIPConfig", "ResNetConfig", "get_config", "list_models"]


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of CLIP's ModifiedResNet: a stem, four stages of bottleneck blocks, attention pooling.

    >>> config = ResNetConfig(image_size=224, width=64, layers=(3, 4, 6, 3))
    >>> config.grid_size, config.feature_dim, config.num_heads
    (7, 2048, 32)
    """

    image_size: int  # side of the square input image, in pixels; a multiple of 32
    width: int  # channels after the stem, even; the last feature map has 32 times as many
    layers: tuple[int, int, int, int]  # number of blocks in each stage

    def __post_init__(self):
        if not isinstance(self.layers, tuple):
            raise TypeError(f"layers must be a tuple of four integers, got {self.layers!r}")
        if len(self.layers) != 4:
            raise ValueError(f"layers must name four stages, got {self.layers!r}")
        check_size("image_size", self.image_size)
        check_size("width", self.width)
        for count in self.layers:
            check_size("layers", count)
        if self.width % 2:
            raise ValueError(f"width {self.width} is odd: the stem begins with half the width")
        if self.image_size % 32:
            raise ValueError(
                f"image_size {self.image_size} is no multiple of 32: the image is halved five "
                "times, and the position table is made for the exact grid"
            )

    @property
    def grid_size(self) -> int:
        """Side of the last feature map."""
        return self.image_size // 32

    @property
    def feature_dim(self) -> int:
        """Channels of the last feature map: the attention pooling's width."""
        return self.width * 32

    @property
    def num_heads(self) -> int:
        """Heads of the attention pooling, of 64 numbers each."""
        return self.feature_dim // 64


@dataclass(frozen=True)
class CLIPConfig:
    """Shape of a whole CLIP: an image tower and a text tower, both projected to one size."""

    vision: VisionConfig | ResNetConfig  # a ViT's, which has a class token beside the patches, too
    text: TextConfig
    embed_dim: int  # size of an image or text embedding

    def __post_init__(self):
        if not isinstance(self.vision, (VisionConfig, ResNetConfig)):
            raise TypeError(f"vision must be a VisionConfig or ResNetConfig, got {self.vision!r}")
        if not isinstance(self.text, TextConfig):
            raise TypeError(f"text must be a TextConfig, got {self.text!r}")
        check_size("embed_dim", self.embed_dim)


def _published(vision: VisionConfig | ResNetConfig, embed_dim: int, text_width: int) -> CLIPConfig:
    shape = {"width": text_width, "depth": 12, "num_heads": text_width // 64}
    return CLIPConfig(vision, TextConfig(49_408, 77, **shape, mlp_dim=4 * text_width), embed_dim)


_PUBLISHED = {
    "RN50": _published(ResNetConfig(224, 64, (3, 4, 6, 3)), 1024, 512),
    "RN101": _published(ResNetConfig(224, 64, (3, 4, 23, 3)), 512, 512),
    "RN50x4": _published(ResNetConfig(288, 80, (4, 6, 10, 6)), 640, 640),
    "RN50x16": _published(ResNetConfig(384, 96, (6, 8, 18, 8)), 768, 768),
    "RN50x64": _published(ResNetConfig(448, 128, (3, 15, 36, 10)), 1024, 1024),
    "ViT-B/32": _published(VisionConfig(224, 32, **TOWERS["base"]), 512, 512),
    "ViT-B/16": _published(VisionConfig(224, 16, **TOWERS["base"]), 512, 512),
    "ViT-L/14": _published(VisionConfig(224, 14, **TOWERS["large"]), 768, 768),
    "ViT-L/14@336px": _published(VisionConfig(336, 14, **TOWERS["large"]), 768, 768),
}


def list_models() -> list[str]:
    """Names of OpenAI's nine published models.

    >>> list_models()[0], len(list_models())
    ('RN50', 9)
    """
    return [*_PUBLISHED]


def get_config(name: str) -> CLIPConfig:
    """Shape of a model by its name, one of `list_models`.

    >>> get_config("ViT-L/14@336px").vision.num_patches
    576
    """
    if name not in _PUBLISHED:
        raise ValueError(
            f"unknown model {shown(repr(name))}; known models: {', '.join(_PUBLISHED)}"
        )
    return _PUBLISHED[name]
