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

from siglip_lab.checks import check_integer

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
    labels: Tensor | tuple[Tensor, Tensor] | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """SigLIP's loss: each pair of an image and a text is a yes-or-no question of its own.

    ``-sum(log(sigmoid(z * (t * cosine + b)))) / n`` over all pairs, with z = 1 where image and text
    belong together and -1 elsewhere; n is the number of images. Value and gradients are computed
    together, block by block: beyond the inputs, memory holds their gradients and a few blocks,
    never the logits, nor a matrix of labels if group ids say what belongs together.

    An image may have several true texts, or none. Every pair weighs the same, so an image with
    three true texts is pulled three times. A loss that averages over the true texts of an image
    equals this one where each image has one, and no longer where some have more; one that weighs
    true pairs against false ones is another loss everywhere.

    Args:
        image_embeds: Unit vectors `[n, D]`.
        text_embeds: Unit vectors `[n, D]`; with labels there may be m texts, `[m, D]`.
        logit_scale: log t, a scalar, as models store it.
        logit_bias: b, a scalar.
        labels: Which pairs are true. Default: row i of the images with row i of the texts. A matrix
            bool `[n, m]`, or group ids: integers `[n]` of the images and `[m]` of the texts, where
            equal ids are a true pair, or one tensor `[n]` for both.
        chunk_size: Side of a block of logits. Default: 2048 on a CPU, 4096 elsewhere.

    Returns:
        A scalar of at least float32; half-precision embeddings are multiplied in float32.

    Raises:
        TypeError: If the embeddings are no floating-point tensors, a scalar is no tensor, the
            labels are neither bool nor ids, or the chunk size is no integer.
        ValueError: If the embeddings are not two non-empty tensors of one shape `[n, D]` (of one D,
            with labels), the labels have another shape, a scalar holds more than one number, or the
            chunk size is below 1.
        NotImplementedError: If a forward-mode or second derivative is asked for.

    Warns:
        UserWarning: If a vector's length is off 1 by more than 0.001 (0.01 in half precision).

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.

    >>> x = torch.eye(3)
    >>> round(sigmoid_loss(x, x, torch.tensor(10.0).log(), torch.tensor(-10.0)).item(), 4)
    0.6932
    >>> same_photo = torch.tensor([7, 7, 8])  # the first two texts are both true of both images
    >>> loss = sigmoid_loss(x, x, torch.tensor(10.0).log(), torch.tensor(-10.0), labels=same_photo)
    >>> round(loss.item(), 4)
    7.3599
    """
    tensors = (image_embeds, text_embeds, logit_scale, logit_bias)
    _check(*tensors, square=labels is None)
    _refuse_forward_mode(tensors)
    pair = _read_labels(labels, image_embeds, text_embeds)
    chunk = _chunk(chunk_size, image_embeds.device)
    return _sigmoid_loss(*tensors, *pair, chunk, _wants_gradients(tensors))[0]


def distributed_sigmoid_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    labels: Tensor | tuple[Tensor, Tensor] | None = None,
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
        text_embeds: Unit vectors `[n, D]`; with labels there may be m texts, `[m, D]`.
        logit_scale: log t, a scalar, equal in all processes.
        logit_bias: b, a scalar, equal in all processes.
        labels: Group ids of this process's images and texts, as for `sigmoid_loss`; equal ids are a
            true pair wherever image and text are. Default: row i of the images belongs to row i of
            this process's texts. There is no matrix here.
        group: The processes; default: all. Gloo and NCCL will do.
        chunk_size: Side of a block of logits. Default: 2048 on a CPU, 4096 elsewhere.

    Returns:
        A scalar: the sum over n images times all texts, divided by n. Backward must begin with the
        same number in each process, as it does by default and with a gradient scaler.

    Raises:
        TypeError: As `sigmoid_loss`, and if labels are a matrix.
        ValueError: As `sigmoid_loss`; in each process if their batches differ in shape or type, or
            only some want gradients or have labels.
        RuntimeError: If another process is gone, or silent for longer than the group's time-out.

    Source: SigLIP (arXiv 2303.15343), section 3.3, with the gradients computed on the way.
    """
    tensors = (image_embeds, text_embeds, logit_scale, logit_bias)
    with_grad = _wants_gradients(tensors)
    batches = _batches(image_embeds, text_embeds, labels, with_grad, group)
    _check(*tensors, square=labels is None)
    ids = _read_ids(labels, image_embeds, text_embeds)
    if len(set(batches)) > 1:
        ranks = "\n".join(f"  rank {rank}: {each}" for rank, each in enumerate(batches))
        raise ValueError(
            f"the ranks' batches differ:\n{ranks}\nexpected the same everywhere; for an uneven "
            "last batch, give the sampler and the loader drop_last=True"
        )
    chunk = _chunk(chunk_size, image_embeds.device)
    return _DistributedSigmoidLoss.apply(*tensors, *ids, chunk, with_grad, group)


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
    x: Tensor,
    y: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    labels: Tensor | None,
    text_ids: Tensor | None,
    chunk: int,
    with_grad: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The loss, and its gradients by the four tensors (empty if they are not wanted)."""
    tensors = (x, y, logit_scale, logit_bias)
    grad_x, grad_y = (_sums_like(x), _sums_like(y)) if with_grad else (None, None)
    loss, grad_b = _add_pairs(*tensors, labels, text_ids, chunk, True, grad_x, grad_y)
    if not with_grad:
        return loss, *(x.new_empty(0) for _ in tensors)
    return loss, *_gradients(*tensors, grad_x, grad_y, grad_b)


