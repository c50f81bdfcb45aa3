"""A small language model that reads tiny's image tokens and describes a drawing of two kinds.

"two red circles above a blue square": eight words at most, one after the other, each with a look at
the image tokens and at the words before it.
"""

from __future__ import annotations

import math
import random
from importlib.resources import files
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw
from safetensors.torch import load
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.towers import VisionTower
from siglip_lab.toy.shapes_world import (
    _COLOUR_JITTER,
    _HOLES,
    CANVAS,
    COLOURS,
    SHAPES,
    _outline,
    _shade,
    plural,
)  # fmt: skip

__all__ = [
    "WORDS", "Block", "Describer", "Drawing", "Kind", "draw_two", "image_tokens", "is_held_out",
    "pixel_shuffle", "places", "random_drawing", "sentence",
]  # fmt: skip

NUMBERS = ("one", "two", "three")
RELATIONS = ("above", "left of")
PLACES = ("top", "bottom", "left", "right")
WORDS = (
    "<start>", "<end>", *NUMBERS, *COLOURS, *SHAPES, *(plural(s) for s in SHAPES), *RELATIONS,
)  # fmt: skip
LENGTH = 8  # seven words and the end


# ---- drawings of two kinds -----------------------------------------------------------------------


class Kind(NamedTuple):
    """Objects of one colour and one shape."""

    number: int
    colour: str
    shape: str


class Drawing(NamedTuple):
    """Two kinds: the first is above the second, or left of it."""

    first: Kind
    second: Kind
    relation: str


def places(drawing: Drawing) -> tuple[str, str]:
    """Where the two kinds are."""
    return ("top", "bottom") if drawing.relation == "above" else ("left", "right")


def is_held_out(kind: Kind, place: str) -> bool:
    """Whether training never shows this colour and shape in this half: a tenth of them.

    >>> is_held_out(Kind(1, "red", "circle"), "top"), is_held_out(Kind(1, "red", "circle"), "left")
    (True, False)
    """
    colour, shape = list(COLOURS).index(kind.colour), list(SHAPES).index(kind.shape)
    return (colour + 3 * shape + 7 * PLACES.index(place)) % 10 == 0


def random_drawing(rng: random.Random, unseen: bool = False) -> Drawing:
    """Draw a content at random: nothing in it is held out, or, `unseen`, one kind at least is."""
    while True:
        kinds = [
            Kind(rng.randint(1, 3), rng.choice(list(COLOURS)), rng.choice(list(SHAPES)))
            for _ in range(2)
        ]
        drawing = Drawing(kinds[0], kinds[1], rng.choice(RELATIONS))
        held_out = [is_held_out(*pair) for pair in zip(kinds, places(drawing), strict=True)]
        if any(held_out) == unseen and kinds[0][1:] != kinds[1][1:]:
            return drawing


def sentence(drawing: Drawing) -> list[str]:
    """Describe a drawing, in words.

    >>> " ".join(sentence(Drawing(Kind(2, "red", "star"), Kind(1, "blue", "heart"), "above")))
    'two red stars above one blue heart'
    """
    first, second = (
        [NUMBERS[n - 1], colour, shape if n == 1 else plural(shape)]
        for n, colour, shape in drawing[:2]
    )
    return [*first, drawing.relation, *second]


def draw_two(drawing: Drawing, rng: random.Random) -> Image.Image:
    """Draw both kinds, each in its half of the picture; 120 x 120 pixels."""
    paper = _shade(rng, (235, 235, 235), 16)
    image = Image.new("RGB", (CANVAS, CANVAS), paper)
    pen = ImageDraw.Draw(image)
    for place, kind in zip(places(drawing), drawing[:2], strict=True):
        fill = _shade(rng, COLOURS[kind.colour], _COLOUR_JITTER)
        for along in _spots(rng, kind.number):
            across = rng.uniform(0.22, 0.3)
            across = across if place in ("top", "left") else 1 - across
            centre = (along, across) if place in ("top", "bottom") else (across, along)
            radius, angle = rng.uniform(0.1, 0.125), rng.uniform(-15, 15)
            pen.polygon(_outline(SHAPES[kind.shape], centre, radius, angle), fill=fill)
            if kind.shape in _HOLES:
                pen.polygon(_outline(_HOLES[kind.shape], centre, radius, angle), fill=paper)
    return image


