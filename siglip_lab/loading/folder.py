"""Load a model and its processor: the embedded "tiny", a hub, a local folder, or random weights.

Chapter "The real model". A checkpoint folder is what ``save_pretrained`` of transformers
writes: ``config.json``, ``model.safetensors`` (or its shards with an index), ``spiece.model`` and
``preprocessor_config.json``. Loading is strict and memory-mapped: every name and shape must agree,
or nothing is loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from siglip_lab.checks import CheckpointError, shown
from siglip_lab.configs import (
    SigLIPConfig,
    TextConfig,
    VisionConfig,
    differences,
    get_config,
    list_models,
)
from siglip_lab.loading.hubs import INDEX, SOURCES, download
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.tokenizer import Tokenizer

__all__ = ["load_model", "load_processor", "read_config", "save_checkpoint"]

TINY = Path(__file__).parents[1] / "tiny"
GEMMA = 256_000  # pieces of SigLIP 2's vocabulary
SMALL = 10_000_000  # bytes: more than any file but the weights has
FLOATS = {
    "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
# What a folder may say of images unasked, and what it may say of no weight for pixels or ids
SWITCHES = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
LABELS = {
    "_valid_processor_keys", "backend", "clean_up_tokenization_spaces", "errors",
    "feature_extractor_type", "is_local", "local_files_only", "model_input_names", "name_or_path",
    "processor_class", "special_tokens_map_file", "tokenizer_file",
}  # fmt: skip
# What torch.save writes: an archive with these records, or long ago a pickle that begins so
_RECORD = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id"
)
# What may be around a state dict, and before all of its names: torch's, Lightning's, flax's
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = re.compile(r"(module\.|_orig_mod\.|model\.|params/)*")
_OLD_PICKLE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def load_model(
    name: str | Path,
    source: str | Path | None = None,
    weights: str | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> SigLIP:
    """A model, ready for inference (in eval mode).

    Args:
        name: A name from `list_models`, or the path of a checkpoint folder, or of a file of
            big_vision (``.npz``) or open_clip, as `siglip_lab.loading.foreign.load_file` reads it.
        source: Where the checkpoint of the published model `name` is: "huggingface" or
            "modelscope", from where it is downloaded once (a folder of such a name is
            "./huggingface"), or the path of a folder. "tiny" needs none.
        weights: "random" builds the shape `name` with random weights instead of loading any.
        seed: Seed of the random weights. They are drawn on the CPU: the same on every device.
        device: Where to put the model; default: the CPU.
        dtype: Floating type of the weights; default: the file's, float32 for random weights.
            ``logit_scale`` and ``logit_bias`` stay in float32 at least: rounded to bfloat16, a
            scale of 118.2 becomes 119.3.

    Returns:
        The model. Weights from a file stay memory-mapped until they are moved or changed: while
        the model lives, replace its files by renaming others onto them, as `save_checkpoint` does;
        to overwrite them changes the model, to truncate them ends the process.

    Raises:
        CheckpointError: If config or weights are missing, damaged or do not fit, or a hub does not
            give them; or if a vector of the file (a norm, a bias, the scale) holds NaN or infinity.
            Matrices are not read for that: it would take far longer than to map them.
        FileNotFoundError: If the folder does not exist.
        TypeError: If the dtype is no floating type of 16 bits or more.
        ValueError: If the name is unknown or the arguments contradict each other.

    >>> load_model("tiny").logit_scale.shape
    torch.Size([1])
    """
    check_dtype(dtype)
    if weights is not None:
        if weights != "random":
            raise ValueError(f'weights={shown(repr(weights))}: the only choice is "random"')
        if source is not None:
            raise ValueError('give either source or weights="random", not both')
        model = _random_model(get_config(name), seed)
        for name, parameter in model.named_parameters():
            parameter.data = parameter.data.to(device=device, dtype=dtype_of(name, dtype))
        return model.eval()
    if source is None and os.path.isfile(Path(name)):
        from siglip_lab.loading.foreign import load_file  # which builds on this module

        return load_file(name, device, dtype)
    folder = _find_folder(name, source)
    config = read_config(folder)
    if source is not None or name in list_models():
        _check_shape(name, config, folder)
    return load_weights(on_meta(SigLIP, config), folder, device, dtype).eval()


def load_processor(name: str | Path, source: str | Path | None = None) -> Processor:
    """The processor that belongs to a model.

    Args:
        name: A name from `list_models`, or the path of a checkpoint folder.
        source: Where the published model `name` is, as for `load_model`; its weights are not
            downloaded.

    Returns:
        A `Processor`.

    Raises:
        CheckpointError: If the folder asks for another preprocessing than SigLIP's or for what is
            not known here, the model is one of SigLIP 2, whose tokenizer is another, or a hub does
            not give the files.
        FileNotFoundError: If the folder or its ``spiece.model`` does not exist.
        ValueError: If the name is unknown.

    >>> sorted(load_processor("tiny")(text="a red circle"))
    ['input_ids']
    """
    folder = _find_folder(name, source, weights=False)
    config = read_config(folder)
    no_spiece = not (folder / "spiece.model").exists()
    other = any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model"))
    if config.text.vocab_size == GEMMA or (no_spiece and other):
        raise CheckpointError(
            f"{folder} is a SigLIP 2 with Gemma's tokenizer, to judge by its files (spiece.model "
            "is SigLIP's), which this package has not; load_model loads its model, input_ids have "
            "to come from transformers"
        )
    check_preprocessing(folder, _image_settings(config.vision.image_size))
    check_tokenizer(folder, _TEXT_SETTINGS, config.text.context_length)
    if not no_spiece:
        check_file(folder / "spiece.model", SMALL)
    tokenizer = Tokenizer(folder / "spiece.model", config.text.context_length)
    if tokenizer.vocab_size > config.text.vocab_size:
        raise CheckpointError(
            f"{folder}: spiece.model has {tokenizer.vocab_size} pieces, config.json allows "
            f"{config.text.vocab_size}: the two belong to different models"
        )
    return Processor(tokenizer, config.vision.image_size)


def read_config(folder: str | Path) -> SigLIPConfig:
    """The shape that a checkpoint folder's ``config.json`` describes.

    Published files store only what differs from the defaults of transformers' `SiglipConfig`.

    Args:
        folder: The checkpoint folder.

    Returns:
        The config.

    Raises:
        CheckpointError: If the file is missing, damaged, of another model type, or describes
            something that SigLIP v1 does not have.
    """
    path = Path(folder) / "config.json"
    content = read_json(path)
    if content.get("model_type") == "siglip2":
        raise CheckpointError(
            f"{path}: model_type is 'siglip2', a SigLIP 2 for images of any shape (NaFlex), which "
            "this package has not; take one of a fixed size, such as siglip2-base-patch16-224"
        )
    if content.get("model_type") != "siglip":
        raise CheckpointError(
            f"{path}: model_type is {shown(repr(content.get('model_type')))}, expected 'siglip'"
        )
    sizes = {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072,
    }  # fmt: skip
    fixed = {"hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
    vision_sizes = sizes | {"image_size": 224, "patch_size": 16}
    text_sizes = sizes | {"vocab_size": 32_000, "max_position_embeddings": 64}
    fixed_vision = fixed | {"num_channels": 3, "vision_use_head": True}
    vision = read_tower(path, content, "vision_config", vision_sizes, fixed_vision)
    text = read_tower(path, content, "text_config", text_sizes, fixed)
    try:
        return SigLIPConfig(
            VisionConfig(vision["image_size"], vision["patch_size"], **tower_shape(vision)),
            TextConfig(
                text["vocab_size"],
                text["max_position_embeddings"],
                **tower_shape(text),
                embed_dim=text.get("projection_size"),
            ),
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def read_tower(path: Path, content: dict, part: str, defaults: dict, fixed: dict) -> dict:
    """One part of a ``config.json`` over its defaults; what is fixed must be as it is here."""
    given = content.get(part)
    if not isinstance(given, (dict, type(None))):
        raise CheckpointError(f"{path}: {part} is {shown(repr(given))}, expected an object")
    fixed = fixed | {"attention_dropout": 0.0}
    values = defaults | fixed | (given or {})
    for key, value in fixed.items():
        if values[key] != value:
            found = shown(repr(values[key]))
            raise CheckpointError(f"{path}: {part}.{key} is {found}; this model has {value!r}")
    return values


def tower_shape(values: dict) -> dict:
    """Hugging Face's names of a tower's sizes, in ours."""
    return {
        "width": values["hidden_size"],
        "depth": values["num_hidden_layers"],
        "num_heads": values["num_attention_heads"],
        "mlp_dim": values["intermediate_size"],
    }


def _find_folder(name: str | Path, source: str | Path | None, weights: bool = True) -> Path:
    """The checkpoint folder that the two arguments mean; a hub's is downloaded."""
    if name == "tiny" and source is None:
        return TINY
    published = list_models() + list_models(version=2)
    if source is not None:
        get_config(name)  # refuses an unknown name
        if source in SOURCES:
            return download(name, source, weights)
        folder = Path(source)
    elif not os.path.isdir(Path(name)) and str(name).removeprefix("google/") in published:
        raise ValueError(
            'pass source="huggingface" or source="modelscope" to download the weights of '
            f"{name!r}. They are not part of this package: pass source=FOLDER if you have them, or "
            'weights="random" for the shape alone'
        )
    else:
        folder = Path(name)
    where = shown(repr(str(folder)), 120)
    if os.path.isfile(folder):
        raise ValueError(
            f"{where} is a file, and knows neither image size nor tokenizer: make a folder of it "
            "with python -m siglip_lab convert"
        )
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"no checkpoint folder {where}; expected a folder with config.json and "
            "model.safetensors, or a name of list_models(), such as 'tiny'; source may be "
            f"{' or '.join(map(repr, SOURCES))}, too"
        )
    return folder


