"""Bytes of a SigLIP in inference and in training, by arithmetic on its config: an estimate.

What lies in memory from step to step, and what autograd keeps for backward, is counted exactly. The
working memory of the moment, which depends on PyTorch's kernels, is what the largest layer needs
for itself; a step on the CPU comes within a tenth of it. The loss's tensors and an allocator's
rounding and leftovers come on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from siglip_lab.checks import check_integer, shown
from siglip_lab.configs import SigLIPConfig, TowerConfig
from siglip_lab.counting import count_parameters
from siglip_lab.counts import Count

__all__ = ["TowerBytes", "batch_bytes", "count_bytes"]


def count_bytes(
    config: SigLIPConfig,
    dtype: torch.dtype = torch.float32,
    batch: int = 1,
    training: bool = False,
    attention_maps: bool = False,
    checkpointing: bool = False,
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
        checkpointing: Keep each layer's input alone, and compute the layer again in backward.

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
        _VisionBytes(vision, vision.num_patches, d, dtype, batch, attention_maps),
        _TextBytes(text, text.context_length, d, dtype, batch, attention_maps),
    )
    pixels = 3 * vision.image_size**2
    return batch_bytes(count_parameters(config), *towers, pixels, training, checkpointing)


def batch_bytes(
    parameters: Count,
    vision: TowerBytes,
    text: TowerBytes,
    pixels: int,
    training: bool,
    checkpointing: bool,
) -> Count:
    """Add up the towers' bytes and the weights'; arguments and errors as for `count_bytes`."""
    if checkpointing and not training:
        raise ValueError("checkpointing saves what backward needs: it goes with training=True")
    size, batch = vision.size, vision.batch
    weights = {
        "vision": parameters.vision.total * size,
        "text": parameters.text.total * size,
        "scalars": parameters["scalars"].total * max(size, 4),
    }
    inputs = {"pixel values": batch * pixels * 4, "input ids": batch * text.n * 8}
    content: dict = {"weights": weights, "inputs": inputs}
    if not training:
        content["working memory"] = max(vision.forward(), text.forward())
        return Count.of("bytes", content)
    content |= {"gradients": weights, "AdamW": {"first moment": weights, "second moment": weights}}
    saved: dict = {"vision": vision.saved(checkpointing), "text": text.saved(checkpointing)}
    if vision.dtype != torch.float32:
        saved["pixels"] = batch * pixels * size  # converted
    # The text tower ran last: its backward comes first, and frees its activations.
    freed = sum(saved["text"].values())
    table = parameters.text["embeddings"]["tokens"].total * size  # its new gradient
    later = max(table, vision.backward(checkpointing)) - freed
    content["activations"] = saved
    content["working memory"] = max(text.backward(checkpointing), later)
    return Count.of("bytes", content)


@dataclass(frozen=True)
class TowerBytes:
    """A batch of sequences of n tokens in a stack of layers; the methods give bytes."""

    config: TowerConfig
    n: int
    embed_dim: int
    dtype: torch.dtype
    batch: int
    maps: bool  # written out

    def __post_init__(self):
        if not isinstance(self.dtype, torch.dtype) or not self.dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating torch.dtype, got {self.dtype!r}")
        check_integer("batch", self.batch)

    @property
    def size(self) -> int:
        """Of a number."""
        return self.dtype.itemsize

    @property
    def exact(self) -> int:
        """Of a number that is kept in float32 at least."""
        return max(self.size, 4)

    @property
    def scores(self) -> int:
        """Of all attention maps of a layer."""
        return self.batch * self.config.num_heads * self.n**2 * self.exact

    @property
    def tokens(self) -> int:
        """Of all tokens."""
        return self.batch * self.n * self.config.width * self.size

    @property
    def hidden(self) -> int:
        """Of the MLP's hidden layer, for all tokens."""
        return self.batch * self.n * self.config.mlp_dim * self.size

    def norm(self, outputs: int = 1) -> int:
        """Kept of a norm: input, outputs that backward needs, a mean and a deviation each token."""
        return (1 + outputs) * self.tokens + 2 * self.batch * self.n * self.size

    def attention(self, queries: int) -> int:
        """Kept of attention: q, k, v, and the map or its rows' sums."""
        values = self.batch * (queries + 2 * self.n) * self.config.width
        sums = self.batch * self.config.num_heads * queries
        if self.maps:
            return (values + sums * self.n) * self.exact
        return values * self.size + sums * self.exact

    def mlp(self) -> int:
        """Kept of the MLP: before and after the GELU."""
        return 2 * self.hidden

    def layer(self) -> int:
        """Kept of a layer, attention's output among it."""
        return 2 * self.norm() + self.attention(self.n) + self.tokens + self.mlp()

    def ends(self) -> dict[str, int]:
        """Kept of what stands before and after the layers."""
        raise NotImplementedError

    def normalised(self) -> int:
        """Kept of the last step: what is scaled to length 1, and its length."""
        return self.batch * (self.embed_dim + 2) * self.exact

    def saved(self, checkpointing: bool) -> dict[str, int]:
        """Kept of the tower, part by part."""
        layer = self.tokens if checkpointing else self.layer()
        return {f"layer {i}": layer for i in range(self.config.depth)} | self.ends()

    def forward(self) -> int:
        """Alive at once while a layer computes its MLP or its attention maps."""
        values = 9 * self.batch * self.n * self.config.width * self.exact
        maps = values + 2 * self.scores  # before and after the softmax
        return max(4 * self.tokens + self.mlp(), maps if self.maps else 0)

    def backward(self, checkpointing: bool) -> int:
        """Alive at once in a layer's backward, less what has been freed by then."""
        maps = 2 * self.scores - 6 * self.tokens - self.mlp()
        again = self.layer() - self.tokens if checkpointing else 0
        return again + max(2 * self.tokens, maps if self.maps else 0)


class _VisionBytes(TowerBytes):
    def ends(self) -> dict[str, int]:
        d, m = self.config.width, self.config.mlp_dim
        mlp = self.batch * (3 * d + 2 + 2 * m) * self.size  # attention's output, norm, MLP
        return {"final norm": self.norm(), "head": self.attention(1) + mlp + self.normalised()}


class _TextBytes(TowerBytes):
    def ends(self) -> dict[str, int]:
        return {"final norm": self.norm(), "head": self.normalised()}
