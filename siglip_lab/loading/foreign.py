"""SigLIP files of other libraries: big_vision's ``.npz``, open_clip's and timm's state dicts.

Chapter "The real model". The original files, and open_clip's, hold the same numbers as the
Hugging Face folders, under other names and in other shapes (`siglip_lab.loading.names`); with the
same names, ``torch.save(model.state_dict(), PATH)`` loads with a config. A file is
recognised by its names, the shape of a tower is read off its tensors, and reading is strict.

What a file does not say:

- The image size. With patches of 14 pixels, 384 px and 378 px leave the same table of 27 x 27
  positions. A published image tower gets its published size, here 384; any other the size that its
  patches cover.
- The number of heads, if it is open_clip's. A tower of published width, depth and MLP gets the
  published number; any other needs a config.
- The activation. It is taken to be GELU's tanh approximation, under which SigLIP was trained
  (open_clip's own configs of SigLIP v1 give its text tower the exact GELU).

A text tower without a head, as the original of so400m-patch16-256-i18n, gets the identity.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from siglip_lab.checks import CheckpointError, check_size, differences, shown
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading.names import BIG_VISION, OPEN_CLIP, Library, Row
from siglip_lab.loading.weights import check_names, check_type
from siglip_lab.published import NAFLEX, get_config, list_models

__all__ = [
    "own_config", "read_naflex_file", "read_siglip_file", "read_text_file", "read_vision_file",
]  # fmt: skip

Tensors = dict[str, Tensor]
_NAFLEX = ("visual.trunk.embeds.proj.weight", "embeds.proj.weight")  # timm's
Config = TypeVar("Config", VisionConfig, TextConfig)
C = TypeVar("C")


# ---- which library -------------------------------------------------------------------------------


def _recognised(path: Path, tensors: Tensors) -> tuple[Library, Tensors]:
    """The library that wrote a file, and its tensors, with those of all layers in one apart."""
    for name, tensor in tensors.items():
        check_type(path, name, tensor.dtype)
    if "img/embedding/kernel" in tensors:
        return BIG_VISION, _unstacked(path, tensors)
    if not tensors.keys().isdisjoint(_NAFLEX):
        tensors = {
            name.replace("embeds.proj.", "patch_embed.proj.").replace("embeds.pos", "pos"): tensor
            for name, tensor in tensors.items()
        }
    if "visual.trunk.patch_embed.proj.weight" in tensors:
        return OPEN_CLIP, tensors
    if "patch_embed.proj.weight" in tensors:
        return OPEN_CLIP, {f"visual.trunk.{name}": tensor for name, tensor in tensors.items()}
    first = shown(next(iter(tensors), "nothing"))
    raise CheckpointError(
        f"{path} is no SigLIP of big_vision, open_clip or timm: it begins with {first}"
    )


def own_config(path: Path, tensors: Tensors, config: C | None) -> C | None:
    """The config, which they need, of tensors that have our names already; None if they have not.

    Our names are Hugging Face's, with "vision_model." and "text_model." before those of a tower.
    """
    if not any(
        name.startswith(("vision_model.", "text_model.", "embeddings.")) for name in tensors
    ):
        return None
    if config is None:
        raise CheckpointError(
            f"{path} has this library's names, and does not hold the number of heads: pass config, "
            "a published name or a config; or put it beside its config.json as model.safetensors"
        )
    for name, tensor in tensors.items():
        check_type(path, name, tensor.dtype)
    return config


def _own_tower(tensors: Tensors, part: str, other: str) -> Tensors:
    """One tower, of a file with our names of it alone or of a whole SigLIP."""
    tensors = _without(tensors, other, ("logit_scale", "logit_bias"))
    return {name.removeprefix(part): tensor for name, tensor in tensors.items()}


def _unstacked(path: Path, tensors: Tensors) -> Tensors:
    """Views of what big_vision's SigLIP 2 files hold of all layers in one."""
    result: Tensors = {}
    for name, tensor in tensors.items():
        before, stacked, after = name.partition("/encoderblock/")
        pieces = {name: tensor}
        if stacked:
            with _file_errors(path):
                check_size("layers", len(tensor))
            pieces = {f"{before}/encoderblock_{i}/{after}": x for i, x in enumerate(tensor)}
        if twice := pieces.keys() & result.keys():
            twice_name = shown(min(twice))
            raise CheckpointError(f"{path} holds {twice_name} twice: apart, and in {shown(name)}")
        result |= pieces
    return result


