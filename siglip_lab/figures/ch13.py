"""The figures of the chapter "CLIP, line by line"."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from torch import Tensor
from torch.nn.functional import avg_pool2d, cosine_similarity

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
    "causal_mask", "clip_walk", "id_ruler", "image_tower", "middle_square", "page_map",
    "shares_step_by_step", "shrinking_maps", "texts_as_ids", "two_softmaxes", "two_ways_to_pool",
    "written_classifier",
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


_SECTIONS = {  # in the page's order: name -> left edge, width, height of the middle, colour
    "ids": (0, 24, 25, TEXT),
    "numbers": (0, 24, 75, IMAGE),
    "image tower": (26, 33, 75, IMAGE),
    "text tower": (26, 33, 25, TEXT),
    "cosines": (61, 22, 50, JOINT),
    "loss": (85, 27, 75, JOINT),
    "classifier": (85, 27, 25, JOINT),
}


@styled
def page_map(lit: str) -> plt.Figure:
    """Draw the chapter's sections in small: the walk, and the two uses of what it ends with.

    Args:
        lit: The section that is drawn bright, and whose place and name are written: ids, numbers,
            image tower, text tower, cosines, loss or classifier.

    Raises:
        ValueError: If there is no such section.
    """
    if lit not in _SECTIONS:
        raise ValueError(f"no section {lit!r}; the sections are {', '.join(_SECTIONS)}")
    figure, axes = blank(WIDTH, 0.42, (-1, 474), (0, 100))
    for name, (left, width, y, colour) in _SECTIONS.items():
        box(axes, (left + width / 2, y), width, 38, colour, bright=name == lit)
    place, colour = [*_SECTIONS].index(lit) + 1, _SECTIONS[lit][-1]
    words = {"color": colour, "weight": "bold", "va": "center"}
    axes.text(124, 50, f"{place} of {len(_SECTIONS)}: {lit}", **words)
    return figure


@styled
def id_ruler(merges: int, marked: dict[str, int]) -> plt.Figure:
    """Draw in which order the ids of CLIP's vocabulary come; every band has its own scale.

    Args:
        merges: How many there are; each gives one id, after 256 bytes and 256 ends of words.
        marked: Pieces and their ids, which are marked below the bands.
    """
    last = 512 + merges
    bands = [  # left edge, width, first id, how many, name
        (0, 78, 0, 256, "bytes"),
        (82, 78, 256, 256, "word ends"),
        (164, 146, 512, merges, "merges"),
        (313, 43, last, 1, "start"),
        (359, 43, last + 1, 1, "end"),
    ]
    figure, axes = blank(WIDTH, 1.6, (-0.5, 402.7), (0, 115))
    for left, width, first, n, name in bands:
        axes.text(left + width / 2, 104, name, weight="bold", color=TEXT, **CENTRED)
        face = TEXT if n == 1 else TEXT + "22"
        look = {"facecolor": face, "edgecolor": TEXT, "linewidth": 1}
        axes.add_patch(plt.Rectangle((left, 60), width, 32, **look))
        words, colour = (f"{first}", "white") if n == 1 else (f"{first}–{first + n - 1}", INK)
        axes.text(left + width / 2, 76, words, color=colour, **CENTRED)
        for piece, number in marked.items():
            if first <= number < first + n:
                x = left + 3 + (width - 6) * (number - first) / max(1, n - 1)
                axes.plot([x, x], [42, 60], color=TEXT, linewidth=2)
                axes.text(x, 31, piece, color=TEXT, **CENTRED)
                axes.text(x, 11, str(number), **CENTRED)
    return figure


@styled
def texts_as_ids(texts: dict[str, list[tuple[str, int]]]) -> plt.Figure:
    """Draw texts as rows of tokens: a piece, and its id below it.

    Args:
        texts: Text to its pieces and their ids.
    """
    high = 78 * len(texts) - 12
    figure, axes = blank(WIDTH, high / 72, (-0.5, 402.7), (0, high))
    for i, (text, tokens) in enumerate(texts.items()):
        foot, left = high - 66 - 78 * i, 0.0
        axes.text(0, foot + 56, f"“{text}”", ha="left", **_MIDDLE)
        for piece, number in tokens:
            wide = 6.9 * max(len(piece), len(str(number))) + 7
            bright = number in (tokens[0][1], tokens[-1][1])
            look = {"facecolor": TEXT if bright else TEXT + "22", "linewidth": 0}
            axes.add_patch(plt.Rectangle((left, foot), wide, 43, **look))
            colour = "white" if bright else INK
            words = f"{piece}\n{number}"
            axes.text(left + wide / 2, foot + 21.5, words, color=colour, **CENTRED)
            left += wide + 1.5
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
    look = {"fill": False, "edgecolor": IMAGE, "linewidth": 3}
    axes.add_patch(plt.Rectangle((left, 0), size, size, **look))
    axes.text(left + size / 2, size + 17, f"{size} × {size}", color=IMAGE, weight="bold", **CENTRED)
    axes.text(width / 2, -17, f"resized to {width} × {size}", **CENTRED)
    return figure


@styled
def image_tower(config: CLIPConfig, picture, token: Tensor, vector: Tensor) -> plt.Figure:
    """Draw the ViT of a CLIP: patches and class token, layers, the vector of the class token.

    Args:
        config: Of the CLIP.
        picture: The square PIL image that the tower sees.
        token: What the layers make of the class token, `[width]`; shown as a strip.
        vector: What the projection makes of that, `[embed_dim]`; shown as a shorter strip.
    """
    vision = config.vision
    assert isinstance(vision, VisionConfig)
    side, size = vision.image_size // vision.patch_size, vision.patch_size
    figure, axes = blank(WIDTH, 4.2, (0, 403), (0, 302))
    _painted(axes, picture, (0, 96, 188, 284))
    for k in range(1, side):
        place = 96 * k / side
        axes.plot([place, place], [188, 284], color="white", linewidth=1.6)
        axes.plot([0, 96], [188 + place, 188 + place], color="white", linewidth=1.6)
    style.arrow(axes, (98, 262), (119, 262))
    axes.text(132, 291, "class token", color=IMAGE, weight="bold", ha="left", **_MIDDLE)
    axes.text(402, 291, f"{vision.num_patches} patches of {size} × {size}",
              ha="right", **_MIDDLE)  # fmt: skip
    look = {"fill": False, "linewidth": 1.2}
    wide = picture.width / side
    for i in range(_PATCHES + 1):
        left = 132 + 30 * i
        middle = left + 12
        if i == _PATCHES - 2:
            axes.text(middle, 262, "…", **CENTRED)
            axes.text(middle, 104, "…", **CENTRED)
            continue
        corner = {"edgecolor": IMAGE, **look}
        if i:
            early = i < _PATCHES - 2  # the first of the first row, the last of the last
            column, row = (i - 1, 0) if early else (i - 1 - _PATCHES + side, side - 1)
            frame = (column * wide, row * wide, (column + 1) * wide, (row + 1) * wide)
            piece = picture.crop(tuple(map(round, frame)))
            _painted(axes, piece, (left, left + 24, 250, 274))
            axes.add_patch(plt.Rectangle((left, 92), 24, 24, alpha=0.35, **corner))
        else:
            for foot in (250, 92):
                axes.add_patch(plt.Rectangle((left, foot), 24, 24, facecolor=IMAGE))
        axes.add_patch(plt.Rectangle((left, 250), 24, 24, **corner))
    axes.text(267, 236, "each plus its position, then a norm", **CENTRED)
    drawn = [144 + 30 * i for i in range(_PATCHES + 1) if i != _PATCHES - 2]
    for asker in reversed(drawn):  # the class token's lie on top
        first = asker == drawn[0]
        lines = {"linewidth": 1.5 if first else 0.6, "color": IMAGE if first else IMAGE + "66"}
        for asked in drawn:
            axes.plot([asker, asked], [119, 224], **lines)
    axes.text(48, 176, f"{vision.depth} layers:", weight="bold", color=IMAGE, **CENTRED)
    axes.text(48, 152, "in each, all\ntokens ask all", **CENTRED)
    axes.text(48, 104, "one is read", color=IMAGE, weight="bold", **CENTRED)
    style.arrow(axes, (144, 91), (144, 71))
    axes.text(156, 80, f"norm: {len(token)} numbers", va="center")
    unit = 402 / len(token)
    _strip(axes, 61, token, IMAGE, (0, 402))
    style.arrow(axes, (144, 51), (144, 23))
    axes.text(156, 36, f"projection: × a matrix [{len(token)}, {len(vector)}]", va="center")
    _strip(axes, 13, vector, IMAGE, (0, unit * len(vector)))
    axes.text(unit * len(vector) + 8, 13, f"{len(vector)} numbers", va="center")
    return figure


_PATCHES = 8  # that are drawn, the dots among them
_MIDDLE = {"va": "center"}


@styled
def shares_step_by_step(
    image: Tensor, texts: dict[str, Tensor], t: float, other: dict[str, float], cap: float
) -> plt.Figure:
    """Draw products of vectors of length 1, what they add up to, and the shares of a softmax.

    Args:
        image: `[D]`, with D a multiple of 64.
        texts: Label to its vector, `[D]`.
        t: The logit scale, not its log.
        other: The shares that OpenAI's README prints, the largest first.
        cap: Its logit scale.
    """
    n, ends = len(texts), (78, 238)
    cosines = {name: float(text @ image) for name, text in texts.items()}
    powers = {name: float(np.exp(t * cosine)) for name, cosine in cosines.items()}
    products = {name: (text * image).view(64, -1).sum(dim=1) for name, text in texts.items()}
    most = max(float(each.abs().max()) for each in products.values())
    high = 54 * n + 224
    figure, axes = blank(WIDTH, high / 72, (0, 403), (0, high))
    axes.text(0, high - 26, "the photo", color=IMAGE, weight="bold", **_MIDDLE)
    _strip(axes, high - 26, image, IMAGE, ends)
    columns = {"cosine": 300, f"× {t:.2f}": 360, "exp": 402}
    for name, x in columns.items():
        axes.text(x, high - 26, name, color=JOINT, weight="bold", ha="right", **_MIDDLE)
    for i, (name, text) in enumerate(texts.items()):
        y = high - 60 - 54 * i
        axes.text(0, y, name, color=TEXT, weight="bold", **_MIDDLE)
        _strip(axes, y, text, TEXT, ends)
        _products(axes, y - 23, products[name], most, ends)
        numbers = f"{cosines[name]:.4f}", f"{t * cosines[name]:.2f}", f"{powers[name]:.2f}"
        for x, number in zip(columns.values(), numbers, strict=True):
            axes.text(x, y - 23, minus(number), ha="right", **_MIDDLE)
    whole = sum(powers.values())
    axes.text(0, 158, f"divided by their sum, {whole:.2f}: the shares", **_MIDDLE)
    _share_bar(axes, 104, {name: power / whole for name, power in powers.items()}, ".0%")
    best, second, *_ = other.values()
    gap = np.log(best / second) / cap
    words = f"OpenAI's README: cosines {gap:.3f} apart, t = {cap:.0f}"
    axes.text(0, 84, words, **_MIDDLE)
    _share_bar(axes, 30, other, ".2%")
    small = ", ".join(f"{name} {share:.2%}" for name, share in other.items() if share < 0.1)
    axes.text(402, 15, small, ha="right", **_MIDDLE)
    return figure


def _share_bar(axes, foot, shares, form) -> None:
    """Shares as parts of one green bar; the name and the number are written where they fit."""
    start = 0.0
    for name, share in shares.items():
        wide = 403 * share
        gap = min(1, wide / 4)
        part = plt.Rectangle((start + gap, foot), wide - 2 * gap, 40, facecolor=JOINT)
        axes.add_patch(part)
        if share > 0.1:
            words = f"{name}\n{share:{form}}"
            axes.text(start + wide / 2, foot + 20, words, color="white", **CENTRED)
        start += wide


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
    """Draw how the ViT and the ResNet of CLIP turn many vectors into one: a line from each token
    that asks to each one that it asks; what is read is solid."""
    figure, axes = blank(WIDTH, 3.9, (0, 100), (0, 100))
    assert isinstance(vit.vision, VisionConfig)
    depth, patches = vit.vision.depth, vit.vision.num_patches
    wide, out = _ends(vit)
    side = resnet.vision.image_size // 32
    channels, other = _ends(resnet)
    for x, title in ((24, "ViT: a class token"), (76, "ResNet: attention pooling")):
        axes.text(x, 96.5, title, weight="bold", color=IMAGE, **CENTRED)
    for x, words in (
        (24, f"{patches} patches and a class token"),
        (76, f"a map of {side} × {side}, and its mean"),
    ):
        axes.text(x, 87, words, **CENTRED)
        _tokens(axes, x, 79)
    _questions(axes, 24, askers=_TOKENS)
    _questions(axes, 76, askers=1)
    _tokens(axes, 24, 46)
    _square(axes, 76 + _across(0), 46, True)
    for x, words in (
        (
            24,
            f"all {patches + 1} tokens ask all,\nin {depth} layers: {patches + 1} tokens of {wide}",
        ),
        (76, f"only the mean asks,\nin 1 layer: 1 vector of {channels}"),
    ):
        axes.text(x, 34, words, **CENTRED)
    for x, read, size in ((24, "class token", out), (76, "vector", other)):
        style.arrow(axes, (x, 26.5), (x, 17))
        box(axes, (x, 8.5), 46, 15, IMAGE, bright=True)
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
    _block(axes, left + 10, 104 / picture.width**0.5, rod, IMAGE)
    axes.text(left + _CELL / 2, -8, "vector", color=IMAGE, ha="center", va="top")
    axes.text(left + _CELL / 2, -122, str(vector), **CENTRED)
    axes.text(left - 14, 106, "attention\npooling", **CENTRED)
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
        prompts: Texts of the first class to their vectors, shown by how they differ from its row.
        classes: Name to row of the classifier; the first row is the prompts' normalised mean.
        picture: A PIL image.
        image: Its vector; the scores are its products with the rows.
    """
    figure, axes = blank(WIDTH, 5.6, (0, 403), (0, 403))
    first, *_ = classes
    left, _ = _BESIDE
    scores = {name: float(row @ image) for name, row in classes.items()}
    best = max(scores, key=scores.__getitem__)
    products = {name: row * image for name, row in classes.items()}
    most = max(float(each.abs().max()) for each in products.values())

    def head(x, y, words, colour, **look):
        axes.text(x, y, words, weight="bold", color=colour, **_MIDDLE | look)

    head(0, 394, f"{len(prompts)} prompts", TEXT)
    head(_AFTER[0], 394, "minus their mean", TEXT)
    head(402, 394, "distance", TEXT, ha="right")
    away = {words: vector - classes[first] for words, vector in prompts.items()}
    furthest = max(float(each.abs().max()) for each in away.values())
    for i, (words, vector) in enumerate(prompts.items()):
        y = 374 - 20 * i
        axes.text(0, y, words, **_MIDDLE)
        _strip(axes, y, away[words], TEXT, _AFTER, furthest)
        distance = 1 - cosine_similarity(vector, classes[first], dim=0)
        axes.text(402, y, f"{distance:.4f}", ha="right", **_MIDDLE)
    style.arrow(axes, (left + 12, 244), (left + 12, 222))
    axes.text(left + 24, 234, "mean, scaled to length 1", **_MIDDLE)
    for y, (name, row) in zip((212, 191, 170), classes.items(), strict=True):
        axes.text(0, y, name, color=TEXT, **_MIDDLE)
        _strip(axes, y, row, TEXT, _BESIDE)
    head(0, 133, "× drawing", IMAGE)
    _painted(axes, picture, (354, 386, 117, 149))
    _strip(axes, 133, image, IMAGE, _BESIDE)
    head(left, 104, "= products, number by number", JOINT)
    head(402, 104, "sum", JOINT, ha="right")
    for y, (name, each) in zip((80, 48, 16), products.items(), strict=True):
        look = {"weight": "bold", "color": JOINT} if name == best else {}
        axes.text(0, y, name, **look, **_MIDDLE)
        _products(axes, y, each, most, _BESIDE)
        axes.text(402, y, minus(f"{scores[name]:.2f}"), ha="right", **look, **_MIDDLE)
    return figure


