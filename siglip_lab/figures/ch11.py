"""The figures of the chapter "Compute, memory and shape"."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from siglip_lab.counting import Count
from siglip_lab.figures.style import IMAGE, JOINT, NEUTRAL, TEXT, WIDTH, drawing, plt

__all__ = ["layer_costs", "cost_curves", "rooflines", "training_memory", "star_sweep"]


def layer_costs(layers: dict[str, tuple[Count, int]]) -> Figure:
    """A layer of each tower as a rectangle: tokens times FLOPs a token, so that area is FLOPs.

    Args:
        layers: "image" and "text" to a layer's part of what `count_flops` gave, and its tokens.
    """
    names = {"attention": "projections", "attention map": "attention maps", "mlp": "MLP"}
    order = ("mlp", "attention", "attention map")
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
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
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
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
    with drawing():
        figure, panels = plt.subplots(
            len(machines), 1, figsize=(WIDTH, 3.3 * len(machines)), sharex=True, squeeze=False
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
    with drawing():
        figure, axes = plt.subplots(figsize=(WIDTH, 0.62 * len(counts) + 1.7))
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
    with drawing():
        figure, panels = plt.subplots(
            1, len(arms), figsize=(WIDTH, 2.9), sharey=True, squeeze=False
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
