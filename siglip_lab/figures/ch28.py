"""The figures of the chapter "Search a million pictures"."""

from collections.abc import Mapping

from matplotlib import pyplot as plt

from siglip_lab.figures.style import IMAGE, INK, PERCENT, TEXT, WIDTH, styled

__all__ = ["kinds"]


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
