"""The command ``siglip-lab train``."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from typing import Any

import torch

from siglip_lab.checks import shown
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.terminal import show, utf_8, whole_number
from siglip_lab.training.augmentation import AUGMENTATIONS, chain
from siglip_lab.training.config import LEARN, PRECISIONS, TrainConfig, option
from siglip_lab.training.data import Pairs
from siglip_lab.training.estimates import dry_run
from siglip_lab.training.loop import train
from siglip_lab.training.measuring import BEFORE, shapes_world_pairs
from siglip_lab.training.parallel import PARALLEL
from siglip_lab.training.scratch import new_model
from siglip_lab.training.sources import TEMPLATES, open_pairs

__all__ = ["add_train"]

_MOST = 10**9
_BATCH = 64
_YES_OR_NO = ("adapt_head", "labels")  # options without a value, which say the contrary
_EPILOG = """examples:
  siglip-lab train PICTURES OUT                      fine-tune tiny on a folder with captions.csv
  siglip-lab train PICTURES OUT --dry-run            what it would take
  siglip-lab train PICTURES OUT --learn lora         low-rank additions, merged at the end
  torchrun --nproc-per-node 8 -m siglip_lab train …  eight GPUs

The same command again goes on with a run that was stopped or killed, with the same result."""


def add_train(commands: Any) -> None:
    """Add ``train`` to the command line's commands."""
    parser = commands.add_parser(
        "train",
        usage="siglip-lab train DATA OUT [OPTION ...]",
        help="train or fine-tune on your own pictures",
        description="Train or fine-tune a model on your own pictures and captions.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number, some = whole_number(1, _MOST), whole_number(0, _MOST)
    add = parser.add_argument
    add(
        "data", metavar="DATA",
        help="a folder with captions.csv or .jsonl (file, caption) or Hugging Face's metadata.csv "
        "or .jsonl, with a .txt beside each picture, or of class folders; a .tar or a folder of "
        "them (webdataset); a stored data set of Hugging Face",
    )  # fmt: skip
    add("out", metavar="OUT", help="checkpoint folder to write; an unfinished run in it goes on")

    add = parser.add_argument_group("what most people choose").add_argument
    add("--dry-run", action="store_true", help="check all, take five steps, say what it will take")
    add(
        "--model", default="tiny", metavar="WHERE",
        help="where to begin: a published name (fetch it first: siglip-lab download), a folder "
        "(default: %(default)s)",
    )  # fmt: skip
    add("--steps", type=number, default=1000, help="batches (default: %(default)s)")
    add(
        "--batch-size", type=number,
        help=f"pairs a batch (default: {_BATCH}, or all pictures if there are fewer)",
    )  # fmt: skip
    add(
        "--learn", choices=LEARN, default="all",
        help="all; text (LiT: the image tower is locked) or vision; last: --layers of each tower; "
        "lora: low-rank additions of --rank, merged at the end (default: %(default)s)",
    )  # fmt: skip
    add(
        "--learning-rate", type=float,
        help="its peak; a lower one forgets less (default: 1e-4; LoRA 5e-4; new weights 1e-3)",
    )  # fmt: skip
    add(
        "--augment", choices=AUGMENTATIONS, action="append", default=[],
        help="change training pictures; may be repeated (default: nothing is done)",
    )  # fmt: skip
    add(
        "--template", action="append", type=utf_8, metavar="TEXT",
        help="sentence around the name of a class folder; may be repeated "
        f'(default: "{TEMPLATES[0]}")',
    )  # fmt: skip
    add(
        "--held-out", default="0.1", metavar="SHARE|NUMBER|DATA",
        help="pictures to measure with: a share, a number, other data, or none: train on all "
        "(default: %(default)s)",
    )  # fmt: skip
    add(
        "--before", action="append", default=[], metavar="DATA",
        help="what the model could do before, measured at both ends; may be repeated; none: "
        "nothing (default: drawings of the shapes world)",
    )  # fmt: skip
    add("--device", help="such as cuda or cpu (default: a GPU if there is one)")
    add("--workers", type=some, default=0, help="processes that read pictures (default: 0)")
    add("--seed", type=some, default=0, help="of order, captions, split (default: %(default)s)")

    add = parser.add_argument_group("if memory is short").add_argument
    add("--micro-batch-size", type=number, help="pairs at once; the gradients stay exact")
    add("--grad-checkpointing", action="store_true", help="less memory, a third more time")
    add("--precision", choices=PRECISIONS, default="auto", help="default: %(default)s")

    add = parser.add_argument_group("for experts").add_argument
    add("--from-scratch", action="store_true", help="new weights in the model's shape")
    add("--layers", type=number, default=2, help="of each tower, for last (default: %(default)s)")
    add("--rank", type=number, default=8, help="of LoRA (default: %(default)s)")
    add("--without-head", action="store_true", help="LoRA leaves the image head's q, k, v alone")
    add("--weight-decay", type=float, help="of matrices (default: 1e-4 for new weights, else 0)")
    add("--warmup", type=some, help="steps of rise (default: a tenth)")
    add("--ema", type=float, metavar="DECAY", help="keep an average of the weights, such as 0.999")
    add("--max-logit-scale", type=float, metavar="T", help="clip t (default: no limit)")
    add("--max-grad-norm", type=float, default=1.0, help="clip gradients (default: %(default)s)")
    add("--ignore-duplicates", action="store_true", help="only a picture's own caption is true")
    add("--measure-every", type=number, metavar="STEPS", help="default: a quarter of all")
    add("--parallel", choices=PARALLEL, default="ddp", help="under torchrun (default: ddp)")
    add("--remainder", choices=("drop", "refuse"), default="drop", help="data left of an epoch")
    add("--strict", action="store_true", help="refuse captions or pictures that are left alone")
    add("--threads", type=number, help="CPU threads; the bits of a result depend on them")
    add("--tensorboard", action="store_true", help="write TensorBoard's files")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    try:
        _run(options)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"there is too little memory ({shown(str(error).partition('. ')[0], 90)}): give "
            "--micro-batch-size 8, which changes no result, or --grad-checkpointing, too"
        ) from error
    except (ImportError, ValueError) as error:
        raise ValueError(_as_options(str(error))) from error


