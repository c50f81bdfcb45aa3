"""The figures of the chapter "Two towers"."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from siglip_lab.configs import VisionConfig
from siglip_lab.figures.style import (
    IMAGE,
    JOINT,
    MISTAKE,
    NEUTRAL,
    TEXT,
    WIDTH,
    arrow,
    box,
    drawing,
    plt,
    sigmoid,
)

__all__ = ["angles", "cosines", "two_answers", "tower_outputs"]


def angles(image, texts, names: list[str], t: float, b: float) -> Figure:
    """Vectors of two numbers, brought to length 1; and the probability over their cosine.

    Args:
        image: The image's vector `[2]`.
        texts: The captions' vectors `[n, 2]`.
        names: A name for the image, then one for each caption.
        t: Logit scale.
        b: Logit bias.
    """
    vectors = [np.asarray(vector, dtype=float) for vector in (image, *texts)]
    colours = [IMAGE] + [TEXT] * len(texts)
    cosines = np.linspace(-1, 1, 400)
    with drawing():
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.0), width_ratios=[1, 1.25])
        turn = np.linspace(0, np.pi / 2, 100)
        left.plot(np.cos(turn), np.sin(turn), color=NEUTRAL, linewidth=1, linestyle=":")
        for vector, colour, name in zip(vectors, colours, names, strict=True):
            unit = vector / np.linalg.norm(vector)
            left.annotate(
                "", vector, (0, 0),
                arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.4, "shrinkB": 0},
            )  # fmt: skip
            left.annotate(
                "", unit, (0, 0),
                arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkB": 0},
            )  # fmt: skip
            left.annotate(
                name, np.maximum(vector, unit), (4, 3), textcoords="offset points", color=colour
            )
        left.set(xlim=(-0.15, 2.3), ylim=(-0.15, 3.3), aspect="equal", title="normalise")
        left.set(xticks=[0, 1, 2], yticks=[0, 1, 2, 3])
        right.plot(cosines, sigmoid(t * cosines + b), color=JOINT)
        right.axhline(0.5, color=NEUTRAL, linewidth=0.8, linestyle="--")
        for vector, name in zip(vectors[1:], names[1:], strict=True):
            cosine = vector @ vectors[0] / np.linalg.norm(vector) / np.linalg.norm(vectors[0])
            right.plot(cosine, sigmoid(t * cosine + b), "o", color=JOINT, clip_on=False)
            right.annotate(
                name, (cosine, sigmoid(t * cosine + b)), (-8, 3), ha="right",
                textcoords="offset points", color=TEXT,
            )  # fmt: skip
        right.set(xlabel="cosine", ylabel="probability", title="scale, bias, sigmoid")
        right.set(xlim=(-1, 1), ylim=(0, 1))
        right.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        figure.tight_layout()
    return figure


def cosines(true: Tensor, false: Tensor, half: float, foreign: float | None = None) -> Figure:
    """How often each cosine occurs, for pairs that belong together and for pairs that do not.

    Args:
        true: Cosines of pairs that belong together, any shape.
        false: Cosines of the other pairs, any shape.
        half: The cosine at which the probability is one half, -b/t.
        foreign: A threshold that was made for another model.
    """
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
        bins = np.linspace(-1, 0.5, 61)
        for values, colour, name in [(false, NEUTRAL, "other"), (true, JOINT, "own")]:
            values = values.flatten().numpy()
            shares = np.full(len(values), 1 / len(values))
            axes.hist(
                values, bins, weights=shares, color=colour, alpha=0.6, label=f"{name} caption"
            )
        top = axes.get_ylim()[1]
        axes.axvline(half, color=JOINT, linewidth=1.2)
        axes.text(half - 0.02, top, f"one half\nat {half:.3f}", color=JOINT, ha="right", va="top")
        if foreign is not None:
            axes.axvline(foreign, color=MISTAKE, linewidth=1.2, linestyle="--")
            words = f"{foreign:.2f}, made for\nanother model"
            axes.text(foreign + 0.02, top, words, color=MISTAKE, va="top")
        axes.set(xlabel="cosine", ylabel="share of pairs", xlim=(-1, 0.65))
        axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
        axes.legend(loc="center left", bbox_to_anchor=(0, 0.5))
        figure.tight_layout()
    return figure


def two_answers(pictures, labels: list[str], sigmoid: Tensor, softmax: Tensor) -> Figure:
    """Each picture beside what sigmoid and what softmax say of each label.

    Args:
        pictures: PIL images.
        labels: The labels, the same for all pictures.
        sigmoid: Probabilities `[n_img, n_labels]`.
        softmax: Shares `[n_img, n_labels]`.
    """
    with drawing():
        figure, grid = plt.subplots(
            len(pictures), 3,
            figsize=(WIDTH, 1.6 * len(pictures) + 0.4), width_ratios=[1, 1.2, 1.2], squeeze=False,
        )  # fmt: skip
        for (left, *panels), picture, *rows in zip(grid, pictures, sigmoid, softmax, strict=True):
            left.imshow(picture)
            left.axis("off")
            for axes, row, colour in zip(panels, rows, (JOINT, NEUTRAL), strict=True):
                axes.barh(labels, row.tolist(), color=colour)
                axes.invert_yaxis()
                axes.set(xlim=(0, 1.5), xticks=[])
                axes.spines["bottom"].set_visible(False)
                axes.tick_params(axis="y", length=0, colors="black")
                for i, value in enumerate(row.tolist()):
                    axes.text(value + 0.03, i, f"{value:.0%}", va="center")
            panels[1].set_yticks([])
        grid[0, 1].set_title("sigmoid: probability")
        grid[0, 2].set_title("softmax: share")
        figure.tight_layout(w_pad=0.5)
    return figure


def tower_outputs(config: VisionConfig) -> Figure:
    """The image tower from top to bottom, and the name of what leaves each part.

    Args:
        config: Shape of the image tower.
    """
    n = config.depth
    tokens, vector = f"[B, {config.num_patches}, {config.width}]", f"[B, {config.width}]"
    rows = [
        ("embeddings", "hidden_states[0]", tokens),
        (f"layers 1 … {n - 2}", "…", ""),
        (f"layer {n - 1}", "hidden_states[-2]", tokens),
        (f"layer {n}", "hidden_states[-1]", tokens),
        ("post_layernorm", "last_hidden_state", tokens),
        ("head", "pooler_output", vector),
    ]
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
        axes.set(xlim=(0, 100), ylim=(0, 100))
        axes.axis("off")
        for i, (part, name, shape) in enumerate(rows):
            y = 93 - 17 * i
            box(axes, (16, y), 30, 11, IMAGE, bright=True)
            axes.text(16, y, part, ha="center", va="center", color="white")
            arrow(axes, (31.5, y), (39, y))
            if i:
                arrow(axes, (16, y + 11.5), (16, y + 5.5))
            axes.text(41, y, name, va="center", color=IMAGE, family="monospace")
            axes.text(100, y, shape, va="center", ha="right", color=NEUTRAL, family="monospace")
        figure.subplots_adjust(0, 0, 1, 1)
    return figure
