"""Whether a file computes what the model does, measured on pictures and captions from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from siglip_lab.export.towers import encoder
from siglip_lab.images import ImageLike
from siglip_lab.model import TwoTowers, l2_normalize
from siglip_lab.processor import Processor
from siglip_lab.toy.shapes_world import draw, random_scene

__all__ = ["TOLERANCE", "embed", "measure", "open_session", "pictures", "sample"]

TOLERANCE = 1e-4  # by which unit vectors of a float32 file may differ from PyTorch's
CAPTIONS = [
    "a cat", "This is a photo of a cat.", "two red circles", "a blue square", "1 green triangle",
    "a dog running along a beach, with a ball in its mouth", "x", "the sun over a green hill",
]  # fmt: skip


def pictures() -> list[Image.Image]:
    """A photo, parts of it, and drawings: eight in all, of several shapes."""
    with files("siglip_lab").joinpath("data/chelsea.png").open("rb") as file:
        photo = Image.open(file).convert("RGB")
    width, height = photo.size
    parts = [(0, 0, width // 2, height), (0, 0, width, height // 3), (90, 40, 300, 250)]
    return [photo, *map(photo.crop, parts), *(draw(random_scene(seed)) for seed in range(4))]


def sample(processor: Processor, side: str) -> dict[str, Tensor]:
    """What a tower is traced and measured with: eight rows of its inputs, by name."""
    images: list[ImageLike] = [*pictures()]
    return dict(processor(images=images) if side == "image" else processor(text=CAPTIONS))


def open_session(path: Path, threads: int = 0) -> Any:
    """A file in ONNX Runtime, on the CPU; 0 threads: as many as it likes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def embed(session: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """Run a tower's session: unit vectors `[B, E]`."""
    (raw,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return l2_normalize(torch.from_numpy(raw))


@torch.no_grad()
def measure(
    model: TwoTowers, side: str, inputs: Mapping[str, Tensor], written: Iterable[tuple[str, Path]]
) -> dict[str, dict[str, float]]:
    """Compare each file of a tower with the model, once it is written.

    Args:
        model: The model, in float32.
        side: "image" or "text".
        inputs: The tower's inputs; they are run all at once, and the first row alone.
        written: Each format and its file.

    Returns:
        By file name: the largest difference of a number of the unit vectors, and their smallest
        cosine.

    Raises:
        ValueError: If a float32 file differs by more than `TOLERANCE`, or any file gives no number.
    """
    expected = encoder(model, side)(*inputs.values())
    found = {}
    first = {name: tensor[:1] for name, tensor in inputs.items()}
    for dtype, path in written:
        session = open_session(path)
        vectors = torch.cat([embed(session, inputs), embed(session, first)])
        right = torch.cat([expected, expected[:1]])
        difference = float((vectors - right).abs().max())
        cosine = float((vectors * right).sum(dim=-1).min().clamp(max=1))
        limit = TOLERANCE if dtype == "float32" else float("inf")
        if not difference <= limit:  # NaN is wrong, too
            raise ValueError(
                f"{path.name} in ONNX Runtime differs from PyTorch by {difference:.2g}; expected "
                + (
                    f"at most {limit:g}"
                    if dtype == "float32"
                    else f"numbers: use another than {dtype}"
                )
                + ". Nothing was written"
            )
        found[path.name] = {"difference": float(f"{difference:.2g}"), "cosine": round(cosine, 7)}
    return found
