"""`{walk-strip}`: the walk in pictures on the landing page, every station a link to its chapter.

The shapes are the published model's, the photo and its patches the book's.
"""

from __future__ import annotations

import base64
import math
from importlib.resources import files
from io import BytesIO

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from siglip_lab import get_config

MODEL = "siglip-so400m-patch14-384"
CAPTIONS = "a photo of a cat", "a photo of a dog"
PHOTO, TEXTS = 52, (16, 80)  # degrees of the arrows, as in the first chapter's map


def _picture(picture: Image.Image, alt: str, look: str) -> str:
    file = BytesIO()
    picture.save(file, "WEBP", quality=75, method=6)
    data = base64.b64encode(file.getvalue()).decode()
    width, height = picture.size
    return (
        f'<img class="{look}" src="data:image/webp;base64,{data}" alt="{alt}" '
        f'width="{width}" height="{height}">'
    )


def _icon(lines: str) -> str:
    return f'<svg viewBox="0 0 40 40" aria-hidden="true">{lines}</svg>'


def _arrows(angles, arc: str = "") -> str:
    def line(angle):
        x, y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        tip = f"{4 + 34 * x:.1f} {36 - 34 * y:.1f}"
        sides = " ".join(
            f"L{4 + 28 * x + s * 3 * y:.1f} {36 - 28 * y + s * 3 * x:.1f}" for s in (1, -1)
        )
        return f'<path d="M4 36L{tip}"/><path class="head" d="M{tip}{sides}Z"/>'

    return _icon("".join(map(line, angles)) + arc)


def _square(column: float, row: float, size: float = 5, opacity: float = 1) -> str:
    return (
        f'<rect x="{column:g}" y="{row:g}" width="{size:g}" height="{size:g}" '
        f'opacity="{opacity:g}"/>'
    )


def _image_layers() -> str:
    """Three sheets of patches, one behind the other; in the first, what one patch looks at."""
    sheets = "".join(f'<path d="M{x} {y}h26v26"/>' for x, y in ((14, 2), (9, 6)))
    places = [(c, r) for r in range(5) for c in range(5)]
    near = {place: math.dist(place, (3, 1)) for place in places}
    squares = "".join(
        _square(2 + 5.6 * c, 11 + 5.6 * r, 4.8, round(max(0.2, 1 - near[c, r] / 3), 2))
        for c, r in places
    )
    return _icon(sheets + f'<g class="full">{squares}</g>')


def _text_layers() -> str:
    """Two rows of tokens, and arcs from one token to those that it looks at."""
    columns = [2 + 6.2 * i for i in range(6)]
    rows = "".join(_square(x, y, 5) for y in (5, 31) for x in columns)
    start = columns[4] + 2.5
    arcs = "".join(
        f'<path class="arc" opacity="{opacity}" d="M{start:g} 31C{start:g} 20 {x + 2.5:g} 22 '
        f'{x + 2.5:g} 10"/>'
        for x, opacity in zip(columns, (0.5, 1, 0.5, 0.7, 1, 0.5), strict=True)
    )
    return _icon(f'<g class="full">{rows}</g>{arcs}')


def _ids(length: int, pieces: int) -> str:
    squares = ("", "")
    for i in range(length):
        row, column = divmod(i, 8)
        square = f"M{5 * column + 0.5} {5 * row + 0.5}h4v4h-4z"
        squares = (squares[0] + square * (i < pieces), squares[1] + square * (i >= pieces))
    return _icon(f'<path class="full" d="{squares[0]}"/><path class="pale" d="{squares[1]}"/>')


def _arc() -> str:
    ends = (
        f"{4 + 17 * math.cos(math.radians(a)):.1f} {36 - 17 * math.sin(math.radians(a)):.1f}"
        for a in (TEXTS[0], PHOTO)
    )
    return f'<path d="M{next(ends)}A17 17 0 0 0 {next(ends)}"/>'


def strip() -> str:
    """The whole strip as HTML."""
    config = get_config(MODEL)
    vision, text, n = config.vision, config.text, len(CAPTIONS)
    photo = Image.open(str(files("siglip_lab") / "data" / "chelsea.png")).convert("RGB")
    square = photo.resize((vision.image_size, vision.image_size))
    grid, side = vision.grid_size, vision.grid_size * vision.patch_size
    means = square.crop((0, 0, side, side)).resize((grid, grid), Image.Resampling.BOX)
    patches = Image.new("RGBA", (4 * grid, 4 * grid))  # three pixels each, and a paler line
    for row in range(grid):
        for column in range(grid):
            colour = means.getpixel((column, row))
            corner = (4 * column, 4 * row)
            patches.paste((*colour, 170), (*corner, corner[0] + 4, corner[1] + 4))
            patches.paste(colour, (*corner, corner[0] + 3, corner[1] + 3))
    small = photo.resize((round(photo.width * 224 / photo.height), 224), Image.Resampling.LANCZOS)
    words = "".join(f"<q>{caption}</q>" for caption in CAPTIONS)
    pieces = max(len(caption.split()) for caption in CAPTIONS)
    stations = [
        (
            "image",
            _picture(small, "The photo of the cat:", "photo"),
            f"{photo.width} × {photo.height} pixels",
            "02_preprocessing",
        ),
        (
            "image",
            _picture(patches, "The mean colours of its patches:", "patches"),
            f"{grid} × {grid} patches",
            "04_patchify",
        ),
        ("image", _image_layers(), f"{vision.depth} layers", "05_encoder_layers"),
        ("image", _arrows([PHOTO]), f"{vision.width} numbers", "06_pooling_heads"),
        ("text", words, f"{n} captions", "03_text"),
        ("text", _ids(text.context_length, pieces), f"{text.context_length} ids each", "03_text"),
        ("text", _text_layers(), f"{text.depth} layers", "05_encoder_layers"),
        ("text", _arrows(TEXTS), f"{config.embed_dim} each", "06_pooling_heads"),
        (
            "joint",
            _arrows([*TEXTS, PHOTO], _arc()) + "<i>p = σ(t · cosine + b)</i>",
            f"{n} probabilities",
            "07_two_towers",
        ),
    ]
    items = "".join(
        f'<li class="ws-{side}"><a href="notebooks/{chapter}.html"><span>{picture}</span>{label}'
        "</a></li>"
        for side, picture, label, chapter in stations
    )
    walk = f'<ol class="walk-strip" aria-label="The walk, station by station">{items}</ol>'
    return f'<figure class="walk-figure">{walk}</figure>'


class WalkStrip(SphinxDirective):
    def run(self):
        return [nodes.raw("", strip(), format="html")]


def setup(app: Sphinx):
    app.add_directive("walk-strip", WalkStrip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
