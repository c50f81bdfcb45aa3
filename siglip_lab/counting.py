"""Parameters, floating-point operations and bytes of a model, by arithmetic on its config.

Chapter "Counting". Nothing is built or run: each function writes down, part by part, what the
matrices of a part hold or cost, and adds it up. A matrix product of `[N, K]` and `[K, M]` costs
2 N K M FLOPs: one multiplication and one addition for each of N K M pairs. Norms, activations and
biases are left out of the FLOPs, as in open_clip's profiles and PyTorch's `FlopCounterMode`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from siglip_lab.checks import check_integer
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig

__all__ = ["Count", "compare", "count_bytes", "count_flops", "count_parameters"]


@dataclass(frozen=True, repr=False)
class Count:
    """A number and the parts that it is the sum of; shows itself as a tree.

    ``count["vision"]["layer 0"]["mlp"]`` is a part, ``count.vision`` is short for
    ``count["vision"]``, and iterating gives the parts. Equal layers are shown on one line.
    """

    name: str
    unit: str  # "parameters", "FLOPs" or "bytes"
    total: int
    parts: tuple[Count, ...] = ()

    @property
    def vision(self) -> Count:
        """The image tower's part."""
        return self["vision"]

    @property
    def text(self) -> Count:
        """The text tower's part."""
        return self["text"]

    def __getitem__(self, name: str) -> Count:
        for part in self.parts:
            if part.name == name:
                return part
        names = ", ".join(part.name for part in self.parts) or "none"
        raise KeyError(f"{self.name!r} has no part {name!r}; parts: {names}")

    def __iter__(self) -> Iterator[Count]:
        return iter(self.parts)

    def to_dict(self) -> dict:
        """Nested plain dicts, ready for JSON: ``{"total": …, "vision": {"total": …, …}, …}``."""
        return {"total": self.total} | {part.name: part.to_dict() for part in self.parts}

    def __repr__(self) -> str:
        return compare({"number": self})


def _count(name: str, unit: str, content: int | dict) -> Count:
    """A tree from nested dicts whose leaves are integers."""
    if isinstance(content, int):
        return Count(name, unit, content)
    parts = tuple(_count(key, unit, value) for key, value in content.items())
    return Count(name, unit, sum(part.total for part in parts), parts)


# ---- parameters ----


def count_parameters(config: SigLIPConfig | CLIPConfig) -> Count:
    """Learned numbers of a model, part by part.

    Args:
        config: The shape; CLIP's are counted as openai/CLIP builds them. The running statistics of
            a ResNet's batch norms are not learned, and not counted.

    Returns:
        A `Count` with parts "vision", "text" and "scalars", equal to the built model's
        ``sum(p.numel() for p in model.parameters())``.

    Raises:
        TypeError: If `config` is no such config.

    >>> import siglip_lab as sl
    >>> count = count_parameters(sl.get_config("siglip-so400m-patch14-384"))
    >>> count.total, count.vision["layer 0"].total
    (877960498, 15239504)
    """
    _check_config(config)
    clip, vision, text = isinstance(config, CLIPConfig), config.vision, config.text
    if isinstance(vision, ResNetConfig):
        image_tower = _resnet_parameters(vision, config.embed_dim)
    else:
        d, patch_values = vision.width, 3 * vision.patch_size**2
        embeddings = {"patches": patch_values * d + d, "positions": vision.num_patches * d}
        head = {"probe": d} | _layer_parameters(vision)
        head["norms"] = 2 * d  # one instead of two
        if clip:
            embeddings = {
                "patches": patch_values * d,  # no bias
                "class token": d,
                "positions": (1 + vision.num_patches) * d,
                "norm": 2 * d,
            }
            head = d * config.embed_dim  # no bias
        layers = _layers(vision, _layer_parameters(vision))
        image_tower = {"embeddings": embeddings, **layers, "final norm": 2 * d, "head": head}
    d = text.width
    text_tower = {
        "embeddings": {"tokens": text.vocab_size * d, "positions": text.context_length * d},
        **_layers(text, _layer_parameters(text)),
        "final norm": 2 * d,
        "head": d * config.embed_dim + (0 if clip else config.embed_dim),
    }
    scalars = {"logit scale": 1} if clip else {"logit scale": 1, "logit bias": 1}
    content = {"vision": image_tower, "text": text_tower, "scalars": scalars}
    return _count("total", "parameters", content)


