"""A small world of captioned pictures, drawn from a seed.

One picture shows one to four objects of one colour and one shape on a pale background. A caption
names some or all of what can be seen: how many, which colour, which shape, how large, and where.

The world is made to ask one question of a model trained on it: does it know "blue" and "heart", or
only "blue heart"? A tenth of all count-colour-shape combinations is therefore held out: it appears
in no training picture and is named by no training caption. Half of that tenth is *triples* (four
cyan stars never occur, but one, two and three do), half is *pairs* (a colour and a shape that never
meet, whatever the count: there is no black star).
"""

import math
import random
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from PIL import Image, ImageDraw

__all__ = [
    "CANVAS", "COLOURS", "COUNTS", "SHAPES", "SIDES", "SIZES", "Caption", "Combination", "Scene",
    "all_combinations", "draw", "held_out_combinations", "held_out_pairs", "plural",
    "random_caption", "random_scene", "training_combinations",
]  # fmt: skip

CANVAS = 120  # pixels; a picture is CANVAS x CANVAS
COUNTS = (1, 2, 3, 4)
COLOURS = {
    "red": (220, 30, 35),
    "orange": (250, 135, 15),
    "yellow": (235, 210, 20),
    "green": (40, 150, 50),
    "cyan": (30, 195, 210),
    "blue": (30, 70, 215),
    "purple": (125, 40, 165),
    "pink": (250, 125, 180),
    "brown": (125, 75, 35),
    "black": (25, 25, 25),
}
SIZES = {"small": (0.100, 0.115), "large": (0.135, 0.150)}  # radius as a share of the canvas
SIDES = ("left", "right", "top", "bottom")
HELD_OUT_PAIRS = 4  # of 80 colour-shape pairs: all four counts of each, 16 combinations
HELD_OUT_TRIPLES = 16  # further combinations, each of another pair

_NUMBER_WORDS = {1: "one", 2: "two", 3: "three", 4: "four"}
_HELD_OUT_SEED = 0
_EXAMPLES = frozenset({("red", "circle"), ("blue", "square")})  # are never held out
_MARGIN = 0.06  # no object comes nearer to the edge, so a model that drops the last pixels sees all
_GAP = 0.02  # least distance between two objects
_MAX_ANGLE = 15.0  # degrees
_COLOUR_JITTER = 14  # each channel of a colour varies by so much from picture to picture


# ---- the shapes: outlines in the unit circle, y pointing down ------------------------------------


def _regular(corners: int, start: float, radii: tuple[float, ...] = (1.0,)) -> list:
    """Corners evenly spaced by angle; `radii` is cycled through (two radii make a star)."""
    angles = [math.radians(start + 360 * i / corners) for i in range(corners)]
    reach = [radii[i % len(radii)] for i in range(corners)]
    return [(r * math.cos(a), r * math.sin(a)) for r, a in zip(reach, angles, strict=True)]


def _heart() -> list:
    """The curve x = 16 sin^3 a, y = 13 cos a - 5 cos 2a - 2 cos 3a - cos 4a, scaled to fit."""
    curve = []
    for i in range(48):
        a = 2 * math.pi * i / 48
        y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
        curve.append((16 * math.sin(a) ** 3 / 17, -(y + 2.5) / 17))
    return curve


def _moon() -> list:
    """A disc with a smaller disc bitten out of its right side."""
    outer = [math.radians(a) for a in range(50, 311, 10)]
    tip_x, tip_y = math.cos(outer[0]), math.sin(outer[0])
    centre = 0.55
    radius, half = math.hypot(tip_x - centre, tip_y), math.atan2(tip_y, tip_x - centre)
    inner = [-half - (2 * math.pi - 2 * half) * i / 20 for i in range(1, 20)]
    bite = [(centre + radius * math.cos(a), radius * math.sin(a)) for a in inner]
    return [(math.cos(a), math.sin(a)) for a in outer] + bite


def _cross(arm: float = 0.32) -> list:
    """A plus sign."""
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    turns = [quarter]
    for _ in range(3):
        turns.append([(-y, x) for x, y in turns[-1]])
    return [corner for turn in turns for corner in turn]


SHAPES = {
    "circle": _regular(40, 0, (0.92,)),
    "square": _regular(4, 45, (1.12,)),
    "triangle": _regular(3, -90, (1.1,)),
    "star": _regular(10, -90, (1.1, 0.45)),
    "heart": _heart(),
    "cross": _cross(),
    "ring": _regular(40, 0),
    "moon": _moon(),
}

HOLES = {"ring": _regular(40, 0, (0.55,))}  # drawn in the background's colour


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
    """List every combination of the world, in a fixed order.

    Returns:
        320 combinations: 4 counts x 10 colours x 8 shapes.

    >>> len(all_combinations()), all_combinations()[0]
    (320, Combination(count=1, colour='red', shape='circle'))
    """
    return tuple(
        Combination(count, colour, shape)
        for count in COUNTS
        for colour in COLOURS
        for shape in SHAPES
    )