@_sigmoid_loss.register_fake
def _(x, y, logit_scale, logit_bias, labels, text_ids, chunk, with_grad):
    loss = x.new_empty((), dtype=_accumulate_in(x))
    tensors = (x, y, logit_scale, logit_bias)
    return loss, *(torch.empty_like(each) if with_grad else x.new_empty(0) for each in tensors)


def _keep_gradients(ctx, inputs, output):
    ctx.set_materialize_grads(False)  # or backward gets zeros as large as the embeddings
    ctx.save_for_backward(*output[1:])


def _scale_gradients(ctx, grad_loss, *_):
    if grad_loss is None:
        return (None,) * 8
    if torch.is_grad_enabled():  # by create_graph=True
        raise NotImplementedError(
            "sigmoid_loss has no second derivatives: write -logsigmoid(z * logits).sum() / n out"
        )
    return *(grad * grad_loss.to(grad.dtype) for grad in ctx.saved_tensors), *(None,) * 4


_sigmoid_loss.register_autograd(_scale_gradients, setup_context=_keep_gradients)


# ---- many processes ------------------------------------------------------------------------------


class _DistributedSigmoidLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, logit_scale, logit_bias, image_ids, text_ids, chunk, with_grad, group):
        tensors = (x, y, logit_scale, logit_bias)
        grad_x, grad_texts = (_sums_like(x), _sums_like(y)) if with_grad else (None, None)
        loss, grad_b, texts = 0, 0, y.contiguous()
        for step in range(dist.get_world_size(group)):
            pairs = x, texts, *tensors[2:], image_ids, text_ids
            sums = _add_pairs(*pairs, chunk, step == 0, grad_x, grad_texts)
            loss, grad_b = loss + sums[0], grad_b + sums[1]
            texts, grad_texts = _pass_on(texts, group), _pass_on(grad_texts, group)
            text_ids = _pass_on(text_ids, group)
        if with_grad:
            ctx.save_for_backward(*_gradients(*tensors, grad_x, grad_texts, grad_b))
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss):
        gradients = (grad * grad_loss.to(grad.dtype) for grad in ctx.saved_tensors)
        return *gradients, *(None,) * 5


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


def _batches(
    x: Tensor, y: Tensor, labels, with_grad: bool, group: dist.ProcessGroup | None
) -> list[str]:
    """What each rank brings, in words."""
    dtypes = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    shapes = [*x.shape, *y.shape] if x.ndim == y.ndim == 2 else [0] * 4
    ids = _ids(labels)
    counts = [len(each) for each in ids] if ids else [-1 if labels is None else -2] * 2
    types = dtypes.index(x.dtype), dtypes.index(y.dtype)
    mine = torch.tensor([*shapes, *types, with_grad, *counts]).to(x.device)
    gathered = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, mine, group)
    return [
        f"images [{a}, {b}] {dtypes[i]}, texts [{c}, {d}] {dtypes[j]}, "
        f"{'with' if g else 'without'} gradients".replace("torch.", "")
        + {-1: "", -2: ", labels that are no ids"}.get(p, f", ids [{p}] and [{q}]")
        for a, b, c, d, i, j, g, p, q in (each.tolist() for each in gathered)
    ]


# ---- pairs ---------------------------------------------------------------------------------------


