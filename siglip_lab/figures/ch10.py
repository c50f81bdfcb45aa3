"""The figures of the chapter "Many devices"."""

from matplotlib import pyplot as plt

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, FRAME, IMAGE, INK, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["own_block", "gradient_errors", "step_cost", "batch_size_curves"]


@styled
def own_block(rank: int, ranks: int, n: int) -> plt.Figure:
    """Draw one rank's photos against the texts of all ranks, and where its true pairs are.

    Args:
        rank: Whose photos.
        ranks: How many ranks there are.
        n: Pairs of each rank.
    """
    figure, axes = style.blank(WIDTH, 1.75, (-3.2, ranks * n + 0.2), (n + 0.1, -0.9))
    for row in range(n):
        for column in range(ranks * n):
            true = column == rank * n + row
            look = {"facecolor": JOINT if true else NEUTRAL + "33", "edgecolor": "none"}
            axes.add_patch(plt.Rectangle((column + 0.06, row + 0.06), 0.88, 0.88, **look))
    for each in range(ranks):
        axes.text((each + 0.5) * n, -0.4, f"texts {each}", color=TEXT, **CENTRED)
    frame = {"facecolor": "none", "edgecolor": JOINT, "linewidth": 2}
    axes.add_patch(plt.Rectangle((rank * n, 0), n, n, **frame))
    axes.text(-0.3, n / 2, f"photos\nof rank {rank}", color=IMAGE, ha="right", va="center")
    return figure


@styled
def gradient_errors(ways: dict[str, tuple[float, float, float]]) -> plt.Figure:
    """Draw how far off each way's gradients are.

    Args:
        ways: Name to its loss, and the errors of the image tower's and the text tower's gradient,
            each as a share of the right gradient's length.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.62 * len(ways) + 0.7))
    most = max(max(errors) for _, *errors in ways.values())
    for row, (_, *errors) in enumerate(ways.values()):
        for error, side, colour in zip(errors, (-0.19, 0.19), (IMAGE, TEXT), strict=True):
            axes.barh(row + side, error, 0.36, color=colour)
            words = f"{100 * error:.0f} %"
            axes.text(error + 0.012 * most, row + side, words, va="center", color=colour)
    names = [f"{name.replace('_', ' ')}\nloss {loss:.2f}" for name, (loss, *_) in ways.items()]
    axes.set_yticks(range(len(ways)), names, color=INK)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1.12 * most), xticks=[])
    axes.spines["bottom"].set_visible(False)
    for colour, name in ((IMAGE, "image tower"), (TEXT, "text tower")):
        axes.barh(0, 0, color=colour, label=name)
    axes.legend(**style.ABOVE, ncols=2)
    return figure


@styled
def step_cost(image: float, text: float, losses: dict[str, float]) -> plt.Figure:
    """Draw operations as areas to one scale: the two towers as one square, and beside it losses.

    Args:
        image: GFLOPs of the image tower for one pair.
        text: GFLOPs of the text tower.
        losses: Name to GFLOPs of the loss.
    """
    side = (image + text) ** 0.5
    figure, axes = style.blank(WIDTH, 3.0, (0, 1.87 * side), (-0.12 * side, 1.02 * side))
    axes.set_aspect("equal")
    for name, bottom, height, colour in (
        ("image tower", text / side, image / side, IMAGE),
        ("text tower", 0, text / side, TEXT),
    ):
        axes.add_patch(plt.Rectangle((0, bottom), side, height, facecolor=colour))
        words = f"{name}\n{height * side:.0f} GFLOPs"
        axes.text(side / 2, bottom + height / 2, words, color="white", **CENTRED)
    for place, (name, gflops) in enumerate(losses.items()):
        corner, edge = (1.15 * side, (0.62 - 0.42 * place) * side), gflops**0.5
        axes.add_patch(plt.Rectangle(corner, edge, edge, facecolor=JOINT))
        words = f"{name}\n{gflops:.2g} GFLOPs"
        axes.text(1.30 * side, corner[1] + edge / 2, words, color=INK, va="center")
    return figure


@styled
def batch_size_curves(tables: dict[str, dict[int, tuple]]) -> plt.Figure:
    """Draw accuracy against the batch size for the sigmoid and the softmax loss; panel by panel.

    Args:
        tables: Title to batch size to the two accuracies in per cent; None where there is none.
    """
    ticks = {2**9: "512", 2**12: "4k", 2**15: "32k", 2**20: "1M"}
    looks = (("sigmoid", "o-", JOINT), ("softmax", "s--", NEUTRAL))
    figure, panels = plt.subplots(1, len(tables), figsize=(WIDTH, 2.9))
    for axes, (title, table) in zip(panels, tables.items(), strict=True):
        axes.axvline(2**15, color=FRAME, linewidth=1)
        for i, (name, line, colour) in enumerate(looks):
            found = [(n, pair[i]) for n, pair in table.items() if pair[i] is not None]
            axes.plot(*zip(*found, strict=True), line, color=colour, label=name, markersize=4)
        axes.set_xscale("log", base=2)
        shown = [n for n in ticks if min(table) <= n <= 1.2 * max(table)]
        axes.set_xticks(shown, [ticks[n] for n in shown])
        axes.xaxis.set_minor_locator(plt.NullLocator())
        axes.yaxis.set_major_locator(plt.MaxNLocator(integer=True, nbins=5))
        axes.set_title(title)
    panels[0].set_ylabel("ImageNet accuracy, %")
    panels[len(tables) // 2].set_xlabel("pairs in the batch")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper center", ncols=2)
    figure.tight_layout(w_pad=0.6, rect=(0, 0, 1, 0.93))
    return figure
