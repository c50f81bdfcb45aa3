"""Files to tensors, and tensors into a model: strict, memory-mapped, and no code is run.

Every name and shape must agree, or nothing is loaded. A model is built on the meta device first,
without memory and without random numbers; then the file's tensors become its parameters.
"""

from __future__ import annotations

import json
import os
import re
import stat
import zipfile
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from siglip_lab.checks import CheckpointError, shown

__all__ = [
    "FLOATS", "assign", "auto_dtype", "check_device", "check_dtype", "check_file", "check_finite",
    "check_names", "check_shape", "check_type", "convert", "is_torchscript", "locate", "on_meta",
    "open_safetensors", "read_json", "read_tensors", "skip_draws",
]  # fmt: skip

INDEX = "model.safetensors.index.json"
SMALL = 10_000_000  # bytes: more than any file but the weights has
FLOATS = {
    "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
ENDINGS = (".npz", ".safetensors", ".pt", ".pth", ".bin")
# What torch.save writes: an archive with these records, or long ago a pickle that begins so
_RECORD = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id"
)
_OLD_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# What may be around a state dict, and before all of its names: torch's, Lightning's, flax's
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = re.compile(r"(module\.|_orig_mod\.|model\.|params/)*")

Module = TypeVar("Module", bound=nn.Module)


# ---- models without weights ----------------------------------------------------------------------


def skip_draws() -> TorchFunctionMode:
    """Leave weights as they are allocated, whatever a constructor wants to draw: a context.

    On the meta device PyTorch would import a thousand modules to draw nothing: for so400m that is
    2.6 s against 0.25 s.

    >>> with skip_draws():
    ...     layer = nn.Linear(2, 2)
    """
    return _NoDraws()


class _NoDraws(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def on_meta(build: Callable[..., Module], *arguments: Any) -> Module:
    """Build a model of shapes alone: nothing is allocated, nothing is drawn."""
    with torch.device("meta"), skip_draws():
        return build(*arguments)


def assign(path: Path, model: Module, tensors: dict[str, Tensor]) -> Module:
    """Make tensors the parameters of a model on the meta device, if all vectors are finite.

    Vectors are a thousandth of the numbers, and a training that diverged leaves NaN in all.
    """
    check_finite(path, {name: tensor for name, tensor in tensors.items() if tensor.ndim < 2})
    model.load_state_dict(tensors, strict=True, assign=True)
    return model


# ---- types ---------------------------------------------------------------------------------------


def check_dtype(dtype: torch.dtype | str | None) -> None:
    """Refuse what weights cannot be computed with."""
    if dtype not in (None, "auto", *FLOATS.values()):
        names = ", ".join(map(str, FLOATS.values()))
        raise TypeError(
            f'dtype is {shown(repr(dtype))}; expected {names}, "auto" for what the device does '
            "well, or None for the file's"
        )


def auto_dtype(device: torch.device | str | None) -> torch.dtype:
    """The type that a device computes fastest in without a loss that shows: what "auto" means.

    A CUDA GPU: bfloat16 if it has it, else float16. A processor with AMX or the AVX-512
    instructions for it: bfloat16. Everything else: float32.
    """
    kind = torch.device("cpu" if device is None else device).type
    if kind == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else torch.float16
    able = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if kind == "cpu" and able else torch.float32


def check_device(device: torch.device | str | None) -> None:
    """Refuse a device that this machine does not have."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f'device is {shown(repr(device))}; expected one that is here, such as "cpu", or '
            f"None: {shown(reason, 120)}"
        ) from error


def convert(
    name: str, tensor: Tensor, device: torch.device | str | None, dtype: torch.dtype | None
) -> Tensor:
    """Move a parameter to a device and a type; the two scalars of the logits keep float32."""
    if dtype is not None and name in ("logit_scale", "logit_bias"):
        dtype = torch.promote_types(dtype, torch.float32)
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)


# ---- checks --------------------------------------------------------------------------------------


def check_file(path: Path, most: float = float("inf")) -> None:
    """Refuse what is no regular file (a FIFO hangs, a device may never end), or above `most`."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # the latter if there is a zero in the name
        if (path.parent / "training_state.pt").exists():
            raise CheckpointError(
                f"{path.parent} is of a training that has not come to a checkpoint yet: let the "
                "same siglip-lab train go on"
            ) from None
        raise CheckpointError(f"{path.parent}: no {path.name} in this folder") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is a folder or a device; expected a file")
    if status.st_size > most:
        raise CheckpointError(f"{path} has {status.st_size:,} bytes, more than it can have")


def check_names(path: Path, expected: Set[str], found: Set[str], what: str = "the model") -> None:
    """Refuse weights whose names are not exactly the expected ones."""
    missing, extra = sorted(expected - found), sorted(found - expected)
    if missing or extra:
        raise CheckpointError(
            f"{path}: the weights do not fit {what}; "
            f"missing: {_shorten(missing)}; not expected: {_shorten(extra)}"
        )


def _shorten(names: list[str], most: int = 2) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(shown, names[:most])) or "none") + more