def read_json(path: Path) -> dict:
    """The object that a JSON file holds."""
    check_file(path, SMALL)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, too long a number, too deep
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def _check_shape(name: str, config: SigLIPConfig, folder: Path) -> None:
    """Refuse a folder whose shape is not that of the name it was asked for by."""
    expected = get_config(name)
    # A file cannot tell an identity head from any other: it holds the matrix.
    expected = replace(expected, text=replace(expected.text, identity_head=False))
    if config != expected:
        raise CheckpointError(f"{folder} is not {name}: it holds {differences(config, expected)}")


def check_file(path: Path, most: float = float("inf")) -> None:
    """Refuse what is no regular file (a FIFO hangs, a device may never end), or above `most`."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # the latter if there is a zero in the name
        raise CheckpointError(f"{path.parent}: no {path.name} in this folder") from None
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is a folder or a device; expected a file")
    if status.st_size > most:
        raise CheckpointError(f"{path} has {status.st_size:,} bytes, more than it can have")


def _image_settings(size: int) -> dict[str, tuple]:
    """What a folder's image processor may say."""
    half, name = [0.5, 0.5, 0.5], "SiglipImageProcessor"
    return {
        "resample": (3,),
        "image_mean": (half,),
        "image_std": (half,),
        "size": ({"height": size, "width": size},),
        "default_to_square": (True, False, None),  # of sizes that are one number
        "image_processor_type": (name, f"{name}Fast", f"{name}Pil", None),
    }


