"""Pixels to tokens: cut the image into patches, project each to a vector, add its position.

Chapter "Patchify". An image tower does not see pixels but N patches, each embedded as D numbers.
`patchify` shows the cut; the model's strided convolution computes the same map in one step.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.checks import check_batch, check_pixel_values
from siglip_lab.configs import VisionConfig

__all__ = ["VisionEmbeddings", "interpolate_positions", "patchify"]


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
    check_batch(pixel_values, patch_size)
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
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        p, n, d = config.patch_size, config.num_patches, config.width
        self.patch_embedding = nn.Conv2d(3, d, kernel_size=p, stride=p)
        self.position_embedding = nn.Embedding(n, d)
        self.image_size = config.image_size

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
        kernel, positions = self.patch_embedding.weight, self.position_embedding.weight
        check_pixel_values(
            pixel_values, kernel, None if interpolate_pos_encoding else self.image_size
        )
        x = self.patch_embedding(pixel_values.to(kernel.dtype))  # [B, D, rows, columns]
        if interpolate_pos_encoding:
            positions = interpolate_positions(positions, *x.shape[2:])
        return x.flatten(2).transpose(1, 2) + positions  # [B, N, D]
