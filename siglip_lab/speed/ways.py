"""The ways to run a model: number formats and runtimes.

A way is PyTorch in float32, in half precision or compiled, or ONNX Runtime in float32 or with
integers of eight bits.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from siglip_lab.checks import shown
from siglip_lab.export import SUFFIXES, export_onnx, open_session
from siglip_lab.export.checking import embed
from siglip_lab.export.towers import FILES, PACKAGES, encoder
from siglip_lab.loading.weights import auto_dtype
from siglip_lab.model import TwoTowers
from siglip_lab.processor import Inputs, Processor

__all__ = ["WAYS", "Way", "check_ways", "each_way", "matmul_precision"]

# Name to what it is
WAYS = {
    "float32": "PyTorch",
    "medium": 'PyTorch, float32 matrix products allowed to be coarser ("medium")',
    "bfloat16": "PyTorch, weights and towers in bfloat16",
    "float16": "PyTorch, weights and towers in float16",
    "compiled": 'torch.compile of what dtype="auto" loads',
    "onnx": "ONNX Runtime, float32",
    "onnx-int8": "ONNX Runtime, dynamic quantisation",
    "onnx-int8-weights": "ONNX Runtime, weights of eight bits, computed in float32",
}
_ONNX = {"onnx": "float32", "onnx-int8": "int8", "onnx-int8-weights": "int8-weights"}


@dataclass(frozen=True)
class Way:
    """A model, ready to run one way: a side's inputs to unit vectors, in float32 on the CPU."""

    name: str
    image: Callable[[Inputs], Tensor]
    text: Callable[[Inputs], Tensor]
    bytes: int  # of its weights


def check_ways(names: Sequence[str], device: torch.device) -> list[str]:
    """The ways to run, "float32" first; refuse unknown ones, and those that cannot run here."""
    unknown = [name for name in names if name not in WAYS]
    if unknown:
        raise ValueError(f"there is no way {shown(repr(unknown[0]))}; expected {', '.join(WAYS)}")
    missing = [name for name in PACKAGES if not find_spec(name)]
    asked = [name for name in names if name in _ONNX]
    if asked and missing:
        raise ImportError(
            f"{asked[0]} needs {', '.join(missing)}: pip install 'siglip-lab[export]' brings it"
        )
    if asked and device.type != "cpu":
        raise ValueError(f"{asked[0]} runs on the CPU, the device is {device}: leave it out")
    if not names:
        without = {"compiled", *(_ONNX if missing or device.type != "cpu" else ())}
        names = [name for name in WAYS if name not in without]
    return ["float32", *(name for name in WAYS if name in names and name != "float32")]


def each_way(
    names: Sequence[str], model: TwoTowers, processor: Processor, folder: Path
) -> Iterator[Way]:
    """Make the model ready for one way after the other.

    Args:
        names: Keys of `WAYS`.
        model: The model, in float32, where it shall run.
        processor: Its processor.
        folder: Where ONNX files may lie while they are used.
    """
    auto = auto_dtype(model.logit_scale.device)
    types = {"bfloat16": torch.bfloat16, "float16": torch.float16, "compiled": auto}
    for name in names:
        if name in _ONNX:
            continue
        around = partial(matmul_precision, "medium") if name == "medium" else nullcontext
        dtype = types.get(name, torch.float32)
        yield _in_torch(name, model, dtype, around, compiled=name == "compiled")
    formats = {name: _ONNX[name] for name in names if name in _ONNX}
    if formats:
        manifest = export_onnx(model, processor, folder / "onnx", list(formats.values()))
        for name, stored in formats.items():
            files = [f"onnx/{file}{SUFFIXES[stored]}.onnx" for file in FILES.values()]
            threads = torch.get_num_threads()
            image, text = (open_session(folder / "onnx" / file, threads) for file in files)
            size = sum(manifest["files"][file]["bytes"] for file in files)
            yield Way(name, partial(embed, image), partial(embed, text), size)


def _in_torch(
    name: str,
    model: TwoTowers,
    dtype: torch.dtype,
    around: Callable[[], AbstractContextManager],
    compiled: bool,
) -> Way:
    same = all(parameter.dtype == dtype for parameter in model.parameters())
    ready = model if same else copy.deepcopy(model).to(dtype)
    device = ready.logit_scale.device

    def runner(side: str) -> Callable[[Inputs], Tensor]:
        encode = encoder(ready, side)
        if compiled:
            encode = torch.compile(encode, dynamic=False)  # each batch size for itself

        @torch.no_grad()
        def run(inputs: Inputs) -> Tensor:
            with around():
                return encode(**inputs.to(device)).float().cpu()  # which waits for a GPU

        return run

    size = sum(parameter.nbytes for parameter in ready.parameters())
    return Way(name, runner("image"), runner("text"), size)


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Let float32 matrix products be as coarse as "highest", "high" or "medium": a context."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
