"""Processors in Hugging Face's folders: tokenizer, and settings of the preprocessing.

What a folder says and this library does not honour is refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from siglip_lab.checks import CheckpointError, check_size, shown
from siglip_lab.gemma import FILE as GEMMA
from siglip_lab.gemma import GemmaTokenizer
from siglip_lab.loading.folder import Settings, target, write_files
from siglip_lab.loading.pretrained import SIGLIP, Format, resolve
from siglip_lab.loading.weights import SMALL, check_file, read_json
from siglip_lab.tokenizer import Tokenizer

__all__ = ["read_processor", "write_processor"]

LARGE = 100_000_000  # bytes: more than a tokenizer of 256,000 pieces has
ADDED = ("added_tokens_decoder", "additional_special_tokens", "extra_special_tokens")
STALE = ("processor_config.json", "added_tokens.json")  # not written here, but read
# What a folder may say of images unasked, and what it may say of no weight for pixels or ids
SWITCHES = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
LABELS = {
    "_valid_processor_keys", "backend", "clean_up_tokenization_spaces", "errors",
    "feature_extractor_type", "is_local", "local_files_only", "model_input_names", "name_or_path",
    "processor_class", "special_tokens_map_file", "tokenizer_file",
}  # fmt: skip


def read_processor(
    where: str | os.PathLike, form: Format = SIGLIP, revision: str | None = None
) -> tuple[Any, int, dict[str, Any]]:
    """Read what a processor consists of; a hub's weights are not fetched.

    Args:
        where: As for `Pretrained.from_pretrained`, but no file.
        form: The format of the folder.
        revision: Branch, tag or commit on a hub.

    Returns:
        The tokenizer, the side of the images in pixels, and what the folder says of the images.

    Raises:
        CheckpointError: If a file is missing or damaged, the folder asks for another preprocessing
            or for what is not known here, or a hub does not give the files.
        FileNotFoundError: If there is no such path, and it can be on no hub.
    """
    folder = resolve(where, form.repositories, revision, weights=False)
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder} is a file, and knows neither image size nor tokenizer: siglip-lab convert "
            "makes a folder of it"
        )
    if (folder / "config.json").exists():
        size, length, vocab_size = _model_sizes(folder, form)
    else:
        size, length, vocab_size = *_read_sizes(folder, form), None
    settings = _read_preprocessing(folder, form, size)
    name = next((name for name in form.tokenizers if (folder / name).exists()), None)
    if name is None:
        raise CheckpointError(
            f"{folder} holds no tokenizer: expected {' or '.join(form.tokenizers)}"
        )
    read, accepted = form.tokenizers[name]
    check_file(folder / name, LARGE if name == GEMMA else SMALL)
    try:
        tokenizer = read(folder / name, length)
    except CheckpointError:
        raise
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(f"{folder}: {error}") from error
    _check_tokenizer(folder, tokenizer, accepted)
    if vocab_size is not None and tokenizer.vocab_size != vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} pieces, config.json has "
            f"{vocab_size}: the two belong to different models"
        )
    return tokenizer, size, settings


def _model_sizes(folder: Path, form: Format) -> tuple[int, int, int]:
    """Image size, context length and vocabulary size of the model in a folder."""
    config = folder / "config.json"
    shape = form.read_config(config, read_json(config))[0]
    return shape.vision.image_size, shape.text.context_length, shape.text.vocab_size


def write_processor(
    folder: str | os.PathLike,
    tokenizer: Tokenizer,
    image_size: int | None,
    settings: Mapping[str, int],
    form: Format = SIGLIP,
) -> None:
    """Write what a processor consists of into a folder, as transformers reads it.

    Args:
        folder: The folder; made if need be.
        tokenizer: The tokenizer, with its files.
        image_size: Side of an image, in pixels; None: any shape.
        settings: What else the folder says of its images.
        form: The format of the folder.

    Raises:
        CheckpointError: If the folder holds a model of another kind, or of other sizes.
        OSError: If it is a file, or there is no room or no right to write; the old files stay.
        ValueError: If the folder is "", or begins with "~".
    """
    path, sizes = target(folder), (image_size, tokenizer.context_length, tokenizer.vocab_size)
    if (path / "config.json").exists():
        found = _model_sizes(path, form)
        if found[1:] != sizes[1:] or image_size not in (None, found[0]):
            raise CheckpointError(
                f"{path}/config.json has image size, context length and vocabulary {found}, this "
                f"processor {sizes}: name another folder"
            )
    tokenizer_files = tokenizer.files()
    image = {key: values[0] for key, values in form.image_settings(image_size or 0).items()}
    _, text = form.tokenizers[next(iter(tokenizer_files))]
    name = {"processor_class": form.processor_class}
    files: dict[str, Any] = dict(tokenizer_files)
    files["preprocessor_config.json"] = SWITCHES | image | dict(settings) | name
    files["tokenizer_config.json"] = {
        **{key: values[0] for key, values in text.items()},
        "model_input_names": form.input_names,
        "model_max_length": tokenizer.context_length,
        **name,
    }
    write_files(path, files, [*STALE, *(form.tokenizers.keys() - tokenizer_files.keys())])


def _read_sizes(folder: Path, form: Format) -> tuple[int, int]:
    """Read image size and context length of a folder that holds a processor and no model."""
    try:
        size = 0
        if "size" in form.image_settings(size):
            size = _image_processors(folder)[-1][1]["size"]
            size = next(iter(size.values())) if isinstance(size, dict) else size
            check_size("size", size)
        length = read_json(folder / "tokenizer_config.json")["model_max_length"]
        check_size("model_max_length", length)
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: no config.json in this folder, and no processor that tells its sizes: "
            f"{shown(error, 120)}"
        ) from error
    return size, length


def _read_preprocessing(folder: Path, form: Format, size: int) -> dict[str, Any]:
    """What a folder says of its images; refuse what this library does not honour."""
    switches = {key: (value, None) for key, value in SWITCHES.items()}
    accepted = switches | dict(form.image_settings(size))
    accepted |= {"data_format": ("channels_first", None), "do_convert_rgb": (True, None)}
    settings: dict[str, Any] = {}
    for path, settings in _image_processors(folder):
        numbers = {key: settings.pop(key) for key in form.image_numbers if key in settings}
        _check_settings(path, dict.fromkeys(accepted) | settings, accepted)
        try:
            for key, value in numbers.items():
                check_size(key, value)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        settings |= numbers
    return settings


def _image_processors(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The settings of a folder's image processor, in one file or in two."""
    old, new = folder / "preprocessor_config.json", folder / "processor_config.json"
    paths = [old] if old.exists() else []
    if not paths or (new.exists() and "image_processor" in read_json(new)):
        paths.append(new)  # transformers 5 writes this one, and prefers it to the other
    found = []
    for path in paths:
        settings = read_json(path)
        settings = settings.get("image_processor", settings)
        if not isinstance(settings, dict):
            raise CheckpointError(
                f"{path}: image_processor is {shown(repr(settings))}; expected {{}}"
            )
        found.append((path, settings))
    return found


