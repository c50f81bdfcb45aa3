"""Start several processes that train together, from a notebook, on one machine's CPU."""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from siglip_lab.checks import check_integer

__all__ = ["on_ranks", "torchrun"]

_IMPORTS = """
import torch
import torch.distributed as dist
from torch.nn.functional import normalize, softplus
from torch.nn.parallel import DistributedDataParallel

import siglip_lab as sl

dist.init_process_group("gloo")
"""
_END = """
torch.save({main}(), f"rank{{dist.get_rank()}}.pt")
dist.destroy_process_group()
"""


def torchrun(*arguments: str, world: int, folder: str | Path | None = None) -> str:
    """Start a script in several processes, as `torchrun` does, without a GPU and a network.

    Args:
        arguments: The script and its arguments; or "-m", a module and its arguments.
        world: Number of processes.
        folder: Where they run. Default: here.

    Returns:
        What they print.

    Raises:
        RuntimeError: If one of them fails, with the end of what it says.
    """
    check_integer("world", world)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr=127.0.0.1", f"--nproc-per-node={world}", *arguments]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    # Else Gloo, PyTorch's way for CPUs to talk, looks the machine's own name up in the network.
    for _, name in socket.if_nameindex():
        if name.startswith("lo"):
            environment["GLOO_SOCKET_IFNAME"] = name
            break
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def on_ranks(world: int, main: Callable[[], Any], *functions: Callable) -> list:
    """Run a function in several processes that form a process group.

    The functions' text becomes a script, so they may be a notebook's. It begins with torch, dist,
    normalize, softplus, DistributedDataParallel, and sl, which is siglip_lab.

    Args:
        world: Number of processes.
        main: What each of them runs.
        functions: What `main` calls, and what that calls.

    Returns:
        What `main` returns on each rank, as `torch.save` takes it.

    Raises:
        RuntimeError: If a process fails, with the end of what it says.
    """
    texts = [inspect.getsource(each) for each in (*functions, main)]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "ranks.py")
        end = _END.format(main=main.__name__)
        script.write_text("\n\n".join([_IMPORTS, *texts, end]), encoding="utf-8")
        torchrun(script.name, world=world, folder=folder)
        return [torch.load(Path(folder, f"rank{rank}.pt")) for rank in range(world)]
