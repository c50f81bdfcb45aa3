"""The figures of the chapter "Preprocessing"."""

import numpy as np
from matplotlib import pyplot as plt

from siglip_lab.figures.style import CENTRED, IMAGE, NEUTRAL, WIDTH, styled
from siglip_lab.figures.svg import DARK, LIGHT

__all__ = ["channel_histograms", "triangle_filter"]


@styled
def channel_histograms(groups: dict, xlabels: list[str], limits: list[tuple]) -> plt.Figure:
    """Draw how often each value occurs, channel by channel; one panel for each tensor.

    Args:
        groups: Title to tensor `[3, H, W]` (red, green, blue).
        xlabels: The unit of each panel.
        limits: The smallest and the largest value that each panel shows.
    """
    figure, panels = plt.subplots(1, len(groups), figsize=(WIDTH, 2.6))
    for axes, title, xlabel, ends in zip(panels, groups, xlabels, limits, strict=True):
        for name, channel, line in zip("RGB", groups[title], ("-", "--", ":"), strict=True):
            look = {"histtype": "step", "color": IMAGE, "linestyle": line}
            counts, edges, _ = axes.hist(channel.flatten().numpy(), bins=40, range=ends, **look)
            peak = counts.argmax()
            axes.text(edges[peak], counts[peak] * 1.03, name, ha="center")
        axes.set(title=title, xlabel=xlabel, yticks=[], xlim=ends, ymargin=0.15)
    panels[0].set_ylabel("pixels")
    return figure


@styled
def triangle_filter(row: list[int], centre: float, reach: float) -> plt.Figure:
    """Draw a row of pixels under the triangle that one new pixel looks through.

    Args:
        row: Levels `[n]`, 0 to 255.
        centre: Centre of the new pixel, in old pixels from the left edge.
        reach: Half of the triangle's foot, in old pixels.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.2))
    frame = (0, len(row), -0.6, 0)
    axes.imshow(np.asarray(row)[None], cmap="gray", extent=frame, vmin=0, vmax=255)
    axes.axhline(0, color=NEUTRAL, linewidth=1)
    axes.axhline(-0.6, color=NEUTRAL, linewidth=1)
    foot = [centre - reach, centre, centre + reach]
    axes.fill(foot, [0, 1, 0], color=IMAGE, alpha=0.25, linewidth=0)
    for i, level in enumerate(row):
        x = i + 0.5
        axes.text(x, -0.3, str(level), color=LIGHT if level < 128 else DARK, **CENTRED)
        weight = 1 - abs(x - centre) / reach
        if weight > 0:
            axes.plot([x, x], [0, weight], color=IMAGE)
            share = f"{weight / reach * 8:.0f}/8"
            axes.text(x, weight + 0.06, share, ha="center", color=IMAGE)
    axes.set(xlim=(0, len(row)), ylim=(-0.62, 1.1), aspect="auto")
    axes.axis("off")
    return figure
