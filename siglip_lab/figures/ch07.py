"""The figures of the chapter "Two towers"."""

import numpy as np
from matplotlib import pyplot as plt
from torch import Tensor

from siglip_lab.configs import VisionConfig
from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, IMAGE, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["unit_vectors", "cosine_groups", "two_answers", "tower_outputs"]


@styled
def unit_vectors(image, texts, names: list[str], t: float, b: float) -> plt.Figure:
    """Draw vectors brought to length 1, and the probability against their cosine.

    Args:
        image: The image's vector `[2]`.
        texts: The captions' vectors `[n, 2]`.
        names: A name for the image, then one for each caption.
        t: Logit scale.
        b: Logit bias.
    """
    first, *others = (np.asarray(vector, dtype=float) for vector in (image, *texts))
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0), width_ratios=[1, 1.25])
    turn = np.linspace(0, np.pi / 2, 100)
    left.plot(np.cos(turn), np.sin(turn), color=NEUTRAL, linewidth=1, linestyle=":")
    _vector(left, first, names[0], IMAGE)
    for vector, name in zip(others, names[1:], strict=True):
        _vector(left, vector, name, TEXT)
    left.set(xlim=(-0.15, 2.3), ylim=(-0.15, 3.3), aspect="equal", title="normalise")
    left.set(xticks=range(3), yticks=range(4))
    x = np.linspace(-1, 1, 400)
    right.plot(x, style.sigmoid(t * x + b), color=JOINT)
    right.axhline(0.5, color=NEUTRAL, linewidth=0.8, linestyle="--")
    for vector, name in zip(others, names[1:], strict=True):
        cosine = vector @ first / np.linalg.norm(vector) / np.linalg.norm(first)
        at = (cosine, style.sigmoid(t * cosine + b))
        right.plot(*at, "o", color=JOINT, clip_on=False)
        right.annotate(name, at, (-8, 3), ha="right", textcoords="offset points", color=TEXT)
    right.set(xlabel="cosine", ylabel="probability", xlim=(-1, 1), ylim=(0, 1))
    right.set_title("scale, bias, sigmoid")
    right.set_yticks(*style.PERCENT)
    return figure


def _vector(axes, vector, name, colour) -> None:
    """A vector from the origin, pale, and what is left of it at length 1."""
    unit = vector / np.linalg.norm(vector)
    pale = {"arrowstyle": "->", "color": colour, "alpha": 0.4, "shrinkB": 0}
    axes.annotate("", vector, (0, 0), arrowprops=pale)
    strong = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkB": 0}
    axes.annotate("", unit, (0, 0), arrowprops=strong)
    tip = np.maximum(vector, unit)
    axes.annotate(name, tip, (4, 3), textcoords="offset points", color=colour)


@styled
def cosine_groups(groups: dict[str, tuple]) -> plt.Figure:
    """Draw the cosines of matching and of unrelated pairs, one model above the other.

    Args:
        groups: Name of a model to the cosines of matching pairs, those of unrelated pairs, and the
            cosine at which its probability is one half, -b/t.
    """
    look = {"figsize": (WIDTH, 1.45 * len(groups) + 0.6), "sharex": True, "squeeze": False}
    figure, panels = plt.subplots(len(groups), 1, **look)
    bins = np.arange(-0.8, 0.42, 0.02)
    for axes, (name, (matching, unrelated, half)) in zip(panels.flat, groups.items(), strict=True):
        for cosines, colour, kind in (
            (unrelated, NEUTRAL, "unrelated"), (matching, JOINT, "matching")
        ):  # fmt: skip
            values = np.asarray(cosines, dtype=float).flatten()
            counts, _ = np.histogram(values, bins)
            heights = counts / counts.max()  # each kind as high as the other
            axes.stairs(heights, bins, fill=True, color=colour, alpha=0.6, label=f"{kind} pairs")
        axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle=":")
        axes.axvline(half, color=JOINT, linewidth=1.2)
        axes.text(half + 0.01, 1.04, f"½ at {half:.3f}", color=JOINT, va="bottom")
        axes.text(-0.79, 1.04, name, color=style.INK, va="bottom")
        axes.set(xlim=(-0.8, 0.4), ylim=(0, 1.3), yticks=[])
        axes.spines["left"].set_visible(False)
    panels[-1, 0].set_xlabel("cosine")
    panels[0, 0].legend(**style.ABOVE, ncols=2)
    return figure


@styled
def two_answers(pictures, labels: list[str], by_sigmoid: Tensor, by_softmax: Tensor) -> plt.Figure:
    """Draw each picture beside what sigmoid and softmax say of each label, `[n_img, n_labels]`."""
    look = {"figsize": (WIDTH, 1.6 * len(pictures) + 0.4), "width_ratios": [1, 1.2, 1.2]}
    figure, grid = plt.subplots(len(pictures), 3, squeeze=False, **look)
    for (left, *panels), picture, *rows in zip(grid, pictures, by_sigmoid, by_softmax, strict=True):
        left.imshow(picture)
        left.axis("off")
        for axes, row, colour in zip(panels, rows, (JOINT, NEUTRAL), strict=True):
            axes.barh(labels, row.tolist(), color=colour)
            axes.invert_yaxis()
            axes.set(xlim=(0, 1.5), xticks=[])
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(axis="y", length=0, colors=style.INK)
            for i, value in enumerate(row.tolist()):
                axes.text(value + 0.03, i, f"{value:.0%}", va="center")
        panels[1].set_yticks([])
    grid[0, 1].set_title("sigmoid: probability")
    grid[0, 2].set_title("softmax: share")
    figure.tight_layout(w_pad=0.5)
    return figure


@styled
def tower_outputs(config: VisionConfig) -> plt.Figure:
    """Draw an image tower from top to bottom, and the name of what leaves each part."""
    n = config.depth
    tokens, vector = f"[B, {config.num_patches}, {config.width}]", f"[B, {config.width}]"
    rows = [
        ("embeddings", "hidden_states[0]", tokens),
        (f"layers 0 … {n - 3}", "…", ""),
        (f"layer {n - 2}", "hidden_states[-2]", tokens),
        (f"layer {n - 1}", "hidden_states[-1]", tokens),
        ("post_layernorm", "last_hidden_state", tokens),
        ("head", "pooler_output", vector),
    ]
    figure, axes = style.blank(4.6, 3.6, (0, 100), (0, 100))
    for i, (part, name, shape) in enumerate(rows):
        y = 93 - 17 * i
        style.box(axes, (17, y), 33, 11, IMAGE, bright=True)
        axes.text(17, y, part, color="white", **CENTRED)
        style.arrow(axes, (34, y), (41.5, y))
        if i:
            style.arrow(axes, (17, y + 11.5), (17, y + 5.5))
        rise = 3.2 if shape else 0
        axes.text(43, y + rise, name, va="center", color=IMAGE, family="monospace")
        axes.text(43, y - rise, shape, va="center", color=NEUTRAL, family="monospace")
    return figure
