"""The figures of the chapter "Search a million pictures"."""

from collections.abc import Mapping

import torch
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures.style import IMAGE, INK, JOINT, NEUTRAL, PERCENT, TEXT, WIDTH, styled

__all__ = ["kinds", "probed_cells"]


@styled
def probed_cells(points: Tensor, centres: Tensor, question: Tensor, probes: int) -> plt.Figure:
    """Draw points of a plane in their cells: what a question reads, and which of its best it loses.

    Args:
        points: `[n, 2]`; each lies in the cell of its nearest centre, and a line leads there.
        centres: `[c, 2]`.
        question: `[2]`; its ten nearest points are marked.
        probes: How many cells are read, those with the centres nearest to the question.
    """
    cell = torch.cdist(points, centres).argmin(1)
    near = torch.cdist(question[None], centres)[0].topk(probes, largest=False).indices
    read = torch.isin(cell, near)
    best = torch.cdist(question[None], points)[0].topk(10, largest=False).indices
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for inside, colour, words in (~read, NEUTRAL, "not read"), (read, IMAGE, "read"):
        spokes = torch.stack([points, centres[cell], torch.full_like(points, torch.nan)], 1)[inside]
        axes.plot(*spokes.flatten(0, 1).T.numpy(), color=colour, linewidth=0.6, alpha=0.5)
        axes.plot(*points[inside].T.numpy(), ".", color=colour, markersize=4, label=words)
    look = {"color": JOINT, "markersize": 9, "markerfacecolor": "none", "markeredgewidth": 1.8}
    for kept, marker, words in (read[best], "o", "best, found"), (~read[best], "s", "best, lost"):
        axes.plot(*points[best[kept]].T.numpy(), marker, label=words, **look)
    axes.plot(*question.numpy(), "*", color=TEXT, markersize=11, label="question")
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def kinds(found: Mapping[str, tuple[float, float, float]]) -> plt.Figure:
    """Draw what each kind of index finds against how many bytes it keeps of a vector.

    Args:
        found: Name to bytes, and to the recall where pictures ask and where texts ask; a line
            joins the two.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3))
    drawn: list[float] = []
    for name, (size, pictures, texts) in found.items():
        drawn.append(size)
        size *= 1.28 ** (drawn.count(size) - 1)  # equal ones stand side by side
        axes.plot([size, size], [pictures, texts], color=INK, linewidth=0.8, zorder=1)
        axes.plot(size, pictures, "o", color=IMAGE)
        axes.plot(size, texts, "s", color=TEXT)
        low = min(pictures, texts)
        aside = (0, 8) if low > 0.9 else (0, -14)  # above what is near the top, no line crosses it
        axes.annotate(name, (size, low), xytext=aside, textcoords="offset points", ha="center")
    axes.plot([], [], "o", color=IMAGE, label="pictures ask")
    axes.plot([], [], "s", color=TEXT, label="texts ask")
    axes.set(xscale="log", xlim=(10, 2000), ylim=(0, 1.15), xlabel="bytes a vector")
    axes.set_xticks([16, 42, 128, 512, 784], ["16", "42", "128", "512", "784"])
    axes.minorticks_off()
    axes.set_yticks(*PERCENT)
    axes.set_ylabel("recall@10, ordered")
    axes.legend(loc="lower right")
    return figure
