"""The figure of the chapter "Counting parameters"."""

import numpy as np
from matplotlib import pyplot as plt

from siglip_lab.counts import Count
from siglip_lab.figures.style import IMAGE, TEXT, WIDTH, styled

__all__ = ["parameter_areas"]


@styled
def parameter_areas(counts: dict[str, Count]) -> plt.Figure:
    """Draw models as rectangles in which area is parameters, to the same scale.

    Each tower is a column; its parts lie in the order in which a token meets them, from top to
    bottom, and a layer's attention beside its MLP. The scale and the bias are left out.

    Args:
        counts: Title to what `count_parameters` gave, of models without a ResNet.
    """
    most = max(count.total for count in counts.values())
    figure, panels = plt.subplots(1, len(counts), figsize=(WIDTH, 5.0), layout="constrained")
    for axes, (title, count) in zip(np.ravel(panels), counts.items(), strict=True):
        total, left = count.vision.total + count.text.total, 0.0
        for tower, name, colour in ((count.vision, "image", IMAGE), (count.text, "text", TEXT)):
            width = tower.total / total
            _tower_areas(axes, tower, left, width, total / most, colour, len(counts) == 1)
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
    room = 55 if roomy else 26  # letters across the panel
    for part in tower:
        depth, x = height * part.total / tower.total, left
        for cell in list(part) or [part]:
            breadth = width * cell.total / part.total
            shade = {"attention": "AA", "mlp": "DD", "tokens": "FF"}.get(cell.name, "77")
            face = colour + ("FF" if part.name == "head" else shade)
            frame = {"facecolor": face, "linewidth": 0.5, "edgecolor": "white"}
            axes.add_patch(plt.Rectangle((x, top), breadth, depth, **frame))
            at = (x + breadth / 2, top + depth / 2)
            if cell.name == "tokens":
                _name_area(axes, at, "token table", None, breadth * room)
            elif part.name == middle and roomy and cell.name != "norms":
                words = f"{len(layers)} ×\n{cell.name.replace('mlp', 'MLP')}"
                _name_area(axes, at, words, colour, breadth * room)
            x += breadth
        at = (left + width / 2, top + depth / 2)
        if part.name == middle and not roomy:
            _name_area(axes, at, f"{len(layers)} layers", colour, width * room)
        elif part.name == "head" and part.parts:
            foot = (at[0], top + depth)  # the words may need more height than the head has
            _name_area(axes, foot, "MAP head", colour, width * room, va="bottom")
        top += depth


def _name_area(axes, at, words, ground, room, va="center") -> None:
    """Words over a ground; two lines where one has more letters than there is room for."""
    bbox = ground and {"facecolor": ground, "edgecolor": "none", "pad": 1}
    if "\n" not in words and len(words) > room:
        words = words.replace(" ", "\n")
    axes.text(*at, words, color="white", bbox=bbox, ha="center", va=va)