def _spots(rng: random.Random, number: int) -> list[float]:
    """Places along one half, clear of one another."""
    while True:
        spots = sorted(rng.uniform(0.19, 0.81) for _ in range(number))
        if all(b - a > 0.29 for a, b in zip(spots, spots[1:], strict=False)):
            return spots


# ---- from a tower to tokens ----------------------------------------------------------------------


def pixel_shuffle(tokens: Tensor, factor: int) -> Tensor:
    """Join each square of `factor` x `factor` neighbours into one token: `[B, N/f², f²D]`."""
    side = math.isqrt(tokens.shape[1])
    if side**2 != tokens.shape[1] or side % factor:
        raise ValueError(f"{tokens.shape[1]} tokens are no square grid that {factor} divides")
    x = tokens.unflatten(1, (side // factor, factor, side // factor, factor))
    return x.transpose(2, 3).flatten(3).flatten(1, 2)


def image_tokens(tower: VisionTower, pixel_values: Tensor, take: str = "last") -> Tensor:
    """What the language model may read.

    Args:
        tower: A SigLIP image tower.
        pixel_values: `[B, 3, S, S]`.
        take: "last" for the tokens after the final norm, "no norm" for the same before it,
            "penultimate" for those one layer earlier, "shuffled" for "last" with 2 x 2 tokens
            joined, "pooled" for the image vector alone.
    """
    out = tower(pixel_values, output_hidden_states=True)
    if take == "pooled":
        return out.pooler_output[:, None]
    if take == "shuffled":
        return pixel_shuffle(out.last_hidden_state, 2)
    return {
        "last": out.last_hidden_state,
        "no norm": out.hidden_states[-1],
        "penultimate": out.hidden_states[-2],
    }[take]


# ---- the language model --------------------------------------------------------------------------


class Block(nn.Module):
    """A layer: attention under a mask, then an MLP."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[B, N + L, D]`; the mask is true where a token may look."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Describer(nn.Module):
    """Image tokens `[B, N, D]` and words so far `[B, L]` to logits of the next word."""

    def __init__(self, token_dim: int = 72, tokens: int = 36, width: int = 72, depth: int = 2):
        super().__init__()
        self.projector = nn.Sequential(
            nn.Linear(token_dim, width), nn.GELU(), nn.Linear(width, width)
        )
        self.words = nn.Embedding(len(WORDS), width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens + LENGTH, width))
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(depth))
        self.norm, self.to_word = nn.LayerNorm(width), nn.Linear(width, len(WORDS))

    def forward(self, tokens: Tensor, ids: Tensor) -> Tensor:
        """Logits `[B, L, words]`: at each word, of the one that follows it."""
        n = tokens.shape[1]
        x = torch.cat([self.projector(tokens), self.words(ids)], dim=1)
        x = x + self.positions[: x.shape[1]]
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        mask[:n, :n] = True  # image tokens see one another; words see them and what came before
        for block in self.blocks:
            x = block(x, mask)
        return self.to_word(self.norm(x[:, n:]))

    @torch.no_grad()
    def generate(self, tokens: Tensor) -> list[list[str]]:
        """Take the likeliest word, add it, and go on."""
        ids = torch.zeros(len(tokens), 1, dtype=torch.long)
        for _ in range(LENGTH):
            ids = torch.cat([ids, self(tokens, ids)[:, -1:].argmax(2)], dim=1)
        texts = [[WORDS[i] for i in row[1:]] for row in ids.tolist()]
        return [text[: text.index("<end>")] if "<end>" in text else text for text in texts]

    @classmethod
    def from_pretrained(cls) -> Describer:
        """The stored one, trained by `benchmarks/describe.py` on frozen tiny's last tokens."""
        path = files("siglip_lab") / "toy" / "describer" / "model.safetensors"
        weights, model = load(path.read_bytes()), cls()
        model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        return model.eval()
