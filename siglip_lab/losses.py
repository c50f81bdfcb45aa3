"""Losses that make matching images and texts agree: CLIP's softmax, SigLIP's sigmoid, soft targets.

The sigmoid loss is a sum over pairs, and the derivative of each pair is known in closed form: value
and gradients come from one pass over blocks of the logits, which are never stored.
"""

from __future__ import annotations

import warnings

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from siglip_lab.configs import check_integer

__all__ = ["clip_loss", "distributed_sigmoid_loss", "sigmoid_loss", "soft_target_loss"]


def clip_loss(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """CLIP's loss: each image picks its text among all, and each text its image.

    Args:
        image_embeds: Unit vectors `[n, D]`; row i belongs to row i of the texts.
        text_embeds: Unit vectors `[n, D]`.
        logit_scale: log t, a scalar, as models store it.

    Returns:
        The mean of the two cross-entropies, a scalar of at least float32.

    Raises:
        TypeError: If the embeddings are no floating-point tensors.
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]`.

    Source: CLIP (arXiv 2103.00020), figure 3.

    >>> x = torch.eye(3)
    >>> round(clip_loss(x, x, torch.tensor(0.0)).item(), 4)
    0.5514
    """
    _check(image_embeds, text_embeds, logit_scale)
    dtype = _accumulate_in(image_embeds)
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
        TypeError: If the embeddings are no floating-point tensors.
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]`.

    Source: Simple CLIP (github.com/moein-shariatnia/OpenAI-CLIP, ``CLIP.py``), where nothing is
    normalised.

    >>> x = torch.eye(3)
    >>> round(soft_target_loss(x, x, torch.tensor(0.0)).item(), 4)
    0.9753
    """
    _check(image_embeds, text_embeds, logit_scale, unit=False)
    dtype = _accumulate_in(image_embeds)
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, t = image_embeds.to(dtype), text_embeds.to(dtype), logit_scale.to(dtype).exp()
        logits = t * y @ x.T  # [n, n]
        targets = ((x @ x.T + y @ y.T) / 2 / t).softmax(dim=-1)  # [n, n]
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets.T)) / 2


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
    the inputs, memory holds their gradients and a few blocks, never the logits.

    Args:
        image_embeds: Unit vectors `[n, D]`; row i belongs to row i of the texts.
        text_embeds: Unit vectors `[n, D]`.
        logit_scale: log t, a scalar, as models store it.
        logit_bias: b, a scalar.
        chunk_size: Side of a block of logits. Default: 2048 on a CPU, 4096 elsewhere.

    Returns:
        A scalar of at least float32; half-precision embeddings are multiplied in float32.

    Raises:
        TypeError: If the embeddings are no floating-point tensors, a scalar is no tensor, or the
            chunk size no integer.
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]`, a scalar
            holds more than one number, or the chunk size is below 1.
        NotImplementedError: If a forward-mode or second derivative is asked for.

    Warns:
        UserWarning: If a vector's length is off 1 by more than 0.001 (0.01 in half precision).

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.

    >>> x = torch.eye(3)
    >>> round(sigmoid_loss(x, x, torch.tensor(10.0).log(), torch.tensor(-10.0)).item(), 4)
    0.6932
    """
    tensors = (image_embeds, text_embeds, logit_scale, logit_bias)
    _check(*tensors)
    _refuse_forward_mode(tensors)
    chunk = _chunk(chunk_size, image_embeds.device)
    return _sigmoid_loss(*tensors, chunk, _wants_gradients(tensors))[0]


def distributed_sigmoid_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    group: dist.ProcessGroup | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """SigLIP's loss of one process's images and the texts of all processes.

    The texts go around a ring, and their gradient travels with them until both are home again. A
    process holds the texts of one other at a time, and a few blocks of logits. All processes of the
    group call this together, each with its own batch.

    `DistributedDataParallel` averages the gradients of the processes. That average is the gradient
    of `sigmoid_loss` over the whole batch, and the mean of the returned values is its value.

    Args:
        image_embeds: This process's unit vectors `[n, D]`, the same shape in each process.
        text_embeds: Unit vectors `[n, D]`; row i belongs to row i of the images.
        logit_scale: log t, a scalar, equal in all processes.
        logit_bias: b, a scalar, equal in all processes.
        group: The processes; default: all. Gloo and NCCL will do.
        chunk_size: Side of a block of logits. Default: 2048 on a CPU, 4096 elsewhere.

    Returns:
        A scalar: the sum over n images times all texts, divided by n. Backward must begin with the
        same number in each process, as it does by default and with a gradient scaler.

    Raises:
        ValueError: As `sigmoid_loss`; in each process if their batches differ in shape or type, or
            only some want gradients.
        RuntimeError: If another process is gone, or silent for longer than the group's time-out.

    Source: SigLIP (arXiv 2303.15343), section 3.3, with the gradients computed on the way.
    """
    tensors = (image_embeds, text_embeds, logit_scale, logit_bias)
    with_grad = _wants_gradients(tensors)
    batches = _batches(image_embeds, text_embeds, with_grad, group)
    _check(*tensors)
    if len(set(batches)) > 1:
        ranks = "\n".join(f"  rank {rank}: {each}" for rank, each in enumerate(batches))
        raise ValueError(
            f"the ranks' batches differ:\n{ranks}\nexpected the same everywhere; for an uneven "
            "last batch, give the sampler and the loader drop_last=True"
        )
    chunk = _chunk(chunk_size, image_embeds.device)
    return _DistributedSigmoidLoss.apply(*tensors, chunk, with_grad, group)


def _wants_gradients(tensors: tuple[Tensor, ...]) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _chunk(chunk_size: int | None, device: torch.device) -> int:
    if chunk_size is None:
        return 2048 if device.type == "cpu" else 4096
    check_integer("chunk_size", chunk_size)
    return chunk_size


def _refuse_forward_mode(tensors: tuple[Tensor, ...]) -> None:
    """PyTorch would take the operator's derivative for zero."""
    if torch.compiler.is_compiling():
        return
    if any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors):
        raise NotImplementedError("sigmoid_loss has no forward-mode derivative: use backward()")


