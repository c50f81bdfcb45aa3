"""The look of the book's figures, and the figures that several chapters use.

One visual language: blue is the image side, orange the text side, green what joins them, red a
mistake, grey the rest.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from torch import Tensor

try:
    from matplotlib import pyplot as plt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'siglip_lab.figures draws with matplotlib, which the extra "notebooks" brings: '
        f"pip install 'siglip-lab[notebooks]' ({error})",
        name=error.name,
    ) from error
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator

__all__ = [
    "IMAGE", "TEXT", "JOINT", "MISTAKE", "NEUTRAL", "WIDTH", "arrow", "box", "curves", "drawing",
    "images", "minimap", "plt", "probabilities", "probability_curves", "shares", "sigmoid",
    "two_sides",
]  # fmt: skip

IMAGE, TEXT, JOINT, MISTAKE, NEUTRAL = "#2F6DB5", "#D9822B", "#2E8B57", "#C0392B", "#6B7280"

_STYLE = {
    "figure.dpi": 150, "savefig.dpi": 150, "figure.facecolor": "white", "font.size": 11,
    "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": NEUTRAL, "xtick.color": NEUTRAL, "ytick.color": NEUTRAL,
    "legend.frameon": False,
}  # fmt: skip


WIDTH = 5.6  # inches; the site shows 600 pixels


@contextmanager
def drawing():
    """The book's look; the figure is handed over closed, so that a notebook shows it once."""
    with plt.rc_context(_STYLE):
        yield
    plt.close("all")


def two_sides(photo, captions, left, right, meeting: str, ending: str) -> Figure:
    """Stations of the image side and of the text side, and where they meet."""
    with drawing():
        figure, axes = plt.subplots(figsize=(5.0, 4.9))
        axes.set(xlim=(0, 100), ylim=(-5, 100))
        axes.axis("off")
        for x, colour, stations in ((25, IMAGE, left), (75, TEXT, right)):
            for i, (label, shape) in enumerate(stations):
                y = 72 - 16 * i
                arrow(axes, (x, y + 10.5), (x, y + 5.5))
                _station(axes, (x, y), 48, label, shape, colour)
            arrow(axes, (x, 18.5), (50 + (x - 50) * 0.5, 11.5))
        _station(axes, (50, 6), 62, meeting, [1, len(captions)], JOINT)
        axes.text(50, -2.6, ending, ha="center", va="center", color=JOINT)
        inset = axes.inset_axes([0.12, 0.83, 0.26, 0.17])
        inset.imshow(photo)
        inset.axis("off")
        middle = (len(captions) - 1) / 2
        gap = min(7, 5.8 / max(middle, 0.5))
        for i, caption in enumerate(captions):
            y = 91.5 + gap * (middle - i)
            axes.text(75, y, f"“{caption}”", ha="center", va="center", color=TEXT)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


_STEPS = {  # name -> centre, width, colour, label on the small map
    "preprocess": ((12, 75), 22, IMAGE, "preprocess"),
    "patchify": ((36, 75), 22, IMAGE, "patchify"),
    "text": ((24, 25), 46, TEXT, "text"),
    "encoder": ((60, 50), 22, NEUTRAL, "encoder"),
    "pooling": ((84, 50), 22, NEUTRAL, "pooling"),
    "towers": ((108, 50), 22, JOINT, "two towers"),
}
_AFTER = {"loss": ((130, 50), 18, JOINT, "loss")}  # what comes after the walk


def minimap(lit: str) -> Figure:
    """The chapters of the walk in one row, with one of them lit.

    Args:
        lit: One of preprocess, patchify, text, encoder, pooling, towers, loss. The last is no
            step of the walk, and is drawn only when it is lit.

    Raises:
        ValueError: If there is no such step.
    """
    steps = _STEPS | (_AFTER if lit in _AFTER else {})
    if lit not in steps:
        raise ValueError(f"no step {lit!r}; the steps are {', '.join(_STEPS | _AFTER)}")
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 1.0))
        axes.set(xlim=(0, 20 * len(steps)), ylim=(0, 100))
        axes.axis("off")
        for step, (centre, width, colour, label) in steps.items():
            box(axes, centre, width, 36, colour, bright=step == lit)
            ink = "white" if step == lit else "#374151"
            axes.text(*centre, label, ha="center", va="center", color=ink, fontsize=10.5)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def _station(axes, centre, width, label, shape, colour) -> None:
    x, y = centre
    box(axes, centre, width, 10, colour, bright=True)
    axes.text(x, y + 2.1, label, ha="center", va="center", color="white")
    axes.text(
        x, y - 2.5, "[" + ", ".join(map(str, shape)) + "]", ha="center", va="center",
        color="white", family="monospace", fontsize=9.5,
    )  # fmt: skip


def box(axes, centre, width, height, colour, bright) -> None:
    (x, y), face = centre, colour if bright else colour + "22"
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, facecolor=face, edgecolor=colour,
            boxstyle="round,pad=0,rounding_size=1.5", mutation_aspect=1, linewidth=1.2,
        )
    )  # fmt: skip


