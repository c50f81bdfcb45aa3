"""The whole walk as a table: every named intermediate of one forward pass.

After big_vision's habit of collecting every intermediate under a short name, so that one call shows
what happens inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape

import torch
from torch import Tensor, nn

from siglip_lab.checks import check_input_ids, check_vocabulary
from siglip_lab.model import TwoTowers
from siglip_lab.pairs import plain_model
from siglip_lab.tables import table

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
    """The rows of one forward pass, as they were computed: a part before the whole it belongs to.

    Shows itself as a table, in which the layers between the first and the last are folded into one
    line; iterating gives all rows, ``trace[name]`` gives one.
    """

    def __init__(self, rows: list[TraceRow]):
        self.rows = rows

    def __iter__(self) -> Iterator[TraceRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> TraceRow:
        for row in self:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}; rows are named like {self.rows[len(self) // 2].name!r}")

    def to_dicts(self) -> list[dict]:
        """All rows as plain dicts, ready for JSON."""
        return [{key: x for key, x in vars(row).items() if key != "value"} for row in self]

    def __repr__(self) -> str:
        return table(self._lines(), left=2)

    def _repr_html_(self) -> str:
        def row(line: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in line) + "</tr>"

        head, *lines = self._lines()
        body = "".join(row(line, "td") for line in lines)
        return f'<table class="trace"><thead>{row(head, "th")}</thead><tbody>{body}</tbody></table>'

    def _lines(self) -> Iterator[tuple[str, ...]]:
        """Heading and rows as cells, one line for the layers between the first and the last."""
        yield "name", "shape", "dtype", "parameters", "mean", "std"
        layers = re.compile(r"(.+\.layers)\.(\d+)(\..+)?$")
        last = {m[1]: int(m[2]) for row in self if (m := layers.match(row.name))}
        for row in self:
            tower, number, part = m.groups() if (m := layers.match(row.name)) else ("", "0", None)
            if int(number) == 0 or (int(number) == last[tower] and not part):
                mean, std = round(row.mean, 3) + 0.0, round(row.std, 3) + 0.0  # + 0.0: no "-0.000"
                parameters = f"{row.parameters:,}" if row.parameters else ""
                shape = f"[{', '.join(map(str, row.shape))}]"
                yield row.name, shape, row.dtype, parameters, f"{mean:.3f}", f"{std:.3f}"
            elif int(number) == 1 and not part:
                between = "1" if last[tower] == 2 else f"1 … {last[tower] - 1}"
                yield f"{tower}.{between}: like layer 0", "", "", "", "", ""


def trace(
    model: TwoTowers,
    pixel_values: Tensor,
    input_ids: Tensor,
    keep_tensors: bool = False,
    **more: Tensor,
) -> Trace:
    """Run a model once and record every named intermediate.

    Args:
        model: The model.
        pixel_values: Images `[n_img, 3, S, S]`.
        input_ids: Texts `[n_txt, L]`.
        keep_tensors: Keep each tensor as ``row.value``: for so400m-patch14-384, one image and two
            texts that is 2.9 GB in float32.
        more: What else the model takes: of NaFlex, the mask and the grids.

    Raises:
        TypeError: If the model is none of this library's, or the images or the texts no tensor.
        ValueError: If the images or the texts do not fit the model.

    >>> import siglip_lab as sl
    >>> model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    >>> image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    >>> inputs = processor(text=["a red circle"], images=image)
    >>> trace(model, **inputs)["logits_per_image"].shape
    (1, 1)
    """
    model = plain_model(model)
    if not isinstance(pixel_values, Tensor):
        raise TypeError(
            f"pixel_values are of type {type(pixel_values).__name__}; expected a tensor: "
            "trace(model, **processor(text=..., images=...))"
        )
    check_input_ids(input_ids, model.config.text.context_length)
    check_vocabulary(input_ids, model.config.text.vocab_size)
    rows: list[TraceRow] = []

    def record(name: str, kind: str, tensor: Tensor, parameters: int = 0) -> None:
        tensor = tensor.detach()
        numbers = tensor.float()  # an Apple GPU has no float64
        statistics = numbers.mean().item(), numbers.std(correction=0).item()
        dtype = str(tensor.dtype).removeprefix("torch.")
        value = tensor if keep_tensors else None
        rows.append(TraceRow(name, kind, (*tensor.shape,), dtype, parameters, *statistics, value))

    def hook(name: str, module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        if isinstance(output, Tensor):  # a tower's outputs are recorded by its parts
            parameters = sum(p.numel() for p in module.parameters())
            record(name, type(module).__name__, output, parameters)

    record("pixel_values", "input", pixel_values)
    for name, tensor in more.items():
        record(name, "input", tensor)
    record("input_ids", "input", input_ids)
    modules = [(name, module) for name, module in model.named_modules() if name]
    handles = [module.register_forward_hook(partial(hook, name)) for name, module in modules]
    try:
        with torch.no_grad():
            output = model(pixel_values=pixel_values, input_ids=input_ids, **more)
    finally:
        for handle in handles:
            handle.remove()
    record("image_embeds", "output", output.image_embeds)
    record("text_embeds", "output", output.text_embeds)
    logits, scalars = output.logits_per_image, model.parameters(recurse=False)
    record("logits_per_image", "output", logits, sum(p.numel() for p in scalars))
    record("probabilities", "output", model.to_probabilities(logits))
    return Trace(rows)