_TEXT_SETTINGS = {
    "do_lower_case": (True,), "eos_token": ("</s>",), "pad_token": ("</s>",),
    "unk_token": ("<unk>",), "tokenizer_class": ("SiglipTokenizer",),
}  # fmt: skip


def check_preprocessing(folder: Path, accepted: dict[str, tuple]) -> None:
    """Refuse a folder whose image processor has other settings than the accepted ones."""
    old, new = folder / "preprocessor_config.json", folder / "processor_config.json"
    paths = [old] if old.exists() else []
    if not paths or (new.exists() and "image_processor" in read_json(new)):
        paths.append(new)  # transformers 5 writes this one, and prefers it to the other
    accepted = {key: (value, None) for key, value in SWITCHES.items()} | accepted
    accepted |= {"data_format": ("channels_first", None), "do_convert_rgb": (True, None)}
    for path in paths:
        settings = read_json(path)
        settings = settings.get("image_processor", settings)
        if not isinstance(settings, dict):
            found = shown(repr(settings))
            raise CheckpointError(f"{path}: image_processor is {found}; expected {{}}")
        _check_settings(path, dict.fromkeys(accepted) | settings, accepted)


def check_tokenizer(folder: Path, accepted: dict[str, tuple], length: int) -> None:
    """Refuse a folder whose tokenizer has other settings than the accepted ones, if it has any."""
    path, more = folder / "tokenizer_config.json", folder / "added_tokens.json"
    settings = read_json(path) if path.exists() else {}
    added = settings.pop("added_tokens_decoder", {})
    settings = {key: _content(value) for key, value in settings.items()}
    with contextlib.suppress(KeyError, TypeError):  # longer texts are cut where the model ends
        settings["model_max_length"] = min(settings["model_max_length"], length)
    sides = {"padding_side": ("right",), "truncation_side": ("right",)}
    _check_settings(path, settings, accepted | sides | {"model_max_length": (length, None)})
    tokens = [value for key, (value, *_) in accepted.items() if key.endswith("_token")]
    added = [_content(value) for value in added.values()] if isinstance(added, dict) else [added]
    for token in [*added, *(read_json(more) if more.exists() else ())]:
        if token not in tokens:
            raise CheckpointError(
                f"{folder}: its tokenizer has the added token {shown(repr(token))}, which this "
                "package's has not: take the ids from transformers"
            )


