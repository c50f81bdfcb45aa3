"""CLIP's files: Hugging Face's folders, and state dicts with OpenAI's names.

Loading is strict: every name and shape must agree, or nothing is loaded. OpenAI's own downloads
are TorchScript archives, which hold code beside the weights; they load on express request only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siglip_lab.checks import CheckpointError, differences, shown
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig, get_config, list_models
from siglip_lab.clip.preprocessing import MEAN, STD
from siglip_lab.clip.tokenizer import END, START, Tokenizer
from siglip_lab.configs import TextConfig, VisionConfig
from siglip_lab.loading.folder import Settings, read_tower, tower_shape, tower_values
from siglip_lab.loading.foreign import own_config
from siglip_lab.loading.pretrained import Format
from siglip_lab.loading.weights import check_names, check_type

__all__ = [
    "CLIP_FORMAT", "image_settings", "openai_names", "read_config", "read_file", "write_config",
]  # fmt: skip

Tensors = dict[str, Tensor]
_FIXED = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
_SIZES = ("input_resolution", "context_length", "vocab_size")  # stored beside the weights


# ---- Hugging Face --------------------------------------------------------------------------------


def read_config(path: Path, content: dict[str, Any]) -> tuple[CLIPConfig]:
    """Read the shape that a ``config.json`` describes.

    Published files store only what differs from the defaults of transformers' `CLIPConfig`.

    Args:
        path: The ``config.json``, for messages.
        content: What is in it.

    Returns:
        What `CLIP` is built from.

    Raises:
        CheckpointError: If it is of another model, or describes something that OpenAI's CLIP does
            not have, such as the exact GELU.
    """
    if content.get("model_type") != "clip":
        raise CheckpointError(
            f"{path}: model_type is {shown(repr(content.get('model_type')))}, expected 'clip'"
        )
    sizes = {"num_hidden_layers": 12, "intermediate_size": 3072, "hidden_size": 768}
    vision_sizes = sizes | {"num_attention_heads": 12, "image_size": 224, "patch_size": 32}
    text_sizes = sizes | {
        "hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8,
        "vocab_size": 49_408, "max_position_embeddings": 77,
    }  # fmt: skip
    vision = read_tower(path, content, "vision_config", vision_sizes, _FIXED | {"num_channels": 3})
    text = read_tower(path, content, "text_config", text_sizes, _FIXED)
    try:
        config = CLIPConfig(
            VisionConfig(vision["image_size"], vision["patch_size"], **tower_shape(vision)),
            TextConfig(text["vocab_size"], text["max_position_embeddings"], **tower_shape(text)),
            content.get("projection_dim", 512),
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    end = text.get("eos_token_id", 2)  # 2 in old files, where it means the highest id of a row
    if end not in (2, 49_407, config.text.vocab_size - 1):
        raise CheckpointError(
            f"{path}: text_config.eos_token_id is {shown(repr(end))}; this model reads a text at "
            "the highest id of its row, 49407"
        )
    return (config,)


def write_config(config: CLIPConfig) -> dict[str, Any]:
    """Describe a CLIP as transformers does.

    Raises:
        CheckpointError: If its image tower is a ResNet, which transformers does not have.
    """
    if isinstance(config.vision, ResNetConfig):
        raise CheckpointError(
            "transformers has no CLIP with a ResNet, so there is no folder for it: keep its "
            "weights by torch.save(model.state_dict(), PATH)"
        )
    last = config.text.vocab_size - 1
    tokens = {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    projection = {"projection_dim": config.embed_dim}
    vision = _FIXED | tower_values(config.vision) | projection
    text = _FIXED | tower_values(config.text) | projection | tokens
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        **projection,
        "text_config": text | {"model_type": "clip_text_model"},
        "vision_config": vision | {"model_type": "clip_vision_model"},
    }


def image_settings(size: int) -> Settings:
    """List what a folder's image processor may say; older files write sizes as one number."""
    name = "CLIPImageProcessor"
    return {
        "resample": (3,),
        "image_mean": (list(MEAN),),
        "image_std": (list(STD),),
        "size": ({"shortest_edge": size}, size),
        "crop_size": ({"height": size, "width": size}, size),
        "do_center_crop": (True, None),
        "default_to_square": (False, None),
        "image_processor_type": (name, f"{name}Fast", f"{name}Pil", None),
    }


