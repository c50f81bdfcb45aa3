"""Where in the picture? One number for each patch, by four methods.

Each map is `[n, rows, columns]`, in the type of the model: of image i and text i, or, for
`attention_map`, of image i alone. A map is a reading of the model, not a detector. For towers of a
fixed size with a MAP head: SigLIP, and SigLIP 2 but for NaFlex.

All raise ValueError if `pixels` are no batch, or there is not one text for each image.
"""

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from siglip_lab.model import SigLIP, l2_normalize

__all__ = ["attention_map", "gradient_map", "occlusion_map", "overlay", "value_map"]


def value_map(model: SigLIP, pixels: Tensor, ids: Tensor) -> Tensor:
    """Cosine of each patch with its text, as if the head attended to that patch alone.

    Args:
        model: Its image tower's last tokens go, one by one, through the head's value path and MLP.
        pixels: Images `[n, 3, S, S]`.
        ids: Texts `[n, L]`, one for each image.
    """
    _check(pixels, ids)
    tokens = _tower(model)(pixels).last_hidden_state  # [n, N, D]
    n, count, _ = tokens.shape
    alone = _tower(model).head(tokens.flatten(0, 1)[:, None])  # one token: a weight of 1
    patches = l2_normalize(alone).unflatten(0, (n, count))  # [n, N, E]
    texts = model.encode_text(ids)[:, :, None]  # [n, E, 1]
    return _grid(model, pixels, (patches @ texts)[..., 0])


def attention_map(model: SigLIP, pixels: Tensor) -> Tensor:
    """Share of the probe's attention, mean over heads: it sums to 1 and knows no text.

    Args:
        model: Its head is read.
        pixels: Images `[n, 3, S, S]`.
    """
    _check(pixels)
    head = _tower(model).head
    heads = head.attention.num_heads
    tokens = _tower(model)(pixels).last_hidden_state
    weights = head.attention.in_proj_weight.chunk(3)
    biases = head.attention.in_proj_bias.chunk(3)
    q, k = (
        F.linear(x, w, b).unflatten(-1, (heads, -1)).transpose(1, 2)  # [n or 1, H, 1 or N, d]
        for x, w, b in zip((head.probe, tokens), weights, biases, strict=False)
    )
    shares = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(-1)  # [n, H, 1, N]
    return _grid(model, pixels, shares.mean((1, 2)))


def occlusion_map(model: SigLIP, pixels: Tensor, ids: Tensor, paint: Tensor) -> Tensor:
    """How far the logit falls when a patch is painted over: one run of the tower a patch.

    Args:
        model: Anything with logits.
        pixels: Images `[n, 3, S, S]`.
        ids: Texts `[n, L]`, one for each image.
        paint: The colour to paint with, `[n, 3]`, in the units of `pixels`.

    Raises:
        ValueError: If there is not one colour for each image.
    """
    _check(pixels, ids)
    if paint.shape != (len(pixels), 3):
        raise ValueError(f"paint is {list(paint.shape)}; expected a colour an image, [n, 3]")
    size, side = model.config.vision.patch_size, pixels.shape[-1] // model.config.vision.patch_size
    texts = model.encode_text(ids)
    before = _logits(model, model.encode_image(pixels), texts)
    drops = []
    for place in range(side * side):
        top, left = place // side * size, place % side * size
        painted = pixels.clone()
        painted[:, :, top : top + size, left : left + size] = paint[:, :, None, None]
        drops.append(before - _logits(model, model.encode_image(painted), texts))
    return _grid(model, pixels, torch.stack(drops, 1))


def gradient_map(model: SigLIP, pixels: Tensor, ids: Tensor) -> Tensor:
    """Gradient of the logit times its input, summed over each patch's last token.

    Args:
        model: Its head is differentiated, its layers are not.
        pixels: Images `[n, 3, S, S]`.
        ids: Texts `[n, L]`, one for each image.
    """
    _check(pixels, ids)
    with torch.no_grad():
        tokens, texts = _tower(model)(pixels).last_hidden_state, model.encode_text(ids)
    with torch.enable_grad():
        tokens = tokens.detach().requires_grad_()
        images = l2_normalize(_tower(model).head(tokens))
        (slopes,) = torch.autograd.grad(_logits(model, images, texts).sum(), tokens)
    return _grid(model, pixels, (slopes * tokens).sum(-1).detach())


def overlay(image: Image.Image, values: Tensor, image_size: int, patch_size: int) -> Image.Image:
    """Lay a map over the square that the model saw; where no patch lies, nothing is laid.

    Args:
        image: The picture; it is resized to a square, as in preprocessing.
        values: A map `[rows, columns]`, from 0 (nothing) to 1 (red); what lies beyond is clipped.
        image_size: Side in pixels of what the model sees, such as 384.
        patch_size: Side in pixels of a patch: 27 rows of 14 cover 378 of 384 pixels.

    Returns:
        RGB, `image_size` pixels a side.

    Raises:
        ValueError: If the map has another number of rows or columns.
    """
    side = image_size // patch_size
    if values.shape != (side, side):
        raise ValueError(f"the map is {list(values.shape)}; expected [{side}, {side}]")
    seen = image.convert("RGB").resize((image_size, image_size))
    shares = (values.detach().cpu().float().clamp(0, 1) * 200).to(torch.uint8)
    covered = Image.fromarray(shares.numpy()).resize(
        (side * patch_size,) * 2, Image.Resampling.NEAREST
    )
    mask = Image.new("L", seen.size)
    mask.paste(covered, (0, 0))  # from the top left, as the convolution counts
    return Image.composite(Image.new("RGB", seen.size, (214, 40, 40)), seen, mask)


def _tower(model: SigLIP) -> Any:
    """The image tower, whose head is read."""
    return model.vision_model


def _logits(model: SigLIP, images: Tensor, texts: Tensor) -> Tensor:
    """Of image i with text i: `[n]`."""
    return model.logits(images, texts).diagonal()


def _grid(model: SigLIP, pixels: Tensor, values: Tensor) -> Tensor:
    """From a row of patches `[n, N]` to `[n, rows, columns]`."""
    size = model.config.vision.patch_size
    return values.unflatten(1, (pixels.shape[-2] // size, pixels.shape[-1] // size))


def _check(pixels: Tensor, ids: Tensor | None = None) -> None:
    if pixels.ndim != 4:
        raise ValueError(f"pixels are {list(pixels.shape)}; expected [n, 3, S, S]")
    if ids is not None and len(ids) != len(pixels):
        raise ValueError(f"{len(pixels)} images and {len(ids)} texts; expected one text an image")
