"""One side of a model as an ONNX graph, for any number of images or texts.

Inputs, outputs and files have the names of transformers.js and Optimum: ``pixel_values`` (NaFlex:
its mask and its grids, too) to ``pooler_output`` or, of a CLIP, ``image_embeds``; ``input_ids`` to
``pooler_output`` or ``text_embeds``. Outputs are raw embeddings in float32, before they are scaled
to length 1, as there.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from siglip_lab.model import TwoTowers

__all__ = [
    "FILES",
    "PACKAGES",
    "Tower",
    "check_extra",
    "encoder",
    "output_name",
    "quiet",
    "to_graph",
]

PACKAGES = ("onnx", "onnxruntime", "onnxscript", "tokenizers")
FILES = {"image": "vision_model", "text": "text_model"}
_OPEN = {"batch_size": 0, "num_patches": 1, "sequence_length": 1}  # dimensions of any size


class Tower(nn.Module):
    """A model's image or text side, from its inputs to raw embeddings `[B, E]` in float32."""

    def __init__(self, model: TwoTowers, side: str):
        super().__init__()
        self.model = model
        self.side = side

    def forward(self, *inputs: Tensor) -> Tensor:
        return encoder(self.model, self.side)(*inputs, normalize=False).float()


def encoder(model: TwoTowers, side: str) -> Callable[..., Tensor]:
    """A side's inputs, in their order, to its embeddings."""
    return model.encode_image if side == "image" else model.encode_text


def output_name(model: TwoTowers, side: str) -> str:
    """What transformers calls the raw embeddings: in CLIP they are behind a projection."""
    return f"{side}_embeds" if hasattr(model, "text_projection") else "pooler_output"


def check_extra() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        ImportError: If one is.
    """
    missing = [name for name in PACKAGES if not find_spec(name)]
    if missing:
        raise ImportError(
            f"ONNX needs {', '.join(missing)}: pip install 'siglip-lab[export]' brings it"
        )


def to_graph(model: TwoTowers, side: str, inputs: Mapping[str, Tensor]) -> Any:
    """Trace a tower into an `onnx_ir.Model`.

    Args:
        model: The model, in eval mode.
        side: "image" or "text".
        inputs: The tower's inputs by name, at least two rows of each: what is 1 would be taken for
            a size that never changes.

    Returns:
        The graph with its weights. What it was traced from is not in it: no paths, no lines of
        code.
    """
    names = list(inputs)
    shapes = tuple(_open_dimensions(model, name, tensor) for name, tensor in inputs.items())
    tower = Tower(model, side).eval()
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            tower,
            tuple(inputs.values()),
            input_names=names,
            output_names=[output_name(model, side)],
            dynamic_shapes=(shapes,),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph = program.model
    parts: list[Any] = [graph, graph.graph, *graph.graph.all_nodes()]
    for part in parts:
        part.metadata_props.clear()
        for value in getattr(part, "outputs", ()):
            value.metadata_props.clear()
    graph.producer_name, graph.producer_version = "siglip-lab", None
    return graph


def _open_dimensions(model: TwoTowers, name: str, tensor: Tensor) -> dict[int, str]:
    """Which dimensions may have any size: all rows; NaFlex's patches; a CLIP's text.

    SigLIP reads its padding, so that a text of another length is another text: its length is fixed,
    and a runtime refuses what was not padded.
    """
    names = ["batch_size"]
    if name in ("pixel_values", "pixel_attention_mask") and tensor.ndim < 4:
        names.append("num_patches")
    if name == "input_ids" and not model.reads_padding:
        names.append("sequence_length")
    return {_OPEN[each]: each for each in names}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporter and quantiser say to their authors off the terminal: a context."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
