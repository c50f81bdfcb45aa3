"""Load CLIP: a Hugging Face folder, an OpenAI state dict, or random weights.

Loading is strict: every name and shape must agree, or nothing is loaded. OpenAI's own downloads
are TorchScript archives, which hold code beside the weights; they load on express request only.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from siglip_lab.checks import CheckpointError, shown
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig, get_config, list_models
from siglip_lab.clip.model import CLIP
from siglip_lab.clip.preprocessing import MEAN, STD, preprocess
from siglip_lab.clip.tokenizer import END, START, Tokenizer
from siglip_lab.configs import TextConfig, VisionConfig, differences
from siglip_lab.loading.folder import (
    SMALL,
    check_dtype,
    check_file,
    check_names,
    check_preprocessing,
    check_shape,
    check_tokenizer,
    check_type,
    dtype_of,
    fill,
    is_torchscript,
    load_weights,
    on_meta,
    read_json,
    read_state_dict,
    read_tower,
    tower_shape,
    without_prefixes,
)
from siglip_lab.processor import Processor

__all__ = ["load_model", "load_processor", "read_config"]

# Tables 0, 1, 2, … that older versions of transformers stored with the weights
POSITION_IDS = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")


def load_model(
    name: str | os.PathLike,
    weights: str | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    run_code_in_file: bool = False,
    config: CLIPConfig | str | None = None,
) -> CLIP:
    """A model, ready for inference (in eval mode).

    Args:
        name: The path of a Hugging Face folder, or of a state dict with OpenAI's names (``.pt``),
            as OpenAI's own and open_clip's; with random weights a name from `list_models`.
        weights: "random" builds the shape `name` with random weights instead of loading any.
        seed: Seed of the random weights. They are drawn on the CPU: the same on every device.
        device: Where to put the model; default: the CPU.
        dtype: Floating type of the weights; default: a folder's own, else float32. ``logit_scale``
            stays in float32 at least.
        run_code_in_file: Load a TorchScript archive, as OpenAI's own downloads are. Such a file
            can carry code, and loading it runs that code: do so only with a file that you trust.
            Without this, no code from a file is ever run.
        config: The shape that a state dict must have: a config, or a name from `list_models`. Give
            it where the file is not OpenAI's own, with its sizes beside the weights, and the model
            was trained with QuickGELU: no file holds the activation and the number of heads, and
            open_clip's CLIPs have often others under the same names.

    Returns:
        The model.

    Raises:
        CheckpointError: If config or weights are missing, damaged, of another model, or in a
            TorchScript archive; or if activation and number of heads are not known for certain.
        FileNotFoundError: If there is no such file or folder.
        TypeError: If the dtype is no floating type of 16 bits or more, or `config` is no config.
        ValueError: If the name is unknown or the arguments contradict each other.
    """
    check_dtype(dtype)
    config = get_config(config) if isinstance(config, str) else config
    if not isinstance(config, (CLIPConfig, type(None))):
        raise TypeError(f"config is {shown(repr(config))}; expected a CLIPConfig or a name")
    if config is not None and (weights is not None or os.path.isdir(Path(name))):
        raise ValueError("config is for a state dict alone; a name and a folder have their own")
    if weights is not None:
        if weights != "random":
            raise ValueError(f'weights={shown(repr(weights))}: the only choice is "random"')
        model = _random_model(get_config(name), seed)
        return _convert(model, device, dtype).eval()
    path = _existing(name)
    if path.is_dir():
        model = on_meta(CLIP, read_config(path))
        return load_weights(model, path, device, dtype, ignore=POSITION_IDS).eval()
    if run_code_in_file and is_torchscript(path):
        tensors = torch.jit.load(str(path), map_location="cpu").state_dict()
    else:
        tensors = without_prefixes(read_state_dict(path))
    config = _config_of(tensors, path, config)
    tensors = _to_hugging_face(tensors)
    model = on_meta(CLIP, config)
    check_names(path, model.state_dict().keys(), tensors.keys())
    for key, parameter in model.state_dict().items():
        check_shape(path, key, tensors[key].shape, parameter.shape, "the other tensors ask")
        if parameter.is_floating_point():  # as all are but the batches that a norm has counted
            check_type(path, key, tensors[key].dtype)
    return _convert(fill(path, model, tensors), device, dtype or torch.float32).eval()


def load_processor(
    name: str | os.PathLike, vocabulary: str | os.PathLike | None = None
) -> Processor:
    """The processor that belongs to a model.

    Args:
        name: A name from `list_models`, or the path of a Hugging Face folder.
        vocabulary: As for `Tokenizer`. Default: the folder's, for a name the installed one.

    Returns:
        A `siglip_lab.Processor`.

    Raises:
        CheckpointError: If the folder asks for another preprocessing than CLIP's.
        FileNotFoundError: If the folder or a vocabulary does not exist.
        ValueError: If the name is unknown.
    """
    if name in list_models():
        config = get_config(name)
    else:
        folder = _existing(name)
        config = read_config(folder)
        check_preprocessing(folder, _image_settings(config.vision.image_size))
        if vocabulary is None:
            vocabulary = folder
            check_tokenizer(folder, _TEXT_SETTINGS, config.text.context_length)
            for name in ("vocab.json", "merges.txt", "tokenizer.json"):
                if (folder / name).exists():
                    check_file(folder / name, SMALL)
    tokenizer = Tokenizer(vocabulary, config.text.context_length)
    if tokenizer.vocab_size > config.text.vocab_size:
        raise CheckpointError(
            f"the vocabulary has {tokenizer.vocab_size} pieces, the model allows "
            f"{config.text.vocab_size}: the two belong to different models"
        )
    return Processor(tokenizer, config.vision.image_size, preprocess)


def read_config(folder: str | os.PathLike) -> CLIPConfig:
    """The shape that a Hugging Face folder's ``config.json`` describes.

    Published files store only what differs from the defaults of transformers' `CLIPConfig`.

    Args:
        folder: The checkpoint folder.

    Returns:
        The config.

    Raises:
        CheckpointError: If the file is missing, damaged, of another model type, or describes
            something that OpenAI's CLIP does not have, such as the exact GELU.
    """
    path = Path(folder) / "config.json"
    content = read_json(path)
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
    fixed = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
    vision = read_tower(path, content, "vision_config", vision_sizes, fixed | {"num_channels": 3})
    text = read_tower(path, content, "text_config", text_sizes, fixed)
    try:
        config = CLIPConfig(
            VisionConfig(vision["image_size"], vision["patch_size"], **tower_shape(vision)),
            TextConfig(
                text["vocab_size"],
                text["max_position_embeddings"],
                **tower_shape(text),
                embed_dim=content.get("projection_dim", 512),
            ),
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    end = text.get("eos_token_id", 2)  # 2 in old files, where it means the highest id of a row
    if end not in (2, 49_407, config.text.vocab_size - 1):
        raise CheckpointError(
            f"{path}: text_config.eos_token_id is {shown(repr(end))}; this model reads a text at "
            "the highest id of its row, 49407"
        )
    return config


def _image_settings(size: int) -> dict[str, tuple]:
    """What a folder's image processor may say; older files write sizes as one number."""
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


