"""Many processes: who they are, and a model that all of them train (DDP or FSDP2).

Each takes its part of every batch, so that all together do what one process does with the whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from siglip_lab.checks import shown
from siglip_lab.encoder import EncoderLayer
from siglip_lab.model import SigLIP
from siglip_lab.pairs import default_device

__all__ = ["PARALLEL", "Ranks", "Towers", "join_ranks", "spread"]

PARALLEL = ("ddp", "fsdp")


class Towers(nn.Module):
    """All that the loss needs from one forward pass, which is where DDP and FSDP begin."""

    def __init__(self, model: SigLIP):
        super().__init__()
        self.model = model

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Embeddings of images `[n, 3, S, S]` and of texts `[n, L]`, log t and b."""
        model = self.model
        embeds = model.encode_image(pixel_values), model.encode_text(input_ids)
        # Copies, for FSDP takes the gathered parameters away after the pass
        return *embeds, model.logit_scale.clone(), model.logit_bias.clone()


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, as one of them sees them."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes: all of them come here."""
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return values

    def first_says(self, yes: bool) -> bool:
        """What the first process says: all of them come here."""
        if self.world == 1:
            return yes
        said = torch.tensor([int(yes and self.rank == 0)], device=self.device)
        dist.broadcast(said, 0)
        return bool(said.item())

    def merge(self, mine: dict) -> dict:
        """What all processes have found: all of them come here."""
        if self.world == 1:
            return mine
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, mine)
        return {key: value for each in found for key, value in each.items()}

    def wait(self) -> None:
        """Until all of them are here."""
        if self.world > 1:
            dist.barrier()

    def compare(self, what: str, mine: Any) -> None:
        """Refuse in each process what is not the same in all."""
        if self.world == 1:
            return
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, mine)
        odd = next((rank for rank, each in enumerate(found) if each != found[0]), None)
        if odd is not None:
            raise ValueError(
                f"{what} differs between the processes: {found[0]} on rank 0, {found[odd]} on rank "
                f"{odd}; give all of them the same files and arguments"
            )


@contextlib.contextmanager
def join_ranks(device: torch.device | str | None = None) -> Iterator[Ranks]:
    """Find this process's place among those that ``torchrun`` started; alone it is the only one.

    A process group that is there is taken as it is; else one is made, and ended afterwards.

    Args:
        device: Where to compute. None: each process's own GPU, if there are enough, or the CPU.
    """
    local, own = int(os.environ.get("LOCAL_RANK", 0)), not dist.is_initialized()
    started = own and "RANK" in os.environ and "MASTER_ADDR" in os.environ
    if device is None:
        device = default_device()
        if (started or not own) and device.type == "cuda":
            enough = torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", 1))
            device = torch.device("cuda", local) if enough else torch.device("cpu")
    device = _there(device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    if started:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        if dist.is_initialized():
            yield Ranks(dist.get_rank(), dist.get_world_size(), device)
        else:
            yield Ranks(0, 1, device)
    finally:
        if started:
            dist.destroy_process_group()


def _there(device: torch.device | str) -> torch.device:
    """Refuse a device that is not there."""
    try:
        torch.empty(0, device=device)
        return torch.device(device)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = shown(str(error).partition("\n")[0], 90)
        raise ValueError(
            f"device is {shown(repr(str(device)), 40)}, which is not there ({reason}): take "
            "--device cpu, or leave it away to have a GPU if there is one"
        ) from error


def spread(
    towers: Towers, ranks: Ranks, parallel: str = "ddp"
) -> tuple[nn.Module, Callable[[bool], AbstractContextManager]]:
    """Let all processes train one model.

    Args:
        towers: Around the model, equal in all processes.
        ranks: The processes.
        parallel: "ddp", each process has all of the model; "fsdp", each has a part, and gathers a
            layer when it is needed.

    Returns:
        The module to call, and a context for a backward pass, which is told whether gradients
        are to be averaged over the processes in it (the last of a step) or kept.
    """
    if parallel not in PARALLEL:
        raise ValueError(f"parallel is {parallel!r}; expected one of {', '.join(PARALLEL)}")
    if ranks.world == 1:
        return towers, lambda last: contextlib.nullcontext()
    if parallel == "fsdp":
        return _shard(towers, ranks)
    ids = [ranks.device] if ranks.device.type == "cuda" else None
    ddp = DistributedDataParallel(towers, device_ids=ids)
    return ddp, lambda last: contextlib.nullcontext() if last else ddp.no_sync()


def _shard(towers: Towers, ranks: Ranks) -> tuple[nn.Module, Callable]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(ranks.device.type, (ranks.world,))
    for module in towers.modules():
        if isinstance(module, EncoderLayer):
            fully_shard(module, mesh=mesh)
    root: Any = fully_shard(towers, mesh=mesh)

    @contextlib.contextmanager
    def sync(last: bool) -> Iterator[None]:
        root.set_requires_gradient_sync(last)
        yield

    return root, sync