def _layer_parameters(config: VisionConfig | TextConfig) -> dict:
    d, m = config.width, config.mlp_dim
    return {
        "norms": 2 * 2 * d,  # two, each with a weight and a bias
        "attention": 4 * (d * d + d),  # q, k, v, out
        "mlp": (d * m + m) + (m * d + d),
    }


def _layers(config: VisionConfig | TextConfig, layer: int | dict) -> dict:
    return {f"layer {i}": layer for i in range(config.depth)}


def _resnet_parameters(config: ResNetConfig, embed_dim: int) -> dict:
    tower, d = _resnet_convolutions(config), config.feature_dim
    for stage in tower.values():
        for block, convolutions in stage.items():
            stage[block] = sum(
                kernel**2 * channels_in * channels_out + 2 * channels_out  # and a batch norm's
                for kernel, channels_in, channels_out, _ in convolutions
            )
    positions = (1 + config.grid_size**2) * d  # the mean, too, has one
    projections = 3 * (d * d + d) + d * embed_dim + embed_dim
    return tower | {"head": {"positions": positions, "attention": projections}}


def _resnet_convolutions(config: ResNetConfig) -> dict:
    """Stage, block -> a list of (kernel, channels in, channels out, side of its output)."""
    width, size = config.width, config.image_size // 2  # the first convolution has stride 2
    half = width // 2
    stem = [(3, 3, half, size), (3, half, half, size), (3, half, width, size)]
    tower = {"stem": {f"convolution {i}": [convolution] for i, convolution in enumerate(stem)}}
    channels, size = width, size // 2
    for stage, depth in enumerate(config.layers):
        tower[f"stage {stage}"] = blocks = {}
        inner, outer = width * 2**stage, 4 * width * 2**stage
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1  # an average pooling after the 3x3
            convolutions = [(1, channels, inner, size), (3, inner, inner, size)]
            size //= stride
            convolutions.append((1, inner, outer, size))
            if block == 0:  # the shortcut changes size
                convolutions.append((1, channels, outer, size))
            blocks[f"block {block}"], channels = convolutions, outer
    return tower


# ---- floating-point operations ----


