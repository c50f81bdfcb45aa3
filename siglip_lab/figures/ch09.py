"""The figures of the chapter "The loss at scale"."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, FRAME, IMAGE, INK, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["loss_to_scale", "ring_steps", "memory_curves", "batch_size_curves"]


@styled
def loss_to_scale(n: int, width: int, chunk: int) -> plt.Figure:
    """Draw to one scale: logits `[n, n]`, the vectors `[n, width]`, a block `[chunk, chunk]`."""
    figure, axes = style.blank(4.4, 4.4, (-3 * width, n), (0, n + 2.7 * width))
    axes.set_aspect("equal")
    gap = 0.012 * n
    logits, vectors = 4 * n**2 / 1e9, 4 * n * width / 1e9  # GB
    for corner, sides, colour in (
        ((0, 0), (n, n), JOINT + "30"),
        ((-width - gap, 0), (width, n), IMAGE),
        ((0, n + gap), (n, width), TEXT),
        ((0, n - chunk), (chunk, chunk), JOINT),
    ):
        axes.add_patch(plt.Rectangle(corner, *sides, facecolor=colour))
    words = f"all logits\n{n:,} × {n:,}\n{logits:.2g} GB"
    axes.text(n / 2, n / 2, words, color=INK, fontsize=13, **CENTRED)
    size = f"{n:,} × {width:,}  {vectors:.2g} GB"
    axes.text(n / 2, n + 2 * width, f"texts  {size}", color=TEXT, **CENTRED)
    axes.text(-2.2 * width, n / 2, f"images  {size}", color=IMAGE, rotation=90, **CENTRED)
    axes.annotate(
        f"one block, {chunk:,} × {chunk:,}, {4 * chunk**2 / 1e9:.3f} GB",
        (chunk, n - chunk), (0.09 * n, 0.86 * n), va="center", color=INK,
        arrowprops={"arrowstyle": "-", "color": JOINT},
    )  # fmt: skip
    return figure


@styled
def ring_steps(world: int) -> plt.Figure:
    """Draw texts on their way around a ring of `world` ranks, and each step's blocks of logits."""
    figure, grid = plt.subplots(2, world, figsize=(WIDTH, 3.4))
    for step, (top, bottom) in enumerate(grid.T):
        _ring(top, world, step)
        _blocks(bottom, world, step)
    grid[1, 0].set_ylabel("images of rank", color=IMAGE)
    figure.tight_layout(w_pad=0.6, h_pad=0.4)
    return figure


def _ring(axes, world, step) -> None:
    """The ranks in a circle, each with the texts that have reached it."""
    turns = np.pi / 4 - 2 * np.pi * np.arange(world + 1) / world
    places = np.stack([-np.cos(turns), np.sin(turns)], axis=1)
    way = {"arrowstyle": "-|>", "mutation_scale": 9, "color": TEXT, "linewidth": 1.4}
    way |= {"shrinkA": 11, "shrinkB": 11}
    for rank, (x, y) in enumerate(places[:-1]):
        axes.add_patch(FancyArrowPatch((x, y), places[rank + 1], **way))
        axes.add_patch(plt.Rectangle((x - 0.3, y - 0.3), 0.6, 0.6, facecolor=IMAGE))
        axes.text(x, y, str(rank), color="white", **CENTRED)
        outside = (1.62 * x, 1.62 * y)
        axes.add_patch(plt.Circle(outside, 0.31, facecolor=TEXT))
        axes.text(*outside, str((rank - step) % world), color="white", **CENTRED)
    limits = (-1.5, 1.5)
    axes.set(xlim=limits, ylim=limits, aspect="equal", title=f"step {step}")
    axes.axis("off")


def _blocks(axes, world, step) -> None:
    """The blocks of the batch's logits: those of this step, and pale those of the steps before."""
    for rank in range(world):
        for before in range(step + 1):
            corner = ((rank - before) % world - 0.45, rank - 0.45)
            face = JOINT if before == step else JOINT + "40"
            axes.add_patch(plt.Rectangle(corner, 0.9, 0.9, facecolor=face))
    limits = (-0.5, world - 0.5)
    axes.set(xlim=limits, ylim=limits[::-1], xticks=range(world), yticks=range(world))
    axes.set_aspect("equal")
    axes.set_xlabel("texts", color=TEXT)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", colors=TEXT)
    axes.tick_params(axis="y", colors=IMAGE)
    axes.spines[:].set(visible=True, color=FRAME)


@styled
def memory_curves(rows: list[dict]) -> plt.Figure:
    """Draw measured memory of the losses against the batch size, on two logarithmic axes.

    Args:
        rows: Dictionaries with ``n`` and ``extra_gb``: name to a number or None. The one named
            siglip_lab is drawn in green.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
    others = iter(("s--", "^:", "D-."))
    for name in rows[0]["extra_gb"]:
        found = [(row["n"], row["extra_gb"].get(name)) for row in rows]
        found = [(n, gb) for n, gb in found if gb is not None]
        ours = name == "siglip_lab"
        look = {"color": JOINT if ours else NEUTRAL, "label": name, "markersize": 5}
        axes.plot(*zip(*found, strict=True), "o-" if ours else next(others), **look)
    axes.set(xscale="log", yscale="log", xlabel="pairs n in the batch", ylabel="memory, GB")
    sizes = [row["n"] for row in rows]
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.xaxis.set_minor_locator(plt.NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(**style.ABOVE, ncols=2)
    return figure


@styled
def batch_size_curves(tables: dict[str, dict[int, tuple]]) -> plt.Figure:
    """Draw accuracy against the batch size for the sigmoid and the softmax loss; panel by panel.

    Args:
        tables: Title to batch size to the two accuracies in per cent; None where there is none.
    """
    ticks = {2**9: "512", 2**12: "4k", 2**15: "32k", 2**20: "1M"}
    looks = (("sigmoid", "o-", JOINT), ("softmax", "s--", NEUTRAL))
    figure, panels = plt.subplots(1, len(tables), figsize=(WIDTH, 2.9))
    for axes, (title, table) in zip(panels, tables.items(), strict=True):
        axes.axvline(2**15, color=FRAME, linewidth=1)
        for i, (name, line, colour) in enumerate(looks):
            found = [(n, pair[i]) for n, pair in table.items() if pair[i] is not None]
            axes.plot(*zip(*found, strict=True), line, color=colour, label=name, markersize=4)
        axes.set_xscale("log", base=2)
        shown = [n for n in ticks if min(table) <= n <= 1.2 * max(table)]
        axes.set_xticks(shown, [ticks[n] for n in shown])
        axes.xaxis.set_minor_locator(plt.NullLocator())
        axes.yaxis.set_major_locator(plt.MaxNLocator(integer=True, nbins=5))
        axes.set_title(title)
    panels[0].set_ylabel("ImageNet accuracy, %")
    panels[len(tables) // 2].set_xlabel("pairs in the batch")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper center", ncols=2)
    figure.tight_layout(w_pad=0.6, rect=(0, 0, 1, 0.93))
    return figure
