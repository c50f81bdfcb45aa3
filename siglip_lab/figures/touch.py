"""Figures to touch: custom elements for the site, with what is shown without scripts inside."""

from __future__ import annotations

import base64
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from html import escape
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from siglip_lab import maps, siglip2
from siglip_lab.clip import counting as clip_counting
from siglip_lab.clip.configs import CLIPConfig
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.emoji.data import ARTISTS, TILES, load
from siglip_lab.figures.ch01 import mixed_tokens
from siglip_lab.figures.ch08 import first_losses
from siglip_lab.figures.ch13 import causal_mask, two_softmaxes
from siglip_lab.figures.style import IMAGE, MISTAKE, NEUTRAL, minus
from siglip_lab.figures.tables import bars
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.losses import sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.preprocessing import to_image
from siglip_lab.processor import Processor
from siglip_lab.toy.data import training_batch
from siglip_lab.toy.digits import load_digits
from siglip_lab.toy.shapes_world import Combination, Scene, draw, random_scene
from siglip_lab.toy.two_kinds import TwoKinds

__all__ = [
    "Touchable",
    "Guess",
    "TextCleaner",
    "MergeSteps",
    "CausalMask",
    "MixedTokens",
    "TwoSoftmaxes",
    "TextClassifier",
    "AttentionMap",
    "WhereMap",
    "TileShuffle",
    "PositionMap",
    "ParameterMap",
    "ShapeExplorer",
    "Explorer",
    "EmojiSearch",
    "Loaders",
    "NaFlexGrid",
    "CheckpointChooser",
    "DigitPad",
    "FirstLoss",
]


class Touchable(ABC):
    """A figure of `book/_static/js`, as a cell's output; the site brings its script.

    In Markdown the directive ``{touchable} tag`` puts the same on a page.
    """

    tag: str

    @abstractmethod
    def data(self) -> dict:
        """What the script is given, as JSON."""

    @abstractmethod
    def fallback(self) -> str:
        """HTML that is shown where no script runs."""

    def _repr_html_(self) -> str:
        data = json.dumps(self.data(), ensure_ascii=False, separators=(",", ":"))
        return (
            f'<siglip-{self.tag} class="touchable" data-json="{escape(data)}">\n'
            f"{self.fallback()}\n</siglip-{self.tag}>"
        )


class Guess:
    """A question to guess at before one reads on: press an answer, and it says what is true.

    It needs no script, so a notebook shows the same.

    Args:
        question: One sentence or two.
        answers: Each answer to what is said of it; the right one's begins with "Right".

    Raises:
        ValueError: If there is not exactly one right answer.
    """

    def __init__(self, question: str, answers: dict[str, str]):
        right = sum(said.startswith("Right") for said in answers.values())
        if right != 1:
            raise ValueError(f'{right} of {len(answers)} answers begin with "Right"; expected one')
        self.question, self.answers = question, answers

    def __repr__(self) -> str:
        return f"{self.question} {' / '.join(self.answers)}"

    def _repr_html_(self) -> str:
        shown = "".join(
            f"<details><summary>{escape(answer)}</summary><p>{escape(said)}</p></details>"
            for answer, said in self.answers.items()
        )
        return f'<div class="guess"><p><b>Guess.</b> {escape(self.question)}</p>{shown}</div>'


def _still(drawing, what: str) -> str:
    """A drawing without scripts, and what it shows in words."""
    name = f'class="drawn" role="img" aria-label="{escape(what)}"'
    svg = drawing.svg.replace('class="drawn"', name, 1)
    return f'<div class="drawn-frame">{svg}</div>'


def _table(rows: dict, heading: str = "") -> str:
    """A table without scripts: the name of each row, then its cells."""
    lines = (
        f"<tr><th scope='row'>{escape(str(name))}</th>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
        + "</tr>"
        for name, cells in rows.items()
    )
    return f"<table>{heading}{''.join(lines)}</table>"


class TextCleaner(Touchable):
    """A field to type in: three ways to clean a text, its pieces, its row of ids.

    Args:
        scores: Every piece with its log-probability, from id 3 on, in the order of the ids.
        tokenizer: The `Tokenizer` of the same vocabulary, for what is shown without scripts.
        text: What the field holds to begin with.
    """

    tag = "text-cleaner"

    def __init__(self, scores: dict[str, float], tokenizer, text: str):
        self.scores, self.text = scores, text
        self.pieces, self.ids = tokenizer.pieces(text), tokenizer.encode(text)

    def __repr__(self) -> str:
        return f"TextCleaner({len(self.scores)} pieces, {self.text!r})"

    def data(self) -> dict:
        vocabulary = " ".join(f"{piece} {score:.9g}" for piece, score in self.scores.items())
        return {"vocabulary": vocabulary, "text": self.text}

    def fallback(self) -> str:
        table = _table({"piece": self.pieces, "id": self.ids})
        return f"<p>“{escape(self.text)}” becomes</p>\n{table}"


class MergeSteps(Touchable):
    """Byte pairs that join to pieces: choose a word, then go from merge to merge.

    Args:
        words: A word to its states and its ids. A state is a list of pieces and, for each pair of
            neighbours, its place in the list of merges, or None.
        word: The word that is chosen to begin with.
    """

    tag = "merge-steps"

    def __init__(self, words: dict[str, tuple[list[tuple[list[str], list]], list[int]]], word: str):
        self.words, self.word = words, word

    def __repr__(self) -> str:
        return f"MergeSteps({len(self.words)} words, {self.word!r})"

    def data(self) -> dict:
        words = {word: {"states": states, "ids": ids} for word, (states, ids) in self.words.items()}
        return {"word": self.word, "words": words}

    def fallback(self) -> str:
        states, _ = self.words[self.word]
        table = _table({step: [" ".join(pieces)] for step, (pieces, _) in enumerate(states)})
        return f"<p>“{escape(self.word)}”, merge by merge</p>\n{table}"


