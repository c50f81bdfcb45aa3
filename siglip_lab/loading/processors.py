"""Processors in Hugging Face's folders: tokenizer, and settings of the preprocessing.

What a folder says and this library does not honour is refused.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from siglip_lab.checks import CheckpointError, check_size, shown
from siglip_lab.loading.folder import Settings, target, write_files
from siglip_lab.loading.pretrained import SIGLIP, Format, resolve
from siglip_lab.loading.weights import SMALL, check_file, read_json

__all__ = ["read_processor", "write_processor"]

GEMMA = 256_000  # pieces of SigLIP 2's vocabulary
STALE = ("processor_config.json", "added_tokens.json")  # not written here, but read
# What a folder may say of images unasked, and what it may say of no weight for pixels or ids
SWITCHES = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
LABELS = {
    "_valid_processor_keys", "backend", "clean_up_tokenization_spaces", "errors",
    "feature_extractor_type", "is_local", "local_files_only", "model_input_names", "name_or_path",
    "processor_class", "special_tokens_map_file", "tokenizer_file",
}  # fmt: skip


class _Tokenizer(Protocol):
    @property
    def vocab_size(self) -> int: ...


_T = TypeVar("_T", bound=_Tokenizer)


def read_processor(
    where: str | os.PathLike,
    build: Callable[[Path, int], _T],
    form: Format = SIGLIP,
    revision: str | None = None,
) -> tuple[_T, int]:
    """Read what a processor consists of; a hub's weights are not fetched.

    Args:
        where: As for `Pretrained.from_pretrained`, but no file.
        build: What makes a tokenizer of its file and a context length; it has a `vocab_size`.
        form: The format of the folder.
        revision: Branch, tag or commit on a hub.

    Returns:
        The tokenizer, and the side of the images in pixels.

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
        size, length, vocab_size = *_read_sizes(folder), None
    tokenizer_files = [folder / name for name in form.tokenizer_files]
    alone = len(tokenizer_files) == 1
    if form is SIGLIP:
        _check_first_siglip(folder, vocab_size)
    _check_preprocessing(folder, form.image_settings(size))
    _check_tokenizer(folder, form.text_settings, length)
    for path in tokenizer_files:
        if alone or path.exists():
            check_file(path, SMALL)
    try:
        tokenizer = build(tokenizer_files[0] if alone else folder, length)
    except CheckpointError:
        raise
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(f"{folder}: {error}") from error
    if vocab_size is not None and tokenizer.vocab_size != vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} pieces, config.json has "
            f"{vocab_size}: the two belong to different models"
        )
    return tokenizer, size


def _model_sizes(folder: Path, form: Format) -> tuple[int, int, int]:
    """Image size, context length and vocabulary size of the model in a folder."""
    config = folder / "config.json"
    shape = form.read_config(config, read_json(config))[0]
    return shape.vision.image_size, shape.text.context_length, shape.text.vocab_size


def _check_first_siglip(folder: Path, vocab_size: int | None) -> None:
    """Refuse SigLIP 2, to judge by its files."""
    other = any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model"))
    if vocab_size == GEMMA or (other and not (folder / "spiece.model").exists()):
        raise CheckpointError(
            f"{folder} is a SigLIP 2 with Gemma's tokenizer, to judge by its files (spiece.model "
            "is SigLIP's): SigLIP.from_pretrained loads the model, input_ids have to come from "
            "transformers"
        )


def write_processor(
    folder: str | os.PathLike,
    tokenizer_files: Mapping[str, bytes],
    image_size: int,
    context_length: int,
    vocab_size: int,
    form: Format = SIGLIP,
) -> None:
    """Write what a processor consists of into a folder, as transformers reads it.

    Args:
        folder: The folder; made if need be.
        tokenizer_files: Name and content of the tokenizer's files: {"spiece.model": bytes}.
        image_size: Side of an image, in pixels.
        context_length: Number of tokens of a text.
        vocab_size: Number of the tokenizer's pieces.
        form: The format of the folder.

    Raises:
        CheckpointError: If the folder holds a model of another kind, or of other sizes.
        OSError: If it is a file, or there is no room or no right to write; the old files stay.
        ValueError: If the folder is "", or begins with "~".
    """
    path, sizes = target(folder), (image_size, context_length, vocab_size)
    if (path / "config.json").exists() and (found := _model_sizes(path, form)) != sizes:
        raise CheckpointError(
            f"{path}/config.json has image size, context length and vocabulary {found}, this "
            f"processor {sizes}: name another folder"
        )
    image = {key: values[0] for key, values in form.image_settings(image_size).items()}
    text = {key: values[0] for key, values in form.text_settings.items()}
    name = {"processor_class": form.processor_class}
    files: dict[str, Any] = dict(tokenizer_files)
    files["preprocessor_config.json"] = SWITCHES | image | name
    text |= {"model_input_names": form.input_names, "model_max_length": context_length}
    files["tokenizer_config.json"] = text | name
    write_files(path, files, STALE)


def _read_sizes(folder: Path) -> tuple[int, int]:
    """Read image size and context length of a folder that holds a processor and no model."""
    try:
        size = _image_processors(folder)[-1][1]["size"]
        size = next(iter(size.values())) if isinstance(size, dict) else size
        length = read_json(folder / "tokenizer_config.json")["model_max_length"]
        check_size("size", size)
        check_size("model_max_length", length)
    except (KeyError, StopIteration, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder}: no config.json in this folder, and no processor that tells its sizes: "
            f"{shown(error, 120)}"
        ) from error
    return size, length


def _check_preprocessing(folder: Path, accepted: Settings) -> None:
    """Refuse a folder whose image processor has other settings than the accepted ones."""
    switches = {key: (value, None) for key, value in SWITCHES.items()}
    accepted = switches | dict(accepted)
    accepted |= {"data_format": ("channels_first", None), "do_convert_rgb": (True, None)}
    for path, settings in _image_processors(folder):
        _check_settings(path, dict.fromkeys(accepted) | settings, accepted)


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


def _check_tokenizer(folder: Path, accepted: Settings, length: int) -> None:
    """Refuse a folder whose tokenizer has other settings than the accepted ones, if it has any."""
    path, more = folder / "tokenizer_config.json", folder / "added_tokens.json"
    settings = read_json(path) if path.exists() else {}
    added = settings.pop("added_tokens_decoder", {})
    settings = {key: _content(value) for key, value in settings.items()}
    with contextlib.suppress(KeyError, TypeError):  # longer texts are cut where the model ends
        settings["model_max_length"] = min(settings["model_max_length"], length)
    sides = {"padding_side": ("right",), "truncation_side": ("right",)}
    accepted = dict(accepted) | sides | {"model_max_length": (length, None)}
    _check_settings(path, settings, accepted)
    tokens = [value for key, (value, *_) in accepted.items() if key.endswith("_token")]
    added = [_content(value) for value in added.values()] if isinstance(added, dict) else [added]
    for token in [*added, *(read_json(more) if more.exists() else ())]:
        if token not in tokens:
            raise CheckpointError(
                f"{folder}: its tokenizer has the added token {shown(repr(token))}, which this "
                "package's has not: take the ids from transformers"
            )


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
