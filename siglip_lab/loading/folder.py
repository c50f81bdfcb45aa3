"""Hugging Face's folders, in and out: config, weights, settings of the preprocessing.

A folder is what ``save_pretrained`` of transformers writes: ``config.json``, ``model.safetensors``
(or its shards with an index), ``spiece.model``, ``preprocessor_config.json`` and
``tokenizer_config.json``. What it says and this library does not honour is refused.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from siglip_lab.checks import CheckpointError, check_size, shown
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading.weights import (
    FLOATS,
    INDEX,
    Module,
    assign,
    check_finite,
    check_names,
    check_shape,
    check_type,
    convert,
    locate,
    open_safetensors,
    read_json,
)

__all__ = [
    "FIXED", "FIXED_VISION", "GEMMA_SETTINGS", "SIZES", "SPIECE_SETTINGS", "TEXT_SIZES",
    "config_errors", "image_settings", "joined", "load_folder", "loadable", "read_siglip",
    "read_text_tower", "read_tower", "read_vision_tower", "target", "text_shape", "tower_shape",
    "tower_values", "write_files", "write_siglip", "write_text_tower", "write_vision_tower",
]  # fmt: skip

# What a folder may hold beside the weights that are wanted. Older versions of transformers stored
# tables 0, 1, 2, … of positions.
POSITION_IDS = r"(\w+\.)?embeddings\.position_ids"
Settings = Mapping[str, tuple]  # what each setting may be; the first is what is written


# ---- weights -------------------------------------------------------------------------------------


def load_folder(
    folder: Path,
    model: Module,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    prefix: str = "",
    beside: str = POSITION_IDS,
) -> Module:
    """Put a folder's tensors into a model on the meta device, once every one has been checked.

    Args:
        folder: The checkpoint folder.
        model: The model.
        device: Where to put the weights; None: the CPU.
        dtype: Their type; None: the file's.
        prefix: What is before the model's names in folders that hold more than it.
        beside: Pattern of the other names that such a folder may have.

    Returns:
        The model.
    """
    locations = locate(folder)
    prefix = prefix if any(name.startswith(prefix) for name in locations) else ""
    expected = {prefix + name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name for name in locations if name in expected or not re.fullmatch(beside, name)}
    check_names(folder, expected.keys(), found)
    for path in sorted({locations[name] for name in expected}):
        with open_safetensors(path) as file:
            for name in expected.keys() & set(file.keys()):
                view = file.get_slice(name)
                check_shape(path, name, view.get_shape(), expected[name], "config.json asks")
                check_type(path, name, FLOATS.get(view.get_dtype(), view.get_dtype()))
    tensors = {}
    for path, names in _groups({name: locations[name] for name in expected}):
        with open_safetensors(path) as file:
            for name in names:
                ours = name.removeprefix(prefix)
                tensors[ours] = convert(ours, file.get_tensor(name), device, dtype)
    return assign(folder, model, tensors)


def _groups(locations: dict[str, Path], most: int = 32) -> Iterator[tuple[Path, list[str]]]:
    """The tensors of each file, a few at a time: what is converted can leave the memory."""
    for path in sorted(set(locations.values())):
        names = [name for name, where in locations.items() if where == path]
        for start in range(0, len(names), most):
            yield path, names[start : start + most]


def loadable(folder: Path, model: nn.Module, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take a model's tensors, if they are those that loading will ask for.

    Shards of FSDP (DTensor) are gathered, for which all ranks have to come here.

    Raises:
        CheckpointError: If names or shapes are not those of the model's config, tensors share
            memory, are no floats, or hold NaN.
    """
    found = model.state_dict()
    what = "model.config (merge LoRA, remove parametrizations, or rebuild)"
    check_names(folder, expected.keys(), found.keys(), what)
    tensors = {name: _whole(tensor).contiguous() for name, tensor in found.items()}
    for name, tensor in tensors.items():
        check_shape(folder, name, tensor.shape, expected[name].shape, "model.config asks")
        check_type(folder, name, tensor.dtype)
    places = sorted((tensor.data_ptr(), tensor.nbytes, name) for name, tensor in tensors.items())
    for (start, size, one), (end, _, two) in pairwise(places):
        if start + size > end:
            raise CheckpointError(
                f"{folder}: {one} and {two} share memory, or are on the meta device; a checkpoint "
                "holds each for itself: copy.deepcopy the shared layer, or load the weights"
            )
    check_finite(folder, tensors)
    return tensors


