"""SigLIP files of other libraries: big_vision's ``.npz``, open_clip's and timm's state dicts.

Chapter "The real model". The original files, and open_clip's, hold the same numbers as the
Hugging Face folders, under other names and in other shapes. A file is recognised by its names, the
shape of both towers is read off its tensors, and reading is strict: if a name is missing or left
over, or a shape is wrong, nothing is loaded. No code from a file is ever run.

Sources: big_vision, ``models/vit.py``, ``models/proj/image_text/two_towers.py`` and
``text_transformer.py``; open_clip, ``transformer.py`` (``TextTransformer``) and ``convert.py``;
timm, ``models/vision_transformer.py`` and ``layers/attention_pool.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file as load_safetensors
from torch import Tensor

from siglip_lab.checks import CheckpointError, check_size, shown
from siglip_lab.configs import (
    SigLIPConfig,
    TextConfig,
    VisionConfig,
    differences,
    get_config,
    list_models,
)
from siglip_lab.loading.folder import (
    check_dtype,
    check_names,
    check_shape,
    check_type,
    damaged,
    dtype_of,
    fill,
    on_meta,
    read_state_dict,
    without_prefixes,
)
from siglip_lab.model import SigLIP, VisionTower

__all__ = ["load_file", "load_vision_tower"]

# Our names to theirs: each row replaces a part of the name, from the first row to the last.
_BIG_VISION = {
    "logit_scale": "t",
    "logit_bias": "b",
    "vision_model.embeddings.patch_embedding": "img/embedding",
    "vision_model.embeddings.position_embedding.weight": "img/pos_embedding",
    "vision_model.encoder.layers.": "img/Transformer/encoderblock_",
    "vision_model.post_layernorm": "img/Transformer/encoder_norm",
    "vision_model.head": "img/MAPHead_0",
    "text_model.embeddings.token_embedding.weight": "txt/Embed_0/embedding",
    "text_model.embeddings.position_embedding.weight": "txt/pos_embedding",
    "text_model.encoder.layers.": "txt/Encoder_0/encoderblock_",
    "text_model.final_layer_norm": "txt/Encoder_0/encoder_norm",
    "text_model.head": "txt/head",
    "layer_norm1": "LayerNorm_0",
    "layer_norm2": "LayerNorm_1",
    "layernorm": "LayerNorm_0",
    "self_attn": "MultiHeadDotProductAttention_0",
    "attention": "MultiHeadDotProductAttention_0",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "mlp.fc1": "MlpBlock_0.Dense_0",
    "mlp.fc2": "MlpBlock_0.Dense_1",
    ".": "/",
    "LayerNorm_0/weight": "LayerNorm_0/scale",
    "LayerNorm_1/weight": "LayerNorm_1/scale",
    "encoder_norm/weight": "encoder_norm/scale",
    "weight": "kernel",
}
_OPEN_CLIP_VISION = {  # timm's; "qkv[q]" is the first third of "qkv"
    "vision_model.embeddings.patch_embedding": "visual.trunk.patch_embed.proj",
    "vision_model.embeddings.position_embedding.weight": "visual.trunk.pos_embed",
    "vision_model.encoder.layers": "visual.trunk.blocks",
    "vision_model.post_layernorm": "visual.trunk.norm",
    "vision_model.head": "visual.trunk.attn_pool",
    "probe": "latent",
    "layernorm": "norm",
    "attention.q_proj": "q",
    "attention.k_proj": "kv[k]",
    "attention.v_proj": "kv[v]",
    "attention.out_proj": "proj",
    "layer_norm": "norm",
    "self_attn.q_proj": "attn.qkv[q]",
    "self_attn.k_proj": "attn.qkv[k]",
    "self_attn.v_proj": "attn.qkv[v]",
    "self_attn.out_proj": "attn.proj",
}
_OPEN_CLIP_TEXT = {
    "text_model.embeddings.token_embedding": "text.token_embedding",
    "text_model.embeddings.position_embedding.weight": "text.positional_embedding",
    "text_model.encoder.layers": "text.transformer.resblocks",
    "text_model.final_layer_norm": "text.ln_final",
    "text_model.head": "text.text_projection",
    "layer_norm": "ln_",
    "self_attn.q_proj.": "attn.in_proj[q]_",
    "self_attn.k_proj.": "attn.in_proj[k]_",
    "self_attn.v_proj.": "attn.in_proj[v]_",
    "self_attn": "attn",
    "fc1": "c_fc",
    "fc2": "c_proj",
}
_PACKED = re.compile(r"\.attn\.(qkv|in_proj)(?=[._])|\.attn_pool\.(kv)(?=\.)")
_HEAD = ("text_model.head.weight", "text_model.head.bias")


def load_file(
    path: str | os.PathLike,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    config: SigLIPConfig | str | None = None,
) -> SigLIP:
    """A model from a file of big_vision or open_clip, ready for inference (in eval mode).

    What a file does not say:

    - The image size. With patches of 14 pixels, 384 px and 378 px leave the same table of 27 x 27
      positions. A published image tower gets its published size, here 384; any other the size that
      its patches cover.
    - The number of heads, if it is open_clip's. A tower of published width, depth and MLP gets the
      published number; any other needs `config`.
    - The activation. It is taken to be GELU's tanh approximation, under which SigLIP was trained
      (open_clip's own configs of SigLIP v1 give its text tower the exact GELU).

    A text tower without a head, as the original of so400m-patch16-256-i18n, gets the identity.

    Args:
        path: A two-tower ``.npz`` of big_vision, or a state dict of open_clip in ``.safetensors``
            or ``.pt``, ``.pth``, ``.bin``, alone or under "state_dict", "model_state_dict" or
            "model" as in training checkpoints; "module.", "_orig_mod." and "model." before all the
            names are taken off.
        device: Where to put the model; default: the CPU.
        dtype: Floating type of the weights; default: the file's. ``logit_scale`` and
            ``logit_bias`` stay in float32 at least.
        config: The shape that the file must have: a config, or a name from `list_models`.

    Returns:
        The model. Tensors of an ``.npz`` are in memory, those of other files stay memory-mapped
        until they are moved or changed, but for the MAP head's q, k and v.

    Raises:
        CheckpointError: If the file is damaged, holds code or no SigLIP, or does not fit.
        FileNotFoundError: If there is no such file.
        TypeError: If `config` or `dtype` is of another kind.
        ValueError: If `config` is an unknown name.
    """
    check_dtype(dtype)
    config = get_config(config) if isinstance(config, str) else config
    if not isinstance(config, (SigLIPConfig, type(None))):
        raise TypeError(f"config is {shown(repr(config))}; expected a SigLIPConfig or a name")
    path, tensors = Path(path), _read(Path(path))
    _check_library(path, tensors)
    tensors = _unpacked(path, tensors)
    found = _config_of(path, tensors, config)
    model = on_meta(SigLIP, found)
    expected = model.state_dict()
    if found.text.identity_head:
        expected = {name: tensor for name, tensor in expected.items() if name not in _HEAD}
    heads = {"vision": found.vision.num_heads, "text": found.text.num_heads}
    tensors = _converted(path, tensors, expected, heads)
    if found.text.identity_head:
        like = tensors["text_model.final_layer_norm.weight"]
        tensors["text_model.head.weight"] = torch.eye(len(like), dtype=like.dtype)
        tensors["text_model.head.bias"] = torch.zeros_like(like)
    tensors = {k: t.to(device=device, dtype=dtype_of(k, dtype)) for k, t in tensors.items()}
    return fill(path, model, tensors).eval()


def load_vision_tower(
    path: str | os.PathLike,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    config: VisionConfig | str | None = None,
) -> VisionTower:
    """The image tower alone, from a file of timm, ready for inference (in eval mode).

    timm's ``vit_so400m_patch14_siglip_384`` and its sisters hold no text tower, no scale and no
    bias: their embeddings can be compared with each other, and with nothing else.

    Args:
        path: A state dict of timm, with the endings that `load_file` knows.
        device: Where to put the tower; default: the CPU.
        dtype: Floating type of the weights; default: the file's.
        config: The shape that the file must have: a config, or a name from `list_models`.

    Returns:
        The tower; its ``pooler_output`` is not normalised.

    Raises:
        CheckpointError, FileNotFoundError, TypeError, ValueError: As `load_file`; also if the tower
            has no MAP head, as timm's "gap" variants.
    """
    check_dtype(dtype)
    config = get_config(config).vision if isinstance(config, str) else config
    if not isinstance(config, (VisionConfig, type(None))):
        raise TypeError(f"config is {shown(repr(config))}; expected a VisionConfig or a name")
    path, tensors = Path(path), _read(Path(path))
    if "patch_embed.proj.weight" not in tensors:
        raise CheckpointError(f"{path} is no image tower of timm: it begins with {_begin(tensors)}")
    tensors = {f"visual.trunk.{name}": tensor for name, tensor in tensors.items()}
    tensors = _unpacked(path, tensors)
    known = [other.vision for other in _published()] if config is None else [config]
    found = _shaped(path, lambda: _vision_config(tensors, known))
    _check_given(path, found, config)
    tower = on_meta(VisionTower, found)
    expected = {f"vision_model.{name}": tensor for name, tensor in tower.state_dict().items()}
    tensors = _converted(path, tensors, expected, {"vision": found.num_heads})
    kind = {"device": device, "dtype": dtype}
    tensors = {k.removeprefix("vision_model."): t.to(**kind) for k, t in tensors.items()}
    return fill(path, tower, tensors).eval()


def _converted(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor], heads: dict[str, int]
) -> dict[str, Tensor]:
    """The file's tensors under our names and in our shapes, if they are exactly the expected."""
    shapes = {}
    for ours, tensor in expected.items():
        if "in_proj_" in ours:  # our MAP head keeps q, k and v in one
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                shapes[ours.replace("in_proj_", f"{part}_proj.")] = piece.shape
        else:
            shapes[ours] = tensor.shape
    names = {ours: _theirs(ours, tensors) for ours in shapes}
    check_names(path, set(names.values()), tensors.keys())
    result = {}
    for ours, theirs in names.items():
        number = heads.get(ours.partition("_model.")[0], 1)
        result[ours] = _arranged(path, theirs, tensors.pop(theirs), shapes[ours], number)
    for kind in ("weight", "bias"):
        parts = [result.pop(f"vision_model.head.attention.{part}_proj.{kind}") for part in "qkv"]
        result[f"vision_model.head.attention.in_proj_{kind}"] = torch.cat(parts)
    return result


# ---- files ---------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file, without what was put before all the names."""
    readers = {".npz": _read_npz, ".safetensors": load_safetensors}
    readers |= dict.fromkeys((".pt", ".pth", ".bin"), read_state_dict)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no file {shown(repr(str(path)), 200)}")
    if path.suffix not in readers:
        raise CheckpointError(f"{path}: expected a file that ends in {', '.join(readers)}")
    try:
        tensors = readers[path.suffix](path)
    except CheckpointError:
        raise
    except Exception as error:  # numpy and zipfile raise a dozen kinds
        raise damaged(path, error) from error
    for name, tensor in tensors.items():
        check_type(path, name, tensor.dtype)
        if not tensor.numel():
            raise CheckpointError(f"{path}: {shown(name)} is empty, {shown(list(tensor.shape))}")
    return without_prefixes(tensors)


def _read_npz(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        size = sum(member.file_size for member in file.zip.infolist())
        if size > 10 * path.stat().st_size:  # weights shrink by a tenth, zeros a thousandfold
            raise CheckpointError(
                f"{path} would grow to {size:,} bytes; expected weights, which hardly compress: "
                "save them with numpy.savez"
            )
        if len(set(file.files)) < len(file.files):
            raise CheckpointError(f"{path} holds two arrays of the same name")
        arrays = {name: file[name] for name in file.files}
    bfloat16 = np.dtype("V2")  # numpy does not know it, and writes it as two bytes of something
    return {
        name: torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if array.dtype == bfloat16
        else torch.from_numpy(array)
        for name, array in arrays.items()
    }


def _check_library(path: Path, names: Collection[str]) -> None:
    """Refuse files of other models, and say what they are where that can be known."""
    if "img/embedding/kernel" in names or "visual.trunk.patch_embed.proj.weight" in names:
        return
    if "patch_embed.proj.weight" in names:
        raise CheckpointError(
            f"{path} is an image tower of timm: text tower, logit_scale and logit_bias are missing;"
            " take open_clip's file of the whole model, or load_vision_tower"
        )
    if any(name.startswith("vision_model.") for name in names):
        raise CheckpointError(
            f"{path} has Hugging Face's names: put it beside its config.json as model.safetensors "
            "(safetensors.torch.save_file writes it), and give load_model the folder"
        )
    raise CheckpointError(
        f"{path} is no SigLIP of big_vision or open_clip: it begins with {_begin(names)}"
    )


def _begin(names: Collection[str]) -> str:
    return shown(next(iter(names), "nothing"))


def _unpacked(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Views of what is packed: all layers in one (big_vision, SigLIP 2), or q, k and v in one."""
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor[None] if tensor.ndim == 0 else tensor
        packed = _PACKED.search(name)
        pieces = {name: tensor}
        if "/encoderblock/" in name:
            _shaped(path, partial(check_size, "layers", len(tensor)))
            before, _, after = name.partition("/encoderblock/")
            pieces = {f"{before}/encoderblock_{i}/{after}": x for i, x in enumerate(tensor)}
        elif packed:
            parts, end = packed[2] or "qkv", packed.end()
            thirds = zip(parts, tensor.tensor_split(len(parts)), strict=True)
            pieces = {f"{name[:end]}[{part}]{name[end:]}": piece for part, piece in thirds}
        if twice := pieces.keys() & result.keys():
            twice = shown(min(twice))
            raise CheckpointError(f"{path} holds {twice} twice: apart, and packed in {shown(name)}")
        result |= pieces
    return result


# ---- names and shapes ----------------------------------------------------------------------------


def _theirs(ours: str, names: Collection[str]) -> str:
    """Our name of a tensor in the words of the library that these names are from."""
    if "img/embedding/kernel" in names:
        rows = _BIG_VISION
    else:
        rows = _OPEN_CLIP_TEXT if ours.startswith("text") else _OPEN_CLIP_VISION
    for old, new in rows.items():
        ours = ours.replace(old, new)
    return ours


def _published() -> list[SigLIPConfig]:
    return [get_config(name) for version in (1, 2) for name in list_models(version)]


def _config_of(path: Path, tensors: dict[str, Tensor], config: SigLIPConfig | None) -> SigLIPConfig:
    """The shape of the tensors' model, which must be `config` if that is given."""
    known = _published() if config is None else [config]

    def build() -> SigLIPConfig:
        vision = _vision_config(tensors, [other.vision for other in known])
        return SigLIPConfig(vision, _text_config(tensors, [other.text for other in known]))

    found = _shaped(path, build)
    _check_given(path, found, config)
    return found


def _shaped(path: Path, build: Callable):
    """A config read off a file's tensors."""
    try:
        return build()
    except KeyError as error:
        raise CheckpointError(f"{path}: {error.args[0]} is missing") from None
    except (IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def _check_given(path: Path, found, given) -> None:
    if given is not None and found != given:
        raise CheckpointError(f"{path} holds {differences(found, given)}")


def _vision_config(tensors: dict[str, Tensor], known: list[VisionConfig]) -> VisionConfig:
    kernel = _shape(tensors, "vision_model.embeddings.patch_embedding.weight")
    if len(kernel) != 4:
        raise ValueError(f"patches are embedded by {list(kernel)}: NaFlex is not supported")
    patch = kernel[0] if "img/embedding/kernel" in tensors else kernel[-1]
    positions = _shape(tensors, "vision_model.embeddings.position_embedding.weight")[-2]
    sizes = _tower(tensors, "vision", known)
    vision = VisionConfig(patch * round(positions**0.5), patch, **sizes)
    for other in known:
        if vision == replace(other, image_size=other.grid_size * other.patch_size):
            return other
    return vision


def _text_config(tensors: dict[str, Tensor], known: list[TextConfig]) -> TextConfig:
    headless = all(_theirs(name, tensors) not in tensors for name in _HEAD)
    return TextConfig(
        _shape(tensors, "text_model.embeddings.token_embedding.weight")[0],
        _shape(tensors, "text_model.embeddings.position_embedding.weight")[-2],
        **_tower(tensors, "text", known),
        embed_dim=None if headless else _shape(tensors, "text_model.head.bias")[0],
        identity_head=headless,
    )


def _tower(
    tensors: dict[str, Tensor], part: str, known: list[VisionConfig | TextConfig]
) -> dict[str, int]:
    """Width, depth, MLP and heads of a tower."""
    layers = re.escape(_theirs(f"{part}_model.encoder.layers.", tensors))
    numbers = {found[1] for name in tensors if (found := re.match(rf"{layers}(\d+)", name))}
    sizes = {
        "width": _shape(tensors, f"{part}_model.embeddings.position_embedding.weight")[-1],
        "depth": len(numbers),
        "mlp_dim": _shape(tensors, f"{part}_model.encoder.layers.0.mlp.fc1.bias")[0],
    }
    bias = _shape(tensors, f"{part}_model.encoder.layers.0.self_attn.q_proj.bias")
    if len(bias) == 2:  # big_vision's [heads, D / heads]
        return sizes | {"num_heads": bias[0]}
    for other in known:
        if all(getattr(other, key) == value for key, value in sizes.items()):
            return sizes | {"num_heads": other.num_heads}
    raise ValueError(
        f"the file does not hold the number of heads of its {part} tower, and no known tower has "
        f"its sizes {sizes}: pass config, or a published name that has them"
    )


def _shape(tensors: dict[str, Tensor], ours: str) -> tuple[int, ...]:
    return tuple(tensors[_theirs(ours, tensors)].shape)


def _arranged(path: Path, name: str, tensor: Tensor, shape: torch.Size, heads: int) -> Tensor:
    """A tensor of the file in the shape that it has here, if it has the one that it should."""
    stored = tuple(shape)
    if name.endswith(("/query/kernel", "/key/kernel", "/value/kernel")):
        stored = (shape[1], heads, shape[0] // heads)
    elif name.endswith(("/query/bias", "/key/bias", "/value/bias")):
        stored = (heads, shape[0] // heads)
    elif name.endswith("/out/kernel"):
        stored = (heads, shape[1] // heads, shape[0])
    elif name.endswith("/kernel"):
        stored = tuple(shape[::-1])  # [in, out]; [P, P, 3, D] of the convolution
    elif name.endswith(("/pos_embedding", ".pos_embed")):
        stored = (1, *shape)
    check_shape(path, name, tensor.shape, stored, "the other tensors ask")
    if name == "img/embedding/kernel":
        return tensor.permute(3, 2, 0, 1).contiguous()
    if name.endswith("/kernel"):
        tensor = tensor.reshape(shape[::-1]).T
    return tensor.reshape(shape).contiguous()