class CausalMask(Touchable):
    """Which token sees which: type a caption, press a token, take the mask away.

    Args:
        captions: A caption to its pieces, without start and end; the first is shown to begin with.
        places: How many positions the text tower reads.
    """

    tag = "causal-mask"

    def __init__(self, captions: dict[str, list[str]], places: int = 77):
        self.captions, self.places = captions, places

    def __repr__(self) -> str:
        return f"CausalMask({len(self.captions)} captions, {next(iter(self.captions))!r})"

    def data(self) -> dict:
        return {"captions": self.captions, "places": self.places}

    def fallback(self) -> str:
        """Both masks side by side, for the first caption and three zeros."""
        caption, pieces = next(iter(self.captions.items()))
        words = [piece.removesuffix("</w>") for piece in pieces]
        drawing = causal_mask(["start", *words, "end", "0", "0", "0"], end=len(words) + 1)
        what = (
            f"Two grids, row by row what each token of “{caption}” sees. With the causal mask: "
            "itself and what comes before. With no mask: everything, the padding too. "
            "The row of the end is framed in green."
        )
        return _still(drawing, what)


class MixedTokens(Touchable):
    """What tokens of two numbers gather from each other: choose one, and its lines stay lit.

    Args:
        before: `[n, 2]`.
        weights: `[n, n]`, how much each token, a row, listens to each.
        after: `[n, 2]`.
        names: Of the tokens.
    """

    tag = "mixed-tokens"

    def __init__(self, before: Tensor, weights: Tensor, after: Tensor, names: list[str]):
        self.before, self.weights, self.after, self.names = before, weights, after, names

    def __repr__(self) -> str:
        return f"MixedTokens({', '.join(self.names)})"

    def data(self) -> dict:
        parts = {"before": self.before, "weights": self.weights, "after": self.after}
        numbers = {name: part.double().numpy().round(4).tolist() for name, part in parts.items()}
        return {"names": self.names} | numbers

    def fallback(self) -> str:
        rows = zip(self.names, self.weights.tolist(), strict=True)
        listens = (f"{name} {' '.join(f'{weight:.2f}' for weight in row)}" for name, row in rows)
        what = f"Lines as thick as what each token listens to all: {'; '.join(listens)}."
        return _still(mixed_tokens(self.before, self.weights, self.after, self.names), what)


class TwoSoftmaxes(Touchable):
    """CLIP's loss over a batch: point at an image or a text, and see what its pair costs.

    Args:
        logits: Images to texts, `[n, n]`; pair i belongs together.
    """

    tag = "two-softmaxes"

    def __init__(self, logits: Tensor):
        self.logits = logits.detach().cpu()

    def __repr__(self) -> str:
        return f"TwoSoftmaxes({len(self.logits)} pairs)"

    def data(self) -> dict:
        return {"logits": [_rounded(row, 3) for row in self.logits]}

    def fallback(self) -> str:
        """Both grids of shares, and the two losses."""
        n = len(self.logits)
        what = (
            f"Two grids of {n} by {n} shares, images down, texts along the bottom. Left, each row "
            "is framed: which text? Right, each column: which image? The diagonal, in green, is "
            "read; the two losses are below."
        )
        return _still(two_softmaxes(self.logits), what)


class TextClassifier(Touchable):
    """Rows of a classifier, each written by a label: change labels, template and drawing.

    The model is tiny, in float64, so that every machine writes the same.

    Args:
        scene: What the drawing shows.
        labels: What it may show.
        template: What the labels are put into.
    """

    tag = "text-classifier"

    def __init__(self, scene: Scene, labels: list[str], template: str = "This is a photo of {}."):
        self.scene, self.labels, self.template = scene, labels, template
        model = SigLIP.from_pretrained("tiny", dtype=torch.float16).double()
        processor = Processor.from_pretrained("tiny")
        texts = [template.format(label) for label in labels]
        inputs = processor(text=texts, images=[draw(scene)])
        with torch.no_grad():
            self.image = model.encode_image(inputs["pixel_values"].double(), normalize=True)[0]
            self.rows = model.encode_text(inputs["input_ids"], normalize=True)

    def __repr__(self) -> str:
        return f"TextClassifier({len(self.labels)} labels, {self.template!r})"

    def data(self) -> dict:
        return {
            "scene": _drawn(self.scene),
            "labels": self.labels,
            "template": self.template,
            "image": _rounded(self.image, 3),
            "texts": [_rounded(row, 3) for row in self.rows],
        }

    def fallback(self) -> str:
        products = (self.rows @ self.image).tolist()
        rows = {label: [f"{p:+.2f}"] for label, p in zip(self.labels, products, strict=True)}
        return _table(rows, "<tr><th>label</th><th>product</th></tr>")