@cache
def held_out_pairs() -> frozenset[tuple[str, str]]:
    """Pick the colour-shape pairs that training never shows, whatever the count.

    No two of the four share a colour or a shape, so each word still meets nearly all its partners.
    The red circle and the blue square, which serve as examples everywhere, are not among them.

    >>> len(held_out_pairs())
    4
    """
    rng = random.Random(_HELD_OUT_SEED)
    while True:
        colours = rng.sample(list(COLOURS), HELD_OUT_PAIRS)
        pairs = frozenset(zip(colours, rng.sample(list(SHAPES), HELD_OUT_PAIRS), strict=True))
        if not pairs & _EXAMPLES:
            return pairs


@cache
def held_out_combinations(kind: str = "all") -> frozenset[Combination]:
    """Pick the combinations that never occur in training: 32 of 320.

    Args:
        kind: `"pairs"` for the 16 whose colour and shape never meet in training, `"triples"` for
            the 16 whose colour and shape do meet, but never in this number, `"all"` for both.

    Raises:
        ValueError: If `kind` is none of these.

    >>> {kind: len(held_out_combinations(kind)) for kind in ("all", "pairs", "triples")}
    {'all': 32, 'pairs': 16, 'triples': 16}
    """
    if kind not in ("all", "pairs", "triples"):
        raise ValueError(f'kind is "all", "pairs" or "triples", not {kind!r}')
    pairs = held_out_pairs()
    of_pairs = {c for c in all_combinations() if (c.colour, c.shape) in pairs}
    if kind == "pairs":
        return frozenset(of_pairs)
    triples = _draw_triples(pairs | _EXAMPLES)
    return frozenset(triples if kind == "triples" else triples | of_pairs)


def _draw_triples(excluded: frozenset[tuple[str, str]]) -> set[Combination]:
    """Four combinations of each count, each of a colour-shape pair of its own."""
    rng = random.Random(_HELD_OUT_SEED + 1)
    free = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in excluded]
    pairs = rng.sample(free, HELD_OUT_TRIPLES)
    return {Combination(COUNTS[i % 4], *pair) for i, pair in enumerate(pairs)}


@cache
def training_combinations() -> tuple[Combination, ...]:
    """List the combinations that training draws from: all but the held-out ones.

    >>> len(training_combinations())
    288
    """
    held_out = held_out_combinations()
    return tuple(c for c in all_combinations() if c not in held_out)


# ---- scenes: one picture's content, to the last pixel --------------------------------------------


@dataclass(frozen=True)
class Scene:
    """Everything that is in one picture; lengths are shares of the canvas, y points down.

    `centres`, `radii` and `angles` (degrees) have one entry an object. All objects of a scene
    share the RGB colour `fill`, which is a shade of `colour`.
    """

    count: int
    colour: str
    shape: str
    size: str
    centres: tuple[tuple[float, float], ...]
    radii: tuple[float, ...]
    angles: tuple[float, ...]
    fill: tuple[int, int, int]
    background: tuple[int, int, int]

    @property
    def combination(self) -> Combination:
        """The scene's class."""
        return Combination(self.count, self.colour, self.shape)

    @property
    def sides(self) -> frozenset[str]:
        """The halves of the canvas that hold every object's centre: none, one or two of `SIDES`."""
        tests = {
            "left": all(x < 0.5 for x, _ in self.centres),
            "right": all(x > 0.5 for x, _ in self.centres),
            "top": all(y < 0.5 for _, y in self.centres),
            "bottom": all(y > 0.5 for _, y in self.centres),
        }
        return frozenset(side for side, holds in tests.items() if holds)


def random_scene(seed: int | str | random.Random, combination: Combination | None = None) -> Scene:
    """Draw a scene; the same seed gives the same scene on every machine.

    Args:
        seed: A seed, or a generator to draw from.
        combination: The scene's class; by default any that training may see.

    Returns:
        A `Scene` whose objects do not overlap and keep away from the edge.

    Raises:
        ValueError: If the combination is not one of this world's.

    >>> scene = random_scene(7, Combination(2, "red", "circle"))
    >>> scene.count, scene.colour, len(scene.centres), scene == random_scene(7, scene.combination)
    (2, 'red', 2, True)
    """
    rng = seed if isinstance(seed, random.Random) else random.Random(seed)
    if combination is None:
        combination = rng.choice(training_combinations())
    elif combination not in all_combinations():
        raise ValueError(f"{combination} is not in all_combinations()")
    combination = Combination(*combination)
    size = rng.choice(list(SIZES))
    radii = tuple(rng.uniform(*SIZES[size]) for _ in range(combination.count))
    return Scene(
        *combination,
        size=size,
        centres=_place(rng, radii),
        radii=radii,
        angles=tuple(rng.uniform(-_MAX_ANGLE, _MAX_ANGLE) for _ in radii),
        fill=_shade(rng, COLOURS[combination.colour], _COLOUR_JITTER),
        background=_shade(rng, (235, 235, 235), 16),
    )


