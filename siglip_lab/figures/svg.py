"""Draws a matplotlib figure as SVG for a page: words stay words, in the page's own letters, and the
book's colours become the page's variables, so that a figure is light or dark as the page is.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from io import BytesIO
from itertools import groupby
from types import MappingProxyType

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import to_hex
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox
from PIL import Image

__all__ = [
    "IMAGE", "TEXT", "JOINT", "MISTAKE", "NEUTRAL", "INK", "FRAME", "LIGHT", "DARK", "SIZE",
    "Drawing", "themed",
]  # fmt: skip

IMAGE, TEXT, JOINT, MISTAKE, NEUTRAL = "#2563AB", "#A8540A", "#1F7A4A", "#B7301F", "#5B6472"
INK, FRAME = "#374151", "#D1D5DB"  # dark and pale grey
LIGHT, DARK = "#FDFDFD", "#111827"  # over pictures, which are the same on every page
SIZE = 12.6  # points in which words are laid out

_VARIABLES = {
    IMAGE: "--image", TEXT: "--text", JOINT: "--joint", MISTAKE: "--mistake",
    NEUTRAL: "--neutral", FRAME: "--pst-color-border",
}  # fmt: skip
_PALETTE = MappingProxyType(
    {colour.lower(): f"var({name},{colour})" for colour, name in _VARIABLES.items()}
    | {"#000000": "currentColor", INK.lower(): "currentColor"}
    | {"#ffffff": "var(--pst-color-background,#fff)"}
)
_ON_COLOUR = "var(--on-colour,#fff)"  # white words
_PIXELS = 600 / 403.2  # of the page for each point, where there is room
_NOTHING = ' fill="none"'
_LETTERS = 9.4  # size of the page's letters where there is room, 14 pixels; narrow pages enlarge it
_COMMANDS = MappingProxyType(
    {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
)


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
            f'<svg xmlns="http://www.w3.org/2000/svg" class="drawn"'
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
        place = text.get_transform().transform(text.get_unitless_position())
        x, y = map(_number, self.down.transform(place))
        along, across = text.get_ha(), text.get_va()
        if angle and text.get_rotation_mode() != "anchor":  # upwards: its top is at the left
            turned = {"top": "right", "bottom": "left", "left": "top", "right": "bottom"}
            along, across = turned.get(across, "center"), turned.get(along, "center")
        first, *more = text.get_text().split("\n")
        up = {"top": 0.0, "bottom": 1.2, "baseline": 1.2}.get(across, 0.6) * len(more)
        rise = {"top": 0.8, "bottom": -0.22, "baseline": 0.0}.get(across, 0.29) - up
        at = f' x="{x}" y="{y}"'
        if angle:
            at = f' transform="translate({x} {y}) rotate({_number(-angle)})"'
        at += {"center": ' text-anchor="middle"', "right": ' text-anchor="end"'}.get(along, "")
        words = escape(first, quote=False)
        if more:
            left = "0" if angle else x
            words = f'<tspan x="{left}" dy="{rise:.2f}em">{words}</tspan>' + "".join(
                f'<tspan x="{left}" dy="1.2em">{escape(line, quote=False)}</tspan>' for line in more
            )
        elif rise:
            at += f' dy="{rise:.2f}em"'
        self.add(gc, f"<text{at}{_lettering(gc, prop)}>{words}</text>")

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
        sides = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
        place = " ".join(f'{name}="{_number(value)}"' for name, value in sides.items())
        enlarged = sides["width"] * _PIXELS > 1.5 * width
        look = 'preserveAspectRatio="none"'
        if enlarged:
            look = f'style="image-rendering:pixelated" {look}'
        tints = _tints(im)
        if not tints:
            picture = Image.fromarray(im)
            most = round(sides["width"] * 2 * _PIXELS)  # for a screen of double density
            if width > most:
                picture.thumbnail((most, height), Image.Resampling.LANCZOS)
            self.add(gc, f'<image {place} {look} href="{_link(picture, enlarged)}"/>')
        for colour, shade in tints.items():
            link = _link(Image.fromarray(shade), lossless=True)
            name = "m" + hashlib.sha256((place + link).encode()).hexdigest()[:8]
            picture = f'<image {place} {look} href="{link}"/>'
            ground = f'<rect {place} fill="{colour}" mask="url(#{name})"/>'
            self.add(gc, f'<mask id="{name}">{picture}</mask>{ground}')


def _tints(im) -> dict[str, np.ndarray]:
    """Each colour of the palette to how much of it every pixel has, `[H, W]`; empty for pictures.

    A picture in these colours alone, more or less transparent, is drawn through masks, so that it
    follows the page.
    """
    seen = np.unique(im[..., :3][im[..., 3] > 0], axis=0)[:6]
    tints = {}
    for rgb in seen:
        colour = to_hex(rgb / 255)
        if len(seen) > 5 or colour.upper() not in _VARIABLES:
            return {}
        tints[_PALETTE[colour]] = im[..., 3] * (im[..., :3] == rgb).all(axis=-1)
    return tints


def _link(picture: Image.Image, lossless: bool) -> str:
    """A picture as a link to itself: lossless if that is asked for or shorter."""
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
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
        look = f' fill="{themed(face[:3])}"{_opacity("fill", opacity)}'
    width, colour = gc.get_linewidth(), gc.get_rgb()
    if width and (opacity := colour[3] if forced is None else forced):
        look += f' stroke="{themed(colour[:3])}" stroke-width="{_number(width)}"'
        look += _opacity("stroke", opacity)
        _, dashes = gc.get_dashes()
        if dashes is not None and len(dashes):
            look += f' stroke-dasharray="{" ".join(map(_number, dashes))}"'
    return look


def _opacity(what: str, share: float) -> str:
    return f' {what}-opacity="{share:.2g}"' if share < 1 else ""


def _lettering(gc, prop) -> str:
    """Size, family, weight and colour of words, where they differ from the figure's."""
    size, colour = prop.get_size_in_points() / SIZE, themed(gc.get_rgb()[:3])
    look = f' font-size="{size:.2f}em"' if abs(size - 1) > 0.01 else ""
    if "monospace" in prop.get_family():
        look += ' font-family="var(--pst-font-family-monospace,monospace)"'
    if prop.get_weight() == "bold":
        look += ' font-weight="600"'
    if colour == _PALETTE["#ffffff"]:
        colour = _ON_COLOUR
    return look if colour == "currentColor" else f'{look} fill="{colour}"'


def themed(colour) -> str:
    """A colour as the page has it: a variable for one of the palette."""
    colour = to_hex(colour)
    return _PALETTE.get(colour, colour)


def _outline(path, transform, clip=None, simplify=False) -> str:
    look = {"clip": clip, "simplify": simplify, "curves": True}
    return "".join(
        _COMMANDS[code] + (" ".join(map(_number, vertices)) if code != Path.CLOSEPOLY else "")
        for vertices, code in path.iter_segments(transform, **look)
    ).replace(" -", "-")


def _within(inner: Bbox, outer: Bbox) -> bool:
    return all(outer.padded(0.5).contains(x, y) for x, y in inner.corners())


def _number(value: float) -> str:
    """Two decimals at most: a hundredth of a point is nothing on a page."""
    return f"{round(float(value), 2) + 0.0:.2f}".rstrip("0").rstrip(".")
