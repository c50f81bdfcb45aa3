"""Whose vectors they are: an index says which model made them, and takes no other's questions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from siglip_lab.checks import shown
from siglip_lab.model import TwoTowers
from siglip_lab.processor import Processor
from siglip_lab.training.state import model_fingerprint

__all__ = ["KINDS", "MANIFEST", "Manifest", "describe", "dtype_of", "read_manifest"]

MANIFEST = "manifest.json"
KINDS = ("images", "texts")
_SETTINGS = ("image_size", "resample", "max_num_patches", "patch_size")  # of processors


@dataclass(frozen=True)
class Manifest:
    """What is known of an index beside its vectors.

    Args:
        kind: What was embedded: "images" or "texts".
        rows: How many vectors there are.
        width: Numbers of a vector, float32.
        normalised: Whether each has length 1: they have.
        model: Where the model came from.
        revision: Its commit, branch or tag, if it came from a hub.
        weights: A fingerprint of its weights.
        preprocessing: What its processor does.
        computed_in: The type that the towers computed in.
        source: The folder that names of pictures are relative to.
        skipped: How many could not be read; skipped.json says which, and why.
        siglip_lab: The version of this library.
    """

    kind: str
    rows: int
    width: int
    normalised: bool
    model: str
    revision: str | None
    weights: str
    preprocessing: dict[str, Any]
    computed_in: str
    source: str
    skipped: int
    siglip_lab: str

    def check(self, folder: Path, model: TwoTowers, processor: Processor) -> None:
        """Refuse a model or a processor that did not make this index."""
        made_by = f"{shown(folder, 60)} was made by {shown(self.model, 60)}"
        if (self.width, self.weights) != (model.config.embed_dim, model_fingerprint(model)):
            raise ValueError(
                f"{made_by}; the model given has other weights, and its vectors cannot be compared "
                f"with these: load {shown(self.model, 60)} in the dtype of its file, or embed again"
            )
        now = describe(processor)
        odd = next((key for key, value in self.preprocessing.items() if now.get(key) != value), "")
        if odd or now.keys() != self.preprocessing.keys():
            raise ValueError(
                f"{made_by} and its processor, whose {odd or 'settings'} is "
                f"{self.preprocessing.get(odd)}, not {now.get(odd)}: load the processor of that "
                "model"
            )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def describe(processor: Processor) -> dict[str, Any]:
    """What decides how a processor's inputs look; its vocabulary as a few letters."""
    found = {name: getattr(processor, name) for name in _SETTINGS if hasattr(processor, name)}
    digest = hashlib.sha256()
    for name, content in sorted(processor.tokenizer.files().items()):
        digest.update(name.encode() + content)
    length = processor.tokenizer.context_length
    return found | {"context_length": length, "tokenizer": digest.hexdigest()[:16]}


def dtype_of(model: nn.Module) -> str:
    """The type that most of a model's numbers have, in which its towers compute."""
    dtype: torch.dtype = max(model.parameters(), key=torch.numel).dtype
    return str(dtype).removeprefix("torch.")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an index.

    Raises:
        FileNotFoundError: If the folder holds no index.
        ValueError: If the manifest is damaged, or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{shown(folder, 120)} holds no index: siglip-lab embed PICTURES OUT makes one; the "
            "same command again finishes one that was stopped"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        manifest = Manifest(**content)
        numbers = (manifest.rows, manifest.width)
        if manifest.kind not in KINDS or manifest.normalised is not True or min(numbers) < 1:
            raise ValueError("a value is not one that it can have")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{shown(path, 90)} is damaged, or of another version of this library "
            f"({shown(error, 120)}): embed again"
        ) from error
    return manifest