class AttentionMap(Touchable):
    """Attention weights over a picture: choose the layer, the head and the query.

    Args:
        picture: A PIL image as the model receives it; pixels that no patch covers turn red.
        weights: Softmax weights `[layers, heads, queries, keys]`. The keys are the picture's
            patches, row by row; the queries are the same patches, or a single one. They are
            rounded to thousandths: float64 rounds alike on every machine, float32 nearly so.
        patch_size: Side of a patch in pixels.
        query: The patch that is marked to begin with.
        layers: Names of the layers; default: "layer 0" and so on.
        asker: Who looks where there is a single query.
        own: True if the weights are those of tiny's image tower: the reader may draw another
            picture. The scene that the picture shows, instead of True, is what that begins with.

    Raises:
        ValueError: If the weights do not fit the picture's patches.
    """

    tag = "attention-map"

    def __init__(
        self, picture, weights: Tensor, patch_size: int, query: int = 0,
        layers: list[str] | None = None, asker: str = "the probe",
        own: bool | Scene = False,
    ):  # fmt: skip
        side = picture.width // patch_size
        shape = tuple(weights.shape)
        if len(shape) != 4 or shape[2] not in (1, side**2) or shape[3] != side**2:
            raise ValueError(
                f"weights have shape {shape}; expected [layers, heads, {side**2} or 1, {side**2}] "
                f"for a picture of {picture.width} pixels and patches of {patch_size}"
            )
        self.picture, self.patch_size, self.query, self.asker = picture, patch_size, query, asker
        self.own = own
        self.thousandths = (weights.detach().cpu() * 1000).round().int()
        self.layers = layers or [f"layer {i}" for i in range(shape[0])]

    def __repr__(self) -> str:
        counts = zip(self.thousandths.shape, ("layers", "heads", "queries", "keys"), strict=True)
        return f"AttentionMap({', '.join(f'{count} {name}' for count, name in counts)})"

    def data(self) -> dict:
        data = {
            "weights": self.thousandths.flatten().tolist(),
            "layers": self.layers,
            "heads": self.thousandths.shape[1],
            "query": self.query,
            "asker": self.asker,
            "own": bool(self.own),
        }
        return data | {"scene": _drawn(self.own)} if isinstance(self.own, Scene) else data

    def fallback(self) -> str:
        """The picture under its grid, each patch with its share of layer 0's mean under a veil."""
        size, step = self.picture.width, self.patch_size
        seen = size - size % step
        mean = self.thousandths[0].float().mean(dim=0)  # [queries, keys]
        row = mean[self.query if len(mean) > 1 else 0].tolist()
        spots = [(x, y) for y in range(0, seen, step) for x in range(0, seen, step)]
        square = f'width="{step}" height="{step}"'
        veils = "".join(
            f'<rect class="am-veil" x="{x}" y="{y}" {square}'
            f' fill-opacity="{0.8 * (1 - weight / max(row)):.2f}"/>'
            for (x, y), weight in zip(spots, row, strict=True)
        )
        numbers = "".join(
            f'<text class="am-number" x="{x + step / 2}" y="{y + step / 2}">'
            f"{int((weight + 5) // 10) or ''}</text>"
            for (x, y), weight in zip(spots, row, strict=True)
        )
        x, y = spots[self.query]
        return (
            f'<svg viewBox="0 0 {size} {size}" width="320" role="img" aria-label="The picture under'
            f' its patches; each carries its share of the attention in percent">'
            f'<image href="{_bitmap(self.picture)}" width="{size}" height="{size}"/>'
            f'<path class="am-margin" fill="{MISTAKE}" fill-opacity="0.85"'
            f' d="M{seen} 0H{size}V{size}H0V{seen}H{seen}Z"/>'
            f'<g stroke="white" stroke-width="{size / 200}">{veils}</g>'
            f'<g font-size="{step * 0.34:.2f}" fill="white" stroke="#111827" text-anchor="middle"'
            f' stroke-width="{step / 15:.2f}" paint-order="stroke" dominant-baseline="central"'
            f' pointer-events="none">{numbers}</g>'
            f'<g class="am-mark" transform="translate({x} {y})" fill="none" pointer-events="none">'
            f'<rect {square} stroke="white" stroke-width="{size / 40}"/>'
            f'<rect {square} stroke="{IMAGE}" stroke-width="{size / 80}"/></g>'
            "</svg>"
        )


def _bitmap(picture) -> str:
    """A picture as a link to itself, uncompressed: the same text on every machine."""
    file = BytesIO()
    (picture if picture.mode == "P" else picture.convert("RGB")).save(file, "BMP")
    return "data:image/bmp;base64," + base64.b64encode(file.getvalue()).decode()


class WhereMap(Touchable):
    """Where tiny finds a caption in the reader's drawing: covered patch by patch, or attention.

    Args:
        drawing: What is on the sheet to begin with.
        caption: What is asked of it.
    """

    tag = "where-map"

    def __init__(self, drawing: TwoKinds, caption: str):
        self.drawing, self.caption = drawing, caption
        # As the page's own file has the weights.
        model = SigLIP.from_pretrained("tiny", dtype=torch.float16).double().eval()
        given = Processor.from_pretrained("tiny")(images=[drawing.image], text=[caption])
        self.pixels, ids = given["pixel_values"].double(), given["input_ids"]
        paper = torch.tensor([drawing.scenes[0].background]).double() / 127.5 - 1
        with torch.no_grad():
            self.logit = model(self.pixels, ids).logits_per_image.item()
            self.falls = maps.occlusion_map(model, self.pixels, ids, paper)[0]  # [6, 6]
            self.attention = maps.attention_map(model, self.pixels)[0]

    def __repr__(self) -> str:
        return f"WhereMap({self.caption!r})"

    def data(self) -> dict:
        scenes = [_drawn(scene) for scene in self.drawing.scenes]
        return {
            "scene": scenes[0] | {"items": [item for scene in scenes for item in scene["items"]]},
            "picture": _bitmap(to_image(self.pixels[0])),
            "caption": self.caption,
            "logit": round(self.logit, 5),
            "falls": _rounded(self.falls.flatten()),
            "attention": _rounded(self.attention.flatten()),
        }

    def fallback(self) -> str:
        rows = {
            f"row {i}": [f"{round(fall, 1) + 0.0:.1f}".replace("-", "\u2212") for fall in row]
            for i, row in enumerate(self.falls.tolist())
        }
        columns = "".join(f"<th>{i}</th>" for i in range(len(rows)))
        words = (
            f"<p>How far the logit of “{escape(self.caption)}” falls where a patch is covered</p>"
        )
        return f"{words}\n{_table(rows, f'<tr><th></th>{columns}</tr>')}"