def _add_pairs(
    x, y, logit_scale, logit_bias, labels, text_ids, chunk, own: bool, grad_x=None, grad_y=None
) -> tuple[Tensor, Tensor]:
    """Losses of all pairs of n images `[n, D]` and m texts `[m, D]`, over n, and the gradient by b.

    Labels are a bool matrix, or the images' ids and then the texts'. Without them, text i belongs
    to image i among the images' own texts, and no other text to any. The gradients by x and y are
    written to ``grad_x`` and ``grad_y`` with the images' own texts, and added with others.
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
                if labels is None:
                    matched = own and i == j
                elif text_ids is None:
                    matched = labels[rows, columns]
                else:
                    matched = labels[rows, None] == text_ids[columns]
                loss, grad = _block(logits, matched)
                sums[0, i // chunk, j // chunk] = loss
                sums[1, i // chunk, j // chunk] = grad.sum()
                if grad_x is not None:
                    first_x, first_y = own and j == 0, own and i == 0
                    grad_x[rows].addmm_(grad, y_columns, alpha=t / n, beta=not first_x)
                    grad_y[columns].addmm_(grad.T, x_rows, alpha=t / n, beta=not first_y)
    return sums[0].sum() / n, sums[1].sum() / n


def _block(logits: Tensor, matched: Tensor | bool) -> tuple[Tensor, Tensor]:
    """Sum of the losses of a block of pairs, and its derivative by each logit, in their place.

    True pairs are those of a bool matrix, or the diagonal, or none. A pair costs
    softplus(-z * logit); the derivative of softplus is the sigmoid.
    """
    if isinstance(matched, Tensor):
        true, sign = logits, torch.where(matched, -1.0, 1.0)  # one block more, and no index
    else:
        true, sign = logits.diagonal() if matched else logits[:0], -1
    true.mul_(sign)
    loss = F.softplus(logits).sum()
    logits.sigmoid_()
    true.mul_(sign)
    return loss, logits


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


def _ids(labels) -> tuple[Tensor, Tensor] | None:
    """Group ids of the images and of the texts; None if labels are no such thing."""
    pair = tuple(labels) if isinstance(labels, (tuple, list)) else (labels, labels)
    return pair if len(pair) == 2 and all(map(_is_vector_of_integers, pair)) else None


def _is_vector_of_integers(value) -> bool:
    if not isinstance(value, Tensor) or value.ndim != 1 or value.dtype == torch.bool:
        return False
    return not (value.is_floating_point() or value.is_complex())


def _read_labels(labels, x: Tensor, y: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """A bool matrix and None, or what `_read_ids` gives."""
    if not (isinstance(labels, Tensor) and labels.dtype == torch.bool):
        return _read_ids(labels, x, y)
    if labels.shape != (len(x), len(y)):
        raise ValueError(
            f"labels have shape {list(labels.shape)}; expected [{len(x)}, {len(y)}], one for each "
            "pair of an image and a text"
        )
    return labels.to(x.device), None


def _read_ids(labels, x: Tensor, y: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Group ids of the images and of the texts, or twice None for the diagonal."""
    if labels is None:
        return None, None
    ids = _ids(labels)
    if ids is None:
        kind = f"of type {type(labels).__name__}"
        if isinstance(labels, Tensor):
            kind = f"a {labels.dtype} tensor of shape {tuple(labels.shape)}"
        raise TypeError(
            f"labels are {kind}; expected integer group ids, a pair of tensors ([n], [m]) or one "
            "[n] for both, or, in one process, a bool matrix [n, m], as labels > 0 makes of z = +1 "
            "and -1; soft labels are not supported"
        )
    counts = [len(each) for each in ids]
    if counts != [len(x), len(y)]:
        raise ValueError(
            f"ids have shapes [{counts[0]}] and [{counts[1]}]; expected [{len(x)}] and [{len(y)}], "
            "one for each image and one for each text: give a pair of tensors"
        )
    image_ids, text_ids = (each.to(x.device, torch.int64).contiguous() for each in ids)
    return image_ids, text_ids


def _check(
    image_embeds: Tensor,
    text_embeds: Tensor,
    *scalars: Tensor,
    unit: bool = True,
    square: bool = True,
) -> None:
    """Refuse what is no batch, and warn of what no trained pair of towers gives."""
    for embeds in (image_embeds, text_embeds):
        if not isinstance(embeds, Tensor) or not embeds.is_floating_point():
            kind = embeds.dtype if isinstance(embeds, Tensor) else type(embeds).__name__
            raise TypeError(f"embeddings are {kind}; expected two floating-point tensors [n, D]")
    shapes = tuple(image_embeds.shape), tuple(text_embeds.shape)
    first = 0 if square else 1  # with labels, the numbers of rows may differ
    matrices = all(len(shape) == 2 and 0 not in shape for shape in shapes)
    if not matrices or shapes[0][first:] != shapes[1][first:]:
        expected = "the same [n, D] twice: n images, and the text of each"
        if not square:
            expected = "[n, D] and [m, D]: n images and m texts"
        raise ValueError(f"embeddings have shapes {shapes[0]} and {shapes[1]}; expected {expected}")
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