def _run(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    templates = options.template or TEMPLATES
    pairs = open_pairs(options.data, templates, options.strict)
    before = {where: open_pairs(where, templates) for where in options.before if where != "none"}
    held_out = _held_out(options.held_out, templates)
    every = [pairs, *before.values(), *([held_out] if isinstance(held_out, Pairs) else [])]
    if options.template and not any(each.grouped for each in every):
        raise ValueError(
            f"--template is for the names of class folders; the captions here ({pairs.how}) are "
            "whole: leave it away"
        )
    before = before if options.before else {BEFORE: shapes_world_pairs()}
    config = _config(options, pairs, held_out)
    processor = Processor.from_pretrained(options.model)
    if options.from_scratch:
        model = new_model(options.model, config)
    else:
        model = SigLIP.from_pretrained(options.model, dtype=torch.float32)
    given = model, processor, pairs
    common = {"device": options.device, "num_workers": options.workers}
    common |= {"parallel": options.parallel, "out": options.out}
    if options.dry_run:
        words = dry_run(*given, config=config, held_out=held_out, **common)
    else:
        new = f"new weights, seed {config.seed}, in the shape of " if options.from_scratch else ""
        words = str(
            train(
                *given, config=config, held_out=held_out, before=before,
                tensorboard=options.tensorboard, origin=f"{new}{options.model}", **common,
            )
        )  # fmt: skip
    if os.environ.get("RANK", "0") == "0":
        show(words)


def _config(
    options: argparse.Namespace, pairs: Pairs, held_out: float | int | Pairs | None
) -> TrainConfig:
    names = [name for name in vars(options) if name in TrainConfig.__dataclass_fields__]
    values = {name: getattr(options, name) for name in names if name != "augment"}
    if options.augment:
        given = [AUGMENTATIONS[name] for name in options.augment]
        values["augment"] = given[0] if len(given) == 1 else chain(*given)
    if options.batch_size is None:
        n = len(pairs)
        if isinstance(held_out, (int, float)):
            n = len(pairs.split(held_out, options.seed)[0])
        world = int(os.environ.get("WORLD_SIZE", 1))
        values["batch_size"] = min(_BATCH, max(1, n // world) * world)
    return TrainConfig(
        **values,
        adapt_head=not options.without_head,
        labels=not options.ignore_duplicates,
        validate_every=options.measure_every,
    )


def _as_options(message: str) -> str:
    """Call settings as the command line does."""
    names = [name for name in TrainConfig.__dataclass_fields__ if name not in _YES_OR_NO]
    every = "|".join([*names, "held_out", "parallel"])
    long = "|".join(name for name in every.split("|") if "_" in name)
    message = re.sub(
        rf'\b({every})="?(\w+)"?', lambda found: f"{option(found[1])} {found[2]}", message
    )
    return re.sub(
        rf"\b({long})\b|^({every})(?= is | must )", lambda found: option(found[0]), message
    )


def _held_out(word: str, templates) -> float | int | Pairs | None:
    if word.lower() == "none":
        return None
    with contextlib.suppress(ValueError):
        return int(word)
    with contextlib.suppress(ValueError):
        return float(word)
    if not os.path.exists(word):
        raise FileNotFoundError(
            f"--held-out is {shown(repr(word), 60)}, no number and no data; expected a share such "
            "as 0.1, a number of pictures, a folder, or none"
        )
    return open_pairs(word, templates)
