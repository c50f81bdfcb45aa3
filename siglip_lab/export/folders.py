"""A folder with a model's towers as ONNX, all that its inputs need, and what was measured."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from siglip_lab.checks import CheckpointError, shown
from siglip_lab.export.checking import CAPTIONS, measure, open_session, sample
from siglip_lab.export.fast_tokenizer import write_fast_tokenizer
from siglip_lab.export.towers import FILES, PACKAGES, check_extra
from siglip_lab.export.variants import SIZES, SUFFIXES, write_variants
from siglip_lab.inference import embed_texts
from siglip_lab.loading.folder import target
from siglip_lab.model import TwoTowers
from siglip_lab.pairs import check_fit
from siglip_lab.processor import Processor

__all__ = ["MANIFEST", "check_dtypes", "check_out", "export_onnx"]

MANIFEST = "export.json"
_SOFTMAX = "softmax over the texts of each image"
_SIGMOID = "sigmoid"


def export_onnx(
    model: TwoTowers,
    processor: Processor,
    folder: str | os.PathLike,
    dtypes: Sequence[str] = ("float32",),
) -> dict[str, Any]:
    """Write both towers as ONNX, with the settings of the preprocessing and of the tokenizer.

    Every file is run by ONNX Runtime and compared with the model before the folder gets its name:
    there is a whole folder or none.

    Args:
        model: A SigLIP, a SigLIP 2 or a CLIP.
        processor: Its processor.
        folder: What to make: it must be empty or not there yet.
        dtypes: Formats of the numbers, each in files of its own: "float32", "float16", "bfloat16"
            (stored so, computed in float32), "int8" (dynamic quantisation), "int8-weights".

    Returns:
        What ``export.json`` holds: how logits come of the vectors, and of each file its bytes,
        inputs, output, and how far its unit vectors are from PyTorch's float32, on eight pictures
        or captions: largest difference of a number, smallest cosine.

    Raises:
        ImportError: If the extra "export" is not installed.
        OSError: If there is something in the folder, no room or no right to write.
        ValueError: If a float32 file differs from PyTorch by more than 1e-4, or `dtypes` has
            unknown names.
    """
    model = check_fit(model, processor)
    dtypes = check_dtypes(dtypes)
    check_extra()
    out = check_out(folder)
    exact = _in_float32(model)
    embed_texts(exact, processor, CAPTIONS[0])  # refuses the tokenizer of another model
    _check_room(out, exact, dtypes)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=out.parent) as place:
            new = Path(place) / "export"  # whose rights are those that a new folder has here
            manifest = _write(new, exact, processor, dtypes)
            with contextlib.suppress(FileNotFoundError):
                out.rmdir()  # Windows renames onto no folder
            os.replace(new, out)
    except OSError as error:
        reason = shown(error.strerror or error, 90)
        raise type(error)(
            f"cannot write {shown(out, 90)} ({reason}); nothing of it is left: make room, or name "
            "a folder where you may write"
        ) from error
    return manifest


def check_dtypes(dtypes: Sequence[str]) -> list[str]:
    """Refuse unknown formats; each once, in the order of `SUFFIXES`."""
    listed = [dtypes] if isinstance(dtypes, str) else list(dtypes)
    unknown = [name for name in listed if name not in SUFFIXES]
    if unknown or not listed:
        found = shown(repr(unknown[0])) if unknown else "nothing"
        raise ValueError(f"dtypes has {found}; expected some of {', '.join(SUFFIXES)}")
    return [name for name in SUFFIXES if name in listed]


def check_out(folder: str | os.PathLike) -> Path:
    """Refuse a folder that has something in it, or is none."""
    path = target(folder).absolute()
    if path.exists() and any(path.iterdir()):
        raise FileExistsError(
            f"{shown(folder, 120)} is not empty: name a folder that is empty or not there yet"
        )
    return path


def _in_float32(model: TwoTowers) -> TwoTowers:
    """The model on the CPU in float32, itself if it is that already."""
    there = model.logit_scale.device.type == "cpu" and not model.training
    if there and all(parameter.dtype == torch.float32 for parameter in model.parameters()):
        return model
    return copy.deepcopy(model).to("cpu", torch.float32).eval()


def _check_room(out: Path, model: TwoTowers, dtypes: list[str]) -> None:
    numbers = sum(parameter.nbytes for parameter in model.parameters())
    needed = numbers * sum({"float32": 1.0, **{name: SIZES[name] for name in dtypes}}.values())
    place = out
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OSError(
            f"{shown(out, 90)}: {free / 1e9:.2f} GB are free, its files need {needed / 1e9:.2f} "
            "GB: make room, or name another disk"
        )


def _write(folder: Path, model: TwoTowers, processor: Processor, dtypes: list[str]) -> dict:
    """Write and measure everything."""
    processor.save_pretrained(folder)
    write_fast_tokenizer(processor.tokenizer, folder, CAPTIONS)
    graphs = folder / "onnx"  # where transformers.js looks
    graphs.mkdir()
    entries: dict[str, Any] = {}
    for side in FILES:
        inputs = sample(processor, side)
        written = write_variants(model, side, inputs, graphs, dtypes)
        for name, errors in measure(model, side, inputs, written).items():
            entries[f"onnx/{name}"] = _describe(graphs / name) | errors
    with contextlib.suppress(CheckpointError):  # of a CLIP with a ResNet transformers has none
        config = model.format.write_config(*model.format.arguments(model))
        large = [path.with_suffix(".onnx").name for path in graphs.glob("*.onnx_data")]
        if large:
            config["transformers.js_config"] = {
                "use_external_data_format": dict.fromkeys(large, True)
            }
        _write_json(folder / "config.json", config)
    bias = getattr(model, "logit_bias", None)
    manifest = {
        "vectors": "scale each row of an output to length 1",
        "logits": "logit_scale * image vectors @ text vectors transposed + logit_bias",
        "logit_scale": float(model.logit_scale.detach().exp()),
        "logit_bias": 0.0 if bias is None else float(bias.detach()),
        "probabilities": _SOFTMAX if bias is None else _SIGMOID,
        "files": entries,
        "versions": {name: version(name) for name in ("torch", *PACKAGES)},
    }  # fmt: skip
    _write_json(folder / MANIFEST, manifest)
    return manifest


def _describe(path: Path) -> dict[str, Any]:
    """Size, inputs and output of a file, as its users see them."""
    data = path.with_suffix(".onnx_data")
    session = open_session(path)
    return {
        "bytes": sum(part.stat().st_size for part in (path, data) if part.exists()),
        "inputs": dict(map(_signature, session.get_inputs())),
        "outputs": dict(map(_signature, session.get_outputs())),
    }


def _signature(value: Any) -> tuple[str, str]:
    """Name, and type and shape as in "tensor(int64) [batch_size, 64]"."""
    return value.name, f"{value.type} [{', '.join(map(str, value.shape))}]"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
