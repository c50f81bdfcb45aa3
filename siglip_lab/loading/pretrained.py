"""The doors: ``from_pretrained``, ``save_pretrained`` and ``push_to_hub``, and what `where` means.

A class of models names its `Format`: how its folders, and its files in other libraries, look.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from siglip_lab import gemma
from siglip_lab.checks import shown
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading import folder as folders
from siglip_lab.loading import foreign, hubs
from siglip_lab.loading.hubs import PushToHub
from siglip_lab.loading.weights import (
    ENDINGS,
    assign,
    auto_dtype,
    check_device,
    check_dtype,
    check_names,
    check_shape,
    convert,
    on_meta,
    read_json,
    read_tensors,
)
from siglip_lab.published import NAFLEX, get_config, list_models
from siglip_lab.tokenizer import Tokenizer

__all__ = [
    "EMBEDDED", "MODELSCOPE", "SIGLIP", "TEXT_TOWER", "TOKENIZERS", "VISION_TOWER", "Format",
    "Pretrained", "load", "resolve",
]  # fmt: skip

_HERE = Path(__file__).parents[1]
EMBEDDED = {"tiny": _HERE / "tiny", "emoji": _HERE / "emoji" / "model"}
_PUBLISHED = [name for name in list_models() + list_models(version=2) if name not in EMBEDDED]
_GOOGLE = {name: f"google/{name}" for name in _PUBLISHED}
MODELSCOPE = {"siglip-so400m-patch14-384": "fireicewolf/siglip-so400m-patch14-384"}
# OpenAI's names, one of which looks like a repository's
_CLIP = re.compile(r"ViT-\w+/\d+(@\w+)?|RN\d+(x\d+)?")
TOKENIZERS: Mapping[str, tuple[Callable[[Path, int], Tokenizer], folders.Settings]] = {
    "spiece.model": (Tokenizer, folders.SPIECE_SETTINGS),
    gemma.FILE: (gemma.GemmaTokenizer, folders.GEMMA_SETTINGS),
}
_OWN_CONFIG = "config is for a file alone: a folder, here or on a hub, has its own"
_Model = TypeVar("_Model", bound="Pretrained")


@dataclass(frozen=True)
class Format:
    """How a class of models, and its processor, are stored."""

    config: type  # the class of its config
    get_config: Callable[[str], Any]  # a config by its published name
    # config.json (path, content) to the arguments of the class, and back
    read_config: Callable[[Path, dict[str, Any]], tuple[Any, ...]]
    write_config: Callable[..., dict[str, Any]]
    # a file (path, tensors, the config asked for) to arguments and to tensors under our names
    read_file: Callable[[Path, dict[str, Tensor], Any], tuple[tuple[Any, ...], dict[str, Tensor]]]
    arguments: Callable[[Any], tuple[Any, ...]] = lambda model: (model.config,)
    repositories: Mapping[str, str] = field(default_factory=lambda: _GOOGLE)  # on Hugging Face
    prefix: str = ""  # before its names, in folders that hold more
    beside: str = folders.POSITION_IDS  # pattern of what else these may hold
    file_dtype: torch.dtype | None = None  # of weights from a file, unless asked; None: the file's
    # What a folder may say of its processor; the first choice is what is written
    image_settings: Callable[[int], folders.Settings] = folders.image_settings
    image_numbers: tuple[str, ...] = ()  # of its images, too: positive integers
    # Of its tokenizer, too; by the file, of which the first that a folder holds is read, and how
    tokenizers: Mapping[str, tuple[Callable[[Path, int], Tokenizer], folders.Settings]] = field(
        default_factory=lambda: TOKENIZERS
    )
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


class Pretrained(PushToHub, nn.Module):
    """A model that loads from, and saves into, Hugging Face's folders; its class has a `format`."""

    format: ClassVar[Format]
    config: Any

    @classmethod
    def from_pretrained(
        cls: type[_Model],
        where: str | os.PathLike,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        config: Any = None,
        revision: str | None = None,
    ) -> _Model:
        """Load a model, ready for inference (in eval mode).

        Args:
            where: One of

                - "tiny" or "emoji", which are part of this package; emoji is in float16: to train
                  it, ask for ``dtype=torch.float32``;
                - a published name, "siglip-so400m-patch14-384", or "OWNER/NAME" on Hugging Face,
                  from where it is downloaded once; "modelscope:OWNER/NAME" on ModelScope;
                - a folder as transformers writes it; it wins over all else of its name: a
                  repository is then "hf:OWNER/NAME";
                - a file of big_vision (``.npz``), open_clip or timm (``.safetensors``, ``.pt``,
                  ``.pth``, ``.bin``), alone or in a training checkpoint; or, with a `config`, of
                  ``torch.save(model.state_dict(), PATH)``.

            device: Where to put the model; None: the CPU.
            dtype: Floating type of the weights; None: the file's; "auto": what the device does
                well, bfloat16 on a GPU or a processor that has instructions for it, float16 on an
                older GPU, else float32 (transformers' "auto" is the file's). ``logit_scale`` and
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
            ValueError: If `config` is an unknown name, or is given for a folder; or if there is no
                such device.
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
                its config asks for, share memory, are no floats, or hold NaN; or if the folder
                holds a model of another kind, such as all of SigLIP for a tower. Nothing is
                written.
            OSError: If the folder is a file, or there is no room or no right to write; the old
                model stays.
            ValueError: If the folder is "", or begins with "~".
        """
        form = self.format
        arguments = form.arguments(self)
        content = form.write_config(*arguments)
        path = folders.target(folder, content["model_type"])
        expected = on_meta(type(self), *arguments).state_dict()
        tensors = folders.loadable(path, self, expected)
        largest = max(tensors.values(), key=Tensor.numel)  # not logit_scale, of float32
        content["dtype"] = str(largest.dtype).removeprefix("torch.")
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
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.to(wide)
        return self