def arrow(axes, start, end) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=NEUTRAL, linewidth=1)
    )


def images(pictures, titles, columns: int | None = None) -> Figure:
    """Pictures side by side, each under its title, all of a row to the same scale.

    Args:
        pictures: PIL images or arrays `[H, W]` or `[H, W, 3]`; grey arrays are shown in greys.
        titles: One for each picture.
        columns: Pictures in a row; default: all.
    """
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    sizes = [np.asarray(picture).shape[:2] for picture in pictures]  # height, width
    widths = [max(width for _, width in sizes[i::columns]) for i in range(columns)]
    height = (WIDTH - 0.4) / sum(widths) * max(height for height, _ in sizes) + 0.4  # inches
    with drawing():
        figure, grid = plt.subplots(
            rows, columns, figsize=(WIDTH, height * rows), width_ratios=widths, squeeze=False
        )
        for axes in grid.flat[len(pictures) :]:
            axes.axis("off")
        for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
            axes.imshow(picture, cmap="gray", interpolation="auto")
            axes.set(title=title, xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#D1D5DB")
        figure.tight_layout()
    return figure


def probabilities(pictures, labels: list[str], values: Tensor) -> Figure:
    """Each picture beside the probability of each label.

    Args:
        pictures: PIL images.
        labels: The labels, the same for all pictures.
        values: Probabilities `[n_img, n_labels]`.
    """
    with drawing():
        figure, grid = plt.subplots(
                len(pictures), 2,
            figsize=(WIDTH, 2.1 * len(pictures)), width_ratios=[1, 3], squeeze=False,
        )  # fmt: skip
        for (left, right), picture, row in zip(grid, pictures, values.tolist(), strict=True):
            left.imshow(picture)
            left.axis("off")
            right.barh(labels, row, color=JOINT)
            right.invert_yaxis()
            right.set(xlim=(0, 1.18))
            right.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
            right.tick_params(axis="y", length=0, colors="black")
            for i, value in enumerate(row):
                right.text(value + 0.015, i, f"{value:.1%}", va="center")
        grid[-1, 1].set_xlabel("probability")
        figure.tight_layout()
    return figure


def shares(values: dict[str, float], good: str | tuple[str, ...]) -> Figure:
    """Horizontal bars of shares from 0 to 1, from top to bottom.

    Args:
        values: Name to share.
        good: The name, or names, whose bar is no mistake.
    """
    good = (good,) if isinstance(good, str) else good
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 0.36 * len(values) + 0.7))
        colours = [NEUTRAL if name in good else MISTAKE for name in values]
        axes.barh(list(values), list(values.values()), color=colours)
        axes.invert_yaxis()
        axes.set(xlabel="share of drawings whose label is found", xlim=(0, 1.12))
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.tick_params(axis="y", length=0, colors="black")
        for i, value in enumerate(values.values()):
            axes.text(value + 0.01, i, f"{value:.1%}", va="center")
        figure.tight_layout()
    return figure


def curves(x, ys: dict[str, np.ndarray], xlabel: str, ylabel: str, colour: str = IMAGE) -> Figure:
    """Curves over a common axis.

    Args:
        x: Values `[n]`.
        ys: Name to values `[n]`.
        xlabel: What x is, with its unit.
        ylabel: What the curves are, with their unit.
        colour: Of all of them.
    """
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
        for (name, y), line in zip(ys.items(), ("-", "--", ":"), strict=False):
            axes.plot(x, y, line, color=colour, label=name)
        axes.axhline(0, color=NEUTRAL, linewidth=0.6)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(ys))
        figure.tight_layout()
    return figure


def probability_curves(
    scalars: dict[str, tuple[float, float]], limits: tuple, marks: dict[str, float] | None = None
) -> Figure:
    """The probability over the cosine for several models; a dot where it is one half.

    Args:
        scalars: Name to logit scale t (not its log) and logit bias.
        limits: The smallest and the largest cosine shown.
        marks: Caption to its cosine, shown on the first model's curve.
    """
    cosines = np.linspace(*limits, 400)
    lines = ("-", "--", ":", "-.")
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
        axes.axhline(0.5, color=NEUTRAL, linewidth=0.8)
        for i, (name, (t, b)) in enumerate(scalars.items()):
            line = lines[i % len(lines)]
            axes.plot(cosines, sigmoid(t * cosines + b), line, color=JOINT, label=name)
            if limits[0] <= -b / t <= limits[1]:
                axes.plot(-b / t, 0.5, "o", color=JOINT, markersize=5)
        t, b = next(iter(scalars.values()))
        for name, cosine in (marks or {}).items():
            p = sigmoid(t * cosine + b)
            axes.plot(cosine, p, "o", color=TEXT, markersize=8)
            axes.annotate(
                f"{name}  {p:.1%}", (cosine, p), (-10, 4), textcoords="offset points", ha="right"
            )
        axes.set(xlabel="cosine", ylabel="probability", xlim=limits, ylim=(0, 1.02))
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=2)
        figure.tight_layout()
    return figure


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))
