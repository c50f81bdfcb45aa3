"""The figures of the chapter "Start here"."""

from __future__ import annotations

from matplotlib.figure import Figure

from siglip_lab.configs import SigLIPConfig
from siglip_lab.figures.style import MISTAKE, drawing, plt, two_sides

__all__ = ["walk", "patch_grid"]


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
    end = ("cosine × t + b, then sigmoid", "one probability for each caption")
    return two_sides(photo, captions, left, right, *end)


def patch_grid(picture, patch_size: int) -> Figure:
    """A picture under its grid of patches; the margin that no patch covers is marked in red.

    Args:
        picture: A PIL image.
        patch_size: Side of a patch in pixels.
    """
    width, height = picture.size
    right, bottom = (side - side % patch_size for side in (width, height))
    with drawing():
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
