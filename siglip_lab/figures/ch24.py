"""The figures of the chapter "Which checkpoint?"."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from matplotlib import pyplot as plt

from siglip_lab import siglip2
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.figures.style import IMAGE, INK, JOINT, NEUTRAL, TEXT, WIDTH, styled
from siglip_lab.published import NAFLEX, get_config, list_models

__all__ = ["checkpoints", "gain", "published"]

_COLOURS = {"base": TEXT, "large": NEUTRAL, "so400m": IMAGE, "giant-opt": JOINT}


@cache
def published() -> dict:
    """What the authors publish of their checkpoints: accuracies, and the scalars of some."""
    return json.loads((files("siglip_lab") / "data" / "checkpoints.json").read_text("utf-8"))


def checkpoints() -> list[dict]:
    """Describe all published SigLIPs: what the library counts, and what their authors measured.

    Returns:
        A dict each: "name", "family", "tower", "patch", "size" (0: any), "tokens", "languages",
        "parameters", "gflops" (of an image, 256 patches for NaFlex), "caption" (of a text),
        "imagenet", "by_text" and "by_image" (COCO), None where nothing is published.
    """
    rows = []
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
                **dict(zip(("imagenet", "by_text", "by_image"), accuracies, strict=True)),
            }
        )
    known = [n for version in (1, 2) for n in list_models(version)] + list(NAFLEX)
    assert {row["name"] for row in rows} == set(known) - {"tiny", "emoji"}
    return rows


@styled
def gain(rows: Sequence[Mapping], marked: str | None = None) -> plt.Figure:
    """Draw accuracy against the cost of an image; a line joins the sizes of one tower and patch.

    Args:
        rows: As `checkpoints` gives them; those without an accuracy are left out.
        marked: The name of one to write beside its dot.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    lines: dict[tuple, list[Mapping]] = {}
    for row in rows:
        if row["imagenet"] is not None and row["size"] and row["languages"] is not None:
            key = row["family"], row["tower"], row["patch"]
            lines.setdefault(key, []).append(row)
    named = set()
    for (family, tower, _), line in lines.items():
        line = [row for row in line if "i18n" not in row["name"]]
        if not line:
            continue
        look = {"linestyle": "-" if family == "SigLIP 2" else ":", "linewidth": 1.4}
        marker = "o" if family == "SigLIP 2" else "s"
        x, y = [row["gflops"] for row in line], [row["imagenet"] for row in line]
        axes.plot(x, y, color=_COLOURS[tower], marker=marker, markersize=4, **look)
        if family == "SigLIP 2" and tower not in named and len(line) > 1:
            named.add(tower)
            # The second tower's lies among the lines of the third: its name stands at its end.
            end, aside = (-1, (7, -12)) if tower == "large" else (0, (-4, 7))
            axes.annotate(tower, (x[end], y[end]), xytext=aside, textcoords="offset points",
                          color=_COLOURS[tower], ha="left" if end else "right")  # fmt: skip
    for row in rows:
        if row["name"] == marked:
            place = row["gflops"], row["imagenet"]
            axes.annotate(marked, place, xytext=(6, -12), textcoords="offset points", color=INK)
    axes.set(xscale="log", xlabel="GFLOPs an image", ylabel="ImageNet, %")
    ticks = [10, 30, 100, 300, 1000]
    axes.set_xticks(ticks, [f"{t:,}" for t in ticks])
    axes.minorticks_off()
    return figure
