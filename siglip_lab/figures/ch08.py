"""The figures of the chapter "The losses of CLIP and SigLIP"."""

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, FRAME, IMAGE, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["asked_pairs", "pair_answers", "pair_gradients", "first_losses", "cosine_drift"]


@styled
def asked_pairs(images: list[str], texts: list[str], asked: dict[str, list]) -> plt.Figure:
    """Draw which pairs of a batch one term of a loss looks at; one panel for each term.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        asked: Title to `[n_img][n_txt]`: true where the term looks.
    """
    figure, panels = _pair_panels(images, texts, list(asked), 2.3)
    for axes, cells in zip(panels, asked.values(), strict=True):
        for (i, j), looks in np.ndenumerate(cells):
            face = (JOINT if i == j else NEUTRAL) + ("" if looks else "18")
            axes.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=face))
            if i == j:
                axes.text(j, i, "own", color="white" if looks else JOINT, **CENTRED)
        axes.spines[:].set_visible(False)
    return figure


@styled
def pair_answers(
    images: list[str], texts: list[str], rows: Tensor, columns: Tensor, cells: Tensor
) -> plt.Figure:
    """Draw the answers of both losses, 0 to 1, with a frame around what adds up to 1, or a cell.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        rows: Each row's shares `[n_img, n_txt]`.
        columns: Each column's shares `[n_img, n_txt]`.
        cells: Each pair's probability `[n_img, n_txt]`.
    """
    n, m = cells.shape
    panels = {  # title -> answers, height and width of a frame, its colour
        "CLIP: each row": (rows, (1, m), IMAGE),
        "CLIP: each column": (columns, (n, 1), TEXT),
        "SigLIP: each cell": (cells, (1, 1), JOINT),
    }
    figure, drawn = _pair_panels(images, texts, list(panels), 2.3)
    for axes, (answers, (height, width), colour) in zip(drawn, panels.values(), strict=True):
        for (i, j), answer in np.ndenumerate(answers.numpy()):
            place = {"xy": (j - 0.42, i - 0.42), "width": 0.84, "height": 0.84, "linewidth": 0}
            face = JOINT if i == j else NEUTRAL
            axes.add_patch(plt.Rectangle(**place, facecolor=face, alpha=0.04 + 0.4 * answer))
            axes.text(j, i, f"{100 * answer:.0f}", **CENTRED)
        for i in range(0, n, height):
            for j in range(0, m, width):
                size = {"width": width - 0.1, "height": height - 0.1}
                look = {"fill": False, "edgecolor": colour, "linewidth": 1.6}
                axes.add_patch(plt.Rectangle((j - 0.45, i - 0.45), **size, **look))
        axes.spines[:].set_visible(False)
    return figure


@styled
def pair_gradients(images: list[str], texts: list[str], gradients: dict[str, Tensor]) -> plt.Figure:
    """Draw the gradient with respect to each pair's logit: green pulls together, grey apart.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        gradients: Title to gradients `[n_img, n_txt]`, from -1 (pull) to 1 (push).
    """
    colours = style.tints(JOINT, NEUTRAL)
    digits = 2 if len(gradients) < 3 else 1  # more do not fit a phone
    figure, panels = _pair_panels(images, texts, list(gradients), 2.9)
    for axes, values in zip(panels, gradients.values(), strict=True):
        axes.imshow(values.numpy(), cmap=colours, vmin=-1.4, vmax=1.4)  # pale under words
        for (i, j), value in np.ndenumerate(values.numpy()):
            zero = abs(value) < 0.5 * 10**-digits
            words = style.minus(f"{0 if zero else value:{'' if zero else '+'}.{digits}f}")
            axes.text(j, i, words, **CENTRED)
        axes.spines[:].set(visible=True, color=FRAME)
    return figure


def _pair_panels(images, texts, titles, height):
    """A panel for each title: images down the side of the first, texts along the bottom."""
    figure, (panels,) = plt.subplots(1, len(titles), figsize=(WIDTH, height), squeeze=False)
    for axes, title in zip(panels, titles, strict=True):
        axes.set(xlim=(-0.5, len(texts) - 0.5), ylim=(len(images) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(texts)), texts)
        axes.set_yticks(range(len(images)), images if axes is panels[0] else [""] * len(images))
        axes.tick_params(length=0)
        axes.tick_params(axis="x", colors=TEXT)
        axes.tick_params(axis="y", colors=IMAGE)
        axes.set_title(title, pad=8)
    figure.tight_layout(w_pad=1.5)
    return figure, panels


@styled
def first_losses(batch_sizes: list[int], starts: list[float]) -> plt.Figure:
    """Draw the sigmoid loss at cosine 0 against the bias; a dot where it is least.

    Args:
        batch_sizes: Numbers n of pairs, each with its curve.
        starts: Two biases to which arrows point, on the last batch size's curve: left, right.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    b = np.linspace(-16, 1, 500)
    for n, line in zip(batch_sizes, ("--", "-", ":"), strict=False):
        axes.plot(b, _first_loss(n, b), line, color=JOINT, label=f"n = {n:,}")
        best = -np.log(n - 1)
        at = (best, _first_loss(n, best))
        axes.plot(*at, "o", color=JOINT)
        words, below = style.minus(f"{best:.2f}"), {"ha": "center", "va": "top", "color": JOINT}
        axes.annotate(words, at, (0, -8), textcoords="offset points", **below)
    for start, aside in zip(starts, [(-8, 36), (-28, 3)], strict=True):
        at = (start, _first_loss(batch_sizes[-1], start))
        words = style.minus(f"b = {start:.0f}: {at[1]:,.1f}")
        pointer = {"arrowstyle": "-|>", "color": NEUTRAL, "shrinkA": 2, "shrinkB": 4}
        look = {"ha": "right", "va": "center", "color": NEUTRAL, "arrowprops": pointer}
        axes.annotate(words, at, aside, textcoords="offset points", **look)
    axes.set(yscale="log", xlabel="bias b", ylabel="loss at cosine 0", xlim=(-16, 1))
    axes.set_ylim(0.3, 100_000)
    axes.set_xticks([-15, -10, -5, 0])
    axes.set_yticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1,000", "10,000"])
    axes.yaxis.set_minor_locator(plt.NullLocator())
    axes.legend(**style.ABOVE, ncols=len(batch_sizes))
    return figure


def _first_loss(n: int, b):
    """A batch's sigmoid loss per image if all its cosines are 0."""
    return np.logaddexp(0, -b) + (n - 1) * np.logaddexp(0, b)


@styled
def cosine_drift(histories: dict[str, Tensor]) -> plt.Figure:
    """Draw mean cosines of own pairs and of all others in training: title to `[steps, 2]`."""
    figure, panels = plt.subplots(1, len(histories), figsize=(WIDTH, 2.8), sharey=True)
    for axes, (title, history) in zip(panels, histories.items(), strict=True):
        axes.axhline(0, color=NEUTRAL, linewidth=0.6)
        axes.plot(history[:, 0].numpy(), color=JOINT, label="own")
        axes.plot(history[:, 1].numpy(), "--", color=NEUTRAL, label="others")
        axes.set(title=title, xlabel="step", ylim=(-1, 1))
    panels[0].set_ylabel("mean cosine")
    panels[0].legend(loc="center right", bbox_to_anchor=(1, 0.68))
    return figure