def _whole(tensor: Tensor) -> Tensor:
    """A tensor, gathered if it is spread over processes."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


# ---- config.json ---------------------------------------------------------------------------------

SIZES = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072,
}  # fmt: skip
_VISION_SIZES = SIZES | {"image_size": 224, "patch_size": 16}
TEXT_SIZES = SIZES | {"vocab_size": 32_000, "max_position_embeddings": 64}
FIXED = {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
FIXED_VISION = FIXED | {"num_channels": 3, "vision_use_head": True}


def read_siglip(path: Path, content: dict[str, Any]) -> tuple[SigLIPConfig]:
    """Read the shape of a whole SigLIP.

    Published files store only what differs from the defaults of transformers' `SiglipConfig`.

    Args:
        path: The ``config.json``, for messages.
        content: What is in it.

    Returns:
        What `SigLIP` is built from.

    Raises:
        CheckpointError: If the folder holds another model, or what SigLIP v1 does not have.
    """
    if content.get("model_type") == "siglip2":
        raise CheckpointError(
            f"{path}: model_type is 'siglip2', a SigLIP 2 for images of any shape (NaFlex): use "
            "siglip_lab.siglip2.SigLIP2.from_pretrained and siglip2.Processor.from_pretrained"
        )
    _check_kind(path, content)
    (vision,) = read_vision_tower(path, content)
    return (joined(path, vision, *read_text_tower(path, content)),)


def joined(path: Path, vision: VisionConfig, text: TextConfig, embed_dim: int) -> SigLIPConfig:
    """Two towers as one model, if their embeddings are of one size."""
    if embed_dim != vision.width:
        raise CheckpointError(
            f"{path}: image embeddings have size {vision.width} (vision_config.hidden_size), text "
            f"embeddings {shown(embed_dim)} (text_config.projection_size): they must be equal"
        )
    return SigLIPConfig(vision, text)


def read_vision_tower(path: Path, content: dict[str, Any]) -> tuple[VisionConfig]:
    """Read the shape of the image tower, of a folder with it alone or with all of SigLIP."""
    values = _part(path, content, "vision", _VISION_SIZES, FIXED_VISION)
    with config_errors(path):
        return (VisionConfig(values["image_size"], values["patch_size"], **tower_shape(values)),)


def read_text_tower(path: Path, content: dict[str, Any]) -> tuple[TextConfig, int]:
    """Read the shape of the text tower and the size of its embedding."""
    return text_shape(path, _part(path, content, "text", TEXT_SIZES, FIXED))


def text_shape(path: Path, values: dict[str, Any]) -> tuple[TextConfig, int]:
    """Translate Hugging Face's names of a text tower's sizes into its shape and embedding size."""
    with config_errors(path):
        length = values["max_position_embeddings"]
        text = TextConfig(values["vocab_size"], length, **tower_shape(values))
        embed_dim = values.get("projection_size")
        embed_dim = text.width if embed_dim is None else embed_dim
        check_size("text_config.projection_size", embed_dim)
        return text, embed_dim


def _part(path: Path, content: dict, part: str, sizes: dict, fixed: dict) -> dict[str, Any]:
    if content.get("model_type") == f"siglip_{part}_model":
        return read_tower(path, {f"{part}_config": content}, f"{part}_config", sizes, fixed)
    if part == "text" or not _is_classifier(content):  # a classifier has an image tower
        _check_kind(path, content)
    return read_tower(path, content, f"{part}_config", sizes, fixed)


def _is_classifier(content: dict) -> bool:
    return "SiglipForImageClassification" in str(content.get("architectures"))


def _check_kind(path: Path, content: dict) -> None:
    """Refuse what holds no whole SigLIP."""
    kind = str(content.get("model_type"))
    tower = {"siglip_vision_model": "VisionTower", "siglip_text_model": "TextTower"}.get(kind)
    if _is_classifier(content):
        tower = "VisionTower"
    if tower:
        raise CheckpointError(
            f"{path}: the folder holds one tower, not a whole SigLIP: load it by "
            f"{tower}.from_pretrained"
        )
    if kind != "siglip":
        found = shown(repr(content.get("model_type")))
        raise CheckpointError(f"{path}: model_type is {found}, expected 'siglip'")


@contextlib.contextmanager
def config_errors(path: Path) -> Iterator[None]:
    """Name the file in what a shape refuses: a context."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_tower(
    path: Path, content: dict[str, Any], part: str, sizes: dict[str, int], fixed: dict[str, Any]
) -> dict[str, Any]:
    """Read one part of a ``config.json`` over its defaults; what is fixed must be as it is here."""
    given = content.get(part)
    if not isinstance(given, (dict, type(None))):
        raise CheckpointError(f"{path}: {part} is {shown(repr(given))}, expected an object")
    fixed = fixed | {"attention_dropout": 0.0}
    values = sizes | fixed | (given or {})
    for key, value in fixed.items():
        if values[key] != value:
            found = shown(repr(values[key]))
            raise CheckpointError(f"{path}: {part}.{key} is {found}; this model has {value!r}")
    return values


def tower_shape(values: dict[str, Any]) -> dict[str, Any]:
    """Translate Hugging Face's names of a tower's sizes into ours."""
    return {
        "width": values["hidden_size"],
        "depth": values["num_hidden_layers"],
        "num_heads": values["num_attention_heads"],
        "mlp_dim": values["intermediate_size"],
    }