_BESIDE = (92, 346)  # where strips begin and end that have words to their left
_AFTER = (206, 346)  # and a sentence


def _strip(axes, y, vector, colour, ends, most=None) -> None:
    """A vector as a strip of tints, the strongest for `most`, or else for the largest of its
    numbers; negative is grey."""
    shades = vector.abs() / (most or vector.abs().max())
    strip = np.empty((1, len(vector), 4), dtype=np.uint8)
    for i, (value, shade) in enumerate(zip(vector.tolist(), shades.tolist(), strict=True)):
        rgb = to_rgb(colour if value > 0 else NEUTRAL)
        strip[0, i] = [round(255 * c) for c in (*rgb, round(31 * shade) / 31)]
    _painted(axes, strip, (*ends, y - 7, y + 7))
    look = {"fill": False, "edgecolor": FRAME, "linewidth": 0.8}
    axes.add_patch(plt.Rectangle((ends[0], y - 7), ends[1] - ends[0], 14, **look))


def _products(axes, y, products, most, ends) -> None:
    """Bars up from a line, green, or down from it, grey; the longest is `most`."""
    start, wide = ends[0], (ends[1] - ends[0]) / len(products)
    for colour, sign in ((JOINT, 1), (NEUTRAL, -1)):
        heights = (sign * products).clamp(min=0) * sign * 14 / most
        corners = [(ends[0], y)]
        for i, height in enumerate(heights.tolist()):
            for x in (start + wide * (i + 0.1), start + wide * (i + 0.9)):
                corners += [(x, y), (x, y + height)] if x < start + wide * (i + 0.5) else []
                corners += [(x, y + height), (x, y)] if x > start + wide * (i + 0.5) else []
        axes.add_patch(plt.Polygon(corners, facecolor=colour, linewidth=0))
    axes.plot(ends, [y, y], color=NEUTRAL, linewidth=0.6)


