"""What the chapters "The real model" and "Scores that you can trust" show of published weights."""

import os
import re
from pathlib import Path

from matplotlib import pyplot as plt

import siglip_lab as sl
from siglip_lab.figures import tables
from siglip_lab.figures.style import INK, JOINT, NEUTRAL, PERCENT, WIDTH, sigmoid, styled

__all__ = ["APPLES", "apple_answers", "compare", "fingerprints", "short"]

# Logits of two photos, an apple with a note that says "iPod" and the same without the note, with
# the captions "an apple" and "a picture of an apple": all for the first photo, then the second.
# Source: transformers, models/siglip/convert_siglip_to_hf.py.
APPLES = {
    "base-patch16-224": [-2.9621, -2.1672, -0.2713, 0.2910],
    "base-patch16-256": [-3.1146, -1.9894, -0.7312, 0.6387],
    "base-patch16-384": [-2.8098, -2.1891, -0.4242, 0.4102],
    "base-patch16-512": [-2.7899, -2.2668, -0.4295, -0.0735],
    "large-patch16-256": [-1.5827, -0.5801, -0.9153, 0.1363],
    "large-patch16-384": [-2.1523, -0.2899, -0.2959, 0.7884],
    "so400m-patch14-384": [-1.2441, -0.6649, -0.7060, 0.7374],
    "base-patch16-256-multilingual": [-0.9064, 0.1073, -0.0299, 0.5304],
    "so400m-patch14-224": [-1.0865, 1.1704, -0.7178, 1.4355],
    "so400m-patch16-256-i18n": [-1.9433, -0.0543, 0.6222, 2.2883],
}
PHOTOS = "apple with a note", "apple alone"
CAPTIONS = "“an apple”", "“a picture of an apple”"


@styled
def fingerprints() -> plt.Figure:
    """Draw the four published logits of each of the ten models, as bars up and down from zero."""
    figure, grid = plt.subplots(
        2, 5, figsize=(WIDTH, 3.6), sharex=True, sharey=True, layout="constrained"
    )
    for axes, (name, logits) in zip(grid.flat, APPLES.items(), strict=True):
        axes.axhline(0, color=NEUTRAL, linewidth=0.8)
        for places, face, words in (([0, 1], "none", PHOTOS[0]), ([3, 4], JOINT, PHOTOS[1])):
            heights = logits[:2] if places[0] == 0 else logits[2:]
            axes.bar(places, heights, 0.8, facecolor=face, edgecolor=JOINT, label=words)
        axes.set(title=re.sub("[/ ]", "\n", short(name)), xticks=[], yticks=[-3, 0, 2])
    figure.supylabel("published logit")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


@styled
def apple_answers() -> plt.Figure:
    """Draw ten models' published probabilities: a panel a photo, the two captions a line's ends."""
    figure, both = plt.subplots(1, 2, figsize=(WIDTH, 3.4), sharey=True, layout="constrained")
    rows = range(len(APPLES))
    for i, (axes, title) in enumerate(zip(both, PHOTOS, strict=True)):
        first, second = ([sigmoid(each[2 * i + j]) for each in APPLES.values()] for j in (0, 1))
        axes.hlines(rows, first, second, color=NEUTRAL, linewidth=1)
        for x, face, words in ((first, "white", CAPTIONS[0]), (second, JOINT, CAPTIONS[1])):
            axes.scatter(x, rows, 30, facecolor=face, edgecolor=JOINT, label=words, zorder=3)
        axes.set(xlim=(0, 1), title=title)
        axes.set_xticks(*PERCENT)
        axes.tick_params(axis="y", length=0, colors=INK)
    both[0].set_yticks(rows, [short(name) for name in APPLES])
    both[0].invert_yaxis()
    figure.supxlabel("published probability")
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.get_layout_engine().set(wspace=0.1)
    return figure


def short(name: str) -> str:
    """A model's name, short enough to stand beside a figure.

    Example:
        >>> short("base-patch16-256-multilingual")
        'base/16-256 multi.'
    """
    return name.replace("-patch", "/").replace("-multilingual", " multi.").replace("-i18n", " i18n")


def compare(model: str, texts: list[str], published: list[float]) -> tables.Table:
    """Write published probabilities of the two cats, and beside them those of your weights.

    The second column is there where the environment names weights, SIGLIP_CHECKPOINT, of this
    model, and the folder SIGLIP_IMAGES with 000000039769.jpg.

    Args:
        model: The model that the published numbers belong to.
        texts: Whole sentences.
        published: A probability for each.
    """
    columns = {"published": published}
    weights = os.environ.get("SIGLIP_CHECKPOINT")
    photo = Path(os.environ.get("SIGLIP_IMAGES", "."), "000000039769.jpg")
    if weights and photo.exists():
        yours = sl.SigLIP.from_pretrained(weights, device=sl.default_device())
        if yours.config == sl.get_config(model):
            p = sl.zero_shot(yours, sl.Processor.from_pretrained(weights), photo, texts, "{}")
            columns["your weights"] = p[0].tolist()
    rows = dict(zip(texts, zip(*columns.values(), strict=True), strict=True))
    return tables.bars(rows, list(columns), ".3%", full=1, colours=JOINT)
