"""The figures of the chapter "Patchify"."""

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
    TEXT,
    WIDTH,
    styled,
)
from siglip_lab.figures.svg import DARK, LIGHT

__all__ = [
    "published_shapes", "patch_to_token", "four_patches", "four_orders", "told_places",
    "side_asked", "two_squares", "image_sizes", "said_numbers",
]  # fmt: skip

SHADES = "14", "34", "54", "74"  # of one, two, three and four
TINTS = IMAGE + "78", NEUTRAL + "28", IMAGE + "30", NEUTRAL + "70"  # of four patches


@styled
def published_shapes(shapes: list[tuple[int, int]]) -> plt.Figure:
    """Draw images to scale, cut into patches, with the number of tokens and what is left over.

    Args:
        shapes: Sides of an image and of its patches, in pixels.
    """
    unit = 1.4 / max(size for size, _ in shapes)  # inches
    rows = [shapes[i : i + 3] for i in range(0, len(shapes), 3)]
    heights = [unit * max(size for size, _ in row) + 0.75 for row in rows]
    figure, axes = style.blank(WIDTH, sum(heights), (0, WIDTH), (sum(heights), 0))
    for k, row in enumerate(rows):
        foot = sum(heights[: k + 1]) - 0.68
        for i, (size, patch) in enumerate(row):
            count = size // patch
            side, end, middle = unit * size, unit * count * patch, WIDTH * (i + 0.5) / 3
            left, top = middle - side / 2, foot - side
            axes.add_patch(plt.Rectangle((left, top), side, side, color=MISTAKE, linewidth=0))
            axes.add_patch(plt.Rectangle((left, top), end, end, color="white", linewidth=0))
            axes.add_patch(plt.Rectangle((left, top), end, end, color=IMAGE + "38", linewidth=0))
            lines = [unit * patch * j for j in range(count + 1)]
            look = {"color": IMAGE, "linewidth": 0.35}
            axes.vlines([left + x for x in lines], top, top + end, **look)
            axes.hlines([top + y for y in lines], left, left + end, **look)
            axes.text(middle, foot + 0.16, f"{size} / {patch}", **CENTRED)
            words, rest = f"{count**2:,} tokens", size - count * patch
            axes.text(middle, foot + 0.36, words, color=IMAGE, **CENTRED)
            if rest:
                axes.text(middle, foot + 0.56, f"{rest} px left over", color=MISTAKE, **CENTRED)
    axes.set(xlim=(0, WIDTH), ylim=(sum(heights), 0))
    return figure


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
    axes.text(1, 0.36, "100%", ha="right", va="center", color=NEUTRAL)
    for k, (name, values) in enumerate(numbers.items()):
        top = 0.84 + row * k
        axes.text(0, top - 0.14, name, va="center")
        _reds_greens_blues(axes, values, channels[name], split, top, top + 0.3)
        axes.vlines([third, 2 * third], top, top + 0.3, color="white", linewidth=2, zorder=3)
        colour, length = MISTAKE if k else IMAGE, (1 - split - gap) * shares[name]
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
def said_numbers(
    counts: dict[str, list[int]], pictures: dict[str, Tensor], said: dict[str, int]
) -> plt.Figure:
    """Draw how often each number, one to four, was the answer: a divided bar for each row.

    Args:
        counts: Name to how often it was one, two, three and four.
        pictures: Some of the names to one drawing as it was shown, `[3, S, S]`, from 0 to 1.
        said: All names to the number that was the answer to this drawing.
    """
    row, left = 0.64, 2.2  # inches
    width, height = WIDTH - left - 0.02, row * len(counts) + 0.7
    most = max(picture.shape[-1] for picture in pictures.values())
    figure, axes = style.blank(WIDTH, height, (0, WIDTH), (height, 0))
    axes.text(0, 0.14, "one drawing", va="center")
    axes.text(left, 0.14, f"all {sum(next(iter(counts.values())))}", va="center")
    for k, (name, numbers) in enumerate(counts.items()):
        middle = 0.28 + row * (k + 0.5)
        if name in pictures:
            side = 0.54 * pictures[name].shape[-1] / most
            place = (0.27 - side / 2, 0.27 + side / 2, middle + side / 2, middle - side / 2)
            axes.imshow(pictures[name].permute(1, 2, 0).numpy(), extent=place, aspect="auto")
        axes.text(0.68, middle - 0.1, name, va="center")
        verb = "says" if name in pictures else "shows"
        axes.text(0.68, middle + 0.1, f"{verb} {said[name]}", va="center", color=NEUTRAL)
        start = left
        for number, (count, shade) in enumerate(zip(numbers, SHADES, strict=True), 1):
            length = width * count / sum(numbers)
            look = {"facecolor": IMAGE + shade, "edgecolor": IMAGE, "linewidth": 1}
            axes.add_patch(plt.Rectangle((start, middle - 0.2), length, 0.4, **look))
            if length > 0.13:
                axes.text(start + length / 2, middle, str(number), color=INK, **CENTRED)
            start += length
    for share, anchor in (0, "left"), (0.5, "center"), (1, "right"):
        look = {"ha": anchor, "va": "center", "color": NEUTRAL}
        axes.text(left + width * share, height - 0.28, f"{share:.0%}", **look)
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    return figure


