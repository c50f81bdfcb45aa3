"""The figures of the chapter "CLIP, line by line"."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from torch import Tensor
from torch.nn.functional import avg_pool2d

from siglip_lab.clip.configs import CLIPConfig
from siglip_lab.configs import VisionConfig
from siglip_lab.figures import style
from siglip_lab.figures.ch01 import walk_map
from siglip_lab.figures.style import (
    CENTRED,
    FRAME,
    IMAGE,
    INK,
    JOINT,
    NEUTRAL,
    TEXT,
    WIDTH,
    blank,
    box,
    minus,
    styled,
)
from siglip_lab.figures.svg import Drawing

__all__ = [
    "causal_mask", "clip_walk", "middle_square", "page_map", "shrinking_maps", "two_softmaxes",
    "two_ways_to_pool", "written_classifier",
]  # fmt: skip


def clip_walk(config: CLIPConfig, photo, captions: list[str]) -> Drawing:
    """Draw the walk through a CLIP whose image tower is a ViT, with the shape of every station."""
    vision, text, n = config.vision, config.text, len(captions)
    if not isinstance(vision, VisionConfig):
        raise ValueError("this CLIP has a ResNet; the map shows the stations of a ViT")
    tokens = [1, 1 + vision.num_patches, vision.width]
    words = [n, text.context_length, text.width]
    photos, patches = "#the-photo-becomes-numbers", "#the-image-tower-a-vision-transformer"
    left = [
        ("resize, crop, scale", [1, 3, vision.image_size, vision.image_size], photos),
        (f"class token + {vision.num_patches} patches", tokens, patches),
        (f"{vision.depth} encoder layers", tokens, patches),
        ("class token × matrix", [1, config.embed_dim], patches),
    ]
    right = [
        ("byte pairs, start, end", words[:2], "#texts-become-ids"),
        ("look up, add positions", words, "#the-text-tower"),
        (f"{text.depth} layers with a mask", words, "#the-text-tower"),
        ("end token × matrix", [n, config.embed_dim], "#the-text-tower"),
    ]
    end = "cosine × t, then softmax"
    alike = left[2], right[1]
    framed = (*(station[0] for station in left + right if station not in alike), end)
    meeting = (end, "which caption?", "#two-vectors-meet")
    return walk_map(photo, captions, left, right, *meeting, framed, "different in SigLIP")


_SECTIONS = {  # name -> left edge, width, height of the middle, colour
    "numbers": (0, 24, 75, IMAGE),
    "image tower": (26, 33, 75, IMAGE),
    "ids": (0, 24, 25, TEXT),
    "text tower": (26, 33, 25, TEXT),
    "cosines": (61, 22, 50, JOINT),
    "loss": (85, 27, 75, JOINT),
    "classifier": (85, 27, 25, JOINT),
}


@styled
def page_map(lit: str) -> plt.Figure:
    """Draw the chapter's sections in small: the walk, and the two uses of what it ends with.

    Args:
        lit: The section that is drawn bright: numbers, image tower, ids, text tower, cosines,
            loss or classifier.

    Raises:
        ValueError: If there is no such section.
    """
    if lit not in _SECTIONS:
        raise ValueError(f"no section {lit!r}; the sections are {', '.join(_SECTIONS)}")
    figure, axes = blank(WIDTH * 113 / 132, 0.84, (-0.5, 112.5), (0, 100))
    for name, (left, width, y, colour) in _SECTIONS.items():
        centre = (left + width / 2, y)
        box(axes, centre, width, 43, colour, bright=name == lit)
        axes.text(*centre, name, color="white" if name == lit else INK, **CENTRED)
    return figure


@styled
def middle_square(photo, size: int) -> plt.Figure:
    """Draw the middle square of a wide photo whose shorter side is `size`; the rest is dimmed.

    Args:
        photo: A PIL image that is wider than high.
        size: Side of the square, in pixels.
    """
    width = int(size * photo.width / photo.height)
    left = round((width - size) / 2)
    figure, axes = blank(0.7 * WIDTH, 3.1, (-0.5, width + 0.5), (size + 32, -30))
    axes.imshow(photo.resize((width, size)), extent=(0, width, size, 0))
    axes.set(xlim=(-4, width + 4), ylim=(size + 32, -30))
    for x, wide in ((0, left), (left + size, width - left - size)):
        axes.add_patch(plt.Rectangle((x, 0), wide, size, facecolor="white", alpha=0.7))
        axes.text(x + wide / 2, size + 17, f"{wide} cut", **CENTRED)
    look = {"fill": False, "edgecolor": JOINT, "linewidth": 3}
    axes.add_patch(plt.Rectangle((left, 0), size, size, **look))
    axes.text(left + size / 2, size + 17, f"{size} × {size}", color=JOINT, weight="bold", **CENTRED)
    axes.text(width / 2, -17, f"resized to {width} × {size}", **CENTRED)
    return figure


@styled
def causal_mask(tokens: list[str], end: int) -> plt.Figure:
    """Draw which token sees which, with a causal mask and without one.

    Args:
        tokens: Words for the tokens of one text, the padding included.
        end: Place at which the text is read; what stands behind it is padding.
    """
    n = len(tokens)
    figure, axes = blank(WIDTH, 3.1, (-3.6, 2 * n + 1.6), (-0.7, n + 3.4))
    for left, title, masked in ((0, "causal mask", True), (n + 1.4, "no mask", False)):
        axes.text(left + n / 2, n + 2.8, title, weight="bold", **CENTRED)
        for place, word in enumerate(tokens):
            look = {"ha": "center", "va": "bottom", "rotation": 90}
            axes.text(left + place + 0.5, n + 0.25, word, **look)
            if left == 0:
                axes.text(-0.3, n - place - 0.5, word, ha="right", va="center")
            for seen in range(n):
                hidden = masked and seen > place
                face = "none" if hidden else NEUTRAL + "77" if seen > end else TEXT + "CC"
                frame = {"facecolor": face, "edgecolor": FRAME, "linewidth": 0.8}
                axes.add_patch(plt.Rectangle((left + seen, n - place - 1), 1, 1, **frame))
        row = {"facecolor": "none", "edgecolor": JOINT, "linewidth": 2.4}
        axes.add_patch(plt.Rectangle((left, n - end - 1), n, 1, **row))
    return figure


@styled
def two_ways_to_pool(vit: CLIPConfig, resnet: CLIPConfig) -> plt.Figure:
    """Draw how the ViT and the ResNet of CLIP turn many vectors into one; green is what is read."""
    figure, axes = blank(WIDTH, 4.1, (0, 100), (0, 100))
    assert isinstance(vit.vision, VisionConfig)
    depth, patches = vit.vision.depth, vit.vision.num_patches
    wide, out = _ends(vit)
    side = resnet.vision.image_size // 32
    channels, other = _ends(resnet)
    for x, title in ((24, "ViT: a class token"), (76, "ResNet: attention pooling")):
        axes.text(x, 96, title, weight="bold", color=IMAGE, **CENTRED)
    _tokens(axes, 24, 82, f"{patches} patches and a class token", bright=True)
    style.arrow(axes, (24, 71), (24, 65))
    box(axes, (24, 57), 46, 15, IMAGE, bright=False)
    axes.text(24, 57, f"{depth} layers\nall {patches + 1} tokens ask", **CENTRED)
    style.arrow(axes, (24, 49), (24, 43))
    _tokens(axes, 24, 38, f"{patches + 1} tokens of {wide}", bright=False)
    style.arrow(axes, (24, 27.5), (24, 17))
    _map(axes, 76, 82, side, f"a map of {side} × {side}, and its mean")
    style.arrow(axes, (76, 71), (76, 65))
    box(axes, (76, 57), 46, 15, IMAGE, bright=False)
    axes.text(76, 57, "1 layer\nonly the mean asks", **CENTRED)
    style.arrow(axes, (76, 49), (76, 43))
    _tokens(axes, 76, 38, f"1 vector of {channels}", bright=False, count=1)
    style.arrow(axes, (76, 27.5), (76, 17))
    for x, read, size in ((24, "class token", out), (76, "vector", other)):
        box(axes, (x, 8.5), 46, 15, JOINT, bright=True)
        axes.text(x, 8.5, f"{read} × matrix\n[1, {size}]", color="white", **CENTRED)
    return figure


@styled
def shrinking_maps(picture, maps: dict[str, Tensor], vector: int) -> plt.Figure:
    """Draw the maps of a ResNet as blocks: the mean of the channels in front, their number behind.

    Sides and depths grow with the square root of what they stand for.

    Args:
        picture: The square PIL image that the ResNet sees.
        maps: Name to map, `[channels, side, side]`.
        vector: Length of what attention pooling makes of the last map.
    """
    blocks = [("photo", 3, picture.width, picture)]
    blocks += [(name, *x.shape[:2], _tinted(x.mean(dim=0))) for name, x in maps.items()]
    most = max(channels for _, channels, *_ in blocks)
    figure, axes = blank(WIDTH, 2.34, (-26, 650), (-139, 144))
    left = 0.0
    for name, channels, side, face in blocks:
        front, depth = 104 * (side / picture.width) ** 0.5, 50 * (channels / most) ** 0.5
        _block(axes, left, front, depth, IMAGE, face)
        first = name == "photo"
        middle = left + max(front + depth, _CELL) / 2
        axes.text(middle, -8, name.replace(" ", "\n"), color=IMAGE, ha="center", va="top")
        axes.text(middle, -90, f"side {side}" if first else str(side), **CENTRED)
        axes.text(middle, -122, f"channels {channels}" if first else str(channels), **CENTRED)
        left += max(front + depth, _CELL) + 8
    rod = 50 * (vector / most) ** 0.5
    _block(axes, left + 10, 104 / picture.width**0.5, rod, JOINT)
    axes.text(left + _CELL / 2, -8, "vector", color=JOINT, ha="center", va="top")
    axes.text(left + _CELL / 2, -122, str(vector), **CENTRED)
    axes.text(left - 14, 106, "attention\npooling", color=JOINT, **CENTRED)
    style.arrow(axes, (left - 4, 76), (left + 18, 22))
    return figure


_CELL = 66  # least width of a block with its words in `shrinking_maps`


@styled
def two_softmaxes(logits: Tensor) -> plt.Figure:
    """Draw the shares of both softmaxes of CLIP's loss; written is what the loss reads.

    Args:
        logits: Images to texts, `[n, n]`; pair i belongs together.
    """
    n = len(logits)
    panels = {  # title -> shares, height and width of what adds up to 1, its colour
        "rows: which text?": (logits.softmax(dim=1), (1, n), IMAGE),
        "columns: which image?": (logits.softmax(dim=0), (n, 1), TEXT),
    }
    most = max(float(shares.max()) for shares, *_ in panels.values())
    figure, axes = blank(WIDTH, 3.5, (-1.6, 2 * n + 2), (n + 2.2, -1.7))
    axes.text(-1, n / 2, "images", color=IMAGE, rotation=90, **CENTRED)
    for left, (title, (shares, (high, wide), colour)) in zip(
        (0, n + 1.9), panels.items(), strict=True
    ):
        axes.text(left + n / 2, -1, title, weight="bold", color=colour, **CENTRED)
        axes.text(left + n / 2, n + 0.6, "texts", color=TEXT, **CENTRED)
        for (i, j), share in np.ndenumerate(shares.numpy()):
            face = (JOINT if i == j else colour) + f"{round(0x99 * share / most):02x}"
            axes.add_patch(plt.Rectangle((left + j, i), 1, 1, facecolor=face, linewidth=0))
            if i == j:
                axes.text(left + j + 0.5, i + 0.5, f"{100 * share:.0f}", **CENTRED)
        for k in range(n):
            corner = (left, k) if wide == n else (left + k, 0)
            frame = {"fill": False, "edgecolor": colour, "linewidth": 1.4}
            axes.add_patch(plt.Rectangle(corner, wide, high, **frame))
        loss = -shares.diagonal().log().mean()
        axes.text(left + n / 2, n + 1.7, f"loss {loss:.2f}", color=JOINT, weight="bold", **CENTRED)
    return figure


@styled
def written_classifier(
    prompts: dict[str, Tensor], classes: dict[str, Tensor], picture, image: Tensor
) -> plt.Figure:
    """Draw how prompts become a row of a classifier, and how its rows score a picture.

    Args:
        prompts: Texts of the first class to their vectors; the first three are shown.
        classes: Name to row of the classifier; the first row is the prompts' normalised mean.
        picture: A PIL image.
        image: Its vector; the scores are its products with the rows.
    """
    figure, axes = blank(WIDTH, 4, (0, 100), (13.5, 100))
    most = max(float(vector[:4].abs().max()) for vector in (*prompts.values(), *classes.values()))
    first, *_ = classes
    left, right = {"va": "center"}, {"va": "center", "ha": "right"}
    axes.text(0, 96, f"{len(prompts)} prompts for “{first}”", weight="bold", color=TEXT, **left)
    for y, (words, vector) in zip((88, 80, 72), prompts.items(), strict=False):
        axes.text(0, y, words, **left)
        _numbers(axes, y, vector, TEXT, most)
    axes.text(0, 65, f"… {len(prompts) - 3} more", **left)
    style.arrow(axes, (_LEFT + 5.75, 67.5), (_LEFT + 5.75, 51.5))
    axes.text(_LEFT + 9, 60, "mean, scaled to length 1", **left)
    axes.text(0, 55, "a row for each class", weight="bold", color=TEXT, **left)
    axes.text(99, 55, "scores", weight="bold", color=JOINT, **right)
    axes.text(0, 20, "drawing", weight="bold", color=IMAGE, **left)
    axes.imshow(picture, extent=(18, 25, 15.8, 24.2), aspect="auto")
    axes.set(xlim=(-0.5, 100), ylim=(13.5, 100))
    axes.text(_LEFT - 5, 20, "×", **CENTRED)
    _numbers(axes, 20, image, IMAGE, float(image[:4].abs().max()))
    scores = {name: float(row @ image) for name, row in classes.items()}
    best = max(scores, key=scores.__getitem__)
    for y, (name, row) in zip((47, 39, 31), classes.items(), strict=True):
        axes.text(0, y, name, **left)
        _numbers(axes, y, row, TEXT, most)
        look = {"weight": "bold", "color": JOINT} if name == best else {}
        axes.text(99, y, minus(f"{scores[name]:.2f}"), **look, **right)
    return figure


_LEFT = 36  # edge of the numbers in `written_classifier`


def _numbers(axes, y, vector, colour, most) -> None:
    """The first four numbers of a vector in tinted cells, negative ones grey, and an ellipsis."""
    for i, value in enumerate(vector[:4].tolist()):
        shade = round(0x77 * abs(value) / most)
        face = f"{colour if value > 0 else NEUTRAL}{shade:02x}"
        look = {"facecolor": face, "edgecolor": FRAME, "linewidth": 0.8}
        axes.add_patch(plt.Rectangle((_LEFT + 11.5 * i, y - 3.6), 11.5, 7.2, **look))
        axes.text(_LEFT + 11.5 * i + 5.75, y, minus(f"{value:.2f}"), **CENTRED)
    axes.text(_LEFT + 48.5, y, "…", **CENTRED)


def _block(axes, left, front, depth, colour, face=None) -> None:
    """A block with a square front, seen from the right and above; `face` is painted on it."""
    right, high, rise = left + front, front, 0.8 * depth
    look = {"edgecolor": colour, "linewidth": 0.8, "joinstyle": "round"}
    top = [(left, high), (left + depth, high + rise), (right + depth, high + rise), (right, high)]
    side = [(right, 0), (right + depth, rise), (right + depth, high + rise), (right, high)]
    for corners, shade in ((top, "33"), (side, "77")):
        axes.add_patch(plt.Polygon(corners, facecolor=colour + shade, **look))
    slices = round(depth / 5)
    for share in (k / slices for k in range(1, slices)):
        x, y = share * depth, share * rise
        line = [(left + x, high + y), (right + x, high + y), (right + x, y)]
        axes.add_patch(plt.Polygon(line, closed=False, fill=False, edgecolor=colour + "77"))
    if face is not None:
        limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
        axes.imshow(face, extent=(left, right, 0, high), aspect="auto")
        axes.set(**limits)
    inside = "none" if face is not None else colour
    axes.add_patch(plt.Rectangle((left, 0), front, high, facecolor=inside, **look))


def _tinted(values: Tensor) -> np.ndarray:
    """Numbers `[H, W]` as a picture: the largest is blue, the smallest shows the page.

    It has at most 56 pixels a side and 32 shades: a page moves longer pictures into files, which
    no mask can show.
    """
    values = avg_pool2d(values[None], max(1, len(values) // 56))[0]
    values = (values - values.min()) / (values.max() - values.min())
    picture = np.empty((*values.shape, 4), dtype=np.uint8)
    picture[..., :3] = [round(255 * channel) for channel in to_rgb(IMAGE)]
    picture[..., 3] = (255 / 31 * (31 * values).round()).byte().cpu().numpy()
    return picture


def _ends(config: CLIPConfig) -> tuple[int, int]:
    """Width of what is read, and of the embedding."""
    vision = config.vision
    wide = vision.width if isinstance(vision, VisionConfig) else vision.width * 32
    return wide, config.embed_dim


def _square(axes, x, y, colour, bright) -> None:
    look = {"facecolor": colour if bright else "none", "edgecolor": colour, "linewidth": 1}
    axes.add_patch(plt.Rectangle((x - 1.7, y - 2.3), 3.4, 4.6, **look))


def _tokens(axes, centre, y, words, bright, count=8) -> None:
    """A row of tokens, the first of them green, with words below."""
    for i in range(count):
        first = i == 0
        x = centre + 4.4 * (i - (count - 1) / 2)
        if i == count - 2:
            axes.text(x, y, "…", color=INK, **CENTRED)
        else:
            _square(axes, x, y, JOINT if first else IMAGE, bright or first)
    axes.text(centre, y - 6.8, words, **CENTRED)


def _map(axes, centre, y, side, words) -> None:
    """A map of squares with its mean beside it, and words below."""
    step = 13 / side
    for i in range(side):
        for j in range(side):
            corner = (centre - 14 + 0.78 * step * j, y + 9.6 - step * (i + 1))
            look = {"facecolor": IMAGE, "edgecolor": "white", "linewidth": 0.6}
            axes.add_patch(plt.Rectangle(corner, 0.78 * step, step, **look))
    style.arrow(axes, (centre - 2.5, y + 3), (centre + 7, y + 3))
    _square(axes, centre + 10, y + 3, JOINT, True)
    axes.text(centre, y - 6.8, words, **CENTRED)