_TEXT_SETTINGS: Settings = {
    "do_lower_case": (True,), "bos_token": (START,), "eos_token": (END,), "unk_token": (END,),
    "pad_token": (END, "!", None),  # what follows the end is never read
    "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast"),
}  # fmt: skip


# ---- OpenAI's state dict -------------------------------------------------------------------------


def read_file(
    path: Path, tensors: Tensors, config: CLIPConfig | None
) -> tuple[tuple[CLIPConfig], Tensors]:
    """Read a state dict with OpenAI's names, as OpenAI's own files and open_clip's have them.

    Args:
        path: The file, for messages.
        tensors: What is in it.
        config: The shape that it must have. Give it where the file is not OpenAI's own, with its
            sizes beside the weights, and the model was trained with QuickGELU: no file holds the
            activation and the number of heads, and open_clip's CLIPs often have others under the
            same names.

    Returns:
        What `CLIP` is built from, and its tensors under our names.

    Raises:
        CheckpointError: If it is another model, or activation and number of heads are not known
            for certain.
    """
    floats = {k: t for k, t in tensors.items() if not k.endswith("num_batches_tracked")}
    if own := own_config(path, floats, config):
        return (own,), tensors
    found = _config_of(tensors, path, config)
    tensors = {name: tensor for name, tensor in tensors.items() if name not in _SIZES}
    rows = list(openai_names(found, tensors))
    check_names(path, {theirs for _, theirs, _, _ in rows}, tensors.keys())
    result = {}
    for ours, theirs, part, transposed in rows:
        tensor = tensors[theirs]
        if not ours.endswith("num_batches_tracked"):
            check_type(path, theirs, tensor.dtype)
        tensor = tensor if part is None else tensor.tensor_split(3)[part]
        result[ours] = tensor.t().contiguous() if transposed and tensor.ndim == 2 else tensor
    return (found,), result


def openai_names(
    config: CLIPConfig, names: Collection[str]
) -> Iterator[tuple[str, str, int | None, bool]]:
    """Pair our names with OpenAI's: ours, theirs, which third of theirs, whether transposed.

    The parts of a ResNet keep OpenAI's names.
    """
    yield "logit_scale", "logit_scale", None, False
    if isinstance(config.vision, ResNetConfig):
        for name in names:
            if name.startswith("visual."):
                yield name.replace("visual.", "vision_model.", 1), name, None, False
    else:
        embeddings = "vision_model.embeddings"
        yield f"{embeddings}.class_embedding", "visual.class_embedding", None, False
        yield f"{embeddings}.patch_embedding.weight", "visual.conv1.weight", None, False
        positions = f"{embeddings}.position_embedding.weight"
        yield positions, "visual.positional_embedding", None, False
        for kind in ("weight", "bias"):
            yield f"vision_model.pre_layrnorm.{kind}", f"visual.ln_pre.{kind}", None, False
            yield f"vision_model.post_layernorm.{kind}", f"visual.ln_post.{kind}", None, False
        yield from _openai_layers("vision_model", "visual.transformer", config.vision.depth)
        yield "visual_projection.weight", "visual.proj", None, True
    embeddings = "text_model.embeddings"
    yield f"{embeddings}.token_embedding.weight", "token_embedding.weight", None, False
    yield f"{embeddings}.position_embedding.weight", "positional_embedding", None, False
    yield from _openai_layers("text_model", "transformer", config.text.depth)
    for kind in ("weight", "bias"):
        yield f"text_model.final_layer_norm.{kind}", f"ln_final.{kind}", None, False
    yield "text_projection.weight", "text_projection", None, True


