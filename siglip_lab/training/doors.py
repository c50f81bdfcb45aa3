"""What a training refuses before any work is done, and what it only says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from siglip_lab.checks import shown
from siglip_lab.loading.pretrained import SIGLIP
from siglip_lab.model import SigLIP
from siglip_lab.pairs import check_fit, has_bfloat16
from siglip_lab.processor import Processor
from siglip_lab.training.config import TrainConfig
from siglip_lab.training.data import Pairs, named
from siglip_lab.training.state import STATE, check_free, model_fingerprint

__all__ = [
    "autocast_type", "check_batches", "check_model", "check_out", "check_room", "divide",
    "fingerprints", "opening", "remarks",
]  # fmt: skip

_SAMPLED = 20_000  # captions that are cut into pieces to see how many are too long


def check_model(model: SigLIP, processor: Processor) -> None:
    """Refuse what is no SigLIP with its processor, or makes other sizes than it reads."""
    check_fit(model, processor)
    if model.format is not SIGLIP:
        hint = ": SigLIP 2 at fixed resolution is one" if isinstance(model, SigLIP) else ""
        raise TypeError(f"model is a {type(model).__name__}; expected a SigLIP{hint}")
    dtype = next(model.text_model.parameters()).dtype
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"the weights are {dtype}, too coarse for small steps: load the model with "
            'dtype=torch.float32; precision="bfloat16" is for what the towers compute'
        )
    vision, text, words = model.config.vision, model.config.text, processor.tokenizer
    pairs = (
        ("pictures of {} px a side", processor.image_size, vision.image_size),
        ("texts of {} tokens", words.context_length, text.context_length),
    )
    for what, made, read in pairs:
        if made != read:
            raise ValueError(
                f"the processor makes {what.format(made)}, the model reads {read}: take the "
                "processor of the same model, Processor.from_pretrained(NAME)"
            )
    if words.vocab_size > text.vocab_size:
        raise ValueError(
            f"the tokenizer has {words.vocab_size} pieces, the model {text.vocab_size}: take the "
            "processor of the same model"
        )


def divide(
    pairs: Pairs, held_out: float | int | Pairs | None, config: TrainConfig, world: int = 1
) -> tuple[Pairs, Pairs | None]:
    """What to train and what to measure with; refuse what gives no batch, or no measurement."""
    training = pairs
    if not isinstance(held_out, (Pairs, type(None))):
        training, held_out = pairs.split(held_out, config.seed)
    check_batches(training, config, world)
    return training, held_out


def check_batches(pairs: Pairs, config: TrainConfig, world: int = 1) -> None:
    """Refuse data that gives no batch, or batches that processes cannot share."""
    n, size = len(pairs), config.batch_size
    if size > n:
        raise ValueError(
            f"batch_size is {size}, but there are {n} pictures to train with: give at most "
            f"batch_size={n}, more pictures, or hold out fewer"
        )
    if size % world:
        raise ValueError(
            f"batch_size {size} cannot be shared by {world} processes: it is that of all of them, "
            f"such as {max(1, size // world) * world}"
        )
    if config.remainder == "refuse" and n % size:
        raise ValueError(
            f"{n} pictures are not whole batches of {size}: {n % size} are left over. Choose a "
            'batch_size that divides, or remainder="drop", which leaves out others each epoch'
        )
    if size == 1:
        raise ValueError("batch_size is 1: a picture needs other texts to be told from; try 32")


def autocast_type(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """The type in which the towers compute under autocast; None: as the weights are."""
    able = device.type == "cuda" and has_bfloat16(device)
    if config.precision == "float32" or (config.precision == "auto" and not able):
        return None
    return torch.bfloat16


def fingerprints(
    model: SigLIP, training: Pairs, held_out: Pairs | None, config: TrainConfig
) -> dict[str, dict]:
    """All that must be the same in a run that goes on."""
    return {
        "config": config.to_dict(),
        "data": {
            "training": training.fingerprint(),
            "held out": held_out.fingerprint() if held_out else "",
        },
        "model": {"weights": model_fingerprint(model)},
    }


def check_room(out: Path, model: SigLIP, learned: Mapping[str, Tensor]) -> None:
    """Refuse a disk without room for what a run writes: checkpoint and state, old and new."""
    checkpoint = sum(parameter.nbytes for parameter in model.parameters())
    state = 3 * sum(parameter.nbytes for parameter in learned.values())
    needed = 2 * (checkpoint + state) + 2**20
    check_free(out, needed, "a run's checkpoint and state, each old and new,")


def check_out(out: Path) -> None:
    """Refuse a folder that holds something other than a run that can go on."""
    if not out.exists() or (out / STATE).exists():
        return
    if not out.is_dir():
        raise NotADirectoryError(f"{shown(out, 120)} is a file; expected a folder to write")
    if (out / "report.md").exists() and (out / "config.json").exists():
        raise FileExistsError(
            f"{shown(out, 90)} is finished: see report.md in it. To train longer, begin with it: "
            f"siglip-lab train DATA NEW --model {shown(out, 90)}"
        )
    if any(not path.name.startswith(".") for path in out.iterdir()):
        raise FileExistsError(
            f"{shown(out, 120)} is not empty and has no unfinished run: name another folder"
        )


def opening(
    pairs: Pairs, training: Pairs, held_out: Pairs | None, config: TrainConfig
) -> Iterator[str]:
    """How the data was read, and what is done with it: the first lines of a run."""
    yield f"data          {pairs.how}"
    measured = f"{len(held_out):,}" if held_out else "none"
    yield f"pictures      {len(training):,} to train with, {measured} to measure with"
    epochs = config.steps * config.batch_size / len(training)
    yield (
        f"steps         {config.steps:,} of {config.batch_size} pairs, {epochs:,.1f} epochs; peak "
        f"learning rate {config.learning_rate:g}, {config.warmup:,} steps of warm-up"
    )


def remarks(pairs: Pairs, processor: Processor) -> Iterator[str]:
    """What a reader should know of the data before anything long starts."""
    reasons: dict[str, list[str]] = {}
    for name, why in pairs.left_out.items():
        reasons.setdefault(why, []).append(name)
    total = len(pairs) + len(pairs.left_out)
    for why, names in reasons.items():
        loud = "WARNING, " if len(names) > total / 10 else ""
        yield f"{loud}{len(names):,} of {total:,} entries are left out, {why}: {named(names)}"
    captions, words = pairs.captions(), processor.tokenizer
    sample = captions[:_SAMPLED]
    longer = [text for text in sample if len(words.encode(text)) > words.context_length]
    if longer:
        of = f"{len(sample):,}" if len(sample) == len(captions) else f"the first {len(sample):,}"
        yield (
            f"{len(longer):,} of {of} captions have more than {words.context_length} tokens and "
            f"will be cut, such as {shown(repr(longer[0]), 60)}"
        )
    (unknown_id, *_) = words.encode("<unk>")
    unknown = sum(unknown_id in words.encode(text) for text in sample)
    if unknown > len(sample) / 20:
        yield f"{unknown:,} captions have letters or words that the tokenizer does not know"
    if not pairs.grouped and len(captions) < sum(len(p.captions) for p in pairs):
        yield (
            f"{len(pairs):,} pictures have {len(captions):,} different captions: where several "
            "share one, it counts as true of each of them"
        )
