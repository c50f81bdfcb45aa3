"""The figures of the chapter "Text"."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, MISTAKE, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["token_row", "cuts", "cosine_map", "accuracy_columns"]


@styled
def token_row(text: str, pieces: list[str], ids: list[int], length: int) -> plt.Figure:
    """Draw a text, its pieces with their ids, and the positions of the row that they take.

    Args:
        text: The text.
        pieces: Its pieces, the end token among them.
        ids: Their ids.
        length: Positions L in the row.
    """
    figure, axes = style.blank(WIDTH, 2.3, (-0.5, length + 0.5), (-13, 100))
    axes.text(length / 2, 92, f"“{text}”", color=TEXT, fontsize=13, **CENTRED)
    longest = [max(len(piece), len(str(i))) for piece, i in zip(pieces, ids, strict=True)]
    letters = [number + 1.8 for number in longest]
    step, right = length / sum(letters), 0.0
    for i, (piece, number) in enumerate(zip(pieces, ids, strict=True)):
        left, right = right, right + letters[i] * step
        x, end = (left + right) / 2, piece == "</s>"
        left, width = left + 0.004 * length, right - left - 0.008 * length
        face = TEXT + "18" if end else TEXT
        axes.add_patch(plt.Rectangle((left, 48), width, 26, facecolor=face, edgecolor=TEXT))
        axes.text(x, 61, piece, color=TEXT if end else "white", **CENTRED)
        axes.text(x, 41, str(number), color=TEXT, **CENTRED)
        axes.plot([x, i + 0.5], [34, 21], color=TEXT, linewidth=0.6)
    for i in range(length):
        face = TEXT if i < len(pieces) and pieces[i] != "</s>" else TEXT + "18"
        place = plt.Rectangle((i + 0.08, 8), 0.84, 12, linewidth=0.6)
        axes.add_patch(place).set(facecolor=face, edgecolor=TEXT)
    axes.text(0, -6, f"{length} positions", va="center", color=NEUTRAL)
    if len(pieces) < length:
        axes.text((len(pieces) + length) / 2, -6, "padding, id 1", color=NEUTRAL, **CENTRED)
    axes.text(length, -6, "read here", ha="right", va="center", color=TEXT)
    last = plt.Rectangle((length - 1, 5.5), 1, 17, linewidth=2, facecolor="none", edgecolor=TEXT)
    axes.add_patch(last)
    return figure


@styled
def cuts(ways: list[list[str]], scores: dict[str, float]) -> plt.Figure:
    """Draw ways to cut a word, the score under each piece, and each way's sum; the best is full.

    Args:
        ways: Lists of pieces that spell the same word.
        scores: Each piece's logarithm of its probability.
    """
    sums = [sum(round(scores[piece], 2) for piece in way) for way in ways]  # as by hand
    length = len("".join(ways[0]))
    figure, axes = style.blank(WIDTH, 0.95 * len(ways), (0, length + 2.6), (-len(ways), 0))
    for row, (way, total) in enumerate(zip(ways, sums, strict=True)):
        best, x = total == max(sums), 0
        for piece in way:
            look = {"facecolor": TEXT if best else TEXT + "18", "edgecolor": TEXT}
            axes.add_patch(plt.Rectangle((x + 0.04, -row - 0.5), len(piece) - 0.08, 0.4, **look))
            middle, colour = x + len(piece) / 2, "white" if best else TEXT
            axes.text(middle, -row - 0.3, piece, color=colour, **CENTRED)
            axes.text(middle, -row - 0.7, style.minus(f"{scores[piece]:.2f}"), **CENTRED)
            x += len(piece)
        axes.text(x + 0.3, -row - 0.7, style.minus(f"sum {total:.2f}"), va="center", color=TEXT)
    return figure


@styled
def cosine_map(vectors: Tensor, label: str) -> plt.Figure:
    """Draw the cosine of each vector with each, `[n, D]`, and each one's length; `label` counts."""
    lengths = vectors.norm(dim=-1, keepdim=True)
    cosines = (vectors / lengths) @ (vectors / lengths).T
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9), width_ratios=[1.25, 1])
    shown = left.imshow(cosines.cpu().numpy(), cmap=style.tints(NEUTRAL, TEXT), vmin=-1, vmax=1)
    style.key(figure, shown, left, [-1, 0, 1], shrink=0.85)
    left.set(xlabel=label, ylabel=label, title="cosine")
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        axis.set_major_locator(plt.MaxNLocator(4, integer=True))
    right.bar(range(len(vectors)), lengths[:, 0].tolist(), color=TEXT)
    right.set(xlabel=label, title="length")
    return figure


@styled
def accuracy_columns(xs: Sequence[int], values: list[float], good: int, xlabel: str) -> plt.Figure:
    """Draw a column of accuracy, 0 to 1, for each whole number x; all but the good one are red."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    axes.bar(xs, values, color=[NEUTRAL if x == good else MISTAKE for x in xs], width=0.7)
    for x, value in zip(xs, values, strict=True):
        axes.text(x, value + 0.02, f"{100 * value:.0f}", ha="center")
    axes.set(xlabel=xlabel, ylabel="accuracy", ylim=(0, 1.12), xticks=xs)
    axes.set_yticks(*style.PERCENT)
    return figure
