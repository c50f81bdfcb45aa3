"""The figures of the chapter "CLIP against SigLIP"."""

from matplotlib import pyplot as plt

from siglip_lab.figures.style import ABOVE, CENTRED, INK, JOINT, NEUTRAL, WIDTH, blank, box, styled

__all__ = ["step_by_step", "fair_race"]


@styled
def step_by_step(steps: dict[str, tuple[str, str, str]]) -> plt.Figure:
    """Draw two models beside each other; one wide box where they do the same.

    Args:
        steps: Step to what CLIP does, what SigLIP does (the same words if they agree), and the
            colour of the side that the step belongs to.
    """
    n = len(steps)
    figure, axes = blank(WIDTH, 0.33 * n + 0.25, (0, 100), (-10 * n, 6))
    for x, name in ((42, "CLIP"), (81, "SigLIP")):
        axes.text(x, 2, name, weight="bold", **CENTRED)
    for row, (step, (left, right, colour)) in enumerate(steps.items()):
        y = -10 * row - 5
        axes.text(0, y, step, va="center", color=INK)
        same = left == right
        boxes = [(61.5, 76, left)] if same else [(42, 37, left), (81, 37, right)]
        for centre, width, words in boxes:
            box(axes, (centre, y), width, 8, NEUTRAL if same else colour, bright=False)
            axes.text(centre, y, words, **CENTRED)
    return figure


@styled
def fair_race(panels: dict[str, dict[str, dict]], steps: dict[int, int]) -> plt.Figure:
    """Draw accuracy against the batch size with error bars, of three runs; panel by panel.

    Args:
        panels: Title to run ("softmax" first) to batch size to mean and standard deviation, as
            shares.
        steps: Batch size to the number of training steps, written below it.
    """
    looks = [("s--", NEUTRAL, 0.85), ("o-", JOINT, 1.0), ("^:", JOINT, 1.18)]
    size = (WIDTH, 2.2 * len(panels) + 0.8)
    figure, grid = plt.subplots(len(panels), 1, figsize=size, sharex=True, squeeze=False)
    for (axes,), (title, losses) in zip(grid, panels.items(), strict=True):
        for (loss, values), (line, colour, aside) in zip(losses.items(), looks, strict=False):
            axes.errorbar(
                [n * aside for n in values],  # side by side, so that no bar hides another
                [100 * mean for mean, _ in values.values()],
                [100 * sd for _, sd in values.values()],
                fmt=line, color=colour, label=loss, markersize=4, capsize=3,
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(steps), [f"{n}\n{count}" for n, count in steps.items()])
        axes.xaxis.set_minor_locator(plt.NullLocator())
        axes.set_ylim(bottom=0)
        axes.set_ylabel("accuracy, %")
        axes.text(1, 0.9, title, transform=axes.transAxes, ha="right", weight="bold")
    axes.set_xlabel("pairs in a batch; below it, training steps")
    grid[0, 0].legend(**ABOVE, ncols=3)
    return figure
