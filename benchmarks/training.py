"""Time a training step against transformers' and open_clip's, and hold its memory to the estimate.

All begin with random weights of one shape and see the same batches, ready in memory: forward pass,
loss, backward pass, the gradient's length clipped to 1, AdamW. transformers' loop is the plain one
of its documentation; open_clip's is its own ``train_one_epoch``, if it is installed in a folder on
the path (see the Makefile). The first losses of transformers and of this library must be equal, or
nothing is written. Steps of all alternate, so that a slow moment of the machine meets each.

Run ``python -m benchmarks.training``; it writes ``siglip_lab/data/results/training.json``.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import itertools
import re
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

import siglip_lab as sl
from benchmarks.common import RESULTS, alternate, hardware, write
from siglip_lab.training import TrainConfig, Trainer, estimate_bytes
from siglip_lab.training.data import Batch

MODEL, OPEN_CLIP = "siglip-base-patch16-224", "ViT-B-16-SigLIP"
RATE = 1e-5
MEMORY = {  # what is said to save memory, against the estimate
    "plain": {},
    "checkpointing": {"grad_checkpointing": True},
    "caching": {"micro_batch_size": 2},
    "checkpointing and caching": {"grad_checkpointing": True, "micro_batch_size": 2},
}


def batch_of(model: sl.SigLIP, n: int) -> Batch:
    """Random pictures and texts, each its own only."""
    generator, shape, ids = torch.Generator().manual_seed(0), model.config, torch.arange(n)
    pixels = torch.randn(n, 3, *[shape.vision.image_size] * 2, generator=generator)
    size = n, shape.text.context_length
    words = torch.randint(2, shape.text.vocab_size, size, generator=generator)
    return Batch(pixels, words, ids[:, None], ids, (), {})


# ---- the loops -----------------------------------------------------------------------------------


def ours(model: sl.SigLIP, batch: Batch, **options) -> Callable[[], float]:
    """A step of `siglip_lab.training`."""
    config = TrainConfig(batch_size=len(batch.pixel_values), learning_rate=RATE, warmup=0)
    trainer = Trainer(model, replace(config, **options))
    return lambda: trainer.take_step(batch)[0].item()


def transformers_loop(model: sl.SigLIP, batch: Batch) -> Callable[[], float]:
    """A step of the plain loop around `SiglipModel`."""
    from benchmarks.forward import twin

    theirs = twin(copy.deepcopy(model)).train()
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=RATE, weight_decay=0)

    def step() -> float:
        inputs = {"pixel_values": batch.pixel_values, "input_ids": batch.input_ids}
        loss = theirs(**inputs, return_loss=True).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


class Loader:
    """A batch as open_clip's data are, given once."""

    num_batches = 1

    def __init__(self, batch: Batch):
        self.batch, self.num_samples = batch, len(batch.pixel_values)
        self.dataloader = self

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: nothing changes."""

    def __iter__(self):
        yield self.batch.pixel_values, self.batch.input_ids


def open_clip_loop(model: sl.SigLIP, batch: Batch) -> Callable[[], None] | None:
    """A step of open_clip's `train_one_epoch`; None if it is not installed."""
    if not all(map(importlib.util.find_spec, ("open_clip", "open_clip_train", "timm"))):
        return None
    import open_clip
    from open_clip.loss import SigLipLoss
    from open_clip_train.train import train_one_epoch

    theirs = open_clip.create_model(OPEN_CLIP, precision="fp32", output_dict=True)
    sizes = [sum(p.numel() for p in each.parameters()) for each in (theirs, model)]
    if sizes[0] != sizes[1]:
        raise RuntimeError(f"open_clip's model has {sizes[0]:,} numbers, ours {sizes[1]:,}")
    n = len(batch.pixel_values)
    options = types.SimpleNamespace(
        device="cpu", precision="fp32", distill=False, accum_freq=1, skip_scheduler=True,
        horovod=False, grad_clip_norm=1.0, batch_size=n, world_size=1, rank=0, local_rank=0,
        log_every_n_steps=10**9, wandb=False, save_logs=False, distributed=False,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=RATE, weight_decay=0)
    loss, data = SigLipLoss(), {"train": Loader(batch)}
    return lambda: train_one_epoch(theirs, data, loss, 0, optimizer, None, None, None, options)


