"""What NaFlex refuses: shapes and types alone, as nothing is read back in a forward pass."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_mask", "check_patches"]

_HOW = "use siglip2.Processor, or siglip2.preprocess, which give all three"


def check_patches(pixel_values: Tensor, spatial_shapes: Tensor, weight: Tensor) -> None:
    """Refuse what are no patches `[B, N, P * P * 3]` with grids `[B, 2]`."""
    if not isinstance(pixel_values, Tensor) or not isinstance(spatial_shapes, Tensor):
        found = f"{type(pixel_values).__name__} and {type(spatial_shapes).__name__}"
        raise TypeError(f"pixel_values and spatial_shapes are {found}; expected tensors: {_HOW}")
    shape = tuple(pixel_values.shape)
    if pixel_values.ndim == 4:
        raise ValueError(
            f"pixel_values have shape {shape}, those of a SigLIP of fixed size; expected patches "
            f"[B, N, {weight.shape[1]}]: {_HOW}"
        )
    if pixel_values.ndim != 3 or 0 in shape or shape[2] != weight.shape[1]:
        raise ValueError(
            f"pixel_values have shape {shape}; expected patches [B, N, {weight.shape[1]}] with "
            f"B, N >= 1: {_HOW}"
        )
    if not pixel_values.is_floating_point():
        raise TypeError(f"pixel_values are {pixel_values.dtype}; expected floating point: {_HOW}")
    if spatial_shapes.is_floating_point() or spatial_shapes.dtype == torch.bool:
        raise TypeError(f"spatial_shapes are {spatial_shapes.dtype}; expected integers: {_HOW}")
    if tuple(spatial_shapes.shape) != (shape[0], 2):
        raise ValueError(
            f"spatial_shapes have shape {tuple(spatial_shapes.shape)}; expected rows and columns "
            f"of each image, [{shape[0]}, 2]: {_HOW}"
        )


def check_mask(mask: Tensor | None, pixel_values: Tensor) -> None:
    """Refuse what is no mask `[B, N]` of the patches."""
    if not isinstance(mask, Tensor):
        raise TypeError(
            f"pixel_attention_mask is a {type(mask).__name__}; expected a tensor [B, N] that is 1 "
            f"for patches and 0 for padding: {_HOW}"
        )
    if mask.shape != pixel_values.shape[:2]:
        raise ValueError(
            f"pixel_attention_mask has shape {tuple(mask.shape)}; expected "
            f"{list(pixel_values.shape[:2])}, as the patches have: {_HOW}"
        )
