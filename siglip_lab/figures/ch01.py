"""The figures of the chapter "Start here"."""

import math
from collections.abc import Callable, Sequence

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch
from PIL import Image
from torch import Tensor

from siglip_lab.configs import SigLIPConfig
from siglip_lab.figures import style
from siglip_lab.figures.style import (
    CENTRED,
    FRAME,
    IMAGE,
    INK,
    JOINT,
    MISTAKE,
    NEUTRAL,
    TEXT,
    WIDTH,
    styled,
)
from siglip_lab.figures.svg import LIGHT, Drawing

__all__ = [
    "siglip_walk",
    "walk_map",
    "odds_before_and_after",
    "patch_grid",
    "mixed_tokens",
    "arrows_on_circles",
    "probe_gathers",
    "two_streams",
    "answers_side_by_side",
    "encoder_layer",
    "read_positions",
]

HIGH = 5.1  # inches of the walk


_SECTIONS = {  # of this chapter, which say in short what the chapters of the walk say
    "02_preprocessing": "#the-photo-becomes-numbers",
    "04_patchify": "#pixels-become-tokens",
    "05_encoder_layers": "#tokens-look-at-each-other-27-times",
    "06_pooling_heads": "#tokens-become-one-vector",
    "03_text": "#captions-become-tokens",
    "07_two_towers": "#two-vectors-become-a-probability",
}


def siglip_walk(config: SigLIPConfig, photo, captions: list[str], here: bool = False) -> Drawing:
    """Draw the walk of a photo and captions through a model, with the shape of every station.

    Args:
        config: Of the model.
        photo: A PIL image.
        captions: One at least.
        here: Whether stations lead to the sections of this chapter, and not to the later ones.
    """
    vision, text, n = config.vision, config.text, len(captions)
    grid, tokens = vision.grid_size, [1, vision.num_patches, vision.width]
    left = [
        ("resize, scale", [1, 3, vision.image_size, vision.image_size], "02_preprocessing"),
        (f"{grid} × {grid} patches", tokens, "04_patchify"),
        (f"{vision.depth} layers", tokens, "05_encoder_layers"),
        ("MAP head, normalise", [1, vision.width], "06_pooling_heads"),
    ]
    words = [n, text.context_length, text.width]
    right = [
        ("cut into pieces, pad", words[:2], "03_text"),
        ("look up tokens", words, "03_text"),
        (f"{text.depth} layers", words, "05_encoder_layers"),
        ("last token, normalise", [n, config.embed_dim], "06_pooling_heads"),
    ]
    side = grid * vision.patch_size
    square = photo.resize((vision.image_size, vision.image_size))
    patches = square.crop((0, 0, side, side)).resize((grid, grid), Image.Resampling.BOX)
    pieces = max(len(caption.split()) for caption in captions)
    pictures = [
        [_photo(square.resize((96, 96))), _photo(patches), _layers, _arrows([52])],
        [_places(pieces, text.context_length), _table, _layers, _arrows([16, 80][:n])],
        [_angles],
    ]
    end = ("cosine × t + b, then sigmoid", "one probability for each caption")
    meeting = "07_two_towers"
    if here:
        left, right = ([(*each[:2], _SECTIONS[each[2]]) for each in side] for side in (left, right))
        right[3] = (*right[3][:2], _SECTIONS["03_text"])  # with the other tokens
        meeting = _SECTIONS[meeting]
    return walk_map(photo, captions, left, right, *end, meeting, pictures=pictures)


