"""The figures of the chapter "Which checkpoint?"."""

from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt

from siglip_lab import siglip2
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.evaluate.authors import published
from siglip_lab.figures.style import IMAGE, NEUTRAL, WIDTH, styled
from siglip_lab.published import NAFLEX, get_config

__all__ = ["checkpoints", "gain", "published"]

_ACCURACIES = {
    "ImageNet": "imagenet",
    "COCO, text to image": "by_text", "COCO, image to text": "by_image",
    "XM3600, text to image": "by_text_36", "XM3600, image to text": "by_image_36",
}  # fmt: skip


def checkpoints() -> list[dict]:
    """Describe all published SigLIPs: what the library counts, and what their authors measured.

    Returns:
        A dict each: "name", "family", "tower", "patch", "size" (0: any), "tokens", "languages",
        "parameters", "gflops" (of an image, 256 patches for NaFlex), "caption" (of a text),
        "imagenet", "by_text" and "by_image" (COCO), "by_text_36" and "by_image_36" (XM3600, 36
        languages), None where nothing is published.
    """
    rows = []
    place = {column: i for i, column in enumerate(published()["columns"])}
    for name, accuracies in published()["rows"].items():
        naflex = name in NAFLEX
        config = (siglip2.get_config if naflex else get_config)(name)
        cost = siglip2.count_flops(config) if naflex else count_flops(config)
        two, vision = name.startswith("siglip2"), config.vision
        rows.append(
            {
                "name": name,
                "family": "SigLIP 2" if two else "SigLIP",
                "tower": name.split("-patch")[0].split("-", 1)[1],
                "patch": vision.patch_size,
                "size": 0 if naflex else vision.image_size,
                "tokens": vision.num_patches,
                "languages": "many" if config.text.vocab_size > 32_000 else "English",
                "parameters": count_parameters(config).total,
                "gflops": cost.vision.total / 1e9,
                "caption": cost.text.total / 1e9,
                **{key: accuracies[place[column]] for column, key in _ACCURACIES.items()},
            }
        )
    return rows


@styled
def gain(rows: Sequence[Mapping], budget: float) -> plt.Figure:
    """Draw accuracy against the cost of an image; a line joins the sizes of one tower and patch.

    Args:
        rows: As `checkpoints` gives them. Left out: NaFlex, the multilingual ones of the first
            family, which have no sister in English, and what has no accuracy.
        budget: GFLOPs that a thin line marks.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    axes.axvline(budget, color=NEUTRAL, linewidth=0.8)
    lines: dict[tuple, list[Mapping]] = {}
    for row in rows:
        multilingual = row["family"] == "SigLIP" and row["languages"] == "many"
        if row["imagenet"] is not None and row["size"] and not multilingual:
            key = row["family"], row["tower"], row["patch"]
            lines.setdefault(key, []).append(row)
    named = set()
    for (family, tower, _), line in lines.items():
        look = {"linestyle": "-" if family == "SigLIP 2" else ":", "linewidth": 1.4}
        marker = "o" if family == "SigLIP 2" else "s"
        x, y = [row["gflops"] for row in line], [row["imagenet"] for row in line]
        colour = IMAGE if family == "SigLIP 2" else NEUTRAL
        axes.plot(x, y, color=colour, marker=marker, markersize=4, **look)
        if family == "SigLIP 2" and tower not in named and len(line) > 1:
            named.add(tower)
            # The second tower's lies among the lines of the third: its name stands at its end.
            end, aside = (-1, (7, -12)) if tower == "large" else (0, (-4, 7))
            axes.annotate(tower, (x[end], y[end]), xytext=aside, textcoords="offset points",
                          color=IMAGE, ha="left" if end else "right")  # fmt: skip
    axes.set(xscale="log", xlabel="GFLOPs an image", ylabel="ImageNet, %")
    ticks = [10, 30, 100, 300, 1000]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axes.minorticks_off()
    return figure
