"""The whole walk as a table: every named intermediate of one forward pass.

After big_vision's habit of collecting every intermediate under a short name, so that one call shows
what happens inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from html import escape

import torch
from torch import Tensor, nn

from siglip_lab.checks import check_vocabulary
from siglip_lab.inference import plain_model
from siglip_lab.model import TwoTowers

__all__ = ["Trace", "TraceRow", "trace"]


@dataclass(frozen=True)
class TraceRow:
    """One intermediate of the forward pass."""

    name: str  # the module's name in the model, or the input's or output's
    kind: str  # the module's class, "input" or "output"
    shape: tuple[int, ...]
    dtype: str
    parameters: int  # of the module, its parts included
    mean: float
    std: float
    value: Tensor | None = field(default=None, repr=False, compare=False)  # with keep_tensors


class Trace:
    """The rows of one forward pass, in the order in which they were computed.

    A part comes before the whole it belongs to: ``…self_attn.q_proj`` before ``…self_attn`` before
    ``…layers.0``. Shows itself as a table, in which the layers between the first and the last are
    folded into one line; iterating gives all rows, ``trace[name]`` gives one.
    """

    def __init__(self, rows: list[TraceRow]):
        self.rows = rows

    def __iter__(self) -> Iterator[TraceRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> TraceRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}; rows are named like {self.rows[len(self) // 2].name!r}")

    def to_dicts(self) -> list[dict]:
        """All rows as plain dicts, ready for JSON."""
        names = ("name", "kind", "shape", "dtype", "parameters", "mean", "std")
        return [{key: asdict(row)[key] for key in names} for row in self.rows]

    def __repr__(self) -> str:
        lines = [_HEADER, *map(_cells, self._folded())]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADER))]
        aligns = "<<>>>>"
        return "\n".join(
            "  ".join(f"{c:{a}{w}}" for c, a, w in zip(line, aligns, widths, strict=True)).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        def row(cells, tag):
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(_cells(line), "td") for line in self._folded())
        return (
            f'<table class="trace"><thead>{row(_HEADER, "th")}</thead><tbody>{body}</tbody></table>'
        )

    def _folded(self) -> list[TraceRow | str]:
        """Rows, with one line of text for the layers between the first and the last."""
        last = {}  # tower -> number of its last layer
        for row in self.rows:
            if match := _LAYER.match(row.name):
                last[match[1]] = max(last.get(match[1], 0), int(match[2]))
        lines = []
        for row in self.rows:
            match = _LAYER.match(row.name)
            tower, number, part = match.groups() if match else (None, 0, None)
            if not match or int(number) == 0 or (int(number) == last[tower] and not part):
                lines.append(row)
            elif int(number) == 1 and not part:
                count = last[tower] - 1
                alike = f"{tower}.1" if count == 1 else f"{tower}.1 … {count}"
                lines.append(f"{alike}: like layer 0")
        return lines


def trace(
    model: TwoTowers, pixel_values: Tensor, input_ids: Tensor, keep_tensors: bool = False
) -> Trace:
    """Run a model once and record every named intermediate.

    Args:
        model: The model.
        pixel_values: Images `[n_img, 3, S, S]`.
        input_ids: Texts `[n_txt, L]`.
        keep_tensors: Keep each tensor as ``row.value``: for so400m-patch14-384, one image and two
            texts that is 2.9 GB in float32.

    Returns:
        A `Trace`.

    Raises:
        TypeError: If the model is none of this library's, or the images or the texts no tensor.
        ValueError: If the images or the texts do not fit the model.

    >>> import siglip_lab as sl
    >>> model, processor = sl.load_model("tiny"), sl.load_processor("tiny")
    >>> image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    >>> inputs = processor(text=["a red circle"], images=image)
    >>> trace(model, **inputs)["logits_per_image"].shape
    (1, 1)
    """
    model = plain_model(model)
    for name, value in (("pixel_values", pixel_values), ("input_ids", input_ids)):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} are of type {type(value).__name__}; expected a tensor: "
                "use trace(model, **processor(text=..., images=...))"
            )
    check_vocabulary(input_ids, model.config.text.vocab_size)
    rows = []

    def record(name: str, kind: str, parameters: int, tensor: Tensor) -> None:
        value = tensor.detach()
        numbers = value.float()  # an Apple GPU has no float64
        rows.append(
            TraceRow(
                name,
                kind,
                tuple(value.shape),
                str(value.dtype).removeprefix("torch."),
                parameters,
                numbers.mean().item(),
                numbers.std(correction=0).item(),
                value if keep_tensors else None,
            )
        )

    def watch(name: str, module: nn.Module):
        parameters = sum(p.numel() for p in module.parameters())

        def hook(module, args, output):
            if isinstance(output, Tensor):  # a tower's pair of outputs is recorded by its parts
                record(name, type(module).__name__, parameters, output)

        return module.register_forward_hook(hook)

    handles = [watch(name, module) for name, module in model.named_modules() if name]
    try:
        record("pixel_values", "input", 0, pixel_values)
        record("input_ids", "input", 0, input_ids)
        with torch.no_grad():
            output = model(pixel_values=pixel_values, input_ids=input_ids)
        for name in ("image_embeds", "text_embeds"):
            record(name, "output", 0, getattr(output, name))
        scalars = sum(name.startswith("logit_") for name, _ in model.named_parameters())
        record("logits_per_image", "output", scalars, output.logits_per_image)
        record("probabilities", "output", 0, model.to_probabilities(output.logits_per_image))
    finally:
        for handle in handles:
            handle.remove()
    return Trace(rows)


_LAYER = re.compile(r"(.+\.layers)\.(\d+)(\..+)?$")
_HEADER = ("name", "shape", "dtype", "parameters", "mean", "std")


def _cells(line: TraceRow | str) -> tuple[str, ...]:
    if isinstance(line, str):
        return (line, *[""] * (len(_HEADER) - 1))
    shape = "[" + ", ".join(map(str, line.shape)) + "]"
    parameters = f"{line.parameters:,}" if line.parameters else ""
    mean, std = round(line.mean, 3) + 0.0, round(line.std, 3) + 0.0  # + 0.0: no "-0.000"
    return (line.name, shape, line.dtype, parameters, f"{mean:.3f}", f"{std:.3f}")
