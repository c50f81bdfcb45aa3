"""The book's figures: tensors in, a matplotlib `Figure` out.

One visual language: blue is the image side, orange the text side, green what joins them, red a
mistake, grey the rest. Needs matplotlib (the extra "notebooks"); nothing else in the package
imports it.
"""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from dataclasses import astuple
from html import escape
from io import BytesIO

import numpy as np
from torch import Tensor

try:
    from matplotlib import pyplot as plt
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'siglip_lab.plots draws with matplotlib, which the extra "notebooks" brings: '
        f"pip install 'siglip-lab[notebooks]' ({error})",
        name=error.name,
    ) from error
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator, NullLocator

from siglip_lab.clip.configs import CLIPConfig
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.counting import Count, count_flops, count_parameters

__all__ = [
    "IMAGE", "TEXT", "JOINT", "MISTAKE", "NEUTRAL", "walk", "clip_walk", "minimap", "patch_grid",
    "images", "histograms", "probabilities", "shares", "triangle",
    "curves", "token_row", "cosine_map", "columns", "TextCleaner", "MergeSteps",
    "AttentionMap", "attention_map", "heat_maps",
    "angles", "probability_curves", "cosines", "two_answers", "tower_outputs",
    "patch_to_token", "cosine_maps",
    "questions", "pair_gradients", "first_losses", "drift",
    "parameter_areas", "ParameterMap",
    "layer_costs", "cost_curves", "rooflines", "training_memory", "star_sweep", "ShapeExplorer",
    "loss_to_scale", "ring", "memory_curves", "batch_sizes", "differences", "fair_race",
    "reliability",
]  # fmt: skip

IMAGE, TEXT, JOINT, MISTAKE, NEUTRAL = "#2F6DB5", "#D9822B", "#2E8B57", "#C0392B", "#6B7280"

_STYLE = {
    "figure.dpi": 150, "savefig.dpi": 150, "figure.facecolor": "white", "font.size": 11,
    "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": NEUTRAL, "xtick.color": NEUTRAL, "ytick.color": NEUTRAL,
    "legend.frameon": False,
}  # fmt: skip


_WIDTH = 5.6  # inches; the site shows 600 pixels


@contextmanager
def _style():
    """The book's look; the figure is handed over closed, so that a notebook shows it once."""
    with plt.rc_context(_STYLE):
        yield
    plt.close("all")


def walk(config: SigLIPConfig, photo, captions: list[str]) -> Figure:
    """The map of the whole walk, with the shape of every station.

    Args:
        config: The model whose shapes are written on the map.
        photo: A PIL image for the first station of the image side.
        captions: Texts for the first station of the text side.
    """
    vision, text, n = config.vision, config.text, len(captions)
    grid, tokens = vision.grid_size, [1, vision.num_patches, vision.width]
    left = [
        ("resize, scale", [1, 3, vision.image_size, vision.image_size]),
        (f"{grid} × {grid} patches → tokens", tokens),
        (f"{vision.depth} encoder layers", tokens),
        ("MAP head, normalise", [1, vision.width]),
    ]
    right = [
        ("cut into pieces, pad", [n, text.context_length]),
        ("look up, add positions", [n, text.context_length, text.width]),
        (f"{text.depth} encoder layers", [n, text.context_length, text.width]),
        ("last token, normalise", [n, config.embed_dim]),
    ]
    end = ("cosine × t + b, then sigmoid", "one probability for each caption")
    return _two_sides(photo, captions, left, right, *end)


def clip_walk(config: CLIPConfig, photo, captions: list[str]) -> Figure:
    """The same map for a CLIP whose image tower is a ViT.

    Args:
        config: The model whose shapes are written on the map.
        photo: A PIL image for the first station of the image side.
        captions: Texts for the first station of the text side.
    """
    vision, text, n = config.vision, config.text, len(captions)
    tokens = [1, 1 + vision.num_patches, vision.width]
    words = [n, text.context_length, text.width]
    left = [
        ("resize, cut, scale", [1, 3, vision.image_size, vision.image_size]),
        (f"class token + {vision.num_patches} patches", tokens),
        (f"{vision.depth} encoder layers", tokens),
        ("class token × matrix", [1, config.embed_dim]),
    ]
    right = [
        ("byte pairs, start, end", words[:2]),
        ("look up, add positions", words),
        (f"{text.depth} layers with a mask", words),
        ("end token × matrix", [n, config.embed_dim]),
    ]
    end = ("cosine × t, then softmax", "shares of one: which caption is it?")
    return _two_sides(photo, captions, left, right, *end)


def _two_sides(photo, captions, left, right, meeting: str, ending: str) -> Figure:
    """Stations of the image side and of the text side, and where they meet."""
    with _style():
        figure, axes = plt.subplots(figsize=(5.0, 4.9))
        axes.set(xlim=(0, 100), ylim=(-5, 100))
        axes.axis("off")
        for x, colour, stations in ((25, IMAGE, left), (75, TEXT, right)):
            for i, (label, shape) in enumerate(stations):
                y = 72 - 16 * i
                _arrow(axes, (x, y + 10.5), (x, y + 5.5))
                _station(axes, (x, y), 48, label, shape, colour)
            _arrow(axes, (x, 18.5), (50 + (x - 50) * 0.5, 11.5))
        _station(axes, (50, 6), 62, meeting, [1, len(captions)], JOINT)
        axes.text(50, -2.6, ending, ha="center", va="center", color=JOINT)
        inset = axes.inset_axes([0.12, 0.83, 0.26, 0.17])
        inset.imshow(photo)
        inset.axis("off")
        middle = (len(captions) - 1) / 2
        gap = min(7, 5.8 / max(middle, 0.5))
        for i, caption in enumerate(captions):
            y = 91.5 + gap * (middle - i)
            axes.text(75, y, f"“{caption}”", ha="center", va="center", color=TEXT)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


_STEPS = {  # name -> centre, width, colour, label on the small map
    "preprocess": ((12, 75), 22, IMAGE, "preprocess"),
    "patchify": ((36, 75), 22, IMAGE, "patchify"),
    "text": ((24, 25), 46, TEXT, "text"),
    "encoder": ((60, 50), 22, NEUTRAL, "encoder"),
    "pooling": ((84, 50), 22, NEUTRAL, "pooling"),
    "towers": ((108, 50), 22, JOINT, "two towers"),
}
_AFTER = {"loss": ((130, 50), 18, JOINT, "loss")}  # what comes after the walk


def minimap(lit: str) -> Figure:
    """The chapters of the walk in one row, with one of them lit.

    Args:
        lit: One of preprocess, patchify, text, encoder, pooling, towers, loss. The last is no
            step of the walk, and is drawn only when it is lit.

    Raises:
        ValueError: If there is no such step.
    """
    steps = _STEPS | (_AFTER if lit in _AFTER else {})
    if lit not in steps:
        raise ValueError(f"no step {lit!r}; the steps are {', '.join(_STEPS | _AFTER)}")
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 1.0))
        axes.set(xlim=(0, 20 * len(steps)), ylim=(0, 100))
        axes.axis("off")
        for step, (centre, width, colour, label) in steps.items():
            _box(axes, centre, width, 36, colour, bright=step == lit)
            ink = "white" if step == lit else "#374151"
            axes.text(*centre, label, ha="center", va="center", color=ink, fontsize=10.5)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def _station(axes, centre, width, label, shape, colour) -> None:
    x, y = centre
    _box(axes, centre, width, 10, colour, bright=True)
    axes.text(x, y + 2.1, label, ha="center", va="center", color="white")
    axes.text(
        x, y - 2.5, "[" + ", ".join(map(str, shape)) + "]", ha="center", va="center",
        color="white", family="monospace", fontsize=9.5,
    )  # fmt: skip


