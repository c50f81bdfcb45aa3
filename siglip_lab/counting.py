"""Parameters and floating-point operations of a SigLIP, by arithmetic on its config.

Nothing is built or run: each function writes down, part by part, what the matrices of a part hold
or cost, and adds it up. A product of `[N, K]` and `[K, M]` costs 2 N K M FLOPs: one multiplication
and one addition for each of N K M triples. Norms, activations and biases are left out of the FLOPs,
as in open_clip's profiles and PyTorch's `FlopCounterMode`.
"""

from __future__ import annotations

from siglip_lab.checks import check_integer, shown
from siglip_lab.configs import SigLIPConfig, TextConfig, TowerConfig, VisionConfig
from siglip_lab.counts import Count

__all__ = [
    "batch_flops", "count_flops", "count_parameters", "encoder_flops",
    "encoder_parameters", "image_flops", "text_flops", "text_parameters",
]  # fmt: skip


# ---- parameters ----


def count_parameters(config: SigLIPConfig) -> Count:
    """Count the learned numbers of a model, part by part.

    Args:
        config: The shape.

    Returns:
        A `Count` with parts "vision", "text" and "scalars", equal to the built model's
        ``sum(p.numel() for p in model.parameters())``.

    Raises:
        TypeError: If `config` is no `SigLIPConfig`.

    >>> import siglip_lab as sl
    >>> count = count_parameters(sl.get_config("siglip-so400m-patch14-384"))
    >>> count.total, count.vision["layer 0"].total
    (877960498, 15239504)
    """
    _check(config)
    vision, d = config.vision, config.vision.width
    image_tower = {
        "embeddings": {
            "patches": 3 * vision.patch_size**2 * d + d, "positions": vision.num_patches * d
        },
        **encoder_parameters(vision),
        "final norm": 2 * d,
        "head": {"probe": d, **_layer_parameters(vision), "norms": 2 * d},  # one instead of two
    }  # fmt: skip
    text_tower = text_parameters(config.text, config.embed_dim)
    scalars = {"logit scale": 1, "logit bias": 1}
    content = {"vision": image_tower, "text": text_tower, "scalars": scalars}
    return Count.of("parameters", content)


def text_parameters(config: TextConfig, embed_dim: int) -> dict:
    """The text tower's, part by part; its head has a bias."""
    d = config.width
    return {
        "embeddings": {"tokens": config.vocab_size * d, "positions": config.context_length * d},
        **encoder_parameters(config),
        "final norm": 2 * d,
        "head": d * embed_dim + embed_dim,
    }


def encoder_parameters(config: TowerConfig) -> dict:
    """Those of all layers, "layer 0" and on."""
    return {f"layer {i}": _layer_parameters(config) for i in range(config.depth)}


def _layer_parameters(config: TowerConfig) -> dict:
    d, m = config.width, config.mlp_dim
    return {
        "norms": 2 * 2 * d,  # two, each with a weight and a bias
        "attention": 4 * (d * d + d),  # q, k, v, out
        "mlp": (d * m + m) + (m * d + d),
    }


# ---- floating-point operations ----


def count_flops(
    config: SigLIPConfig,
    images: int = 1,
    texts: int = 1,
    training: bool = False,
    attention_maps: bool = True,
) -> Count:
    """Count the FLOPs of one pass over a batch: two for each multiply-add of a matrix product.

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
        TypeError: If `config` is no `SigLIPConfig`, or a number no integer.
        ValueError: If a number is negative.

    Source: the digits of open_clip's ``docs/model_profile.csv``.

    >>> import siglip_lab as sl
    >>> config = sl.get_config("siglip-so400m-patch14-384")
    >>> round(count_flops(config, texts=0).total / 1e9, 2)  # GFLOPs of an image
    670.35
    """
    _check(config)
    image_tower = image_flops(config.vision, config.vision.num_patches)
    text_tower, e = text_flops(config.text, config.embed_dim), config.embed_dim
    return batch_flops(image_tower, text_tower, e, images, texts, training, attention_maps)


def image_flops(config: VisionConfig, n: int) -> dict:
    """Those of one image of n tokens, part by part."""
    d, m = config.width, config.mlp_dim
    return {
        "embeddings": {"patches": n * 2 * 3 * config.patch_size**2 * d},
        **encoder_flops(config, n),
        "head": {
            "attention": 2 * (2 * d * d) + n * 2 * (2 * d * d),  # q, out; k, v of all tokens
            "attention map": 2 * (2 * n * d),
            "mlp": 2 * (2 * d * m),
        },
    }


def text_flops(config: TextConfig, embed_dim: int) -> dict:
    """Those of one text, part by part."""
    head = {"head": 2 * config.width * embed_dim}  # one token's
    return encoder_flops(config, config.context_length) | head


def encoder_flops(config: TowerConfig, n: int) -> dict:
    """Those of all layers for one sequence of n tokens, "layer 0" and on."""
    d, m = config.width, config.mlp_dim
    layer = {
        "attention": n * 4 * (2 * d * d),  # q, k, v, out
        "attention map": 2 * (2 * n * n * d),  # q k^T, map v; over all heads
        "mlp": n * 2 * (2 * d * m),
    }
    return {f"layer {i}": layer for i in range(config.depth)}


def batch_flops(
    vision: dict,
    text: dict,
    embed_dim: int,
    images: int,
    texts: int,
    training: bool,
    attention_maps: bool,
) -> Count:
    """From one image's FLOPs and one text's to a batch's; arguments as for `count_flops`."""
    check_integer("images", images, least=0)
    check_integer("texts", texts, least=0)
    passes = 3 if training else 1
    vision = _times(vision, images * passes, attention_maps)
    text = _times(text, texts * passes, attention_maps)
    if training:  # what is fed to these needs no gradient
        part = next(iter(vision.values()))
        for name in part.keys() & {"patches", "positions", "convolution 0"}:
            part[name] = part[name] * 2 // 3
    logits = passes * images * texts * 2 * embed_dim
    return Count.of("FLOPs", {"vision": vision, "text": text, "logits": logits})


def _times(content: dict, factor: int, maps: bool) -> dict:
    return {
        name: part * factor if isinstance(part, int) else _times(part, factor, maps)
        for name, part in content.items()
        if maps or name != "attention map"
    }


def _check(config: SigLIPConfig) -> None:
    if not isinstance(config, SigLIPConfig):
        raise TypeError(f"config must be a SigLIPConfig, got {shown(repr(config))}")
