"""A small world of captioned pictures, drawn from a seed.

One picture shows one to four objects of one colour and one shape on a pale background. A caption
names some or all of what can be seen: how many, which colour, which shape, how large, and where.

The world is made to ask one question of a model trained on it: does it know "blue" and "heart", or
only "blue heart"? A tenth of all count-colour-shape combinations is therefore held out: it appears
in no training picture and is named by no training caption. Half of that tenth is *triples* (four
cyan stars never occur, but one, two and three do), half is *pairs* (a colour and a shape that never
meet, whatever the count: there is no black star).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from itertools import compress, cycle, product
from typing import NamedTuple

from PIL import Image, ImageDraw

__all__ = [
    "CANVAS", "COLOURS", "COUNTS", "SHAPES", "SIDES", "SIZES", "Caption", "Combination", "Scene",
    "all_combinations", "draw", "held_out_combinations", "held_out_pairs", "plural",
    "random_caption", "random_scene", "training_combinations",
]  # fmt: skip

CANVAS = 120  # pixels; a picture is CANVAS x CANVAS, or as large in another shape
COUNTS = (1, 2, 3, 4)
COLOURS = {
    "red": (220, 30, 35), "orange": (250, 135, 15), "yellow": (235, 210, 20),
    "green": (40, 150, 50), "cyan": (30, 195, 210), "blue": (30, 70, 215),
    "purple": (125, 40, 165), "pink": (250, 125, 180), "brown": (125, 75, 35),
    "black": (25, 25, 25),
}  # fmt: skip
SIZES = {"small": (0.100, 0.115), "large": (0.135, 0.150)}  # radius as a share of the canvas
SIDES = ("left", "right", "top", "bottom")

_Point = tuple[float, float]
_HELD_OUT_PAIRS = 4  # of 80 colour-shape pairs: all four counts of each, 16 combinations
_HELD_OUT_TRIPLES = 16  # further combinations, each of another pair
_EXAMPLES = {("red", "circle"), ("blue", "square")}  # which serve everywhere, are never held out
_MARGIN = 0.06  # of the edge, so that a model that drops the last pixels sees every object whole
_GAP = 0.02  # least distance between two objects
_MAX_ANGLE = 15.0  # degrees
_COLOUR_JITTER = 14  # each channel of a colour varies by so much from picture to picture


# ---- the shapes: outlines in the unit circle, y pointing down ------------------------------------


def _regular(corners: int, start: float, *radii: float) -> list[_Point]:
    """Corners evenly spaced by angle; `radii` is cycled through (two radii make a star)."""
    angles = [math.radians(start + 360 * i / corners) for i in range(corners)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(cycle(radii), angles, strict=False)]


def _heart() -> list[_Point]:
    """The curve x = 16 sin^3 a, y = 13 cos a - 5 cos 2a - 2 cos 3a - cos 4a, scaled to fit."""
    curve = []
    for i in range(48):
        a = 2 * math.pi * i / 48
        y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
        curve.append((16 * math.sin(a) ** 3 / 17, -(y + 2.5) / 17))
    return curve


def _moon() -> list[_Point]:
    """A disc with a smaller disc bitten out of its right side."""
    outer = [math.radians(a) for a in range(50, 311, 10)]
    tip_x, tip_y = math.cos(outer[0]), math.sin(outer[0])
    centre = 0.55
    radius, half = math.hypot(tip_x - centre, tip_y), math.atan2(tip_y, tip_x - centre)
    inner = [-half - (2 * math.pi - 2 * half) * i / 20 for i in range(1, 20)]
    bite = [(centre + radius * math.cos(a), radius * math.sin(a)) for a in inner]
    return [(math.cos(a), math.sin(a)) for a in outer] + bite


def _cross(arm: float = 0.32) -> list[_Point]:
    """A plus sign."""
    corners = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    for _ in range(3):
        corners += [(-y, x) for x, y in corners[-3:]]
    return corners


SHAPES = {
    "circle": _regular(40, 0, 0.92),
    "square": _regular(4, 45, 1.12),
    "triangle": _regular(3, -90, 1.1),
    "star": _regular(10, -90, 1.1, 0.45),
    "heart": _heart(),
    "cross": _cross(),
    "ring": _regular(40, 0, 1.0),
    "moon": _moon(),
}
_HOLES = {"ring": _regular(40, 0, 0.55)}  # drawn in the background's colour


def plural(shape: str) -> str:
    """Put a shape's name into the plural.

    >>> plural("circle"), plural("cross")
    ('circles', 'crosses')
    """
    return shape + ("es" if shape.endswith("s") else "s")


# ---- combinations: what a picture shows, and which of them training never sees -------------------


class Combination(NamedTuple):
    """A count, a colour and a shape: the class of a picture.

    >>> Combination(2, "red", "circle").label, Combination(1, "orange", "star").label
    ('2 red circles', 'an orange star')
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    colour: str
    shape: str

    @property
    def label(self) -> str:
        """The canonical label: "a blue square" for one object, "2 red circles" for more."""
        if self.count == 1:
            return f"{_article(self.colour)} {self.colour} {self.shape}"
        return f"{self.count} {self.colour} {plural(self.shape)}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