def load(
    cls: type[_Model],
    where: str | os.PathLike,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    config: Any = None,
    revision: str | None = None,
    run_code_in_file: bool = False,
) -> _Model:
    """Load what `Pretrained.from_pretrained` describes; TorchScript, too, if its code may run."""
    form = cls.format
    check_dtype(dtype)
    check_device(device)
    dtype = auto_dtype(device) if isinstance(dtype, str) else dtype
    config = form.get_config(config) if isinstance(config, str) else config
    if not isinstance(config, (form.config, type(None))):
        raise TypeError(
            f"config is {shown(repr(config))}; expected a {form.config.__name__} or a name"
        )
    path = resolve(where, form.repositories, revision, True, config is not None)
    if path.is_dir():
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
    is_file: bool = False,
) -> Path:
    """Find the folder or file that `where` means; a hub's is downloaded.

    Args:
        where: As for `Pretrained.from_pretrained`.
        repositories: Published names to repositories on Hugging Face.
        revision: Branch, tag or commit on a hub.
        weights: Whether the weights are needed, too.
        is_file: Whether only a file will do, since its config is given.

    Raises:
        CheckpointError: If a hub does not give it.
        FileNotFoundError: If there is no such path, and it can be on no hub.
        TypeError: If it is no string or path.
        ValueError: If it is no file, and has to be.
    """
    if not isinstance(where, (str, os.PathLike)):
        raise TypeError(f"where is {shown(repr(where))}; expected a name or a path")
    if os.path.exists(where) or where in EMBEDDED:
        path = Path(where) if os.path.exists(where) else EMBEDDED[str(where)]
        if is_file and path.is_dir():
            raise ValueError(_OWN_CONFIG)
        return path
    if _CLIP.fullmatch(os.fspath(where)) and not any(map(_CLIP.fullmatch, repositories)):
        raise FileNotFoundError(
            f"{shown(repr(os.fspath(where)))} is the name of a CLIP, not of a SigLIP: use "
            "siglip_lab.clip.CLIP.from_pretrained"
        )
    scheme, _, name = os.fspath(where).rpartition(":")
    bare = name.partition("@")[0].removeprefix("google/")
    for family, names in (("SigLIP", _GOOGLE), ("siglip2.SigLIP2", NAFLEX)):
        if bare in names and bare not in repositories:  # before its weights are fetched
            raise FileNotFoundError(
                f"{bare} is another kind of model: use siglip_lab.{family}.from_pretrained"
            )
    repo = repositories.get(name)
    if repo is None:
        name, _, given = name.partition("@")
        repo, revision = repositories.get(name, name), revision or given or None
    if scheme == "modelscope":
        repo = MODELSCOPE.get(name, repo)
    path_like = isinstance(where, os.PathLike) or (not scheme and Path(repo).suffix in ENDINGS)
    if path_like or scheme not in ("", *hubs.HUBS) or not hubs.REPOSITORY.fullmatch(repo):
        raise FileNotFoundError(
            f"there is no file or folder {shown(repr(os.fspath(where)), 120)}; expected a path, "
            "'OWNER/NAME' of a hub, or a published name, such as "
            f"{', '.join([*EMBEDDED, *list(repositories)[:3]])}"
        )
    if is_file:
        raise ValueError(_OWN_CONFIG)
    return hubs.fetch(repo, scheme or "hf", revision, weights)
