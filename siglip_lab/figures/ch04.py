"""The figures of the chapter "Patchify"."""

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, FRAME, IMAGE, NEUTRAL, WIDTH, styled
from siglip_lab.figures.svg import LIGHT

__all__ = ["patch_to_token", "cosine_maps"]


@styled
def patch_to_token(picture, patch_size: int, row: int, column: int, token: Tensor) -> plt.Figure:
    """Draw one patch of a picture, its numbers in the order of the kernel, and its token.

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
    figure = plt.figure(figsize=(WIDTH, 4.0), layout="none")
    above = figure.add_gridspec(1, 3, bottom=0.45, top=0.93, left=0.01, right=0.99)
    photo, large, channels = (figure.add_subplot(cell) for cell in above)
    photo.imshow(picture)
    corner = (left - p / 2, top - p / 2)
    photo.add_patch(plt.Rectangle(corner, 2 * p, 2 * p, fill=False, edgecolor=IMAGE, linewidth=2.5))
    photo.set_title(f"{width} × {height} pixels")
    large.imshow(patch)
    large.set_title(f"one patch, {p} × {p}")
    _channel_sheets(channels, patch)
    for axes in (photo, large, channels):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=axes is large, color=IMAGE, linewidth=2)
    numbers = np.concatenate([_in_its_colour(patch, i).reshape(1, p * p, 3) for i in range(3)], 1)
    title = f"{3 * p * p} numbers: red, row by row, then green, then blue"
    _strip(figure, 0.29, numbers, title)
    figure.text(0.5, 0.22, "↓  times a matrix, plus a bias", **CENTRED)
    most = token.abs().max().item()
    look = {"cmap": style.tints(NEUTRAL, IMAGE), "vmin": -most, "vmax": most}
    _strip(figure, 0.02, token.reshape(1, -1).numpy(), f"one token, {len(token)} numbers", **look)
    return figure


def _in_its_colour(patch, channel: int) -> np.ndarray:
    """One channel of a patch `[P, P, 3]`, the other two at zero."""
    return patch * (np.arange(3) == channel).astype(patch.dtype)


def _channel_sheets(axes, patch) -> None:
    """The three channels of a patch `[P, P, 3]` as sheets, red in front."""
    p = len(patch)
    axes.set(title="red, green, blue", xlim=(0, p + 8), ylim=(p + 8, 0), aspect="equal")
    for i in range(3):
        x = 4 * (2 - i)
        sheet = axes.inset_axes([x, x, p, p], transform=axes.transData, zorder=3 - i)
        sheet.imshow(_in_its_colour(patch, i))
        sheet.set(xticks=[], yticks=[])
        sheet.spines[:].set(visible=True, color="white", linewidth=1.5)


def _strip(figure, bottom, numbers, title, **look) -> None:
    """Numbers `[1, n]`, or colours `[1, n, 3]`, as one long strip under a title."""
    axes = figure.add_axes([0.01, bottom, 0.98, 0.07])
    axes.imshow(numbers, aspect="auto", **look)
    axes.set_title(title, pad=3)
    axes.axis("off")


@styled
def cosine_maps(tables: dict[str, Tensor], tiles: int) -> plt.Figure:
    """Draw, for some positions, the cosine of their embeddings with all others of the grid.

    A dot in each map marks the position that it belongs to.

    Args:
        tables: Title to a table of position embeddings `[N, D]` of a square grid.
        tiles: How many positions along a side get their own map; they are spread evenly.
    """
    colours = style.tints(NEUTRAL, IMAGE)
    figsize = (WIDTH, (WIDTH - 0.7) / len(tables) + 1.65)
    figure, panels = plt.subplots(1, len(tables), figsize=figsize, layout="constrained")
    dot = {"markerfacecolor": LIGHT, "markeredgecolor": IMAGE, "markersize": 3.2}
    for axes, (title, table) in zip(np.ravel(panels), tables.items(), strict=True):
        side = round(len(table) ** 0.5)
        places = np.linspace(0, side - 1, tiles).round().astype(int)
        gap = max(1, side // 9)
        tiled = _tiled(table, side, places, gap)
        shown = axes.imshow(tiled, cmap=colours, vmin=-1, vmax=1)
        for i, j in np.ndindex(tiles, tiles):
            x, y = j * (side + gap), i * (side + gap)
            corner = (x - 0.5, y - 0.5)
            frame = {"fill": False, "edgecolor": FRAME, "linewidth": 0.8}
            axes.add_patch(plt.Rectangle(corner, side, side, **frame))
            axes.plot(x + places[j], y + places[i], "o", **dot)
        middles = np.arange(tiles) * (side + gap) + (side - 1) / 2
        axes.set_xticks(middles, places)
        axes.set_yticks(middles, places)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(title=title, xlabel="column of the position")
    figure.axes[0].set_ylabel("row of the position")
    look = {"location": "bottom", "shrink": 0.5, "aspect": 30}
    label = "cosine with the position at the dot"
    style.key(figure, shown, panels, [-1, 0, 1], label=label, **look)
    return figure


def _tiled(table, side, places, gap) -> np.ndarray:
    """The cosine maps of `places` x `places`, side by side, with nothing in the gaps."""
    rows = table.float() / table.float().norm(dim=1, keepdim=True)
    cosines = (rows @ rows.T).reshape(side, side, side, side).cpu().numpy()
    step = side + gap
    tiled = np.full([len(places) * step - gap] * 2, np.nan)
    for i, row in enumerate(places):
        for j, column in enumerate(places):
            tiled[i * step : i * step + side, j * step : j * step + side] = cosines[row, column]
    return tiled
