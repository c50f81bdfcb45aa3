"""Shapes of CLIP models: what the ResNets need beside SigLIP's configs, and OpenAI's nine by name.

Source: CLIP (arXiv 2103.00020), tables 19 and 20; openai/CLIP, ``clip/model.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from siglip_lab.checks import check_size, shown
from siglip_lab.configs import TextConfig, VisionConfig

__all__ = ["CLIPConfig", "ResNetConfig", "get_config", "list_models"]


@dataclass(frozen=True)
class ResNetConfig:
    """Shape of CLIP's ModifiedResNet: a stem, four stages of bottleneck blocks, attention pooling.

    Args:
        image_size: Side of the square input image, in pixels; a multiple of 32.
        width: Channels after the stem, an even number; the last feature map has 32 times as many.
        layers: Number of blocks in each of the four stages.

    Raises:
        TypeError: If a value is not an integer, or the layers are no tuple.
        ValueError: If the shape cannot be built.

    >>> config = ResNetConfig(image_size=224, width=64, layers=(3, 4, 6, 3))
    >>> config.grid_size, config.feature_dim, config.num_heads
    (7, 2048, 32)
    """

    image_size: int
    width: int
    layers: tuple[int, int, int, int]

    def __post_init__(self):
        if not isinstance(self.layers, tuple):
            raise TypeError(f"layers must be a tuple of four integers, got {self.layers!r}")
        if len(self.layers) != 4:
            raise ValueError(f"layers must name four stages, got {self.layers!r}")
        values = {"image_size": self.image_size, "width": self.width}
        for name, value in [*values.items(), *(("layers", count) for count in self.layers)]:
            check_size(name, value)
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
    """Shape of a whole CLIP: an image tower, a text tower, both projected to `embed_dim`.

    Args:
        vision: `VisionConfig` for a ViT (with a class token in front of the patches), or
            `ResNetConfig`.
        text: Shape of the text tower.
        embed_dim: Size of an image or text embedding.

    Raises:
        TypeError: If a tower's config is of another class, or the size is no integer.
    """

    vision: VisionConfig | ResNetConfig
    text: TextConfig
    embed_dim: int

    def __post_init__(self):
        if not isinstance(self.vision, (VisionConfig, ResNetConfig)):
            raise TypeError(f"vision must be a VisionConfig or ResNetConfig, got {self.vision!r}")
        if not isinstance(self.text, TextConfig):
            raise TypeError(f"text must be a TextConfig, got {self.text!r}")
        check_size("embed_dim", self.embed_dim)


def _published(vision, embed_dim, text_width):
    shape = {"width": text_width, "depth": 12, "num_heads": text_width // 64}
    return CLIPConfig(vision, TextConfig(49_408, 77, **shape, mlp_dim=4 * text_width), embed_dim)


_BASE = {"width": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072}
_LARGE = {"width": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096}

_PUBLISHED = {
    "RN50": _published(ResNetConfig(224, 64, (3, 4, 6, 3)), 1024, 512),
    "RN101": _published(ResNetConfig(224, 64, (3, 4, 23, 3)), 512, 512),
    "RN50x4": _published(ResNetConfig(288, 80, (4, 6, 10, 6)), 640, 640),
    "RN50x16": _published(ResNetConfig(384, 96, (6, 8, 18, 8)), 768, 768),
    "RN50x64": _published(ResNetConfig(448, 128, (3, 15, 36, 10)), 1024, 1024),
    "ViT-B/32": _published(VisionConfig(224, 32, **_BASE), 512, 512),
    "ViT-B/16": _published(VisionConfig(224, 16, **_BASE), 512, 512),
    "ViT-L/14": _published(VisionConfig(224, 14, **_LARGE), 768, 768),
    "ViT-L/14@336px": _published(VisionConfig(336, 14, **_LARGE), 768, 768),
}


def list_models() -> list[str]:
    """Names of OpenAI's nine published models.

    >>> list_models()[0], len(list_models())
    ('RN50', 9)
    """
    return [*_PUBLISHED]


def get_config(name: str) -> CLIPConfig:
    """Shape of a model by its name.

    Args:
        name: One of `list_models`.

    Returns:
        The model's config.

    Raises:
        ValueError: If no model has this name.

    >>> get_config("ViT-L/14@336px").vision.num_patches
    576
    """
    if name not in _PUBLISHED:
        raise ValueError(
            f"unknown model {shown(repr(name))}; known models: {', '.join(_PUBLISHED)}"
        )
    return _PUBLISHED[name]