class TileShuffle(Touchable):
    """One drawing's patches in tiny, in order and shuffled, with and without positions.

    Args:
        scene: What the drawing shows.
        captions: Whose logits are shown.
        shuffles: How many random orders there are, after "in order" and "upside down".
    """

    tag = "tile-shuffle"

    def __init__(self, scene: Scene, captions: list[str], shuffles: int = 8):
        self.captions = captions
        model = SigLIP.from_pretrained("tiny", dtype=torch.float16).double().eval()
        given = Processor.from_pretrained("tiny")(text=captions, images=[draw(scene)])
        self.pixels = given["pixel_values"].double()
        tower: Any = model.vision_model
        positions = tower.embeddings.position_embedding.weight  # [N, D]
        side = math.isqrt(len(positions))
        places = torch.arange(side**2).reshape(side, side)
        generator = torch.Generator().manual_seed(0)
        random = [torch.randperm(side**2, generator=generator) for _ in range(shuffles)]
        self.orders = torch.stack([places.flatten(), places.flip(0).flatten(), *random])
        with torch.no_grad():
            bare = (tower.embeddings(self.pixels)[0] - positions)[self.orders]  # [orders, N, D]
            texts = model.encode_text(given["input_ids"], normalize=True)
            self.logits = []
            for tokens in (bare, bare + positions):
                images = tower.head(tower.post_layernorm(tower.encoder(tokens)))
                self.logits.append(model.logits(F.normalize(images, dim=-1), texts))

    def __repr__(self) -> str:
        return f"TileShuffle({len(self.orders)} orders, {self.captions[0]!r})"

    def data(self) -> dict:
        return {
            "picture": _bitmap(to_image(self.pixels[0])),
            "orders": self.orders.tolist(),
            "captions": self.captions,
            # [without, with positions][order][caption]
            "logits": [[[f"{z:.2f}" for z in row] for row in of] for of in self.logits],
        }

    def fallback(self) -> str:
        """The logits in order and for the first shuffle."""
        rows = {}
        for i, caption in enumerate(self.captions):
            pairs = [(of[0, i].item(), of[2, i].item()) for of in self.logits]
            rows[caption] = [f"{a:.2f} → {b:.2f}".replace("-", "\u2212") for a, b in pairs]
        names = "in order → shuffled", "no positions", "with positions"
        heading = f"<tr>{''.join(f'<th>{name}</th>' for name in names)}</tr>"
        drawing = _bitmap(to_image(self.pixels[0]))
        picture = f'<img src="{drawing}" width="160" height="160" alt="The drawing">'
        return f"{picture}\n{_table(rows, heading)}"


class PositionMap(Touchable):
    """Cosines of one position with all others of its table: point at a square, and it is the one.

    Args:
        tables: Title to a table of position embeddings `[N, D]`, all of one square grid.
        position: The one that is chosen to begin with.

    Raises:
        ValueError: If the tables have different lengths, or are no square grid.
    """

    tag = "position-map"

    def __init__(self, tables: dict[str, Tensor], position: int = 0):
        lengths = {len(table) for table in tables.values()}
        self.side = math.isqrt(min(lengths))
        if lengths != {self.side**2}:
            raise ValueError(f"tables of {sorted(lengths)} positions; expected one square number")
        self.position = position
        units = {title: F.normalize(table.detach(), dim=-1) for title, table in tables.items()}
        self.cosines = {title: (unit @ unit.T).tolist() for title, unit in units.items()}

    def __repr__(self) -> str:
        return f"PositionMap({', '.join(map(repr, self.cosines))})"

    def data(self) -> dict:
        # Each number with two decimals: nbval forgives the last of them, if there is one.
        written = {
            title: " ".join(f"{cosine:.2f}" for row in rows for cosine in row)
            for title, rows in self.cosines.items()
        }
        return {"position": self.position, "side": self.side, "cosines": written}

    def fallback(self) -> str:
        """The maps side by side: over each square a blue veil, and a grey one if it is negative."""
        size, gap, top = 180, 40, 26
        step = size / self.side
        words, squares, dots = [], [], []
        for k, (title, rows) in enumerate(self.cosines.items()):
            left = k * (size + gap)
            words.append(f'<text x="{left + size / 2:g}" y="16">{escape(title)}</text>')
            for i, cosine in enumerate(rows[self.position]):
                y, x = divmod(i, self.side)
                square = (
                    f'<rect data-i="{i}" x="{left + x * step:g}" y="{top + y * step:g}"'
                    f' width="{step:g}" height="{step:g}"'
                )
                blue, grey = max(cosine, 0), max(-cosine, 0)
                squares.append(
                    f'{square} class="po-near" fill="{IMAGE}" fill-opacity="{blue:.2f}"/>'
                    f'{square} class="po-far" fill="{NEUTRAL}" fill-opacity="{grey:.2f}"/>'
                )
            y, x = divmod(self.position, self.side)
            dot = f'cx="{left + (x + 0.5) * step:g}" cy="{top + (y + 0.5) * step:g}"'
            dots.append(f'<circle class="po-dot" {dot} r="5" fill="white"/>')
        width = len(self.cosines) * (size + gap) - gap
        return (
            f'<svg viewBox="0 0 {width} {top + size}" width="{width}" font-size="15"'
            f' text-anchor="middle" fill="currentColor" role="img" aria-label="Maps of'
            f' {self.side} by {self.side} squares, each with its cosine with the one at the dot">'
            f'{"".join(words)}<g stroke="#9ca3af" stroke-width="0.6">{"".join(squares)}</g>'
            f"{''.join(dots)}</svg>"
        )


