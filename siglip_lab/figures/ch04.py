"""The figures of the chapter "Patchify"."""

from textwrap import fill

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures import style
from siglip_lab.figures.style import (
    CENTRED,
    FRAME,
    IMAGE,
    INK,
    MISTAKE,
    NEUTRAL,
    WIDTH,
    styled,
)

__all__ = ["patch_to_token", "four_patches", "four_orders", "two_squares", "said_numbers"]

TINTS = IMAGE + "78", NEUTRAL + "28", IMAGE + "30", NEUTRAL + "70"  # of four patches


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
def four_patches(image: Tensor, patches: Tensor) -> plt.Figure:
    """Draw a small image as numbers, and its patches as rows, each patch in a tint of its own.

    Args:
        image: One channel, `[H, W]`; every number in it differs from the others.
        patches: Its four patches, `[4, n]`.
    """
    owner = {value: i for i, row in enumerate(patches.tolist()) for value in row}
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 2.9), layout="none")
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.9, wspace=0.24)
    titles = "the image, 2 × 2 patches", "one patch in each row"
    for axes, numbers, title in zip(panels, (image, patches), titles, strict=True):
        height, width = numbers.shape
        axes.set(title=title, xlim=(0, width), ylim=(height, 0), aspect="equal")
        axes.axis("off")
        for (y, x), value in np.ndenumerate(numbers.numpy()):
            look = {"facecolor": TINTS[owner[value]], "edgecolor": FRAME}
            axes.add_patch(plt.Rectangle((x, y), 1, 1, linewidth=0.8, **look))
            axes.text(x + 0.5, y + 0.5, f"{value:.0f}", **CENTRED)
    look = {"arrowstyle": "-|>", "color": NEUTRAL}
    ends = {"xycoords": "figure fraction", "textcoords": "figure fraction"}
    panels[0].annotate("", (0.545, 0.455), (0.455, 0.455), arrowprops=look, **ends)
    return figure


@styled
def four_orders(numbers: dict[str, Tensor], channels: dict[str, Tensor]) -> plt.Figure:
    """Draw the numbers of one patch in several orders, below the weights that they meet.

    Args:
        numbers: Name of an order to the patch in it, `[n]`, from 0 to 1.
        channels: The same names to the channel that each number comes from, 0 to 2, `[n]`.
    """
    row = 0.52  # inches
    height = 0.42 + row * len(numbers)
    figure, axes = style.blank(WIDTH, height, (0, 1), (height, 0))
    axes.vlines([1 / 3, 2 / 3], 0.22, height, color=NEUTRAL, linewidth=0.9, linestyle=":")
    for i, colour in enumerate(("red", "green", "blue")):
        axes.text((i + 0.5) / 3, 0.12, f"weights for {colour}", **CENTRED)
    _reds_greens_blues(axes, torch.ones(3), torch.arange(3), 0.22, 0.3)
    for k, (name, values) in enumerate(numbers.items()):
        axes.text(0, 0.545 + row * k, name, ha="left", va="center")
        _reds_greens_blues(axes, values, channels[name], 0.66 + row * k, 0.88 + row * k)
    axes.set(xlim=(0, 1), ylim=(height, 0))
    return figure


def _reds_greens_blues(axes, values, channels, top, bottom) -> None:
    """Numbers `[n]` in one strip, each in the colour of its channel."""
    strip = values[None, :, None] * (channels[None, :, None] == torch.arange(3))
    axes.imshow(strip.numpy(), extent=(0, 1, bottom, top), aspect="auto", zorder=2)


@styled
def two_squares(pictures: Tensor, titles: list[str]) -> plt.Figure:
    """Draw pictures with a red and a blue pixel, in the page's red and blue.

    Args:
        pictures: `[n, 3, S, S]`, white but for the two.
        titles: One for each picture.
    """
    figure, panels = plt.subplots(1, len(titles), figsize=(WIDTH, 2.3))
    for axes, picture, title in zip(panels, pictures, titles, strict=True):
        side = picture.shape[-1]
        red, _, blue = picture
        for colour, where in ((MISTAKE, red > blue), (IMAGE, blue > red)):
            for y, x in where.nonzero().tolist():
                axes.add_patch(plt.Rectangle((x, y), 1, 1, color=colour, linewidth=0))
        _grid(axes, side)
        axes.set(title=title)
    return figure


def _grid(axes, side: int) -> None:
    """The lines between the patches, `side` in a row, from (0, 0); no axes around them."""
    look = {"color": FRAME, "linewidth": 0.8}
    axes.vlines(range(side + 1), 0, side, **look)
    axes.hlines(range(side + 1), 0, side, **look)
    axes.set(xlim=(-0.05, side + 0.05), ylim=(side + 0.05, -0.05), aspect="equal")
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])


@styled
def said_numbers(counts: dict[str, list[int]]) -> plt.Figure:
    """Draw how often each number, one to four, was the answer: a divided bar for each row.

    Args:
        counts: Name to how often it was one, two, three and four.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.46 * len(counts) + 0.9))
    shades = "18", "38", "58", "78"
    for y, row in enumerate(counts.values()):
        left = 0.0
        for number, (count, shade) in enumerate(zip(row, shades, strict=True), 1):
            share = count / sum(row)
            look = {"edgecolor": "white", "linewidth": 1.2}
            axes.barh(y, share, left=left, color=IMAGE + shade, height=0.72, **look)
            if share > 0.04:
                axes.text(left + share / 2, y, str(number), color=INK, **CENTRED)
            left += share
    axes.set_yticks(range(len(counts)), [fill(name, 12) for name in counts])
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.set(xlim=(0, 1), ylim=(len(counts) - 0.5, -0.5), xlabel="share of the 400 answers")
    axes.set_xticks(*style.PERCENT)
    axes.spines[:].set_visible(False)
    return figure
