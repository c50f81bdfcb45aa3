"""The published models by name, and the two that ship with the package: tiny and emoji.

Source: big_vision, ``models/vit.py``, ``SigLIP_demo.ipynb`` and ``README_siglip2.md``.
"""

from __future__ import annotations

from siglip_lab.checks import shown
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig

__all__ = ["NAFLEX", "TOWERS", "get_config", "list_models"]

TOWERS = {  # the names are the sizes', also in other families
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
    # The other one learned drawings by eight hands, and has room for more words.
    "emoji": SigLIPConfig(
        VisionConfig(40, 8, width=128, depth=6, num_heads=4, mlp_dim=512),
        TextConfig(1024, 16, width=96, depth=2, num_heads=4, mlp_dim=384),
    ),
}
_CONFIGS |= _named("siglip2", _V2, 256_000)
# SigLIP 2 for images of any shape: the image is the table of positions, 16 x 16
NAFLEX = {
    f"siglip2-{tower}-patch16-naflex": _published(tower, "16-256", 256_000)
    for tower in ("base", "so400m")
}


def list_models(version: int = 1) -> list[str]:
    """Names of the models.

    Args:
        version: 1 for the ten published SigLIP v1 checkpoints, "tiny" and "emoji"; 2 for the
            fifteen of SigLIP 2 at fixed resolution. Those for any shape are in `siglip2`.

    >>> len(list_models()), list_models()[-2:], len(list_models(version=2))
    (12, ['tiny', 'emoji'], 15)
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
    if short in NAFLEX:
        raise ValueError(f"{short} takes images of any shape: use siglip_lab.siglip2.get_config")
    if short not in _CONFIGS:
        raise ValueError(f"unknown model {shown(repr(name))}; known models: {', '.join(_CONFIGS)}")
    return _CONFIGS[short]