def _box(axes, centre, width, height, colour, bright) -> None:
    (x, y), face = centre, colour if bright else colour + "22"
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, facecolor=face, edgecolor=colour,
            boxstyle="round,pad=0,rounding_size=1.5", mutation_aspect=1, linewidth=1.2,
        )
    )  # fmt: skip


def _arrow(axes, start, end) -> None:
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=NEUTRAL, linewidth=1)
    )


def patch_grid(picture, patch_size: int) -> Figure:
    """A picture under its grid of patches; the margin that no patch covers is marked in red.

    Args:
        picture: A PIL image.
        patch_size: Side of a patch in pixels.
    """
    width, height = picture.size
    right, bottom = (side - side % patch_size for side in (width, height))
    with _style():
        figure, axes = plt.subplots(figsize=(4.2, 4.2))
        axes.imshow(picture, extent=(0, width, height, 0))
        lines = {"color": "white", "linewidth": 0.5}
        axes.vlines(range(0, right + 1, patch_size), 0, bottom, **lines)
        axes.hlines(range(0, bottom + 1, patch_size), 0, right, **lines)
        axes.axvspan(right, width, color=MISTAKE, alpha=0.85, linewidth=0)
        axes.axhspan(bottom, height, color=MISTAKE, alpha=0.85, linewidth=0)
        axes.set(xlim=(0, width), ylim=(height, 0), xticks=[0, right], yticks=[0, bottom])
        axes.set_xticks([width], minor=True, labels=[f"\n{width}"])
        axes.set_yticks([height], minor=True, labels=[f"\n{height}"])
        axes.set(xlabel="pixels", ylabel="pixels")
        axes.spines[:].set_visible(False)
        figure.tight_layout()
    return figure


def images(pictures, titles, columns: int | None = None) -> Figure:
    """Pictures side by side, each under its title, all of a row to the same scale.

    Args:
        pictures: PIL images or arrays `[H, W]` or `[H, W, 3]`; grey arrays are shown in greys.
        titles: One for each picture.
        columns: Pictures in a row; default: all.
    """
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    sizes = [np.asarray(picture).shape[:2] for picture in pictures]  # height, width
    widths = [max(width for _, width in sizes[i::columns]) for i in range(columns)]
    height = (_WIDTH - 0.4) / sum(widths) * max(height for height, _ in sizes) + 0.4  # inches
    with _style():
        figure, grid = plt.subplots(
            rows, columns, figsize=(_WIDTH, height * rows), width_ratios=widths, squeeze=False
        )
        for axes in grid.flat[len(pictures) :]:
            axes.axis("off")
        for axes, picture, title in zip(grid.flat, pictures, titles, strict=False):
            axes.imshow(picture, cmap="gray", interpolation="auto")
            axes.set(title=title, xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color="#D1D5DB")
        figure.tight_layout()
    return figure


def histograms(groups: dict[str, Tensor], xlabels: list[str], limits: list[tuple]) -> Figure:
    """How often each value occurs, channel by channel; one panel for each tensor.

    Args:
        groups: Title to tensor `[3, H, W]` (red, green, blue).
        xlabels: The unit of each panel.
        limits: The smallest and the largest value that each panel shows.
    """
    with _style():
        figure, panels = plt.subplots(1, len(groups), figsize=(_WIDTH, 2.6))
        for axes, (title, tensor), xlabel, ends in zip(
            panels, groups.items(), xlabels, limits, strict=True
        ):
            for name, channel, line in zip("RGB", tensor, ("-", "--", ":"), strict=True):
                counts, edges, _ = axes.hist(
                    channel.flatten().numpy(), bins=40, range=ends,
                    histtype="step", color=IMAGE, linestyle=line,
                )  # fmt: skip
                peak = counts.argmax()
                axes.text(edges[peak], counts[peak] * 1.03, name, ha="center")
            axes.set(title=title, xlabel=xlabel, yticks=[], xlim=ends)
            axes.margins(y=0.15)
        panels[0].set_ylabel("pixels")
        figure.tight_layout()
    return figure


def probabilities(pictures, labels: list[str], values: Tensor) -> Figure:
    """Each picture beside the probability of each label.

    Args:
        pictures: PIL images.
        labels: The labels, the same for all pictures.
        values: Probabilities `[n_img, n_labels]`.
    """
    with _style():
        figure, grid = plt.subplots(
                len(pictures), 2,
            figsize=(_WIDTH, 2.1 * len(pictures)), width_ratios=[1, 3], squeeze=False,
        )  # fmt: skip
        for (left, right), picture, row in zip(grid, pictures, values.tolist(), strict=True):
            left.imshow(picture)
            left.axis("off")
            right.barh(labels, row, color=JOINT)
            right.invert_yaxis()
            right.set(xlim=(0, 1.18))
            right.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
            right.tick_params(axis="y", length=0, colors="black")
            for i, value in enumerate(row):
                right.text(value + 0.015, i, f"{value:.1%}", va="center")
        grid[-1, 1].set_xlabel("probability")
        figure.tight_layout()
    return figure


def shares(values: dict[str, float], good: str | tuple[str, ...]) -> Figure:
    """Horizontal bars of shares from 0 to 1, from top to bottom.

    Args:
        values: Name to share.
        good: The name, or names, whose bar is no mistake.
    """
    good = (good,) if isinstance(good, str) else good
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 0.36 * len(values) + 0.7))
        colours = [NEUTRAL if name in good else MISTAKE for name in values]
        axes.barh(list(values), list(values.values()), color=colours)
        axes.invert_yaxis()
        axes.set(xlabel="share of drawings whose label is found", xlim=(0, 1.12))
        axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.tick_params(axis="y", length=0, colors="black")
        for i, value in enumerate(values.values()):
            axes.text(value + 0.01, i, f"{value:.1%}", va="center")
        figure.tight_layout()
    return figure


def triangle(row, centre: float, reach: float) -> Figure:
    """A row of pixels under the triangle that one new pixel looks through.

    Args:
        row: Levels `[n]`, 0 to 255.
        centre: Centre of the new pixel, in old pixels from the left edge.
        reach: Half of the triangle's foot, in old pixels.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 2.2))
        frame = (0, len(row), -0.6, 0)
        axes.imshow(np.asarray(row)[None], cmap="gray", extent=frame, vmin=0, vmax=255)
        axes.axhline(0, color=NEUTRAL, linewidth=1)
        axes.axhline(-0.6, color=NEUTRAL, linewidth=1)
        foot = [centre - reach, centre, centre + reach]
        axes.fill(foot, [0, 1, 0], color=IMAGE, alpha=0.25, linewidth=0)
        for i, level in enumerate(row):
            ink = "white" if level < 128 else "black"
            axes.text(i + 0.5, -0.3, str(level), ha="center", va="center", color=ink)
            weight = 1 - abs(i + 0.5 - centre) / reach
            if weight > 0:
                axes.plot([i + 0.5, i + 0.5], [0, weight], color=IMAGE)
                share = f"{weight / reach * 8:.0f}/8"
                axes.text(i + 0.5, weight + 0.06, share, ha="center", color=IMAGE)
        axes.set(xlim=(0, len(row)), ylim=(-0.62, 1.1), aspect="auto")
        axes.axis("off")
        figure.tight_layout()
    return figure


def curves(x, ys: dict[str, np.ndarray], xlabel: str, ylabel: str, colour: str = IMAGE) -> Figure:
    """Curves over a common axis.

    Args:
        x: Values `[n]`.
        ys: Name to values `[n]`.
        xlabel: What x is, with its unit.
        ylabel: What the curves are, with their unit.
        colour: Of all of them.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 2.8))
        for (name, y), line in zip(ys.items(), ("-", "--", ":"), strict=False):
            axes.plot(x, y, line, color=colour, label=name)
        axes.axhline(0, color=NEUTRAL, linewidth=0.6)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(ys))
        figure.tight_layout()
    return figure


