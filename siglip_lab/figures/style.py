"""The look of the book's figures, and the figures that more than one chapter shows.

One visual language: blue is the image side, orange the text side, green what joins them, red a
mistake, grey the rest.
"""

from collections.abc import Callable
from functools import wraps
from textwrap import fill
from typing import ParamSpec

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from siglip_lab.figures.svg import (
    FRAME,
    IMAGE,
    INK,
    JOINT,
    MISTAKE,
    NEUTRAL,
    SIZE,
    TEXT,
    Drawing,
)

__all__ = [
    "IMAGE", "TEXT", "JOINT", "MISTAKE", "NEUTRAL", "INK", "FRAME", "WIDTH", "PERCENT", "LINES",
    "CENTRED", "ABOVE", "styled", "blank", "box", "arrow", "tints", "key", "minus", "sigmoid",
    "minimap", "image_grid", "probability_bars", "share_bars", "line_chart", "probability_curves",
]  # fmt: skip

WIDTH = 5.6  # inches; the site shows 600 pixels
PERCENT = [0, 0.5, 1], ["0 %", "50 %", "100 %"]  # ticks and their labels
CENTRED = {"ha": "center", "va": "center"}  # a text around its point
LINES = "-", "--", ":", "-."
ABOVE = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}  # a legend on top of its axes

_STYLE = {
    "figure.dpi": 72, "figure.facecolor": "none", "axes.facecolor": "none", "font.size": SIZE,
    "axes.titlesize": SIZE, "axes.labelsize": SIZE, "axes.labelpad": 7, "xtick.labelsize": SIZE,
    "ytick.labelsize": SIZE, "legend.fontsize": SIZE, "figure.labelsize": SIZE,
    "legend.handlelength": 1.6, "legend.handletextpad": 0.5, "legend.columnspacing": 1.3,
    "text.hinting": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": NEUTRAL,
    "xtick.color": NEUTRAL, "ytick.color": NEUTRAL, "legend.frameon": False,
    "figure.autolayout": True, "image.interpolation": "none",
}  # fmt: skip

P = ParamSpec("P")