@cache
def all_combinations() -> tuple[Combination, ...]:
    """List every combination in a fixed order: 4 counts x 10 colours x 8 shapes.

    >>> len(all_combinations()), all_combinations()[0]
    (320, Combination(count=1, colour='red', shape='circle'))
    """
    return tuple(Combination(*parts) for parts in product(COUNTS, COLOURS, SHAPES))


@cache
def held_out_pairs() -> frozenset[tuple[str, str]]:
    """Pick the colour-shape pairs that training never shows, whatever the count.

    No two of the four share a colour or a shape, so each word still meets nearly all its partners.

    >>> len(held_out_pairs())
    4
    """
    rng = random.Random(0)
    while True:
        colours = rng.sample(list(COLOURS), _HELD_OUT_PAIRS)
        pairs = frozenset(zip(colours, rng.sample(list(SHAPES), _HELD_OUT_PAIRS), strict=True))
        if not pairs & _EXAMPLES:
            return pairs


@cache
def held_out_combinations(kind: str = "all") -> frozenset[Combination]:
    """Pick the combinations that never occur in training: 32 of 320.

    Args:
        kind: "pairs" for the 16 whose colour and shape never meet in training, "triples" for the
            16 whose colour and shape do meet, but never in this number, "all" for both.

    >>> {kind: len(held_out_combinations(kind)) for kind in ("all", "pairs", "triples")}
    {'all': 32, 'pairs': 16, 'triples': 16}
    """
    if kind not in ("all", "pairs", "triples"):
        raise ValueError(f'kind is "all", "pairs" or "triples", not {kind!r}')
    pairs = {c for c in all_combinations() if (c.colour, c.shape) in held_out_pairs()}
    free = [p for p in product(COLOURS, SHAPES) if p not in held_out_pairs() | _EXAMPLES]
    drawn = random.Random(1).sample(free, _HELD_OUT_TRIPLES)  # each triple has a pair of its own
    triples = {Combination(COUNTS[i % 4], *pair) for i, pair in enumerate(drawn)}
    return frozenset({"pairs": pairs, "triples": triples, "all": pairs | triples}[kind])


@cache
def training_combinations() -> tuple[Combination, ...]:
    """List the combinations that training draws from: all but those held out.

    >>> len(training_combinations())
    288
    """
    return tuple(c for c in all_combinations() if c not in held_out_combinations())


# ---- scenes: one picture's content, to the last pixel --------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Everything that is in one picture; y points down.

    `centres`, `radii` and `angles` (degrees) have one entry an object: centres are shares of the
    picture's width and height, radii of `CANVAS`. All objects of a scene share the RGB colour
    `fill`, which is a shade of `colour`. `aspect` is the picture's width by its height.
    """

    count: int
    colour: str
    shape: str
    size: str
    centres: tuple[_Point, ...]
    radii: tuple[float, ...]
    angles: tuple[float, ...]
    fill: tuple[int, int, int]
    background: tuple[int, int, int]
    aspect: float = 1.0

    @property
    def combination(self) -> Combination:
        """The scene's class."""
        return Combination(self.count, self.colour, self.shape)

    @property
    def sides(self) -> frozenset[str]:
        """The halves of the canvas that hold every object's centre: none, one or two of `SIDES`."""
        x, y = zip(*self.centres, strict=True)
        holds = max(x) < 0.5, min(x) > 0.5, max(y) < 0.5, min(y) > 0.5  # in the order of SIDES
        return frozenset(compress(SIDES, holds))


