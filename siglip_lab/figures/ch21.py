"""The figures of the chapter "Many devices, much data"."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, IMAGE, INK, JOINT, MISTAKE, NEUTRAL, WIDTH, styled

__all__ = ["lanes", "orders", "holdings"]

Batch = tuple[int, float, float, float, float]


@styled
def lanes(panels: dict[str, tuple[int, list[Batch]]]) -> plt.Figure:
    """Draw who does what when: workers that read batches, and a model that takes steps.

    Args:
        panels: Title -> number of workers, and for each batch its worker, when reading it begins
            and ends, and when its step begins and ends.
    """
    rows = [workers + 1 for workers, _ in panels.values()]
    look = {"figsize": (WIDTH, 0.27 * sum(rows) + 0.55 * len(rows) + 0.3), "height_ratios": rows}
    figure, grid = plt.subplots(len(panels), 1, sharex=True, squeeze=False, **look)
    for axes, (title, (workers, batches)) in zip(grid[:, 0], panels.items(), strict=True):
        free = 0.0
        for number, (worker, begin, end, start, stop) in enumerate(batches):
            for row, left, right, colour in (
                (worker, begin, end, IMAGE), (workers, start, stop, JOINT)
            ):  # fmt: skip
                axes.barh(row, right - left, 0.82, left=left, color=colour, edgecolor="white")
                axes.text((left + right) / 2, row, f"{number}", color="white", **CENTRED)
            if start > free:
                axes.barh(workers, start - free, 0.82, left=free, color=MISTAKE + "55")
            free = stop
        names = [f"worker {worker}" for worker in range(workers)]
        axes.set_yticks(range(workers + 1), [*names, "model"], color=INK)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        axes.set_title(title, color=INK)
        axes.set_xticks([])
    return figure


@styled
def orders(panels: dict[str, Sequence[int]], cells: int = 32) -> plt.Figure:
    """Draw for each place of a shuffled stream where that picture was before, as a density.

    Args:
        panels: Title -> the old places in their new order.
        cells: Of the density, along each side.
    """
    rows = -(-len(panels) // 2)
    look = {"figsize": (WIDTH, 2.2 * rows + 0.4), "sharex": True, "sharey": True}
    figure, grid = plt.subplots(rows, 2, squeeze=False, **look)
    for axes, (title, order) in zip(grid.flat, panels.items(), strict=True):
        n = len(order)
        counts, _, _ = np.histogram2d(order, range(n), cells, [(0, n), (0, n)])
        colours = {"cmap": style.tints(NEUTRAL, IMAGE), "vmin": -n / cells / 3}
        axes.imshow(counts, origin="lower", extent=(0, n, 0, n), vmax=n / cells / 3, **colours)
        axes.set(title=title, xticks=[0, n], yticks=[0, n])
    figure.supylabel("place in the shards", color=INK)
    figure.supxlabel("place in the epoch", color=INK)
    return figure


@styled
def holdings(ranks: int = 4) -> plt.Figure:
    """Draw which part of weights, gradients and moments each rank holds, under DDP and FSDP."""
    parts = ("weights", "gradients", "AdamW", "AdamW")
    figure, axes = style.blank(WIDTH, 2.6, (-27, 103), (-3, 53))
    for top, name, whole in ((50, "DDP", True), (22, "FSDP", False)):
        axes.text(-1.2, top, name, color=JOINT, ha="right", va="center")
        for rank in range(ranks):
            left = 26 * rank
            axes.text(left + 11.5, top, f"rank {rank}", color=INK, **CENTRED)
            for row, part in enumerate(parts):
                bottom, width = top - 7 - 4.6 * row, 23 / ranks
                for piece in range(ranks):
                    mine = whole or piece == rank
                    look = {"facecolor": JOINT if mine else JOINT + "22", "edgecolor": "none"}
                    corner = (left + piece * width, bottom)
                    axes.add_patch(plt.Rectangle(corner, width - 0.5, 3.8, **look))
                if rank == 0:
                    axes.text(-1.2, bottom + 1.9, part, color=INK, ha="right", va="center")
    return figure
