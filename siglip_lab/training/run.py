"""What a run says, measures and writes down between its steps, and how it goes on after a kill."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from siglip_lab.checks import shown
from siglip_lab.loading.folder import write_files
from siglip_lab.training.data import Batch, Batches, Pairs, named
from siglip_lab.training.logs import Log
from siglip_lab.training.measuring import best_texts, measure
from siglip_lab.training.optimization import learning_rate
from siglip_lab.training.parameters import trainable_share, whole
from siglip_lab.training.report import HELD_OUT, Report
from siglip_lab.training.state import STATE, gather, hold, read_state, restore, write_state

__all__ = ["SECONDS_BETWEEN_STATES", "Run"]

SECONDS_BETWEEN_STATES = 45  # at most a minute is lost, the writing included
STEPS_BETWEEN_LOOKS = 10  # at a GPU's losses, for which one has to wait
STEPS_BETWEEN_ROWS = 10
MOST_NAMED = 10  # pictures that cannot be read


class Run:
    """A training's surroundings: first and last measurement, log, states, and the report.

    Args:
        trainer: What trains, a `siglip_lab.training.loop.Trainer`.
        batches: What it trains with.
        tests: What is measured, by name; the first is what is held out.
        out: The folder to write.
        num_workers: Processes that read pictures to measure with.
        tensorboard: Whether to write TensorBoard's files.
    """

    def __init__(
        self,
        trainer: Any,
        batches: Batches,
        tests: Mapping[str, Pairs],
        out: Path,
        num_workers: int = 0,
        tensorboard: bool = False,
    ):
        self.trainer, self.batches, self.tests, self.out = trainer, batches, tests, out
        self.ranks, self.is_first = trainer.ranks, trainer.ranks.rank == 0
        self.num_workers, self.tensorboard = num_workers, tensorboard
        self.unreadable: dict[str, str] = {}
        self._whole, self._stopping, self._saved_step = True, False, -1
        self.last: dict[str, dict[str, float]] = {}
        self._pending: list[tuple[int, Tensor, Tensor]] = []  # steps not yet looked at
        self._losses: list[float] = []  # since the last row

    # ---- other runs, and Ctrl-C ------------------------------------------------------------------

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Keep other runs out of the folder; save what Ctrl-C finds, if it is a whole step."""
        with contextlib.ExitStack() as stack:
            free = self.is_first and stack.enter_context(hold(self.out))
            if not self.ranks.first_says(free):
                raise OSError(
                    f"another run is writing into {shown(self.out, 120)}: wait for its end, or "
                    "name another folder"
                )
            try:
                yield
            except KeyboardInterrupt:
                if self.ranks.world > 1:  # another may be in a step: nothing can be gathered
                    raise
                if self._whole and 0 <= self._saved_step < self.trainer.step:
                    if self._pending:
                        self._look()
                    self._save_state()
                words = "Stopped before the first step; the same command begins again"
                if self._saved_step > 0:
                    words = f"Stopped after step {self._saved_step:,}; the same command goes on "
                    words += "from there"
                raise KeyboardInterrupt(words) from None

    @contextlib.contextmanager
    def whole_step(self) -> Iterator[None]:
        """Let Ctrl-C wait for the end of a step, in one process; a second one does not wait."""
        self._whole = False
        if self.ranks.world > 1 or threading.current_thread() is not threading.main_thread():
            yield
        else:
            before = signal.getsignal(signal.SIGINT)

            def stop(number, frame):
                self._stopping = True
                signal.signal(signal.SIGINT, before)

            signal.signal(signal.SIGINT, stop)
            try:
                yield
            finally:
                signal.signal(signal.SIGINT, before)
        self._whole = True

    # ---- the beginning and the end ---------------------------------------------------------------

    def begin(self, begins: dict[str, dict], remarks: Iterable[str]) -> None:
        """Go on from the folder's state, or measure what the model can do before it learns.

        Args:
            begins: What must be the same in a run that goes on: settings, data and model.
            remarks: What to say of the data at first.
        """
        trainer, self.begins = self.trainer, begins
        state = read_state(self.out, begins)
        self.ranks.wait()  # the first process may write only when all have read
        self._started = self._saved = self._lap = time.monotonic()
        if state is None:
            for remark in remarks:
                self.say(remark)
            self.say("measuring what the model can do before")
            self.seconds, self.first, self.examples = 0.0, self._measure(), self._best_texts()
        else:
            restore(trainer.learned, trainer.optimizer, trainer.average, state)
            trainer.step, self.seconds, self.first = state["step"], state["seconds"], state["first"]
            self._saved_step, self.examples = trainer.step, state.get("examples", {})
            self.unreadable = state["unreadable"]
            self.say(f"going on after step {trainer.step:,} of {trainer.config.steps:,}")
        if self.is_first:
            self.out.mkdir(parents=True, exist_ok=True)
            logs = (Log(self.out, n, trainer.step, self.tensorboard) for n in ("train", "measured"))
            self._log, self._measured = logs
        if state is None:
            self._write_measured(self.first)
            self._save_state()
        elif self._is_measured(trainer.step):
            there = not self.is_first or self._measured.last_step == trainer.step
            if self.ranks.first_says(not there):  # killed while it measured
                self._measure_and_save()

    def progress(self) -> tqdm:
        """The progress bar; call its `update` after each step."""
        steps, step = self.trainer.config.steps, self.trainer.step
        self._bar = tqdm(total=steps, initial=step, unit="step", disable=not self.is_first)
        return self._bar

    def finish(self, pairs: Pairs, origin: str) -> Report:
        """Write checkpoint and report, the last measurement in it.

        Args:
            pairs: All that was given.
            origin: What the model was that it began with.
        """
        trainer = self.trainer
        if not self.last:  # killed after its last step
            self._measure_and_save()
        learning, total = trainable_share(trainer.model)
        examples, photo = {}, "photo.jpg"
        for name, text in self._best_texts().items():
            held = next(p for p in self.tests[HELD_OUT] if p.name == name)
            examples[name] = [*held.captions[:1], self.examples.get(name, ""), text]
            photo = str(held.image) if isinstance(held.image, (str, Path)) else photo
        report = Report(
            out=str(self.out),
            config=trainer.config.to_dict(),
            first=self.first,
            last=self.last,
            seconds=self._seconds(),
            learning=learning,
            parameters=total,
            pictures=len(self.batches.pairs) - len(self.unreadable),
            left_out=dict(pairs.left_out),
            unreadable=self.unreadable,
            origin=origin,
            data=pairs.how,
            examples=examples,
            photo=photo,
        )
        if self.is_first:
            report.save(self.out)
            (self.out / STATE).unlink(missing_ok=True)
        self.ranks.wait()
        return report

    # ---- between the steps -----------------------------------------------------------------------

    def note(self, batch: Batch, loss: Tensor, length: Tensor) -> None:
        """Take down the step that was just made; when it is time, look, measure and save."""
        step = self.trainer.step
        for name, why in batch.unreadable.items():
            if name not in self.unreadable:
                self.unreadable[name] = why
                if len(self.unreadable) <= MOST_NAMED:
                    _write(f"skipped {name}: {why}")
                if len(self.unreadable) == MOST_NAMED:
                    _write("others that cannot be read are not named here, but in report.json")
        self._pending.append((step - 1, loss, length))
        if self._stopping:
            raise KeyboardInterrupt
        measuring = self._is_measured(step)
        if measuring or self.ranks.device.type == "cpu" or step % STEPS_BETWEEN_LOOKS == 0:
            self._look()
            due = time.monotonic() - self._saved > SECONDS_BETWEEN_STATES
            if measuring or self.ranks.first_says(due):  # before, for it may take long
                self._save_state()
            if measuring:
                self._measure_and_save()

    def say(self, text: str) -> None:
        """Print a line above the progress bar, once for all processes."""
        if self.is_first:
            _write(text)

    def _look(self) -> None:
        """Read the losses since the last look, and stop if one is no number."""
        pairs = [torch.stack([loss.double(), length.double()]) for _, loss, length in self._pending]
        values = self.ranks.mean(torch.stack(pairs)).tolist()
        for (step, _, _), (loss, length) in zip(self._pending, values, strict=True):
            if not (math.isfinite(loss) and math.isfinite(length)):
                self._stop(step, loss, length)
        self._pending = []
        self._losses += [loss for loss, _ in values]
        self._bar.set_postfix(loss=f"{values[-1][0]:.3f}", refresh=False)
        step, config = self.trainer.step, self.trainer.config
        if step % STEPS_BETWEEN_ROWS and step != config.steps:
            return
        model = self.trainer.model
        log_t, b = (whole(scalar).item() for scalar in (model.logit_scale, model.logit_bias))
        now, steps = time.monotonic(), len(self._losses)
        if self.is_first:
            self._log.add(
                step,
                epoch=step * config.batch_size / len(self.batches.pairs),
                loss=sum(self._losses) / steps,
                gradient_length=values[-1][1],
                learning_rate=learning_rate(
                    config.learning_rate, step - 1, config.steps, config.warmup
                ),
                logit_scale=math.exp(log_t),
                logit_bias=b,
                pairs_per_second=steps * config.batch_size / (now - self._lap),
            )
        self._losses, self._lap = [], now

    def _stop(self, step: int, loss: float, length: float) -> None:
        names = [self.batches.pairs[i].name for i in self.batches.indices(step)]
        if self.is_first:
            write_files(self.out, {"stopped_at.txt": "\n".join([*names, ""]).encode()})
        raise ValueError(
            f"step {step + 1}: the loss is {loss:.3g}, the gradient's length {length:.3g}. The "
            f"batch is {named(names, 2)} (see stopped_at.txt). The last good state and checkpoint "
            "stay. Look at its pictures, or take a lower learning_rate in another folder"
        )

    # ---- what is measured and written ------------------------------------------------------------

    def _is_measured(self, step: int) -> bool:
        config = self.trainer.config
        return step == config.steps or (step > 0 and step % config.validate_every == 0)

    def _measure_and_save(self) -> None:
        self.last = self._measure()
        self._write_measured(self.last)
        model = self.trainer.result()  # all processes come here
        if self.is_first:
            self.batches.processor.save_pretrained(self.out)
            model.save_pretrained(self.out)

    def _measure(self) -> dict[str, dict[str, float]]:
        model, processor = self.trainer.result(), self.batches.processor
        found = {}
        for name, pairs in self.tests.items():
            found[name] = measure(model, processor, pairs, num_workers=self.num_workers)
        self._lap = time.monotonic()
        return found

    def _best_texts(self) -> dict[str, str]:
        """What five held-out pictures are taken for."""
        if HELD_OUT not in self.tests:
            return {}
        return best_texts(self.trainer.result(), self.batches.processor, self.tests[HELD_OUT])

    def _write_measured(self, found: dict[str, dict[str, float]]) -> None:
        if self.is_first and self._measured.last_step != self.trainer.step:
            values = {f"{test} {key}": v for test, row in found.items() for key, v in row.items()}
            self._measured.add(self.trainer.step, **values)
            words = ", ".join(f"{name} {row['name@1']:.1%}" for name, row in found.items())
            self.say(f"step {self.trainer.step:,}: names right, {words}")

    def _save_state(self) -> None:
        trainer = self.trainer
        state: dict[str, Any] = gather(trainer.learned, trainer.optimizer, trainer.average)
        self.unreadable = self.ranks.merge(self.unreadable)
        if self.is_first:
            rest = {"seconds": self._seconds(), "first": self.first, "unreadable": self.unreadable}
            rest |= {"examples": self.examples, "step": trainer.step}
            write_state(self.out, self.begins | state | rest)
        self._saved_step = trainer.step
        self._saved = time.monotonic()

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self._started


def _write(text: str) -> None:
    tqdm.write(shown(text, 300), file=sys.stderr)
