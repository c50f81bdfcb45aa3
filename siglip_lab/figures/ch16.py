"""The figures of the chapter "Scores that you can trust"."""

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures.style import INK, JOINT, NEUTRAL, PERCENT, WIDTH, styled

__all__ = ["interval", "reliability_diagrams"]


def interval(number, share, z: float = 1.96):
    """Wilson's interval for a share that was seen in so many answers: low and high ends.

    Example:
        >>> low, high = interval(21, 0.0)
        >>> f"{low:.0%} to {high:.0%}"
        '0% to 15%'
    """
    middle = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = (share * (1 - share) / number + z * z / (4 * number * number)) ** 0.5
    half = half * z / (1 + z * z / number)
    return middle - half, middle + half


@styled
def reliability_diagrams(panels: dict[str, Tensor], read: str | None = None) -> plt.Figure:
    """Draw how often what gets a score is true; on the diagonal, scores mean what they say.

    Args:
        panels: Title to `[bins, 3]`: how many answers are in the bin, their mean score, and the
            share of them that is true. A dot's area is the root of the first, at most of 1000;
            the line through it is the share's 95 % interval, Wilson's.
        read: Title of the panel whose two last dots carry their shares in words; default: none.
    """
    rows = -(-len(panels) // 2)
    look = {"figsize": (WIDTH, 2.7 * rows + 0.1), "sharex": True, "sharey": True}
    figure, grid = plt.subplots(rows, 2, layout="constrained", squeeze=False, **look)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (title, bins) in zip(grid.flat, panels.items(), strict=False):
        counts, scores, true = bins.numpy(force=True).astype(float).T
        axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=1)
        axes.vlines(scores, *interval(counts, true), color=JOINT, linewidth=1.2)
        axes.scatter(scores, true, 5 * np.sqrt(np.minimum(counts, 1000)), color=JOINT, zorder=3)
        for score, share in zip(scores[-2:], true[-2:], strict=True) if title == read else ():
            aside = {"xytext": (5, -9), "textcoords": "offset points", "color": INK}
            axes.annotate(f"{share:.0%}", (score, share), va="center", **aside)
        axes.set(title=title, aspect="equal", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
        axes.set_xticks(*PERCENT)
        axes.set_yticks(*PERCENT)
    figure.supxlabel("score")
    figure.supylabel("share that is true")
    figure.get_layout_engine().set(wspace=0.08)
    return figure
