"""Run a function in several processes that form a gloo group, without a port."""

import multiprocessing
import os
import queue
import tempfile
import time
from datetime import timedelta

import torch
import torch.distributed as dist

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pytest", "torch._dynamo", "siglip_lab.losses_at_scale"])


def run(world: int, function, *arguments, timeout: float = 60) -> list:
    """What each rank's ``function(rank, *arguments)`` returned, or the error it raised.

    None for a rank that ended without a word.
    """
    answers = _CONTEXT.Queue()
    with tempfile.TemporaryDirectory() as folder:
        common = (world, f"file://{folder}/store", timeout, answers, function, arguments)
        processes = [
            _CONTEXT.Process(target=_rank, args=(rank, *common), daemon=True)
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        found, deadline = {}, time.monotonic() + 120
        while len(found) < world and time.monotonic() < deadline:
            try:
                rank, answer = answers.get(timeout=0.1)
                found[rank] = answer
            except queue.Empty:
                if not any(process.is_alive() for process in processes):
                    break
        for process in processes:
            process.terminate()
            process.join()
    return [found.get(rank) for rank in range(world)]


def _rank(rank, world, store, timeout, answers, function, arguments):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=world, timeout=timedelta(seconds=timeout)
    )
    try:
        answer = function(rank, *arguments)
    except Exception as error:
        answer = error
    answers.put((rank, answer))
    answers.close()
    answers.join_thread()
