"""What the doors refuse: one function for each kind of mistake, called before any work is done."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable
from dataclasses import fields, is_dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "CheckpointError", "as_list", "check_batch", "check_context_length", "check_embeddings",
    "check_ids", "check_input_ids", "check_integer", "check_lengths", "check_pixel_values",
    "check_size", "check_template", "check_text", "check_vocabulary", "differences", "shown",
]  # fmt: skip

MOST_LAYERS = 500  # so many are built in a second, where nothing is allocated
MOST = 500_000  # of any other size: no product of sizes that a tensor has leaves 64 bits

# No text to look at: control characters, line ends, changes of direction, halves of characters.
_STEERING = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(value: object, most: int = 90) -> str:
    """Foreign text for a message: what steers is escaped, what is long loses its middle."""
    text = _STEERING.sub(lambda found: ascii(found[0])[1:-1], str(value))
    if len(text) <= most:
        return text
    return f"{text[: most // 3]} ... {text[most // 3 + 5 - most :]}"


def check_integer(name: str, value: int, least: int = 1) -> None:
    """Refuse what is no integer, or is below `least`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):  # NumPy's are integers, too
        raise TypeError(f"{name} must be an integer, got {shown(repr(value))}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")


def check_size(name: str, value: int) -> None:
    """Refuse what no part of a model has as its size; a file may claim anything."""
    if not isinstance(value, int):  # it may be written to a file
        raise TypeError(f"{name} must be an integer, got {shown(repr(value))}")
    check_integer(name, value)
    most = MOST_LAYERS if name in ("depth", "layers") else MOST
    if value > most:
        raise ValueError(f"{name} must be at most {most:,}, got {shown(value)}")


def differences(found, wanted) -> str:
    """Where one config differs from another, in the first part that does."""
    values = [(f.name, getattr(found, f.name), getattr(wanted, f.name)) for f in fields(found)]
    values = [(name, one, other) for name, one, other in values if one != other]
    for name, one, other in values:
        if is_dataclass(one):
            return f"{name} {differences(one, other)}"
    return "; ".join(f"{name}={one}, not {other}" for name, one, other in values)


class CheckpointError(ValueError):
    """A checkpoint cannot be fetched or loaded; the message says which, why and what to do.

    Paths and names in the message may come from anywhere: it stays short and free of control
    characters.
    """

    def __init__(self, message: str):
        super().__init__(shown(message, 400))


def check_batch(pixel_values: Tensor, patch_size: int) -> None:
    """Refuse what is no batch of images `[B, C, H, W]` of at least one patch."""
    check_integer("patch_size", patch_size)
    if not isinstance(pixel_values, Tensor):
        raise TypeError(
            f"images are of type {type(pixel_values).__name__}; expected a tensor [B, C, H, W]: "
            'use processor(images=...)["pixel_values"]'
        )
    if pixel_values.ndim != 4:
        raise ValueError(
            f"images have shape {tuple(pixel_values.shape)}; expected [B, C, H, W]: "
            "add the batch dimension with images[None]"
        )
    if min(pixel_values.shape[2:]) < patch_size:
        if pixel_values.shape[3] == 3 != pixel_values.shape[1]:
            raise ValueError(
                f"images have shape {tuple(pixel_values.shape)}; expected [B, 3, H, W]: put the "
                "channels first with images.permute(0, 3, 1, 2)"
            )
        raise ValueError(
            f"images are {pixel_values.shape[2]}x{pixel_values.shape[3]}, smaller than one patch "
            f"of {patch_size}x{patch_size}"
        )


def check_pixel_values(
    pixel_values: Tensor, kernel: Tensor, size: int, any_size: bool = False
) -> None:
    """Refuse images that a tower's first convolution cannot or should not take.

    Args:
        pixel_values: What must be floating `[B, 3, H, W]`.
        kernel: The convolution's weight `[D, 3, P, P]`.
        size: Side that the images must have.
        any_size: Take any other of at least P.
    """
    check_batch(pixel_values, kernel.shape[-1])
    shape = tuple(pixel_values.shape)
    if not pixel_values.is_floating_point():
        raise TypeError(
            f"pixel_values are {pixel_values.dtype}; expected floating point, as the model's "
            "preprocess makes them"
        )
    half = (torch.float16, torch.bfloat16)
    if pixel_values.dtype in half and kernel.dtype not in half:
        raise TypeError(
            f"pixel_values are {pixel_values.dtype}, the weights {kernel.dtype}: pass the float32 "
            "images that preprocess makes, or load the model in half precision"
        )
    if shape[0] == 0 or shape[1] != 3:
        raise ValueError(f"pixel_values have shape {shape}; expected [B, 3, H, W] with B >= 1")
    if not any_size and shape[2:] != (size, size):
        raise ValueError(
            f"pixel_values are {shape[2]}x{shape[3]}, the position table is made for "
            f"{size}x{size}: preprocess with size={size}, or pass interpolate_pos_encoding=True"
        )