class ParameterMap(Touchable):
    """Where a model's parameters sit: choose the model, then a part of it.

    Args:
        configs: Name to shape; the image tower is a ViT.
        model: The name that is chosen to begin with.
    """

    tag = "parameter-map"

    def __init__(self, configs: dict[str, SigLIPConfig | CLIPConfig], model: str):
        self.configs, self.model = configs, model

    def __repr__(self) -> str:
        return f"ParameterMap({len(self.configs)} models, {self.model!r})"

    def data(self) -> dict:
        models = {name: asdict(config) for name, config in self.configs.items()}
        return {"model": self.model, "models": models}

    def fallback(self) -> str:
        config = self.configs[self.model]
        if isinstance(config, CLIPConfig):
            count = clip_counting.count_parameters(config)
        else:
            count = count_parameters(config)
        rows = {"whole model": count.total}
        for words, tower in (("image tower", count.vision), ("text tower", count.text)):
            layers = [part.total for part in tower if part.name.startswith("layer ")]
            rows |= {words: tower.total, f"{words}: layers": sum(layers)}
            rows |= {
                f"{words}: {part.name}": part.total
                for part in tower
                if not part.name.startswith("layer ")
            }
        table = _table({name: [f"{number:,}"] for name, number in rows.items()})
        return f"<p>{escape(self.model)}</p>\n{table}"


class ShapeExplorer(Touchable):
    """What a shape costs: depth, width, heads, MLP, patch and image size.

    Args:
        shapes: Name -> a model's shape, or an image tower's alone.
        shape: The name that is chosen to begin with.
    """

    tag = "shape-explorer"

    def __init__(self, shapes: dict[str, SigLIPConfig | VisionConfig], shape: str):
        self.shapes, self.shape = shapes, shape

    def __repr__(self) -> str:
        return f"ShapeExplorer({len(self.shapes)} shapes, {self.shape!r})"

    def data(self) -> dict:
        shapes = {
            name: {"vision": asdict(config)} if isinstance(config, VisionConfig) else asdict(config)
            for name, config in self.shapes.items()
        }
        return {"shape": self.shape, "shapes": shapes}

    def fallback(self) -> str:
        rows = {}
        for name, config in self.shapes.items():
            if isinstance(config, VisionConfig):  # any text tower will do: it is not counted
                text = TextConfig(1, 1, width=config.width, depth=1, num_heads=1, mlp_dim=1)
                config = SigLIPConfig(config, text)
            parameters, flops = count_parameters(config).vision, count_flops(config).vision
            rows[name] = [f"{parameters.total:,}", f"{flops.total / 1e9:,.2f}"]
        return _table(rows, "<tr><th>image tower</th><th>parameters</th><th>GFLOPs</th></tr>")


