"""The doors: ``from_pretrained``, ``save_pretrained`` and ``push_to_hub``, and what `where` means.

A class of models names its `Format`: how its folders, and its files in other libraries, look.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from siglip_lab.checks import CheckpointError, shown
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading import folder as folders
from siglip_lab.loading import foreign, hubs
from siglip_lab.loading.weights import (
    ENDINGS,
    SMALL,
    assign,
    check_dtype,
    check_file,
    check_names,
    check_shape,
    convert,
    on_meta,
    read_json,
    read_tensors,
)
from siglip_lab.published import get_config, list_models

__all__ = [
    "EMBEDDED", "MODELSCOPE", "SIGLIP", "TEXT_TOWER", "VISION_TOWER", "Format", "Pretrained",
    "PushToHub", "load", "read_processor", "resolve", "write_processor",
]  # fmt: skip

EMBEDDED = {"tiny": Path(__file__).parents[1] / "tiny"}
_PUBLISHED = [name for name in list_models() + list_models(version=2) if name not in EMBEDDED]
MODELSCOPE = {"siglip-so400m-patch14-384": "fireicewolf/siglip-so400m-patch14-384"}
_REPOSITORY = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")
_GEMMA = 256_000  # pieces of SigLIP 2's vocabulary
Model = TypeVar("Model", bound="Pretrained")
Built = TypeVar("Built")


@dataclass(frozen=True)
class Format:
    """How a class of models is stored.

    Args:
        config: The class of its config.
        get_config: A config by its published name.
        read_config: A ``config.json`` (its path and content) to the arguments of the class.
        write_config: The arguments of the class to the content of a ``config.json``.
        read_file: A file's path, tensors and the config that was asked for, to the arguments of
            the class and the tensors under its names.
        arguments: A model to the arguments of its class.
        repositories: Published names to repositories on Hugging Face.
        prefix: What is before its names in folders that hold more.
        beside: Pattern of what else these may hold.
        file_dtype: Type of the weights from a file, unless another is asked for; None: the file's.
        image_settings: What a folder may say of images of a size; first what is written.
        text_settings: What it may say of texts.
        tokenizer_files: What its tokenizer is given: the one file, or the folder if it can be
            several.
        processor_class: transformers' name of the processor.
        input_names: What transformers' tokenizer shall give its model.
    """

    config: type
    get_config: Callable[[str], Any]
    read_config: Callable[[Path, dict[str, Any]], tuple[Any, ...]]
    write_config: Callable[..., dict[str, Any]]
    read_file: Callable[[Path, dict[str, Tensor], Any], tuple[tuple[Any, ...], dict[str, Tensor]]]
    arguments: Callable[[Any], tuple[Any, ...]] = lambda model: (model.config,)
    repositories: Mapping[str, str] = field(
        default_factory=lambda: {name: f"google/{name}" for name in _PUBLISHED}
    )
    prefix: str = ""
    beside: str = folders.POSITION_IDS
    file_dtype: torch.dtype | None = None
    image_settings: Callable[[int], folders.Settings] = folders.image_settings
    text_settings: folders.Settings = field(default_factory=lambda: folders.TEXT_SETTINGS)
    tokenizer_files: tuple[str, ...] = ("spiece.model",)
    processor_class: str = "SiglipProcessor"
    input_names: tuple[str, ...] = ("input_ids",)  # with a mask, transformers would hide padding


SIGLIP = Format(
    SigLIPConfig, get_config, folders.read_siglip, folders.write_siglip, foreign.read_siglip_file
)
VISION_TOWER = Format(
    VisionConfig,
    lambda name: get_config(name).vision,
    folders.read_vision_tower,
    folders.write_vision_tower,
    foreign.read_vision_file,
    prefix="vision_model.",
    beside=rf"text_model\..*|logit_scale|logit_bias|classifier\.(weight|bias)|{folders.POSITION_IDS}",
)
TEXT_TOWER = Format(
    TextConfig,
    lambda name: get_config(name).text,
    folders.read_text_tower,
    folders.write_text_tower,
    foreign.read_text_file,
    arguments=lambda tower: (tower.config, tower.head.out_features),
    prefix="text_model.",
    beside=rf"vision_model\..*|logit_scale|logit_bias|{folders.POSITION_IDS}",
)


class PushToHub:
    """What can be saved into a folder can be uploaded to Hugging Face."""

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        raise NotImplementedError

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload by siglip-lab",
    ) -> str:
        """Save into a repository on Hugging Face, which is made if need be.

        Args:
            repo: ``USER/NAME``.
            private: Whether a new repository is private; None: the account's default.
            token: An access token that may write; None: the one of the machine's login.
            commit_message: What the commit says.

        Returns:
            The address of the commit.

        Raises:
            CheckpointError: If there is nothing to save, the client is not installed, or the
                upload fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return hubs.push(Path(folder), repo, private, token, commit_message)


