"""The figures of the chapter "Train a SigLIP from nothing"."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures import style
from siglip_lab.figures.style import (
    CENTRED,
    FRAME,
    IMAGE,
    INK,
    JOINT,
    LINES,
    MISTAKE,
    NEUTRAL,
    TEXT,
    WIDTH,
    styled,
)

__all__ = ["drawn_by", "true_pairs", "three_splits", "asked_along_the_way"]


@styled
def drawn_by(
    rows: Mapping[str, Sequence], titles: Sequence[str], bad: Sequence[bool] = ()
) -> plt.Figure:
    """Draw pictures in a table: a row for each artist, a column for each thing.

    Args:
        rows: Name of a row to its PIL images.
        titles: Words above the columns.
        bad: Which titles are mistakes: red, and a cross in the picture; default: none.
    """
    n = len(titles)
    titles = [fill(title, 8) for title in titles]
    above = 0.38 + 0.3 * any("\n" in title for title in titles)
    height = 0.77 * (len(rows) + above)
    figure, axes = style.blank(WIDTH, height, (-1.42, n + 0.05), (len(rows) + 0.02, -above))
    bad = bad or [False] * n
    for column, (title, wrong) in enumerate(zip(titles, bad, strict=True)):
        colour = MISTAKE if wrong else TEXT
        axes.text(column + 0.5, -0.05, title, color=colour, ha="center", va="bottom")
        if wrong:
            axes.text(column + 0.8, 0.2, "×", color=MISTAKE, weight="bold", zorder=3, **CENTRED)
    for row, (name, pictures) in enumerate(rows.items()):
        axes.text(-0.1, row + 0.5, name, color=IMAGE, ha="right", va="center")
        for column, picture in enumerate(pictures):
            place = (column + 0.06, column + 0.94, row + 0.94, row + 0.06)
            axes.imshow(np.asarray(picture), extent=place, aspect="auto")
    return figure


@styled
def true_pairs(pictures: Sequence, captions: Sequence[str], true: Tensor) -> plt.Figure:
    """Draw a batch: a drawing and its caption beside each row, each true pair filled.

    Args:
        pictures: n PIL images.
        captions: n of them; the i-th came with the i-th drawing, and is column i.
        true: bool `[n, n]`; on the diagonal a pair is green, beside it red.
    """
    n = len(pictures)
    figure, axes = style.blank(WIDTH, 3.6, (-1.1, n + 5.2), (n + 0.05, -0.05))
    axes.set_aspect("equal")
    for row, picture in enumerate(pictures):
        extent = (-0.98, -0.06, row + 0.96, row + 0.04)
        axes.imshow(np.asarray(picture), extent=extent, aspect="auto")
        for column in range(n):
            held = bool(true[row, column])
            colour = (JOINT if row == column else MISTAKE) if held else NEUTRAL + "22"
            corner = (column + 0.05, row + 0.05)
            axes.add_patch(plt.Rectangle(corner, 0.9, 0.9, facecolor=colour, edgecolor="none"))
    for row, caption in enumerate(captions):
        axes.text(n + 0.2, row + 0.5, caption, color=TEXT, ha="left", va="center")
    axes.set(xlim=(-1.1, n + 5.2), ylim=(n + 0.05, -0.05))
    return figure


@styled
def three_splits() -> plt.Figure:
    """Draw what each split keeps back: an artist, things, or pairs of a thing and a word."""
    panels = {
        "new artist": ("artists", "things", lambda row, column: row == 3),
        "new concepts": ("artists", "things", lambda row, column: column in (2, 5)),
        "new pairs": (
            "keywords", "things",
            lambda row, column: (row, column) in {(0, 1), (1, 4), (2, 2), (3, 5), (1, 0)},
        ),
    }  # fmt: skip
    figure, axes = style.blank(WIDTH, 2.05, (-0.9, 22.4), (5.4, -1.6))
    for number, (title, (side, below, kept)) in enumerate(panels.items()):
        left = 7.7 * number
        for row in range(4):
            for column in range(6):
                colour = NEUTRAL if kept(row, column) else IMAGE + "44"
                corner = (left + column + 0.06, row + 0.06)
                look = {"facecolor": colour, "edgecolor": "none"}
                axes.add_patch(plt.Rectangle(corner, 0.88, 0.88, **look))
        axes.text(left + 3, -0.75, title, color=INK, **CENTRED)
        axes.text(left + 3, 4.75, below, color=NEUTRAL, **CENTRED)
        axes.text(left - 0.45, 2, side, color=NEUTRAL, rotation=90, **CENTRED)
    return figure


@styled
def asked_along_the_way(
    steps: Sequence[int],
    shares: Mapping[str, Sequence[float]],
    levels: Mapping[str, float],
    log: bool = True,
) -> plt.Figure:
    """Draw shares of right answers against the step, and what one has without learning.

    Args:
        steps: After which the model was asked.
        shares: Name of a question to its shares.
        levels: Name to a share that is drawn as a thin line, its name above, or below the lowest.
        log: Whether steps double from tick to tick.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    for i, (name, values) in enumerate(shares.items()):
        axes.plot(steps, values, LINES[i], color=JOINT, marker="o", markersize=4)
        place = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(name, (steps[-1], values[-1]), color=JOINT, annotation_clip=False, **place)
    for name, level in levels.items():
        side = "top" if len(levels) > 1 and level == min(levels.values()) else "bottom"
        axes.axhline(level, color=FRAME, linewidth=1)
        axes.text(steps[-1], level, name, color=NEUTRAL, ha="right", va=side)
    if log:
        axes.set_xscale("log", base=2)
        axes.set_xticks(steps, [f"{step:,}" for step in steps])
        axes.xaxis.set_minor_locator(plt.NullLocator())
    top = max([*levels.values(), *(max(values) for values in shares.values())])
    axes.set(xlabel="step", ylim=(0, 1.12 * top))
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
    return figure
