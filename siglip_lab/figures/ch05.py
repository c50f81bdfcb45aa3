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
        ("attention", f"{width} → {width}", "from all tokens", 2),
        ("MLP", f"{width} → {mlp_dim} → {width}", "each token alone", 53),
    ]
    for name, numbers, who, left in branches:
        axes.plot([left, left, left + 1], [0, 30, 30], color=NEUTRAL)
        axes.plot([left + 20, left + 22], [30, 30], color=NEUTRAL)
        axes.plot([left + 41, left + 43], [30, 30], color=NEUTRAL)
        style.arrow(axes, (left + 43, 30), (left + 43, 3))
        style.box(axes, (left + 10.5, 30), 19, 16, NEUTRAL, bright=False)
        style.box(axes, (left + 31.5, 30), 19, 16, NEUTRAL, bright=True)
        axes.text(left + 10.5, 30, "LayerNorm", color=INK, **CENTRED)
        axes.text(left + 31.5, 30, name, color="white", **CENTRED)
        axes.text(left + 21.5, 48, who, color=INK, **CENTRED)
        axes.text(left + 21.5, 13, numbers, color=INK, **CENTRED)
        axes.plot(left + 43, 0, "o", color=NEUTRAL, markersize=13)
        axes.text(left + 43, 0, "+", color="white", **CENTRED)
    axes.text(50, -12, "the tokens’ own path", color=INK, **CENTRED)
    return figure
