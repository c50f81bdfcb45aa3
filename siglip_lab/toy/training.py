"""Train a small SigLIP on the shapes world: the steps, the checkpoint, and going on after a stop.

The training is the paper's in miniature: two towers from scratch, the sigmoid loss over all pairs
of a batch, AdamW with beta2 = 0.95, warm-up and cosine decay. The result is an ordinary checkpoint
folder, which transformers loads too.

    python -m siglip_lab.toy.training --config quick --out my_model      # about two minutes
    python -m siglip_lab.toy.training --config shipped --out my_model    # eight minutes or more
"""

from __future__ import annotations

import argparse
import io
import math
import shlex
import sys
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from siglip_lab.checks import CheckpointError, check_integer, shown
from siglip_lab.configs import SigLIPConfig
from siglip_lab.loading.folder import write_files
from siglip_lab.losses_at_scale import sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.pairs import default_device
from siglip_lab.processor import Processor
from siglip_lab.published import get_config
from siglip_lab.terminal import Parser, run, whole_number
from siglip_lab.tokenizer import Tokenizer
from siglip_lab.toy.data import Batch, train_tokenizer, training_batch
from siglip_lab.toy.evaluation import evaluate
from siglip_lab.toy.shapes_world import training_combinations
from siglip_lab.training.optimization import adamw, learning_rate, set_learning_rate

__all__ = ["CONFIGS", "SECONDS_BETWEEN_STATES", "STATE", "TrainConfig", "Trainer", "main", "train"]

STATE = "training_state.pt"  # in the checkpoint folder while training runs
SECONDS_BETWEEN_STATES = 30
_PROGRAM = "python -m siglip_lab.toy.training"
_MOST = len(training_combinations())


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides which weights come out.

    Args:
        steps: Number of batches.
        batch_size: Pictures in a batch; each brings one caption.
        learning_rate: Peak of the schedule.
        weight_decay: AdamW's, on matrices only.
        warmup: Steps over which the learning rate rises.
        seed: Seed of the random weights, the pictures and the captions.
        model: Shape of the model; its vocabulary size is the tokenizer's.
    """

    steps: int = 5000
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup: int = 200
    seed: int = 0
    model: SigLIPConfig = get_config("tiny")

    def __post_init__(self):
        for name in ("steps", "batch_size"):
            check_integer(name, getattr(self, name))
        if self.batch_size > _MOST:
            raise ValueError(
                f"batch_size is {self.batch_size}; expected at most {_MOST}, the number of "
                "combinations that training has: none comes twice in a batch"
            )


# What the two reach is in `evaluate`'s terms: shipped about 0.96 on seen combinations, quick about
# 0.22, where guessing gives 0.003: colours and counts are learned first, shapes come late.
CONFIGS = {
    "shipped": TrainConfig(),
    "quick": TrainConfig(steps=1300, batch_size=32, learning_rate=1e-3, warmup=60),
}


class Trainer:
    """A run between two steps: model, optimizer, next step. Device None is the CPU."""

    def __init__(self, config: TrainConfig, device: torch.device | str | None = None):
        self.config, self.device, self.step = config, device, 0
        model = SigLIP(config.model, torch.Generator().manual_seed(config.seed))
        # The paper's b = -10 fits batches of 16 thousand, with one true caption in as many. Here
        # one pair in 21 is true; log(1/24) nearly says so before anything is learned.
        torch.nn.init.constant_(model.logit_bias, math.log(1 / 24))
        self.model = model.train().to(device)
        self.optimizer = adamw(self.model, config.weight_decay)

    def take_step(self, batch: Batch, tokenizer: Tokenizer) -> Tensor:
        """Take one step on a batch; return its loss."""
        config, model = self.config, self.model
        rate = learning_rate(config.learning_rate, self.step, config.steps, config.warmup)
        set_learning_rate(self.optimizer, rate)
        pixel_values = batch.pixel_values(config.model.vision.image_size)
        image_embeds = model.encode_image(pixel_values.to(self.device))
        text_embeds = model.encode_text(tokenizer(batch.texts).to(self.device))
        scalars = model.logit_scale, model.logit_bias
        loss = sigmoid_loss(image_embeds, text_embeds, *scalars, labels=batch.labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def save(self, path: Path) -> None:
        """Write all that the steps to come depend on."""
        parts = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        buffer = io.BytesIO()
        torch.save({"config": asdict(self.config), "step": self.step, **parts}, buffer)
        write_files(path.parent, {path.name: buffer.getvalue()})

    def restore(self, path: Path) -> None:
        """Go to where the run was that wrote this file; refuse another config's."""
        if not path.exists():
            raise FileNotFoundError(f"nothing to resume: there is no {path}")
        file = io.BytesIO(path.read_bytes())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the pickles of other programs
                state = torch.load(file, map_location="cpu", weights_only=True)
            asked, found, step = asdict(self.config), state["config"], state["step"]
            differing = [k for k in asked if asked[k] != found[k]]
            if not differing:
                self.model.load_state_dict(state["model"])
                self.optimizer.load_state_dict(state["optimizer"])
                check_integer("step", step, least=0)
        except Exception as error:  # whatever torch meets in a file that is not its own
            message = f"{path} is damaged, or not of a training run: delete the folder"
            raise CheckpointError(message) from error
        if differing:
            words = "; ".join(f"{k} {found[k]} (now {asked[k]})" for k in differing)
            raise ValueError(
                f"{path} was written with another config: {shown(words, 120)}. Resume with that "
                "one, or train into another folder"
            )
        self.step = step


