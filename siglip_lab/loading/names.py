"""What big_vision, open_clip and timm call the parameters of SigLIP, pair by pair.

One generator for each tower of each library yields our name, theirs (several, where we hold in one
what they hold in parts), and what turns their tensors into ours.

Sources: big_vision, ``models/vit.py``, ``models/proj/image_text/two_towers.py``, ``naflex_vit.py``
and ``text_transformer.py``; open_clip, ``transformer.py`` (``TextTransformer``) and ``convert.py``;
timm, ``models/vision_transformer.py``, ``naflexvit.py`` and ``layers/attention_pool.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from siglip_lab.configs import TextConfig, VisionConfig

__all__ = [
    "BIG_VISION", "OPEN_CLIP", "Library", "Row", "big_vision_image_names", "big_vision_text_names",
    "open_clip_image_names", "open_clip_text_names",
]  # fmt: skip

Rearrange = Callable[..., Tensor]
Row = tuple[str, tuple[str, ...], Rearrange]  # our name, theirs, and their tensors to ours
_QKV = ("query", "key", "value")


# ---- arrangements: from their tensors to ours ----------------------------------------------------

_same: Rearrange = Tensor.contiguous
_transposed: Rearrange = Tensor.t  # [in, out] to [out, in]


def _table(x: Tensor) -> Tensor:  # [1, N, D], or NaFlex's [S, S, D], to [N, D]
    return x.flatten(0, -2)


def _kernel(x: Tensor) -> Tensor:  # [P, P, 3, D] to [D, 3, P, P]; NaFlex's [P * P * 3, D]
    return x.t() if x.ndim == 2 else x.permute(3, 2, 0, 1)


def _third(number: int) -> Rearrange:  # q, k or v of [3D, D]
    return lambda x: x.chunk(3)[number]


def _merged(axis: int, heads: int) -> Rearrange:
    """[D, heads, D / heads] or [heads, D / heads, D] to [D, D], [heads, D / heads] to [D]."""

    def merge(x: Tensor) -> Tensor:
        if x.shape[axis] != heads:
            raise ValueError(f"expected {heads} heads")
        return x.flatten(axis, axis + 1).t()

    return merge


def _packed(rearrange: Rearrange) -> Rearrange:  # several, one below the other
    return lambda *parts: torch.cat([rearrange(part) for part in parts])


# ---- big_vision (flax) ---------------------------------------------------------------------------


def _flax_dense(ours: str, theirs: str) -> Iterator[Row]:
    yield f"{ours}.weight", (f"{theirs}/kernel",), _transposed
    yield f"{ours}.bias", (f"{theirs}/bias",), _same


def _flax_norm(ours: str, theirs: str) -> Iterator[Row]:
    yield f"{ours}.weight", (f"{theirs}/scale",), _same
    yield f"{ours}.bias", (f"{theirs}/bias",), _same


def _flax_encoder(theirs: str, config: VisionConfig | TextConfig) -> Iterator[Row]:
    heads = config.num_heads
    for i in range(config.depth):
        layer, block = f"encoder.layers.{i}", f"{theirs}/encoderblock_{i}"
        yield from _flax_norm(f"{layer}.layer_norm1", f"{block}/LayerNorm_0")
        attention = f"{block}/MultiHeadDotProductAttention_0"
        for name in _QKV:
            projection = f"{layer}.self_attn.{name[0]}_proj"
            yield f"{projection}.weight", (f"{attention}/{name}/kernel",), _merged(1, heads)
            yield f"{projection}.bias", (f"{attention}/{name}/bias",), _merged(0, heads)
        out = f"{layer}.self_attn.out_proj"
        yield f"{out}.weight", (f"{attention}/out/kernel",), _merged(0, heads)
        yield f"{out}.bias", (f"{attention}/out/bias",), _same
        yield from _flax_norm(f"{layer}.layer_norm2", f"{block}/LayerNorm_1")
        yield from _flax_dense(f"{layer}.mlp.fc1", f"{block}/MlpBlock_0/Dense_0")
        yield from _flax_dense(f"{layer}.mlp.fc2", f"{block}/MlpBlock_0/Dense_1")


def big_vision_image_names(config: VisionConfig) -> Iterator[Row]:
    """Pair our names of the image tower with big_vision's."""
    kernel = "img/embedding/kernel"
    yield "embeddings.patch_embedding.weight", (kernel,), _kernel
    yield "embeddings.patch_embedding.bias", ("img/embedding/bias",), _same
    yield "embeddings.position_embedding.weight", ("img/pos_embedding",), _table
    yield from _flax_encoder("img/Transformer", config)
    yield from _flax_norm("post_layernorm", "img/Transformer/encoder_norm")
    head, attention = "img/MAPHead_0", "img/MAPHead_0/MultiHeadDotProductAttention_0"
    yield "head.probe", (f"{head}/probe",), _same
    kernels = tuple(f"{attention}/{name}/kernel" for name in _QKV)
    biases = tuple(f"{attention}/{name}/bias" for name in _QKV)
    yield "head.attention.in_proj_weight", kernels, _packed(_merged(1, config.num_heads))
    yield "head.attention.in_proj_bias", biases, _packed(_merged(0, config.num_heads))
    out = f"{attention}/out"
    yield "head.attention.out_proj.weight", (f"{out}/kernel",), _merged(0, config.num_heads)
    yield "head.attention.out_proj.bias", (f"{out}/bias",), _same
    yield from _flax_norm("head.layernorm", f"{head}/LayerNorm_0")
    yield from _flax_dense("head.mlp.fc1", f"{head}/MlpBlock_0/Dense_0")
    yield from _flax_dense("head.mlp.fc2", f"{head}/MlpBlock_0/Dense_1")


