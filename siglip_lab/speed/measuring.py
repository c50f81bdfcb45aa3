"""What each way costs on this machine, how far it is from float32, and where the time goes."""

from __future__ import annotations

import copy
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siglip_lab.checks import check_integer
from siglip_lab.encoder import Encoder
from siglip_lab.export.checking import pictures, sample
from siglip_lab.export.towers import FILES, encoder
from siglip_lab.images import ImageLike
from siglip_lab.loading.weights import auto_dtype
from siglip_lab.model import TwoTowers
from siglip_lab.pairs import check_fit
from siglip_lab.processor import Inputs, Processor
from siglip_lab.speed.ways import WAYS, check_ways, each_way
from siglip_lab.tables import table

__all__ = ["Report", "Row", "errors", "measure_ways", "median_seconds", "where_time_goes"]

MOST_RUNS = 50
CLOSE = 0.999  # cosine to float32 from which on a way is recommended
_PARTS = {
    "embeddings": "patches", "self_attn": "attention", "mlp": "MLP", "head": "pooling",
    "attnpool": "pooling", "layer_norm1": "norms", "layer_norm2": "norms",
    "pre_layrnorm": "norms", "post_layernorm": "norms",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one way costs, and how far it is from float32."""

    way: str
    one_ms: float  # for one image
    per_second: float  # images, in batches
    megabytes: float  # of weights
    cosine: float  # the smallest, of eight pictures and eight captions
    probability: float  # the largest change of one, of the 64 pairs


@dataclass(frozen=True)
class Report:
    """The ways in their order, and where the time goes in the first of them."""

    rows: list[Row]
    stages: dict[str, list[float]]  # ms for one image, and for each of a batch
    batch_size: int
    auto: str  # what dtype="auto" is here

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    def __str__(self) -> str:
        n, first = self.batch_size, self.rows[0]
        many = f"each of {n}, ms"
        lines: list[tuple] = [(f"where the time goes ({first.way})", "one image, ms", many)]
        for name, milliseconds in self.stages.items():
            lines.append((name, *(f"{each:,.2f}" for each in milliseconds)))
        ways: list[tuple] = [
            ("way", "one image, ms", f"images/s, {n} at once", "x", "weights, MB",
             "smallest cosine", "largest change of p")
        ]  # fmt: skip
        for row in self.rows:
            times = row.per_second / first.per_second
            ways.append(
                (row.way, f"{row.one_ms:,.1f}", f"{row.per_second:,.2f}", f"{times:.2f}",
                 f"{row.megabytes:,.1f}", f"{row.cosine:.5f}", f"{row.probability:.1e}")
            )  # fmt: skip
        close = [row for row in self.rows if row.cosine >= CLOSE]
        best = max(close, key=lambda row: row.per_second)
        return "\n".join(
            [
                table(lines), "", table(ways), "",
                f"fastest with a cosine of at least {CLOSE} to float32: {best.way}, "
                f"{WAYS[best.way]}",
                f'dtype="auto" is {self.auto} here',
            ]
        )  # fmt: skip


def median_seconds(run: Callable[[], object], seconds: float) -> float:
    """The median of the runs that fit into so many seconds: 3 at least, after one to warm up."""
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < MOST_RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def errors(
    model: TwoTowers, expected: tuple[Tensor, Tensor], found: tuple[Tensor, Tensor]
) -> tuple[float, float]:
    """How far unit vectors of images and texts are from the right ones.

    Returns:
        Their smallest cosine, and the largest change of a probability.
    """
    pairs = zip(expected, found, strict=True)
    cosine = min(float((one * other).sum(dim=-1).min().clamp(max=1)) for one, other in pairs)
    with torch.no_grad():
        right, changed = (
            model.to_probabilities(model.logits(*(x.to(model.logit_scale.device) for x in each)))
            for each in (expected, found)
        )
    return cosine, float((right - changed).abs().max())


def measure_ways(
    model: TwoTowers,
    processor: Processor,
    names: Sequence[str] = (),
    batch_size: int = 8,
    seconds: float = 3.0,
) -> Report:
    """Run a model in each of the ways.

    Args:
        model: The model, where it shall run.
        processor: Its processor.
        names: Keys of `WAYS`; none: all that can run here, but "compiled", which takes a while.
        batch_size: Images at once, besides one alone.
        seconds: For how long each measurement goes on.

    Raises:
        ImportError, ValueError: As `check_ways`.
    """
    model = check_fit(model, processor)
    check_integer("batch_size", batch_size)
    device = model.logit_scale.device
    names = check_ways(names, device)
    plain = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    exact = (model if plain else copy.deepcopy(model).float()).eval()
    sides = tuple(Inputs(sample(processor, side)) for side in FILES)
    one, many = (_images(processor, n) for n in (1, batch_size))
    rows: list[Row] = []
    expected: tuple[Tensor, Tensor] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for way in each_way(names, exact, processor, Path(folder)):
            found = way.image(sides[0]), way.text(sides[1])
            expected = expected or found
            alone = median_seconds(partial(way.image, one), seconds)
            together = median_seconds(partial(way.image, many), seconds)
            rows.append(
                Row(
                    way.name, 1000 * alone, batch_size / together, way.bytes / 1e6,
                    *errors(exact, expected, found),
                )
            )  # fmt: skip
    stages = where_time_goes(exact, processor, batch_size, seconds)
    auto = str(auto_dtype(device)).removeprefix("torch.")
    return Report(rows, stages, batch_size, auto)


def _images(processor: Processor, n: int) -> Inputs:
    drawn = pictures()
    return processor(images=[drawn[i % len(drawn)] for i in range(n)])


@torch.no_grad()
def where_time_goes(
    model: TwoTowers, processor: Processor, batch_size: int = 8, seconds: float = 3.0
) -> dict[str, list[float]]:
    """Milliseconds of each step from a JPEG file to a probability: for one image, and for many.

    Args:
        model: The model.
        processor: Its processor.
        batch_size: How many.
        seconds: For how long each measurement goes on.

    Returns:
        By step: for one image alone, and for each of `batch_size` at once. Texts are one; the
        parts of the image tower are of one run, in which their measuring takes some time, too.
    """
    file = io.BytesIO()
    pictures()[0].save(file, "JPEG")
    stages: dict[str, list[float]] = {}
    for n in (1, batch_size):
        files: list[ImageLike] = [file.getvalue()] * n
        for name, step in _steps(model, processor, files).items():
            stages.setdefault(name, []).append(1000 * median_seconds(step, seconds) / n)
            if name == "image tower":
                for part, spent in _parts(model, processor(images=files)).items():
                    stages.setdefault(f"  {part}", []).append(1000 * spent / n)
    return stages


def _steps(
    model: TwoTowers, processor: Processor, files: list[ImageLike]
) -> dict[str, Callable[[], object]]:
    """What is done one after the other, each ready to be repeated alone."""
    device = model.logit_scale.device
    encode_image, encode_text = (encoder(model, side) for side in FILES)
    inputs, ids = processor(images=files).to(device), processor(text="a cat").to(device)
    image, text = encode_image(**inputs), encode_text(**ids)
    return {
        "read, resize": lambda: processor(images=files),
        "image tower": lambda: encode_image(**inputs).cpu(),  # which waits for a GPU
        "tokenize": lambda: processor(text="a cat"),
        "text tower": lambda: encode_text(**ids).cpu(),
        "compare": lambda: model.logits(image, text).cpu(),
    }


def _parts(model: TwoTowers, inputs: Inputs) -> dict[str, float]:
    """Seconds in each kind of part of the image tower, in one run."""
    parts: list[tuple[str, Any]] = []
    for name, child in model.vision_model.named_children():
        if isinstance(child, Encoder):
            parts += [pair for layer in child.layers for pair in layer.named_children()]
        else:
            parts.append((name, child))
    spent = dict.fromkeys((_PARTS.get(name, name) for name, _ in parts), 0.0)
    wait = torch.cuda.synchronize if model.logit_scale.is_cuda else lambda: None
    started = [0.0]

    def start(*_) -> None:
        wait()
        started[0] = time.perf_counter()

    def stop(label: str, *_) -> None:
        wait()
        spent[label] += time.perf_counter() - started[0]

    hooks = []
    for name, module in parts:
        hooks.append(module.register_forward_pre_hook(start))
        hooks.append(module.register_forward_hook(partial(stop, _PARTS.get(name, name))))
    try:
        encoder(model, "image")(**inputs.to(model.logit_scale.device))
    finally:
        for hook in hooks:
            hook.remove()
    return spent