def define_torchvisions_operators() -> None:
    """Declare what a torchvision for another build of torch misses: it is imported, never used."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or torch.cuda.is_available():
        return
    text = Path(spec.origin).with_name("_meta_registrations.py").read_text(encoding="utf-8")
    global _kept  # or they would be gone with it
    _kept = torch.library.Library("torchvision", "FRAGMENT")
    for found in sorted(set(re.findall(r'register_meta\("(\w+)"\)|torchvision::(\w+)', text))):
        _kept.define(f"{found[0] or found[1]}(Tensor x) -> Tensor")


# ---- memory --------------------------------------------------------------------------------------


def memory_of(model: sl.SigLIP, batch: Batch, **options) -> dict[str, float]:
    """The most that PyTorch's CPU allocator held in a step, and what was estimated, in bytes."""
    config = TrainConfig(batch_size=len(batch.pixel_values), precision="float32", **options)
    trainer = Trainer(model, config)
    trainer.take_step(batch)  # AdamW's moments are there from now on
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        trainer.take_step(batch)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    moments = [x for each in trainer.optimizer.state.values() for x in each.values()]
    there = sum(x.nbytes for x in (*model.parameters(), *moments, *batch[:2]))
    found = there + max(itertools.accumulate(sizes))
    expected = estimate_bytes(model.config, config).total
    return {"measured": found, "estimated": expected, "ratio": found / expected}


# ---- all of it -----------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Time a training step beside others.")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--runs", type=int, default=9, help="steps of each that are timed")
    parser.add_argument("--out", type=Path, default=RESULTS / "training.json")
    options = parser.parse_args(arguments)
    define_torchvisions_operators()
    torch.manual_seed(0)
    model = sl.SigLIP(sl.get_config(MODEL), seed=0)
    batch = batch_of(model, options.batch_size)
    ways: dict[str, Callable] = {
        "transformers": transformers_loop(model, batch),
        "siglip_lab": ours(copy.deepcopy(model), batch, precision="float32"),
        "siglip_lab, bfloat16": ours(copy.deepcopy(model), batch, precision="bfloat16"),
    }
    peer = open_clip_loop(model, batch)
    if peer is not None:
        ways["open_clip"] = peer
    check_losses(ways)
    clock, work = alternate(ways, options.runs)
    peers = [name for name in ways if not name.startswith("siglip_lab")]
    fastest = min(clock[name] for name in peers)
    packages = ["transformers"] + ["open_clip_torch", "timm"] * (peer is not None)
    speeds = {
        name: {
            "seconds": clock[name],
            "seconds of computing": work[name],
            "pairs per second": options.batch_size / clock[name],
            "times the fastest peer": fastest / clock[name],
        }
        for name in ways
    }
    del ways, peer
    memory = {}
    for name, changes in MEMORY.items():
        memory[name] = memory_of(copy.deepcopy(model), batch, **changes)
    for name, row in speeds.items():
        speed, times = row["pairs per second"], row["times the fastest peer"]
        print(f"{name:22} {speed:7.2f} pairs/s {times:.2f} x")
    for name, row in memory.items():
        print(f"{name:26} {row['measured'] / 1e9:6.2f} GB, {row['ratio']:.3f} of the estimate")
    result = {
        "what": "seconds of a training step on the CPU, beside transformers' loop and open_clip's; "
        "memory against the estimate",
        "hardware": hardware(*packages), "model": MODEL, "batch size": options.batch_size,
        "runs": options.runs, "speed": speeds, "memory": memory,
    }  # fmt: skip
    write(result, options.out)


def check_losses(ways: dict[str, Callable]) -> None:
    """Take the first step of each, which also warms it up; refuse losses that differ."""
    losses = {name: way() for name, way in ways.items()}
    one, other = losses["siglip_lab"], losses["transformers"]
    if not abs(one - other) <= 1e-4 * abs(other):
        raise RuntimeError(
            f"the first losses are {one} and {other}; a speed without equality is none"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
