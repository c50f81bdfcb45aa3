"""The figures of the chapter "Start here"."""

from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch
from torch import Tensor

from siglip_lab.configs import SigLIPConfig
from siglip_lab.figures import style
from siglip_lab.figures.style import (
    CENTRED,
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

__all__ = ["siglip_walk", "walk_map", "odds_before_and_after", "patch_grid", "mixed_tokens"]


def siglip_walk(config: SigLIPConfig, photo, captions: list[str]) -> Drawing:
    """Draw the walk of a photo and captions through a model, with the shape of every station."""
    vision, text, n = config.vision, config.text, len(captions)
    grid, tokens = vision.grid_size, [1, vision.num_patches, vision.width]
    left = [
        ("resize, scale", [1, 3, vision.image_size, vision.image_size], "02_preprocessing"),
        (f"{grid} × {grid} patches → tokens", tokens, "04_patchify"),
        (f"{vision.depth} encoder layers", tokens, "05_encoder_layers"),
        ("MAP head, normalise", [1, vision.width], "06_pooling_heads"),
    ]
    right = [
        ("cut into pieces, pad", [n, text.context_length], "03_text"),
        ("look up, add positions", [n, text.context_length, text.width], "03_text"),
        (f"{text.depth} encoder layers", [n, text.context_length, text.width], "05_encoder_layers"),
        ("last token, normalise", [n, config.embed_dim], "06_pooling_heads"),
    ]
    end = ("cosine × t + b, then sigmoid", "one probability for each caption")
    return walk_map(photo, captions, left, right, *end, "07_two_towers")


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
    """
    foot = -10.5 if framed else -5
    figure, axes = style.blank(5.0, 5.1 * (100 - foot) / 105, (0, 100), (foot, 100))
    for x, colour, stations in ((25, IMAGE, left), (75, TEXT, right)):
        for i, station in enumerate(stations):
            y = 72 - 16 * i
            style.arrow(axes, (x, y + 10.5), (x, y + 5.5))
            _station(axes, (x, y), 48, colour, *station)
            if station[0] in framed:
                _frame(axes, (x, y), 48, 10.4)
        style.arrow(axes, (x, 18.5), (50 + (x - 50) * 0.5, 11.5))
    _station(axes, (50, 6), 62, JOINT, meeting, [1, len(captions)], chapter)
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


def _station(axes, centre, width, colour, label, shape, chapter="") -> None:
    x, y = centre
    link = {"url": f"{chapter}.ipynb" if chapter and chapter[0] != "#" else chapter or None}
    style.box(axes, centre, width, 10.4, colour, bright=True, **link)
    axes.text(x, y + 2.3, label, color="white", **CENTRED, **link)
    axes.text(x, y - 2.5, str(shape), color="white", family="monospace", **CENTRED, **link)


@styled
def odds_before_and_after(prior: float, posteriors: dict[str, float]) -> plt.Figure:
    """Draw how far a photo moves the odds of each caption, on a logarithmic axis.

    Args:
        prior: Odds before looking, the same for all.
        posteriors: Caption to odds after looking.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.42 * len(posteriors) + 0.95))
    for y, odds in enumerate(posteriors.values()):
        axes.plot([prior, odds], [y, y], color=JOINT, linewidth=1.5)
        axes.plot([prior], [y], "o", color=NEUTRAL, markersize=10)
        axes.plot([odds], [y], "o", color=JOINT)
        side, shift = ("left", -4) if odds < 100 * prior else ("right", 4)
        look = {"textcoords": "offset points", "ha": side, "color": JOINT}
        words = f"1 to {1 / odds:,.0f}, × {odds / prior:,.0f}"
        axes.annotate(words, (odds, y), (shift, 8), **look)
    axes.axvline(1, color=NEUTRAL, linewidth=0.6, linestyle="--")
    axes.set(xscale="log", xlim=(prior / 4, 20), ylim=(len(posteriors) - 0.5, -0.6))
    axes.set_yticks(range(len(posteriors)), list(posteriors))
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.minorticks_off()
    axes.set_xticks([prior, 1], [f"1 to {1 / prior:,.0f}", "1 to 1"])
    axes.set_xlabel("odds")
    return figure


@styled
def patch_grid(picture, patch_size: int) -> plt.Figure:
    """Draw the grid of patches on a square PIL image; the margin that no patch covers is red."""
    width, height = picture.size
    right, bottom = (side - side % patch_size for side in (width, height))
    figure, axes = plt.subplots(figsize=(4.2, 4.2))
    axes.imshow(picture, extent=(0, width, height, 0))
    axes.vlines(range(0, right + 1, patch_size), 0, bottom, color=LIGHT, linewidth=0.5)
    axes.hlines(range(0, bottom + 1, patch_size), 0, right, color=LIGHT, linewidth=0.5)
    for corner, sides in (
        ((right, 0), (width - right, height)),
        ((0, bottom), (right, height - bottom)),
    ):
        axes.add_patch(plt.Rectangle(corner, *sides, color=MISTAKE, alpha=0.85, linewidth=0))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[0, right], yticks=[0, bottom])
    axes.set(xlabel="pixels", ylabel="pixels")
    axes.set_title(f"left over: {width - right}", loc="right", color=MISTAKE)
    axes.spines[:].set_visible(False)
    return figure


@styled
def mixed_tokens(before: Tensor, after: Tensor, names: list[str]) -> plt.Figure:
    """Draw tokens of two numbers, `[n, 2]`, as arrows: grey before attention, blue after it.

    Tokens that are equal share an arrow; `names` says whose it is.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.3))
    for tokens, colour, title, up in ((before, NEUTRAL, "before", 2), (after, IMAGE, "after", 9)):
        shared: dict[tuple, list[str]] = {}
        for name, token in zip(names, tokens.tolist(), strict=True):
            shared.setdefault(tuple(round(x, 6) for x in token), []).append(name)
        for tip, owners in shared.items():
            look = {"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", tip, (0, 0), arrowprops=look | {"linewidth": 2, "mutation_scale": 16})
            words = f"{' and '.join(owners)},\n{title}"
            axes.annotate(words, tip, (7, up), textcoords="offset points", color=colour)
    axes.set(xlim=(-0.03, 1.6), ylim=(-0.03, 1.15), aspect="equal")
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="first number", ylabel="second number")
    axes.spines[:].set_visible(False)  # two of the tokens lie on the axes
    axes.grid(linewidth=0.6)
    return figure
