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


def _layers() -> str:
    places = (4, 15, 25, 36)
    lines = "".join(f"M{start} 5L{end} 35" for start in places for end in places)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="2.4"/>' for x in places for y in (5, 35))
    return _icon(f'<path class="thin" d="{lines}"/>{dots}')


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
    patches = square.crop((0, 0, side, side)).resize((grid, grid), Image.Resampling.BOX)
    small = photo.resize((round(photo.width * 120 / photo.height), 120), Image.Resampling.LANCZOS)
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
        ("image", _layers(), f"{vision.depth} layers", "05_encoder_layers"),
        ("image", _arrows([PHOTO]), f"{vision.width} numbers", "06_pooling_heads"),
        ("text", words, f"{n} captions", "03_text"),
        ("text", _ids(text.context_length, pieces), f"{text.context_length} ids each", "03_text"),
        ("text", _layers(), f"{text.depth} layers", "05_encoder_layers"),
        ("text", _arrows(TEXTS), f"{config.embed_dim} each", "06_pooling_heads"),
        ("joint", _arrows([*TEXTS, PHOTO], _arc()), f"{n} probabilities", "07_two_towers"),
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
