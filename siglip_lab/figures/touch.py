"""Figures to touch: custom elements for the site, with what is shown without scripts inside."""

from __future__ import annotations

import base64
import json
from dataclasses import astuple
from html import escape
from io import BytesIO

from torch import Tensor

from siglip_lab.clip.configs import CLIPConfig
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.figures.style import IMAGE, MISTAKE

__all__ = [
    "TextCleaner",
    "MergeSteps",
    "attention_map",
    "AttentionMap",
    "ParameterMap",
    "ShapeExplorer",
]


class TextCleaner:
    """A field to type in, on the site: three ways to clean a text, its pieces, its row of ids.

    Args:
        scores: Every piece with its log-probability, from id 3 on, in the order of the ids.
        tokenizer: The `Tokenizer` of the same vocabulary, for what is shown without scripts.
        text: What stands in the field to begin with.
    """

    def __init__(self, scores: dict[str, float], tokenizer, text: str):
        self.scores, self.text = scores, text
        self.pieces, self.ids = tokenizer.pieces(text), tokenizer.encode(text)

    def __repr__(self) -> str:
        return f"TextCleaner({len(self.scores)} pieces, {self.text!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: the pieces of the text."""
        vocabulary = " ".join(f"{piece} {score:.9g}" for piece, score in self.scores.items())
        cells = [("piece", self.pieces), ("id", self.ids)]
        rows = "".join(
            f"<tr><th scope='row'>{name}</th>"
            + "".join(f"<td>{escape(str(cell))}</td>" for cell in row)
            + "</tr>"
            for name, row in cells
        )
        return (
            f'<text-cleaner class="touchable" data-vocabulary="{escape(vocabulary)}"'
            f' data-text="{escape(self.text)}">\n<p>“{escape(self.text)}” becomes</p>\n'
            f"<table>{rows}</table>\n</text-cleaner>"
        )


class MergeSteps:
    """Byte pairs that join to pieces, to touch: choose a word, then go from merge to merge.

    Args:
        words: A word to its states and its ids. A state is a list of pieces and, for each pair of
            neighbours, its place in the list of merges, or None.
        word: The word that is chosen to begin with.
    """

    def __init__(self, words: dict[str, tuple[list[tuple[list[str], list]], list[int]]], word: str):
        self.words, self.word = words, word

    def __repr__(self) -> str:
        return f"MergeSteps({len(self.words)} words, {self.word!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: the states of one word."""
        states = {
            word: {"states": states, "ids": ids} for word, (states, ids) in self.words.items()
        }
        rows = "".join(
            f"<tr><th scope='row'>{step}</th><td>{escape(' '.join(pieces))}</td></tr>"
            for step, (pieces, _) in enumerate(self.words[self.word][0])
        )
        data = escape(json.dumps(states, separators=(",", ":")))
        return (
            f'<merge-steps class="touchable" data-word="{escape(self.word)}"'
            f' data-words="{data}">\n<p>“{escape(self.word)}”, merge by merge</p>\n'
            f"<table>{rows}</table>\n</merge-steps>"
        )


def attention_map(
    picture, weights: Tensor, patch_size: int, query: int = 0, layers=None, asker="the probe"
) -> AttentionMap:
    """Attention weights over a picture, to touch: choose the layer, the head and the query.

    Args:
        picture: A PIL image as the model receives it; pixels that no patch covers turn red.
        weights: Softmax weights `[layers, heads, queries, keys]`. The keys are the picture's
            patches, row by row; the queries are the same patches, or a single one. They are
            rounded to thousandths: float64 rounds alike on every machine, float32 nearly so.
        patch_size: Side of a patch in pixels.
        query: The patch that is marked to begin with.
        layers: Names of the layers; default: "layer 0" and so on.
        asker: Who looks where there is a single query.

    Raises:
        ValueError: If the weights do not fit the picture's patches.
    """
    side = picture.width // patch_size
    shape = tuple(weights.shape)
    if len(shape) != 4 or shape[2] not in (1, side**2) or shape[3] != side**2:
        raise ValueError(
            f"weights have shape {shape}; expected [layers, heads, {side**2} or 1, {side**2}] "
            f"for a picture of {picture.width} pixels and patches of {patch_size}"
        )
    layers = layers or [f"layer {i}" for i in range(shape[0])]
    thousandths = (weights.detach().cpu() * 1000).round().int()
    return AttentionMap(picture, thousandths, patch_size, query, layers, asker)