def check_shape(path: Path, name: str, found: Any, expected: Any, who: str) -> None:
    """Refuse a tensor that has not the shape which config or other tensors ask for."""
    if list(found) != list(expected):
        raise CheckpointError(
            f"{path}: {shown(name)} has shape {shown(list(found))}, {who} for {list(expected)}"
        )


def check_type(path: Path, name: str, dtype: torch.dtype | str) -> None:
    """Refuse weights that cannot be computed with."""
    if dtype not in FLOATS.values():
        raise CheckpointError(
            f"{path}: {shown(name)} is {dtype}, expected floats of 16 bits or more: quantized "
            "weights are not supported"
        )


def check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse tensors that hold NaN or infinity."""
    sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in tensors.values()])
    if not sums.isfinite().all():
        name = list(tensors)[int(sums.isfinite().int().argmin())]
        raise CheckpointError(
            f"{path}: {name} holds NaN or infinity: the training diverged, or the file is damaged; "
            "take an earlier checkpoint, or fetch it again"
        )


def _damaged(path: Path, error: Exception) -> CheckpointError:
    """What to say of a file that its library cannot read."""
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return CheckpointError(
        f"{path} ({path.stat().st_size:,} bytes) is damaged, or holds more than tensors: "
        f"{shown(reason, 100)}"
    )


# ---- folders: one file, or shards with an index --------------------------------------------------


def read_json(path: Path) -> dict[str, Any]:
    """Read the object that a JSON file holds."""
    check_file(path, SMALL)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too long a number, too deep
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def open_safetensors(path: Path) -> Any:
    """Open a safetensors file, memory-mapped."""
    check_file(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a safetensors file "
            f"({error}): fetch it again"
        ) from error


def locate(folder: Path) -> dict[str, Path]:
    """Find the file of every tensor: the only one, or the shard that the index names."""
    index, whole = folder / INDEX, folder / "model.safetensors"
    if not index.exists():
        with open_safetensors(whole) as file:
            return dict.fromkeys(file.keys(), whole)
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(shard, str) and Path(shard).name == shard for shard in weight_map.values()
    ):
        raise CheckpointError(f"{index}: expected the name of a file for each under 'weight_map'")
    for shard in sorted(set(weight_map.values())):
        with open_safetensors(folder / shard) as file:
            listed = {name for name, where in weight_map.items() if where == shard}
            check_names(folder / shard, listed, set(file.keys()), f"what {INDEX} lists of it")
    return {name: folder / shard for name, shard in weight_map.items()}


# ---- single files --------------------------------------------------------------------------------


def read_tensors(path: Path, run_code_in_file: bool = False) -> dict[str, Tensor]:
    """Read every tensor of a file, without what wrappers put before all the names.

    Args:
        path: ``.npz``, ``.safetensors``, or a state dict of ``torch.save``; all but the first stay
            memory-mapped.
        run_code_in_file: Load TorchScript, too, whose code runs.

    Returns:
        The tensors by name, none of them empty.

    Raises:
        CheckpointError: If the file is damaged, or holds anything but tensors.
    """
    check_file(path)
    try:
        if path.suffix == ".npz":
            tensors = _read_npz(path)
        elif path.suffix == ".safetensors":
            tensors = load_file(path)
        elif run_code_in_file and is_torchscript(path):
            tensors = torch.jit.load(str(path), map_location="cpu").state_dict()
        elif path.suffix in ENDINGS:
            tensors = _read_state_dict(path)
        else:
            raise CheckpointError(f"{path}: expected a file that ends in {', '.join(ENDINGS)}")
    except CheckpointError:
        raise
    except Exception as error:  # numpy, zipfile and torch raise a dozen kinds
        raise _damaged(path, error) from error
    for name, tensor in tensors.items():
        if not tensor.numel():
            raise CheckpointError(f"{path}: {shown(name)} is empty, {shown(list(tensor.shape))}")
    prefix = _PREFIXES.match(os.path.commonprefix([*tensors]))
    start = prefix.end() if prefix else 0
    return {name[start:]: tensor for name, tensor in tensors.items()}


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        size = sum(member.file_size for member in file.zip.infolist())
        if size > 10 * path.stat().st_size:  # weights shrink by a tenth, zeros a thousandfold
            raise CheckpointError(
                f"{path} would grow to {size:,} bytes; expected weights, which hardly compress: "
                "save them with numpy.savez"
            )
        if len(set(file.files)) < len(file.files):
            raise CheckpointError(f"{path} holds two arrays of the same name")
        arrays = {name: file[name] for name in file.files}
    bfloat16 = np.dtype("V2")  # numpy does not know it, and writes it as two bytes of something
    return {
        name: torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if array.dtype == bfloat16
        else torch.from_numpy(array)
        for name, array in arrays.items()
    }


def is_torchscript(path: Path) -> bool:
    """Say whether a file is an archive that holds code beside the weights."""
    return any(name == "constants.pkl" or name.startswith("code/") for name in _records(path))


def _records(path: Path) -> list[str]:
    """The names in an archive of ``torch.save``; none if it is a pickle of old.

    torch's own reader is asked, as `torch.load` will: Python's ``zipfile`` finds no archive in
    some files where it finds one.
    """
    with open(path, "rb") as file:
        start = file.read(len(_OLD_PICKLE))
        if start == _OLD_PICKLE:
            return []
        if not start.startswith(b"PK\3\4"):
            raise ValueError("it begins as no file of torch.save")
        file.seek(0)
        return torch._C.PyTorchFileReader(file).get_all_records()


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    if is_torchscript(path):
        raise CheckpointError(
            f"{path} is a TorchScript archive: beside the weights it holds code, which loading "
            "would run. If you trust it, keep its weights alone, once: "
            'torch.save(torch.jit.load(PATH, map_location="cpu").state_dict(), "weights.pt"). '
            "Or load OpenAI's file directly, code and all: "
            "clip.CLIP.from_pretrained(PATH, run_code_in_file=True)"
        )
    if records := _records(path):
        with zipfile.ZipFile(path) as archive:  # which must find the same, not compressed
            stored = [x.filename for x in archive.infolist() if not x.compress_type]
        same = sorted(records) == sorted(name.partition("/")[2] for name in stored)
        if not same or not all(map(_RECORD.fullmatch, records)):
            raise ValueError("it is no plain archive of torch.save")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=bool(records))
    except Exception as error:
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path} holds more than tensors: {shown(code[1])}, whose code loading would run. "
                "If it is a whole model or a training, save its weights alone, where it was made: "
                "torch.save(model.state_dict(), PATH)"
            ) from error
        raise
    for _ in _WRAPPERS:  # one in the other, at most so deep: a dict can hold itself
        inside = [content.get(key) for key in _WRAPPERS] if isinstance(content, dict) else []
        content = next((inner for inner in inside if isinstance(inner, dict)), content)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a dict of named tensors, as "
            "torch.save(model.state_dict(), path) writes it"
        )
    for name, tensor in content.items():
        _check_plain(path, name, tensor)
    if sum(tensor.nbytes for tensor in content.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors are larger than the file; save clones of them")
    return content


def _check_plain(path: Path, name: str, tensor: Any) -> None:
    if not isinstance(tensor, Tensor):
        kind = type(tensor).__name__
        raise CheckpointError(f"{path}: {shown(name)} is of type {kind}; expected tensors only")
    strided = tensor.layout is torch.strided and not tensor.is_nested
    if not strided or tensor.is_meta or tensor.nbytes > tensor.untyped_storage().nbytes():
        raise CheckpointError(
            f"{path}: {shown(name)} is sparse, nested, without numbers, or larger than what is "
            "stored of it; save plain tensors: tensor.detach().cpu().to_dense().contiguous()"
        )