def _painted(axes, picture, extent) -> None:
    """A picture in its place; the drawing keeps its limits."""
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    axes.imshow(picture, extent=extent, aspect="auto")
    axes.set(**limits)


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
        _painted(axes, face, (left, right, 0, high))
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


def _square(axes, x, y, bright) -> None:
    look = {"facecolor": IMAGE if bright else IMAGE + "33", "edgecolor": IMAGE, "linewidth": 1}
    axes.add_patch(plt.Rectangle((x - 1.7, y - 2.3), 3.4, 4.6, **look))


_TOKENS = 8  # that are drawn, the dots among them


def _across(i: int) -> float:
    """Where token i is, from the middle of its row."""
    return 5.6 * (i - (_TOKENS - 1) / 2)


def _tokens(axes, centre, y) -> None:
    """A row of tokens, the first of them solid."""
    for i in range(_TOKENS):
        if i == _TOKENS - 2:
            axes.text(centre + _across(i), y, "…", color=INK, **CENTRED)
        else:
            _square(axes, centre + _across(i), y, not i)


def _questions(axes, centre, askers) -> None:
    """Lines from the first tokens of the lower row to all of the upper row."""
    for i in reversed(range(askers)):  # those of the first lie on top
        for j in range(_TOKENS):
            if _TOKENS - 2 in (i, j):
                continue
            look = (
                {"color": IMAGE + "66", "linewidth": 0.7}
                if i
                else {"color": IMAGE, "linewidth": 1.4}
            )
            axes.plot([centre + _across(i), centre + _across(j)], [49.5, 75.5], **look)