# ---- one process ---------------------------------------------------------------------------------


@torch.library.custom_op("siglip_lab::sigmoid_loss", mutates_args=())
def _sigmoid_loss(
    x: Tensor, y: Tensor, logit_scale: Tensor, logit_bias: Tensor, chunk: int, with_grad: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by the four tensors (empty if they are not wanted)."""
    tensors = (x, y, logit_scale, logit_bias)
    grad_x, grad_y = (_sums_like(x), _sums_like(y)) if with_grad else (None, None)
    loss, grad_b = _add_pairs(*tensors, chunk, True, grad_x, grad_y)
    if not with_grad:
        return loss, *(x.new_empty(0) for _ in tensors)
    return loss, *_gradients(*tensors, grad_x, grad_y, grad_b)


@_sigmoid_loss.register_fake
def _(x, y, logit_scale, logit_bias, chunk, with_grad):
    loss = x.new_empty((), dtype=_accumulate_in(x))
    tensors = (x, y, logit_scale, logit_bias)
    return loss, *(torch.empty_like(each) if with_grad else x.new_empty(0) for each in tensors)


def _keep_gradients(ctx, inputs, output):
    ctx.set_materialize_grads(False)  # or backward gets zeros as large as the embeddings
    ctx.save_for_backward(*output[1:])


def _scale_gradients(ctx, grad_loss, *_):
    if grad_loss is None:
        return (None,) * 6
    if torch.is_grad_enabled():  # by create_graph=True
        raise NotImplementedError(
            "sigmoid_loss has no second derivatives: write -logsigmoid(z * logits).sum() / n out"
        )
    return *(grad * grad_loss.to(grad.dtype) for grad in ctx.saved_tensors), None, None


_sigmoid_loss.register_autograd(_scale_gradients, setup_context=_keep_gradients)


# ---- many processes ------------------------------------------------------------------------------


class _DistributedSigmoidLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, logit_scale, logit_bias, chunk, with_grad, group):
        tensors = (x, y, logit_scale, logit_bias)
        grad_x, grad_texts = (_sums_like(x), _sums_like(y)) if with_grad else (None, None)
        loss, grad_b, texts = 0, 0, y.contiguous()
        for step in range(dist.get_world_size(group)):
            sums = _add_pairs(x, texts, *tensors[2:], chunk, step == 0, grad_x, grad_texts)
            loss, grad_b = loss + sums[0], grad_b + sums[1]
            texts, grad_texts = _pass_on(texts, group), _pass_on(grad_texts, group)
        if with_grad:
            ctx.save_for_backward(*_gradients(*tensors, grad_x, grad_texts, grad_b))
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss):
        gradients = (grad * grad_loss.to(grad.dtype) for grad in ctx.saved_tensors)
        return *gradients, None, None, None


def _pass_on(tensor: Tensor | None, group: dist.ProcessGroup | None) -> Tensor | None:
    """Send to the next rank of the ring; what the one before has sent."""
    ranks, me = dist.get_process_group_ranks(group), dist.get_rank(group)
    if tensor is None or len(ranks) == 1:
        return tensor
    received = torch.empty_like(tensor)
    to, source = ranks[(me + 1) % len(ranks)], ranks[me - 1]
    send = dist.P2POp(dist.isend, tensor, to, group)
    receive = dist.P2POp(dist.irecv, received, source, group)
    for request in dist.batch_isend_irecv([send, receive]):
        request.wait()
    return received


def _batches(x: Tensor, y: Tensor, with_grad: bool, group: dist.ProcessGroup | None) -> list[str]:
    """What each rank brings, in words."""
    dtypes = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    shapes = [*x.shape, *y.shape] if x.ndim == y.ndim == 2 else [0] * 4
    mine = torch.tensor([*shapes, dtypes.index(x.dtype), dtypes.index(y.dtype), with_grad])
    mine = mine.to(x.device)
    gathered = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, mine, group)
    return [
        f"images [{a}, {b}] {dtypes[i]}, texts [{c}, {d}] {dtypes[j]}, "
        f"{'with' if g else 'without'} gradients".replace("torch.", "")
        for a, b, c, d, i, j, g in (each.tolist() for each in gathered)
    ]


# ---- pairs ---------------------------------------------------------------------------------------


def _add_pairs(
    x, y, logit_scale, logit_bias, chunk, own: bool, grad_x=None, grad_y=None
) -> tuple[Tensor, Tensor]:
    """Losses of all pairs of n images `[n, D]` and m texts `[m, D]`, over n, and the gradient by b.

    With the images' own texts, text i belongs to image i, and the gradients by x and y are written
    to ``grad_x`` and ``grad_y``; with other texts no pair belongs together, and they are added.
    """
    n, m, dtype = len(x), len(y), _accumulate_in(x)
    block = x.new_empty(min(chunk, n), min(chunk, m), dtype=dtype)
    sums = x.new_empty(2, -(-n // chunk), -(-m // chunk), dtype=dtype)  # of losses, of gradients
    t, b = logit_scale.to(dtype).exp().item(), logit_bias.to(dtype).reshape(1)
    with torch.autocast(x.device.type, enabled=False):
        for i in range(0, n, chunk):
            rows = slice(i, i + chunk)
            x_rows = x[rows].to(dtype)
            for j in range(0, m, chunk):
                columns = slice(j, j + chunk)
                y_columns = y[columns].to(dtype)
                logits = block[: len(x_rows), : len(y_columns)]
                torch.addmm(b, x_rows, y_columns.T, alpha=t, out=logits)
                loss, grad = _block(logits, own and i == j)
                sums[0, i // chunk, j // chunk] = loss
                sums[1, i // chunk, j // chunk] = grad.sum()
                if grad_x is not None:
                    first_x, first_y = own and j == 0, own and i == 0
                    grad_x[rows].addmm_(grad, y_columns, alpha=t / n, beta=not first_x)
                    grad_y[columns].addmm_(grad.T, x_rows, alpha=t / n, beta=not first_y)
    return sums[0].sum() / n, sums[1].sum() / n


def _block(logits: Tensor, matched: bool) -> tuple[Tensor, Tensor]:
    """Sum of the losses of a block of pairs, and its derivative by each logit, in their place.

    A pair costs softplus(-z * logit); the derivative of softplus is the sigmoid.
    """
    if matched:
        logits.diagonal().neg_()
    loss = F.softplus(logits).sum()
    grad = logits.sigmoid_()
    if matched:
        grad.diagonal().neg_()
    return loss, grad


def _gradients(x, y, logit_scale, logit_bias, grad_x, grad_y, grad_b) -> list[Tensor]:
    """Gradients by the four tensors, in their types and shapes."""
    rows = zip(x.split(4096), grad_x.split(4096), strict=True)
    with torch.autocast(x.device.type, enabled=False):
        products = (torch.linalg.vecdot(part.to(grad.dtype), grad) for part, grad in rows)
        grad_log_t = sum(each.sum() for each in products)
    tensors, grads = (x, y, logit_scale, logit_bias), (grad_x, grad_y, grad_log_t, grad_b)
    return [g.to(each.dtype).reshape(each.shape) for each, g in zip(tensors, grads, strict=True)]


def _sums_like(embeds: Tensor) -> Tensor:
    return torch.empty_like(embeds, dtype=_accumulate_in(embeds))


def _accumulate_in(embeds: Tensor) -> torch.dtype:
    return torch.promote_types(embeds.dtype, torch.float32)


def _check(image_embeds: Tensor, text_embeds: Tensor, *scalars: Tensor, unit: bool = True) -> None:
    """Refuse what is no square batch, and warn of what no trained pair of towers gives."""
    for embeds in (image_embeds, text_embeds):
        if not isinstance(embeds, Tensor) or not embeds.is_floating_point():
            kind = embeds.dtype if isinstance(embeds, Tensor) else type(embeds).__name__
            raise TypeError(f"embeddings are {kind}; expected two floating-point tensors [n, D]")
    shapes = tuple(image_embeds.shape), tuple(text_embeds.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise ValueError(
            f"embeddings have shapes {shapes[0]} and {shapes[1]}; expected the same [n, D] twice: "
            "n images, and the text of each"
        )
    for name, scalar in zip(("logit_scale", "logit_bias"), scalars, strict=False):
        if not isinstance(scalar, Tensor):
            raise TypeError(f"{name} is {scalar!r}; expected a tensor that holds one number")
        if scalar.numel() != 1:
            raise ValueError(f"{name} has shape {tuple(scalar.shape)}; expected one number")
    if torch.compiler.is_compiling():
        return
    if scalars[0] > 7:
        warnings.warn("logit_scale is above 7, so t above 1000: the loss takes log t", stacklevel=3)
    if unit and not (_are_unit(image_embeds) and _are_unit(text_embeds)):
        warnings.warn(
            "a vector's length is off 1 by more than 0.001 (0.01 in half precision): the loss "
            "expects unit vectors, as torch.nn.functional.normalize(embeds, dim=-1) makes them",
            stacklevel=3,
        )


@torch.no_grad()
def _are_unit(embeds: Tensor) -> bool:
    tolerance = 1e-3 if embeds.dtype.itemsize > 2 else 1e-2
    lengths = torch.linalg.vector_norm(embeds, dim=-1, dtype=_accumulate_in(embeds))
    return bool(((lengths - 1).abs() <= tolerance).all())
