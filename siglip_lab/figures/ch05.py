"""The figures of the chapter "Encoder layers"."""

from matplotlib import pyplot as plt

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, INK, NEUTRAL, WIDTH, styled

__all__ = ["two_additions"]


@styled
def two_additions(width: int, mlp_dim: int) -> plt.Figure:
    """Draw a layer: the tokens' own path, and two branches that add to it.

    Args:
        width: Numbers in a token.
        mlp_dim: Numbers between the two maps of the MLP.
    """
    figure, axes = style.blank(WIDTH, 1.9, (0, 100), (-16, 56))
    style.arrow(axes, (0, 0), (100, 0))
    branches = [
        ("attention", f"{width} → {width}", "from all tokens", 4),
        ("MLP", f"{width} → {mlp_dim} → {width}", "each token alone", 51),
    ]
    for name, numbers, who, left in branches:
        axes.plot([left, left, left + 1], [0, 30, 30], color=NEUTRAL)
        axes.plot([left + 17, left + 19], [30, 30], color=NEUTRAL)
        axes.plot([left + 35, left + 38], [30, 30], color=NEUTRAL)
        style.arrow(axes, (left + 38, 30), (left + 38, 3))
        style.box(axes, (left + 9, 30), 16, 16, NEUTRAL, bright=False)
        style.box(axes, (left + 27, 30), 16, 16, NEUTRAL, bright=True)
        axes.text(left + 9, 30, "LayerNorm", color=INK, **CENTRED)
        axes.text(left + 27, 30, name, color="white", **CENTRED)
        axes.text(left + 19, 48, who, color=INK, **CENTRED)
        axes.text(left + 19, 13, numbers, color=INK, **CENTRED)
        axes.plot(left + 38, 0, "o", color=NEUTRAL, markersize=13)
        axes.text(left + 38, 0, "+", color="white", **CENTRED)
    axes.text(50, -12, "the tokens’ own path", color=INK, **CENTRED)
    return figure
