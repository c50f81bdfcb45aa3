"""The figures of the chapter "The loss at scale"."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.ticker import MaxNLocator, NullLocator

from siglip_lab.figures.style import IMAGE, JOINT, NEUTRAL, TEXT, WIDTH, drawing, plt

__all__ = ["loss_to_scale", "ring", "memory_curves", "batch_sizes"]


def loss_to_scale(n: int, width: int, chunk: int) -> Figure:
    """The logits of a batch, the vectors that they are made of, and one block, all to one scale.

    Args:
        n: Images, and texts, of the batch.
        width: Numbers D in a vector.
        chunk: Side of a block.
    """

    def gigabytes(*sides):
        return f"{4 * np.prod(sides, dtype=float) / 1e9:.2g} GB"

    with drawing():
        figure, axes = plt.subplots(figsize=(4.4, 4.4))
        gap = 0.012 * n
        for corner, sides, colour in (
            ((0, 0), (n, n), JOINT + "30"),
            ((-width - gap, 0), (width, n), IMAGE),
            ((0, n + gap), (n, width), TEXT),
            ((0, n - chunk), (chunk, chunk), JOINT),
        ):
            axes.add_patch(plt.Rectangle(corner, *sides, facecolor=colour))
        centre = {"ha": "center", "va": "center"}
        words = f"all logits\n{n:,} × {n:,}\n{gigabytes(n, n)}"
        axes.text(n / 2, n / 2, words, color="#1F5F3F", fontsize=13, **centre)
        words = f"texts  {n:,} × {width:,}  {gigabytes(n, width)}"
        axes.text(n / 2, n + 2 * width, words, color=TEXT, **centre)
        words = f"images  {n:,} × {width:,}  {gigabytes(n, width)}"
        axes.text(-2.2 * width, n / 2, words, color=IMAGE, rotation=90, **centre)
        axes.annotate(
            f"one block, {chunk:,} × {chunk:,}, {4 * chunk**2 / 1e9:.3f} GB",
            (chunk, n - chunk), (0.09 * n, 0.86 * n), va="center", color="#1F5F3F",
            arrowprops={"arrowstyle": "-", "color": JOINT},
        )  # fmt: skip
        axes.set(xlim=(-3 * width, n), ylim=(0, n + 2.7 * width), aspect="equal")
        axes.axis("off")
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def ring(world: int) -> Figure:
    """Texts on their way around a ring of ranks: where they are in each step, which blocks of the
    batch's logits that makes, and which were made before.

    Args:
        world: Number of ranks.
    """
    with drawing():
        figure, grid = plt.subplots(2, world, figsize=(WIDTH, 3.4))
        for step, (top, bottom) in enumerate(grid.T):
            for rank in range(world):
                angle = np.pi / 4 - 2 * np.pi * rank / world
                x, y = -np.cos(angle), np.sin(angle)
                end = np.pi / 4 - 2 * np.pi * (rank + 1) / world
                curve = FancyArrowPatch(
                    (x, y), (-np.cos(end), np.sin(end)), arrowstyle="-|>", mutation_scale=8,
                    color="#D1D5DB", shrinkA=12, shrinkB=14, connectionstyle="arc3,rad=-0.25",
                )  # fmt: skip
                top.add_patch(curve)
                box = {"boxstyle": "square,pad=0.35", "facecolor": IMAGE, "edgecolor": "none"}
                centre = {"ha": "center", "va": "center", "color": "white", "fontsize": 10}
                top.text(x, y, str(rank), bbox=box, **centre)
                texts = {"boxstyle": "circle,pad=0.22", "facecolor": TEXT, "edgecolor": "white"}
                owner = (rank - step) % world
                top.text(x * 0.9 + 0.42, y - 0.42, str(owner), bbox=texts, **centre)
                for before in range(step + 1):
                    colour = JOINT if before == step else JOINT + "40"
                    corner = ((rank - before) % world - 0.45, rank - 0.45)
                    bottom.add_patch(plt.Rectangle(corner, 0.9, 0.9, facecolor=colour))
            top.set(xlim=(-1.3, 1.5), ylim=(-1.5, 1.3), aspect="equal", title=f"step {step}")
            top.axis("off")
            limits = (-0.5, world - 0.5)
            bottom.set(xlim=limits, ylim=limits[::-1], aspect="equal", xlabel="texts")
            bottom.set(xticks=range(world), yticks=range(world))
            bottom.tick_params(length=0, labelsize=10)
            bottom.tick_params(axis="x", colors=TEXT)
            bottom.tick_params(axis="y", colors=IMAGE)
            bottom.xaxis.label.set_color(TEXT)
            bottom.spines[:].set(visible=True, color="#D1D5DB")
        grid[1, 0].set_ylabel("images of rank", color=IMAGE)
        figure.tight_layout(w_pad=0.6, h_pad=0.4)
    return figure


def memory_curves(rows: list[dict]) -> Figure:
    """Measured memory of the losses over the batch size, on two logarithmic axes.

    Args:
        rows: Dictionaries with ``n`` and ``extra_gb``: name to a number or None. The one named
            siglip_lab is drawn in green.
    """
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.3))
        styles = iter((("--", "s"), (":", "^"), ("-.", "D")))
        for name in rows[0]["extra_gb"]:
            found = [(row["n"], row["extra_gb"].get(name)) for row in rows]
            found = [(n, gb) for n, gb in found if gb is not None]
            ours = name == "siglip_lab"
            line, marker = ("-", "o") if ours else next(styles)
            axes.plot(
                *zip(*found, strict=True), line, marker=marker, color=JOINT if ours else NEUTRAL,
                label=name, markersize=5,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="pairs n in the batch")
        axes.set_ylabel("memory, GB")
        sizes = [row["n"] for row in rows]
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        figure.tight_layout()
    return figure


def batch_sizes(tables: dict[str, dict[int, tuple]]) -> Figure:
    """Accuracy over the batch size, of the sigmoid and of the softmax loss; a panel for each table.

    Args:
        tables: Title to batch size to the two accuracies in per cent; None where there is none.
    """
    ticks = {2**9: "512", 2**12: "4k", 2**15: "32k", 2**18: "256k"}
    with drawing():
        figure, panels = plt.subplots(1, len(tables), figsize=(WIDTH, 2.9))
        for axes, (title, table) in zip(panels, tables.items(), strict=True):
            axes.axvline(2**15, color="#D1D5DB", linewidth=1)
            for column, (name, line, colour) in enumerate(
                (("sigmoid", "o-", JOINT), ("softmax", "s--", NEUTRAL))
            ):
                found = [(n, pair[column]) for n, pair in table.items() if pair[column] is not None]
                axes.plot(*zip(*found, strict=True), line, color=colour, label=name, markersize=4)
            axes.set_xscale("log", base=2)
            shown = [n for n in ticks if min(table) <= n <= 1.2 * max(table)]
            axes.set_xticks(shown, [ticks[n] for n in shown])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
            axes.tick_params(labelsize=10)
            axes.set_title(title, fontsize=10.5)
        panels[0].set_ylabel("ImageNet accuracy, %")
        panels[len(tables) // 2].set_xlabel("pairs in the batch")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="upper center", ncols=2)
        figure.tight_layout(w_pad=0.6, rect=(0, 0, 1, 0.93))
    return figure