@styled
def walk_map(
    photo,
    captions: list[str],
    left,
    right,
    meeting: str,
    ending: str,
    chapter: str = "",
    framed: tuple[str, ...] = (),
    frame: str = "",
    pictures: Sequence[Sequence[Callable]] = (),
) -> plt.Figure:
    """Draw the stations of the image side and of the text side, and where the two meet.

    Args:
        photo: A PIL image on top of the image side.
        captions: Texts on top of the text side.
        left: Label and shape of each of the four stations of the image side, and the chapter that
            the station leads to, if it does, or the section ("#" and its name).
        right: The same for the text side.
        meeting: What joins the two sides.
        ending: What comes of it.
        chapter: Where the meeting leads to.
        framed: Labels of the stations that get a frame.
        frame: What the frame means, in words below.
        pictures: What draws a picture into each station of the left, of the right, and the meeting;
            without, the stations have words only.
    """
    foot = -10.5 if framed else -5
    figure, axes = style.blank(5.0, HIGH * (100 - foot) / 105, (0, 100), (foot, 100))
    for x, colour, stations, side in ((25, IMAGE, left, 0), (75, TEXT, right, 1)):
        for i, station in enumerate(stations):
            y = 72 - 16 * i
            style.arrow(axes, (x, y + 10.5), (x, y + 5.5))
            picture = pictures[side][i] if pictures else None
            _station(axes, (x, y), 48, colour, picture, *station)
            if station[0] in framed:
                _frame(axes, (x, y), 48, 10.4)
        style.arrow(axes, (x, 18.5), (50 + (x - 50) * 0.5, 11.5))
    picture = pictures[2][0] if pictures else None
    _station(axes, (50, 6), 62, JOINT, picture, meeting, [1, len(captions)], chapter)
    if meeting in framed:
        _frame(axes, (50, 6), 62, 10.4)
    axes.text(50, -2.6, ending, color=JOINT, **CENTRED)
    if framed:
        _frame(axes, (37, -7.8), 5, 2.6)
        axes.text(42, -7.8, frame, va="center")
    inset = axes.inset_axes([0.12, 0.83, 0.26, 0.17])
    inset.imshow(photo)
    inset.axis("off")
    middle = (len(captions) - 1) / 2
    gap = min(7, 5.8 / max(middle, 0.5))
    for i, caption in enumerate(captions):
        axes.text(75, 91.5 + gap * (middle - i), f"“{caption}”", color=TEXT, **CENTRED)
    return figure


def _frame(axes, centre, width, height) -> None:
    """A frame at a little distance around a box."""
    corner = centre[0] - width / 2 - 0.5, centre[1] - height / 2 - 0.7
    rounded = "round,pad=0,rounding_size=1.8"
    look = {"fill": False, "edgecolor": INK, "linewidth": 2}
    axes.add_patch(FancyBboxPatch(corner, width + 1, height + 1.4, boxstyle=rounded, **look))


def _station(axes, centre, width, colour, picture, label, shape, chapter="") -> None:
    x, y = centre
    link = {"url": f"{chapter}.ipynb" if chapter and chapter[0] != "#" else chapter or None}
    height = 10.4
    style.box(axes, centre, width, height, colour, bright=True, **link)
    if picture:
        side = height - 1.6
        left, across = x - width / 2 + 0.9, side * HIGH / 105 * 100 / 5  # as wide as it is high
        inset = axes.inset_axes((left, y - side / 2, across, side), transform=axes.transData)
        inset.set(xlim=(0, 1), ylim=(0, 1))
        inset.axis("off")
        picture(inset)
        x = (left + across + x + width / 2) / 2
    axes.text(x, y + 2.3, label, color="white", **CENTRED, **link)
    axes.text(x, y - 2.5, str(shape), color="white", family="monospace", **CENTRED, **link)


# What stands in the stations: a square from 0 to 1, white on the station's colour.
_LINE = {"color": "white", "linewidth": 1}


def _photo(picture) -> Callable:
    def draw(axes):
        axes.imshow(picture, extent=(0, 1, 0, 1), aspect="auto")

    return draw


def _layers(axes) -> None:
    """Every token looks at every token."""
    places = (0.1, 0.37, 0.63, 0.9)
    for start in places:
        for end in places:
            axes.plot([start, end], [0.9, 0.1], color="white", linewidth=0.6)
    axes.plot(places * 2, [0.9] * 4 + [0.1] * 4, "o", color="white", markersize=4)


def _arrows(angles: list[int]) -> Callable:
    def draw(axes):
        for angle in angles:
            turn = math.radians(angle)
            tip = 0.06 + 0.9 * math.cos(turn), 0.06 + 0.9 * math.sin(turn)
            look = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", tip, (0.06, 0.06), arrowprops=look | _LINE | {"linewidth": 1.4})

    return draw


