"""Bytes of a SigLIP in inference and in training, by arithmetic on its config: an estimate.

What lies in memory from step to step, and what autograd keeps for backward, is counted exactly. The
working memory of the moment, which depends on PyTorch's kernels, is what the largest layer needs
for itself; a step on the CPU comes within a tenth of it. The loss's tensors and an allocator's
rounding and leftovers come on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch

from siglip_lab.activations import TextBytes, TowerBytes, VisionBytes
from siglip_lab.checks import shown
from siglip_lab.configs import SigLIPConfig
from siglip_lab.counting import count_parameters
from siglip_lab.counts import Count

__all__ = ["batch_bytes", "count_bytes"]


def count_bytes(
    config: SigLIPConfig,
    dtype: torch.dtype = torch.float32,
    batch: int = 1,
    training: bool = False,
    attention_maps: bool = False,
    grad_checkpointing: bool = False,
) -> Count:
    """Estimate the memory at the fullest moment of an inference or of a training step.

    Args:
        config: The shape.
        dtype: Floating type of weights, gradients, optimizer state and activations. Logit scale and
            bias, as in every model, stay in float32 at least.
        batch: Number of images, and of texts.
        training: Count gradients, AdamW's two moments, and the activations that backward needs:
            a step whose gradients exist before backward starts, as when they are accumulated, and
            whose optimizer is fused.
        attention_maps: The attention stores its maps ``[B, heads, N, N]`` (PyTorch's "math"
            attention, in at least float32), instead of making them block by block ("fused").
        grad_checkpointing: Keep each layer's input alone, and compute the layer again in backward.

    Returns:
        A `Count` with parts "weights", "inputs" and "working memory", in training also "gradients",
        "AdamW" and "activations". Only the working memory is inexact.

    Raises:
        TypeError: If `config` is no `SigLIPConfig`, `dtype` no floating type, `batch` no integer.
        ValueError: If `batch` is below 1, or checkpointing is asked for without training.

    >>> import siglip_lab as sl
    >>> config = sl.get_config("siglip-so400m-patch14-384")
    >>> count_bytes(config, torch.bfloat16)["weights"].total / 1e9
    1.755921
    """
    if not isinstance(config, SigLIPConfig):
        raise TypeError(f"config must be a SigLIPConfig, got {shown(repr(config))}")
    vision, text, d = config.vision, config.text, config.embed_dim
    towers = (
        VisionBytes(vision, vision.num_patches, d, dtype, batch, attention_maps),
        TextBytes(text, text.context_length, d, dtype, batch, attention_maps),
    )
    pixels = 3 * vision.image_size**2
    return batch_bytes(count_parameters(config), *towers, pixels, training, grad_checkpointing)


def batch_bytes(
    parameters: Count,
    vision: TowerBytes,
    text: TowerBytes,
    pixels: int,
    training: bool,
    grad_checkpointing: bool,
    beside: Mapping[str, int] = MappingProxyType({}),
) -> Count:
    """Add up the towers' bytes and the weights'; arguments and errors as for `count_bytes`.

    `pixels` are numbers of one image; `beside` are bytes of what else comes with a batch.
    """
    if grad_checkpointing and not training:
        raise ValueError("grad_checkpointing saves what backward needs: it goes with training=True")
    size, batch = vision.size, vision.batch
    weights = {
        "vision": parameters.vision.total * size,
        "text": parameters.text.total * size,
        "scalars": parameters["scalars"].total * max(size, 4),
    }
    inputs = {"pixel values": batch * pixels * 4, **beside, "input ids": batch * text.n * 8}
    content: dict = {"weights": weights, "inputs": inputs}
    if not training:
        content["working memory"] = max(vision.forward(), text.forward())
        return Count.of("bytes", content)
    content |= {"gradients": weights, "AdamW": {"first moment": weights, "second moment": weights}}
    saved: dict = {
        "vision": vision.saved(grad_checkpointing),
        "text": text.saved(grad_checkpointing),
    }
    if vision.dtype != torch.float32:
        saved["pixels"] = batch * pixels * size  # converted
    # The text tower ran last: its backward comes first, and frees its activations.
    freed = sum(saved["text"].values())
    table = parameters.text["embeddings"]["tokens"].total * size  # its new gradient
    later = max(table, vision.backward(grad_checkpointing)) - freed
    content["activations"] = saved
    content["working memory"] = max(text.backward(grad_checkpointing), later)
    return Count.of("bytes", content)