def _shade(rng: random.Random, colour: tuple[int, int, int], jitter: int) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, c + rng.randint(-jitter, jitter))) for c in colour)
    return red, green, blue


def _place(rng: random.Random, radii: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """Centres for objects of these radii, often all in one half of the canvas."""
    while True:
        side = rng.choice([*SIDES, None, None, None, None])
        centres: list[tuple[float, float]] = []
        for radius in radii:
            spot = _free_spot(rng, radius, side, list(zip(centres, radii, strict=False)))
            if spot is None:
                break  # no room left: begin anew, perhaps elsewhere
            centres.append(spot)
        else:
            return tuple(centres)


def _free_spot(
    rng: random.Random, radius: float, side: str | None, taken: list
) -> tuple[float, float] | None:
    """A centre that keeps clear of every (centre, radius) in `taken`, or None after 10 tries."""
    low, high = _MARGIN + 1.12 * radius, 1 - _MARGIN - 1.12 * radius
    x_range = 0.52 if side == "right" else low, 0.48 if side == "left" else high
    y_range = 0.52 if side == "bottom" else low, 0.48 if side == "top" else high
    for _ in range(10):
        x, y = rng.uniform(*x_range), rng.uniform(*y_range)
        if all(math.hypot(x - u, y - v) > 1.12 * (radius + r) + _GAP for (u, v), r in taken):
            return x, y
    return None


def draw(scene: Scene) -> Image.Image:
    """Draw the picture of a scene.

    Args:
        scene: What to draw.

    Returns:
        An RGB image of `CANVAS` x `CANVAS` (120 x 120) pixels of exactly two colours, without
        antialiasing: the later resize smooths the edges.

    >>> image = draw(random_scene(0))
    >>> image.size, image.mode, len(image.getcolors())
    ((120, 120), 'RGB', 2)
    """
    image = Image.new("RGB", (CANVAS, CANVAS), scene.background)
    pen = ImageDraw.Draw(image)
    for centre, radius, angle in zip(scene.centres, scene.radii, scene.angles, strict=True):
        pen.polygon(_outline(SHAPES[scene.shape], centre, radius, angle), fill=scene.fill)
        if scene.shape in HOLES:
            pen.polygon(_outline(HOLES[scene.shape], centre, radius, angle), fill=scene.background)
    return image


def _outline(corners: list, centre: tuple[float, float], radius: float, angle: float) -> list:
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


_FRAMES = (
    "{}",
    "{}",
    "this is a photo of {}",
    "this is a photo of {}",
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a drawing of {}",
    "here you see {}",
)
_PLACES = {"left": "on the left", "right": "on the right"} | {
    "top": "at the top",
    "bottom": "at the bottom",
}


def random_caption(scene: Scene, seed: int | str | random.Random) -> Caption:
    """Make a caption that is true of the scene, in varied wording.

    Half of the captions name count, colour and shape; the others leave one or two of the three
    out ("something red", "2 shapes", "a photo of circles"). Some add the size or the side.

    Args:
        scene: What to describe.
        seed: A seed, or a generator to draw from.

    Returns:
        A `Caption` in lower case.

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
    if side is not None:
        text = f"{text} {_PLACES[side]}"
    return Caption(rng.choice(_FRAMES).format(text), counts, colour, shape, size, side)


def _wording(
    rng: random.Random,
    count: int,
    count_named: bool,
    size: str | None,
    colour: str | None,
    shape: str | None,
) -> tuple[frozenset[int], str]:
    """The counts that the words allow, and the words: "2 small red circles"."""
    if not count_named and shape is None:
        return frozenset(COUNTS), " ".join(word for word in ("something", size, colour) if word)
    noun = shape or "shape"
    if count > 1:
        noun = plural(noun)
    spoken = [size, colour, noun]
    if colour is not None and rng.random() < 0.15:
        spoken = [size, noun, "in", colour]
    words = [word for word in spoken if word]
    if count == 1:  # "a red circle" says one even where no number was asked for
        number = rng.choice([_article(words[0]), _article(words[0]), "1", "one"])
        return frozenset({1}), " ".join([number, *words])
    if not count_named:
        return frozenset(COUNTS[1:]), " ".join(words)
    number = str(count) if rng.random() < 0.6 else _NUMBER_WORDS[count]
    return frozenset({count}), " ".join([number, *words])
