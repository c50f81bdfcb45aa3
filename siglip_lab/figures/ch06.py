"""The figures of the chapter "Pooling heads"."""

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures.style import WIDTH, styled

__all__ = ["heat_maps"]


@styled
def heat_maps(pictures, weights: Tensor, patch_size: int, titles: list[str]) -> plt.Figure:
    """Draw each picture beside its attention maps: the brighter a patch, the larger its share.

    Under each map stands the largest share; every map is drawn relative to its own largest.

    Args:
        pictures: PIL images as the model receives them.
        weights: Shares `[pictures, maps, patches]`, the patches row by row.
        patch_size: Side of a patch in pixels.
        titles: One for each map.
    """
    count, maps, _ = weights.shape
    height = (WIDTH / (maps + 1) + 0.22) * count + 0.2
    figure, grid = plt.subplots(count, maps + 1, figsize=(WIDTH, height), squeeze=False)
    for row, picture, shares in zip(grid, pictures, weights.tolist(), strict=True):
        size = picture.width
        seen = size - size % patch_size
        for axes, share in zip(row, [None, *shares], strict=True):
            axes.imshow(picture, extent=(0, size, size, 0))
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if share is None:
                continue
            veil = 0.8 * (1 - np.reshape(share, (seen // patch_size, -1)) / max(share))
            black = np.dstack([np.zeros((*veil.shape, 3)), veil])
            axes.imshow(black, extent=(0, seen, seen, 0), interpolation="nearest")
            axes.set_xlabel(f"{max(share):.0%}", labelpad=3)
            axes.set(xlim=(0, size), ylim=(size, 0))
    for axes, title in zip(grid[0, 1:], titles, strict=True):
        axes.set_title(title)
    figure.tight_layout(pad=0.3, w_pad=0.6)
    return figure
