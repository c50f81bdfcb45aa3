"""The figures of the chapter "Any aspect ratio"."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from PIL import Image

from siglip_lab.figures.style import FRAME, IMAGE, INK, MISTAKE, PERCENT, WIDTH, styled
from siglip_lab.siglip2.preprocessing import target_size

__all__ = ["budgets", "kept_and_squashed", "padding"]


@styled
def kept_and_squashed(pictures: Sequence[Image.Image], titles: Sequence[str]) -> plt.Figure:
    """Draw pictures of any shapes in a row, to one scale, and below them squashed into squares.

    Args:
        pictures: RGB, all of the same area.
        titles: One for each.
    """
    square = round((pictures[0].width * pictures[0].height) ** 0.5)
    widths = [max(picture.width, square) for picture in pictures]
    look = {"figsize": (WIDTH, 2.9), "width_ratios": widths, "height_ratios": [2, 1]}
    figure, grid = plt.subplots(2, len(pictures), layout="constrained", **look)
    for (above, below), picture, title in zip(grid.T, pictures, titles, strict=True):
        above.imshow(picture)
        above.set_title(title)
        below.imshow(picture.resize((square, square)))
        for axes in (above, below):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=FRAME)
    return figure


@styled
def budgets(
    numbers: Sequence[int], lines: Mapping[str, Sequence[float]], levels: Mapping[str, float]
) -> plt.Figure:
    """Draw shares of drawings named against the budget of patches.

    Args:
        numbers: The budgets.
        lines: Name to a share for each budget.
        levels: Name to a share that has no budget, dashed.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    for (name, shares), marker in zip(lines.items(), "os", strict=True):
        axes.plot(numbers, shares, color=IMAGE, marker=marker, linewidth=1.6)
        axes.text(numbers[-1] + 1, shares[-1] + 0.01, name, color=IMAGE, va="bottom")
    for name, share in levels.items():
        axes.axhline(share, color=MISTAKE, linestyle="--", linewidth=1.2)
        axes.text(numbers[-1] + 14, share - 0.03, name, color=MISTAKE, va="top", ha="right")
    axes.set(xlabel="budget of patches", ylabel="named", ylim=(0, 1.04))
    axes.set(xlim=(numbers[0] - 1, numbers[-1] + 15), xticks=list(numbers))
    axes.set_yticks(*PERCENT)
    return figure


@styled
def padding(colours: Mapping[int, str], longest: float = 20) -> plt.Figure:
    """Draw which share of a budget is padding, by the picture's aspect ratio.

    Args:
        colours: Budget to the colour of its line.
        longest: The last ratio.
    """
    ratios = np.exp(np.linspace(0, np.log(longest), 400))
    figure, axes = plt.subplots(figsize=(WIDTH, 2.2))
    for budget, colour in colours.items():
        shares = []
        for ratio in ratios:
            height, width = target_size(1000, round(1000 * ratio), 16, budget)
            shares.append(1 - height * width / 256 / budget)
        axes.plot(ratios, shares, color=colour, linewidth=1)
        axes.axhline(np.mean(shares), color=colour, linestyle=":", linewidth=1.2)
    axes.set(xscale="log", xlim=(1, longest), ylim=(0, None), ylabel="padding")
    ticks = [1, 2, 4, 6, 10, 20]
    axes.set_xticks(ticks, [f"{t} : 1" for t in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_xlabel("shape of the picture", color=INK)
    return figure