def _places(pieces: int, length: int) -> Callable:
    """A row of ids, in lines of eight; the first are pieces, the rest padding."""

    def draw(axes):
        for i in range(length):
            row, column = divmod(i, 8)
            place = plt.Rectangle((column / 8 + 0.01, 0.885 - row / 8), 0.1, 0.1, linewidth=0)
            axes.add_patch(place).set(facecolor="white", alpha=1 if i < pieces else 0.35)

    return draw


def _table(axes) -> None:
    """A row of a table is looked up."""
    for i in range(6):
        place = plt.Rectangle((0.05, 0.84 - i / 6), 0.9, 0.1, linewidth=0, facecolor="white")
        axes.add_patch(place).set_alpha(1 if i == 2 else 0.35)


def _angles(axes) -> None:
    """The photo's arrow between those of two captions."""
    for angle in (16, 52, 80):
        _arrows([angle])(axes)
    turn = [math.radians(angle) for angle in range(16, 53, 4)]
    x, y = ([0.06 + 0.5 * f(each) for each in turn] for f in (math.cos, math.sin))
    axes.plot(x, y, **_LINE)


@styled
def odds_before_and_after(prior: float, posteriors: dict[str, float]) -> plt.Figure:
    """Draw how far a photo moves the odds of each caption, on a logarithmic axis.

    Args:
        prior: Odds before looking, the same for all.
        posteriors: Caption to odds after looking.
    """
    row, wide = 56, 72 * WIDTH  # points
    foot = 40 + row * len(posteriors)
    figure, axes = style.blank(WIDTH, (foot + 22) / 72, (0, wide), (foot + 22, 0))
    left, right = math.log10(prior) - 0.6, 1.15
    yes, low = (_along(x, left, right, 52, wide) for x in (0, math.log10(prior)))
    for start, end, colour, side in ((52, yes, NEUTRAL, "no"), (yes, wide, JOINT, "yes")):
        ground = plt.Rectangle((start, 0), end - start, foot, facecolor=colour, alpha=0.07)
        axes.add_patch(ground).set_linewidth(0)
        axes.text((start + end) / 2, 12, side, color=colour, weight="bold", **CENTRED)
    for i, (name, odds) in enumerate(posteriors.items()):
        x, y, far = _along(math.log10(odds), left, right, 52, wide), 72 + row * i, odds > 9 * prior
        axes.text(46, y, name, color=TEXT, ha="right", va="center")
        axes.plot([low, x], [y, y], color=JOINT, linewidth=4 if far else 2)
        axes.plot([low], [y], "o", color=NEUTRAL, markersize=13)
        axes.plot([x], [y], "o", color=JOINT, markersize=13 if far else 8)
        times, after = f"×{odds / prior:,.0f}", f"1 to {1 / odds:,.0f}"
        middle, beside, side = (
            ((low + x) / 2, x + 9, "right") if far else (low + 30, low - 9, "left")
        )
        size = {"fontsize": (1.3 if far else 1) * style.SIZE, "weight": "bold", "color": JOINT}
        axes.text(middle, y - 15 if far else y, times, **CENTRED, **size)
        axes.text(beside, y + 18, after, color=JOINT, ha=side, va="center")
    for mark in [prior, *(odds for odds in (1e-3, 1 / 30) if odds > 3 * prior), 1]:
        x = _along(math.log10(mark), left, right, 52, wide)
        axes.plot([x, x], [foot, foot + 4], color=NEUTRAL, linewidth=1)
        axes.text(x, foot + 13, f"1 to {1 / mark:,.0f}", color=NEUTRAL, **CENTRED)
    axes.text(wide, foot + 13, "odds", color=NEUTRAL, ha="right", va="center")
    return figure


def _along(x: float, low: float, high: float, start: float, end: float) -> float:
    """Where a number of an axis is, in points."""
    return start + (x - low) / (high - low) * (end - start)