def token_row(text: str, pieces: list[str], ids: list[int], length: int) -> Figure:
    """A text, its pieces with their ids, and the places of the row that they take.

    Args:
        text: The text.
        pieces: Its pieces, the end token among them.
        ids: Their ids.
        length: Places L in the row.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 2.3))
        axes.set(xlim=(-0.5, length + 0.5), ylim=(-13, 100))
        axes.axis("off")
        axes.text(length / 2, 92, f"“{text}”", ha="center", va="center", color=TEXT, fontsize=13)
        step = length / len(pieces)
        for i, (piece, number) in enumerate(zip(pieces, ids, strict=True)):
            x, face = (i + 0.5) * step, TEXT + ("22" if piece == "</s>" else "")
            ink = TEXT if piece == "</s>" else "white"
            box = plt.Rectangle((i * step + 0.02 * length / 2, 48), step - 0.02 * length, 26)
            box.set(facecolor=face, edgecolor=TEXT)
            axes.add_patch(box)
            axes.text(x, 61, piece, ha="center", va="center", color=ink)
            axes.text(x, 41, str(number), ha="center", va="center", color=TEXT)
            axes.plot([x, i + 0.5], [34, 21], color=TEXT, linewidth=0.6)
        for i in range(length):
            full = i < len(pieces) and pieces[i] != "</s>"
            square = plt.Rectangle((i + 0.08, 8), 0.84, 12, linewidth=0.6)
            square.set(facecolor=TEXT if full else TEXT + "22", edgecolor=TEXT)
            axes.add_patch(square)
        axes.text(0, -6, f"{length} places", ha="left", va="center", color=NEUTRAL)
        middle = (len(pieces) + length) / 2
        axes.text(middle, -6, "filled up with id 1", ha="center", va="center", color=NEUTRAL)
        axes.text(length, -6, "read here", ha="right", va="center", color=JOINT)
        last = plt.Rectangle((length - 1, 5.5), 1, 17, linewidth=2)
        last.set(facecolor="none", edgecolor=JOINT)
        axes.add_patch(last)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def cosine_map(vectors: Tensor, label: str) -> Figure:
    """The cosine of each vector with each, as a square of colours; and each vector's length.

    Args:
        vectors: `[n, D]`.
        label: What the vectors are counted by.
    """
    lengths = vectors.norm(dim=-1, keepdim=True)
    cosines = (vectors / lengths) @ (vectors / lengths).T
    with _style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(_WIDTH, 2.9), width_ratios=[1.25, 1])
        greys_to_orange = LinearSegmentedColormap.from_list("", [NEUTRAL, "white", TEXT])
        shown = left.imshow(cosines.cpu().numpy(), cmap=greys_to_orange, vmin=-1, vmax=1)
        bar = figure.colorbar(shown, ax=left, shrink=0.85, ticks=[-1, 0, 1])
        bar.outline.set_visible(False)
        left.set(xlabel=label, ylabel=label, title="cosine")
        for axis in (left.xaxis, left.yaxis, right.xaxis):
            axis.set_major_locator(MaxNLocator(4, integer=True))
        right.bar(range(len(vectors)), lengths[:, 0].tolist(), color=TEXT)
        right.set(xlabel=label, title="length")
        figure.tight_layout()
    return figure


def columns(xs: list[int], values: list[float], good: int, xlabel: str) -> Figure:
    """A column of accuracy for each x; all but one are mistakes.

    Args:
        xs: Whole numbers, one for each column.
        values: Shares, 0 to 1.
        good: The x whose column is no mistake.
        xlabel: What x is.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 2.9))
        colours = [NEUTRAL if x == good else MISTAKE for x in xs]
        axes.bar(xs, values, color=colours, width=0.7)
        for x, value in zip(xs, values, strict=True):
            axes.text(x, value + 0.02, f"{100 * value:.0f}", ha="center", fontsize=10)
        axes.set(xlabel=xlabel, ylabel="accuracy", ylim=(0, 1.12), xticks=xs)
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        figure.tight_layout()
    return figure


class TextCleaner:
    """A field to type in, on the site: three ways to clean a text, its pieces, its row of ids.

    Args:
        scores: Every piece with its log-probability, from id 3 on, in the order of the ids.
        tokenizer: The `Tokenizer` of the same vocabulary, for what is shown without scripts.
        text: What stands in the field to begin with.
    """

    def __init__(self, scores: dict[str, float], tokenizer, text: str):
        self.scores, self.text = scores, text
        self.pieces, self.ids = tokenizer.pieces(text), tokenizer.encode(text)

    def __repr__(self) -> str:
        return f"TextCleaner({len(self.scores)} pieces, {self.text!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: the pieces of the text."""
        vocabulary = " ".join(f"{piece} {score:.9g}" for piece, score in self.scores.items())
        cells = [("piece", self.pieces), ("id", self.ids)]
        rows = "".join(
            f"<tr><th scope='row'>{name}</th>"
            + "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
            + "</tr>"
            for name, row in cells
        )
        return (
            f'<text-cleaner class="touchable" data-vocabulary="{escape(vocabulary)}"'
            f' data-text="{escape(self.text)}">\n<p>“{escape(self.text)}” becomes</p>\n'
            f"<table>{rows}</table>\n</text-cleaner>"
        )


class MergeSteps:
    """Byte pairs that join to pieces, to touch: choose a word, then go from merge to merge.

    Args:
        words: A word to its states and its ids. A state is a list of pieces and, for each pair of
            neighbours, its place in the list of merges, or None.
        word: The word that is chosen to begin with.
    """

    def __init__(self, words: dict[str, tuple[list[tuple[list[str], list]], list[int]]], word: str):
        self.words, self.word = words, word

    def __repr__(self) -> str:
        return f"MergeSteps({len(self.words)} words, {self.word!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: the states of one word."""
        states = {
            word: {"states": states, "ids": ids} for word, (states, ids) in self.words.items()
        }
        rows = "".join(
            f"<tr><th scope='row'>{step}</th><td>{escape(' '.join(pieces))}</td></tr>"
            for step, (pieces, _) in enumerate(self.words[self.word][0])
        )
        data = escape(json.dumps(states, separators=(",", ":")))
        return (
            f'<merge-steps class="touchable" data-word="{escape(self.word)}"'
            f' data-words="{data}">\n<p>“{escape(self.word)}”, merge by merge</p>\n'
            f"<table>{rows}</table>\n</merge-steps>"
        )


def attention_map(
    picture, weights: Tensor, patch_size: int, query: int = 0, layers=None, asker="the probe"
) -> AttentionMap:
    """Attention weights over a picture, to touch: choose the layer, the head and the query.

    Args:
        picture: A PIL image as the model receives it; pixels that no patch covers turn red.
        weights: Softmax weights `[layers, heads, queries, keys]`. The keys are the picture's
            patches, row by row; the queries are the same patches, or a single one. They are
            rounded to thousandths: float64 rounds alike on every machine, float32 nearly so.
        patch_size: Side of a patch in pixels.
        query: The patch that is marked to begin with.
        layers: Names of the layers; default: "layer 0" and so on.
        asker: Who looks where there is a single query.

    Raises:
        ValueError: If the weights do not fit the picture's patches.
    """
    side = picture.width // patch_size
    shape = tuple(weights.shape)
    if len(shape) != 4 or shape[2] not in (1, side**2) or shape[3] != side**2:
        raise ValueError(
            f"weights have shape {shape}; expected [layers, heads, {side**2} or 1, {side**2}] "
            f"for a picture of {picture.width} pixels and patches of {patch_size}"
        )
    layers = layers or [f"layer {i}" for i in range(shape[0])]
    thousandths = (weights.detach().cpu() * 1000).round().int()
    return AttentionMap(picture, thousandths, patch_size, query, layers, asker)


