"""SigLIP, SigLIP 2 for images of any shape, and CLIP: which of them a name or a folder means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import siglip_lab
from siglip_lab import clip, siglip2
from siglip_lab.checks import shown
from siglip_lab.clip.loading import CLIP_FORMAT
from siglip_lab.loading.pretrained import EMBEDDED, SIGLIP, resolve
from siglip_lab.loading.weights import read_json
from siglip_lab.model import SigLIP, TwoTowers
from siglip_lab.processor import Processor
from siglip_lab.published import list_models
from siglip_lab.siglip2.configs import SIGLIP2
from siglip_lab.tokenizer import Tokenizer

__all__ = ["Family", "family_of", "load_pair", "named_family", "random_pair"]


@dataclass(frozen=True)
class Family:
    """The functions for a kind of model, and the classes of its model and its processor."""

    functions: ModuleType
    model: type[TwoTowers]
    processor: type[Processor]


_SIGLIP = Family(siglip_lab, SigLIP, Processor)
_NAFLEX = Family(siglip2, siglip2.SigLIP2, siglip2.Processor)
_CLIP = Family(clip, clip.CLIP, clip.Processor)
_KINDS = {"siglip2": _NAFLEX, "clip": _CLIP}  # by model_type in config.json


def named_family(name: str) -> Family:
    """The family of a published name.

    Raises:
        ValueError: If no model has the name.
    """
    short = name.removeprefix("google/")
    families = (
        (_SIGLIP, [*list_models(), *list_models(version=2)]),
        (_NAFLEX, siglip2.list_models()),
        (_CLIP, clip.list_models()),
    )
    for family, names in families:
        if short in names:
            return family
    known = ", ".join(name for _, names in families for name in names)
    raise ValueError(f"unknown model {shown(repr(name))}; known models: {known}")


def family_of(where: str | os.PathLike) -> Family:
    """The family of a checkpoint, by its config; a file alone is a SigLIP.

    Args:
        where: As for `SigLIP.from_pretrained`, or for `clip.CLIP.from_pretrained`.
    """
    repositories = {
        **SIGLIP.repositories, **SIGLIP2.repositories, **CLIP_FORMAT.repositories
    }  # fmt: skip
    config = resolve(where, repositories, weights=False) / "config.json"
    if not config.is_file():
        return _SIGLIP
    return _KINDS.get(str(read_json(config).get("model_type")), _SIGLIP)


def load_pair(where: str | os.PathLike, **options: Any) -> tuple[TwoTowers, Processor]:
    """Load a model of any family with its processor.

    Args:
        where: As for `family_of`.
        options: As for `SigLIP.from_pretrained`.
    """
    family = family_of(where)
    processor = family.processor.from_pretrained(where)  # first: it is there at once, or refuses
    return family.model.from_pretrained(where, **options), processor


def random_pair(name: str) -> tuple[TwoTowers, Processor]:
    """A model of a published shape with random weights, for what does not depend on them.

    Its processor makes inputs of the right shapes; its vocabulary is tiny's.
    """
    family = named_family(name)
    config = family.functions.get_config(name.removeprefix("google/"))
    tokenizer = Tokenizer(EMBEDDED["tiny"] / "spiece.model", config.text.context_length)
    processor: Processor
    if family is _NAFLEX:
        processor = siglip2.Processor(tokenizer, patch_size=config.vision.patch_size)
    else:
        processor = family.processor(tokenizer, config.vision.image_size)
    return family.model(config, seed=0).eval(), processor  # type: ignore[call-arg]
