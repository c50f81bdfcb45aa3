"""The figures of the chapter "Patchify"."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from siglip_lab.figures.style import IMAGE, NEUTRAL, WIDTH, drawing, plt

__all__ = ["patch_to_token", "cosine_maps"]


def patch_to_token(picture, patch_size: int, row: int, column: int, token: Tensor) -> Figure:
    """One patch of a picture, its numbers in the order of the kernel, and the token they become.

    Args:
        picture: A PIL image, RGB.
        patch_size: Side of a patch in pixels.
        row: Row of the patch in the grid, from 0.
        column: Column of the patch in the grid, from 0.
        token: What the patch becomes, `[D]`.
    """
    p, (width, height) = patch_size, picture.size
    top, left = row * p, column * p
    patch = np.asarray(picture)[top : top + p, left : left + p]  # [P, P, 3]
    numbers = patch.transpose(2, 0, 1).reshape(1, -1)  # channel, row, column
    with drawing():
        figure = plt.figure(figsize=(WIDTH, 4.0))
        above = figure.add_gridspec(1, 3, bottom=0.45, top=0.93, left=0.01, right=0.99)
        photo, large, channels = (figure.add_subplot(cell) for cell in above)
        photo.imshow(picture, interpolation="auto")
        frame = {"fill": False, "edgecolor": IMAGE, "linewidth": 2.5}
        photo.add_patch(plt.Rectangle((left - p / 2, top - p / 2), 2 * p, 2 * p, **frame))
        photo.set_title(f"{width} × {height} pixels")
        large.imshow(patch)
        large.set_title(f"one patch, {p} × {p}")
        channels.set_title("red, green, blue")
        channels.set(xlim=(0, p + 8), ylim=(p + 8, 0), aspect="equal")
        for i in range(3):  # three sheets, the first in front
            x = 4 * (2 - i)
            sheet = channels.inset_axes([x, x, p, p], transform=channels.transData, zorder=3 - i)
            sheet.imshow(patch[..., i], cmap="gray", vmin=0, vmax=255)
            sheet.set(xticks=[], yticks=[])
            sheet.spines[:].set(visible=True, color="white", linewidth=1.5)
        for axes in (photo, large, channels):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=axes is large, color=IMAGE, linewidth=2)
        strips = [
            (numbers, f"{numbers.size} numbers: red, row by row, then green, then blue", "gray"),
            (token.reshape(1, -1), f"one token, {len(token)} numbers", "Blues"),
        ]
        for bottom, (strip, title, colours) in zip((0.29, 0.02), strips, strict=True):
            axes = figure.add_axes([0.01, bottom, 0.98, 0.07])
            axes.imshow(strip, cmap=colours, aspect="auto", interpolation="nearest")
            axes.set_title(title, pad=3)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        figure.text(0.5, 0.22, "↓  times a matrix, plus a bias", ha="center", va="center")
    return figure


def cosine_maps(tables: dict[str, Tensor], tiles: int) -> Figure:
    """How alike the position embeddings are: for some places, one small map of the whole grid.

    Args:
        tables: Title to a table of position embeddings `[N, D]` of a square grid.
        tiles: How many places along a side get their own map; they are spread evenly.
    """
    colours = LinearSegmentedColormap.from_list("cosine", [NEUTRAL, "white", IMAGE])
    with drawing():
        figure, panels = plt.subplots(
            1, len(tables), figsize=(WIDTH, (WIDTH - 0.7) / len(tables) + 1.65),
            squeeze=False, layout="constrained",
        )  # fmt: skip
        for axes, (title, table) in zip(panels[0], tables.items(), strict=True):
            side = round(len(table) ** 0.5)
            rows = table.float() / table.float().norm(dim=1, keepdim=True)
            cosines = (rows @ rows.T).reshape(side, side, side, side).cpu().numpy()
            places = np.linspace(0, side - 1, tiles).round().astype(int)
            gap = max(1, side // 9)
            picture = np.full([tiles * (side + gap) - gap] * 2, np.nan)
            for i, row in enumerate(places):
                for j, column in enumerate(places):
                    y, x = i * (side + gap), j * (side + gap)
                    picture[y : y + side, x : x + side] = cosines[row, column]
            shown = axes.imshow(picture, cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
            middles = np.arange(tiles) * (side + gap) + (side - 1) / 2
            axes.set_xticks(middles, places)
            axes.set_yticks(middles, places)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set(title=title, xlabel="column of the place")
        panels[0, 0].set_ylabel("row of the place")
        bar = figure.colorbar(shown, ax=panels, location="bottom", shrink=0.5, aspect=30)
        bar.set_label("cosine with the place whose map it is")
        bar.set_ticks([-1, 0, 1])
        bar.outline.set_visible(False)
    return figure
