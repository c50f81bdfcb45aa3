"""Shapes of SigLIP models, and the published ones by name.

Source: big_vision, ``models/vit.py``, ``SigLIP_demo.ipynb`` and ``README_siglip2.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from siglip_lab.checks import check_size, shown

__all__ = [
    "TOWERS", "SigLIPConfig", "TextConfig", "TowerConfig", "VisionConfig", "get_config",
    "list_models",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """What both towers have: a stack of equal encoder layers."""

    width: int  # size D of a token vector, in every layer
    depth: int  # number of encoder layers
    num_heads: int  # attention heads of a layer; must divide the width
    mlp_dim: int  # size of the hidden layer of each MLP

    def __post_init__(self):
        for field in fields(self):
            check_size(field.name, getattr(self, field.name))
        if self.width % self.num_heads:
            raise ValueError(
                f"width {self.width} cannot be split into {self.num_heads} equal heads; "
                "choose num_heads that divides it"
            )

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.width // self.num_heads


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """Shape of the image tower.

    The side of a patch need not divide the image's: what is left over at the bottom and at the
    right is never seen.

    >>> config = VisionConfig(384, 14, width=1152, depth=27, num_heads=16, mlp_dim=4304)
    >>> config.grid_size, config.num_patches, config.head_dim
    (27, 729, 72)
    """

    image_size: int  # side of the square input image, in pixels
    patch_size: int  # side P of a square patch, in pixels

    def __post_init__(self):
        super().__post_init__()
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


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """Shape of the text tower."""

    vocab_size: int  # number of pieces that the tokenizer knows
    context_length: int  # number L of tokens of every text; shorter ones are padded to it


@dataclass(frozen=True)
class SigLIPConfig:
    """Shape of a whole model; the text tower's head maps its width to the image tower's."""

    vision: VisionConfig
    text: TextConfig

    def __post_init__(self):
        for name, wanted in (("vision", VisionConfig), ("text", TextConfig)):
            if not isinstance(getattr(self, name), wanted):
                raise TypeError(f"{name} must be a {wanted.__name__}, got {getattr(self, name)!r}")

    @property
    def embed_dim(self) -> int:
        """Size of an image or text embedding: the image tower's width."""
        return self.vision.width


TOWERS = {  # of the models called so, also of other families
    "base": {"width": 768, "depth": 12, "num_heads": 12, "mlp_dim": 3072},
    "large": {"width": 1024, "depth": 24, "num_heads": 16, "mlp_dim": 4096},
    "so400m": {"width": 1152, "depth": 27, "num_heads": 16, "mlp_dim": 4304},
    "giant-opt": {"width": 1536, "depth": 40, "num_heads": 16, "mlp_dim": 6144},
}
# Side of a patch and side of the image, as in the names of the checkpoints
_V1 = {"base": "16-224 16-256 16-384 16-512", "large": "16-256 16-384", "so400m": "14-224 14-384"}
_V2 = {  # at fixed resolution the same model, with another vocabulary and tokenizer
    "base": "32-256 16-224 16-256 16-384 16-512",
    "large": "16-256 16-384 16-512",
    "so400m": "14-224 14-384 16-256 16-384 16-512",
    "giant-opt": "16-256 16-384",
}


def _published(tower: str, sizes: str, vocab_size: int, context_length: int = 64) -> SigLIPConfig:
    patch_size, image_size = map(int, sizes.split("-"))
    text = "so400m" if tower == "giant-opt" else tower
    return SigLIPConfig(
        VisionConfig(image_size, patch_size, **TOWERS[tower]),
        TextConfig(vocab_size, context_length, **TOWERS[text]),
    )


def _named(version: str, table: dict[str, str], vocab_size: int) -> dict[str, SigLIPConfig]:
    pairs = [(tower, sizes) for tower, row in table.items() for sizes in row.split()]
    return {f"{version}-{t}-patch{s}": _published(t, s, vocab_size) for t, s in pairs}


_CONFIGS = _named("siglip", _V1, 32_000) | {
    "siglip-so400m-patch14-224": _published("so400m", "14-224", 32_000, context_length=16),
    "siglip-base-patch16-256-multilingual": _published("base", "16-256", 250_000),
    "siglip-so400m-patch16-256-i18n": _published("so400m", "16-256", 250_000),
    # The small trained model that ships with the package keeps the quirks of the real ones: a patch
    # that does not divide the image, a head dimension and an MLP that are no powers of two.
    "tiny": SigLIPConfig(
        VisionConfig(40, 6, width=72, depth=4, num_heads=4, mlp_dim=270),
        TextConfig(384, 16, width=72, depth=2, num_heads=4, mlp_dim=270),
    ),
}
_CONFIGS |= _named("siglip2", _V2, 256_000)


def list_models(version: int = 1) -> list[str]:
    """Names of the models.

    Args:
        version: 1 for the ten published SigLIP v1 checkpoints and "tiny"; 2 for SigLIP 2 at fixed
            resolution, of which the shapes are known, and not the tokenizer.

    >>> len(list_models()), list_models()[-1], len(list_models(version=2))
    (11, 'tiny', 15)
    """
    if version not in (1, 2):
        raise ValueError(f"version must be 1 or 2, got {version!r}")
    return [name for name in _CONFIGS if name.startswith("siglip2") == (version == 2)]


def get_config(name: str) -> SigLIPConfig:
    """Shape of a model by its name: one of `list_models`, also after "google/".

    >>> get_config("siglip-so400m-patch14-384").vision.num_patches
    729
    """
    short = name.removeprefix("google/") if isinstance(name, str) else name
    if short not in _CONFIGS:
        raise ValueError(f"unknown model {shown(repr(name))}; known models: {', '.join(_CONFIGS)}")
    return _CONFIGS[short]
