"""What a training will take, before anything long starts: parameters, memory, time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from siglip_lab.configs import SigLIPConfig
from siglip_lab.counting import count_parameters
from siglip_lab.counts import Count
from siglip_lab.memory import count_bytes
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.training import doors
from siglip_lab.training.config import TrainConfig
from siglip_lab.training.data import Batches, Pairs
from siglip_lab.training.loop import Trainer
from siglip_lab.training.measuring import measure
from siglip_lab.training.parallel import join_ranks
from siglip_lab.training.parameters import trainable_share

__all__ = ["dry_run", "estimate_bytes"]

MEASURED = 5  # steps


def estimate_bytes(
    shape: SigLIPConfig,
    config: TrainConfig,
    learning: int | None = None,
    total: int | None = None,
    dtype: torch.dtype | None = None,
    world: int = 1,
) -> Count:
    """Estimate the memory at the fullest moment of a training step, in one process, under DDP.

    Args:
        shape: The model's.
        config: Of the training.
        learning: How many numbers learn. Default: all.
        total: How many there are. Default: the model's own.
        dtype: In which the towers compute, if not in float32.
        world: How many processes share a batch.

    Returns:
        A `Count`: what `count_bytes` has for a micro-batch, with AdamW, and the gradients that are
        there at that moment, for what learns; the rest of the batch, its embeddings and theirs.
    """
    batch = config.batch_size // world
    micro = min(config.micro_batch_size, batch)
    options = {"training": True, "grad_checkpointing": config.grad_checkpointing}
    count = count_bytes(shape, dtype or torch.float32, micro, **options)  # type: ignore[arg-type]
    total = total or count_parameters(shape).total
    learning = total if learning is None else learning
    vision, text = (_kept(count, shape, config, name, micro, dtype) for name in ("vision", "text"))
    share = {"text": 1.0, "vision": 0.0}.get(config.learn, _text_share(shape))
    # In one pass gradients come as activations go, the text tower's first. With caching they are
    # all there when the last micro-batch begins its way back.
    moments = [(0, vision + text), (int(4 * learning * share), vision), (4 * learning, 0)]
    fullest = max(moments, key=sum) if micro == batch else (4 * learning, vision + text)
    side = 3 * shape.vision.image_size**2 * 4 + shape.text.context_length * 8
    content = {
        "weights": 4 * total,
        "copies of weights": (2 * total if dtype else 0) + (4 * learning if config.ema else 0),
        "AdamW": 8 * learning,
        "gradients": fullest[0],
        "activations": fullest[1],
        "working memory": count["working memory"].total,
        "inputs": batch * side,
        "embeddings": 0 if micro == batch else 4 * batch * shape.embed_dim * 4,
    }
    return Count.of("bytes", {name: size for name, size in content.items() if size})


def _kept(
    count: Count, shape: SigLIPConfig, config: TrainConfig, name: str, micro: int, dtype
) -> int:
    """Activations that a tower keeps for backward."""
    if {"text": "vision", "vision": "text"}.get(config.learn) == name:
        return 0  # it is locked
    tower = shape.vision if name == "vision" else shape.text
    n = shape.vision.num_patches if name == "vision" else shape.text.context_length
    part = count["activations"][name]
    layers = [each.total for each in part if each.name.startswith("layer ")]
    learning = min(config.layers, tower.depth) if config.learn == "last" else tower.depth
    kept = part.total - sum(layers[: tower.depth - learning])
    if dtype is not None:
        # Autocast leaves what layers add up, which norms keep, in float32, and makes a copy in half
        # precision for each of q, k and v
        more = 2 if config.grad_checkpointing else 8
        kept += more * micro * n * tower.width * learning
    return kept


def _text_share(shape: SigLIPConfig) -> float:
    count = count_parameters(shape)
    return count.text.total / count.total


def dry_run(
    model: SigLIP,
    processor: Processor,
    pairs: Pairs,
    config: TrainConfig | None = None,
    held_out: float | int | Pairs | None = 0.1,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    parallel: str = "ddp",
    out: str | Path | None = None,
) -> str:
    """Check everything, take five steps, and say what all of them will take.

    Nothing is written. The model has learned five steps afterwards, so do not use it; the other
    arguments, and what is raised, are those of `train`.

    Returns:
        Lines of text.
    """
    config = config or TrainConfig()
    doors.check_model(model, processor)
    if out is not None:
        doors.check_out(Path(out))
    with join_ranks(device) as ranks:
        training, held_out = doors.divide(pairs, held_out, config, ranks.world)
        few = replace(config, steps=max(config.steps, MEASURED + 1))
        trainer = Trainer(model.to(ranks.device), few, ranks, parallel)
        if out is not None:
            doors.check_room(Path(out), model, trainer.learned)
        part = (ranks.rank, ranks.world)
        batches = Batches(
            training, processor, few.steps, config.batch_size, config.seed, config.augment, part
        )
        laps: list[float] = []
        reading: list[float] = []
        unreadable: dict[str, str] = {}
        for step in range(MEASURED + 1):
            start = time.perf_counter()
            batch = batches[step]
            reading.append(time.perf_counter() - start)
            loss, _ = trainer.take_step(batch)
            loss.item()  # a GPU is waited for
            laps.append(time.perf_counter() - start)
            unreadable |= batch.unreadable
        seconds, read = (statistics.median(times[1:]) for times in (laps, reading))
        alone = _on_one_thread(batches)
        measuring = 0.0
        if held_out is not None:
            sample = held_out[:64]
            start = time.perf_counter()
            measure(trainer.result(), processor, sample)
            measuring = (time.perf_counter() - start) * len(held_out) / len(sample)
        first = doors.opening(pairs, training, held_out, config)
        lines = [*first, *_lines(model, config, trainer, ranks.world)]
        times = _times(config, seconds, read, alone, measuring, num_workers)
        remarks = list(doors.remarks(pairs, processor))
        remarks += [f"cannot be read: {name}: {why}" for name, why in unreadable.items()]
        return "\n".join([*lines, *times, *remarks])


def _lines(model, config, trainer, world: int) -> Iterator[str]:
    learning, total = trainable_share(model)
    memory = estimate_bytes(model.config, config, learning, total, trainer.dtype, world)
    yield f"parameters    {total:,}, of which {learning:,} learn ({learning / total:.1%})"
    device, kind = trainer.ranks.device, str(trainer.dtype or torch.float32).removeprefix("torch.")
    yield f"computes in   {kind} on {device}{f', {world} processes' if world > 1 else ''}"
    if trainer.dtype is None and device.type == "cpu" and _cpu_has_bfloat16():
        yield "              this processor has bfloat16: --precision bfloat16 may be twice as fast"
    parts = ", ".join(f"{part.name} {_size(part.total)}" for part in memory)
    yield f"memory        about {_size(memory.total)} in a process: {parts}"


def _on_one_thread(batches: Batches) -> float:
    """Seconds to read a batch as a worker of a DataLoader does: with a single thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.perf_counter()
        batches[1]  # the first has woken what had to be imported
        return time.perf_counter() - start
    finally:
        torch.set_num_threads(threads)


def _times(
    config, seconds: float, read: float, alone: float, measuring: float, workers: int
) -> Iterator[str]:
    number = 2 + config.steps // config.validate_every
    learning = seconds - read
    seconds = max(learning, alone / workers) if workers else seconds
    total = config.steps * seconds + number * measuring
    yield (
        f"time          about {_duration(total)}: a step {seconds:.3g} s (learning {learning:.3g} "
        f"s, reading its pictures {alone:.3g} s on one core), {number} measurements of "
        f"{measuring:.3g} s"
    )
    if not workers and read > seconds / 3:
        yield "              pictures are read slowly: --workers 2 or more reads them ahead"


def _cpu_has_bfloat16() -> bool:
    found: dict = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _size(number: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