def styled(draw: Callable[P, plt.Figure]) -> Callable[P, Drawing]:
    """Give what a function draws the book's look, lay it out, and turn it into SVG."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        with plt.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            if isinstance(figure.get_layout_engine(), TightLayoutEngine):
                figure.tight_layout()
            plt.close(figure)  # before anything can go wrong, or a notebook shows it as it was
            return Drawing(figure)

    wrapper.__annotations__ = draw.__annotations__ | {"return": Drawing}
    return wrapper


def blank(width: float, height: float, xlim: tuple, ylim: tuple):
    """Begin a figure of one drawing area without axes, from edge to edge; sizes in inches."""
    figure, axes = plt.subplots(figsize=(width, height), layout="none")
    axes.set(xlim=xlim, ylim=ylim)
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return figure, axes


def box(axes, centre, width, height, colour, bright, url=None) -> None:
    """Draw a box with round corners, filled with its colour or with a pale one."""
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    look = {"facecolor": colour if bright else colour + "22", "edgecolor": colour, "linewidth": 1.2}
    rounded = "round,pad=0,rounding_size=1.5"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=rounded, url=url, **look))


def arrow(axes, start, end) -> None:
    """Draw an arrow in grey."""
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=NEUTRAL))


def minus(words: str) -> str:
    """Print numbers with the minus sign of the axes."""
    return words.replace("-", "−")


def sigmoid(logit):
    """Turn logits, a number or an array, into probabilities."""
    return 1 / (1 + np.exp(-logit))


_STEPS = {  # name -> left edge, width, height of the middle, colour, words, chapter
    "preprocess": (0, 27, 75, IMAGE, "preprocess", "02_preprocessing"),
    "patchify": (29, 22, 75, IMAGE, "patchify", "04_patchify"),
    "text": (0, 51, 25, TEXT, "text", "03_text"),
    "encoder": (53, 21, 50, NEUTRAL, "encoder", "05_encoder_layers"),
    "pooling": (76, 20, 50, NEUTRAL, "pooling", "06_pooling_heads"),
    "towers": (98, 18, 50, JOINT, "two\ntowers", "07_two_towers"),
    "loss": (118, 13, 50, JOINT, "loss", "08_losses"),  # what comes after the walk
}


@styled
def minimap(lit: str) -> plt.Figure:
    """Draw the steps of the walk in one row, each a link to its chapter, with one of them lit.

    Args:
        lit: preprocess, patchify, text, encoder, pooling, towers, or loss, which is no step of
            the walk and is drawn only when it is lit.

    Raises:
        ValueError: If there is no such step.
    """
    if lit not in _STEPS:
        raise ValueError(f"no step {lit!r}; the steps are {', '.join(_STEPS)}")
    steps = {step: look for step, look in _STEPS.items() if step != "loss" or lit == step}
    end = max(left + width for left, width, *_ in steps.values())
    figure, axes = blank(WIDTH * (end + 1) / 132, 1.05, (-0.5, end + 0.5), (0, 100))
    for step, (left, width, y, colour, words, chapter) in steps.items():
        link, centre = f"{chapter}.ipynb", (left + width / 2, y)
        box(axes, centre, width, 44, colour, bright=step == lit, url=link)
        axes.text(*centre, words, color="white" if step == lit else INK, url=link, **CENTRED)
    return figure


@styled
def image_grid(pictures, titles: list[str], columns: int | None = None) -> plt.Figure:
    """Draw pictures side by side, each under its title, all of a row to the same scale.

    Args:
        pictures: PIL images or arrays `[H, W]` or `[H, W, 3]`; grey arrays are shown in greys.
        titles: One for each picture.
        columns: Pictures in a row; default: all.
    """
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    sizes = [np.asarray(picture).shape[:2] for picture in pictures]  # height, width
    widths = [max(width for _, width in sizes[i::columns]) for i in range(columns)]
    room = 12 if columns > 3 else 0  # letters in a line of a title
    height = (WIDTH - 0.4) / sum(widths) * max(height for height, _ in sizes) + 0.4  # inches
    titles = [fill(title, room) if room else title for title in titles]
    more = max(title.count("\n") for title in titles)  # lines of a title, after its first
    height += 0.18 * more
    look = {"figsize": (WIDTH, height * rows), "width_ratios": widths}
    figure, grid = plt.subplots(rows, columns, squeeze=False, **look)
    for axes in grid.flat[len(pictures) :]:
        axes.axis("off")
    pairs = zip(pictures, titles, strict=True)
    for axes, (picture, title) in zip(grid.flat, pairs, strict=False):
        axes.imshow(picture, cmap="gray")
        axes.set(title=title, xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=FRAME)
    lines = 0.18 * max(more - 1, 0) / (height * rows)  # the first two are in the padding
    figure.tight_layout(pad=1.4, rect=(0, 0, 1, 1 - lines))
    return figure


@styled
def probability_bars(
    pictures,
    labels: list[str],
    values: Tensor,
    good: str | None = None,
    true: list[list[str]] | None = None,
) -> plt.Figure:
    """Draw each PIL image beside a bar for each label's probability.

    Args:
        pictures: PIL images.
        labels: Words beside the bars.
        values: Probabilities `[n_img, n_labels]`.
        good: The label whose bar is grey while all others are red; default: all are green.
        true: The labels that are true of each picture: their bars are green, those of the others
            grey; on the wrong side of one half, a bar is red and says so.
    """
    height = (0.27 * len(labels) + 0.4) * len(pictures) + 0.2
    look = {"figsize": (WIDTH, height), "width_ratios": [1, 1.6]}
    colours = [JOINT if good is None else _verdict(label == good) for label in labels]
    figure, grid = plt.subplots(len(pictures), 2, squeeze=False, **look)
    for i, ((left, right), picture) in enumerate(zip(grid, pictures, strict=True)):
        row = values[i].tolist()
        left.imshow(picture)
        left.axis("off")
        if true is not None:
            colours = _right_or_wrong(right, labels, row, true[i])
        _bars(right, labels, row, colours, gap=0.015)
        right.set_xlim(0, 1.18)
    grid[-1, 1].set_xlabel("probability")
    return figure


@styled
def share_bars(shares: dict[str, float], good: str | tuple[str, ...]) -> plt.Figure:
    """Draw the shares of drawings whose label is found, 0 to 1; all but the good ones are red."""
    good = (good,) if isinstance(good, str) else good
    figure, axes = plt.subplots(figsize=(WIDTH, 0.36 * len(shares) + 0.7))
    colours = [_verdict(name in good) for name in shares]
    _bars(axes, list(shares), list(shares.values()), colours, gap=0.01)
    axes.set(xlabel="share with the right label", xlim=(0, 1.12))
    return figure


def tints(negative: str, positive: str) -> LinearSegmentedColormap:
    """Colours for -1 to 1: nothing in the middle, so that the page shows through."""
    red, green, blue = zip(to_rgb(negative), to_rgb(positive), strict=True)
    sides = {
        name: [(0, pair[0], pair[0]), (0.5, *pair), (1, pair[1], pair[1])]
        for name, pair in {"red": red, "green": green, "blue": blue}.items()
    }
    return LinearSegmentedColormap("", sides | {"alpha": [(0, 1, 1), (0.5, 0, 0), (1, 1, 1)]})


def key(figure, shown, axes, ticks, **look) -> None:
    """Draw what the colours of an image mean: a bar that is a picture, too."""
    bar = figure.colorbar(shown, ax=axes, ticks=ticks, **look)
    bar.solids.remove()
    low, high = shown.get_clim()
    shades = np.linspace(low, high, 101)[None]
    upright = bar.orientation == "vertical"
    extent = (0, 1, low, high) if upright else (low, high, 0, 1)
    picture = {"cmap": shown.get_cmap(), "aspect": "auto", "vmin": low, "vmax": high}
    bar.ax.imshow(shades.T[::-1] if upright else shades, extent=extent, **picture)
    bar.outline.set(edgecolor=FRAME, linewidth=0.6)


def _right_or_wrong(axes, labels, row, true) -> list[str]:
    """The colours of bars whose truth is known; beside one half, a line, and words in what errs."""
    colours = []
    axes.axvline(0.5, color=NEUTRAL, linewidth=0.6, linestyle="--", zorder=0)
    for y, (label, share) in enumerate(zip(labels, row, strict=True)):
        wrong = (share > 0.5) != (label in true)
        colours.append(MISTAKE if wrong else JOINT if label in true else NEUTRAL)
        if wrong and share > 0.5:
            axes.text(share / 2, y, "wrong", color="white", **CENTRED)
    return colours


def _verdict(good: bool) -> str:
    return NEUTRAL if good else MISTAKE


def _bars(axes, labels, shares, colours, gap) -> None:
    """Horizontal bars from the top down, each with its share in per cent."""
    axes.barh(labels, shares, color=colours)
    axes.invert_yaxis()
    axes.set_xticks(*PERCENT)
    axes.tick_params(axis="y", length=0, colors=INK)
    for i, share in enumerate(shares):
        axes.text(share + gap, i, f"{share:.1%}", va="center")


@styled
def line_chart(x, ys: dict, xlabel: str, ylabel: str, colour: str = IMAGE) -> plt.Figure:
    """Draw curves, name to values `[n]`, against a common axis `x [n]`, all in one colour."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
    for i, (name, y) in enumerate(ys.items()):
        axes.plot(x, y, LINES[i % len(LINES)], color=colour, label=name)
    axes.axhline(0, color=NEUTRAL, linewidth=0.6)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    axes.legend(**ABOVE, ncols=len(ys))
    return figure


