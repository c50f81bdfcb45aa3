"""A ring of processes, each of which passes tensors on to the next."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist

__all__ = ["BATCH_TYPES", "compare_batches", "pass_on"]

BATCH_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def pass_on(tensors: list, ring: dist.ProcessGroup | None) -> tuple[list, Callable]:
    """Begin to send to the next rank: where those of the one before arrive, and how to wait."""
    if ring is None or not tensors:
        return [], lambda: None
    ranks, me = dist.get_process_group_ranks(ring), ring.rank()
    to, source = ranks[(me + 1) % len(ranks)], ranks[me - 1]
    arriving, transfers = [torch.empty_like(tensor) for tensor in tensors], []
    for tensor, buffer in zip(tensors, arriving, strict=True):
        transfers.append(dist.P2POp(dist.isend, tensor, to, ring))
        transfers.append(dist.P2POp(dist.irecv, buffer, source, ring))
    requests = dist.batch_isend_irecv(transfers)
    return arriving, lambda: [request.wait() for request in requests]


def compare_batches(mine: list[int], device: torch.device, ring: dist.ProcessGroup) -> None:
    """Refuse in each rank what would leave one waiting for another's texts."""
    # Filled in on the device, one by one: a copy from the host would wait for it.
    numbers = [torch.full((), each, dtype=torch.int64, device=device) for each in mine]
    row = torch.stack(numbers)
    rows = [torch.empty_like(row) for _ in range(ring.size())]
    dist.all_gather(rows, row, ring)
    same = (torch.stack(rows) == row).all()
    if device.type != "cpu":
        torch._assert_async(same, "the ranks' batches differ")  # reads nothing back
    elif not same:
        odd = next(rank for rank, each in enumerate(rows) if not torch.equal(each, rows[0]))
        said = []
        for rank in (0, odd):
            n, d, m, i, j, grad, ids = rows[rank].tolist()
            each = f"images [{n}, {d}] {BATCH_TYPES[i]}, texts [{m}, {d}] {BATCH_TYPES[j]}"
            each += f", {'with' if grad else 'no'} gradients, {'with' if ids else 'no'} ids"
            said.append(f"  rank {rank}: {each if n else 'a batch that it refuses itself'}\n")
        ranks = "".join(said).replace("torch.", "")
        raise ValueError(
            f"the ranks' batches differ:\n{ranks}for an uneven last batch, give the sampler "
            "and the loader drop_last=True"
        )