def count_flops(
    config: SigLIPConfig | CLIPConfig,
    images: int = 1,
    texts: int = 1,
    training: bool = False,
    attention_maps: bool = True,
) -> Count:
    """FLOPs of one pass over a batch: two for each multiply-add of its matrix products.

    Args:
        config: The shape.
        images: Number of images; 0 leaves the image tower out.
        texts: Number of texts, each of full length; 0 leaves the text tower out.
        training: Count forward and backward. Backward takes two more products for each, for the
            gradients of its two factors; only the first convolution, fed with pixels, takes one.
            The logits are counted as a dense product; the loss is not.
        attention_maps: Count the products ``q k^T`` and ``map v``, whose cost grows with the square
            of the number of tokens. In training, fused attention computes the maps once more.

    Returns:
        A `Count` with parts "vision", "text" and "logits".

    Raises:
        TypeError: If `config` is no such config, or a number no integer.
        ValueError: If a number is negative.

    Source: for SigLIP and CLIP's ViTs, the digits of open_clip's ``docs/model_profile.csv``. For
    CLIP's ResNets, open_clip lets all tokens of the attention pooling ask, though only the first is
    read: its numbers are larger by what `AttentionPool2d` does not compute.

    >>> import siglip_lab as sl
    >>> config = sl.get_config("siglip-so400m-patch14-384")
    >>> round(count_flops(config, texts=0).total / 1e9, 2)  # GFLOPs of an image
    670.35
    """
    _check_config(config)
    check_integer("images", images, least=0)
    check_integer("texts", texts, least=0)
    clip, vision, text = isinstance(config, CLIPConfig), config.vision, config.text
    if isinstance(vision, ResNetConfig):
        part, first, image_tower = "stem", "convolution 0", _resnet_flops(vision, config.embed_dim)
    else:
        part, first = "embeddings", "patches"
        n, d, m = vision.num_patches, vision.width, vision.mlp_dim
        head = {
            "attention": 2 * (2 * d * d) + n * 2 * (2 * d * d),  # q, out; k, v of all tokens
            "attention map": 2 * (2 * n * d),
            "mlp": 2 * (2 * d * m),
        }
        image_tower = {
            "embeddings": {"patches": n * 2 * 3 * vision.patch_size**2 * d},
            **_layers(vision, _layer_flops(vision, n + 1 if clip else n)),  # a class token
            "head": 2 * d * config.embed_dim if clip else head,
        }
    text_tower = {
        **_layers(text, _layer_flops(text, text.context_length)),
        "head": 2 * text.width * config.embed_dim,  # one token's
    }
    passes = 3 if training else 1
    content = {
        "vision": _times(image_tower, images * passes),
        "text": _times(text_tower, texts * passes),
        "logits": passes * images * texts * 2 * config.embed_dim,
    }
    if training:
        content["vision"][part][first] = 2 * images * image_tower[part][first]
    if not attention_maps:
        content = _without(content, "attention map")
    return _count("total", "FLOPs", content)


def _layer_flops(config: VisionConfig | TextConfig, n: int) -> dict:
    d, m = config.width, config.mlp_dim
    return {
        "attention": n * 4 * (2 * d * d),  # q, k, v, out
        "attention map": 2 * (2 * n * n * d),  # q k^T, map v; over all heads
        "mlp": n * 2 * (2 * d * m),
    }


def _resnet_flops(config: ResNetConfig, embed_dim: int) -> dict:
    tower, n, d = _resnet_convolutions(config), 1 + config.grid_size**2, config.feature_dim
    for stage in tower.values():
        for block, convolutions in stage.items():
            stage[block] = sum(
                size**2 * 2 * kernel**2 * channels_in * channels_out
                for kernel, channels_in, channels_out, size in convolutions
            )
    attention = 2 * d * d + n * 2 * (2 * d * d) + 2 * d * embed_dim  # q; k, v of all tokens; out
    return tower | {"head": {"attention": attention, "attention map": 2 * (2 * n * d)}}


def _times(content: int | dict, factor: int) -> int | dict:
    if isinstance(content, int):
        return content * factor
    return {key: _times(value, factor) for key, value in content.items()}


def _without(content: int | dict, name: str) -> int | dict:
    if isinstance(content, int):
        return content
    return {key: _without(value, name) for key, value in content.items() if key != name}


# ---- bytes ----