class Explorer(Touchable):
    """Draw, ask in words, look inside: tiny in the page, on two red circles to begin with.

    Args:
        captions: What is asked first.
        compact: Whether the stations wait behind a button.

    What tiny says of them comes with the page, computed in float64 from weights in half precision,
    as the page's own file has them; so the page shows it before it fetches that file.
    """

    tag = "explorer"
    seen: dict[str, Tensor]  # output of every module

    def __init__(
        self,
        captions: Sequence[str] = ("2 red circles", "2 circles", "3 red circles", "2 blue squares"),
        compact: bool = False,
    ):
        self.captions = list(captions)
        self.compact = compact
        scene = random_scene(1, Combination(2, "red", "circle"))
        # What a link to the scene can say: thousandths of the canvas, whole degrees.
        self.scene = replace(
            scene,
            centres=tuple((round(x, 3), round(y, 3)) for x, y in scene.centres),
            radii=tuple(round(radius, 3) for radius in scene.radii),
            angles=tuple(round(angle) for angle in scene.angles),
        )
        self.model = SigLIP.from_pretrained("tiny", dtype=torch.float16).double().eval()
        self.processor = Processor.from_pretrained("tiny")
        self.inputs = self.processor(text=[*self.captions], images=[draw(self.scene)])
        self.seen = {}
        for name, module in self.model.named_modules():
            module.register_forward_hook(partial(self._keep, name))
        with torch.no_grad():
            pixel_values = self.inputs["pixel_values"].double()
            self.out = self.model(pixel_values, self.inputs["input_ids"])

    def __repr__(self) -> str:
        return f"Explorer({len(self.captions)} captions)"

    def _repr_html_(self) -> str:
        compact = 'class="touchable ex-compact"' if self.compact else 'class="touchable"'
        return super()._repr_html_().replace('class="touchable"', compact, 1)

    def _keep(self, name: str, module, inputs, output):
        if isinstance(output, Tensor):
            self.seen[name] = output

    def data(self) -> dict:
        cosines = (self.out.image_embeds @ self.out.text_embeds.T)[0]
        tokenizer = self.processor.tokenizer
        answer = {
            "logits": _rounded(self.out.logits_per_image[0]),
            "probabilities": _rounded(self.out.logits_per_image[0].sigmoid()),
            "cosines": _rounded(cosines),
            "logitScale": round(self.model.logit_scale.exp().item(), 5),
            "logitBias": round(self.model.logit_bias.item(), 5),
            "imageEmbeds": _rounded(self.out.image_embeds[0]),
            "textEmbeds": [_rounded(row) for row in self.out.text_embeds],
            "pieces": [tokenizer.pieces(caption) for caption in self.captions],
            "ids": self.inputs["input_ids"].tolist(),
            "tensors": {
                name: _in_bytes(tensor, (-1.0, 1.0) if name == "pixel_values" else None)
                for name, tensor in self.tensors().items()
            },
        }
        parameters = f"{sum(p.numel() for p in self.model.parameters()):,}"
        texts = (text for step in range(10) for text in training_batch(0, step, 100).texts)
        words = {word for text in texts for word in text.split()}
        return {
            "scene": _drawn(self.scene),
            "captions": self.captions,
            "answer": answer,
            "parameters": parameters,
            "words": " ".join(sorted(words)),
        }

    def tensors(self) -> dict[str, Tensor]:
        """What the stations show small, of the texts for the first caption only."""
        vision, text = "vision_model.embeddings", "text_model.embeddings"
        found = {"pixel_values": self.inputs["pixel_values"], vision: self.seen[vision]}
        found |= {name: self.seen[name][:1] for name in (text, "text_model.final_layer_norm")}
        for tower in ("vision_model", "text_model"):
            name = f"{tower}.encoder.layers.0.self_attn"
            q, k = (self.seen[f"{name}.{part}_proj"][:1] for part in "qk")
            found[f"{name}.weights"] = self._weights(q, k)
        head: Any = self.model.vision_model.head
        matrices, biases = (
            weights.chunk(3)
            for weights in (head.attention.in_proj_weight, head.attention.in_proj_bias)
        )
        tokens = self.seen["vision_model.post_layernorm"]
        q, k = (
            F.linear(x, matrices[i], biases[i]).detach() for i, x in enumerate((head.probe, tokens))
        )
        found["vision_model.head.attention.weights"] = self._weights(q, k)
        return found

    def _weights(self, q: Tensor, k: Tensor) -> Tensor:
        heads = self.model.config.vision.num_heads
        q, k = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k))  # [B, H, N, d]
        return (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)

    def fallback(self) -> str:
        background, fill = (f"rgb{colour}" for colour in (self.scene.background, self.scene.fill))
        circles = "".join(
            f'<circle cx="{x}" cy="{y}" r="{0.92 * radius:.4f}" fill="{fill}"/>'
            for (x, y), radius in zip(self.scene.centres, self.scene.radii, strict=True)
        )
        drawing = (
            '<svg viewBox="0 0 1 1" width="320" role="img" aria-label="Two red circles, one above'
            f' the other"><rect width="1" height="1" fill="{background}"/>{circles}</svg>'
        )
        probabilities = self.out.logits_per_image[0].sigmoid().tolist()
        rows = {
            f"“{caption}”": [f"{100 * p:.1f}\u00a0%"]
            for caption, p in zip(self.captions, probabilities, strict=True)
        }
        heading = "<tr><th>caption</th><th>probability</th></tr>"
        return f'<div class="ex-still">{drawing}\n{_table(rows, heading)}</div>'