@contextlib.contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    """What goes wrong while a shape is read off the tensors is wrong with the file."""
    try:
        yield
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{path}: {error.args[0]} is missing") from None
    except (IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


# ---- reading -------------------------------------------------------------------------------------


def read_siglip_file(
    path: Path, tensors: Tensors, config: SigLIPConfig | None, naflex: bool = False
) -> tuple[tuple[SigLIPConfig], Tensors]:
    """Read a whole SigLIP.

    Args:
        path: The file, for messages.
        tensors: What is in it.
        config: The shape that it must have; None takes a published one or what the tensors say.
        naflex: Whether its patches are embedded by a matrix, for images of any shape.

    Returns:
        What `SigLIP` is built from, and its tensors under our names.

    Raises:
        CheckpointError: If it is another model, or does not fit.
    """
    if own := own_config(path, tensors, config):
        return (own,), tensors
    library, tensors = _recognised(path, tensors)
    if not any(name.startswith(library.text) for name in tensors):
        raise CheckpointError(
            f"{path} holds an image tower alone: take the file of the whole model, or load the "
            "tower by VisionTower.from_pretrained"
        )
    known = _published(naflex) if config is None else [config]
    with _file_errors(path):
        vision = _vision_config(library, tensors, [other.vision for other in known], naflex)
        text, embed_dim = _text_config(library, tensors, [other.text for other in known])
        if embed_dim != vision.width:
            raise ValueError(
                f"image embeddings have size {vision.width}, text embeddings {embed_dim}: they "
                "must be equal"
            )
        found = SigLIPConfig(vision, text)
    _check_given(path, found, config)
    rows = [
        *_below("vision_model", library.image_names(vision)),
        *_below("text_model", _text_rows(library, tensors, text)),
        ("logit_scale", (library.scalars[0],), torch.atleast_1d),
        ("logit_bias", (library.scalars[1],), torch.atleast_1d),
    ]
    return (found,), _with_head(_rearranged(path, tensors, rows), "text_model.")


def read_naflex_file(
    path: Path, tensors: Tensors, config: SigLIPConfig | None
) -> tuple[tuple[SigLIPConfig], Tensors]:
    """Read a whole SigLIP 2 for images of any shape; arguments and errors as for a SigLIP."""
    return read_siglip_file(path, tensors, config, naflex=True)


def read_vision_file(
    path: Path, tensors: Tensors, config: VisionConfig | None
) -> tuple[tuple[VisionConfig], Tensors]:
    """Read an image tower, of a file with it alone (timm's) or with all of SigLIP.

    timm's ``vit_so400m_patch14_siglip_384`` and its sisters hold no text tower, no scale and no
    bias: their embeddings can be compared with each other, and with nothing else.
    """
    if own := own_config(path, tensors, config):
        return (own,), _own_tower(tensors, "vision_model.", "text_model.")
    library, tensors = _recognised(path, tensors)
    tensors = _without(tensors, library.text, library.scalars)
    known = [other.vision for other in _published()] if config is None else [config]
    with _file_errors(path):
        found = _vision_config(library, tensors, known)
    _check_given(path, found, config)
    return (found,), _rearranged(path, tensors, library.image_names(found))


def read_text_file(
    path: Path, tensors: Tensors, config: TextConfig | None
) -> tuple[tuple[TextConfig, int], Tensors]:
    """Read the text tower of a whole SigLIP."""
    if own := own_config(path, tensors, config):
        tensors = _own_tower(tensors, "text_model.", "vision_model.")
        with _file_errors(path):
            return (own, len(tensors["head.bias"])), tensors
    library, tensors = _recognised(path, tensors)
    tensors = _without(tensors, library.image, library.scalars)
    known = [other.text for other in _published()] if config is None else [config]
    with _file_errors(path):
        found, embed_dim = _text_config(library, tensors, known)
    _check_given(path, found, config)
    rows = _text_rows(library, tensors, found)
    return (found, embed_dim), _with_head(_rearranged(path, tensors, rows), "")


def _rearranged(path: Path, tensors: Tensors, rows: Iterable[Row]) -> Tensors:
    """The tensors under our names and in our shapes, if all are known and none is missing."""
    rows = list(rows)
    uses = Counter(name for _, theirs, _ in rows for name in theirs)
    check_names(path, uses.keys(), tensors.keys())
    result = {}
    for ours, theirs, rearrange in rows:
        parts = [tensors[name] for name in theirs]
        try:
            result[ours] = rearrange(*parts).contiguous()
        except (IndexError, RuntimeError, ValueError) as error:
            shapes = " and ".join(shown(list(part.shape)) for part in parts)
            raise CheckpointError(
                f"{path}: {shown(theirs[0])} has shape {shapes}, which does not fit: {error}"
            ) from error
        uses.subtract(theirs)
        for name in theirs:
            if not uses[name]:  # an .npz is in memory, where it need not be twice
                del tensors[name]
    return result


def _below(part: str, rows: Iterable[Row]) -> Iterator[Row]:
    return ((f"{part}.{ours}", theirs, rearrange) for ours, theirs, rearrange in rows)


def _without(tensors: Tensors, start: str, names: Collection[str]) -> Tensors:
    """What a tower does not need, and only what is known, is left out."""
    return {k: t for k, t in tensors.items() if not k.startswith(start) and k not in names}


def _headless(library: Library, tensors: Tensors) -> bool:
    return not any(name.startswith(library.text_head) for name in tensors)


def _text_rows(library: Library, tensors: Tensors, config: TextConfig) -> list[Row]:
    """The rows of the text tower, without the head if the file has none."""
    headless, rows = _headless(library, tensors), library.text_names(config)
    return [row for row in rows if not (headless and row[0].startswith("head."))]


def _with_head(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors, with the identity for a head that the file has not."""
    if f"{prefix}head.weight" in tensors:
        return tensors
    like = tensors[f"{prefix}final_layer_norm.weight"]
    head = {"weight": torch.eye(len(like), dtype=like.dtype), "bias": torch.zeros_like(like)}
    return tensors | {f"{prefix}head.{kind}": tensor for kind, tensor in head.items()}


# ---- shapes --------------------------------------------------------------------------------------


def _published(naflex: bool = False) -> list[SigLIPConfig]:
    if naflex:
        return [*NAFLEX.values()]
    return [get_config(name) for version in (1, 2) for name in list_models(version)]


def _check_given(path: Path, found: Any, given: Any) -> None:
    if given is not None and found != given:
        raise CheckpointError(f"{path} holds {differences(found, given)}")


_ANY = {"width": 1, "depth": 1, "num_heads": 1, "mlp_dim": 1}  # for the names of one layer


def _shapes(tensors: Tensors, rows: Iterable[Row]) -> Callable[[str], tuple[int, ...]]:
    theirs = {ours: names[0] for ours, names, _ in rows}
    return lambda ours: tuple(tensors[theirs[ours]].shape)


def _vision_config(
    library: Library, tensors: Tensors, known: list[VisionConfig], naflex: bool = False
) -> VisionConfig:
    shape = _shapes(tensors, library.image_names(VisionConfig(1, 1, **_ANY)))
    kernel = shape("embeddings.patch_embedding.weight")
    if len(kernel) != (2 if naflex else 4):
        kind = "a fixed size: use siglip_lab.SigLIP" if naflex else "any shape: use siglip2.SigLIP2"
        raise ValueError(f"its patches, {list(kernel)}, are of images of {kind}.from_pretrained")
    inner = kernel[0] if library is BIG_VISION else kernel[-1]
    patch = math.isqrt(inner // 3) if naflex else inner
    positions = math.prod(shape("embeddings.position_embedding.weight")[:-1])
    sizes = _tower(shape, _depth(tensors, library.image_layers), "vision", known)
    vision = VisionConfig(patch * round(positions**0.5), patch, **sizes)
    for other in known:
        if vision == replace(other, image_size=other.grid_size * other.patch_size):
            return other
    return vision


def _text_config(
    library: Library, tensors: Tensors, known: list[TextConfig]
) -> tuple[TextConfig, int]:
    shape = _shapes(tensors, library.text_names(TextConfig(1, 1, **_ANY)))
    text = TextConfig(
        shape("embeddings.token_embedding.weight")[0],
        shape("embeddings.position_embedding.weight")[-2],
        **_tower(shape, _depth(tensors, library.text_layers), "text", known),
    )
    return text, text.width if _headless(library, tensors) else shape("head.bias")[0]


def _depth(tensors: Collection[str], layers: str) -> int:
    pattern = re.compile(rf"{re.escape(layers)}(\d+)")
    return len({found[1] for name in tensors if (found := pattern.match(name))})


def _tower(
    shape: Callable[[str], tuple[int, ...]], depth: int, part: str, known: list[Config]
) -> dict[str, int]:
    """Width, depth, MLP and heads of a tower."""
    sizes = {
        "width": shape("embeddings.position_embedding.weight")[-1],
        "depth": depth,
        "mlp_dim": shape("encoder.layers.0.mlp.fc1.bias")[0],
    }
    bias = shape("encoder.layers.0.self_attn.q_proj.bias")
    if len(bias) == 2:  # big_vision's [heads, D / heads]
        return sizes | {"num_heads": bias[0]}
    for other in known:
        if all(getattr(other, key) == value for key, value in sizes.items()):
            return sizes | {"num_heads": other.num_heads}
    raise ValueError(
        f"the file does not hold the number of heads of its {part} tower, and no known tower has "
        f"its sizes {sizes}: pass config, or a published name that has them"
    )