@styled
def probability_curves(scalars: dict, limits: tuple[float, float], marks=None) -> plt.Figure:
    """Draw the probability against the cosine for several models; a dot where it is one half.

    Args:
        scalars: Name to logit scale t (not its log) and logit bias.
        limits: The smallest and the largest cosine shown.
        marks: Caption to its cosine, shown on the first model's curve; default: none.
    """
    x = np.linspace(*limits, 400)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    axes.axhline(0.5, color=NEUTRAL, linewidth=0.8)
    for i, (name, (t, b)) in enumerate(scalars.items()):
        axes.plot(x, sigmoid(t * x + b), LINES[i % len(LINES)], color=JOINT, label=name)
        if limits[0] <= -b / t <= limits[1]:
            axes.plot(-b / t, 0.5, "o", color=JOINT, markersize=5)
    t, b = next(iter(scalars.values()))
    for name, cosine in (marks or {}).items():
        p = sigmoid(t * cosine + b)
        axes.plot(cosine, p, "o", color=TEXT, markersize=8)
        words, place = f"{name}  {p:.1%}", {"xytext": (-10, 4), "textcoords": "offset points"}
        axes.annotate(words, (cosine, p), ha="right", **place)
    axes.set(xlabel="cosine", ylabel="probability", xlim=limits, ylim=(0, 1.02))
    axes.set_yticks(*PERCENT)
    axes.legend(**ABOVE | {"bbox_to_anchor": (0.45, 1)}, ncols=2)
    return figure