def _content(token):
    """The text of a token that is stored with its settings; all else as it is."""
    return token.get("content", token) if isinstance(token, dict) else token


def _check_settings(path: Path, settings: dict, accepted: dict[str, tuple]) -> None:
    """Refuse settings of other values, and those not known here unless they ask for nothing."""
    for key, value in settings.items():
        if key in accepted:
            wrong, expected = value not in accepted[key], repr(accepted[key][0])
        else:
            wrong, expected = key not in LABELS and bool(value), "no such setting"
        if wrong:
            raise CheckpointError(
                f"{path}: {shown(key)} is {shown(repr(value))}; this model's preprocessing has "
                f"{expected}"
            )


def _random_model(config: SigLIPConfig, seed: int) -> SigLIP:
    """Allocate once, draw once, on the CPU: the towers side by side, each from its own stream."""
    with _NoDraws():
        model = SigLIP(config)
    vision = torch.Generator().manual_seed(seed)
    text = torch.Generator().manual_seed(torch.randint(2**32, (), generator=vision).item())
    towers = (model.vision_model, vision), (model.text_model, text)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pair: pair[0].init_weights(pair[1]), towers))
    return model


def on_meta(build: Callable, config):
    """A model of shapes alone: nothing is allocated, nothing is drawn."""
    with torch.device("meta"), _NoDraws():
        return build(config)


class _NoDraws(TorchFunctionMode):
    """Weights stay as allocated; on the meta device PyTorch would import much to draw nothing."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)


def load_weights(
    model: torch.nn.Module,
    folder: Path,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    ignore: Collection[str] = (),
) -> torch.nn.Module:
    """Put a folder's tensors into a model on the meta device, once every one has been checked.

    Args:
        model: The model.
        folder: The checkpoint folder.
        device: Where to put the weights; None: the CPU.
        dtype: Their type; None: the file's.
        ignore: Names that the file may have beside the model's.

    Returns:
        The model.
    """
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    locations = _locate_tensors(folder, expected, ignore)
    tensors = {}
    for path, names in _groups(locations):
        with _open(path) as file:  # a mapping of its own: what is converted can leave the memory
            for name in names:
                tensor = file.get_tensor(name)
                tensors[name] = tensor.to(device=device, dtype=dtype_of(name, dtype))
    return fill(folder, model, tensors)


def fill(path: Path, model: torch.nn.Module, tensors: dict[str, Tensor]) -> torch.nn.Module:
    """Give a model on the meta device its tensors, if all vectors are finite."""
    check_finite(path, tensors)
    model.load_state_dict(tensors, strict=True, assign=True)
    return model


def check_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuse vectors that hold NaN or infinity.

    They are a thousandth of the numbers, and a training that diverged leaves NaN in all.
    """
    vectors = {name: tensor for name, tensor in tensors.items() if tensor.ndim < 2}
    sums = torch.stack([tensor.sum(dtype=torch.float32) for tensor in vectors.values()])
    if not sums.isfinite().all():
        name = list(vectors)[sums.isfinite().int().argmin()]
        raise CheckpointError(
            f"{path}: {name} holds NaN or infinity: the training diverged, or the file is damaged; "
            "take an earlier checkpoint, or fetch it again"
        )