def random_scene(
    seed: int | str | random.Random, combination: Combination | None = None, aspect: float = 1.0
) -> Scene:
    """Draw a scene at random; the same seed gives the same scene on every machine.

    Its objects neither overlap nor touch the edge.

    Args:
        seed: A seed, or a generator to draw from.
        combination: The scene's class; by default any that training may see.
        aspect: The picture's width by its height, from 1/4 to 4; all pictures have one area.

    >>> scene = random_scene(7, Combination(2, "red", "circle"))
    >>> scene.count, scene.colour, len(scene.centres), scene == random_scene(7, scene.combination)
    (2, 'red', 2, True)
    """
    rng = seed if isinstance(seed, random.Random) else random.Random(seed)
    combination = Combination(*(combination or rng.choice(training_combinations())))
    if combination not in all_combinations():
        raise ValueError(f"{combination} is not in all_combinations()")
    if not 0.25 <= aspect <= 4:
        raise ValueError(f"aspect is {aspect}; expected width by height, from 1/4 to 4")
    size = rng.choice(list(SIZES))
    radii = tuple(rng.uniform(*SIZES[size]) for _ in range(combination.count))
    return Scene(
        *combination,
        size=size,
        centres=_place(rng, radii, _sides(aspect)),
        radii=radii,
        angles=tuple(rng.uniform(-_MAX_ANGLE, _MAX_ANGLE) for _ in radii),
        fill=_shade(rng, COLOURS[combination.colour], _COLOUR_JITTER),
        background=_shade(rng, (235, 235, 235), 16),
        aspect=aspect,
    )


def _sides(aspect: float) -> tuple[float, float]:
    """Width and height of a picture, as shares of `CANVAS`."""
    return aspect**0.5, aspect**-0.5


def _shade(rng: random.Random, colour: tuple[int, int, int], jitter: int) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, c + rng.randint(-jitter, jitter))) for c in colour)
    return red, green, blue


def _place(
    rng: random.Random, radii: tuple[float, ...], sides: tuple[float, float]
) -> tuple[_Point, ...]:
    """Centres for objects of these radii, often all in one half of the picture."""
    while True:
        side = rng.choice([*SIDES, "", "", "", ""])
        centres: list[_Point] = []
        for radius in radii:
            spot = _free_spot(rng, radius, side, [*zip(centres, radii, strict=False)], sides)
            if spot is None:
                break  # no room left: begin anew, perhaps elsewhere
            centres.append(spot)
        else:
            return tuple(centres)


def _free_spot(
    rng: random.Random, radius: float, side: str, taken: list, sides: tuple[float, float]
) -> _Point | None:
    """A centre that keeps clear of every (centre, radius) in `taken`, or None after 10 tries."""
    width, height = sides
    (x0, x1), (y0, y1) = (
        ((_MARGIN + 1.12 * radius) / length, (length - _MARGIN - 1.12 * radius) / length)
        for length in sides
    )
    x_range = {"left": (x0, 0.48), "right": (0.52, x1)}.get(side, (x0, x1))
    y_range = {"top": (y0, 0.48), "bottom": (0.52, y1)}.get(side, (y0, y1))
    for _ in range(10):
        x, y = rng.uniform(*x_range), rng.uniform(*y_range)
        if all(
            math.hypot((x - u) * width, (y - v) * height) > 1.12 * (radius + r) + _GAP
            for (u, v), r in taken
        ):
            return x, y
    return None


def draw(scene: Scene) -> Image.Image:
    """Draw a scene: RGB, 120 x 120 pixels or as many in its shape, two colours, not antialiased.

    The later resize smooths the edges.

    >>> image = draw(random_scene(0))
    >>> image.size, image.mode, len(image.getcolors())
    ((120, 120), 'RGB', 2)
    """
    width, height = _sides(scene.aspect)
    size = round(CANVAS * width), round(CANVAS * height)
    image = Image.new("RGB", size, scene.background)
    pen = ImageDraw.Draw(image)
    for (x, y), radius, angle in zip(scene.centres, scene.radii, scene.angles, strict=True):
        centre = x * width, y * height
        pen.polygon(_outline(SHAPES[scene.shape], centre, radius, angle), fill=scene.fill)
        if scene.shape in _HOLES:
            pen.polygon(_outline(_HOLES[scene.shape], centre, radius, angle), fill=scene.background)
    return image


