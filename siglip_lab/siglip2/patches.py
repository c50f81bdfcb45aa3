"""Patches of any grid: embed them, and give each its place in a table of 16 x 16 positions.

A square model has a position for every patch. NaFlex has a table of S x S positions for all grids:
of a grid of 7 x 32 patches, each takes a weighted mean of the entries that lie under it, as if the
table had been resized to 7 x 32 (bilinear, antialiased).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.configs import VisionConfig
from siglip_lab.siglip2.checks import check_patches

__all__ = ["NaFlexEmbeddings", "position_weights"]


def position_weights(spatial_shapes: Tensor, length: int, side: int) -> Tensor:
    """Weights `[B, N, S * S]` with which each patch takes from a table of S x S positions.

    A patch in row r of R lies at (r + 1/2) S / R of the table. Along each side, the weight of an
    entry falls in a straight line from there, to nothing at the distance of one entry, or of one
    patch where that is more (antialiasing); the weights of a patch sum to one. Nothing is read
    back from a GPU, and the shapes may differ from image to image.

    Args:
        spatial_shapes: Rows and columns of each image's grid, int `[B, 2]`.
        length: Number N of tokens, padding included, which gets the first patch's weights.
        side: Side S of the table.

    Source: what PyTorch's ``interpolate(mode="bilinear", antialias=True)`` computes, which
    transformers' ``modeling_siglip2.py`` runs image by image; big_vision, ``naflex_vit.py``. On the
    CPU, PyTorch (2.13) is wrong for grids of one column, other than its own for those of one row.

    >>> position_weights(torch.tensor([[1, 2]]), length=2, side=2)
    tensor([[[0.5000, 0.0000, 0.5000, 0.0000],
             [0.0000, 0.5000, 0.0000, 0.5000]]])
    """
    rows, columns = spatial_shapes.long().unbind(-1)  # each [B]
    index = torch.arange(length, device=spatial_shapes.device)
    index = index * (index < (rows * columns)[:, None])  # [B, N]; padding takes the first place
    row, column = index // columns[:, None], index % columns[:, None]  # [B, N]
    down = _along(row, rows, side)  # [B, N, S]
    across = _along(column, columns, side)
    return (down[..., :, None] * across[..., None, :]).flatten(2)


def _along(place: Tensor, count: Tensor, side: int) -> Tensor:
    """Weights `[B, N, S]` along one side, of places `[B, N]` among so many `[B]`."""
    step = (side / count)[:, None, None]  # entries of the table under one patch
    centre = (place[..., None] + 0.5) * step
    entries = torch.arange(side, device=place.device) + 0.5
    weights = (1 - (entries - centre).abs() / step.clamp(min=1)).clamp(min=0)
    return weights / weights.sum(dim=-1, keepdim=True)


class NaFlexEmbeddings(nn.Module):
    """Patches `[B, N, P * P * 3]` with their grids `[B, 2]` to tokens `[B, N, D]`."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.patch_embedding = nn.Linear(3 * config.patch_size**2, config.width)
        self.position_embedding = nn.Embedding(config.num_patches, config.width)
        self.side = config.grid_size

    def forward(self, pixel_values: Tensor, spatial_shapes: Tensor) -> Tensor:
        """Embed patches, converted to the dtype of the weights."""
        check_patches(pixel_values, spatial_shapes, self.patch_embedding.weight)
        table = self.position_embedding.weight
        weights = position_weights(spatial_shapes, pixel_values.shape[1], self.side)
        x = self.patch_embedding(pixel_values.to(table.dtype))  # [B, N, D]
        return x + F.linear(weights, table.T.to(weights.dtype)).to(x.dtype)