def _check_tokenizer(folder: Path, tokenizer: Any, accepted: Settings) -> None:
    """Refuse a folder whose tokenizer has other settings than the accepted ones, if it has any."""
    path, more = folder / "tokenizer_config.json", folder / "added_tokens.json"
    settings = read_json(path) if path.exists() else {}
    length = tokenizer.context_length
    added = [x for key in ADDED for x in _listed(settings.pop(key, None))]
    settings = {key: _content(value) for key, value in settings.items()}
    with contextlib.suppress(KeyError, TypeError):  # longer texts are cut where the model ends
        settings["model_max_length"] = min(settings["model_max_length"], length)
    sides = {"padding_side": ("right",), "truncation_side": ("right",)}
    accepted = dict(accepted) | sides | {"model_max_length": (length, None)}
    _check_settings(path, settings, accepted)
    known = {value for key, (value, *_) in accepted.items() if key.endswith("_token")}
    if isinstance(tokenizer, GemmaTokenizer):  # whose file holds more
        known |= set(tokenizer.added_tokens().values())
    for token in [*map(_content, added), *(read_json(more) if more.exists() else ())]:
        if not isinstance(token, str) or token not in known:
            raise CheckpointError(
                f"{folder}: its tokenizer has the added token {shown(repr(token))}, which this "
                "package's has not: take the ids from transformers"
            )


def _listed(tokens: Any) -> list:
    """Added tokens, which are stored by their ids, by their names or as a list."""
    if isinstance(tokens, (dict, list)):
        return [*tokens.values()] if isinstance(tokens, dict) else tokens
    return [] if tokens is None else [tokens]


def _content(token: Any) -> Any:
    """The text of a token that is stored with its settings; all else as it is."""
    return token.get("content", token) if isinstance(token, dict) else token


def _check_settings(path: Path, settings: dict[str, Any], accepted: Settings) -> None:
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