def tower_values(config: VisionConfig | TextConfig) -> dict[str, Any]:
    """Translate our names of a tower's sizes into Hugging Face's."""
    values = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
    }
    if isinstance(config, VisionConfig):
        return values | {
            "image_size": config.image_size, "patch_size": config.patch_size, "num_channels": 3
        }  # fmt: skip
    return values | {
        "max_position_embeddings": config.context_length,
        "vocab_size": config.vocab_size,
    }


def write_siglip(config: SigLIPConfig) -> dict[str, Any]:
    """Describe a SigLIP as transformers does."""
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": write_text_tower(config.text, config.embed_dim),
        "vision_config": write_vision_tower(config.vision),
    }


def write_vision_tower(config: VisionConfig) -> dict[str, Any]:
    """Describe an image tower as transformers does."""
    names = {"architectures": ["SiglipVisionModel"], "model_type": "siglip_vision_model"}
    return names | FIXED | tower_values(config)


def write_text_tower(config: TextConfig, embed_dim: int) -> dict[str, Any]:
    """Describe a text tower as transformers does."""
    names = {"architectures": ["SiglipTextModel"], "model_type": "siglip_text_model"}
    tokens = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    return names | FIXED | tower_values(config) | tokens | {"projection_size": embed_dim}


# ---- settings of the preprocessing ---------------------------------------------------------------

SPIECE_SETTINGS: Settings = {
    "do_lower_case": (True,), "eos_token": ("</s>",), "pad_token": ("</s>",),
    "unk_token": ("<unk>",), "tokenizer_class": ("SiglipTokenizer",),
}  # fmt: skip
GEMMA_SETTINGS: Settings = {
    "add_bos_token": (False,), "add_eos_token": (True,), "do_lower_case": (True, None),
    "padding_side": ("right",),
    "bos_token": ("<bos>",), "eos_token": ("<eos>",), "pad_token": ("<pad>",),
    "unk_token": ("<unk>",), "mask_token": ("<mask>", None),
    "tokenizer_class": ("Siglip2Tokenizer", "GemmaTokenizer", "GemmaTokenizerFast"),
}  # fmt: skip


def image_settings(size: int) -> Settings:
    """List what a SigLIP folder's image processor may say; its first choice is what is written."""
    half, name = [0.5, 0.5, 0.5], "SiglipImageProcessor"
    return {
        "resample": (3, 2),  # bicubic, and SigLIP 2's bilinear
        "image_mean": (half,),
        "image_std": (half,),
        "size": ({"height": size, "width": size},),
        "default_to_square": (True, False, None),  # of sizes that are one number
        "image_processor_type": (name, f"{name}Fast", f"{name}Pil", None),
    }


# ---- writing -------------------------------------------------------------------------------------


def target(folder: str | os.PathLike, kind: str | None = None) -> Path:
    """Find the folder to write into, where no model of another kind is.

    Args:
        folder: The folder, which need not be there.
        kind: The ``model_type`` that a ``config.json`` in it may have; None: any.

    Raises:
        CheckpointError: If a model of another kind is there, or a damaged ``config.json``.
        NotADirectoryError: If it is a file.
        ValueError: If it is no path, or one that a shell would expand.
    """
    path, config = Path(folder), Path(folder) / "config.json"
    if not os.fspath(folder):
        raise ValueError('folder is ""; expected a path: "." is the folder you are in')
    if os.fspath(folder).startswith("~"):
        raise ValueError(f"{shown(folder, 120)}: expand ~ by os.path.expanduser(folder)")
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{shown(path, 120)} is a file; expected a folder")
    if kind is not None and config.exists():
        found = read_json(config).get("model_type")
        if found != kind:
            raise CheckpointError(
                f"{config} is of a {shown(repr(found))}, which a {kind!r} would replace: name "
                "another folder"
            )
    return path


def write_files(folder: Path, files: Mapping[str, Any], stale: Iterable[str] = ()) -> None:
    """Write files into a folder that at every moment loads as before, as after, or not at all.

    All are written beside, in a folder ".new-…" that only a kill leaves behind, then renamed in
    the given order. The config has to come last: between it and the weights, another shape is
    refused and the same loads. What no check can tell apart are the shards of an index: where
    there are such, nothing loads, for want of a config, until all else is in its place.

    Args:
        folder: The folder; made if need be.
        files: Bytes, tensors by name (``.safetensors``) or what becomes JSON, by name.
        stale: Names of files to remove then, which would win over the new ones.

    Raises:
        OSError: If there is no room or no right to write; the old files stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as new:
        for name, content in files.items():
            _write(Path(new) / name, content)
        if "model.safetensors" in files and (folder / INDEX).exists():
            (folder / "config.json").unlink(missing_ok=True)
            (folder / INDEX).unlink(missing_ok=True)
        for name in files:
            os.replace(Path(new) / name, folder / name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)


def _write(path: Path, content: Any) -> None:
    """Write bytes, tensors or JSON to the disk, with the permissions that new files have here."""
    path.touch()
    mode = path.stat().st_mode  # safetensors would leave 600, whatever the umask is
    if path.suffix == ".safetensors":
        try:
            save_file(content, path, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"cannot write {shown(path, 120)}: {error}") from error
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    path.chmod(mode)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
