"""Bytes of a tower's activations: what autograd keeps, and what is alive while a layer runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from siglip_lab.checks import check_integer
from siglip_lab.configs import TowerConfig

__all__ = ["TextBytes", "TowerBytes", "VisionBytes"]


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

    def mlp_gradients(self) -> int:
        """Alive at once in the MLP's backward, less what has been freed by then."""
        return 2 * self.tokens

    def layer(self) -> int:
        """Kept of a layer, attention's output among it."""
        return 2 * self.norm() + self.attention(self.n) + self.tokens + self.mlp()

    def ends(self) -> dict[str, int]:
        """Kept of what stands before and after the layers."""
        raise NotImplementedError

    def normalised(self) -> int:
        """Kept of the last step: what is scaled to length 1, and its length."""
        return self.batch * (self.embed_dim + 2) * self.exact

    def saved(self, grad_checkpointing: bool) -> dict[str, int]:
        """Kept of the tower, part by part."""
        layer = self.tokens if grad_checkpointing else self.layer()
        return {f"layer {i}": layer for i in range(self.config.depth)} | self.ends()

    def forward(self) -> int:
        """Alive at once while a layer computes its MLP or its attention maps."""
        values = 9 * self.batch * self.n * self.config.width * self.exact
        maps = values + 2 * self.scores  # before and after the softmax
        return max(4 * self.tokens + self.mlp(), maps if self.maps else 0)

    def backward(self, grad_checkpointing: bool) -> int:
        """Alive at once in a layer's backward, less what has been freed by then."""
        maps = 2 * self.scores - 6 * self.tokens - self.mlp()
        again = self.layer() - self.tokens if grad_checkpointing else 0
        return again + max(self.mlp_gradients(), maps if self.maps else 0)


class VisionBytes(TowerBytes):
    """SigLIP's image tower."""

    def ends(self) -> dict[str, int]:
        d, m = self.config.width, self.config.mlp_dim
        mlp = self.batch * (3 * d + 2 + 2 * m) * self.size  # attention's output, norm, MLP
        return {"final norm": self.norm(), "head": self.attention(1) + mlp + self.normalised()}


class TextBytes(TowerBytes):
    """SigLIP's text tower."""

    def ends(self) -> dict[str, int]:
        return {"final norm": self.norm(), "head": self.normalised()}