class AttentionMap:
    """What `attention_map` returns; shows itself in a notebook and, with buttons, on the site."""

    def __init__(self, picture, thousandths, patch_size, query, layers, asker):
        self.picture, self.thousandths, self.patch_size = picture, thousandths, patch_size
        self.query, self.layers, self.asker = query, layers, asker

    def __repr__(self) -> str:
        counts = zip(self.thousandths.shape, ("layers", "heads", "queries", "keys"), strict=True)
        return f"AttentionMap({', '.join(f'{count} {name}' for count, name in counts)})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: layer 0, mean of the heads."""
        data = {
            "weights": " ".join(map(str, self.thousandths.flatten().tolist())),
            "layers": "|".join(self.layers),
            "heads": self.thousandths.shape[1],
            "query": self.query,
            "asker": self.asker,
        }
        attributes = " ".join(f'data-{name}="{escape(str(data[name]))}"' for name in data)
        return f'<attention-map class="touchable" {attributes}>\n{self._svg()}\n</attention-map>'

    def _svg(self) -> str:
        """The picture under its grid, each patch with its share in percent under a veil."""
        size, step = self.picture.width, self.patch_size
        seen = size - size % step
        mean = self.thousandths[0].float().mean(dim=0)  # [queries, keys]
        row = mean[self.query if len(mean) > 1 else 0].tolist()
        spots = [(x, y) for y in range(0, seen, step) for x in range(0, seen, step)]
        square = f'width="{step}" height="{step}"'
        veils = "".join(
            f'<rect class="am-veil" x="{x}" y="{y}" {square}'
            f' fill-opacity="{0.8 * (1 - weight / max(row)):.2f}"/>'
            for (x, y), weight in zip(spots, row, strict=True)
        )
        numbers = "".join(
            f'<text class="am-number" x="{x + step / 2}" y="{y + step / 2}">'
            f"{int((weight + 5) // 10) or ''}</text>"
            for (x, y), weight in zip(spots, row, strict=True)
        )
        x, y = spots[self.query]
        return (
            f'<svg viewBox="0 0 {size} {size}" width="320" role="img" aria-label="The picture under'
            f' its patches; each carries its share of the attention in percent">'
            f'<image href="{_bitmap(self.picture)}" width="{size}" height="{size}"/>'
            f'<path class="am-margin" fill="{MISTAKE}" fill-opacity="0.85"'
            f' d="M{seen} 0H{size}V{size}H0V{seen}H{seen}Z"/>'
            f'<g stroke="white" stroke-width="{size / 200}">{veils}</g>'
            f'<g font-size="{step * 0.34:.2f}" fill="white" stroke="#111827" text-anchor="middle"'
            f' stroke-width="{step / 15:.2f}" paint-order="stroke" dominant-baseline="central"'
            f' pointer-events="none">{numbers}</g>'
            f'<g class="am-mark" transform="translate({x} {y})" fill="none" pointer-events="none">'
            f'<rect {square} stroke="white" stroke-width="{size / 40}"/>'
            f'<rect {square} stroke="{IMAGE}" stroke-width="{size / 80}"/></g>'
            "</svg>"
        )


def _bitmap(picture) -> str:
    """A picture as a link to itself, uncompressed: the same text on every machine."""
    file = BytesIO()
    picture.convert("RGB").save(file, "BMP")
    return "data:image/bmp;base64," + base64.b64encode(file.getvalue()).decode()


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
    with _style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(_WIDTH, 3.0), width_ratios=[1, 1.25])
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
        right.plot(cosines, _sigmoid(t * cosines + b), color=JOINT)
        right.axhline(0.5, color=NEUTRAL, linewidth=0.8, linestyle="--")
        for vector, name in zip(vectors[1:], names[1:], strict=True):
            cosine = vector @ vectors[0] / np.linalg.norm(vector) / np.linalg.norm(vectors[0])
            right.plot(cosine, _sigmoid(t * cosine + b), "o", color=JOINT, clip_on=False)
            right.annotate(
                name, (cosine, _sigmoid(t * cosine + b)), (-8, 3), ha="right",
                textcoords="offset points", color=TEXT,
            )  # fmt: skip
        right.set(xlabel="cosine", ylabel="probability", title="scale, bias, sigmoid")
        right.set(xlim=(-1, 1), ylim=(0, 1))
        right.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        figure.tight_layout()
    return figure


def probability_curves(
    scalars: dict[str, tuple[float, float]], limits: tuple, marks: dict[str, float] | None = None
) -> Figure:
    """The probability over the cosine for several models; a dot where it is one half.

    Args:
        scalars: Name to logit scale t (not its log) and logit bias.
        limits: The smallest and the largest cosine shown.
        marks: Caption to its cosine, shown on the first model's curve.
    """
    cosines = np.linspace(*limits, 400)
    lines = ("-", "--", ":", "-.")
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.2))
        axes.axhline(0.5, color=NEUTRAL, linewidth=0.8)
        for i, (name, (t, b)) in enumerate(scalars.items()):
            line = lines[i % len(lines)]
            axes.plot(cosines, _sigmoid(t * cosines + b), line, color=JOINT, label=name)
            if limits[0] <= -b / t <= limits[1]:
                axes.plot(-b / t, 0.5, "o", color=JOINT, markersize=5)
        t, b = next(iter(scalars.values()))
        for name, cosine in (marks or {}).items():
            p = _sigmoid(t * cosine + b)
            axes.plot(cosine, p, "o", color=TEXT, markersize=8)
            axes.annotate(
                f"{name}  {p:.1%}", (cosine, p), (-10, 4), textcoords="offset points", ha="right"
            )
        axes.set(xlabel="cosine", ylabel="probability", xlim=limits, ylim=(0, 1.02))
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=2)
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
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.0))
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
    with _style():
        figure, grid = plt.subplots(
            len(pictures), 3,
            figsize=(_WIDTH, 1.6 * len(pictures) + 0.4), width_ratios=[1, 1.2, 1.2], squeeze=False,
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
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.4))
        axes.set(xlim=(0, 100), ylim=(0, 100))
        axes.axis("off")
        for i, (part, name, shape) in enumerate(rows):
            y = 93 - 17 * i
            _box(axes, (16, y), 30, 11, IMAGE, bright=True)
            axes.text(16, y, part, ha="center", va="center", color="white")
            _arrow(axes, (31.5, y), (39, y))
            if i:
                _arrow(axes, (16, y + 11.5), (16, y + 5.5))
            axes.text(41, y, name, va="center", color=IMAGE, family="monospace")
            axes.text(100, y, shape, va="center", ha="right", color=NEUTRAL, family="monospace")
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def _sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def patch_to_token(picture, patch_size: int, row: int, column: int, token: Tensor) -> Figure:
    """One patch of a picture, its numbers in the order of the kernel, and the token they become.

    Args:
        picture: A PIL image, RGB.
        patch_size: Side of a patch in pixels.
        row: Row of the patch in the grid, from 0.
        column: Column of the patch in the grid, from 0.
        token: What the patch becomes, `[D]`.
    """
    p, (width, height) = patch_size, picture.size
    top, left = row * p, column * p
    patch = np.asarray(picture)[top : top + p, left : left + p]  # [P, P, 3]
    numbers = patch.transpose(2, 0, 1).reshape(1, -1)  # channel, row, column
    with _style():
        figure = plt.figure(figsize=(_WIDTH, 4.0))
        above = figure.add_gridspec(1, 3, bottom=0.45, top=0.93, left=0.01, right=0.99)
        photo, large, channels = (figure.add_subplot(cell) for cell in above)
        photo.imshow(picture, interpolation="auto")
        frame = {"fill": False, "edgecolor": IMAGE, "linewidth": 2.5}
        photo.add_patch(plt.Rectangle((left - p / 2, top - p / 2), 2 * p, 2 * p, **frame))
        photo.set_title(f"{width} × {height} pixels")
        large.imshow(patch)
        large.set_title(f"one patch, {p} × {p}")
        channels.set_title("red, green, blue")
        channels.set(xlim=(0, p + 8), ylim=(p + 8, 0), aspect="equal")
        for i in range(3):  # three sheets, the first in front
            x = 4 * (2 - i)
            sheet = channels.inset_axes([x, x, p, p], transform=channels.transData, zorder=3 - i)
            sheet.imshow(patch[..., i], cmap="gray", vmin=0, vmax=255)
            sheet.set(xticks=[], yticks=[])
            sheet.spines[:].set(visible=True, color="white", linewidth=1.5)
        for axes in (photo, large, channels):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=axes is large, color=IMAGE, linewidth=2)
        strips = [
            (numbers, f"{numbers.size} numbers: red, row by row, then green, then blue", "gray"),
            (token.reshape(1, -1), f"one token, {len(token)} numbers", "Blues"),
        ]
        for bottom, (strip, title, colours) in zip((0.29, 0.02), strips, strict=True):
            axes = figure.add_axes([0.01, bottom, 0.98, 0.07])
            axes.imshow(strip, cmap=colours, aspect="auto", interpolation="nearest")
            axes.set_title(title, pad=3)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        figure.text(0.5, 0.22, "↓  times a matrix, plus a bias", ha="center", va="center")
    return figure


