"""The figures of the chapter "Where in the picture?"."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from PIL import Image

from siglip_lab.figures.style import FRAME, WIDTH, styled

__all__ = ["maps_in_a_row"]


@styled
def maps_in_a_row(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str]) -> plt.Figure:
    """Draw pictures in rows and columns, the same titles over each row's columns.

    Args:
        rows: Pictures, as many in each row as there are titles.
        titles: One for each column.
    """
    look = {"figsize": (WIDTH, 1.5 * len(rows) + 0.3), "layout": "constrained", "squeeze": False}
    figure, grid = plt.subplots(len(rows), len(titles), **look)
    for axes, pictures in zip(grid, rows, strict=True):
        for place, picture in zip(axes, pictures, strict=True):
            place.imshow(picture)
            place.set(xticks=[], yticks=[])
            place.spines[:].set(visible=True, color=FRAME)
    for place, title in zip(grid[0], titles, strict=True):
        place.set_title(title)
    return figure