def train(
    out: str | Path,
    config: TrainConfig = CONFIGS["quick"],
    resume: bool = False,
    device: torch.device | str | None = None,
) -> SigLIP:
    """Train a model, write it as a checkpoint folder, and return it in eval mode.

    While it runs, the folder holds ``training_state.pt``, renewed every 30 seconds: a run that was
    killed or stopped with Ctrl-C goes on from there with `resume=True`, and ends with the same
    bits as one that was never stopped. The same config gives the same weights on the same machine
    with the same number of threads (`torch.set_num_threads`; the command line sets 1).

    Args:
        out: Folder to write, empty or not there yet.
        config: One of `CONFIGS`, or your own.
        resume: Go on with the run that `out` holds the state of.
        device: Where to train; None: the CPU.

    Raises:
        FileExistsError, FileNotFoundError: If `out` is not empty, or there is nothing to resume.
        ValueError: If the unfinished run has another config, or its state is damaged.
    """
    out = Path(out)
    if not resume:
        _check_empty(out)
    trainer, state = Trainer(config, device), out / STATE
    if resume:
        trainer.restore(state)
    spiece = train_tokenizer(config.model.text.vocab_size)
    trainer.save(state)  # from here on it can be resumed
    write_files(out, {"spiece.model": spiece})
    tokenizer = Tokenizer(out / "spiece.model", config.model.text.context_length)
    saved, first = time.monotonic(), trainer.step
    with tqdm(total=config.steps, initial=first, unit="step") as bar:
        for step in range(first, config.steps):
            batch = training_batch(config.seed, step, config.batch_size)
            loss = trainer.take_step(batch, tokenizer)
            if step % 10 == 0:  # a GPU has to be waited for
                bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
            bar.update()
            if time.monotonic() - saved > SECONDS_BETWEEN_STATES:
                trainer.save(state)
                saved = time.monotonic()
    Processor(tokenizer, config.model.vision.image_size).save_pretrained(out)
    trainer.model.save_pretrained(out)
    state.unlink()
    return trainer.model.eval()


def _check_empty(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        hint = "resume its unfinished run, or " if (folder / STATE).exists() else ""
        raise FileExistsError(f"{folder} is not an empty folder: {hint}name another one")


# ---- command line --------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Train and measure from the command line; return the exit code.

    Args:
        arguments: The words after the program's name; default: the process's own.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    return run(lambda: _train_and_evaluate(options, words))


def _train_and_evaluate(options: argparse.Namespace, words: list[str]) -> None:
    names = ("steps", "batch_size", "seed")
    changes = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    torch.set_num_threads(options.threads)
    config = replace(CONFIGS[options.config], **changes)
    try:
        model = train(options.out, config, options.resume, options.device)
    except KeyboardInterrupt:
        if (Path(options.out) / STATE).exists():
            again = shlex.join(words if options.resume else [*words, "--resume"])
            print(f"\nStopped. Go on with: {_PROGRAM} {shown(again, len(again))}", file=sys.stderr)
        raise
    except BrokenPipeError as error:  # the progress bar's: this run is not at its end
        raise ValueError("stopped, for nobody reads the progress: go on with --resume") from error
    accuracy = evaluate(model, Processor.from_pretrained(options.out))
    for name, number in accuracy.pictures.items():
        print(f"{name:17} {getattr(accuracy, name):6.1%} of {number} new pictures")


def _parser() -> Parser:
    parser = Parser(prog=_PROGRAM, description="Train a small SigLIP on the shapes world.")
    parser.add_argument(
        "--config", choices=CONFIGS, default="quick",
        help="quick: about two minutes (default); shipped: the weights that the package carries",
    )  # fmt: skip
    parser.add_argument("--out", required=True, help="checkpoint folder to write")
    parser.add_argument("--steps", type=whole_number(1, 10**9), help="number of batches")
    parser.add_argument("--batch-size", type=whole_number(1, _MOST), help="pictures in a batch")
    parser.add_argument("--seed", type=whole_number(-(2**63), 2**63 - 1), help="seed of the run")
    devices = sorted({"cpu", str(default_device())})
    parser.add_argument("--device", choices=devices, help="where to train (default: cpu)")
    threads = whole_number(1, 1024)  # more may sum in another order, and end in other last bits
    parser.add_argument("--threads", type=threads, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
