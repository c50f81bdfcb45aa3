"""A run between two steps, on the disk: killed at any moment, it goes on with the same bits.

The file is the same from one process or many, DDP or FSDP: whole tensors by the parameters' names.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from siglip_lab.checks import CheckpointError, check_integer, shown
from siglip_lab.training.config import option
from siglip_lab.training.parameters import whole

__all__ = [
    "STATE", "check_free", "gather", "hold", "model_fingerprint", "read_state", "restore",
    "write_state",
]  # fmt: skip

STATE = "training_state.pt"  # in the checkpoint folder while training runs
LOCK = ".lock"


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[bool]:
    """Keep other runs out of a folder; False if one is in it. A killed run's hold ends with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a") as file:
        held = _lock(file)
        try:
            yield held
        finally:
            if held:
                with contextlib.suppress(OSError):  # Windows removes no file that is open
                    os.unlink(file.name)


def check_free(folder: Path, needed: int, what: str) -> None:
    """Refuse a disk without room.

    Args:
        folder: Where to write; it need not be there.
        needed: Bytes.
        what: What needs them, for the message.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise OSError(
            f"{shown(folder, 90)}: {free / 1e9:.2f} GB are free, {what} need "
            f"{needed / 1e9:.2f} GB: make room, or name another disk"
        )


def _lock(file: IO) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Not flock, which the processes that read pictures would keep for a killed run
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # some disks know no locks: then nothing is refused
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def gather(
    learned: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, average: Mapping[str, Tensor]
) -> dict[str, dict]:
    """What learns, what AdamW knows of it, and EMA's average, as whole tensors: all ranks come.

    Args:
        learned: The parameters that learn, by name.
        optimizer: AdamW.
        average: EMA's values by the same names; empty without it.
    """
    moments = {name: optimizer.state.get(parameter, {}) for name, parameter in learned.items()}
    return {
        "parameters": {name: whole(parameter) for name, parameter in learned.items()},
        "optimizer": {n: {k: whole(v) for k, v in found.items()} for n, found in moments.items()},
        "average": {name: whole(value) for name, value in average.items()},
    }


def restore(
    learned: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> None:
    """Put what `gather` gave back, spread over processes as it is now."""
    with torch.no_grad():
        for name, parameter in learned.items():
            parameter.copy_(_like(parameter, state["parameters"][name]))
            for key, value in state["optimizer"][name].items():
                own = value.to(parameter.device) if key == "step" else _like(parameter, value)
                optimizer.state[parameter][key] = own
        for name, value in average.items():
            value.copy_(_like(value, state["average"][name]))


def _like(tensor: Tensor, value: Tensor) -> Tensor:
    """A whole value on a tensor's device, spread over processes as that is."""
    value = value.to(tensor.device)
    if not hasattr(tensor, "full_tensor"):
        return value
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(tensor, DTensor)
    return distribute_tensor(value, tensor.device_mesh, tensor.placements)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write a state beside the old one, then rename: a kill leaves the old or the new.

    Raises:
        OSError: If there is no room or no right to write; the old state stays.
    """
    path, new = folder / STATE, folder / f".new-{STATE}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with open(new, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except (OSError, RuntimeError) as error:  # torch has its own words for a full disk
        new.unlink(missing_ok=True)
        kept = " The last state is kept: make room, and" if path.exists() else " Make room, and"
        raise OSError(
            f"cannot write {shown(path, 90)} ({shown(error, 60)}).{kept} give the same command "
            "again"
        ) from error


def read_state(folder: Path, expected: Mapping[str, dict]) -> dict[str, Any] | None:
    """Read a state, if there is one; refuse that of another run.

    Args:
        folder: Where it is.
        expected: What must be the same: dicts of values by name.

    Raises:
        CheckpointError: If the file is damaged.
        ValueError: If it is of a run with other data, another model or other settings.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickles of other programs
            state = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: dict(state[name]) for name in expected}
        check_integer("step", state["step"], least=0)
    except Exception as error:  # whatever torch meets in a file that is not its own
        message = f"{path} is damaged, or not of a training run: delete the folder"
        raise CheckpointError(message) from error
    differing = [
        _CHANGED.get(name) or f"{option(key)} {found[name].get(key)} (now {value})"
        for name, values in expected.items()
        for key, value in values.items()
        if found[name].get(key) != value
    ]
    if differing:
        settings = [each for each in differing if each not in _CHANGED.values()]
        words = "; ".join(settings or dict.fromkeys(differing))  # another seed splits otherwise
        raise ValueError(
            f"{shown(path, 60)} is of a run that is not this one: {shown(words, 120)}. Go on with "
            "what it had, or train into another folder"
        )
    return state


_CHANGED = {
    "data": "pictures or captions have changed since",
    "model": "the model to begin with has other weights",
}


def model_fingerprint(model: nn.Module) -> str:
    """Shapes and a few numbers of each tensor as some letters: another model has others.

    The numbers are rounded to bfloat16, so that a model has the same letters in that type.
    """
    parts = [
        f"{name} {list(p.shape)} {p.detach().flatten()[:4].bfloat16().tolist()}"
        for name, p in model.named_parameters()
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