def _groups(locations: dict[str, Path], most: int = 32) -> Iterator[tuple[Path, list[str]]]:
    """The tensors of each file, a few at a time."""
    for path in sorted(set(locations.values())):
        names = [name for name, where in locations.items() if where == path]
        for start in range(0, len(names), most):
            yield path, names[start : start + most]


def check_dtype(dtype: torch.dtype | None) -> None:
    """Refuse what weights cannot be computed with."""
    if dtype is not None and dtype not in FLOATS.values():
        names = ", ".join(map(str, FLOATS.values()))
        found = shown(repr(dtype))
        raise TypeError(f"dtype is {found}; expected {names}, or None for the file's")


def dtype_of(name: str, dtype: torch.dtype | None) -> torch.dtype | None:
    """The type in which a parameter is kept if the weights are asked for in `dtype`."""
    if dtype is None or name not in ("logit_scale", "logit_bias"):
        return dtype
    return torch.promote_types(dtype, torch.float32)


def _locate_tensors(
    folder: Path, expected: dict[str, list[int]], ignore: Collection[str]
) -> dict[str, Path]:
    """Which file holds which tensor: one file, or the shards that an index names.

    Every tensor is expected, has the expected shape, and is where the index says and nowhere else.
    """
    locations = _locate(folder)
    check_names(folder, expected.keys(), locations.keys() - set(ignore))
    for path in sorted(set(locations.values())):
        with _open(path) as file:
            for name in expected.keys() & set(file.keys()):
                view = file.get_slice(name)
                check_shape(path, name, view.get_shape(), expected[name], "config.json asks")
                check_type(path, name, FLOATS.get(view.get_dtype(), view.get_dtype()))
    return {name: locations[name] for name in expected}


def _locate(folder: Path) -> dict[str, Path]:
    """The file of every tensor."""
    index, whole = folder / INDEX, folder / "model.safetensors"
    if not index.exists():
        with _open(whole) as file:
            return dict.fromkeys(file.keys(), whole)
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(
        isinstance(shard, str) and Path(shard).name == shard for shard in weight_map.values()
    ):
        raise CheckpointError(f"{index}: expected the name of a file for each under 'weight_map'")
    for shard in sorted(set(weight_map.values())):
        with _open(folder / shard) as file:
            listed = {name for name, where in weight_map.items() if where == shard}
            check_names(folder / shard, listed, set(file.keys()), f"what {INDEX} lists of it")
    return {name: folder / shard for name, shard in weight_map.items()}


def _open(path: Path):
    """Open a safetensors file, memory-mapped."""
    check_file(path)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is truncated or not a safetensors file "
            f"({error}): fetch it again"
        ) from error


def is_torchscript(path: Path) -> bool:
    """Whether a file is an archive that holds code beside the weights."""
    return any(name == "constants.pkl" or name.startswith("code/") for name in _records(path))


