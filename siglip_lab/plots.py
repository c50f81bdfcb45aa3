"""The book's figures: tensors in, a matplotlib `Figure` out.

One visual language: blue is the image side, orange the text side, green what joins them, red a
mistake, grey the rest. Needs matplotlib (the extra "book"); nothing else in the package imports it.
"""

from __future__ import annotations

import base64
from contextlib import contextmanager
from html import escape
from io import BytesIO

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from siglip_lab.configs import SigLIPConfig

__all__ = [
    "IMAGE", "TEXT", "JOINT", "MISTAKE", "NEUTRAL", "walk", "minimap", "patch_grid",
    "images", "histograms", "probabilities", "shares", "triangle",
    "curves", "AttentionMap", "attention_map",
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
        ("last token, normalise", [n, text.embed_dim]),
    ]
    with _style():
        figure, axes = plt.subplots(figsize=(5.0, 4.9))
        axes.set(xlim=(0, 100), ylim=(-2, 100))
        axes.axis("off")
        for x, colour, stations in ((25, IMAGE, left), (75, TEXT, right)):
            for i, (label, shape) in enumerate(stations):
                y = 72 - 16 * i
                _arrow(axes, (x, y + 10.5), (x, y + 5.5))
                _station(axes, (x, y), 48, label, shape, colour)
            _arrow(axes, (x, 18.5), (50 + (x - 50) * 0.5, 11.5))
        _station(axes, (50, 6), 62, "cosine × t + b, then sigmoid", [1, n], JOINT)
        ending = "one probability for each caption"
        axes.text(50, -1.5, ending, ha="center", va="center", color=JOINT)
        inset = axes.inset_axes([0.12, 0.83, 0.26, 0.17])
        inset.imshow(photo)
        inset.axis("off")
        for i, caption in enumerate(captions):
            axes.text(75, 95 - 7 * i, f"“{caption}”", ha="center", va="center", color=TEXT)
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


def minimap(lit: str) -> Figure:
    """The chapters of the walk in one row, with one of them lit.

    Args:
        lit: One of preprocess, patchify, text, encoder, pooling, towers.

    Raises:
        ValueError: If there is no such step.
    """
    if lit not in _STEPS:
        raise ValueError(f"no step {lit!r}; the steps are {', '.join(_STEPS)}")
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 1.0))
        axes.set(xlim=(0, 120), ylim=(0, 100))
        axes.axis("off")
        for step, (centre, width, colour, label) in _STEPS.items():
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


def shares(values: dict[str, float], good: str) -> Figure:
    """Horizontal bars of shares from 0 to 1, from top to bottom.

    Args:
        values: Name to share.
        good: The name whose bar is no mistake.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 0.36 * len(values) + 0.7))
        colours = [NEUTRAL if name == good else MISTAKE for name in values]
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


def curves(x, ys: dict[str, np.ndarray], xlabel: str, ylabel: str) -> Figure:
    """Curves over a common axis.

    Args:
        x: Values `[n]`.
        ys: Name to values `[n]`.
        xlabel: What x is, with its unit.
        ylabel: What the curves are, with their unit.
    """
    with _style():
        figure, axes = plt.subplots(figsize=(_WIDTH, 2.8))
        for (name, y), line in zip(ys.items(), ("-", "--", ":"), strict=False):
            axes.plot(x, y, line, color=IMAGE, label=name)
        axes.axhline(0, color=NEUTRAL, linewidth=0.6)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(ys))
        figure.tight_layout()
    return figure


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
        square = f'width="{step}" height="{step}" stroke-width="{size / 200}"'
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
            f'<g stroke="white">{veils}</g>'
            f'<g font-size="{step * 0.34:.2f}" fill="white" stroke="#111827" text-anchor="middle"'
            f' stroke-width="{step / 15:.2f}" paint-order="stroke" dominant-baseline="central"'
            f' pointer-events="none">{numbers}</g>'
            f'<rect class="am-mark" x="{x}" y="{y}" width="{step}" height="{step}" fill="none"'
            f' stroke="{TEXT}" stroke-width="{size / 70:.2f}"/></svg>'
        )


def _bitmap(picture) -> str:
    """A picture as a link to itself, uncompressed: the same text on every machine."""
    file = BytesIO()
    picture.convert("RGB").save(file, "BMP")
    return "data:image/bmp;base64," + base64.b64encode(file.getvalue()).decode()
