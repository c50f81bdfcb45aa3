"""A model with its processor: whether they fit, where they run, and images in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from siglip_lab.checks import check_integer
from siglip_lab.decoding import ImageLike
from siglip_lab.model import TwoTowers
from siglip_lab.processor import Inputs, Processor

__all__ = ["check_fit", "default_device", "has_bfloat16", "plain_model", "read_ahead"]


def check_fit(model: nn.Module, processor: Processor) -> TwoTowers:
    """Refuse what is no model with its processor; return the plain model."""
    if not isinstance(processor, Processor):
        raise TypeError(
            f"processor is a {type(processor).__name__}; expected the model and its Processor: "
            "Processor.from_pretrained(NAME) gives one"
        )
    model = plain_model(model)
    if processor.format is not model.format:
        raise ValueError(
            f"the processor is another kind of model's than the {type(model).__name__}: take "
            "Processor for SigLIP, clip.Processor for CLIP, siglip2.Processor for NaFlex"
        )
    return model


def plain_model(model: nn.Module) -> TwoTowers:
    """The model itself, also where torch.compile holds it; refuse other wrappers."""
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, TwoTowers):
        return model
    wrapped = isinstance(getattr(model, "module", None), nn.Module)  # as DataParallel holds it
    raise TypeError(
        f"model is a {type(model).__name__}; expected this library's SigLIP or CLIP: "
        + ("pass model.module" if wrapped else "SigLIP.from_pretrained(NAME) gives one")
    )


def default_device() -> torch.device:
    """The device to run on: a CUDA or Apple GPU where there is one, else the CPU."""
    for name in ("cuda", "mps"):
        if getattr(torch, name).is_available():
            return torch.device(name)
    return torch.device("cpu")


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether a device computes in bfloat16 by its own instructions, and so gains by it."""
    kind = str(device).partition(":")[0]
    if kind == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def read_ahead(
    processor: Processor,
    images: ImageLike | Iterable[ImageLike],
    batch_size: int,
    num_workers: int,
    batches: Sequence[int] | None = None,
    pin_memory: bool = False,
) -> DataLoader:
    """Batches of a model's inputs, read by `num_workers` processes while the model computes.

    Beside each comes a dict: the index of every image that cannot be read, and the error. A
    function among the images is called for its image when its batch is read. Of all batches, those
    with the numbers `batches` are read, in their order.
    """
    check_integer("batch_size", batch_size)
    check_integer("num_workers", num_workers, least=0)
    one = isinstance(images, (str, bytes, bytearray, memoryview, np.ndarray))
    listed = isinstance(images, Iterable) and not one and not hasattr(images, "read")
    given = list(cast(Iterable[ImageLike], images if listed else [images]))
    if not given:
        raise ValueError("nothing to embed: there is no image")
    return DataLoader(
        _Batches(processor, given, batch_size),
        batch_size=None,
        sampler=batches,
        num_workers=num_workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else the loader would draw from the caller's
    )


class _Batches(Dataset):
    """The inputs of each batch, and by its index the error of each image that cannot be read."""

    def __init__(self, processor: Processor, images: list[ImageLike], batch_size: int):
        self.processor, self.images, self.batch_size = processor, images, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Inputs, dict[int, Exception]]:
        start = index * self.batch_size
        images, failed = [], {}
        for place, image in enumerate(self.images[start : start + self.batch_size]):
            try:
                images.append(image() if callable(image) else image)
            except Exception as error:
                images.append(b"")  # keeps its place
                failed[place] = ValueError(f"{type(error).__name__}: {error}")
        inputs, errors = self.processor.prepare(images)
        errors |= failed
        named = {
            start + place: type(error)(f"images[{start + place}]: {error}")
            for place, error in sorted(errors.items())
        }
        kept = [place for place in range(len(images)) if place not in errors]
        return Inputs({name: x[kept] for name, x in inputs.items()}), named
