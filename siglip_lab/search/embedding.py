"""From pictures or texts to an index: read ahead, embed, write down, and go on after a kill."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import siglip_lab
from siglip_lab.checks import check_integer, shown
from siglip_lab.model import TwoTowers
from siglip_lab.pairs import check_fit, read_ahead
from siglip_lab.processor import Processor
from siglip_lab.search import parts
from siglip_lab.search.index import Index, open_index
from siglip_lab.search.items import Items
from siglip_lab.search.manifest import MANIFEST, Manifest, describe, dtype_of
from siglip_lab.training.parallel import Ranks, join_ranks
from siglip_lab.training.state import check_free, hold, model_fingerprint

__all__ = ["SECONDS_BETWEEN_PARTS", "embed"]

SECONDS_BETWEEN_PARTS = 10  # at most so much is lost, and the batch that is being computed
MOST_NAMED = 10  # pictures that cannot be read
_POLL = 0.2  # seconds between two looks for what other processes have written


@torch.no_grad()
def embed(
    model: Any,
    processor: Processor,
    items: Items,
    out: str | Path,
    batch_size: int = 32,
    num_workers: int = 0,
    device: torch.device | str | None = None,
    origin: str = "",
    revision: str | None = None,
) -> Index:
    """Embed pictures or texts, and write an index: vectors, names, and a manifest.

    A run that was stopped or killed goes on when it is started again with the same arguments, and
    ends with the same vectors. Processes that ``torchrun`` started share the work; on several
    machines `out` has to be one folder that all of them see. What cannot be read is named and left
    out, and listed in ``skipped.json``.

    Args:
        model: The model; it computes in the type of its weights.
        processor: Its processor.
        items: What to embed, from `open_items`.
        out: Folder to write: empty, not there yet, or of the same run, unfinished.
        batch_size: How many to compute at once.
        num_workers: Processes that read pictures ahead, for each process that embeds. 0: none.
        device: Where to compute. None: a GPU if there is one.
        origin: Where the model came from: a name or a folder, from which a search loads it.
        revision: Its commit, branch or tag.

    Returns:
        The index.

    Raises:
        TypeError, ValueError: If model and processor do not fit, the run in `out` is another one,
            nothing can be read, or a vector is no number.
        OSError: If `out` holds something else, or the disk is full: what is done stays.
    """
    model, out = check_fit(model, processor), Path(out)
    check_integer("batch_size", batch_size)
    _check_out(out)
    manifest = Manifest(
        kind=items.kind,
        rows=len(items),
        width=model.config.embed_dim,
        normalised=True,
        model=origin,
        revision=revision,
        weights=model_fingerprint(model),
        preprocessing=describe(processor),
        computed_in=dtype_of(model),
        source=str(items.root),
        skipped=0,
        siglip_lab=siglip_lab.__version__,
    )
    # Where the model came from, and where the pictures are, may be said in other words
    same = ("kind", "width", "weights", "preprocessing", "computed_in", "siglip_lab")
    job = {name: value for name, value in manifest.to_dict().items() if name in same}
    job |= {"items": items.fingerprint(), "batch_size": batch_size}
    with contextlib.ExitStack() as stack:
        ranks = stack.enter_context(join_ranks(device))
        for name in ("items", "weights", "batch_size"):
            ranks.compare(name, job[name])
        free = ranks.rank == 0 and stack.enter_context(hold(out))
        if not ranks.first_says(free):
            raise OSError(
                f"another run is writing into {shown(out, 120)}: wait for its end, or name another "
                "folder"
            )
        going_on = parts.read_job(out, job)
        done = parts.finished_batches(out)
        batches = -(-len(items) // batch_size)
        todo = [batch for batch in range(batches) if batch not in done]
        if ranks.rank == 0:
            left = 2 * len(items) - len(done) * batch_size
            check_free(out, 4 * manifest.width * left + 2**20, "the vectors, twice,")
        ranks.wait()  # none writes before all have read
        if ranks.rank == 0 and not going_on:
            parts.begin(out, job)
        if ranks.rank == 0 and done:
            _say(f"going on: {min(len(done) * batch_size, len(items)):,} are done")
        share = [len(todo) * rank // ranks.world for rank in (ranks.rank, ranks.rank + 1)]
        run = _Run(model.to(ranks.device), processor, items, out, batch_size, ranks)
        run.embed(todo[slice(*share)], num_workers)
        if ranks.rank == 0:
            _until(lambda: len(parts.finished_batches(out)) == batches)
            manifest = parts.finish(out, items, manifest)
        # Not a barrier of the process group, whose patience ends after minutes
        _until((out / MANIFEST).exists)
    return open_index(out)


def _check_out(out: Path) -> None:
    """Refuse a folder that holds something other than a run that can go on."""
    if not out.exists():
        return
    if not out.is_dir():
        raise NotADirectoryError(f"{shown(out, 120)} is a file; expected a folder to write")
    if (out / MANIFEST).exists():
        shutil.rmtree(out / parts.WORK, ignore_errors=True)  # if a kill left it
        raise FileExistsError(
            f'{shown(out, 90)} is finished: siglip-lab search {shown(out, 90)} "a text" searches '
            "it. To embed anew, name another folder"
        )
    if not (out / parts.WORK).exists() and any(
        not path.name.startswith(".") for path in out.iterdir()
    ):
        raise FileExistsError(
            f"{shown(out, 120)} is not empty and has no unfinished run: name another folder"
        )


def _until(condition) -> None:
    while not condition():
        time.sleep(_POLL)


class _Run:
    """One process's part of a run."""

    def __init__(
        self,
        model: TwoTowers,
        processor: Processor,
        items: Items,
        out: Path,
        batch_size: int,
        ranks: Ranks,
    ):
        self.model, self.processor, self.items, self.out = model, processor, items, out
        self.batch_size, self.ranks = batch_size, ranks
        self.named = 0
        self._held: list[tuple[int, np.ndarray, list[int], dict[int, str]]] = []
        self._saved = time.monotonic()

    def embed(self, batches: list[int], num_workers: int) -> None:
        """Embed these batches, and write them down now and then."""
        n = sum(len(self._rows(batch)) for batch in batches)
        words = f"process 1 of {self.ranks.world}" if self.ranks.world > 1 else None
        hidden = self.ranks.rank > 0 or not batches
        read = self._images if self.items.kind == "images" else self._texts
        try:
            with tqdm(total=n, unit=self.items.kind[:-1], desc=words, disable=hidden) as bar:
                for batch, embeds, skipped in self._computed(read(batches, num_workers)):
                    self._note(batch, embeds, skipped)
                    bar.update(len(self._rows(batch)))
            self._save()
        except KeyboardInterrupt:
            self._save()
            done = min(len(parts.finished_batches(self.out)) * self.batch_size, len(self.items))
            raise KeyboardInterrupt(
                f"Stopped after {done:,} of {len(self.items):,}; the same command goes on from "
                "there"
            ) from None

    def _rows(self, batch: int) -> range:
        start = batch * self.batch_size
        return range(start, min(start + self.batch_size, len(self.items)))

    def _images(self, batches: list[int], num_workers: int) -> Iterator:
        pin = self.ranks.device.type == "cuda"
        images: Any = self.items.images()
        loader = read_ahead(self.processor, images, self.batch_size, num_workers, batches, pin)
        for batch, (inputs, errors) in zip(batches, loader, strict=True):
            yield batch, inputs, {i: _reason(i, error) for i, error in errors.items()}

    def _texts(self, batches: list[int], num_workers: int) -> Iterator:
        for batch in batches:
            texts = [self.items.names[row] for row in self._rows(batch)]
            yield batch, self.processor(text=texts), {}

    def _computed(self, read: Iterable) -> Iterator[tuple[int, Tensor, dict[int, str]]]:
        """A batch is waited for when the next one is on its way: a GPU always has work."""
        waiting = None
        encode = self.model.encode_image if self.items.kind == "images" else self.model.encode_text
        for batch, inputs, skipped in read:
            moved = {n: x.to(self.ranks.device, non_blocking=True) for n, x in inputs.items()}
            empty = len(skipped) == len(self._rows(batch))
            embeds = torch.empty(0, self.model.config.embed_dim) if empty else encode(**moved)
            if waiting is not None:
                yield waiting
            waiting = batch, embeds, skipped
        if waiting is not None:
            yield waiting

    def _note(self, batch: int, embeds: Tensor, skipped: dict[int, str]) -> None:
        if self._held and self._held[-1][0] + 1 != batch:  # others are done in between
            self._save()
        vectors = embeds.float().cpu().numpy()
        rows = [row for row in self._rows(batch) if row not in skipped]
        self._check(vectors, rows)
        for row, why in skipped.items():
            self.named += 1
            if self.named <= MOST_NAMED:
                _say(f"skipped {self.items.names[row]}: {why}")
            if self.named == MOST_NAMED:
                _say("others that cannot be read are not named here, but in skipped.json")
        self._held.append((batch, vectors, rows, skipped))
        if time.monotonic() - self._saved > SECONDS_BETWEEN_PARTS:
            self._save()

    def _check(self, vectors: np.ndarray, rows: list[int]) -> None:
        wrong = ~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < 0.01)
        if wrong.any():
            name = self.items.names[rows[int(wrong.argmax())]]
            raise ValueError(
                f"the model's vector of {shown(name, 90)} is no number: its weights are damaged, "
                "or too large for the type they compute in; try --precision float32"
            )

    def _save(self) -> None:
        if self._held:
            numbers, vectors, rows, skipped = zip(*self._held, strict=True)
            part = parts.Part(
                np.concatenate(vectors),
                np.array([row for each in rows for row in each], np.int64),
                {row: why for each in skipped for row, why in each.items()},
            )
            parts.write_part(self.out, numbers[0], numbers[-1], part)
        self._held, self._saved = [], time.monotonic()


def _reason(index: int, error: Exception) -> str:
    return str(error).removeprefix(f"images[{index}]: ")


def _say(text: str) -> None:
    tqdm.write(shown(text, 300), file=sys.stderr)
