"""The figures of the chapter "Text"."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from siglip_lab.figures.style import JOINT, MISTAKE, NEUTRAL, TEXT, WIDTH, drawing, plt

__all__ = ["token_row", "cosine_map", "columns"]


def token_row(text: str, pieces: list[str], ids: list[int], length: int) -> Figure:
    """A text, its pieces with their ids, and the places of the row that they take.

    Args:
        text: The text.
        pieces: Its pieces, the end token among them.
        ids: Their ids.
        length: Places L in the row.
    """
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 2.3))
        axes.set(xlim=(-0.5, length + 0.5), ylim=(-13, 100))
        axes.axis("off")
        axes.text(length / 2, 92, f"“{text}”", ha="center", va="center", color=TEXT, fontsize=13)
        step = length / len(pieces)
        for i, (piece, number) in enumerate(zip(pieces, ids, strict=True)):
            x, face = (i + 0.5) * step, TEXT + ("22" if piece == "</s>" else "")
            ink = TEXT if piece == "</s>" else "white"
            box = plt.Rectangle((i * step + 0.02 * length / 2, 48), step - 0.02 * length, 26)
            box.set(facecolor=face, edgecolor=TEXT)
            axes.add_patch(box)
            axes.text(x, 61, piece, ha="center", va="center", color=ink)
            axes.text(x, 41, str(number), ha="center", va="center", color=TEXT)
            axes.plot([x, i + 0.5], [34, 21], color=TEXT, linewidth=0.6)
        for i in range(length):
            full = i < len(pieces) and pieces[i] != "</s>"
            square = plt.Rectangle((i + 0.08, 8), 0.84, 12, linewidth=0.6)
            square.set(facecolor=TEXT if full else TEXT + "22", edgecolor=TEXT)
            axes.add_patch(square)
        axes.text(0, -6, f"{length} places", ha="left", va="center", color=NEUTRAL)
        middle = (len(pieces) + length) / 2
        axes.text(middle, -6, "filled up with id 1", ha="center", va="center", color=NEUTRAL)
        axes.text(length, -6, "read here", ha="right", va="center", color=JOINT)
        last = plt.Rectangle((length - 1, 5.5), 1, 17, linewidth=2)
        last.set(facecolor="none", edgecolor=JOINT)
        axes.add_patch(last)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def cosine_map(vectors: Tensor, label: str) -> Figure:
    """The cosine of each vector with each, as a square of colours; and each vector's length.

    Args:
        vectors: `[n, D]`.
        label: What the vectors are counted by.
    """
    lengths = vectors.norm(dim=-1, keepdim=True)
    cosines = (vectors / lengths) @ (vectors / lengths).T
    with drawing():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9), width_ratios=[1.25, 1])
        greys_to_orange = LinearSegmentedColormap.from_list("", [NEUTRAL, "white", TEXT])
        shown = left.imshow(cosines.cpu().numpy(), cmap=greys_to_orange, vmin=-1, vmax=1)
        bar = figure.colorbar(shown, ax=left, shrink=0.85, ticks=[-1, 0, 1])
        bar.outline.set_visible(False)
        left.set(xlabel=label, ylabel=label, title="cosine")
        for axis in (left.xaxis, left.yaxis, right.xaxis):
            axis.set_major_locator(MaxNLocator(4, integer=True))
        right.bar(range(len(vectors)), lengths[:, 0].tolist(), color=TEXT)
        right.set(xlabel=label, title="length")
        figure.tight_layout()
    return figure


def columns(xs: list[int], values: list[float], good: int, xlabel: str) -> Figure:
    """A column of accuracy for each x; all but one are mistakes.

    Args:
        xs: Whole numbers, one for each column.
        values: Shares, 0 to 1.
        good: The x whose column is no mistake.
        xlabel: What x is.
    """
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
        colours = [NEUTRAL if x == good else MISTAKE for x in xs]
        axes.bar(xs, values, color=colours, width=0.7)
        for x, value in zip(xs, values, strict=True):
            axes.text(x, value + 0.02, f"{100 * value:.0f}", ha="center", fontsize=10)
        axes.set(xlabel=xlabel, ylabel="accuracy", ylim=(0, 1.12), xticks=xs)
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        figure.tight_layout()
    return figure