@styled
def patch_grid(picture, patch_size: int, row: int = 0, column: int = 0) -> plt.Figure:
    """Draw the grid of patches on a square PIL image, with one patch enlarged beside it.

    Args:
        picture: A square PIL image; the margin that no patch covers is red.
        patch_size: Side of a patch in pixels.
        row: Row of the enlarged patch, from 0.
        column: Column of the enlarged patch, from 0.
    """
    p, side = patch_size, picture.size[0]
    n = side // p
    end = n * p  # of the grid
    limits = (-0.01 * side, 1.63 * side), (1.01 * side, -0.01 * side)
    figure, axes = style.blank(WIDTH, WIDTH * 1.02 / 1.64, *limits)
    axes.imshow(picture, extent=(0, side, side, 0), aspect="auto")
    axes.vlines(range(0, end + 1, p), 0, end, color=LIGHT, linewidth=0.5)
    axes.hlines(range(0, end + 1, p), 0, end, color=LIGHT, linewidth=0.5)
    for corner, sides in (((end, 0), (side - end, side)), ((0, end), (end, side - end))):
        axes.add_patch(plt.Rectangle(corner, *sides, color=MISTAKE, alpha=0.85, linewidth=0))
    left, top, size = 1.16 * side, 0.13 * side, 0.32 * side
    x, y = column * p, row * p
    for start, stop in ((y, top), (y + p, top + size)):
        axes.plot([x + p, left], [start, stop], color=IMAGE, linewidth=1)
    patch, extent = picture.crop((x, y, x + p, y + p)), (left, left + size, top + size, top)
    axes.imshow(patch, extent=extent, aspect="auto")
    for corner, length in (((x, y), p), ((left, top), size)):
        square = plt.Rectangle(corner, length, length, fill=False, edgecolor=IMAGE, linewidth=2)
        axes.add_patch(square)
    middle = left + size / 2
    axes.text(middle, top - 0.06 * side, f"{p} × {p} pixels", **CENTRED)
    style.arrow(axes, (middle, top + 1.04 * size), (middle, 0.625 * side))
    style.box(axes, (middle, 0.68 * side), 0.48 * side, 0.11 * side, IMAGE, bright=True)
    axes.text(middle, 0.68 * side, f"1 of {n * n} tokens", color="white", **CENTRED)
    words = f"{side - end} pixels left over"
    axes.text(1.04 * side, 0.96 * side, words, color=MISTAKE, va="center")
    return figure


@styled
def mixed_tokens(before: Tensor, weights: Tensor, after: Tensor, names: list[str]) -> plt.Figure:
    """Draw what tokens of two numbers gather from each other; a line is as thick as its weight.

    Args:
        before: `[n, 2]`, on the left, in grey.
        weights: `[n, n]`, how much each token, a row, listens to each.
        after: `[n, 2]`, on the right, in blue.
        names: Of the tokens.
    """
    n = len(names)
    figure, axes = style.blank(WIDTH, 0.62 * n + 0.55, (0, 100), (n - 0.5, -1))
    axes.text(33, -0.75, "before", color=NEUTRAL, **CENTRED)
    axes.text(70, -0.75, "after", color=IMAGE, **CENTRED)
    for i in range(n):
        for j in range(n):
            weight = weights[i, j].item()
            axes.plot([33, 70], [j, i], color=IMAGE, alpha=0.55, linewidth=16 * weight, zorder=1)
    look = {"linestyle": "none", "marker": "o", "markersize": 13}
    axes.plot([33] * n, range(n), color=NEUTRAL, **look)
    axes.plot([70] * n, range(n), color=IMAGE, **look)
    for i, (name, start, end) in enumerate(
        zip(names, before.tolist(), after.tolist(), strict=True)
    ):
        axes.text(29, i, f"{name} ({start[0]:.0f}, {start[1]:.0f})", ha="right", va="center")
        axes.text(74, i, f"({end[0]:.2f}, {end[1]:.2f})", color=IMAGE, va="center")
    return figure