def check_input_ids(input_ids: Tensor, context_length: int) -> None:
    """Refuse what is no batch of token ids `[B, L]` that the positions reach."""
    if not isinstance(input_ids, Tensor):
        raise TypeError(
            f"input_ids are of type {type(input_ids).__name__}; expected a tensor [B, L]: "
            'use processor(text=...)["input_ids"]'
        )
    if input_ids.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"input_ids are {input_ids.dtype}; expected int64 ids: use a tokenizer")
    shape = tuple(input_ids.shape)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"input_ids have shape {shape}; expected [B, L] with B, L >= 1")
    if shape[1] > context_length:
        raise ValueError(
            f"{shape[1]} tokens a text, but the model has {context_length} positions: "
            f"tokenize with context_length={context_length}"
        )


def check_vocabulary(input_ids: Tensor, vocab_size: int) -> None:
    """Refuse ids outside the vocabulary. This reads them: for the doors, not for a `forward`."""
    low, high = int(input_ids.min()), int(input_ids.max())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"input_ids reach from {low} to {high}, the vocabulary from 0 to {vocab_size - 1}: "
            "the tokenizer belongs to another model"
        )


def check_context_length(length: int, least: int) -> int:
    """The length as an integer that leaves room for the marks of start and end."""
    if isinstance(length, bool) or not hasattr(length, "__index__"):
        raise TypeError(f"context_length is {length!r}; expected an integer, such as 64")
    length = operator.index(length)
    if length < least:
        marks = "the end token" if least == 1 else "start and end"
        raise ValueError(f"context_length is {length}; expected at least {least}, for {marks}")
    return length


def as_list(texts: str | list[str] | tuple[str, ...]) -> list[str]:
    """One text or several as a list, each of them checked."""
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, (list, tuple)):
        raise TypeError(f"got {type(texts).__name__}; expected a string or a list of strings")
    if not texts:
        raise ValueError("the list of texts is empty; expected at least one text")
    for index, text in enumerate(texts):
        check_text(text, f"texts[{index}]")
    return list(texts)


def check_text(text: str, name: str) -> None:
    """Refuse what is no string, or cannot be written in UTF-8."""
    if not isinstance(text, str):
        raise TypeError(f"{name} is a {type(text).__name__}; expected a string")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds half of a surrogate pair at position {error.start}; expected text that "
            "UTF-8 can write: decode the bytes it came from again"
        ) from None


def check_lengths(rows: list[list[int]], length: int) -> None:
    """Refuse a text of more tokens than the model reads."""
    for index, row in enumerate(rows):
        if len(row) > length:
            raise ValueError(
                f"texts[{index}] has {len(row)} tokens, the model reads {length}: shorten it, "
                "or pass truncate=True to cut it"
            )


def check_ids(ids: Iterable[int] | Tensor, vocab_size: int) -> list[int]:
    """Refuse what is no row of ids of the vocabulary; return it as a list."""
    given = ids.tolist() if isinstance(ids, Tensor) else ids
    row = list(given) if isinstance(given, Iterable) else [given, ""]
    for i in row:
        if not isinstance(i, int):
            found = shown(repr(given))
            raise TypeError(f"got {found}; expected the ids of one text, such as input_ids[0]")
        if not 0 <= i < vocab_size:
            raise ValueError(f"id {i} is not in the vocabulary of {vocab_size} pieces")
    return row


def check_template(labels: Iterable[str], template: str) -> list[str]:
    """Refuse labels and a template that give no sentences; return the sentences."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"labels is {shown(repr(labels))}; expected a list of strings")
    labels = list(labels)
    if not labels:
        raise ValueError("labels is empty; give at least one")
    for index, label in enumerate(labels):
        check_text(label, f"labels[{index}]")
    check_text(template, "template")
    if "{}" not in template:
        raise ValueError(f"template {shown(repr(template))} has no {{}} to put the label in")
    return [template.replace("{}", label) for label in labels]


def check_embeddings(image_embeds: Tensor | np.ndarray, size: int) -> Tensor:
    """Refuse what is no unit vectors `[n_img, size]`; return them as a tensor."""
    embeds = torch.tensor(image_embeds) if isinstance(image_embeds, np.ndarray) else image_embeds
    if not isinstance(embeds, Tensor):
        raise TypeError(
            f"image_embeds are of type {type(embeds).__name__}; expected a tensor "
            "[n_img, D]: use embed_images(model, processor, images)"
        )
    shape = tuple(embeds.shape)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != size:
        raise ValueError(
            f"image_embeds have shape {shape}; expected [n_img, {size}] with n_img >= 1: "
            "use embed_images(model, processor, images) of the same model"
        )
    if not embeds.is_floating_point():
        raise TypeError(
            f"image_embeds are {embeds.dtype}; expected floating point, as embed_images makes"
            " them: turn stored integers back into unit vectors first"
        )
    lengths = torch.linalg.vector_norm(embeds.float(), dim=1)
    wrong = ~((lengths - 1).abs() <= 0.01)  # half precision is off by less; NaN is wrong, too
    if wrong.any():
        index = int(wrong.int().argmax())
        raise ValueError(
            f"image_embeds[{index}] has length {lengths[index]:.4g}; expected unit vectors: use "
            "embed_images, or torch.nn.functional.normalize(image_embeds, dim=-1)"
        )
    return embeds
