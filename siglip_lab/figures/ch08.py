"""The figures of the chapter "The losses of CLIP and SigLIP"."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from siglip_lab.figures.style import IMAGE, JOINT, NEUTRAL, TEXT, WIDTH, drawing, plt

__all__ = ["questions", "pair_gradients", "first_losses", "drift"]


def questions(images: list[str], texts: list[str], asked: dict[str, list[list[bool]]]) -> Figure:
    """Which pairs of a batch one term of a loss looks at; one panel for each term.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        asked: Title to `[n_img][n_txt]`: true where the term looks.
    """
    with drawing():
        figure, panels = plt.subplots(1, len(asked), figsize=(WIDTH, 2.3), squeeze=False)
        for axes, (title, cells) in zip(panels[0], asked.items(), strict=True):
            for i in range(len(images)):
                for j in range(len(texts)):
                    face = (JOINT if i == j else NEUTRAL) + ("" if cells[i][j] else "20")
                    square = plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=face)
                    axes.add_patch(square)
                    if i == j:
                        ink = "white" if cells[i][j] else JOINT
                        axes.text(j, i, "own", ha="center", va="center", color=ink, fontsize=11)
            _name_pairs(axes, images if axes is panels[0, 0] else [""] * len(images), texts)
            axes.set_title(title, pad=8)
            axes.spines[:].set_visible(False)
        figure.tight_layout(w_pad=1.5)
    return figure


def _name_pairs(axes, images, texts) -> None:
    """Images down the side, texts along the bottom, in their colours."""
    axes.set(xlim=(-0.5, len(texts) - 0.5), ylim=(len(images) - 0.5, -0.5), aspect="equal")
    axes.set_xticks(range(len(texts)), [f"“{text}”" for text in texts])
    axes.set_yticks(range(len(images)), images)
    axes.tick_params(length=0)
    axes.tick_params(axis="x", colors=TEXT, labelsize=10)
    axes.tick_params(axis="y", colors=IMAGE)


def pair_gradients(images: list[str], texts: list[str], gradients: dict[str, Tensor]) -> Figure:
    """The gradient of each pair's logit: green where a step pulls the two together, grey where it
    pushes them apart.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        gradients: Title to gradients `[n_img, n_txt]`, from -1 (pull) to 1 (push).
    """
    colours = LinearSegmentedColormap.from_list("", [JOINT, "white", NEUTRAL])
    with drawing():
        figure, panels = plt.subplots(1, len(gradients), figsize=(WIDTH, 2.9), squeeze=False)
        for axes, (title, values) in zip(panels[0], gradients.items(), strict=True):
            axes.imshow(values.numpy(), cmap=colours, vmin=-0.75, vmax=0.75)
            for i, row in enumerate(values.tolist()):
                for j, value in enumerate(row):
                    words = f"{value:+.2f}".replace("-", "−")
                    axes.text(j, i, words, ha="center", va="center", fontsize=12)
            _name_pairs(axes, images if axes is panels[0, 0] else [""] * len(images), texts)
            axes.set_title(title, pad=8)
            axes.spines[:].set(visible=True, color="#D1D5DB")
        figure.tight_layout(w_pad=1.5)
    return figure


def first_losses(batch_sizes: list[int], starts: list[float]) -> Figure:
    """The sigmoid loss of a batch whose cosines are all 0, over the bias; a dot at the least.

    Args:
        batch_sizes: Numbers n of pairs, each with its curve.
        starts: Biases that are marked on the curve of the last batch size.
    """
    b = np.linspace(-16, 1, 500)

    def loss(n, b):
        return np.logaddexp(0, -b) + (n - 1) * np.logaddexp(0, b)

    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
        for n, line in zip(batch_sizes, ("--", "-", ":"), strict=False):
            axes.plot(b, loss(n, b), line, color=JOINT, label=f"n = {n:,}")
            best = -np.log(n - 1)
            axes.plot(best, loss(n, best), "o", color=JOINT)
            axes.annotate(
                f"{best:.2f}".replace("-", "−"), (best, loss(n, best)), (0, -8),
                textcoords="offset points", ha="center", va="top", color=JOINT,
            )  # fmt: skip
        n = batch_sizes[-1]
        for start in starts:
            axes.plot(start, loss(n, start), "s", color=NEUTRAL)
            words = f"b = {start:.0f}: {loss(n, start):,.1f}".replace("-", "−")
            axes.annotate(
                words, (start, loss(n, start)), (-7, 6), textcoords="offset points", ha="right",
                color=NEUTRAL,
            )  # fmt: skip
        axes.set(yscale="log", xlabel="bias b", ylabel="loss at cosine 0", xlim=(-16, 1))
        axes.set_ylim(1, 60_000)
        axes.set_yticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1,000", "10,000"])
        axes.yaxis.set_minor_locator(NullLocator())
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(batch_sizes))
        figure.tight_layout()
    return figure


def drift(histories: dict[str, Tensor]) -> Figure:
    """Mean cosines in training: of the pairs that belong together, and of all others.

    Args:
        histories: Title to `[steps, 2]`, the two means at each step.
    """
    with drawing():
        figure, panels = plt.subplots(1, len(histories), figsize=(WIDTH, 2.8), sharey=True)
        for axes, (title, history) in zip(panels, histories.items(), strict=True):
            axes.axhline(0, color=NEUTRAL, linewidth=0.6)
            axes.plot(history[:, 0].numpy(), color=JOINT, label="own")
            axes.plot(history[:, 1].numpy(), "--", color=NEUTRAL, label="others")
            axes.set(title=title, xlabel="step", ylim=(-1, 1))
        panels[0].set_ylabel("mean cosine")
        panels[0].legend(loc="center right", bbox_to_anchor=(1, 0.68))
        figure.tight_layout()
    return figure
