"""The figures of the chapter "Into a language model"."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from PIL import Image

from siglip_lab.figures.style import FRAME, INK, MISTAKE, WIDTH, styled

__all__ = ["described"]


@styled
def described(
    pictures: Sequence[Image.Image], texts: Sequence[str], right: Sequence[bool]
) -> plt.Figure:
    """Draw pictures with the sentence written for each, wrong ones marked.

    Args:
        pictures: RGB.
        texts: One for each; may have several lines.
        right: Whether each text is true.
    """
    figure, row = plt.subplots(1, len(pictures), figsize=(WIDTH, 2.4), squeeze=False)
    for axes, picture, text, good in zip(row[0], pictures, texts, right, strict=True):
        axes.imshow(picture)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(visible=True, color=FRAME)
        axes.set_xlabel(text + ("" if good else "\n(wrong)"), color=INK if good else MISTAKE)
    return figure