_TEXT_SETTINGS = {
    "do_lower_case": (True,), "bos_token": (START,), "eos_token": (END,), "unk_token": (END,),
    "pad_token": (END, "!", None),  # what follows the end is never read
    "tokenizer_class": ("CLIPTokenizer", "CLIPTokenizerFast"),
}  # fmt: skip


def _existing(name: str | os.PathLike) -> Path:
    path = Path(name)
    if os.path.exists(path):
        return path
    if name in list_models():
        raise ValueError(
            f"the weights of {name!r} are not part of this package: pass the path of OpenAI's "
            'state dict or of a Hugging Face folder, or weights="random" for its shape alone'
        )
    raise FileNotFoundError(
        f"there is no {shown(repr(str(name)), 120)}; expected the path of a Hugging Face folder or "
        f"of a state dict (.pt), or one of the names {', '.join(list_models())}"
    )


def _random_model(config: CLIPConfig, seed: int) -> CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIP(config)


def _convert(model: CLIP, device: torch.device | str | None, dtype: torch.dtype | None) -> CLIP:
    """Move to a device; all floats but the logit scale to a type."""
    scale = model.logit_scale.data.to(device=device, dtype=dtype_of("logit_scale", dtype))
    model.to(device=device, dtype=dtype)
    model.logit_scale.data = scale
    return model


# ---- OpenAI's state dict -------------------------------------------------------------------------


def _config_of(
    tensors: dict[str, Tensor], path: Path, config: CLIPConfig | None = None
) -> CLIPConfig:
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
    return CLIPConfig(vision, text)


def _shape_of(tensors: dict[str, Tensor], path: Path) -> CLIPConfig:
    """The shape of the model that OpenAI's tensors belong to, but for the number of heads.

    Source: openai/CLIP, ``clip/model.py``, ``build_model``.
    """
    shape = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        width = shape["ln_final.weight"][0]
        text = TextConfig(
            *(shape["token_embedding.weight"][0], shape["positional_embedding"][0], width),
            depth=_count(shape, r"transformer\.resblocks\.(\d+)\."),
            num_heads=1,
            mlp_dim=shape["transformer.resblocks.0.mlp.c_fc.weight"][0],
            embed_dim=shape["text_projection"][1],
        )
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
            vision = ResNetConfig(
                image_size=32 * round((positions - 1) ** 0.5),
                width=shape["visual.layer1.0.conv1.weight"][0],
                layers=tuple(
                    _count(shape, rf"visual\.layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4)
                ),
            )
        return CLIPConfig(vision, text)
    except KeyError as error:
        first = shown(next(iter(shape), "nothing"))
        raise CheckpointError(
            f"{path} is not a CLIP with OpenAI's names: it has no {error}; it begins with {first}. "
            "Pass a Hugging Face checkpoint as a folder, this library's to load_state_dict"
        ) from None
    except (IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no CLIP has these tensors' shapes: {error}") from error


def _count(names, pattern: str) -> int:
    """How many numbers a pattern finds at the beginning of the names."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})


_NAMES = {  # OpenAI's to Hugging Face's: each row replaces a part, from the first row to the last
    "visual.transformer.resblocks": "vision_model.encoder.layers",
    "visual.conv1": "vision_model.embeddings.patch_embedding",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.proj": "visual_projection.weight",
    "transformer.resblocks": "text_model.encoder.layers",
    "token_embedding": "text_model.embeddings.token_embedding",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
    "text_projection": "text_projection.weight",
    "ln_": "layer_norm",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_SIZES = ("input_resolution", "context_length", "vocab_size")  # stored beside the weights


def _to_hugging_face(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's tensors under Hugging Face's names, q, k and v apart, projections turned."""
    result, resnet = {}, "visual.proj" not in tensors
    for name, tensor in tensors.items():
        if name in _SIZES:
            continue
        new = name
        if not (resnet and name.startswith("visual.")):  # a ResNet keeps OpenAI's
            for old, replacement in _NAMES.items():
                new = new.replace(old, replacement)
        if "attn.in_proj_" in new:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                result[new.replace("attn.in_proj_", f"self_attn.{part}_proj.")] = piece
        else:
            turn = name in ("text_projection", "visual.proj")
            result[new] = tensor.T.contiguous() if turn else tensor
    return result