def count_bytes(
    config: SigLIPConfig,
    dtype: torch.dtype = torch.float32,
    batch: int = 1,
    training: bool = False,
    attention_maps: bool = False,
    checkpointing: bool = False,
) -> Count:
    """Memory of a SigLIP at the fullest moment of an inference or of a training step.

    Args:
        config: The shape.
        dtype: Floating type of weights, gradients, optimizer state and activations. Logit scale and
            bias, as in `load_model`, stay in float32 at least.
        batch: Number of images, and of texts.
        training: Count gradients, AdamW's two moments, and the activations that backward needs:
            a step whose gradients exist before backward starts, as when they are accumulated, and
            whose optimizer is fused. The loss's own tensors come on top.
        attention_maps: The attention stores its maps ``[B, heads, N, N]`` (PyTorch's "math"
            attention, in at least float32), instead of making them block by block ("fused").
        checkpointing: Keep each layer's input alone, and compute the layer again in backward.

    Returns:
        A `Count` with parts "weights", "inputs" and "working memory", in training also "gradients",
        "AdamW" and "activations". All are exact but the working memory, which is what the largest
        layer needs for itself while it is computed, an estimate.

    Raises:
        TypeError: If `config` is no `SigLIPConfig`, `dtype` no floating type, `batch` no integer.
        ValueError: If `batch` is below 1, or checkpointing is asked for without training.

    >>> import siglip_lab as sl
    >>> config = sl.get_config("siglip-so400m-patch14-384")
    >>> count_bytes(config, torch.bfloat16)["weights"].total / 1e9
    1.755921
    """
    if not isinstance(config, SigLIPConfig):
        raise TypeError(f"config must be a SigLIPConfig, got {config!r}")
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating torch.dtype, got {dtype!r}")
    check_integer("batch", batch)
    if checkpointing and not training:
        raise ValueError("checkpointing saves what backward needs: it goes with training=True")
    vision, text, size = config.vision, config.text, dtype.itemsize
    pixels = 3 * vision.image_size**2
    inputs = {"pixel values": batch * pixels * 4, "input ids": batch * text.context_length * 8}
    content = {"weights": _weights(config, size), "inputs": inputs}
    towers = {"vision": (vision, vision.num_patches), "text": (text, text.context_length)}
    if not training:
        needs = [_forward_bytes(*tower, size, attention_maps) for tower in towers.values()]
        return _count("total", "bytes", content | {"working memory": batch * max(needs)})
    content["gradients"] = _weights(config, size)
    content["AdamW"] = dict.fromkeys(("first moment", "second moment"), _weights(config, size))
    saved, needs = {}, {}
    for name, (tower, n) in towers.items():
        layer = _saved_by_layer(tower, n, size, attention_maps)
        kept = n * tower.width * size if checkpointing else layer
        saved[name] = {
            **_layers(tower, batch * kept),
            "final norm": batch * (n * 2 * tower.width * size + n * 2 * size),
            "head": batch * _saved_by_head(tower, n, size, attention_maps),
        }
        backward = _backward_bytes(tower, n, size, attention_maps)
        needs[name] = batch * (layer - kept + backward)
    if dtype != torch.float32:
        saved["pixels"] = batch * pixels * size  # converted
    content["activations"] = saved
    # The text tower ran last: its backward comes first, and frees its activations.
    freed = sum(saved["text"].values())
    table = text.vocab_size * text.width * size  # the token embedding's new gradient
    content["working memory"] = max(needs["text"], table - freed, needs["vision"] - freed)
    return _count("total", "bytes", content)


def _weights(config: SigLIPConfig, size: int) -> dict:
    count = count_parameters(config)
    scalars = count["scalars"].total * max(size, 4)
    return {
        "vision": count.vision.total * size, "text": count.text.total * size, "scalars": scalars,
    }  # fmt: skip


def _saved_by_layer(config: VisionConfig | TextConfig, n: int, size: int, maps: bool) -> int:
    """Bytes that autograd keeps of one layer and one sequence of n tokens."""
    d, m, exact = config.width, config.mlp_dim, max(size, 4)
    norms = 2 * (2 * n * d + 2 * n) * size  # input and output; a mean and a deviation each token
    mlp = 2 * n * m * size  # before and after the GELU
    output = n * d * size
    return norms + mlp + output + _saved_by_attention(config, n, n, size, exact, maps)


def _saved_by_attention(config, queries, n, size, exact, maps) -> int:
    """q, k, v, and the map or its rows' sums."""
    values = (queries + 2 * n) * config.width
    if maps:
        return (values + config.num_heads * queries * n) * exact
    return values * size + config.num_heads * queries * exact


def _saved_by_head(config: VisionConfig | TextConfig, n: int, size: int, maps: bool) -> int:
    exact = max(size, 4)
    if isinstance(config, TextConfig):
        return (config.embed_dim + 2) * exact  # what is normalised, and its length
    d, m = config.width, config.mlp_dim
    mlp = (3 * d + 2 + 2 * m) * size  # attention's output, norm, MLP: one token's
    return mlp + _saved_by_attention(config, 1, n, size, exact, maps) + (d + 2) * exact