def _outline(corners: list[_Point], centre: _Point, radius: float, angle: float) -> list[_Point]:
    """Corners in pixels."""
    cos, sin = (radius * f(math.radians(angle)) for f in (math.cos, math.sin))
    return [
        (CANVAS * (centre[0] + cos * x - sin * y), CANVAS * (centre[1] + sin * x + cos * y))
        for x, y in corners
    ]


# ---- captions: sentences that know of which scenes they are true ---------------------------------


@dataclass(frozen=True)
class Caption:
    """A sentence and what it claims; `None` (or every count) where it claims nothing.

    >>> few = Caption("red shapes", counts=frozenset({2, 3, 4}), colour="red")
    >>> few.is_true_of(random_scene(0, Combination(3, "red", "star")))
    True
    >>> few.is_true_of(random_scene(0, Combination(1, "red", "star")))
    False
    """

    text: str
    counts: frozenset[int] = frozenset(COUNTS)
    colour: str | None = None
    shape: str | None = None
    size: str | None = None
    side: str | None = None

    def is_true_of(self, scene: Scene) -> bool:
        """Whether everything that the caption claims holds in the scene."""
        return (
            scene.count in self.counts
            and self.colour in (None, scene.colour)
            and self.shape in (None, scene.shape)
            and self.size in (None, scene.size)
            and (self.side is None or self.side in scene.sides)
        )


_FRAMES = [
    *2 * ["{}"], *2 * ["this is a photo of {}"], "a photo of {}", "a picture of {}",
    "an image of {}", "a drawing of {}", "here you see {}",
]  # fmt: skip
_PLACES = {side: f"{'on' if side in SIDES[:2] else 'at'} the {side}" for side in SIDES}


def random_caption(scene: Scene, seed: int | str | random.Random) -> Caption:
    """Word a caption that is true of the scene, in lower case.

    Half of the captions name count, colour and shape; the others leave one or two of the three
    out ("something red", "2 shapes", "a photo of circles"). Some add the size or the side.

    Args:
        scene: What to describe.
        seed: A seed, or a generator to draw from.

    >>> scene = random_scene(3, Combination(2, "blue", "heart"))
    >>> random_caption(scene, 1).is_true_of(scene)
    True
    """
    rng = seed if isinstance(seed, random.Random) else random.Random(seed)
    named = {"count", "colour", "shape"}
    if rng.random() < 0.5:
        named = set(rng.sample(sorted(named), rng.randint(1, 2)))
    colour = scene.colour if "colour" in named else None
    shape = scene.shape if "shape" in named else None
    size = scene.size if rng.random() < 0.2 else None
    sides = sorted(scene.sides)
    side = rng.choice(sides) if sides and rng.random() < 0.3 else None
    counts, text = _wording(rng, scene.count, "count" in named, size, colour, shape)
    text = rng.choice(_FRAMES).format(f"{text} {_PLACES[side]}" if side else text)
    return Caption(text, counts, colour, shape, size, side)


def _wording(
    rng: random.Random, count: int, count_named: bool, *words: str | None
) -> tuple[frozenset[int], str]:
    """From size, colour and shape: the counts that the words allow, and the words."""
    size, colour, shape = words
    if not count_named and shape is None:
        return frozenset(COUNTS), " ".join(word for word in ("something", size, colour) if word)
    noun = shape or "shape"
    noun = noun if count == 1 else plural(noun)
    in_colour = colour is not None and rng.random() < 0.15
    words = (size, noun, "in", colour) if in_colour else (size, colour, noun)
    phrase = " ".join(word for word in words if word)
    if count == 1:  # "a red circle" says one even where no number was asked for
        return frozenset({1}), f"{rng.choice([*2 * [_article(phrase)], '1', 'one'])} {phrase}"
    if not count_named:
        return frozenset(COUNTS[1:]), phrase
    number = str(count) if rng.random() < 0.6 else ("one", "two", "three", "four")[count - 1]
    return frozenset({count}), f"{number} {phrase}"
