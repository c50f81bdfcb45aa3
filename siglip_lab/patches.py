"""Pixels to tokens: cut the image into patches, project each to a vector, add its position.

Chapter "Patchify". An image tower does not see pixels but N patches, each embedded as D numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.configs import VisionConfig

__all__ = ["patchify", "interpolate_positions", "VisionEmbeddings"]

_HALF = (torch.float16, torch.bfloat16)


def patchify(pixel_values: Tensor, patch_size: int) -> Tensor:
    """Cut images into flattened square patches, row by row.

    What is left over at the bottom and at the right, where the patch does not divide the image,
    is dropped, as the strided convolution of the original drops it (padding "valid").

    Args:
        pixel_values: Images `[B, C, H, W]`.
        patch_size: Side P of a patch, in pixels.

    Returns:
        `[B, N, C * P * P]` with N = (H // P) * (W // P). The numbers of a patch are ordered as in
        a convolution's kernel: channel, row, column. Same dtype and device as the input.

    Raises:
        TypeError: If the images are no tensor.
        ValueError: If the images are not four-dimensional or smaller than a patch.

    >>> import torch
    >>> patchify(torch.zeros(1, 3, 384, 384), patch_size=14).shape
    torch.Size([1, 729, 588])
    """
    _check_images(pixel_values, patch_size)
    batch, channels, height, width = pixel_values.shape
    rows, columns, p = height // patch_size, width // patch_size, patch_size
    x = pixel_values[:, :, : rows * p, : columns * p]
    x = x.reshape(batch, channels, rows, p, columns, p)
    x = x.permute(0, 2, 4, 1, 3, 5)  # [B, rows, columns, C, P, P]
    return x.reshape(batch, rows * columns, channels * p * p)  # [B, N, C*P*P]


def interpolate_positions(table: Tensor, rows: int, columns: int) -> Tensor:
    """Stretch a square table of position embeddings to another grid, bicubically.

    Args:
        table: Position embeddings `[N, D]` of a square grid, N = S * S.
        rows: Rows of the new grid.
        columns: Columns of the new grid.

    Returns:
        `[rows * columns, D]`, as `interpolate_pos_encoding=True` gives in transformers.
    """
    side = int(len(table) ** 0.5)
    if (rows, columns) == (side, side):
        return table
    grid = table.T.reshape(1, -1, side, side)  # [1, D, S, S]
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return grid[0].flatten(1).T  # [rows * columns, D]


class VisionEmbeddings(nn.Module):
    """Patch embedding plus position embedding: `[B, 3, S, S]` to `[B, N, D]`.

    The projection is a convolution whose stride is its kernel size: one matrix product per patch.
    There is no class token, and no norm before the first layer.

    Args:
        config: Shape of the image tower.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        patch = config.patch_size
        self.patch_embedding = nn.Conv2d(3, config.width, kernel_size=patch, stride=patch)
        self.position_embedding = nn.Embedding(config.num_patches, config.width)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Embed images.

        Args:
            pixel_values: `[B, 3, H, W]`, floating, as `preprocess` makes them; float32 images are
                converted to the dtype of the weights.
            interpolate_pos_encoding: Accept images of another size than the config's, and stretch
                the position table to them.

        Returns:
            Tokens `[B, N, D]`.

        Raises:
            TypeError: If the images are no tensor, or integers, or in half precision while the
                weights are not.
            ValueError: If their shape does not fit.
        """
        size = None if interpolate_pos_encoding else self.config.image_size
        x = self.patch_embedding(to_weights(pixel_values, self.patch_embedding.weight, size))
        rows, columns = x.shape[-2:]  # x: [B, D, rows, columns]
        x = x.flatten(2).transpose(1, 2)  # [B, N, D]
        return x + interpolate_positions(self.position_embedding.weight, rows, columns)


def to_weights(pixel_values: Tensor, kernel: Tensor, size: int | None) -> Tensor:
    """Images in the dtype of a tower's first kernel, once it is sure that they fit it.

    Args:
        pixel_values: Floating `[B, 3, H, W]`.
        kernel: The weight `[D, 3, P, P]` of the tower's first convolution.
        size: Side that the images must have; None for any of at least P.

    Returns:
        `[B, 3, H, W]`.

    Raises:
        TypeError: If the images are no tensor, or integers, or in half precision while the
            weights are not.
        ValueError: If their shape does not fit.
    """
    _check_images(pixel_values, kernel.shape[-1])
    shape = tuple(pixel_values.shape)
    if not pixel_values.is_floating_point():
        raise TypeError(
            f"pixel_values are {pixel_values.dtype}; expected floating point, as the model's "
            "preprocess makes them"
        )
    if pixel_values.dtype in _HALF and kernel.dtype not in _HALF:
        raise TypeError(
            f"pixel_values are {pixel_values.dtype}, the weights {kernel.dtype}: pass the float32 "
            "images that preprocess makes, or load the model in half precision"
        )
    if shape[0] == 0 or shape[1] != 3:
        raise ValueError(f"pixel_values have shape {shape}; expected [B, 3, H, W] with B >= 1")
    if size is not None and shape[2:] != (size, size):
        raise ValueError(
            f"pixel_values are {shape[2]}x{shape[3]}, the position table is made for "
            f"{size}x{size}: preprocess with size={size}, or pass interpolate_pos_encoding=True"
        )
    return pixel_values.to(kernel.dtype)


def _check_images(pixel_values: Tensor, patch_size: int) -> None:
    if not isinstance(pixel_values, Tensor):
        raise TypeError(
            f"images are of type {type(pixel_values).__name__}; expected a tensor [B, C, H, W]: "
            'use processor(images=...)["pixel_values"]'
        )
    if pixel_values.ndim != 4:
        raise ValueError(
            f"images have shape {tuple(pixel_values.shape)}; expected [B, C, H, W]: "
            "add the batch dimension with images[None]"
        )
    if min(pixel_values.shape[2:]) < patch_size:
        if pixel_values.shape[3] == 3 != pixel_values.shape[1]:
            raise ValueError(
                f"images have shape {tuple(pixel_values.shape)}; expected [B, 3, H, W]: put the "
                "channels first with images.permute(0, 3, 1, 2)"
            )
        raise ValueError(
            f"images are {pixel_values.shape[2]}x{pixel_values.shape[3]}, smaller than one patch "
            f"of {patch_size}x{patch_size}"
        )
