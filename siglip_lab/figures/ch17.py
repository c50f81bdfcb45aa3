"""The figure of the chapter "A search through 100,000 pictures"."""

from matplotlib import pyplot as plt

from siglip_lab.figures.style import CENTRED, INK, JOINT, NEUTRAL, WIDTH, arrow, blank, box, styled

__all__ = ["merged_blocks"]


@styled
def merged_blocks(blocks: list[list[float]], k: int) -> plt.Figure:
    """Draw a search in blocks: the k best of each, and the k best of these.

    Args:
        blocks: The cosines of each block's rows, all blocks of one length.
        k: How many are kept each time.
    """
    kept = [sorted(block, reverse=True)[:k] for block in blocks]
    best = sorted(sum(kept, []), reverse=True)[:k]
    figure, axes = blank(WIDTH, 2.5, (0, 100), (0, 45))

    def row(left: float, middle: float, numbers: list[float], bright: list[float]) -> None:
        for i, number in enumerate(numbers):
            centre, chosen = (left + 9 * i, middle), number in bright
            box(axes, centre, 8, 8, JOINT if chosen else NEUTRAL, chosen)
            axes.text(*centre, f"{number:g}", color="white" if chosen else INK, **CENTRED)

    step, width = 34 / len(blocks), 9 * len(blocks[0])
    for i, (block, few) in enumerate(zip(blocks, kept, strict=True)):
        middle = 36 - step * (i + 0.5)
        row(5, middle, block, few)
        row(width + 16, middle, few, best)
        arrow(axes, (width + 2, middle), (width + 10, middle))
        right = width + 9 * k
        arrow(axes, (right + 13, middle), (right + 23, 19 + 3 * (middle > 19) - 3 * (middle < 19)))
    row(right + 29, 19, best, best)
    for left, n, words in (
        (5, len(blocks[0]), "cosines"),
        (width + 16, k, f"best {k} of each block"),
        (right + 29, k, f"best {k} of all"),
    ):
        axes.text(left + 4.5 * (n - 1), 41, words, color=INK, **CENTRED)
    return figure