class AttentionMap:
    """What `attention_map` returns; shows itself in a notebook and, with buttons, on the site."""

    def __init__(self, picture, thousandths, patch_size, query, layers, asker):
        self.picture, self.thousandths, self.patch_size = picture, thousandths, patch_size
        self.query, self.layers, self.asker = query, layers, asker

    def __repr__(self) -> str:
        counts = zip(self.thousandths.shape, ("layers", "heads", "queries", "keys"), strict=True)
        return f"AttentionMap({', '.join(f'{count} {name}' for count, name in counts)})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: layer 0, mean of the heads."""
        data = {
            "weights": " ".join(map(str, self.thousandths.flatten().tolist())),
            "layers": "|".join(self.layers),
            "heads": self.thousandths.shape[1],
            "query": self.query,
            "asker": self.asker,
        }
        attributes = " ".join(f'data-{name}="{escape(str(data[name]))}"' for name in data)
        return f'<attention-map class="touchable" {attributes}>\n{self._svg()}\n</attention-map>'

    def _svg(self) -> str:
        """The picture under its grid, each patch with its share in percent under a veil."""
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
    picture.convert("RGB").save(file, "BMP")
    return "data:image/bmp;base64," + base64.b64encode(file.getvalue()).decode()


class ParameterMap:
    """Where a model's parameters sit, to touch: choose the model, then a part of it.

    Args:
        configs: Name to shape; the image tower is a ViT.
        model: The name that is chosen to begin with.
    """

    def __init__(self, configs: dict[str, SigLIPConfig | CLIPConfig], model: str):
        self.configs, self.model = configs, model

    def __repr__(self) -> str:
        return f"ParameterMap({len(self.configs)} models, {self.model!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: the parts of one model."""
        shapes = {}
        for name, config in self.configs.items():
            image, text = config.vision, config.text
            shapes[name] = {
                "clip": isinstance(config, CLIPConfig),
                "image": [
                    image.image_size, image.patch_size, image.width, image.depth, image.mlp_dim
                ],
                "text": [
                    text.vocab_size, text.context_length, text.width, text.depth, text.mlp_dim,
                    text.embed_dim,
                ],
            }  # fmt: skip
        count = count_parameters(self.configs[self.model])
        rows = [("whole model", count.total)]
        for words, tower in (("image tower", count.vision), ("text tower", count.text)):
            layers = sum(part.total for part in tower if part.name.startswith("layer "))
            rows += [(words, tower.total), (f"{words}: layers", layers)]
            rows += [
                (f"{words}: {part.name}", part.total)
                for part in tower
                if not part.name.startswith("layer ")
            ]
        table = "".join(
            f"<tr><th scope='row'>{name}</th><td>{number:,}</td></tr>" for name, number in rows
        )
        data = escape(json.dumps(shapes, separators=(",", ":")))
        return (
            f'<parameter-map class="touchable" data-model="{escape(self.model)}"'
            f' data-models="{data}">\n<p>{escape(self.model)}</p>\n'
            f"<table>{table}</table>\n</parameter-map>"
        )


class ShapeExplorer:
    """What a shape costs, to touch: depth, width, heads, MLP, patch and image size.

    Args:
        shapes: Name -> a model's shape, or an image tower's alone.
        shape: The name that is chosen to begin with.
    """

    def __init__(self, shapes: dict[str, SigLIPConfig | VisionConfig], shape: str):
        self.shapes, self.shape = shapes, shape

    def __repr__(self) -> str:
        return f"ShapeExplorer({len(self.shapes)} shapes, {self.shape!r})"

    def _repr_html_(self) -> str:
        """The custom element around what is shown without scripts: a table of image towers."""
        data, rows = {}, []
        for name, config in self.shapes.items():
            image = config if isinstance(config, VisionConfig) else config.vision
            numbers = astuple(image)
            data[name] = {"image": numbers, "text": None}
            if isinstance(config, SigLIPConfig):
                text = config.text
                data[name]["text"] = [
                    text.vocab_size, text.context_length, text.width, text.depth, text.mlp_dim,
                    text.embed_dim,
                ]  # fmt: skip
            # Any text tower will do: only the image tower is counted.
            text = TextConfig(1, 1, *numbers[2:])
            whole = SigLIPConfig(image, text)
            parameters, flops = count_parameters(whole).vision, count_flops(whole).vision
            cells = f"<td>{parameters.total:,}</td><td>{flops.total / 1e9:,.2f}</td>"
            rows.append(f"<tr><th scope='row'>{escape(name)}</th>{cells}</tr>")
        heading = "<tr><th>image tower</th><th>parameters</th><th>GFLOPs</th></tr>"
        shapes = escape(json.dumps(data, separators=(",", ":")))
        return (
            f'<shape-explorer class="touchable" data-shape="{escape(self.shape)}"'
            f' data-shapes="{shapes}">\n<table>{heading}{"".join(rows)}</table>\n</shape-explorer>'
        )
