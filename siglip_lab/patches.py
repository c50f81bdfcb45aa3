"""Pixels to tokens: cut the image into patches, project each to a vector, add its position.

Chapter "Patchify". An image tower does not see pixels but N patches, each embedded as D numbers.
`patchify` shows the cut; the model's strided convolution computes the same map in one step.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.checks import check_batch, check_pixel_values
from siglip_lab.configs import VisionConfig

__all__ = ["VisionEmbeddings", "interpolate_positions", "patchify"]


def patchify(pixel_values: Tensor, patch_size: int) -> Tensor:
    """Cut images into flattened square patches, row by row.

    What is left over at the bottom and at the right, where the patch does not divide the image,
    is dropped, as the strided convolution of the original drops it (padding "valid").

    From `[B, C, H, W]` to `[B, N, C * P * P]` with N = (H // P) * (W // P). The numbers of a patch
    are ordered as in a convolution's kernel: channel, row, column.

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
    """Stretch position embeddings `[S * S, D]` bicubically to `[rows * columns, D]`.

    Source: transformers, ``modeling_siglip.py``, ``interpolate_pos_encoding``.
    """
    side = int(len(table) ** 0.5)
    if (rows, columns) == (side, side):
        return table
    grid = table.T.reshape(1, -1, side, side)  # [1, D, side, side]
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
        """Embed images, converted to the dtype of the weights.

        `interpolate_pos_encoding` accepts another size, and stretches the positions to it.
        """
        kernel = self.patch_embedding.weight
        positions = self.position_embedding.weight  # [N, D]
        check_pixel_values(pixel_values, kernel, self.image_size, interpolate_pos_encoding)
        x = self.patch_embedding(pixel_values.to(kernel.dtype))  # [B, D, rows, columns]
        if interpolate_pos_encoding:
            positions = interpolate_positions(positions, *x.shape[2:])
        return x.flatten(2).transpose(1, 2) + positions  # [B, N, D]
