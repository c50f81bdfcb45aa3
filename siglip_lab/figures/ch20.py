"""The figures of the chapter "Fine-tune, and do not forget"."""

from matplotlib import pyplot as plt

from siglip_lab.figures.style import ABOVE, IMAGE, INK, JOINT, MISTAKE, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["gains_and_losses", "trade_offs"]

LOOKS = {  # the way -> marker and line, colour
    "everything": ("o-", JOINT),
    "last layers": ("s--", JOINT),
    "LoRA": ("^:", JOINT),
    "image tower": ("v-", IMAGE),
    "text tower": ("D-", TEXT),
    "probe": ("o-", NEUTRAL),
    "pixels": ("s--", NEUTRAL),
}


@styled
def gains_and_losses(panels: dict[str, dict[str, dict[int, float]]]) -> plt.Figure:
    """Draw accuracy against the number of labels, a panel a test.

    Args:
        panels: Title to way of learning (one of `LOOKS`) to labels of each class to a share.
    """
    look = {"figsize": (WIDTH, 3.9), "sharex": True, "sharey": True}
    ticks = sorted({n for ways in panels.values() for shares in ways.values() for n in shares})
    figure, grid = plt.subplots(1, len(panels), squeeze=False, layout="constrained", **look)
    for axes, (title, ways) in zip(grid.flat, panels.items(), strict=True):
        for way, shares in ways.items():
            line, colour = LOOKS[way]
            percent = [100 * share for share in shares.values()]
            axes.plot(list(shares), percent, line, color=colour, markersize=5, label=way)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{n}" for n in ticks])
        axes.xaxis.set_minor_locator(plt.NullLocator())
        axes.set(title=title, ylim=(-3, 103), yticks=(0, 50, 100))
    grid[0, 0].set_ylabel("accuracy, %")
    figure.supxlabel("labelled pictures of each digit")
    handles: dict = {}
    for axes in grid.flat:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    where = {"loc": "outside upper center", "ncols": 3}
    figure.legend(list(handles.values()), list(handles), **where)
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
