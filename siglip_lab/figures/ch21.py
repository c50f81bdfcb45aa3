"""The figures of the chapter "Many devices, much data"."""

import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from matplotlib import pyplot as plt

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, IMAGE, INK, JOINT, MISTAKE, NEUTRAL, WIDTH, styled

__all__ = ["measured", "cores", "orders", "holdings", "restarts"]


def measured(batch: int = 32) -> dict[str, tuple[float, float]]:
    """Milliseconds to read a batch on one CPU thread, and of a training step on an H100.

    A step is estimated: three times the measured forward passes. Reading is that of one picture,
    times the batch.

    Returns:
        Model and photos -> the two times.
    """
    photos = _stored("reading")["photos"]
    found = {}
    for name, model in (
        ("base", "siglip-base-patch16-224"), ("so400m", "siglip-so400m-patch14-384")
    ):  # fmt: skip
        step = 3 * sum(
            row["median_ms"]["siglip_lab"]
            for row in _stored("forward_gpu")["rows"]
            if (row["model"], row["dtype"], row["batch"]) == (model, "bfloat16", batch)
        )
        for kind, photo in (("small photos", photos[1]), ("phone photos", photos[3])):
            read = batch * photo["ms"][f"to {model[-3:]}"]
            found[f"{name}, {kind}"] = round(read, 3), round(step, 3)
    return found


def _stored(name: str) -> dict:
    path = files("siglip_lab") / "data" / "results" / f"{name}.json"
    return json.loads(path.read_text("utf-8"))


@styled
def cores(needed: dict[str, dict[str, float]], given: int) -> plt.Figure:
    """Draw how many CPU cores keep one GPU busy, by the size of the photos, on a logarithmic axis.

    Args:
        needed: Model -> size of the photos -> cores.
        given: Cores that a machine has for each GPU, a line across.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    for (name, sizes), colour, up in zip(needed.items(), (IMAGE, NEUTRAL), (7, -16), strict=False):
        axes.plot(list(sizes), list(sizes.values()), "o-", color=colour, label=name)
        for size, y in sizes.items():
            place = {"xytext": (0, up), "textcoords": "offset points", "ha": "center"}
            axes.annotate(f"{y:.1f}", (size, y), color=colour, **place)
    axes.axhline(given, color=NEUTRAL, linestyle="--", linewidth=1)
    axes.text(-0.35, given * 1.15, f"{given} cores", color=INK)
    axes.set(ylabel="cores for one GPU", xlabel="size of the stored photo", yscale="log")
    axes.set(ylim=(0.1, 400), yticks=[0.1, 1, 10, 100], xlim=(-0.4, len(sizes) - 0.6))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(plt.NullLocator())
    axes.legend(**style.ABOVE, ncols=2)
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


@styled
def restarts(panels: dict[str, Sequence[Sequence[int]]], batches: int) -> plt.Figure:
    """Draw which batches of an epoch each start reads, and below them all that were ever read.

    Args:
        panels: Title -> the batches that each start reads.
        batches: Of the epoch.
    """
    rows = max(map(len, panels.values())) + 1
    look = {"figsize": (WIDTH, (0.3 * rows + 0.5) * len(panels) + 0.5), "sharex": True}
    figure, grid = plt.subplots(len(panels), 1, squeeze=False, **look)
    for axes, (title, starts) in zip(grid.flat, panels.items(), strict=True):
        seen = set().union(*starts)
        for row, read in enumerate([*starts, seen, set(range(batches)) - seen]):
            last = row >= len(starts)
            colour = (JOINT, MISTAKE)[row - len(starts)] if last else IMAGE
            bars = [(batch, 0.8) for batch in sorted(read)]
            axes.broken_barh(bars, (min(row, len(starts)) - 0.4, 0.8), color=colour, linewidth=0)
        names = [f"start {i + 1}" for i in range(len(starts))] + ["ever read"]
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0, colors=INK)
        axes.invert_yaxis()
        axes.set(title=title, xlim=(0, batches))
        axes.spines["left"].set_visible(False)
    grid[-1, 0].set_xlabel("batch of the epoch")
    return figure
