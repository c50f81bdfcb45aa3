"""The figures of the chapter "Patchify"."""

from textwrap import fill

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.patches import ConnectionPatch
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
from siglip_lab.figures.svg import DARK, LIGHT

__all__ = [
    "patch_to_token", "four_patches", "four_orders", "two_squares", "said_numbers",
    "named_shares", "image_sizes",
]  # fmt: skip

TINTS = IMAGE + "78", NEUTRAL + "28", IMAGE + "30", NEUTRAL + "70"  # of four patches


@styled
def patch_to_token(picture, patch_size: int, row: int, column: int, token: Tensor) -> plt.Figure:
    """Draw one patch of a picture, its numbers in the order of the kernel, and its token.

    One pixel is followed: from the patch to its place in each channel, and on to its numbers.

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
    figure = plt.figure(figsize=(WIDTH, 6.1), layout="none")
    photo = figure.add_axes([0.06, 0.735, 0.36, 0.225])
    photo.imshow(picture)
    corner = (left - p / 2, top - p / 2)
    photo.add_patch(plt.Rectangle(corner, 2 * p, 2 * p, fill=False, edgecolor=IMAGE, linewidth=2.5))
    photo.set_title(f"{width} × {height} pixels")
    large = figure.add_axes([0.58, 0.735, 0.36, 0.225])
    large.imshow(patch)
    large.set_title(f"one patch, {p} × {p}")
    large.spines[:].set(visible=True, color=IMAGE, linewidth=2)
    numbers = np.concatenate([_in_its_colour(patch, i).reshape(1, p * p, 3) for i in range(3)], 1)
    strip = _strip(figure, 0.285, numbers)
    sheets = [figure.add_axes([0.01 + 0.98 * i / 3, 0.45, 0.98 / 3, 0.2]) for i in range(3)]
    _join(figure, (photo, (left + 1.5 * p, top + p / 2)), (large, (-0.5, p / 2 - 0.5)), IMAGE)
    at = (p // 3, p // 3)  # column and row of the pixel that is followed
    _ring(large, at)
    for i, (axes, name) in enumerate(zip(sheets, ("red", "green", "blue"), strict=True)):
        axes.imshow(_in_its_colour(patch, i))
        look = {"color": LIGHT, "ha": "right", "va": "bottom", "zorder": 4}
        axes.text(0.95, 0.06, name, transform=axes.transAxes, **look)
        index = i * p * p + at[1] * p + at[0]
        _join(figure, (large, at), (axes, at), NEUTRAL)
        _join(figure, (axes, at), (strip, (index, -0.5)), NEUTRAL)
        _ring(axes, at)
        look = {"ha": "center", "va": "top", "transform": strip.get_xaxis_transform()}
        strip.text(index, -0.1, f"number {index}", **look)
    for axes in (photo, large, *sheets):
        axes.set(xticks=[], yticks=[])
    for axes in (photo, *sheets):
        axes.spines[:].set_visible(False)
    words = f"all {3 * p * p} numbers, times a matrix, plus a bias"
    figure.text(0.5, 0.19, words, **CENTRED)
    figure.text(0.5, 0.15, "↓", **CENTRED)
    most = token.abs().max().item()
    look = {"cmap": style.tints(NEUTRAL, IMAGE), "vmin": -most, "vmax": most}
    last = _strip(figure, 0.01, token.reshape(1, -1).numpy(), **look)
    last.set_title(f"one token, {len(token)} numbers", pad=4)
    return figure


def _in_its_colour(patch, channel: int) -> np.ndarray:
    """One channel of a patch `[P, P, 3]`, the other two at zero."""
    return patch * (np.arange(3) == channel).astype(patch.dtype)


def _strip(figure, bottom, numbers, **look) -> plt.Axes:
    """Numbers `[1, n]`, or colours `[1, n, 3]`, as one long strip."""
    axes = figure.add_axes([0.01, bottom, 0.98, 0.085])
    axes.imshow(numbers, aspect="auto", **look)
    axes.axis("off")
    return axes


def _ring(axes, at) -> None:
    """A frame around one pixel of a picture, light inside dark: seen on every colour."""
    corner = (at[0] - 0.5, at[1] - 0.5)
    for colour, width in (DARK, 3.2), (LIGHT, 1.4):
        look = {"fill": False, "edgecolor": colour, "linewidth": width, "zorder": 4}
        axes.add_patch(plt.Rectangle(corner, 1, 1, **look))


def _join(figure, start, end, colour) -> None:
    """A thin line from a point of one panel to a point of another, each (axes, (x, y))."""
    (one, a), (other, b) = start, end
    look = {"color": colour, "linewidth": 0.9, "zorder": 3}
    figure.add_artist(ConnectionPatch(a, b, one.transData, other.transData, **look))


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
def four_orders(
    numbers: dict[str, Tensor], channels: dict[str, Tensor], shares: dict[str, float]
) -> plt.Figure:
    """Draw one patch's numbers in several orders, below their weights, and what each order costs.

    Args:
        numbers: Name of an order to the patch in it, `[n]`, from 0 to 1; the first is right.
        channels: The same names to the channel that each number comes from, 0 to 2, `[n]`.
        shares: The same names to the share of drawings that are named correctly, 0 to 1.
    """
    row, split, gap = 0.62, 0.6, 0.06  # inches; shares of the width
    height = 0.62 + row * len(numbers)
    figure, axes = style.blank(WIDTH, height, (0, 1), (height, 0))
    third = split / 3
    for i, colour in enumerate(("red", "green", "blue")):
        axes.text((i + 0.5) * third, 0.14, f"for {colour}", **CENTRED)
    axes.text(split + gap, 0.14, "named correctly", va="center")
    _reds_greens_blues(axes, torch.ones(3), torch.arange(3), split, 0.28, 0.44)
    axes.text(split + gap, 0.36, "0", va="center", color=NEUTRAL)
    axes.text(1, 0.36, "100 %", ha="right", va="center", color=NEUTRAL)
    for k, (name, values) in enumerate(numbers.items()):
        top = 0.84 + row * k
        axes.text(0, top - 0.14, name, va="center")
        _reds_greens_blues(axes, values, channels[name], split, top, top + 0.3)
        axes.vlines([third, 2 * third], top, top + 0.3, color="white", linewidth=2, zorder=3)
        colour, length = MISTAKE if k else NEUTRAL, (1 - split - gap) * shares[name]
        look = {"height": 0.3, "left": split + gap}
        axes.barh(top + 0.15, 1 - split - gap, color=FRAME, alpha=0.45, **look)
        axes.barh(top + 0.15, length, color=colour, **look)
        axes.text(split + gap, top - 0.14, f"{shares[name]:.1%}", va="center")
    axes.set(xlim=(0, 1), ylim=(height, 0))
    return figure


def _reds_greens_blues(axes, values, channels, right, top, bottom) -> None:
    """Numbers `[n]` in one strip that begins at 0, each in the colour of its channel."""
    strip = values[None, :, None] * (channels[None, :, None] == torch.arange(3))
    axes.imshow(strip.numpy(), extent=(0, right, bottom, top), aspect="auto", zorder=2)


@styled
def two_squares(pictures: Tensor, titles: list[str]) -> plt.Figure:
    """Draw grey pictures with a black and a white pixel.

    Args:
        pictures: `[n, S, S]`, 0 but for the black, -1, and the white, 1.
        titles: One for each picture.
    """
    figure, panels = plt.subplots(1, len(titles), figsize=(WIDTH, 2.3))
    for axes, picture, title in zip(panels, pictures, titles, strict=True):
        side = picture.shape[-1]
        axes.add_patch(plt.Rectangle((0, 0), side, side, color=NEUTRAL, alpha=0.5, linewidth=0))
        for colour, shade in ((DARK, -1), (LIGHT, 1)):
            for y, x in (picture == shade).nonzero().tolist():
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


@styled
def named_shares(shares: dict[str, float], asked: str, chance: float) -> plt.Figure:
    """Draw the shares of right answers, and what a guess would get, as bars on one scale.

    Args:
        shares: Name to the share of right answers, 0 to 1.
        asked: What is asked; written above.
        chance: The share that a guess gets right.
    """
    rows = shares | {"a random guess": chance}
    figure, axes = plt.subplots(figsize=(WIDTH, 0.34 * len(rows) + 0.6))
    for y, (name, share) in enumerate(rows.items()):
        axes.barh(y, 1, color=FRAME, alpha=0.35, height=0.72)
        axes.barh(y, share, color=IMAGE if name in shares else NEUTRAL, height=0.72)
        inside = share > 0.3
        look = {"va": "center", "ha": "right" if inside else "left"}
        look["color"] = "white" if inside else INK
        axes.text(share - 0.015 if inside else share + 0.015, y, f"{share:.1%}", **look)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(length=0, colors=INK)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xticks=[])
    axes.set_title(asked, loc="left")
    axes.spines[:].set_visible(False)
    return figure


@styled
def image_sizes(
    pictures: dict[int, Tensor], shares: dict[int, dict[str, float]], patch_size: int
) -> plt.Figure:
    """Draw a picture at several sizes, to scale, and below each the share of right answers.

    Args:
        pictures: Side in pixels to a picture `[3, S, S]`, from 0 to 1.
        shares: The same sides to the name of a way, or nothing, and its share, 0 to 1.
        patch_size: Side of a patch in pixels.
    """
    sizes, most = list(pictures), max(pictures)
    figure = plt.figure(figsize=(WIDTH, 4.0), layout="none")
    unit = 0.225 / most  # of the width of the figure for a pixel; its height is 5 / 7 of that
    best = max(share for ways in shares.values() for share in ways.values())
    for i, size in enumerate(sizes):
        side, middle, count = size * unit, (i + 0.5) / len(sizes), size // patch_size
        axes = figure.add_axes([middle - side / 2, 0.66, side, side * WIDTH / 4.0])
        axes.imshow(pictures[size].permute(1, 2, 0).numpy(), extent=(0, size, size, 0))
        lines = {"color": DARK, "linewidth": 0.5, "alpha": 0.45}
        end = count * patch_size
        axes.vlines([k * patch_size for k in range(count + 1)], 0, end, **lines)
        axes.hlines([k * patch_size for k in range(count + 1)], 0, end, **lines)
        axes.axis("off")
        figure.text(middle, 0.60, f"{size} px", **CENTRED)
        figure.text(middle, 0.545, f"{count**2} tokens", **CENTRED)
        ways = shares[size]
        below = figure.add_axes([i / len(sizes) + 0.01, 0.11, 1 / len(sizes) - 0.02, 0.34])
        for k, (way, share) in enumerate(ways.items()):
            x = k - (len(ways) - 1) / 2
            colour = NEUTRAL if share == best else MISTAKE
            below.bar(x, share, width=0.62, color=colour, alpha=0.55 if x > 0 else 1)
            below.text(x, share + 0.05, f"{share:.0%}", ha="center", va="bottom")
            below.text(x, -0.06, way, ha="center", va="top", linespacing=1.2)
        below.axhline(0, color=NEUTRAL, linewidth=0.8)
        below.set(xlim=(-1.05, 1.05), ylim=(0, 1))
        below.axis("off")
    return figure