def cosine_maps(tables: dict[str, Tensor], tiles: int) -> Figure:
    """How alike the position embeddings are: for some places, one small map of the whole grid.

    Args:
        tables: Title to a table of position embeddings `[N, D]` of a square grid.
        tiles: How many places along a side get their own map; they are spread evenly.
    """
    colours = LinearSegmentedColormap.from_list("cosine", [NEUTRAL, "white", IMAGE])
    with _style():
        figure, panels = plt.subplots(
            1, len(tables), figsize=(_WIDTH, (_WIDTH - 0.7) / len(tables) + 1.65),
            squeeze=False, layout="constrained",
        )  # fmt: skip
        for axes, (title, table) in zip(panels[0], tables.items(), strict=True):
            side = round(len(table) ** 0.5)
            rows = table.float() / table.float().norm(dim=1, keepdim=True)
            cosines = (rows @ rows.T).reshape(side, side, side, side).cpu().numpy()
            places = np.linspace(0, side - 1, tiles).round().astype(int)
            gap = max(1, side // 9)
            picture = np.full([tiles * (side + gap) - gap] * 2, np.nan)
            for i, row in enumerate(places):
                for j, column in enumerate(places):
                    y, x = i * (side + gap), j * (side + gap)
                    picture[y : y + side, x : x + side] = cosines[row, column]
            shown = axes.imshow(picture, cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
            middles = np.arange(tiles) * (side + gap) + (side - 1) / 2
            axes.set_xticks(middles, places)
            axes.set_yticks(middles, places)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
            axes.set(title=title, xlabel="column of the place")
        panels[0, 0].set_ylabel("row of the place")
        bar = figure.colorbar(shown, ax=panels, location="bottom", shrink=0.5, aspect=30)
        bar.set_label("cosine with the place whose map it is")
        bar.set_ticks([-1, 0, 1])
        bar.outline.set_visible(False)
    return figure


def heat_maps(pictures, weights: Tensor, patch_size: int, titles: list[str]) -> Figure:
    """Each picture beside its attention maps: the brighter a patch, the more is taken from it.

    Under each map stands the largest share; every map is drawn relative to its own largest.

    Args:
        pictures: PIL images as the model receives them.
        weights: Shares `[pictures, maps, patches]`, the patches row by row.
        patch_size: Side of a patch in pixels.
        titles: One for each map.
    """
    with _style():
        count, maps, patches = weights.shape
        side = _WIDTH / (maps + 1)
        figure, grid = plt.subplots(
            count, maps + 1, figsize=(_WIDTH, (side + 0.22) * count + 0.2), squeeze=False
        )
        for row, picture, shares in zip(grid, pictures, weights.tolist(), strict=True):
            for axes, share in zip(row, [None, *shares], strict=True):
                size = picture.width
                axes.imshow(picture, extent=(0, size, size, 0))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if share is not None:
                    seen = size - size % patch_size
                    veil = 0.8 * (1 - np.reshape(share, (seen // patch_size, -1)) / max(share))
                    black = np.zeros_like(veil)
                    axes.imshow(
                        np.dstack([black, black, black, veil]), extent=(0, seen, seen, 0),
                        interpolation="nearest",
                    )  # fmt: skip
                    axes.set_xlabel(f"{max(share):.0%}", labelpad=3)
                    axes.set(xlim=(0, size), ylim=(size, 0))
        for axes, title in zip(grid[0, 1:], titles, strict=True):
            axes.set_title(title)
        figure.tight_layout(pad=0.3, w_pad=0.6)
    return figure


def questions(images: list[str], texts: list[str], asked: dict[str, list[list[bool]]]) -> Figure:
    """Which pairs of a batch one term of a loss looks at; one panel for each term.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        asked: Title to `[n_img][n_txt]`: true where the term looks.
    """
    with _style():
        figure, panels = plt.subplots(1, len(asked), figsize=(_WIDTH, 2.3), squeeze=False)
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
    with _style():
        figure, panels = plt.subplots(1, len(gradients), figsize=(_WIDTH, 2.9), squeeze=False)
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

    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.1))
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
    with _style():
        figure, panels = plt.subplots(1, len(histories), figsize=(_WIDTH, 2.8), sharey=True)
        for axes, (title, history) in zip(panels, histories.items(), strict=True):
            axes.axhline(0, color=NEUTRAL, linewidth=0.6)
            axes.plot(history[:, 0].numpy(), color=JOINT, label="own")
            axes.plot(history[:, 1].numpy(), "--", color=NEUTRAL, label="others")
            axes.set(title=title, xlabel="step", ylim=(-1, 1))
        panels[0].set_ylabel("mean cosine")
        panels[0].legend(loc="center right", bbox_to_anchor=(1, 0.68))
        figure.tight_layout()
    return figure


def loss_to_scale(n: int, width: int, chunk: int) -> Figure:
    """The logits of a batch, the vectors that they are made of, and one block, all to one scale.

    Args:
        n: Images, and texts, of the batch.
        width: Numbers D in a vector.
        chunk: Side of a block.
    """

    def gigabytes(*sides):
        return f"{4 * np.prod(sides, dtype=float) / 1e9:.2g} GB"

    with _style():
        figure, axes = plt.subplots(figsize=(4.4, 4.4))
        gap = 0.012 * n
        for corner, sides, colour in (
            ((0, 0), (n, n), JOINT + "30"),
            ((-width - gap, 0), (width, n), IMAGE),
            ((0, n + gap), (n, width), TEXT),
            ((0, n - chunk), (chunk, chunk), JOINT),
        ):
            axes.add_patch(plt.Rectangle(corner, *sides, facecolor=colour))
        centre = {"ha": "center", "va": "center"}
        words = f"all logits\n{n:,} × {n:,}\n{gigabytes(n, n)}"
        axes.text(n / 2, n / 2, words, color="#1F5F3F", fontsize=13, **centre)
        words = f"texts  {n:,} × {width:,}  {gigabytes(n, width)}"
        axes.text(n / 2, n + 2 * width, words, color=TEXT, **centre)
        words = f"images  {n:,} × {width:,}  {gigabytes(n, width)}"
        axes.text(-2.2 * width, n / 2, words, color=IMAGE, rotation=90, **centre)
        axes.annotate(
            f"one block, {chunk:,} × {chunk:,}, {4 * chunk**2 / 1e9:.3f} GB",
            (chunk, n - chunk), (0.09 * n, 0.86 * n), va="center", color="#1F5F3F",
            arrowprops={"arrowstyle": "-", "color": JOINT},
        )  # fmt: skip
        axes.set(xlim=(-3 * width, n), ylim=(0, n + 2.7 * width), aspect="equal")
        axes.axis("off")
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def ring(world: int) -> Figure:
    """Texts on their way around a ring of ranks: where they are in each step, which blocks of the
    batch's logits that makes, and which were made before.

    Args:
        world: Number of ranks.
    """
    with _style():
        figure, grid = plt.subplots(2, world, figsize=(_WIDTH, 3.4))
        for step, (top, bottom) in enumerate(grid.T):
            for rank in range(world):
                angle = np.pi / 4 - 2 * np.pi * rank / world
                x, y = -np.cos(angle), np.sin(angle)
                end = np.pi / 4 - 2 * np.pi * (rank + 1) / world
                curve = FancyArrowPatch(
                    (x, y), (-np.cos(end), np.sin(end)), arrowstyle="-|>", mutation_scale=8,
                    color="#D1D5DB", shrinkA=12, shrinkB=14, connectionstyle="arc3,rad=-0.25",
                )  # fmt: skip
                top.add_patch(curve)
                box = {"boxstyle": "square,pad=0.35", "facecolor": IMAGE, "edgecolor": "none"}
                centre = {"ha": "center", "va": "center", "color": "white", "fontsize": 10}
                top.text(x, y, str(rank), bbox=box, **centre)
                texts = {"boxstyle": "circle,pad=0.22", "facecolor": TEXT, "edgecolor": "white"}
                owner = (rank - step) % world
                top.text(x * 0.9 + 0.42, y - 0.42, str(owner), bbox=texts, **centre)
                for before in range(step + 1):
                    colour = JOINT if before == step else JOINT + "40"
                    corner = ((rank - before) % world - 0.45, rank - 0.45)
                    bottom.add_patch(plt.Rectangle(corner, 0.9, 0.9, facecolor=colour))
            top.set(xlim=(-1.3, 1.5), ylim=(-1.5, 1.3), aspect="equal", title=f"step {step}")
            top.axis("off")
            limits = (-0.5, world - 0.5)
            bottom.set(xlim=limits, ylim=limits[::-1], aspect="equal", xlabel="texts")
            bottom.set(xticks=range(world), yticks=range(world))
            bottom.tick_params(length=0, labelsize=10)
            bottom.tick_params(axis="x", colors=TEXT)
            bottom.tick_params(axis="y", colors=IMAGE)
            bottom.xaxis.label.set_color(TEXT)
            bottom.spines[:].set(visible=True, color="#D1D5DB")
        grid[1, 0].set_ylabel("images of rank", color=IMAGE)
        figure.tight_layout(w_pad=0.6, h_pad=0.4)
    return figure


def memory_curves(rows: list[dict]) -> Figure:
    """Measured memory of the losses over the batch size, on two logarithmic axes.

    Args:
        rows: Dictionaries with ``n`` and ``extra_gb``: name to a number or None. The one named
            siglip_lab is drawn in green.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.3))
        styles = iter((("--", "s"), (":", "^"), ("-.", "D")))
        for name in rows[0]["extra_gb"]:
            found = [(row["n"], row["extra_gb"].get(name)) for row in rows]
            found = [(n, gb) for n, gb in found if gb is not None]
            ours = name == "siglip_lab"
            line, marker = ("-", "o") if ours else next(styles)
            axes.plot(
                *zip(*found, strict=True), line, marker=marker, color=JOINT if ours else NEUTRAL,
                label=name, markersize=5,
            )  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="pairs n in the batch")
        axes.set_ylabel("memory, GB")
        sizes = [row["n"] for row in rows]
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
        figure.tight_layout()
    return figure


def batch_sizes(tables: dict[str, dict[int, tuple]]) -> Figure:
    """Accuracy over the batch size, of the sigmoid and of the softmax loss; a panel for each table.

    Args:
        tables: Title to batch size to the two accuracies in per cent; None where there is none.
    """
    ticks = {2**9: "512", 2**12: "4k", 2**15: "32k", 2**18: "256k"}
    with _style():
        figure, panels = plt.subplots(1, len(tables), figsize=(_WIDTH, 2.9))
        for axes, (title, table) in zip(panels, tables.items(), strict=True):
            axes.axvline(2**15, color="#D1D5DB", linewidth=1)
            for column, (name, line, colour) in enumerate(
                (("sigmoid", "o-", JOINT), ("softmax", "s--", NEUTRAL))
            ):
                found = [(n, pair[column]) for n, pair in table.items() if pair[column] is not None]
                axes.plot(*zip(*found, strict=True), line, color=colour, label=name, markersize=4)
            axes.set_xscale("log", base=2)
            shown = [n for n in ticks if min(table) <= n <= 1.2 * max(table)]
            axes.set_xticks(shown, [ticks[n] for n in shown])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
            axes.tick_params(labelsize=10)
            axes.set_title(title, fontsize=10.5)
        panels[0].set_ylabel("ImageNet accuracy, %")
        panels[len(tables) // 2].set_xlabel("pairs in the batch")
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="upper center", ncols=2)
        figure.tight_layout(w_pad=0.6, rect=(0, 0, 1, 0.93))
    return figure


def parameter_areas(counts: dict[str, Count]) -> Figure:
    """Models as rectangles in which area is parameters, to the same scale.

    Each tower is a column; its parts lie in the order in which a token meets them, from top to
    bottom, and a layer's attention beside its MLP. The scale and the bias are left out.

    Args:
        counts: Title to what `count_parameters` gave, of models without a ResNet.
    """
    most = max(count.total for count in counts.values())
    with _style():
        figure, panels = plt.subplots(
            1, len(counts), figsize=(_WIDTH, 5.0), squeeze=False, layout="constrained"
        )
        for axes, (title, count) in zip(panels[0], counts.items(), strict=True):
            towers = [(count.vision, "image", IMAGE), (count.text, "text", TEXT)]
            total, left = count.vision.total + count.text.total, 0.0
            height = total / most
            for tower, name, colour in towers:
                width = tower.total / total
                _tower_areas(axes, tower, left, width, height, colour, len(counts) == 1)
                words = f"{name} tower\n{tower.total / 1e6:.1f} M"
                axes.text(left + width / 2, -0.01, words, ha="center", va="bottom", color=colour)
                left += width
            axes.set(xlim=(0, 1), ylim=(1, -0.12))
            axes.axis("off")
            if len(counts) > 1:
                axes.set_title(f"{title}: {count.total / 1e6:.1f} M")
    return figure


def _tower_areas(axes, tower, left, width, height, colour, roomy) -> None:
    """One column, from the top at 0 to `height`, with the names of its large parts."""
    layers = [part.name for part in tower if part.name.startswith("layer ")]
    middle, top = layers[len(layers) // 2], 0.0
    for part in tower:
        depth, x = height * part.total / tower.total, left
        for cell in list(part) or [part]:
            breadth = width * cell.total / part.total
            shade = {"attention": "AA", "mlp": "DD", "tokens": "FF"}.get(cell.name, "77")
            box = plt.Rectangle((x, top), breadth, depth, linewidth=0.5, edgecolor="white")
            box.set_facecolor(colour + ("FF" if part.name == "head" else shade))
            axes.add_patch(box)
            at = (x + breadth / 2, top + depth / 2)
            if cell.name == "tokens":
                _name_area(axes, at, "token table", None)
            elif part.name == middle and roomy and cell.name != "norms":
                name = cell.name.replace("mlp", "MLP")
                _name_area(axes, at, f"{len(layers)} ×\n{name}", colour)
            x += breadth
        at = (left + width / 2, top + depth / 2)
        if part.name == middle and not roomy:
            _name_area(axes, at, f"{len(layers)} layers", colour)
        elif part.name == "head" and part.parts:
            _name_area(axes, at, "MAP head", None)
        top += depth


def _name_area(axes, at, words, ground) -> None:
    box = ground and {"facecolor": ground, "edgecolor": "none", "pad": 2}
    axes.text(*at, words, ha="center", va="center", color="white", bbox=box, fontsize=9.5)


class ParameterMap:
    """Where a model's parameters sit, to touch: choose the model, then a part of it.

    Args:
        configs: Name to shape; the image tower is a ViT.
        model: The name that is chosen to begin with.
    """

    def __init__(self, configs: dict[str, SigLIPConfig | CLIPConfig], model: str):
        self.configs, self.model = configs, model

    def __repr__(self) -> str:
        return f"ParameterMap({len(self.configs)} models, {self.model!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: the parts of one model."""
        shapes = {}
        for name, config in self.configs.items():
            image, text = config.vision, config.text
            shapes[name] = {
                "clip": isinstance(config, CLIPConfig),
                "image": [
                    image.image_size, image.patch_size, image.width, image.depth, image.mlp_dim
                ],
                "text": [
                    text.vocab_size, text.context_length, text.width, text.depth, text.mlp_dim,
                    config.embed_dim,
                ],
            }  # fmt: skip
        count = count_parameters(self.configs[self.model])
        rows = [("whole model", count.total)]
        for words, tower in (("image tower", count.vision), ("text tower", count.text)):
            layers = sum(part.total for part in tower if part.name.startswith("layer "))
            rows += [(words, tower.total), (f"{words}: layers", layers)]
            rows += [
                (f"{words}: {part.name}", part.total)
                for part in tower
                if not part.name.startswith("layer ")
            ]
        table = "".join(
            f"<tr><th scope='row'>{name}</th><td>{number:,}</td></tr>" for name, number in rows
        )
        data = escape(json.dumps(shapes, separators=(",", ":")))
        return (
            f'<parameter-map class="touchable" data-model="{escape(self.model)}"'
            f' data-models="{data}">\n<p>{escape(self.model)}</p>\n'
            f"<table>{table}</table>\n</parameter-map>"
        )


def layer_costs(layers: dict[str, tuple[Count, int]]) -> Figure:
    """A layer of each tower as a rectangle: tokens times FLOPs a token, so that area is FLOPs.

    Args:
        layers: "image" and "text" to a layer's part of what `count_flops` gave, and its tokens.
    """
    names = {"attention": "projections", "attention map": "attention maps", "mlp": "MLP"}
    order = ("mlp", "attention", "attention map")
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.4))
        left, gap = 0.0, 0.1 * sum(tokens for _, tokens in layers.values())
        for name, (count, tokens) in layers.items():
            bottom, colour = 0.0, {"image": IMAGE, "text": TEXT}[name]
            for part, shade in zip(order, ("DD", "99", "55"), strict=True):
                height = count[part].total / tokens / 1e6
                box = plt.Rectangle((left, bottom), tokens, height, linewidth=1, edgecolor="white")
                box.set_facecolor(JOINT + "99" if part == "attention map" else colour + shade)
                axes.add_patch(box)
                if name == "image":
                    ink = "white" if part == "mlp" else "black"
                    words = f"{names[part]}  {count[part].total / count.total:.0%}"
                    at = (left + tokens / 2, bottom + height / 2)
                    axes.text(*at, words, ha="center", va="center", color=ink)
                bottom += height
            words = f"{name}\n{tokens} tokens\n{count.total / 1e9:.1f} GFLOPs"
            axes.text(
                left + tokens / 2, bottom + 0.5, words, ha="center", va="bottom", color=colour
            )
            left += tokens + gap
        axes.set(xlim=(-5, left - gap + 55), ylim=(0, 46), xticks=[])
        axes.set_ylabel("MFLOPs for one token")
        axes.spines["bottom"].set_visible(False)
        figure.tight_layout()
    return figure


def cost_curves(sizes: list[int], parts: dict[str, list[float]], marks: dict[int, str]) -> Figure:
    """GFLOPs of the image tower's parts, stacked, over the side of the image.

    Args:
        sizes: Sides in pixels.
        parts: Name of a part -> GFLOPs at each size; the first lies at the bottom.
        marks: Side -> words at a vertical line there.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 3.4))
        colours = (IMAGE + "DD", IMAGE + "77", JOINT + "CC", NEUTRAL)
        axes.stackplot(sizes, *parts.values(), labels=parts, colors=colours)
        top = 1.15 * sum(values[-1] for values in parts.values())
        for side, words in marks.items():
            axes.axvline(side, color="black", linewidth=0.8, linestyle=":")
            axes.text(side - 8, top, words, rotation=90, ha="right", va="top", fontsize=10)
        axes.set(xlim=(sizes[0], sizes[-1]), ylim=(0, top))
        axes.set(xlabel="side of the image, pixels", ylabel="GFLOPs for one image")
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1), ncols=len(parts), fontsize=10)
        figure.tight_layout()
    return figure


def rooflines(machines: dict[str, tuple[float, float, dict[str, tuple[float, str]]]]) -> Figure:
    """What each machine can reach, over FLOPs a byte; a panel for each.

    Args:
        machines: Title -> (FLOP/s, bytes/s, parts); a part's name -> (FLOPs a byte, colour).
    """
    x = np.geomspace(0.05, 2000, 200)
    least = 2e-5  # of the FLOP/s: where the axis begins
    with _style():
        figure, panels = plt.subplots(
            len(machines), 1, figsize=(_WIDTH, 3.3 * len(machines)), sharex=True, squeeze=False
        )
        for axes, (title, (flops, bandwidth, parts)) in zip(
            panels[:, 0], machines.items(), strict=True
        ):
            axes.loglog(x, np.minimum(flops, x * bandwidth) / 1e9, color="black", linewidth=1.5)
            ridge = flops / bandwidth
            axes.axvline(ridge, color=NEUTRAL, linewidth=0.8, linestyle=":")
            order = sorted(parts.items(), key=lambda each: each[1][0])
            for i, (name, (intensity, colour)) in enumerate(order):
                reach = min(flops, intensity * bandwidth) / 1e9
                axes.plot(intensity, reach, "o", color=colour)
                place = "center"  # two that lie close together lean away from each other
                if i + 1 < len(order) and order[i + 1][1][0] < 1.3 * intensity:
                    place = "right"
                elif i > 0 and intensity < 1.3 * order[i - 1][1][0]:
                    place = "left"
                up = flops / 1e9 / reach > reach / (least * flops / 1e9)  # where more room is
                axes.text(
                    intensity, reach * (1.7 if up else 1 / 1.7), name, rotation=90, ha=place,
                    va="bottom" if up else "top", color=colour, fontsize=10,
                )  # fmt: skip
            axes.set(ylabel="GFLOP/s within reach", xlim=(x[0], x[-1]))
            axes.set_ylim(least * flops / 1e9, 3 * flops / 1e9)
            axes.set_title(title, loc="left")
            axes.text(ridge * 0.9, 1.2 * flops / 1e9, "ridge", ha="right", color=NEUTRAL)
        panels[-1, 0].set_xlabel("FLOPs for each byte moved")
        panels[-1, 0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        figure.tight_layout()
    return figure


def training_memory(counts: dict[str, Count]) -> Figure:
    """Bars of a training step's memory, what is always there first, then the activations.

    Args:
        counts: Label -> what `count_bytes` gave with ``training=True``.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 0.62 * len(counts) + 1.7))
        for row, count in enumerate(counts.values()):
            saved = count["activations"]
            pieces = {
                "weights": (count["weights"].total, "#374151"),
                "gradients": (count["gradients"].total, "#6B7280"),
                "AdamW": (count["AdamW"].total, "#B6BCC6"),
                "activations, image": (saved.total - saved["text"].total, IMAGE),
                "activations, text": (saved["text"].total, TEXT),
            }
            left = 0.0
            for name, (number, colour) in pieces.items():
                label = None if row else name
                axes.barh(row, number / 1e9, left=left, color=colour, label=label, height=0.62)
                left += number / 1e9
            rest = count.total / 1e9 - left
            label = None if row else "working memory"
            axes.barh(
                row, rest, left=left, color="white", edgecolor=NEUTRAL, hatch="///", height=0.62,
                label=label, linewidth=0.5,
            )  # fmt: skip
            axes.text(left + rest, row, f" {count.total / 1e9:.0f}", va="center")
        axes.set_yticks(range(len(counts)), list(counts))
        axes.tick_params(axis="y", colors="black")
        axes.invert_yaxis()
        axes.margins(x=0.08)
        axes.set_xlabel("GB")
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=9.5, columnspacing=1.0
        )
        figure.tight_layout()
    return figure


