"""The figures of the chapter "Measure it properly"."""

from collections.abc import Mapping

from matplotlib import pyplot as plt

from siglip_lab.figures.style import JOINT, NEUTRAL, PERCENT, WIDTH, styled

__all__ = ["candidates"]


@styled
def candidates(shares: Mapping[int, float]) -> plt.Figure:
    """Draw the share of pictures named rightly against the number of names to choose from.

    Args:
        shares: Number of names to the share.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    sizes = list(shares)
    axes.plot(sizes, [1 / size for size in sizes], ":", color=NEUTRAL, linewidth=1.4)
    axes.plot(sizes, list(shares.values()), color=JOINT, marker="o", linewidth=1.6)
    for i, (size, share) in enumerate(shares.items()):
        side = "left" if i == 0 else "center"  # clear of the axis and its numbers
        place = {"xytext": (0, -16 if i % 2 else 7), "textcoords": "offset points", "ha": side}
        axes.annotate(f"{share:.0%}", (size, share), color=JOINT, **place)
    axes.set(xscale="log", xlabel="names to choose from", ylabel="own name first")
    axes.set(xlim=(1.6, 1100), ylim=(0, 1.15))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_yticks(*PERCENT)
    return figure