@styled
def arrows_on_circles(photo: Tensor, captions: Tensor, names: list[str]) -> plt.Figure:
    """Draw a photo's arrow with each caption's on a circle of its own, and their cosine in green.

    Args:
        photo: `[2]`, of length 1.
        captions: `[n, 2]`, of length 1.
        names: What the arrows are called, the photo first.
    """
    figure, axes = style.blank(WIDTH, 2.3, (-1.9, 4.8), (-1.42, 1.33))
    turn = [math.radians(angle) for angle in range(0, 361, 3)]
    for i, (caption, name) in enumerate(zip(captions.tolist(), names[1:], strict=True)):
        x, (px, py), (cx, cy) = 3 * i, photo.tolist(), caption
        cosine = px * cx + py * cy
        axes.plot([x + math.cos(a) for a in turn], [math.sin(a) for a in turn], color=FRAME)
        foot = x + cosine * px, cosine * py
        axes.plot([x, foot[0]], [0, foot[1]], color=JOINT, linewidth=7, solid_capstyle="butt")
        axes.plot([x + cx, foot[0]], [cy, foot[1]], color=JOINT, linewidth=1.2, linestyle=":")
        for tip, colour in (((x + px, py), IMAGE), ((x + cx, cy), TEXT)):
            look = {"arrowstyle": "-|>", "mutation_scale": 13, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", tip, (x, 0), arrowprops=look | {"color": colour, "linewidth": 2})
        axes.text(x + px, 1.05, names[0], color=IMAGE, ha="center", va="bottom")
        axes.text(x + cx + 0.09, cy, name, color=TEXT, va="center")
        words = style.minus(f"cosine {cosine + 0.0:.2f}")
        axes.text(x, -1.24, words, color=JOINT, weight="bold", **CENTRED)
    return figure


@styled
def probe_gathers(picture, patch_size: int, weights: Tensor, vector: Tensor) -> plt.Figure:
    """Draw what the probe takes from each patch; a line is as thick as its weight.

    Args:
        picture: A square PIL image, as the model receives it.
        patch_size: Side of a patch in pixels.
        weights: Shares `[patches]`, the patches row by row.
        vector: What comes out, `[D]`.
    """
    n = picture.width // patch_size
    side, high = 168, 190  # points
    figure, axes = style.blank(WIDTH, high / 72, (0, 72 * WIDTH), (high, 0))
    cell, top, probe = side / n, 20, (277, 20 + side / 2)
    square = picture.crop((0, 0, n * patch_size, n * patch_size))
    axes.imshow(square, extent=(0, side, top + side, top), aspect="auto")
    edges = [cell * i for i in range(n + 1)]
    axes.vlines(edges, top, top + side, color=LIGHT, linewidth=0.7)
    axes.hlines([top + edge for edge in edges], 0, side, color=LIGHT, linewidth=0.7)
    for i, weight in enumerate(weights.tolist()):
        x, y = cell * (i % n + 0.5), top + cell * (i // n + 0.5)
        look = {"color": IMAGE, "solid_capstyle": "round"}
        axes.plot([x, probe[0]], [y, probe[1]], alpha=0.6, linewidth=80 * weight, **look)
        axes.plot(x, y, "o", color=IMAGE, markersize=2 + 100 * weight)
    axes.plot(*probe, "o", color=IMAGE, markersize=46)
    axes.text(*probe, "probe", color="white", **CENTRED)
    style.arrow(axes, (probe[0] + 27, probe[1]), (350, probe[1]))
    axes.text((probe[0] + 375) / 2 + 0.5, probe[1] - 12, "MLP", color=IMAGE, **CENTRED)
    most = vector.abs().max().item()
    tints = {"cmap": style.tints(NEUTRAL, IMAGE), "vmin": -most, "vmax": most}
    where = (356, 376, top + side, top)
    axes.imshow(vector[:, None].numpy(), extent=where, aspect="auto", **tints)
    frame = plt.Rectangle((356, top), 20, side, fill=False, edgecolor=IMAGE, linewidth=1.2)
    axes.add_patch(frame)
    axes.text(side / 2, 8, f"{n * n} tokens", color=IMAGE, **CENTRED)
    axes.text(366, 8, f"{len(vector)} numbers", color=IMAGE, **CENTRED)
    axes.set(xlim=(0, 72 * WIDTH), ylim=(high, 0))
    return figure


@styled
def two_streams(image: dict[str, Tensor], text: dict[str, Tensor]) -> plt.Figure:
    """Draw both sides as streams that are as wide as their tensors have numbers.

    Args:
        image: Name of a stop of the image side to its tensor, from the top down.
        text: The same for the text side, of as many stops.
    """
    step, bar, widest = 60, 6, 180  # points
    last = len(image) - 1
    high = step * last + 86
    most = max(t.numel() for t in [*image.values(), *text.values()])
    figure, axes = style.blank(WIDTH, high / 72, (0, 72 * WIDTH), (high, 0))
    for x, colour, stops in ((widest / 2 + 3, IMAGE, image), (216, TEXT, text)):
        above = 0.0
        for i, (name, tensor) in enumerate(stops.items()):
            half = max(widest * tensor.numel() / most, 3) / 2
            y = step * i + 40
            if i:
                corners = [(x - above, y - step + bar), (x + above, y - step + bar)]
                corners += [(x + half, y), (x - half, y)]
                axes.add_patch(plt.Polygon(corners, color=colour, alpha=0.16, linewidth=0))
            axes.add_patch(plt.Rectangle((x - half, y), 2 * half, bar, color=colour, linewidth=0))
            # Inside the wide stream, below its narrow end, beside the other.
            where = {"x": x, "ha": "center"} if stops is image else {"x": 240, "ha": "left"}
            top = y + (18 if i == last else -29) if stops is image else y - 5.5
            words = {"va": "center", **where}
            axes.text(y=top, s=f"{name}: {tensor.numel():,}", color=colour, **words)
            axes.text(y=top + 17, s=str(list(tensor.shape)), family="monospace", **words)
            above = half
    return figure


@styled
def answers_side_by_side(
    picture,
    labels: list[str],
    answers: dict[str, Tensor],
    true: tuple[str, ...] = (),
    sums: bool = True,
) -> plt.Figure:
    """Draw two ways to answer as bars beside each other, and what each adds up to.

    Args:
        picture: The PIL image that is asked about.
        labels: What is asked.
        answers: Name of a way to a probability for each label, `[n]`.
        true: Labels that are true; the bar of another is red where it is longer than one half.
        sums: Whether to say what each way adds up to.
    """
    step = 32 if len(labels) < 5 else 25
    foot = 26 + step * len(labels)
    high = foot + 20 * sums
    figure, axes = style.blank(WIDTH, high / 72, (0, 72 * WIDTH), (high, 0))
    tall, middle = 66 * picture.height / picture.width, (26 + foot) / 2
    axes.imshow(picture, extent=(0, 66, middle + tall / 2, middle - tall / 2), aspect="auto")
    rows = [26 + step * (i + 0.5) for i in range(len(labels))]
    for label, y in zip(labels, rows, strict=True):
        axes.text(164, y, label, color=TEXT, ha="right", va="center")
    for left, (name, row) in zip((172, 286), answers.items(), strict=True):
        axes.text(left, 10, name, weight="bold", va="center")
        axes.plot([left, left], [26, foot - 2], color=NEUTRAL, linewidth=0.8)
        for label, p, y in zip(labels, row.tolist(), rows, strict=True):
            colour = JOINT if label in true else MISTAKE if p > 0.5 else NEUTRAL
            bar = plt.Rectangle((left, y - 9), 58 * p, 18, color=colour, linewidth=0)
            axes.add_patch(bar)
            axes.text(left + 58 * p + 4, y, f"{p:.1%}", va="center")
        if sums:
            axes.text(left, foot + 11, f"sum {row.sum():.1%}", color=NEUTRAL, va="center")
    axes.set(xlim=(0, 72 * WIDTH), ylim=(high, 0))
    return figure


@styled
def encoder_layer(tokens: Tensor, gathered: Tensor, refined: Tensor, mlp_dim: int) -> plt.Figure:
    """Draw tokens on their way through a layer, and what its two branches add to them.

    Args:
        tokens: `[n, D]`; of these, four tokens and five numbers are drawn.
        gathered: What attention adds, `[n, D]`.
        refined: What the MLP adds, `[n, D]`.
        mlp_dim: Numbers between the two maps of the MLP.
    """
    n, width = tokens.shape
    x, plus, path = (40, 203, 366), (121, 285), 130  # points: strips, sums, the tokens' own path
    figure, axes = style.blank(WIDTH, 172 / 72, (0, 72 * WIDTH), (172, 0))
    after = tokens + gathered
    stages = [tokens, after, after + refined]
    most = max(part[:4, :5].abs().max().item() for part in [*stages, gathered, refined])
    for centre, stage in zip(x, stages, strict=True):
        _strip(axes, centre, path, stage / most)
        axes.text(centre, path + 32, f"{n} × {width}", **CENTRED)
    branches = [
        ("attention", "from all tokens", f"{width} → {width}", gathered),
        ("MLP", "each token alone", f"{width} → {mlp_dim} → {width}", refined),
    ]
    for i, (name, who, numbers, part) in enumerate(branches):
        style.arrow(axes, (x[i], path - 18), (x[i], 62))
        style.box(axes, (x[i], 50), 74, 22, IMAGE, bright=False)
        axes.text(x[i], 50, "LayerNorm", **CENTRED)
        style.box(axes, (plus[i], 50), 74, 22, IMAGE, bright=True)
        axes.text(plus[i], 50, name, color="white", **CENTRED)
        axes.plot([x[i] + 37, plus[i] - 37], [50, 50], color=NEUTRAL)
        axes.text(plus[i], 8, who, color=IMAGE, **CENTRED)
        axes.text(plus[i], 27, numbers, **CENTRED)
        axes.plot([plus[i]] * 2, [61, 68], color=NEUTRAL)
        _strip(axes, plus[i], 85, part / most)
        style.arrow(axes, (plus[i], 100), (plus[i], path - 5))
        style.arrow(axes, (x[i] + 29, path), (x[i + 1] - 28, path))
        axes.plot(plus[i], path, "o", color=IMAGE, markersize=15)
        axes.text(plus[i], path, "+", color="white", weight="bold", **CENTRED)
    return figure


def _strip(axes, centre: float, middle: float, shares: Tensor) -> None:
    """Four tokens, rows of five numbers; blue above zero, grey below."""
    for i, row in enumerate(shares[:4, :5].tolist()):
        for j, share in enumerate(row):
            corner = centre - 27.5 + 11 * j, middle - 16 + 8 * i
            cell = plt.Rectangle(corner, 11, 8, facecolor=IMAGE if share > 0 else NEUTRAL)
            axes.add_patch(cell).set(alpha=round(min(abs(share), 1), 2), linewidth=0)
    frame = plt.Rectangle((centre - 27.5, middle - 16), 55, 32, fill=False, edgecolor=IMAGE)
    axes.add_patch(frame).set_linewidth(1.2)


@styled
def read_positions(pieces: int, shares: dict[int, float]) -> plt.Figure:
    """Draw the row of ids at each padded length, where it is read, and how often rightly.

    Args:
        pieces: Ids of the longest text, without the end token.
        shares: Length to the share of right answers, 0 to 1; the longest is as in training.
    """
    cell, row, bar = 11, 58, 236  # points
    most, high = max(shares), row * len(shares) - 4
    figure, axes = style.blank(WIDTH, high / 72, (0, 72 * WIDTH), (high, 0))
    for i, (length, share) in enumerate(shares.items()):
        y, end, good = row * i + 18, 2 + cell * length, length == most
        axes.text(2, y - 10, f"padded to {length}", color=TEXT, va="center")
        for j in range(length):
            look = {"facecolor": TEXT, "edgecolor": "white"} if j < pieces else {}
            look = look or {"facecolor": TEXT + "22", "edgecolor": TEXT}
            place = plt.Rectangle((2 + cell * j, y), cell, 15, **look)
            axes.add_patch(place).set_linewidth(0.6)
        frame = plt.Rectangle((end - cell, y - 2.5), cell, 20, fill=False, linewidth=2.4)
        axes.add_patch(frame).set_edgecolor(TEXT if good else MISTAKE)
        look = {"color": TEXT if good else MISTAKE, "ha": "right", "va": "center"}
        axes.text(end, y + 27, "read here", **look)
        long, colour = 108 * share, JOINT if good else MISTAKE
        axes.plot([bar, bar], [y - 3, y + 18], color=NEUTRAL, linewidth=0.8)
        axes.add_patch(plt.Rectangle((bar, y), long, 15, color=colour, linewidth=0))
        look = {"color": colour, "weight": "bold", "va": "center"}
        axes.text(bar + long + 5, y + 7.5, f"{share:.1%}", **look)
    axes.text(bar, 8, "right label picked", color=NEUTRAL, va="center")
    return figure
