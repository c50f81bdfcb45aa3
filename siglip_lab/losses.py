"""Losses that make matching images and texts agree: CLIP's softmax, SigLIP's sigmoid, soft targets.

The sigmoid loss is a sum over pairs, and the derivative of each pair is known in closed form: value
and gradients come from one pass over blocks of the logits, which are never stored.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["clip_loss", "sigmoid_loss", "soft_target_loss"]


def clip_loss(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """CLIP's loss: each image picks its text among all, and each text its image.

    Args:
        image_embeds: Unit vectors `[n, D]`; row i belongs to row i of the texts.
        text_embeds: Unit vectors `[n, D]`.
        logit_scale: log t, a scalar, as models store it.

    Returns:
        The mean of the two cross-entropies, a scalar of at least float32.

    Raises:
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]`.

    Source: CLIP (arXiv 2103.00020), figure 3.

    >>> x = torch.eye(3)
    >>> round(clip_loss(x, x, torch.tensor(0.0)).item(), 4)
    0.5514
    """
    dtype = _check(image_embeds, text_embeds)
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, t = image_embeds.to(dtype), text_embeds.to(dtype), logit_scale.to(dtype).exp()
        logits = t * x @ y.T  # [n, n]
        labels = torch.arange(len(x), device=x.device)
        return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def soft_target_loss(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """Cross-entropy to soft targets: look-alikes in the batch share the probability.

    The targets are the softmax of the mean of image-image and text-text products, divided by t;
    gradients flow through them, too.

    Args:
        image_embeds: Vectors `[n, D]`; row i belongs to row i of the texts.
        text_embeds: Vectors `[n, D]`.
        logit_scale: log t, a scalar; the source has t = 1.

    Returns:
        The mean over both directions, a scalar of at least float32.

    Raises:
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]`.

    Source: Simple CLIP (github.com/moein-shariatnia/OpenAI-CLIP, ``CLIP.py``), where nothing is
    normalised.

    >>> x = torch.eye(3)
    >>> round(soft_target_loss(x, x, torch.tensor(0.0)).item(), 4)
    0.9753
    """
    dtype = _check(image_embeds, text_embeds, unit=False)
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, t = image_embeds.to(dtype), text_embeds.to(dtype), logit_scale.to(dtype).exp()
        logits = t * y @ x.T  # [n, n]
        targets = ((x @ x.T + y @ y.T) / 2 / t).softmax(dim=-1)  # [n, n]
        return (_soft_cross_entropy(logits, targets) + _soft_cross_entropy(logits.T, targets.T)) / 2


def sigmoid_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    chunk_size: int | None = None,
) -> Tensor:
    """SigLIP's loss: each of the n * n pairs is a yes-or-no question of its own.

    ``-sum(log(sigmoid(z * (t * cosine + b)))) / n``, with z = 1 where image and text belong
    together and -1 elsewhere. Value and gradients are computed together, block by block: beyond
    the inputs, memory holds their gradients and a few blocks, never the logits. There are no second
    derivatives.

    Args:
        image_embeds: Unit vectors `[n, D]`; row i belongs to row i of the texts.
        text_embeds: Unit vectors `[n, D]`.
        logit_scale: log t, a scalar, as models store it.
        logit_bias: b, a scalar.
        chunk_size: Side of a block of logits. Default: 512 on a CPU, 4096 elsewhere.

    Returns:
        A scalar of at least float32; half-precision embeddings are multiplied in float32.

    Raises:
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]`, or the
            chunk size is below 1.

    Warns:
        UserWarning: If a vector's length is off 1 by more than 0.001.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.

    >>> x = torch.eye(3)
    >>> round(sigmoid_loss(x, x, torch.tensor(10.0).log(), torch.tensor(-10.0)).item(), 4)
    0.6932
    """
    _check(image_embeds, text_embeds)
    if chunk_size is None:
        chunk_size = 512 if image_embeds.device.type == "cpu" else 4096
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; expected at least 1")
    tensors = (image_embeds, text_embeds, logit_scale, logit_bias)
    with_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return _sigmoid_loss(*tensors, chunk_size, with_grad)[0]


@torch.library.custom_op("siglip_lab::sigmoid_loss", mutates_args=())
def _sigmoid_loss(
    x: Tensor, y: Tensor, logit_scale: Tensor, logit_bias: Tensor, chunk: int, with_grad: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by the four tensors (empty if they are not wanted)."""
    n, dtype = len(x), torch.promote_types(x.dtype, torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        t, b = logit_scale.to(dtype).exp(), logit_bias.to(dtype).reshape(1)
        grad_x = torch.zeros(x.shape, dtype=dtype, device=x.device) if with_grad else None
        grad_y = torch.zeros_like(grad_x) if with_grad else None
        losses, biases = [], []
        slices = [slice(start, start + chunk) for start in range(0, n, chunk)]
        for row in slices:
            x_rows = x[row].to(dtype) * t
            for column in slices:
                y_columns = y[column].to(dtype)
                loss, grad = _block(x_rows, y_columns, b, matched=row == column)
                losses.append(loss)
                if with_grad:
                    biases.append(grad.sum())
                    grad_x[row].addmm_(grad, y_columns)
                    grad_y[column].addmm_(grad.T, x_rows)
        loss = torch.stack(losses).sum() / n
        if not with_grad:
            return loss, *(x.new_empty(0) for _ in range(4))
        grad_x *= t / n
        grad_y /= n
        grad_scale = torch.linalg.vecdot(x.to(dtype), grad_x).sum()  # of log t
        return (
            loss,
            grad_x.to(x.dtype),
            grad_y.to(y.dtype),
            grad_scale.to(logit_scale.dtype).reshape(logit_scale.shape),
            (torch.stack(biases).sum() / n).to(logit_bias.dtype).reshape(logit_bias.shape),
        )


def _block(x: Tensor, y: Tensor, b: Tensor, matched: bool) -> tuple[Tensor, Tensor]:
    """Sum of the losses of a block of pairs, and its derivative by each logit.

    A pair costs softplus(-z * logit); the derivative of softplus is the sigmoid.
    """
    logits = torch.addmm(b, x, y.T)  # [rows, columns]
    if matched:
        logits.diagonal().neg_()
    loss = F.softplus(logits).sum()
    grad = logits.sigmoid_()
    if matched:
        grad.diagonal().neg_()
    return loss, grad


@_sigmoid_loss.register_fake
def _(x, y, logit_scale, logit_bias, chunk, with_grad):
    loss = x.new_empty((), dtype=torch.promote_types(x.dtype, torch.float32))
    tensors = (x, y, logit_scale, logit_bias)
    return loss, *(torch.empty_like(each) if with_grad else x.new_empty(0) for each in tensors)


def _keep_gradients(ctx, inputs, output):
    ctx.save_for_backward(*output[1:])


def _scale_gradients(ctx, grad_loss, *_):
    return *(grad * grad_loss.to(grad.dtype) for grad in ctx.saved_tensors), None, None


_sigmoid_loss.register_autograd(_scale_gradients, setup_context=_keep_gradients)


def _soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def _check(image_embeds: Tensor, text_embeds: Tensor, unit: bool = True) -> torch.dtype:
    """Refuse what is no square batch; the type to compute in."""
    shapes = tuple(image_embeds.shape), tuple(text_embeds.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise ValueError(
            f"embeddings have shapes {shapes[0]} and {shapes[1]}; expected the same [n, D] twice: "
            "n images, and the text of each"
        )
    dtype = torch.promote_types(image_embeds.dtype, torch.float32)
    if unit and not torch.compiler.is_compiling():
        with torch.no_grad():
            off = max(
                (each.to(dtype).norm(dim=-1) - 1).abs().max().item()
                for each in (image_embeds, text_embeds)
            )
        if not off <= (1e-3 if image_embeds.dtype.itemsize > 2 else 1e-2):
            warnings.warn(
                f"a vector's length is off 1 by {off:.3g}; the loss expects unit vectors: "
                "torch.nn.functional.normalize(embeds, dim=-1)",
                stacklevel=3,
            )
    return dtype
