"""The figures of the chapter "Compute, memory and shape"."""

import numpy as np
from matplotlib import pyplot as plt

from siglip_lab.counts import Count
from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, IMAGE, INK, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = ["layer_costs", "cost_curves", "rooflines", "training_memory"]


@styled
def layer_costs(layers: dict[str, tuple[Count, int]]) -> plt.Figure:
    """Draw a layer of each tower as a rectangle: tokens times FLOPs a token, so area is FLOPs.

    Args:
        layers: "image" and "text" to a layer's part of what `count_flops` gave, and its tokens.
    """
    names = {"mlp": "MLP", "attention": "projections", "attention map": "attention maps"}
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    left, gap = 0.0, 0.1 * sum(tokens for _, tokens in layers.values())
    for name, (count, tokens) in layers.items():
        bottom, colour = 0.0, {"image": IMAGE, "text": TEXT}[name]
        faces = (colour + "DD", colour + "55", JOINT + "66")  # pale under dark words
        middle = left + tokens / 2
        for part, face in zip(names, faces, strict=True):
            height = count[part].total / tokens / 1e6
            frame = {"facecolor": face, "linewidth": 1, "edgecolor": "white"}
            axes.add_patch(plt.Rectangle((left, bottom), tokens, height, **frame))
            if name == "image":
                words = f"{names[part]}  {count[part].total / count.total:.0%}"
                ink = "white" if part == "mlp" else INK
                axes.text(middle, bottom + height / 2, words, color=ink, **CENTRED)
            bottom += height
        words = f"{name}\n{tokens} tokens\n{count.total / 1e9:.1f} GFLOPs"
        axes.text(middle, bottom + 0.5, words, ha="center", va="bottom", color=colour)
        left += tokens + gap
    axes.set(xlim=(-5, left - gap + 55), ylim=(0, 46), xticks=[], ylabel="MFLOPs for one token")
    axes.spines["bottom"].set_visible(False)
    return figure


@styled
def cost_curves(sizes: list[int], parts: dict[str, list], marks: dict[int, str]) -> plt.Figure:
    """Draw GFLOPs of the image tower's parts, stacked, against the side of the image.

    Args:
        sizes: Sides in pixels.
        parts: Name of a part to GFLOPs at each size; the first lies at the bottom.
        marks: Side to words at a vertical line there.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    colours = (IMAGE + "DD", IMAGE + "77", JOINT + "CC", NEUTRAL)
    axes.stackplot(sizes, *parts.values(), labels=parts, colors=colours)
    top = 1.4 * sum(values[-1] for values in parts.values())
    for side, words in marks.items():
        axes.axvline(side, color=INK, linewidth=0.8, linestyle=":")
        axes.text(side - 8, top, words, rotation=90, ha="right", va="top")
    axes.set(xlim=(sizes[0], sizes[-1]), ylim=(0, top))
    axes.set(xlabel="side of the image, pixels", ylabel="GFLOPs for one image")
    axes.legend(**style.ABOVE | {"bbox_to_anchor": (0.45, 1)}, ncols=len(parts))
    return figure


@styled
def rooflines(machines: dict[str, tuple[float, float, dict[str, tuple[float, str]]]]) -> plt.Figure:
    """Draw what each machine can reach against FLOPs a byte; a panel for each.

    Args:
        machines: Title to (FLOP/s, bytes/s, parts); a part's name to (FLOPs a byte, colour).
    """
    n = len(machines)
    figure, panels = plt.subplots(n, 1, figsize=(WIDTH, 3.6 * n), sharex=True, squeeze=False)
    for axes, (title, machine) in zip(panels[:, 0], machines.items(), strict=True):
        _roofline(axes, *machine)
        axes.set_title(title, loc="left")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.tick_params(labelbottom=True)
    axes.set_xlabel("FLOPs for each byte moved")
    figure.align_ylabels()
    return figure


def _roofline(axes, flops, bandwidth, parts) -> None:
    """One machine's roof, and each part's dot under it with its name."""
    x = np.geomspace(0.05, 2000, 200)
    unit, prefix = (1e12, "T") if flops >= 1e13 else (1e9, "G")
    peak, ridge = flops / unit, flops / bandwidth
    floor = 2e-5 * peak  # where the axis begins
    axes.loglog(x, np.minimum(flops, x * bandwidth) / unit, color=INK, linewidth=1.5)
    axes.axvline(ridge, color=NEUTRAL, linewidth=0.8, linestyle=":")
    axes.text(ridge * 0.9, 1.2 * peak, f"ridge {ridge:.0f}", ha="right", color=NEUTRAL)
    order = sorted(parts.items(), key=lambda each: each[1][0])
    for i, (name, (intensity, colour)) in enumerate(order):
        reach = min(flops, intensity * bandwidth) / unit
        axes.plot(intensity, reach, "o", color=colour)
        place = "center"  # two that lie close together lean away from each other
        if i + 1 < len(order) and order[i + 1][1][0] < 1.3 * intensity:
            place = "right"
        elif i > 0 and intensity < 1.3 * order[i - 1][1][0]:
            place = "left"
        up = reach < peak / 20  # below the roof there is room for a name on either side
        axes.text(
            intensity, reach * (1.7 if up else 1 / 1.7), name, rotation=90, ha=place,
            va="bottom" if up else "top", color=colour,
        )  # fmt: skip
    axes.set(ylabel=f"{prefix}FLOP/s within reach", xlim=(x[0], x[-1]), ylim=(floor, 8 * peak))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.0f}" if y >= 1 else f"{y:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(plt.NullLocator())


@styled
def training_memory(counts: dict[str, Count]) -> plt.Figure:
    """Draw bars of a training step's memory, what is always there first, then the activations.

    Args:
        counts: Label to what `count_bytes` gave with ``training=True``.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.62 * len(counts) + 1.9))
    for row, count in enumerate(counts.values()):
        saved, left = count["activations"], 0.0
        for name, number, colour in (
            ("weights", count["weights"].total, INK),
            ("gradients", count["gradients"].total, NEUTRAL),
            ("AdamW", count["AdamW"].total, NEUTRAL + "80"),
            ("activations, image", saved.total - saved["text"].total, IMAGE),
            ("activations, text", saved["text"].total, TEXT),
        ):
            label = None if row else name
            axes.barh(row, number / 1e9, left=left, color=colour, label=label, height=0.62)
            left += number / 1e9
        total = count.total / 1e9
        label = None if row else "working memory"
        look = {"facecolor": "none", "edgecolor": NEUTRAL, "linestyle": ":", "linewidth": 1}
        axes.barh(row, total - left, left=left, height=0.62, label=label, **look)
        aside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{total:.0f}", (total, row), **aside)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.tick_params(axis="y", colors=INK)
    axes.invert_yaxis()
    axes.set(xmargin=0.08, xlabel="GB")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, columnspacing=1.0)
    return figure
