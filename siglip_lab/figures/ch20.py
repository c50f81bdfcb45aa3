"""The figures of the chapter "Fine-tune, and do not forget"."""

from matplotlib import pyplot as plt

from siglip_lab.figures.style import ABOVE, IMAGE, INK, JOINT, MISTAKE, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["gains_and_losses", "trade_offs"]

COLOURS = {"image tower": IMAGE, "text tower": TEXT}  # the way -> its colour; the others' is green
BESIDE = {"pixels": ":", "probe": "--", "tiny as it was": "-"}  # drawn in every panel -> line


@styled
def gains_and_losses(panels: dict[str, dict[str, dict[int, float]]]) -> plt.Figure:
    """Draw accuracy against the number of labels: a row a test, a column a way of learning.

    What learns nothing is grey in every column; behind each way, the others are pale.

    Args:
        panels: Title to way of learning to labels of each class to a share.
    """
    names = list(dict.fromkeys(name for ways in panels.values() for name in ways))
    columns = [name for name in names if name not in BESIDE]
    ticks = sorted({n for ways in panels.values() for shares in ways.values() for n in shares})
    look = {"figsize": (WIDTH, 2.1 * len(panels) + 0.5), "sharex": True, "sharey": True}
    figure, grid = plt.subplots(
        len(panels), len(columns), squeeze=False, layout="constrained", **look
    )
    for row, (title, ways) in zip(grid, panels.items(), strict=True):
        row[0].set_ylabel(f"{title}, %")
        for axes, own in zip(row, columns, strict=True):
            for name, shares in ways.items():
                line, colour = BESIDE.get(name, "-"), COLOURS.get(name, JOINT)
                look = {"color": NEUTRAL if name in BESIDE else colour + "44", "label": name}
                if name == own:
                    line, look = (
                        "o-",
                        {"color": colour, "markersize": 5, "linewidth": 2, "zorder": 3},
                    )
                axes.plot(list(shares), [100 * share for share in shares.values()], line, **look)
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks[::3] if len(ticks) > 2 else ticks)
            axes.xaxis.set_major_formatter("{x:.0f}")
            axes.xaxis.set_minor_locator(plt.NullLocator())
            axes.set(ylim=(-3, 103), yticks=(0, 50, 100))
    for axes, name in zip(grid[0], columns, strict=True):
        axes.set_title(name, color=COLOURS.get(name, JOINT))
    figure.supxlabel("labelled pictures of each digit")
    beside = [
        (line, name)
        for line, name in zip(*grid[0, 0].get_legend_handles_labels(), strict=True)
        if name in BESIDE
    ]
    figure.legend(*zip(*beside, strict=True), loc="outside upper center", ncols=3)
    return figure


@styled
def trade_offs(before: tuple[float, float], ways: dict[str, dict[str, tuple]]) -> plt.Figure:
    """Draw what is kept of the old against what is gained of the new; best is the upper right.

    Args:
        before: Accuracy on the new and on the old, before anything is learned.
        ways: Up to three names to words (may be blank) to those two accuracies, in their order.
    """
    looks = [("o-", JOINT), ("s--", MISTAKE), ("^", JOINT)]
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    axes.plot(100 * before[0], 100 * before[1], "*", color=INK, markersize=11, label="tiny")
    for (name, points), (line, colour) in zip(ways.items(), looks, strict=False):
        new, old = zip(*points.values(), strict=True)
        look = {"color": colour, "markersize": 5, "label": name}
        axes.plot([100 * share for share in new], [100 * share for share in old], line, **look)
        for words, (x, y) in points.items():
            aside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "color": INK}
            axes.annotate(words.strip(), (100 * x, 100 * y), **aside)
    axes.set(xlabel="digits, %", ylabel="shapes, %", xlim=(0, 100), ylim=(-4, 108))
    axes.legend(**ABOVE, ncols=2)
    return figure