class Pretrained(PushToHub, nn.Module):
    """A model that loads from, and saves into, Hugging Face's folders; its class has a `format`."""

    format: ClassVar[Format]
    config: Any

    @classmethod
    def from_pretrained(
        cls: type[Model],
        where: str | os.PathLike,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        config: Any = None,
        revision: str | None = None,
    ) -> Model:
        """Load a model, ready for inference (in eval mode).

        Args:
            where: One of

                - "tiny", which is part of this package;
                - a published name, "siglip-so400m-patch14-384", or "OWNER/NAME" on Hugging Face,
                  from where it is downloaded once; "modelscope:OWNER/NAME" on ModelScope;
                - a folder as transformers writes it; it wins over a repository of its name, which
                  is then "hf:OWNER/NAME";
                - a file of big_vision (``.npz``), open_clip or timm (``.safetensors``, ``.pt``,
                  ``.pth``, ``.bin``), alone or in a training checkpoint.

            device: Where to put the model; None: the CPU.
            dtype: Floating type of the weights; None: the file's. ``logit_scale`` and
                ``logit_bias`` stay in float32 at least: rounded to bfloat16, a scale of 118.2
                becomes 119.3.
            config: The shape that a file must have, or a published name: for files that do not
                say their number of heads.
            revision: Branch, tag or commit on the hub; "OWNER/NAME@REVISION" says it, too.

        Returns:
            The model. Weights from a file stay memory-mapped until they are moved or changed:
            while the model lives, replace its files by renaming others onto them, as
            `save_pretrained` does; to overwrite them changes the model, to truncate them ends the
            process.

        Raises:
            CheckpointError: If config or weights are missing, damaged or do not fit, or a hub does
                not give them; or if a vector (a norm, a bias, the scale) holds NaN or infinity.
                Matrices are not read for that: it would take far longer than to map them.
            FileNotFoundError: If there is no such path, and `where` can be on no hub.
            TypeError: If the dtype is no floating type of 16 bits or more, or `config` no config.
            ValueError: If `config` is an unknown name, or is given for a folder.
        """
        return load(cls, where, device, dtype, config, revision)

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        """Write ``config.json`` and ``model.safetensors``, as transformers reads them.

        At every moment the folder holds the old model, the new one, or one that loading refuses.
        A model that is spread over processes (FSDP) is gathered: all of them call this, the first
        one writes.

        Args:
            folder: The folder; made if need be.

        Raises:
            CheckpointError: If the model could not be read back: its tensors are not those that
                its config asks for, share memory, are no floats, or hold NaN. Nothing is written.
            OSError: If there is no room or no right to write; the old model stays.
        """
        path, form = Path(folder), self.format
        arguments = form.arguments(self)
        content = form.write_config(*arguments)
        expected = on_meta(type(self), *arguments).state_dict()
        tensors = folders.loadable(path, self, expected)
        if (
            any(hasattr(tensor, "full_tensor") for tensor in self.parameters())
            and torch.distributed.get_rank()
        ):
            return
        folders.write_files(path, {"model.safetensors": tensors, "config.json": content})

    def _apply(self, fn, recurse=True):
        # .to(), .half() and the like end here. Rounded to bfloat16, a scale t of 118.2 would become
        # 119.3: the two scalars stay in float32.
        exact = {name: parameter.data for name, parameter in self._parameters.items()}
        super()._apply(fn, recurse)
        for name, parameter in self._parameters.items():
            if parameter.dtype.itemsize < 4 and not exact[name].is_meta:
                wide = torch.promote_types(exact[name].dtype, torch.float32)
                parameter.data = exact[name].to(parameter.device, wide)
        return self


def load(
    cls: type[Model],
    where: str | os.PathLike,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    config: Any = None,
    revision: str | None = None,
    run_code_in_file: bool = False,
) -> Model:
    """Load what `Pretrained.from_pretrained` describes; TorchScript, too, if its code may run."""
    form = cls.format
    check_dtype(dtype)
    config = form.get_config(config) if isinstance(config, str) else config
    if not isinstance(config, (form.config, type(None))):
        raise TypeError(
            f"config is {shown(repr(config))}; expected a {form.config.__name__} or a name"
        )
    path = resolve(where, form.repositories, revision)
    if path.is_dir():
        if config is not None:
            raise ValueError("config is for a file alone: a folder has its own")
        arguments = form.read_config(path / "config.json", read_json(path / "config.json"))
        model = on_meta(cls, *arguments)
        return folders.load_folder(path, model, device, dtype, form.prefix, form.beside).eval()
    arguments, tensors = form.read_file(path, read_tensors(path, run_code_in_file), config)
    model = on_meta(cls, *arguments)
    expected = model.state_dict()
    check_names(path, expected.keys(), tensors.keys())
    for name, tensor in expected.items():
        check_shape(path, name, tensors[name].shape, tensor.shape, "the other tensors ask")
    dtype = dtype or form.file_dtype
    tensors = {name: convert(name, tensor, device, dtype) for name, tensor in tensors.items()}
    return assign(path, model, tensors).eval()


