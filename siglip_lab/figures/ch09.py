"""The figures of the chapter "The loss at scale"."""

from matplotlib import pyplot as plt

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, IMAGE, INK, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["loss_to_scale", "memory_curves"]


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