def _records(path: Path) -> list[str]:
    """The names in an archive of ``torch.save``; none if it is a pickle of old.

    torch's own reader is asked, as `torch.load` will: Python's ``zipfile`` finds no archive in
    some files where it finds one.
    """
    check_file(path)
    try:
        with open(path, "rb") as file:
            start = file.read(len(_OLD_PICKLE))
            if start == _OLD_PICKLE:
                return []
            if not start.startswith(b"PK\3\4"):
                raise ValueError("it begins as no file of torch.save")
            file.seek(0)
            return torch._C.PyTorchFileReader(file).get_all_records()
    except Exception as error:  # torch raises a dozen kinds
        raise damaged(path, error) from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of ``torch.save``, memory-mapped; no code from it is run."""
    if is_torchscript(path):
        raise CheckpointError(
            f"{path} is a TorchScript archive: beside the weights it holds code, which loading "
            "would run. If you trust it, keep its weights alone, once: "
            'torch.save(torch.jit.load(PATH, map_location="cpu").state_dict(), "weights.pt"). '
            "OpenAI's CLIPs load as they are by clip.load_model(PATH, run_code_in_file=True)"
        )
    try:
        if records := _records(path):
            with zipfile.ZipFile(path) as archive:  # which must find the same, not compressed
                stored = [x.filename for x in archive.infolist() if not x.compress_type]
            same = sorted(records) == sorted(name.partition("/")[2] for name in stored)
            if not same or not all(map(_RECORD.fullmatch, records)):
                raise ValueError("it is no plain archive of torch.save")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=bool(records))
    except Exception as error:  # torch, zipfile and pickle raise a dozen kinds
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise CheckpointError(
                f"{path} holds more than tensors: {shown(code[1])}, whose code loading would run. "
                "If it is a whole model or a training, save its weights alone, where it was made: "
                "torch.save(model.state_dict(), PATH)"
            ) from error
        raise damaged(path, error) from error
    for _ in _WRAPPERS:  # one in the other, at most so deep: a dict can hold itself
        inside = [content.get(key) for key in _WRAPPERS] if isinstance(content, dict) else []
        content = next((inner for inner in inside if isinstance(inner, dict)), content)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}; expected a dict of named tensors, as "
            "torch.save(model.state_dict(), path) writes it"
        )
    for name, tensor in content.items():
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise CheckpointError(f"{path}: {shown(name)} is of type {kind}; expected tensors only")
        strided = tensor.layout is torch.strided and not tensor.is_nested
        if not strided or tensor.is_meta or tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path}: {shown(name)} is sparse, nested, without numbers, or larger than what is "
                "stored of it; save plain tensors: tensor.detach().cpu().to_dense().contiguous()"
            )
    if sum(tensor.nbytes for tensor in content.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors are larger than the file; save clones of them")
    return content


def without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what wrappers put before all the names, one in the other or not."""
    start = _PREFIXES.match(os.path.commonprefix([*tensors])).end()
    return {name[start:]: tensor for name, tensor in tensors.items()}


def check_shape(path: Path, name: str, found: list[int], expected: list[int], who: str) -> None:
    """Refuse a tensor that has not the shape which config or other tensors ask for."""
    if list(found) != list(expected):
        raise CheckpointError(
            f"{path}: {shown(name)} has shape {shown(list(found))}, {who} for {list(expected)}"
        )


def check_type(path: Path, name: str, dtype: torch.dtype | str) -> None:
    """Refuse weights that cannot be computed with."""
    if dtype not in FLOATS.values():
        raise CheckpointError(
            f"{path}: {shown(name)} is {dtype}, expected floats of 16 bits or more: quantized "
            "weights are not supported"
        )


def damaged(path: Path, error: Exception) -> CheckpointError:
    """What to say of a file that its library cannot read."""
    reason = (str(error).splitlines() or [""])[0] or type(error).__name__
    return CheckpointError(
        f"{path} ({path.stat().st_size:,} bytes) is damaged, or holds more than tensors: "
        f"{shown(reason, 100)}"
    )


def check_names(path: Path, expected: Set[str], found: Set[str], what: str = "the model") -> None:
    """Refuse weights whose names are not exactly the expected ones."""
    missing, extra = sorted(expected - found), sorted(found - expected)
    if missing or extra:
        raise CheckpointError(
            f"{path}: the weights do not fit {what}; "
            f"missing: {_shorten(missing)}; not expected: {_shorten(extra)}"
        )


def _shorten(names: list[str], most: int = 2) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(map(shown, names[:most])) or "none") + more


# ---- writing -------------------------------------------------------------------------------------