@styled
def told_places(picture: Tensor, order: Tensor, shares: list[float], chance: float) -> plt.Figure:
    """Draw where a model is told that patches are, and below the shares of right answers.

    Args:
        picture: A drawing of 6 × 6 patches `[3, S, S]`, from 0 to 1.
        order: A wrong place for each patch, `[36]`.
        shares: Of right answers as trained, without places, and with the wrong ones, 0 to 1.
        chance: The share that a guess gets right.
    """
    generator = torch.Generator().manual_seed(1)
    grid = torch.cartesian_prod(torch.arange(6.0), torch.arange(6.0))
    heap = 5 * torch.rand(36, 2, generator=generator)
    views = {"as trained": grid, "no positions": heap, "shuffled table": grid[order]}
    figure, axes = style.blank(WIDTH, 2.86, (0, WIDTH), (2.86, 0))
    side, third = 1.6, WIDTH / 3
    for i, ((name, places), share) in enumerate(zip(views.items(), shares, strict=True)):
        left = third * i + (third - side) / 2
        shown = _tiles(picture, places).numpy()
        axes.imshow(shown, extent=(left, left + side, side + 0.02, 0.02), aspect="auto")
        axes.text(left, 1.82, name, va="center")
        axes.text(left, 2.06, f"{share:.1%}", va="center", color=IMAGE)
        axes.barh(2.3, side, left=left, height=0.2, color=FRAME, alpha=0.45)
        axes.barh(2.3, side * share, left=left, height=0.2, color=IMAGE)
    words = f"named correctly · a random guess: {chance:.1%}"
    axes.text(WIDTH / 2, 2.68, words, color=NEUTRAL, **CENTRED)
    axes.set(xlim=(0, WIDTH), ylim=(2.86, 0))
    return figure


def _tiles(picture: Tensor, places: Tensor) -> Tensor:
    """The 6 × 6 tiles of a picture `[3, S, S]`, each at its place `[36, 2]`: row, column."""
    p, zoom, gap = picture.shape[-1] // 6, 4, 2
    side = p * zoom + 2 * gap
    sheet = torch.zeros(6 * side, 6 * side, 4)  # nothing to be seen
    large = picture.repeat_interleave(zoom, 1).repeat_interleave(zoom, 2)
    for i, (y, x) in enumerate((places * side).long().tolist()):
        top, left = i // 6 * p * zoom, i % 6 * p * zoom
        tile = large[:, top : top + p * zoom, left : left + p * zoom].permute(1, 2, 0)
        sheet[y : y + side, x : x + side] = 0  # a gap around it
        inside = sheet[y + gap : y + side - gap, x + gap : x + side - gap]
        inside[..., :3], inside[..., 3] = tile, 1
    return sheet


@styled
def side_asked(picture: Tensor, captions: list[str], share: float, chance: float) -> plt.Figure:
    """Draw a drawing beside a true and a false caption, and how often the true one wins.

    Args:
        picture: `[3, S, S]`, from 0 to 1.
        captions: The true one and the false one.
        share: Of the questions in which the true one has the higher score, 0 to 1.
        chance: The share that a guess gets right.
    """
    figure, axes = style.blank(WIDTH, 1.75, (0, WIDTH), (1.75, 0))
    axes.imshow(picture.permute(1, 2, 0).numpy(), extent=(0, 1.4, 1.42, 0.02), aspect="auto")
    left, end = 1.65, WIDTH - 0.02
    width = end - left
    for y, caption, sign in zip((0.14, 0.38), captions, "✓✗", strict=True):
        axes.text(left, y, f"{sign}  “{caption}”", va="center", color=TEXT)
    axes.barh(0.98, width, left=left, height=0.3, color=FRAME, alpha=0.6)
    axes.barh(0.98, width * share, left=left, height=0.3, color=IMAGE)
    axes.text(left, 0.7, f"tiny picks the true one: {share:.1%}", va="center", color=IMAGE)
    middle = left + width * chance
    axes.vlines(middle, 0.78, 1.22, color=INK, linewidth=1.6)
    axes.text(middle, 1.36, f"a random guess: {chance:.0%}", color=NEUTRAL, **CENTRED)
    axes.set(xlim=(0, WIDTH), ylim=(1.75, 0))
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
        below = figure.add_axes([i / len(sizes) + 0.01, 0.16, 1 / len(sizes) - 0.02, 0.29])
        for k, (way, share) in enumerate(ways.items()):
            x = k - (len(ways) - 1) / 2
            colour = IMAGE if share == best else MISTAKE
            below.bar(x, share, width=0.62, color=colour, alpha=0.55 if x > 0 else 1)
            below.text(x, share + 0.05, f"{share:.0%}", ha="center", va="bottom")
            below.text(x, -0.06, way, ha="center", va="top", linespacing=1.2)
        below.axhline(0, color=NEUTRAL, linewidth=0.8)
        below.set(xlim=(-1.05, 1.05), ylim=(0, 1))
        below.axis("off")
    return figure