def _forward_bytes(config: VisionConfig | TextConfig, n: int, size: int, maps: bool) -> int:
    """What is alive at once while a layer computes its MLP or its attention maps."""
    d, m, exact = config.width, config.mlp_dim, max(size, 4)
    mlp = n * (4 * d + 2 * m) * size  # embeddings, layer's input, residual, its norm
    attention = n * 9 * d * exact + 2 * config.num_heads * n * n * exact  # before, after softmax
    return max(mlp, attention if maps else 0)


def _backward_bytes(config: VisionConfig | TextConfig, n: int, size: int, maps: bool) -> int:
    """Gradients alive at once in a layer's backward, less what has been freed by then."""
    d, m, exact = config.width, config.mlp_dim, max(size, 4)
    mlp = n * 2 * d * size
    attention = 2 * config.num_heads * n * n * exact - n * (6 * d + 2 * m) * size
    return max(mlp, attention if maps else 0)


def _check_config(config) -> None:
    if not isinstance(config, (SigLIPConfig, CLIPConfig)):
        raise TypeError(f"config must be a SigLIPConfig or a CLIPConfig, got {config!r}")


# ---- tables ----


def compare(counts: dict[str, Count]) -> str:
    """Trees side by side, with each part's share of the total; equal layers share a line.

    Args:
        counts: Heading of a column -> a count.

    Returns:
        Lines of text.

    Raises:
        ValueError: If there is no count, or they are of different units.

    >>> import siglip_lab as sl
    >>> names = {"B/16": "siglip-base-patch16-224", "So400m": "siglip-so400m-patch14-384"}
    >>> print(compare({k: count_parameters(sl.get_config(v))["scalars"] for k, v in names.items()}))
    parameters     B/16   share  So400m   share
    total             2  100.0%       2  100.0%
      logit scale     1   50.0%       1   50.0%
      logit bias      1   50.0%       1   50.0%
    """
    units = {count.unit for count in counts.values()}
    if len(units) != 1:
        raise ValueError(f"expected one or more counts of one unit, got {sorted(units)}")
    rows = [(*units, *(part for heading in counts for part in (heading, "share")))]
    totals = [count.total or 1 for count in counts.values()]
    for depth, name, cells in _rows("total", [(1, count) for count in counts.values()], 0):
        row = ["  " * depth + name]
        for (times, count), total in zip(cells, totals, strict=True):
            number = f"{times} x " if times > 1 else ""
            row.append(f"{number}{count.total:,}" if count else "-")
            row.append(f"{times * count.total / total:.1%}" if count else "")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    )


def _rows(name: str, cells: list[tuple[int, Count | None]], depth: int) -> Iterator[tuple]:
    """(depth, name, one (times, count) for each tree), from the top down."""
    yield depth, name, cells
    children = [_folded(count) for _, count in cells]
    for key in dict.fromkeys(key for parts in children for key in parts):
        found = [parts.get(key, (1, None)) for parts in children]
        below = [(n * times, part) for (n, part), (times, _) in zip(found, cells, strict=True)]
        label = f"{key} …" if any(n > 1 for n, _ in found) else key
        yield from _rows(label, below, depth + 1)


def _folded(count: Count | None) -> dict[str, tuple[int, Count]]:
    """Name of a part -> how many equal ones begin with it, and the part."""
    runs: list[tuple[int, Count]] = []
    for part in count or ():
        times, first = runs[-1] if runs else (0, None)
        stem = part.name.rstrip("0123456789")
        numbered = first and stem == first.name.rstrip("0123456789") != first.name
        if numbered and (part.total, part.parts) == (first.total, first.parts):
            runs[-1] = (times + 1, first)
        else:
            runs.append((1, part))
    return {part.name: (times, part) for times, part in runs}
