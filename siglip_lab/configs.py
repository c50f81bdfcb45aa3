"""Shapes of SigLIP models: three frozen dataclasses, and the published models by name.

A config says how large each part is; it holds no weights. The numbers are those of the published
checkpoints (big_vision, ``models/vit.py`` and ``SigLIP_demo.ipynb``), the names are the papers'.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass

from siglip_lab.checks import check_size, shown

__all__ = ["VisionConfig", "TextConfig", "SigLIPConfig", "get_config", "list_models"]


@dataclass(frozen=True)
class VisionConfig:
    """Shape of the image tower.

    Args:
        image_size: Side of the square input image, in pixels.
        patch_size: Side of one square patch, in pixels. It need not divide `image_size`: what is
            left over at the bottom and at the right is never seen.
        width: Size D of a token vector, in every layer.
        depth: Number of encoder layers.
        num_heads: Attention heads in each layer and in the MAP head; must divide `width`.
        mlp_dim: Size of the hidden layer of each MLP.

    Raises:
        TypeError: If a value is not an integer.
        ValueError: If the shape cannot be built.

    >>> config = VisionConfig(image_size=384, patch_size=14, width=1152, depth=27,
    ...                       num_heads=16, mlp_dim=4304)
    >>> config.grid_size, config.num_patches, config.head_dim
    (27, 729, 72)
    """

    image_size: int
    patch_size: int
    width: int
    depth: int
    num_heads: int
    mlp_dim: int

    def __post_init__(self):
        _check(self)
        if self.image_size < self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is smaller than patch_size {self.patch_size}: "
                "no patch fits; use a larger image or a smaller patch"
            )

    @property
    def grid_size(self) -> int:
        """Whole patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """Number N of image tokens."""
        return self.grid_size**2

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.width // self.num_heads


@dataclass(frozen=True)
class TextConfig:
    """Shape of the text tower.

    Args:
        vocab_size: Number of pieces the tokenizer knows.
        context_length: Number of tokens of every text; shorter texts are padded to it.
        width: Size D of a token vector, in every layer.
        depth: Number of encoder layers.
        num_heads: Attention heads in each layer; must divide `width`.
        mlp_dim: Size of the hidden layer of each MLP.
        embed_dim: Size of the text embedding, the output of the head. Default: `width`.
        identity_head: True where the original model has no head. The published file (Hugging Face
            format) then holds an identity matrix and a zero bias, and so do random weights.

    Raises:
        TypeError: If a value is not an integer.
        ValueError: If the shape cannot be built.

    >>> TextConfig(32000, 64, width=1152, depth=27, num_heads=16, mlp_dim=4304).embed_dim
    1152
    """

    vocab_size: int
    context_length: int
    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    embed_dim: int | None = None
    identity_head: bool = False

    def __post_init__(self):
        if self.embed_dim is None:
            object.__setattr__(self, "embed_dim", self.width)
        _check(self)
        if self.identity_head and self.embed_dim != self.width:
            raise ValueError(
                f"an identity head keeps the width: embed_dim {self.embed_dim} must equal "
                f"width {self.width}"
            )

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.width // self.num_heads


@dataclass(frozen=True)
class SigLIPConfig:
    """Shape of a whole model: two towers whose embeddings have the same size.

    Args:
        vision: Shape of the image tower; its width is the size of the image embedding.
        text: Shape of the text tower.

    Raises:
        TypeError: If a tower's config is of another class.
        ValueError: If the two embeddings differ in size.
    """

    vision: VisionConfig
    text: TextConfig

    def __post_init__(self):
        for name, wanted in (("vision", VisionConfig), ("text", TextConfig)):
            if not isinstance(getattr(self, name), wanted):
                raise TypeError(f"{name} must be a {wanted.__name__}, got {getattr(self, name)!r}")
        if self.vision.width != self.text.embed_dim:
            raise ValueError(
                f"image embeddings have size {self.vision.width} (vision.width), text embeddings "
                f"{self.text.embed_dim} (text.embed_dim): they must be equal to be compared"
            )


TowerConfig = VisionConfig | TextConfig
SigLIPConfig.embed_dim = property(lambda self: self.vision.width)


def differences(found, wanted) -> str:
    """Where one config differs from another, in the first part that does."""
    values = [(f.name, getattr(found, f.name), getattr(wanted, f.name)) for f in fields(found)]
    values = [(name, one, other) for name, one, other in values if one != other]
    for name, one, other in values:
        if is_dataclass(one):
            return f"{name} {differences(one, other)}"
    return "; ".join(f"{name}={one}, not {other}" for name, one, other in values)


def _check(config) -> None:
    """Refuse what cannot be built: sizes that are no positive integers, heads that do not fit."""
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name == "identity_head":
            if not isinstance(value, bool):
                raise TypeError(f"identity_head must be True or False, got {shown(repr(value))}")
            continue
        check_size(field.name, value)
    if config.width % config.num_heads:
        raise ValueError(
            f"width {config.width} cannot be split into {config.num_heads} equal heads; "
            "choose num_heads that divides it"
        )