def star_sweep(arms: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """The arms of a star sweep: error over one dimension, a curve for each budget.

    Args:
        arms: Name of the dimension -> (its values `[n]`, errors `[budgets, n]`, the best value
            at each budget `[budgets]`).
    """
    with _style():
        figure, panels = plt.subplots(
            1, len(arms), figsize=(_WIDTH, 2.9), sharey=True, squeeze=False
        )
        for axes, (name, (values, errors, best)) in zip(panels[0], arms.items(), strict=True):
            for i, (curve, x) in enumerate(zip(errors, best, strict=True)):
                strength = 0.3 + 0.7 * i / max(len(errors) - 1, 1)
                axes.plot(values, curve, color=IMAGE, alpha=strength, linewidth=1.5)
                y = np.interp(np.log(x), np.log(values), curve)
                axes.plot(x, y, "o", color="#374151", markersize=5)
            axes.set_xscale("log")
            ticks = values[[0, -1]]
            axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel(name)
        panels[0, 0].set_ylabel("error of the toy")
        figure.tight_layout(w_pad=0.8)
    return figure


class ShapeExplorer:
    """What a shape costs, to touch: depth, width, heads, MLP, patch and image size.

    Args:
        shapes: Name -> a model's shape, or an image tower's alone.
        shape: The name that is chosen to begin with.
    """

    def __init__(self, shapes: dict[str, SigLIPConfig | VisionConfig], shape: str):
        self.shapes, self.shape = shapes, shape

    def __repr__(self) -> str:
        return f"ShapeExplorer({len(self.shapes)} shapes, {self.shape!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: a table of image towers."""
        data, rows = {}, []
        for name, config in self.shapes.items():
            image = config if isinstance(config, VisionConfig) else config.vision
            numbers = astuple(image)
            data[name] = {"image": numbers, "text": None}
            if isinstance(config, SigLIPConfig):
                text = config.text
                data[name]["text"] = [
                    text.vocab_size, text.context_length, text.width, text.depth, text.mlp_dim,
                    config.embed_dim,
                ]  # fmt: skip
            # Any text tower will do: only the image tower is counted.
            text = TextConfig(1, 1, *numbers[2:])
            whole = SigLIPConfig(image, text)
            parameters, flops = count_parameters(whole).vision, count_flops(whole).vision
            cells = f"<td>{parameters.total:,}</td><td>{flops.total / 1e9:,.2f}</td>"
            rows.append(f"<tr><th scope='row'>{escape(name)}</th>{cells}</tr>")
        heading = "<tr><th>image tower</th><th>parameters</th><th>GFLOPs</th></tr>"
        shapes = escape(json.dumps(data, separators=(",", ":")))
        return (
            f'<shape-explorer class="touchable" data-shape="{escape(self.shape)}"'
            f' data-shapes="{shapes}">\n<table>{heading}{"".join(rows)}</table>\n</shape-explorer>'
        )


def differences(steps: dict[str, tuple[str, str, str]]) -> Figure:
    """Two models beside each other, step by step; one wide box where they do the same.

    Args:
        steps: Step to what CLIP does, what SigLIP does (the same words if they agree), and the
            colour of the side that the step belongs to.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 0.4 * len(steps) + 0.4))
        axes.set(xlim=(0, 100), ylim=(-10 * len(steps), 6))
        axes.axis("off")
        for centre, name in ((42, "CLIP"), (81, "SigLIP")):
            axes.text(centre, 2, name, ha="center", va="center", weight="bold")
        for row, (step, (left, right, colour)) in enumerate(steps.items()):
            y = -10 * row - 5
            axes.text(0, y, step, va="center", color="#374151", fontsize=10)
            same = left == right
            boxes = [(61.5, 76, left)] if same else [(42, 37, left), (81, 37, right)]
            for centre, width, words in boxes:
                _box(axes, (centre, y), width, 8, NEUTRAL if same else colour, bright=False)
                axes.text(centre, y, words, ha="center", va="center", fontsize=10)
        figure.subplots_adjust(0, 0, 1, 1)
    return figure


def fair_race(panels: dict[str, dict[str, dict[int, tuple[float, float]]]], steps: dict[int, int]):
    """Accuracy over the batch size with error bars, of either loss; a panel for each table.

    Args:
        panels: Title to loss to batch size to mean and standard deviation, as shares.
        steps: Batch size to the number of training steps, written below it.

    Returns:
        A `Figure`.
    """
    looks = {"sigmoid": ("o-", JOINT, 1.04), "softmax": ("s--", NEUTRAL, 0.96)}
    with _style():
        figure, all_axes = plt.subplots(1, len(panels), figsize=(_WIDTH, 3.2), sharey=True)
        for axes, (title, losses) in zip(np.atleast_1d(all_axes), panels.items(), strict=True):
            for loss, values in losses.items():
                line, colour, aside = looks[loss]
                axes.errorbar(
                    [n * aside for n in values],  # side by side, so that no bar hides another
                    [100 * mean for mean, _ in values.values()],
                    [100 * sd for _, sd in values.values()],
                    fmt=line, color=colour, label=loss, markersize=4, capsize=3,
                )  # fmt: skip
            axes.set_xscale("log", base=2)
            axes.set_xticks(list(steps), [f"{n}\n{count}" for n, count in steps.items()])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.tick_params(labelsize=9.5)
        axes = np.atleast_1d(all_axes)[0]
        axes.set_ylabel("accuracy, %")
        figure.supxlabel("pairs in a batch; below it, training steps", fontsize=11)
        figure.legend(*axes.get_legend_handles_labels(), loc="upper center", ncols=2)
        figure.tight_layout(w_pad=0.8, rect=(0, 0, 1, 0.94))
    return figure


def reliability(panels: dict[str, Tensor]) -> Figure:
    """How often what gets a score is true; on the diagonal, scores mean what they say.

    Args:
        panels: Title to `[bins, 3]`: how many answers are in the bin, their mean score, and the
            share of them that is true. A dot's area is the root of the first, at most of 1000.
    """
    rows = -(-len(panels) // 2)
    with _style():
        figure, grid = plt.subplots(
            rows, 2, figsize=(_WIDTH, 2.7 * rows + 0.1), sharex=True, sharey=True, squeeze=False,
            layout="constrained",
        )  # fmt: skip
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for axes, (title, bins) in zip(grid.flat, panels.items(), strict=False):
            counts, scores, true = bins.numpy(force=True).astype(float).T
            axes.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=1)
            axes.vlines(scores, scores, true, color=JOINT, linewidth=1, alpha=0.5)
            axes.scatter(scores, true, 5 * np.sqrt(np.minimum(counts, 1000)), color=JOINT, zorder=3)
            axes.set(title=title, aspect="equal", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
            axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
            axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        figure.supxlabel("score", fontsize=11)
        figure.supylabel("share that is true", fontsize=11)
        figure.get_layout_engine().set(wspace=0.08)
    return figure