def save_checkpoint(folder: str | Path, model: SigLIP, spiece: bytes | None = None) -> None:
    """Write a checkpoint folder that `load_model` and transformers read.

    At every moment the folder holds the old checkpoint, the new one, or one that loading refuses:
    all files are written beside, in a folder ".new-…" that only a kill leaves behind, then renamed.

    Args:
        folder: The folder; made if need be.
        model: The model.
        spiece: The bytes of its SentencePiece model, without which `load_processor` refuses the
            folder.

    Raises:
        CheckpointError: If `load_model` could not read the model back: its tensors are not those
            that its config asks for, share memory, are no floats, or hold NaN. Nothing is written.
        OSError: If there is no room or no right to write; the old checkpoint stays.
        TypeError: If the model is none of this library's SigLIP, or spiece no bytes.
    """
    if not isinstance(model, SigLIP):
        raise TypeError(
            f"got a {type(model).__name__}; expected a SigLIP (DistributedDataParallel holds it as "
            "model.module, torch.compile as model._orig_mod)"
        )
    if not isinstance(spiece, (bytes, type(None))):
        raise TypeError(f"spiece is {shown(repr(spiece))}; expected bytes: Path(...).read_bytes()")
    folder = Path(folder)
    tensors = _loadable(folder, model)
    folder.mkdir(parents=True, exist_ok=True)
    image_size = model.config.vision.image_size
    files = {
        "model.safetensors": tensors,
        "preprocessor_config.json": {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SiglipImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"height": image_size, "width": image_size},
        },
        "tokenizer_config.json": {
            "do_lower_case": True,
            "eos_token": "</s>",
            "model_input_names": ["input_ids"],
            "model_max_length": model.config.text.context_length,
            "pad_token": "</s>",
            "processor_class": "SiglipProcessor",
            "tokenizer_class": "SiglipTokenizer",
            "unk_token": "<unk>",
        },
    }
    if spiece is not None:
        files["spiece.model"] = spiece
    files["config.json"] = _hugging_face_config(model.config)
    config, tokenizer, index = (folder / x for x in ("config.json", "spiece.model", INDEX))
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as new:
        for name, content in files.items():
            _write(Path(new) / name, content)
        # The config comes last: between it and the weights, another shape is refused and the same
        # loads. What no check can tell apart is another tokenizer, or the shards of an index; where
        # there are such, nothing loads, for want of a config, until all else is in its place.
        other = spiece is not None and tokenizer.exists() and tokenizer.read_bytes() != spiece
        if other or index.exists():
            config.unlink(missing_ok=True)
            index.unlink(missing_ok=True)
        for name in files:
            os.replace(Path(new) / name, folder / name)


def _loadable(folder: Path, model: SigLIP) -> dict[str, Tensor]:
    """A model's tensors, if they are what `load_model` will ask for."""
    expected, tensors = on_meta(SigLIP, model.config).state_dict(), model.state_dict()
    what = "model.config (merge LoRA, remove parametrizations, or rebuild)"
    check_names(folder, expected.keys(), tensors.keys(), what)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        check_shape(folder, name, tensor.shape, expected[name].shape, "model.config asks")
        check_type(folder, name, tensor.dtype)
    places = sorted((tensor.data_ptr(), tensor.nbytes, name) for name, tensor in tensors.items())
    for (start, size, one), (end, _, two) in pairwise(places):
        if start + size > end:
            raise CheckpointError(
                f"{folder}: {one} and {two} share memory, or are on the meta device; a checkpoint "
                "holds each for itself: copy.deepcopy the shared layer, or load the weights"
            )
    check_finite(folder, tensors)
    return tensors


def _hugging_face_config(config: SigLIPConfig) -> dict:
    def tower(part) -> dict:
        return {
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_size": part.width,
            "intermediate_size": part.mlp_dim,
            "layer_norm_eps": 1e-6,
            "num_attention_heads": part.num_heads,
            "num_hidden_layers": part.depth,
        }

    text, vision = config.text, config.vision
    return {
        "architectures": ["SiglipModel"],
        "model_type": "siglip",
        "text_config": tower(text)
        | {
            "bos_token_id": None,
            "eos_token_id": 1,
            "max_position_embeddings": text.context_length,
            "model_type": "siglip_text_model",
            "pad_token_id": 1,
            "projection_size": text.embed_dim,
            "vocab_size": text.vocab_size,
        },
        "vision_config": tower(vision)
        | {
            "image_size": vision.image_size,
            "model_type": "siglip_vision_model",
            "num_channels": 3,
            "patch_size": vision.patch_size,
        },
    }


def write_file(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a kill leaves the old file or the new one."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as new:
        _write(Path(new) / path.name, data)
        os.replace(Path(new) / path.name, path)


def _write(path: Path, content: bytes | dict) -> None:
    """Write bytes, tensors or JSON to the disk, with the permissions that new files have here."""
    path.touch()
    mode = path.stat().st_mode  # safetensors would leave 600, whatever the umask is
    if path.suffix == ".safetensors":
        try:
            save_file(content, path, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(f"cannot write {shown(path, 120)}: {error}") from error
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    path.chmod(mode)
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