_BASE = {"width": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072}
_LARGE = {"width": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096}
_SO400M = {"width": 1152, "depth": 27, "num_heads": 16, "mlp_dim": 4304}


def _published(shape, patch_size, image_size, vocab_size=32_000, context_length=64, **text):
    return SigLIPConfig(
        VisionConfig(image_size, patch_size, **shape),
        TextConfig(vocab_size, context_length, **shape | text),
    )


_PUBLISHED = {
    "siglip-base-patch16-224": _published(_BASE, 16, 224),
    "siglip-base-patch16-256": _published(_BASE, 16, 256),
    "siglip-base-patch16-384": _published(_BASE, 16, 384),
    "siglip-base-patch16-512": _published(_BASE, 16, 512),
    "siglip-large-patch16-256": _published(_LARGE, 16, 256),
    "siglip-large-patch16-384": _published(_LARGE, 16, 384),
    "siglip-so400m-patch14-224": _published(_SO400M, 14, 224, context_length=16),
    "siglip-so400m-patch14-384": _published(_SO400M, 14, 384),
    "siglip-base-patch16-256-multilingual": _published(_BASE, 16, 256, vocab_size=250_000),
    "siglip-so400m-patch16-256-i18n": _published(
        _SO400M, 16, 256, vocab_size=250_000, identity_head=True
    ),
}

_GIANT_OPT = {"width": 1536, "depth": 40, "num_heads": 16, "mlp_dim": 6144}
_GIANT_TEXT = _SO400M | {"embed_dim": 1536}


# SigLIP 2 at fixed resolution is the same model with another vocabulary (big_vision,
# ``README_siglip2.md``). Shapes only: its tokenizer is not SigLIP's.
_SIGLIP2 = {
    "siglip2-base-patch32-256": _published(_BASE, 32, 256, 256_000),
    "siglip2-base-patch16-224": _published(_BASE, 16, 224, 256_000),
    "siglip2-base-patch16-256": _published(_BASE, 16, 256, 256_000),
    "siglip2-base-patch16-384": _published(_BASE, 16, 384, 256_000),
    "siglip2-base-patch16-512": _published(_BASE, 16, 512, 256_000),
    "siglip2-large-patch16-256": _published(_LARGE, 16, 256, 256_000),
    "siglip2-large-patch16-384": _published(_LARGE, 16, 384, 256_000),
    "siglip2-large-patch16-512": _published(_LARGE, 16, 512, 256_000),
    "siglip2-so400m-patch14-224": _published(_SO400M, 14, 224, 256_000),
    "siglip2-so400m-patch14-384": _published(_SO400M, 14, 384, 256_000),
    "siglip2-so400m-patch16-256": _published(_SO400M, 16, 256, 256_000),
    "siglip2-so400m-patch16-384": _published(_SO400M, 16, 384, 256_000),
    "siglip2-so400m-patch16-512": _published(_SO400M, 16, 512, 256_000),
    "siglip2-giant-opt-patch16-256": _published(_GIANT_OPT, 16, 256, 256_000, **_GIANT_TEXT),
    "siglip2-giant-opt-patch16-384": _published(_GIANT_OPT, 16, 384, 256_000, **_GIANT_TEXT),
}

# The small trained model that ships with the package keeps the quirks of the real ones: a patch
# that does not divide the image, a head dimension and an MLP that are no powers of two.
_TINY = SigLIPConfig(
    VisionConfig(image_size=40, patch_size=6, width=72, depth=4, num_heads=4, mlp_dim=270),
    TextConfig(384, 16, width=72, depth=2, num_heads=4, mlp_dim=270),
)


def list_models(version: int = 1) -> list[str]:
    """Names of the models.

    Args:
        version: 1 for the ten published SigLIP v1 checkpoints and "tiny", which the whole library
            works with; 2 for SigLIP 2 at fixed resolution, of which it knows the shapes alone.

    Raises:
        ValueError: If there is no such version.

    >>> len(list_models()), list_models()[-1], len(list_models(version=2))
    (11, 'tiny', 15)
    """
    if version not in (1, 2):
        raise ValueError(f"version must be 1 or 2, got {version!r}")
    return [*_PUBLISHED, "tiny"] if version == 1 else [*_SIGLIP2]


def get_config(name: str) -> SigLIPConfig:
    """Shape of a model by its name.

    Args:
        name: One of `list_models`, of either version; a leading "google/", as on the Hugging Face
            hub, is allowed.

    Returns:
        The model's config.

    Raises:
        ValueError: If no model has this name.

    >>> get_config("siglip-so400m-patch14-384").vision.num_patches
    729
    """
    configs = {**_PUBLISHED, "tiny": _TINY, **_SIGLIP2}
    short = name.removeprefix("google/") if isinstance(name, str) else name
    if short not in configs:
        raise ValueError(f"unknown model {shown(repr(name))}; known models: {', '.join(configs)}")
    return configs[short]
