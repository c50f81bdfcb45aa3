"""Shapes and folders of SigLIP 2 NaFlex.

Source: transformers, ``configuration_siglip2.py``; big_vision, ``README_siglip2.md``.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from siglip_lab import gemma
from siglip_lab.checks import CheckpointError, check_size, shown
from siglip_lab.configs import SigLIPConfig, VisionConfig
from siglip_lab.loading import folder as folders
from siglip_lab.loading.foreign import read_naflex_file
from siglip_lab.loading.pretrained import SIGLIP, TOKENIZERS, Format, resolve
from siglip_lab.loading.weights import read_json
from siglip_lab.published import NAFLEX

__all__ = ["SIGLIP2", "get_config", "is_naflex", "list_models"]


def list_models() -> list[str]:
    """Names of the published NaFlex models; the fifteen of fixed size are SigLIP's.

    >>> list_models()
    ['siglip2-base-patch16-naflex', 'siglip2-so400m-patch16-naflex']
    """
    return list(NAFLEX)


def get_config(name: str) -> SigLIPConfig:
    """Shape of a NaFlex model by its name, also after "google/"."""
    short = name.removeprefix("google/") if isinstance(name, str) else name
    if short not in NAFLEX:
        raise ValueError(
            f"unknown model {shown(repr(name))}; known models: {', '.join(NAFLEX)}; those of fixed "
            "size are siglip_lab.SigLIP's"
        )
    return NAFLEX[short]


# ---- folders -------------------------------------------------------------------------------------


def _read_config(path: Path, content: dict[str, Any]) -> tuple[SigLIPConfig]:
    """Read the shape that a ``config.json`` describes, over the defaults of `Siglip2Config`."""
    if content.get("model_type") == "siglip":
        raise CheckpointError(
            f"{path}: model_type is 'siglip': images of a fixed size, for "
            "siglip_lab.SigLIP.from_pretrained and siglip_lab.Processor.from_pretrained"
        )
    if content.get("model_type") != "siglip2":
        found = shown(repr(content.get("model_type")))
        raise CheckpointError(f"{path}: model_type is {found}, expected 'siglip2'")
    sizes = folders.SIZES | {"num_patches": 256, "patch_size": 16}
    vision = folders.read_tower(path, content, "vision_config", sizes, folders.FIXED_VISION)
    text = folders.read_tower(path, content, "text_config", folders.TEXT_SIZES, folders.FIXED)
    patches, patch_size = vision["num_patches"], vision["patch_size"]
    with folders.config_errors(path):
        check_size("num_patches", patches)
        check_size("patch_size", patch_size)
        side = math.isqrt(patches)
        if side**2 != patches:
            raise ValueError(f"num_patches is {patches}; expected a square, as 256 = 16 x 16")
        shape = VisionConfig(side * patch_size, patch_size, **folders.tower_shape(vision))
    return (folders.joined(path, shape, *folders.text_shape(path, text)),)


def _write_config(config: SigLIPConfig) -> dict[str, Any]:
    """Describe a model as transformers does."""
    vision = folders.tower_values(config.vision)
    del vision["image_size"]
    text = folders.tower_values(config.text) | {"projection_size": config.embed_dim}
    text |= {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    return {
        "architectures": ["Siglip2Model"],
        "model_type": "siglip2",
        "text_config": folders.FIXED | text | {"model_type": "siglip2_text_model"},
        "vision_config": folders.FIXED | vision | {
            "model_type": "siglip2_vision_model", "num_patches": config.vision.num_patches
        },
    }  # fmt: skip


def _image_settings(size: int) -> folders.Settings:
    """List what a NaFlex folder's image processor may say."""
    half, name = [0.5, 0.5, 0.5], "Siglip2ImageProcessor"
    return {
        "resample": (2,),
        "image_mean": (half,),
        "image_std": (half,),
        "default_to_square": (True, False, None),  # of sizes, which there are none
        "image_processor_type": (name, f"{name}Fast", f"{name}Pil", None),
    }


SIGLIP2 = Format(
    SigLIPConfig, get_config, _read_config, _write_config, read_naflex_file,
    repositories={name: f"google/{name}" for name in NAFLEX},
    image_settings=_image_settings,
    image_numbers=("max_num_patches", "patch_size"),
    tokenizers={gemma.FILE: TOKENIZERS[gemma.FILE]},
    processor_class="Siglip2Processor",
)  # fmt: skip


def is_naflex(where: str | os.PathLike, revision: str | None = None) -> bool:
    """Say by its config whether a folder, here or on a hub, holds a NaFlex model.

    Args:
        where: As for `SigLIP2.from_pretrained`, or for `SigLIP.from_pretrained`; a file says no.
        revision: Branch, tag or commit on a hub.
    """
    repositories = {**SIGLIP.repositories, **SIGLIP2.repositories}
    folder = resolve(where, repositories, revision, weights=False)
    config = folder / "config.json"
    return config.is_file() and read_json(config).get("model_type") == "siglip2"
