"""The training loop.

A step in words: draw a batch, embed its pictures and its texts, ask of every pair whether the two
belong together, go down the gradient. `Trainer.take_step` is that; `train` repeats it. What a run
says and writes down is `siglip_lab.training.run`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from siglip_lab.losses_at_scale import distributed_sigmoid_loss, sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.training import doors
from siglip_lab.training.config import TrainConfig
from siglip_lab.training.data import Batch, Batches, Pairs
from siglip_lab.training.measuring import BEFORE, shapes_world_pairs
from siglip_lab.training.optimization import adamw, learning_rate, set_learning_rate
from siglip_lab.training.parallel import Ranks, Towers, join_ranks, spread
from siglip_lab.training.parameters import choose_parameters, learned, plain_copy, whole
from siglip_lab.training.report import HELD_OUT, Report
from siglip_lab.training.run import Run

__all__ = ["Trainer", "train"]


class Trainer:
    """A model between two steps of its training: what learns, the optimizer, the next step.

    Args:
        model: The model, on the device where it learns; its parameters change in place.
        config: How to train it.
        ranks: The processes that share the work. Default: this one alone.
        parallel: "ddp" or "fsdp", if they are several.
    """

    def __init__(
        self,
        model: SigLIP,
        config: TrainConfig,
        ranks: Ranks | None = None,
        parallel: str = "ddp",
    ):
        self.ranks = ranks or Ranks(device=model.logit_scale.device)
        self.model, self.config, self.step = model.train(), config, 0
        self.dtype = doors.autocast_type(config, self.ranks.device)
        self.adapters = choose_parameters(model, config)
        if self.adapters is not None and parallel == "fsdp" and self.ranks.world > 1:
            raise ValueError('what LoRA teaches is too small to be spread: take parallel="ddp"')
        model.set_grad_checkpointing(config.grad_checkpointing)
        self.towers, self.sync = spread(Towers(model), self.ranks, parallel)
        self.learned = learned(model)
        self.optimizer = adamw(model, config.weight_decay)
        averaged = {} if config.ema is None else self.learned
        self.average = {name: p.detach().clone() for name, p in averaged.items()}

    def take_step(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Take one step on this process's part of a batch.

        Returns:
            The loss, whose mean over the processes is that of the batch, and the length that the
            gradient had. Nothing has waited for a GPU.
        """
        config = self.config
        rate = learning_rate(config.learning_rate, self.step, config.steps, config.warmup)
        set_learning_rate(self.optimizer, rate)
        loss = self.backward(batch.to(self.ranks.device))
        length = torch.nn.utils.clip_grad_norm_(self.learned.values(), config.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            if config.max_logit_scale is not None:  # the clipping of t
                self.model.logit_scale.clamp_(max=math.log(config.max_logit_scale))
            for name, average in self.average.items():
                average.lerp_(self.learned[name].detach(), 1 - (config.ema or 0))
        self.step += 1
        return loss, whole(length)

    def backward(self, batch: Batch) -> Tensor:
        """Leave the gradients of the batch's loss in the parameters; return the loss.

        If the batch is larger than a micro-batch, as GradCache (arXiv 2101.06983) has it: embed all
        of it without keeping activations; take the loss's gradients by the embeddings; then embed
        each micro-batch again, and let its part of those gradients flow back through the towers.
        Nothing in the towers is random, so both passes are the same, and the gradients exact.
        """
        parts = batch.split(self.config.micro_batch_size)
        if len(parts) == 1:
            with self.sync(True):
                loss = self.loss(batch, *self.embed(*parts[0]))
                loss.backward()
            return loss.detach()
        with torch.no_grad():
            found = [self.embed(*part) for part in parts]
            x, y = (torch.cat(embeds) for embeds in list(zip(*found, strict=True))[:2])
        leaves = [leaf.detach().requires_grad_() for leaf in (x, y, *found[0][2:])]
        loss = self.loss(batch, *leaves)
        loss.backward()
        to_x, to_y, *to_scalars = (cast(Tensor, leaf.grad) for leaf in leaves)
        sizes = [len(pixel_values) for pixel_values, _ in parts]
        pieces = zip(to_x.split(sizes), to_y.split(sizes), strict=True)
        for number, (part, piece) in enumerate(zip(parts, pieces, strict=True), 1):
            last = number == len(parts)  # then processes exchange their gradients, and not before
            with self.sync(last):
                outputs = self.embed(*part)
                # The loss gave t and b all of their gradient: it goes in once
                gradients = *piece, *(g if last else torch.zeros_like(g) for g in to_scalars)
                learning = [i for i, output in enumerate(outputs) if output.requires_grad]
                torch.autograd.backward(
                    [outputs[i] for i in learning], [gradients[i] for i in learning]
                )
        return loss.detach()

    def embed(self, pixel_values: Tensor, input_ids: Tensor) -> tuple[Tensor, ...]:
        """Embeddings of images and texts, log t and b; the towers compute as the config says."""
        half = self.dtype is not None
        with torch.autocast(self.ranks.device.type, self.dtype, enabled=half):
            return self.towers(pixel_values, input_ids)

    def loss(self, batch: Batch, x: Tensor, y: Tensor, log_t: Tensor, b: Tensor) -> Tensor:
        """SigLIP's loss of this process's pictures and the texts of all processes."""
        labels = (batch.image_ids, batch.text_ids) if self.config.labels else None
        if self.ranks.world > 1:
            return distributed_sigmoid_loss(x, y, log_t, b, labels)
        return sigmoid_loss(x, y, log_t, b, labels)

    def result(self) -> SigLIP:
        """The model as it is measured and saved: gathered, merged, averaged. All ranks come."""
        return plain_copy(self.model, self.adapters, self.average)


def train(
    model: SigLIP,
    processor: Processor,
    pairs: Pairs,
    out: str | Path,
    config: TrainConfig | None = None,
    held_out: float | int | Pairs | None = 0.1,
    before: Mapping[str, Pairs] | None = None,
    device: torch.device | str | None = None,
    num_workers: int = 0,
    parallel: str = "ddp",
    tensorboard: bool = False,
    origin: str = "",
) -> Report:
    """Train a model on pictures with captions, and write it as a checkpoint folder.

    A run that was killed goes on when it is started again with the same arguments, and ends with
    the same weights, on one process or several; at most the last minute is lost. In the folder grow
    ``train.csv``, ``measured.csv``, and the checkpoint, renewed with every measurement. Ctrl-C
    ends one process after the step it is in, and loses nothing.

    Args:
        model: Where to begin: `SigLIP.from_pretrained`, or new weights. It is trained in place.
        processor: Its processor.
        pairs: What to train with, such as `open_pairs` reads it.
        out: Folder to write: empty, not there yet, or of the same run, unfinished.
        config: What to do. Default: ``TrainConfig()``.
        held_out: Pictures to measure with: a share of `pairs`, a number of them, or others. None:
            none, all are trained with.
        before: What the model could do before, by name, to be measured at both ends. Default:
            drawings of the shapes world.
        device: Where to train. None: a GPU if there is one.
        num_workers: Processes that read pictures ahead, for each training process. 0: none.
        parallel: How several processes, started by ``torchrun``, share the model: "ddp", "fsdp".
        tensorboard: Write TensorBoard's files, too.
        origin: What the report calls the model that it began with.

    Returns:
        What was gained and what was forgotten, also in ``report.md``.

    Raises:
        TypeError, ValueError: If model, data and config do not fit together; if the loss is no
            longer a number: it names the batch, and the last good state and checkpoint stay.
        OSError: If `out` holds something else, or the disk is full: the last state stays.
    """
    config, out = config or TrainConfig(), Path(out)
    before = {BEFORE: shapes_world_pairs()} if before is None else before
    doors.check_model(model, processor)
    doors.check_out(out)
    with join_ranks(device) as ranks:
        ranks.compare("the data", pairs.fingerprint())
        training, held_out = doors.divide(pairs, held_out, config, ranks.world)
        begins = doors.fingerprints(model, training, held_out, config)
        trainer = Trainer(model.to(ranks.device), config, ranks, parallel)
        doors.check_room(out, model, trainer.learned)
        part, seed = (ranks.rank, ranks.world), config.seed
        batches = Batches(
            training, processor, config.steps, config.batch_size, seed, config.augment, part
        )
        tests = ({HELD_OUT: held_out} if held_out else {}) | dict(before)
        run = Run(trainer, batches, tests, out, num_workers, tensorboard)
        with run.session():
            for line in doors.opening(pairs, training, held_out, config):
                run.say(line)
            run.begin(begins, doors.remarks(pairs, processor))
            loader = DataLoader(
                batches,
                batch_size=None,
                sampler=range(trainer.step, config.steps),
                num_workers=num_workers,
                pin_memory=ranks.device.type == "cuda",
                generator=torch.Generator(),  # else the loader would draw from the caller's
            )
            with run.progress() as bar:
                for batch in loader:
                    with run.whole_step():
                        taken = trainer.take_step(batch)
                    run.note(batch, *taken)
                    bar.update()
            return run.finish(pairs, origin)