class EmojiSearch(Touchable):
    """Words find pictures, and a picture finds names: emoji in the page, on an artist new to it.

    The model is in float64, so that every machine writes the same.

    Args:
        words: What to look for; the first is answered to begin with.
    """

    tag = "emoji-search"
    artist = "twemoji"
    shown = 12

    def __init__(
        self, words: tuple[str, ...] = ("dog", "food", "something to eat", "sport", "sad", "house")
    ):
        self.words = words
        self.model = SigLIP.from_pretrained("emoji", dtype=torch.float64)
        processor = Processor.from_pretrained("emoji")
        self.drawings = load([self.artist])
        self.names = [drawing.emoji.names["en"] for drawing in self.drawings]
        self.images = embed_images(self.model, processor, [each.image for each in self.drawings])
        self.texts = embed_texts(self.model, processor, self.names)
        asked = embed_texts(self.model, processor, words[0])[0]
        self.found = self._best(self.images @ asked, self.shown)
        self.called = self._best(self.texts @ self.images[self.found[0]["place"]], 6)

    def __repr__(self) -> str:
        return f"EmojiSearch({len(self.names)} pictures, {self.words[0]!r})"

    def _best(self, cosines: Tensor, k: int) -> list[dict]:
        """As `book/_static/js/model/search.js` answers."""
        best, places = cosines.topk(k)
        logits = best * self.model.logit_scale.detach().exp() + self.model.logit_bias.detach()
        columns = (places.tolist(), _rounded(best, 3), _rounded(logits.sigmoid(), 3))
        return [
            {"place": place, "name": self.names[place], "cosine": cosine, "probability": p}
            for place, cosine, p in zip(*columns, strict=True)
        ]

    def data(self) -> dict:
        return {
            "words": self.words,
            "found": self.found,
            "called": self.called,
            "sheet": [TILES, -(-len(self.names) // TILES)],
        }

    def fallback(self) -> str:
        """The pictures of the first answer in a row, and what they are called."""
        places = [each["place"] for each in self.found]
        strip = np.concatenate([self.drawings[place].pixels for place in places], axis=1)
        # A sheet has 256 colours: a byte a pixel
        colours, pixels = np.unique(strip.reshape(-1, 3), axis=0, return_inverse=True)
        row = Image.fromarray(pixels.astype(np.uint8).reshape(strip.shape[:2]))
        row.putpalette(colours.tobytes())
        names = ", ".join(
            f"{each['name']} ({100 * each['probability']:.0f}\u00a0%)" for each in self.found
        )
        words = escape(f"The {self.shown} best pictures for “{self.words[0]}”: {names}.")
        height, width = strip.shape[:2]
        artist = ARTISTS[self.artist]
        credit = (
            f'<a href="{artist.source}">{artist.title}</a>, © {artist.credit}, {artist.licence}'
        )
        return (
            f'<p>{words}</p>\n<img src="{_bitmap(row)}" alt="The same pictures, the best first"'
            f' width="{width}" height="{height}">\n<p class="es-credit">Drawings: {credit}.</p>'
        )


class Loaders(Touchable):
    """Workers that read for one GPU: choose how many, and how long a batch and a step take.

    Args:
        presets: Name -> milliseconds to read a batch, and milliseconds of a training step; the
            first is chosen to begin with.
    """

    tag = "loaders"

    def __init__(self, presets: dict[str, tuple[float, float]]):
        self.presets = presets

    def __repr__(self) -> str:
        return f"Loaders({', '.join(self.presets)})"

    def data(self) -> dict:
        return {"presets": [[name, *times] for name, times in self.presets.items()]}

    def fallback(self) -> str:
        heads = ("", "to read a batch", "a step", "GPU works, one worker", "workers needed")
        heading = "".join(f"<th>{head}</th>" for head in heads)
        rows = {
            name: [
                f"{read:,.0f} ms",
                f"{step:,.0f} ms",
                f"{100 * min(1, step / read):.0f}\u00a0%",
                math.ceil(read / step),
            ]
            for name, (read, step) in self.presets.items()
        }
        return _table(rows, f"<tr>{heading}</tr>")


class NaFlexGrid(Touchable):
    """A picture of any shape under NaFlex's patches: drag its shape, choose a budget.

    Args:
        shapes: Name -> width and height in pixels; the first is shown to begin with.
        budgets: Numbers of patches to choose from; the second is chosen to begin with.
    """

    tag = "naflex-grid"

    def __init__(self, shapes: dict[str, tuple[int, int]], budgets: Sequence[int]):
        self.shapes, self.budgets = shapes, list(budgets)

    def __repr__(self) -> str:
        return f"NaFlexGrid({', '.join(self.shapes)})"

    def data(self) -> dict:
        towers = {}
        for name in siglip2.list_models():
            vision = asdict(siglip2.get_config(name).vision)
            towers[name.split("-")[1]] = vision
        shapes = [[name, *size] for name, size in self.shapes.items()]
        return {"shapes": shapes, "budgets": self.budgets, "towers": towers}

    def fallback(self) -> str:
        budget = self.budgets[1]
        rows = {}
        for name, (width, height) in self.shapes.items():
            h, w = (side // 16 for side in siglip2.target_size(height, width, 16, budget))
            rows[name] = [f"{width} × {height}", f"{h} × {w}", budget - h * w]
        heads = ("", "pixels", f"rows × columns of at most {budget}", "padding")
        return _table(rows, "<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>")


class CheckpointChooser(Touchable):
    """All published checkpoints, and which of them fit: by task, languages, shapes, memory, speed.

    Args:
        checkpoints: What `siglip_lab.figures.ch24.checkpoints` gives.
    """

    tag = "checkpoint-chooser"

    def __init__(self, checkpoints: Sequence[dict]):
        self.checkpoints = list(checkpoints)

    def __repr__(self) -> str:
        return f"CheckpointChooser({len(self.checkpoints)} checkpoints)"

    def data(self) -> dict:
        return {"checkpoints": self.checkpoints}

    def fallback(self) -> str:
        heads = ("", "ImageNet", "COCO, by text", "GFLOPs", "million parameters")
        rows = {
            row["name"]: [
                *(row[key] if row[key] is not None else "–" for key in ("imagenet", "by_text")),
                f"{row['gflops']:,.0f}",
                f"{row['parameters'] / 1e6:,.0f}",
            ]
            for row in self.checkpoints
        }
        return _table(rows, "<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>")


class DigitPad(Touchable):
    """Draw a digit, and three answer: tiny, tiny after a lesson, and the nearest known digit.

    The lesson is LiT: the image tower is locked, and the text tower learns from 16 digits of each
    kind. In float64 it ends alike with any number of threads, to the digits that are written.

    Args:
        steps: How many steps of AdamW the lesson has.
        learning_rate: Of AdamW; with 3e-3 it gains a little more, but threads change the end.
    """

    tag = "digit-pad"
    shown = (368, 1153, 345, 1763, 660, 84)  # each of the three errs on some of these

    def __init__(self, steps: int = 200, learning_rate: float = 1e-3):
        self.digits = load_digits()
        self.known = self.digits.few(16, seed=0)
        model = SigLIP.from_pretrained("tiny", dtype=torch.float16).double()  # as the page has it
        processor = Processor.from_pretrained("tiny")
        self.ids = processor(text=[f"the digit {digit}" for digit in range(10)])["input_ids"]
        places = torch.cat([self.known, self.digits.test])
        pictures = [self.digits.pictures[place] for place in places]
        vectors = embed_images(model, processor, pictures)
        self.vectors = dict(zip(places.tolist(), vectors, strict=True))
        self.ink = 255 - torch.tensor(np.array([np.asarray(each)[..., 0] for each in pictures]))
        cosines = F.normalize(self.ink.double().flatten(1), dim=1)
        cosines = cosines[len(self.known) :] @ cosines[: len(self.known)].T
        self.nearest = self.digits.labels[self.known][cosines.argmax(dim=1)]  # [500]
        self.as_is = self._answers(model)
        self._teach(model, steps, learning_rate)
        self.taught = self._answers(model)

    def __repr__(self) -> str:
        return f"DigitPad({len(self.known)} known digits)"

    def _teach(self, model: SigLIP, steps: int, rate: float) -> None:
        labels = self.digits.labels[self.known][:, None] == torch.arange(10)  # [160, 10]
        x = torch.stack([self.vectors[place] for place in self.known.tolist()])
        model.lock("vision")
        learned = [p for p in model.parameters() if p.requires_grad]
        adamw = torch.optim.AdamW(learned, rate, (0.9, 0.95), weight_decay=0)
        for _ in range(steps):
            texts = model.encode_text(self.ids)
            loss = sigmoid_loss(x, texts, model.logit_scale, model.logit_bias, labels=labels)
            adamw.zero_grad()
            loss.backward()
            adamw.step()

    @torch.no_grad()
    def _answers(self, model: SigLIP) -> dict:
        """The captions' vectors, t and b; and which caption each test digit gets."""
        texts = model.encode_text(self.ids)
        tested = torch.stack([self.vectors[place] for place in self.digits.test.tolist()])
        return {
            "texts": [_rounded(row, 3) for row in texts],
            "t": round(model.logit_scale.exp().item(), 3),
            "b": round(model.logit_bias.item(), 3),
            "best": (tested @ texts.T).argmax(dim=1),
        }

    def _right(self) -> list[float]:
        own = self.digits.labels[self.digits.test]
        found = (self.as_is["best"], self.taught["best"], self.nearest)
        return [(best == own).double().mean().item() for best in found]

    def _pixels(self, places: Sequence[int]) -> dict:
        """Ink from 0 to 16, a letter for each pixel, from a on; and the labels."""
        grey = np.stack([np.asarray(self.digits.pictures[place])[..., 0] for place in places])
        ink = np.rint((255 - grey.astype(float)) * 16 / 255).astype(int)
        labels = "".join(str(self.digits.labels[place].item()) for place in places)
        return {"pixels": "".join(chr(ord("a") + n) for n in ink.flat), "labels": labels}

    def data(self) -> dict:
        as_is, taught = (
            {key: answers[key] for key in ("texts", "t", "b")}
            for answers in (self.as_is, self.taught)
        )
        return {
            "known": self._pixels(self.known.tolist()),
            "presets": self._pixels(self.shown),
            "asIs": as_is,
            "taught": taught,
            "right": [round(share, 3) for share in self._right()],
            "tested": len(self.digits.test),
            "image": _rounded(self.vectors[self.shown[0]], 4),
        }

    def fallback(self) -> str:
        """The first digit, what the three say of it, and how often each is right."""
        first = self.digits.test.tolist().index(self.shown[0])
        found = (self.as_is["best"], self.taught["best"], self.nearest)
        names = ("tiny, as it is", "tiny, taught", "raw pixels")
        rows = {
            name: [best[first].item(), f"{100 * share:.0f}\u00a0%"]
            for name, best, share in zip(names, found, self._right(), strict=True)
        }
        heading = f"<tr><th></th><th>says</th><th>right on {len(self.nearest)}</th></tr>"
        label = self.digits.labels[self.shown[0]].item()
        return (
            f'<img src="{_bitmap(self.digits.pictures[self.shown[0]])}" width="160" height="160"'
            f' alt="A handwritten {label} of 8 by 8 pixels">\n{_table(rows, heading)}'
        )


def _rounded(values: Tensor, digits: int = 5) -> list[float]:
    return [round(value, digits) for value in values.tolist()]


def _drawn(scene: Scene) -> dict:
    """The scene as the page's drawings have it."""
    stamps = [
        {"shape": scene.shape, "fill": scene.fill, "x": x, "y": y, "radius": r, "angle": angle}
        for (x, y), r, angle in zip(scene.centres, scene.radii, scene.angles, strict=True)
    ]
    return {"background": scene.background, "items": stamps}


def _in_bytes(tensor: Tensor, span: tuple[float, float] | None = None) -> dict:
    """256 steps from the least to the greatest number: for a small picture that is enough.

    Pixels have no more than that: with `span`, between these two, they stay what they are.
    """
    least, most = span or (tensor.min().item(), tensor.max().item())
    levels = ((tensor - least) / (most - least) * 255).round().byte()
    text = base64.b64encode(levels.contiguous().numpy().tobytes()).decode()
    step = (most - least) / 255
    return {
        "shape": [*tensor.shape],
        "least": round(least, 6),
        "step": round(step, 9),
        "bytes": text,
    }


class FirstLoss(Touchable):
    """The sigmoid loss at cosine 0 against the bias, with a handle; a photo's pull and push.

    Args:
        sizes: Numbers n of pairs in a batch; the last one's numbers are shown without scripts.
        starts: A bias to the loss, the pull on the own pair and the push on all others.
    """

    tag = "first-loss"

    def __init__(self, sizes: list[int], starts: dict[float, tuple[float, float, float]]):
        self.sizes, self.starts = sizes, starts
        heads = ["loss", "own pulled by", "all others pushed by"]
        named = {minus(f"b = {b:.0f}"): row for b, row in starts.items()}
        self.table = bars(named, heads, ",.2f", max(loss for loss, *_ in starts.values()))

    def __repr__(self) -> str:
        return repr(self.table)

    def data(self) -> dict:
        return {"sizes": self.sizes, "starts": list(self.starts)}

    def fallback(self) -> str:
        """The curves, and the numbers of both starts."""
        drawing = first_losses(self.sizes, sorted(self.starts))
        what = (
            "Two curves of the first loss against the bias. Each falls slowly from the left to its "
            "lowest point and rises steeply to the right of it."
        )
        return _still(drawing, what) + self.table._repr_html_()