def _openai_layers(
    ours: str, theirs: str, depth: int
) -> Iterator[tuple[str, str, int | None, bool]]:
    moves = {
        "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    }  # fmt: skip
    for i in range(depth):
        layer, block = f"{ours}.encoder.layers.{i}", f"{theirs}.resblocks.{i}"
        for kind in ("weight", "bias"):
            for new, old in moves.items():
                yield f"{layer}.{new}.{kind}", f"{block}.{old}.{kind}", None, False
            for third, part in enumerate("qkv"):
                packed = f"{block}.attn.in_proj_{kind}"
                yield f"{layer}.self_attn.{part}_proj.{kind}", packed, third, False


def _config_of(tensors: Tensors, path: Path, config: CLIPConfig | None = None) -> CLIPConfig:
    """The config that tensors belong to: the caller's, or of OpenAI's the one of their shapes."""
    found = _one_head(_shape_of(tensors, path))
    if config is not None:
        if type(found.vision) is not type(config.vision):
            raise CheckpointError(f"{path} holds {found.vision}, not {config.vision}")
        if found != _one_head(config):
            raise CheckpointError(f"{path} holds {differences(found, _one_head(config))}")
        return config
    own = tensors.keys() >= set(_SIZES)  # only what OpenAI's archives hold has them
    for known in map(get_config, list_models() if own else ()):
        if found == _one_head(known):
            return known
    raise CheckpointError(
        f"{path} is not one of OpenAI's own files, so its activation and number of heads are not "
        "known: pass config (one of list_models(), or a CLIPConfig) if it was trained with "
        "QuickGELU. open_clip's own CLIPs have GELU: load them with open_clip"
    )


def _one_head(config: CLIPConfig) -> CLIPConfig:
    """What can be read off a file, which does not hold the number of heads."""
    vision, text = config.vision, replace(config.text, num_heads=1)
    if isinstance(vision, VisionConfig):
        vision = replace(vision, num_heads=1, image_size=vision.grid_size * vision.patch_size)
    return CLIPConfig(vision, text, config.embed_dim)


def _shape_of(tensors: Tensors, path: Path) -> CLIPConfig:
    """The shape of the model that OpenAI's tensors belong to, but for the number of heads.

    Source: openai/CLIP, ``clip/model.py``, ``build_model``.
    """
    shape = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        width = shape["ln_final.weight"][0]
        text = TextConfig(
            *(shape["token_embedding.weight"][0], shape["positional_embedding"][0]),
            width=width,
            depth=_count(shape, r"transformer\.resblocks\.(\d+)\."),
            num_heads=1,
            mlp_dim=shape["transformer.resblocks.0.mlp.c_fc.weight"][0],
        )
        vision: VisionConfig | ResNetConfig
        if "visual.proj" in shape:
            width, patch = shape["visual.conv1.weight"][0], shape["visual.conv1.weight"][-1]
            vision = VisionConfig(
                image_size=patch * round((shape["visual.positional_embedding"][0] - 1) ** 0.5),
                patch_size=patch,
                width=width,
                depth=_count(shape, r"visual\.transformer\.resblocks\.(\d+)\."),
                num_heads=1,
                mlp_dim=shape["visual.transformer.resblocks.0.mlp.c_fc.weight"][0],
            )
        else:
            positions = shape["visual.attnpool.positional_embedding"][0]
            one, two, three, four = (
                _count(shape, rf"visual\.layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4)
            )
            vision = ResNetConfig(
                image_size=32 * round((positions - 1) ** 0.5),
                width=shape["visual.layer1.0.conv1.weight"][0],
                layers=(one, two, three, four),
            )
        return CLIPConfig(vision, text, shape["text_projection"][1])
    except KeyError as error:
        first = shown(next(iter(shape), "nothing"))
        raise CheckpointError(
            f"{path} is not a CLIP with OpenAI's names: it has no {error}; it begins with {first}"
        ) from None
    except (IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no CLIP has these tensors' shapes: {error}") from error


def _read_tokenizer(path: Path, context_length: int) -> Tokenizer:
    return Tokenizer(path.parent, context_length)


def _count(names: Collection[str], pattern: str) -> int:
    """How many numbers a pattern finds at the beginning of the names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


CLIP_FORMAT = Format(
    CLIPConfig,
    get_config,
    read_config,
    write_config,
    read_file,
    repositories={
        "ViT-B/32": "openai/clip-vit-base-patch32",
        "ViT-B/16": "openai/clip-vit-base-patch16",
        "ViT-L/14": "openai/clip-vit-large-patch14",
        "ViT-L/14@336px": "openai/clip-vit-large-patch14-336",
    },
    file_dtype=torch.float32,  # OpenAI's files hold half precision
    image_settings=image_settings,
    tokenizers=dict.fromkeys(("vocab.json", "tokenizer.json"), (_read_tokenizer, _TEXT_SETTINGS)),
    processor_class="CLIPProcessor",
    input_names=("input_ids", "attention_mask"),
)
