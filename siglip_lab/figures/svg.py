"""Draws a matplotlib figure as SVG for a page: words stay words, in the page's own letters, and the
book's colours become the page's variables, so that a figure is light or dark as the page is.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from io import BytesIO
from itertools import groupby
from types import MappingProxyType

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_rgb
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image

__all__ = [
    "IMAGE", "TEXT", "JOINT", "MISTAKE", "NEUTRAL", "INK", "FRAME", "LIGHT", "DARK", "SIZE",
    "Drawing",
]  # fmt: skip

IMAGE, TEXT, JOINT, MISTAKE, NEUTRAL = "#2563AB", "#A8540A", "#1F7A4A", "#B7301F", "#5B6472"
INK, FRAME = "#374151", "#D1D5DB"  # dark and pale grey
LIGHT, DARK = "#FDFDFD", "#111827"  # over pictures, which are the same on every page
SIZE = 12.0  # points in which words are laid out

_VARIABLES = {
    IMAGE: "--image", TEXT: "--text", JOINT: "--joint", MISTAKE: "--mistake",
    NEUTRAL: "--neutral", FRAME: "--pst-color-border",
}  # fmt: skip
_PALETTE = MappingProxyType(
    {to_rgb(colour): f"var({name},{colour})" for colour, name in _VARIABLES.items()}
    | {to_rgb(colour): "currentColor" for colour in ("black", INK)}
    | {to_rgb("white"): "var(--pst-color-background,#fff)"}
)
_ON_COLOUR = "var(--on-colour,#fff)"  # white words
_PIXELS = 600 / 403.2  # of the page for each point, where there is room
_NOTHING = ' fill="none"'
_LETTERS = 9.4  # size of the page's letters where there is room, 14 pixels; narrow pages enlarge it
_COMMANDS = MappingProxyType({Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"})


class Drawing:
    """A figure as SVG; what a notebook's cell shows of it.

    Args:
        figure: A matplotlib figure of 72 dots per inch.
    """

    def __init__(self, figure: plt.Figure):
        figure.draw_without_rendering()  # lays it out and makes its ticks
        figure.set_layout_engine("none")
        renderer = _Renderer(figure)
        figure.draw(renderer)
        self.size = renderer.width, renderer.height
        self.svg = renderer.finish()

    def __repr__(self) -> str:
        return f"Drawing({self.size[0]:.0f} × {self.size[1]:.0f} points)"

    def _repr_svg_(self) -> str:
        return self.svg


class _Renderer(RendererBase):
    """Collects elements of SVG; y runs down."""

    def __init__(self, figure: plt.Figure):
        super().__init__()
        self.width, self.height = figure.bbox.size
        self.down = Affine2D().scale(1, -1).translate(0, self.height)
        self.elements: list[tuple[str, str]] = []  # what it links to, if to anything; the element
        self.texts = dict(enumerate(figure.findobj(Text)))
        for number, text in self.texts.items():
            text.set_gid(number)  # the only thing that `open_group` is told of it
        self.text: Text | None = None

    def get_canvas_width_height(self):
        return self.width, self.height

    def points_to_pixels(self, points):
        return points

    def option_scale_image(self):
        return True  # pictures come with their own pixels

    def option_image_nocomposite(self):
        return True

    def finish(self) -> str:
        parts = []
        for link, elements in groupby(self.elements, key=lambda each: each[0]):
            drawn = "".join(element for _, element in elements)
            parts.append(f'<a href="{escape(link)}">{drawn}</a>' if link else drawn)
        width, height = self.width, self.height
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing"'
            f' viewBox="0 0 {_number(width)} {_number(height)}"'
            f' width="{width * _PIXELS:.0f}" height="{height * _PIXELS:.0f}" fill="currentColor"'
            f' font-family="var(--pst-font-family-base,sans-serif)" font-size="{_LETTERS}">'
            f"{''.join(parts)}</svg>"
        )

    def add(self, gc, element: str) -> None:
        self.elements.append((gc.get_url() or "", element))

    # ------------------------------------------------------------------------------ lines, areas

    def draw_path(self, gc, path, transform, rgbFace=None):
        look = _look(gc, rgbFace)
        if look == _NOTHING:
            return
        transform, clip = transform + self.down, self._clip(gc)
        if rgbFace is None:
            inside = clip and tuple(clip.padded(1).extents)
            outline = _outline(path, transform, clip=inside, simplify=len(path.vertices) > 20)
        else:
            path, transform = transform.transform_path(path), Affine2D()
            if clip and not _within(path.get_extents(), clip):
                path = path.clip_to_bbox(clip)
            outline = _outline(path, transform, simplify=False)
        if outline:
            self.add(gc, f'<path{look} d="{outline}"/>')

    def draw_markers(self, gc, marker_path, marker_trans, path, trans, rgbFace=None):
        """Whole ones at the edge, too; none beyond it."""
        clip = self._clip(gc)
        outline = _outline(marker_path, marker_trans + Affine2D().scale(1, -1), simplify=False)
        for vertices, _ in path.iter_segments(trans + self.down, simplify=False):
            x, y = vertices[-2:]
            if clip is None or clip.padded(0.5).contains(x, y):
                place = f"translate({_number(x)} {_number(y)})"
                look = _look(gc, rgbFace)
                self.add(gc, f'<path{look} transform="{place}" d="{outline}"/>')

    def _clip(self, gc) -> Bbox | None:
        clip = gc.get_clip_rectangle()
        return clip and Bbox.from_extents(*np.sort(self.down.transform(clip.get_points()), 0).flat)

    # ------------------------------------------------------------------------------------- words

    def open_group(self, s, gid=None):
        if s == "text":
            self.text = self.texts[gid]

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        if ismath:
            raise ValueError(f"a formula in a figure, {s!r}; write it without dollars")
        text, self.text = self.text, None
        if text is None:
            return  # a further line of what is written already
        x, y = self.down.transform(text.get_transform().transform(text.get_unitless_position()))
        along, across = text.get_ha(), text.get_va()
        if angle and text.get_rotation_mode() != "anchor":  # upwards: its top is at the left
            turned = {"top": "right", "bottom": "left", "left": "top", "right": "bottom"}
            along, across = turned.get(across, "center"), turned.get(along, "center")
        lines = text.get_text().split("\n")
        at = f' x="{_number(x)}" y="{_number(y)}"'
        if angle:
            at = f' transform="translate({_number(x)} {_number(y)}) rotate({_number(-angle)})"'
        anchor = {"center": ' text-anchor="middle"', "right": ' text-anchor="end"'}.get(along, "")
        size, family = prop.get_size_in_points() / SIZE, prop.get_family()
        look = f' font-size="{size:.2f}em"' if abs(size - 1) > 0.01 else ""
        if "monospace" in family:
            look += ' font-family="var(--pst-font-family-monospace,monospace)"'
        if prop.get_weight() == "bold":
            look += ' font-weight="600"'
        colour = _colour(gc.get_rgb())
        if colour.startswith("var(--pst-color-background"):
            colour = _ON_COLOUR
        if colour != "currentColor":
            look += f' fill="{colour}"'
        rise = {"top": 0.8, "bottom": -0.22, "baseline": 0.0}.get(across, 0.29)
        rise -= {"top": 0.0, "bottom": 1.2, "baseline": 1.2}.get(across, 0.6) * (len(lines) - 1)
        if len(lines) == 1:
            words = escape(lines[0], quote=False)
            at += f' dy="{rise:.2f}em"' if rise else ""
        else:
            left = 0 if angle else _number(x)
            words = "".join(
                f'<tspan x="{left}" dy="{1.2 if i else rise:.2f}em">{escape(line)}</tspan>'
                for i, line in enumerate(lines)
            )
        self.add(gc, f"<text{at}{anchor}{look}>{words}</text>")

    # ---------------------------------------------------------------------------------- pictures

    def draw_image(self, gc, x, y, im, transform=None):
        height, width = im.shape[:2]
        to_page = Affine2D()
        if transform is not None:
            to_page = Affine2D().scale(1 / width, 1 / height) + transform
        to_page = to_page + Affine2D().translate(x, y) + self.down
        (x0, y0), (x1, y1) = to_page.transform([(0, 0), (width, height)])
        if y0 > y1:
            im, y0, y1 = im[::-1], y1, y0
        place = " ".join(
            f'{name}="{_number(value)}"'
            for name, value in zip(("x", "y", "width", "height"), (x0, y0, x1 - x0, y1 - y0), strict=True)
        )
        enlarged = (x1 - x0) * _PIXELS > 1.5 * width
        sharp = ' style="image-rendering:pixelated"' if enlarged else ""
        tints = _tints(im)
        if not tints:
            picture = Image.fromarray(im)
            most = round((x1 - x0) * 2 * _PIXELS)  # for a screen of double density
            if width > most:
                picture = picture.resize((most, round(height * most / width)), Image.Resampling.LANCZOS)
            look = f'{place}{sharp} preserveAspectRatio="none"'
            self.add(gc, f'<image {look} href="{_link(picture, enlarged)}"/>')
        for colour, shade in tints.items():
            link = _link(Image.fromarray(shade), lossless=True)
            name = "m" + hashlib.sha256((place + link).encode()).hexdigest()[:8]
            self.add(
                gc,
                f'<mask id="{name}"><image {place}{sharp} preserveAspectRatio="none"'
                f' href="{link}"/></mask><rect {place} fill="{colour}" mask="url(#{name})"/>',
            )


def _tints(im) -> dict[str, np.ndarray]:
    """Each colour of the palette to how much of it every pixel has, `[H, W]`; empty for pictures.

    A picture in these colours alone, more or less transparent, is drawn through masks, so that it
    follows the page.
    """
    seen = np.unique(im[im[..., 3] > 0][:, :3], axis=0) / 255
    colours = [tuple(rgb) for rgb in seen.tolist()]
    names = {to_rgb(colour): _PALETTE[to_rgb(colour)] for colour in _VARIABLES}
    if not colours or len(colours) > 5 or any(rgb not in names for rgb in colours):
        return {}
    return {
        names[rgb]: np.where((im[..., :3] == np.round(np.array(rgb) * 255)).all(-1), im[..., 3], 0)
        .astype(np.uint8)
        for rgb in colours
    }  # fmt: skip


def _link(picture: Image.Image, lossless: bool) -> str:
    """A picture as a link to itself: lossless if that is asked for or shorter."""
    if picture.mode == "RGBA" and picture.getextrema()[3] == (255, 255):
        picture = picture.convert("RGB")
    files = {kind: BytesIO() for kind in (["png"] if lossless else ["png", "webp"])}
    picture.save(files["png"], "PNG", optimize=True)
    if not lossless:
        picture.save(files["webp"], "WEBP", quality=85, method=6)
    kind, file = min(files.items(), key=lambda each: len(each[1].getvalue()))
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _look(gc, face) -> str:
    """Fill and stroke, with the page's colours."""
    forced = gc.get_alpha() if gc.get_forced_alpha() else None
    look = _NOTHING
    if face is not None and (opacity := face[3] if forced is None else forced):
        look = f' fill="{_colour(face)}"' + (f' fill-opacity="{opacity:.2g}"' if opacity < 1 else "")
    width, colour = gc.get_linewidth(), gc.get_rgb()
    opacity = forced if forced is not None else colour[3]
    if width and opacity:
        look += f' stroke="{_colour(colour)}" stroke-width="{_number(width)}"'
        look += f' stroke-opacity="{opacity:.2g}"' if opacity < 1 else ""
        offset, dashes = gc.get_dashes()
        if dashes is not None and len(dashes):
            look += f' stroke-dasharray="{" ".join(map(_number, dashes))}"'
    return look


def _colour(rgba) -> str:
    rgb = tuple(float(value) for value in rgba[:3])
    for known, name in _PALETTE.items():
        if np.allclose(rgb, known, atol=1e-3):
            return name
    return "#" + "".join(f"{round(value * 255):02x}" for value in rgb)


def _outline(path, transform, clip=None, simplify=False) -> str:
    look = {"clip": clip, "simplify": simplify, "curves": True}
    return "".join(
        "Z"
        if code == Path.CLOSEPOLY
        else _COMMANDS[code] + re.sub(" -", "-", " ".join(map(_number, vertices)))
        for vertices, code in path.iter_segments(transform, **look)
    )


def _within(inner: Bbox, outer: Bbox) -> bool:
    return all(outer.padded(0.5).contains(x, y) for x, y in inner.corners())


def _number(value: float) -> str:
    """Two decimals at most: a hundredth of a point is nothing on a page."""
    return f"{round(float(value), 2) + 0.0:.2f}".rstrip("0").rstrip(".")