def resolve(
    where: str | os.PathLike,
    repositories: Mapping[str, str] = SIGLIP.repositories,
    revision: str | None = None,
    weights: bool = True,
) -> Path:
    """Find the folder or file that `where` means; a hub's is downloaded.

    Args:
        where: As for `Pretrained.from_pretrained`.
        repositories: Published names to repositories on Hugging Face.
        revision: Branch, tag or commit on a hub.
        weights: Whether the weights are needed, too.

    Raises:
        CheckpointError: If a hub does not give it.
        FileNotFoundError: If there is no such path, and it can be on no hub.
        TypeError: If it is no string or path.
    """
    if not isinstance(where, (str, os.PathLike)):
        raise TypeError(f"where is {shown(repr(where))}; expected a name or a path")
    if where in EMBEDDED:
        return EMBEDDED[str(where)]
    if os.path.exists(where):
        return Path(where)
    scheme, _, name = os.fspath(where).rpartition(":")
    repo = repositories.get(name)
    if repo is None:
        name, _, given = name.partition("@")
        repo, revision = repositories.get(name, name), revision or given or None
    if scheme == "modelscope":
        repo = MODELSCOPE.get(name, repo)
    path_like = isinstance(where, os.PathLike) or (not scheme and Path(repo).suffix in ENDINGS)
    if path_like or scheme not in ("", *hubs.HUBS) or not _REPOSITORY.fullmatch(repo):
        raise FileNotFoundError(
            f"there is no file or folder {shown(repr(os.fspath(where)), 120)}; expected a path, "
            "'OWNER/NAME' of a hub, or a published name, such as "
            f"{', '.join([*EMBEDDED, *list(repositories)[:3]])}"
        )
    return hubs.fetch(repo, scheme or "hf", revision, weights)


# ---- processors ----------------------------------------------------------------------------------


def read_processor(
    where: str | os.PathLike,
    build: Callable[[Path, int], Built],
    form: Format = SIGLIP,
    revision: str | None = None,
) -> tuple[Built, int]:
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
    vocab_size, config = None, folder / "config.json"
    if config.exists():
        shape = form.read_config(config, read_json(config))[0]
        size, length = shape.vision.image_size, shape.text.context_length
        vocab_size = shape.text.vocab_size
    else:
        size, length = folders.read_sizes(folder)
    tokenizer_files = [folder / name for name in form.tokenizer_files]
    alone = len(tokenizer_files) == 1
    if form is SIGLIP:
        _check_first_siglip(folder, vocab_size)
    folders.check_preprocessing(folder, form.image_settings(size))
    folders.check_tokenizer(folder, form.text_settings, length)
    for path in tokenizer_files:
        if alone or path.exists():
            check_file(path, SMALL)
    try:
        tokenizer = build(tokenizer_files[0] if alone else folder, length)
    except CheckpointError:
        raise
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(f"{folder}: {error}") from error
    pieces = tokenizer.vocab_size  # type: ignore[attr-defined]
    if vocab_size is not None and pieces > vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {pieces} pieces, config.json allows {vocab_size}: the "
            "two belong to different models"
        )
    return tokenizer, size


def _check_first_siglip(folder: Path, vocab_size: int | None) -> None:
    """Refuse SigLIP 2, to judge by its files."""
    other = any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model"))
    if vocab_size == _GEMMA or (other and not (folder / "spiece.model").exists()):
        raise CheckpointError(
            f"{folder} is a SigLIP 2 with Gemma's tokenizer, to judge by its files (spiece.model "
            "is SigLIP's): SigLIP.from_pretrained loads the model, input_ids have to come from "
            "transformers"
        )


def write_processor(
    folder: str | os.PathLike,
    tokenizer_files: Mapping[str, bytes],
    context_length: int,
    image_size: int,
    form: Format = SIGLIP,
) -> None:
    """Write what a processor consists of into a folder, as transformers reads it.

    Args:
        folder: The folder; made if need be.
        tokenizer_files: Name and content of the tokenizer's files: {"spiece.model": bytes}.
        context_length: Number of tokens of a text.
        image_size: Side of an image, in pixels.
        form: The format of the folder.

    Raises:
        OSError: If there is no room or no right to write; the old files stay.
    """
    image = {key: values[0] for key, values in form.image_settings(image_size).items()}
    text = {key: values[0] for key, values in form.text_settings.items()}
    name = {"processor_class": form.processor_class}
    files: dict[str, Any] = dict(tokenizer_files)
    files["preprocessor_config.json"] = folders.SWITCHES | image | name
    text |= {"model_input_names": form.input_names, "model_max_length": context_length}
    files["tokenizer_config.json"] = text | name
    folders.write_files(Path(folder), files)