def big_vision_text_names(config: TextConfig) -> Iterator[Row]:
    """Pair our names of the text tower with big_vision's."""
    yield "embeddings.token_embedding.weight", ("txt/Embed_0/embedding",), _same
    yield "embeddings.position_embedding.weight", ("txt/pos_embedding",), _table
    yield from _flax_encoder("txt/Encoder_0", config)
    yield from _flax_norm("final_layer_norm", "txt/Encoder_0/encoder_norm")
    yield from _flax_dense("head", "txt/head")


# ---- open_clip and timm (torch) ------------------------------------------------------------------


def _torch(ours: str, theirs: str) -> Iterator[Row]:
    for kind in ("weight", "bias"):
        yield f"{ours}.{kind}", (f"{theirs}.{kind}",), _same


def _torch_layer(ours: str, theirs: dict[str, str]) -> Iterator[Row]:
    """One encoder layer: what they call its parts, by our names of these."""
    for part, name in theirs.items():
        if part != "qkv":
            yield from _torch(f"{ours}.{part}", name)
    for number, letter in enumerate("qkv"):
        for kind in ("weight", "bias"):
            projection = f"{ours}.self_attn.{letter}_proj.{kind}"
            yield projection, (theirs["qkv"] + kind,), _third(number)


def open_clip_image_names(config: VisionConfig) -> Iterator[Row]:
    """Pair our names of the image tower with open_clip's: timm's, after "visual.trunk."."""
    trunk, pool = "visual.trunk", "visual.trunk.attn_pool"
    yield from _torch("embeddings.patch_embedding", f"{trunk}.patch_embed.proj")
    yield "embeddings.position_embedding.weight", (f"{trunk}.pos_embed",), _table
    for i in range(config.depth):
        block = f"{trunk}.blocks.{i}"
        theirs = {
            "layer_norm1": f"{block}.norm1", "layer_norm2": f"{block}.norm2",
            "self_attn.out_proj": f"{block}.attn.proj", "qkv": f"{block}.attn.qkv.",
            "mlp.fc1": f"{block}.mlp.fc1", "mlp.fc2": f"{block}.mlp.fc2",
        }  # fmt: skip
        yield from _torch_layer(f"encoder.layers.{i}", theirs)
    yield from _torch("post_layernorm", f"{trunk}.norm")
    yield "head.probe", (f"{pool}.latent",), _same
    for kind in ("weight", "bias"):
        packed = (f"{pool}.q.{kind}", f"{pool}.kv.{kind}")
        yield f"head.attention.in_proj_{kind}", packed, _packed(_same)
    yield from _torch("head.attention.out_proj", f"{pool}.proj")
    yield from _torch("head.layernorm", f"{pool}.norm")
    yield from _torch("head.mlp.fc1", f"{pool}.mlp.fc1")
    yield from _torch("head.mlp.fc2", f"{pool}.mlp.fc2")


def open_clip_text_names(config: TextConfig) -> Iterator[Row]:
    """Pair our names of the text tower with open_clip's."""
    yield "embeddings.token_embedding.weight", ("text.token_embedding.weight",), _same
    yield "embeddings.position_embedding.weight", ("text.positional_embedding",), _same
    for i in range(config.depth):
        block = f"text.transformer.resblocks.{i}"
        theirs = {
            "layer_norm1": f"{block}.ln_1", "layer_norm2": f"{block}.ln_2",
            "self_attn.out_proj": f"{block}.attn.out_proj", "qkv": f"{block}.attn.in_proj_",
            "mlp.fc1": f"{block}.mlp.c_fc", "mlp.fc2": f"{block}.mlp.c_proj",
        }  # fmt: skip
        yield from _torch_layer(f"encoder.layers.{i}", theirs)
    yield from _torch("final_layer_norm", "text.ln_final")
    yield from _torch("head", "text.text_projection")


# ---- the two of them -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """What a library calls the parts of a model, and what begins the names of each part."""

    image_names: Callable[[VisionConfig], Iterator[Row]]
    text_names: Callable[[TextConfig], Iterator[Row]]
    image: str
    text: str
    image_layers: str
    text_layers: str
    text_head: str
    scalars: tuple[str, str]  # logit_scale, logit_bias


BIG_VISION = Library(
    big_vision_image_names, big_vision_text_names, "img/", "txt/",
    "img/Transformer/encoderblock_", "txt/Encoder_0/encoderblock_", "txt/head", ("t", "b"),
)  # fmt: skip
OPEN_CLIP = Library(
    open_clip_image_names, open_clip_text_names, "visual.", "text.",
    "visual.trunk.blocks.", "text.transformer.resblocks.", "text.text_projection",
    ("logit_scale", "logit_bias"),
)  # fmt: skip
