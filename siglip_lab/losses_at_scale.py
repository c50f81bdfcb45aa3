"""SigLIP's loss as training uses it: block by block, in one process or around a ring of them.

A pair's cost and its derivative depend on nothing but its own logit. So value and gradients come
from one pass over blocks of logits, which are never stored.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import forward_ad

from siglip_lab.checks import check_integer
from siglip_lab.loss_checks import check_pairs
from siglip_lab.pair_costs import HALF_SCALE, has_kernel, sum_and_derive
from siglip_lab.ring import BATCH_TYPES, compare_batches, pass_on

__all__ = ["distributed_sigmoid_loss", "sigmoid_loss"]

LossAndGradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def sigmoid_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    labels: Tensor | tuple[Tensor, Tensor] | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Compute `siglip_lab.losses.sigmoid_loss` and its gradients together, in blocks.

    Beyond the inputs, memory holds their gradients and two blocks. Nothing waits for a GPU: a step
    can be captured in a CUDA graph, or compiled as one graph.

    Args:
        image_embeds: Unit vectors `[n, D]`.
        text_embeds: Unit vectors `[n, D]`; with labels there may be m texts, `[m, D]`.
        logit_scale: log t, a scalar.
        logit_bias: b, a scalar.
        labels: As for the plain loss: bool `[n, m]`, or group ids; on the embeddings' device. An
            image may have several ids, `([n, k], [m])`: a text is true of all that have its id.
        chunk_size: Side of a block. Default: 2048 on a CPU, 8192 elsewhere.

    Returns:
        A scalar of at least float32. Half precision is multiplied in float32; on a CUDA GPU in half
        precision, with logits and sums in float32, and their derivatives rounded to half.

    Raises:
        TypeError, ValueError: As the plain loss, and for a chunk size that is no positive integer.
        NotImplementedError: For second and forward-mode derivatives, which the plain loss has.

    >>> x = torch.eye(3)
    >>> same_photo = torch.tensor([7, 7, 8])  # the first two texts are both true of both images
    >>> loss = sigmoid_loss(x, x, torch.tensor(10.0).log(), torch.tensor(-10.0), labels=same_photo)
    >>> round(loss.item(), 4)
    7.3599
    """
    tensors = image_embeds, text_embeds, logit_scale, logit_bias
    checked = check_pairs(*tensors[:2], tensors[2:], labels, sets=True)
    return _apply(tensors, checked, chunk_size, group="")


def distributed_sigmoid_loss(
    image_embeds: Tensor,
    text_embeds: Tensor,
    logit_scale: Tensor,
    logit_bias: Tensor,
    labels: Tensor | tuple[Tensor, Tensor] | None = None,
    group: dist.ProcessGroup | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """Compute SigLIP's loss of one process's images and the texts of all processes.

    The texts go around a ring while blocks are computed, and their gradient follows them home. All
    processes call this together, each with a batch of the same shape. DistributedDataParallel's
    mean of the gradients is then that of `sigmoid_loss` over the whole batch.

    Args: As for `sigmoid_loss`, and
        labels: Group ids of this process's images and texts, which reach over all processes.
        group: The processes, with Gloo or NCCL. Default: all.

    Returns:
        The sum over n images and all texts, over n; its mean over the processes is the loss.
        Backward must begin with the same number in each, as it does with a gradient scaler.

    Raises:
        TypeError, ValueError: As `sigmoid_loss`, for a matrix as labels, and in each process if
            their batches differ; on a GPU, where nothing is read back, an assertion on the device.
        RuntimeError: If another process is gone, or silent for longer than the group's time-out.

    Source: SigLIP (arXiv 2303.15343), section 3.3, with the gradients computed on the way.
    """
    group = group or dist.group.WORLD
    if group is None:
        raise ValueError("there is no process group: call torch.distributed.init_process_group")
    tensors = image_embeds, text_embeds, logit_scale, logit_bias
    try:
        checked = check_pairs(*tensors[:2], tensors[2:], labels, sets=True)
        if checked[0] is not None and checked[1] is None:
            raise TypeError("labels over many processes must be ids, ([n], [m]); got a matrix")
    except (TypeError, ValueError):
        if isinstance(image_embeds, Tensor):  # or the others would wait for this one's texts
            with suppress(ValueError):
                compare_batches([0] * 7, image_embeds.device, group)
        raise
    return _apply(tensors, checked, chunk_size, group.group_name)


def _apply(tensors, labels, chunk_size: int | None, group: str) -> Tensor:
    chunk_size = (2048 if tensors[0].is_cpu else 8192) if chunk_size is None else chunk_size
    check_integer("chunk_size", chunk_size)
    if not torch.compiler.is_compiling() and any(
        forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors
    ):  # PyTorch would take the operator's derivative for zero
        raise NotImplementedError("no forward-mode derivative: take siglip_lab.losses.sigmoid_loss")
    with_grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    with torch.autocast(tensors[0].device.type, enabled=False):
        return _loss_and_gradients(*tensors, *labels, chunk_size, with_grad, group)[0]


# ---- one operator: torch.compile would unroll the loops of anything that it sees ---------------


@torch.library.custom_op("siglip_lab::sigmoid_loss", mutates_args=())
def _loss_and_gradients(
    x: Tensor,
    y: Tensor,
    log_t: Tensor,
    b: Tensor,
    labels: Tensor | None,
    text_ids: Tensor | None,
    chunk: int,
    with_grad: bool,
    group: str,
) -> LossAndGradients:
    """The loss, and its gradients by the four tensors (empty if they are not wanted)."""
    dtype, narrow, world, rank, ids = _accumulate_in(x, y), _is_narrow(x, y), 1, 0, [text_ids]
    ring = dist.distributed_c10d._resolve_process_group(cast(Any, group)) if group else None
    if ring is not None:
        world, rank = ring.size(), ring.rank()
        kinds = BATCH_TYPES.index(x.dtype), BATCH_TYPES.index(y.dtype)
        compare_batches([*x.shape, len(y), *kinds, with_grad, labels is not None], x.device, ring)
        if text_ids is not None:
            ids = [torch.empty_like(text_ids) for _ in range(world)]
            dist.all_gather(ids, text_ids.contiguous(), ring)
    t, bias = log_t.to(dtype).exp().reshape(()), b.to(dtype).reshape(())
    sums, texts = x.new_zeros(3, dtype=dtype), y.contiguous()
    to_x, to_texts = x.new_zeros(x.shape, dtype=dtype) if with_grad else None, None
    for step in range(world):  # at hand are the texts of rank - step
        moving = [texts] * (step < world - 1) + [to_texts] * (to_texts is not None)
        arriving, wait = pass_on(moving, ring)
        to_these = y.new_zeros(y.shape, dtype=dtype) if with_grad else None
        true = labels, ids[(rank - step) % len(ids)], step == 0
        sums += _add_pairs(x, texts, t, bias, true, chunk, to_x, to_these)
        wait()
        if step < world - 1:
            texts = arriving[0]
        if with_grad:  # what the ranks before have added arrives one step behind the texts
            to_texts = to_these if step == 0 else arriving[-1].add_(to_these)
    loss, to_b = sums[0] / len(x), sums[1] / len(x)
    if to_x is None or to_texts is None:
        return cast(LossAndGradients, (loss, *(x.new_empty(0) for _ in range(4))))
    if world > 1:
        (to_texts,), wait = pass_on([to_texts], ring)  # the last step home
        wait()
    t_over_n = t / (len(x) * (HALF_SCALE if narrow else 1))
    to_x, to_y = to_x.mul_(t_over_n), to_texts.mul_(t_over_n)
    to_log_t = sums[2] * t / len(x)
    if not narrow:  # then the images' gradients, times the images, have all the digits
        parts = zip(x.split(4096), to_x.split(4096), strict=True)  # or all of x would be copied
        to_log_t = sum(torch.linalg.vecdot(a.to(dtype), grad).sum() for a, grad in parts)
    gradients = zip((x, y, log_t, b), (to_x, to_y, to_log_t, to_b), strict=True)
    as_given = (grad.to(each.dtype).reshape(each.shape) for each, grad in gradients)
    return cast(LossAndGradients, (loss, *as_given))


@_loss_and_gradients.register_fake
def _(x, y, log_t, b, labels, text_ids, chunk, with_grad, group):
    loss = x.new_empty((), dtype=_accumulate_in(x, y))
    return loss, *(each.new_empty(each.shape if with_grad else 0) for each in (x, y, log_t, b))


def _keep_gradients(ctx, inputs, output):
    ctx.set_materialize_grads(False)  # or backward gets zeros as large as the embeddings
    ctx.save_for_backward(*output[1:])


def _scale_gradients(ctx, grad_loss, *_):
    if grad_loss is None:
        return (None,) * 9
    if torch.is_grad_enabled():  # by create_graph=True
        raise NotImplementedError("no second derivative: take siglip_lab.losses.sigmoid_loss")
    return *(grad * grad_loss.to(grad.dtype) for grad in ctx.saved_tensors), *(None,) * 5


_loss_and_gradients.register_autograd(_scale_gradients, setup_context=_keep_gradients)


def _add_pairs(x, y, t, b, labels, chunk: int, to_x=None, to_y=None) -> Tensor:
    """Add derivatives times y to `to_x`, times x to `to_y`; the sums of `sum_and_derive`, `[3]`.

    Labels: a matrix or the images' ids, the texts' ids, and whether the texts are the images' own.
    """
    true, text_ids, own = labels
    n, m, dtype, narrow = len(x), len(y), _accumulate_in(x, y), _is_narrow(x, y)
    # Allocated once, sums included: small tensors left between the blocks would split a CPU's heap.
    block = x.new_empty(min(chunk, n) * min(chunk, m), dtype=dtype)
    narrow_block = torch.empty_like(block, dtype=x.dtype) if narrow else block
    sums = x.new_empty(-(-n // chunk), -(-m // chunk), 3, dtype=dtype)
    for i in range(0, n, chunk):
        rows = slice(i, i + chunk)
        x_rows = x[rows] if narrow else x[rows].to(dtype)
        for j in range(0, m, chunk):
            columns = slice(j, j + chunk)
            y_columns = y[columns] if narrow else y[columns].to(dtype)
            matched: Tensor | None = None
            if text_ids is not None:
                matched = _meet(true[rows], text_ids[columns])
            elif true is not None:
                matched = true[rows, columns]
            shape = len(x_rows), len(y_columns)
            cosines = block[: shape[0] * shape[1]].view(shape)
            derivatives = narrow_block[: cosines.numel()].view(shape)
            _add_product(cosines, x_rows, y_columns.T, beta=0)
            diagonal = i - j if own else chunk  # outside of the block
            pairs = cosines, t, b, matched, diagonal, derivatives
            sums[i // chunk, j // chunk] = sum_and_derive(*pairs)
            if to_x is not None:
                _add_product(to_x[rows], derivatives, y_columns)
                _add_product(to_y[columns], derivatives.T, x_rows)
    return sums.sum(dim=(0, 1))


def _meet(ids: Tensor, text_ids: Tensor) -> Tensor:
    """Whether an image has a text's id, bool `[rows, columns]`: of ids `[rows]` or `[rows, k]`."""
    first, *others = ids[:, None].unbind(-1) if ids.ndim == 2 else [ids[:, None]]
    matched = first == text_ids
    for more in others:
        matched |= more == text_ids
    return matched


def _add_product(out: Tensor, a: Tensor, b: Tensor, beta: int = 1) -> None:
    """Add `a @ b`, or with beta 0 write it over whatever is there."""
    if a.dtype != out.dtype and a.is_cuda:
        torch.addmm(out, a, b, out_dtype=out.dtype, beta=beta, out=out)
    else:
        torch.addmm(out, a.to(out.dtype), b.to(out.dtype), beta=beta, out=out)


def _is_narrow(x: Tensor, y: Tensor) -> bool:
    """Whether half precision is multiplied as it is."""
    return (
        x.dtype == y.dtype
        and x.dtype in (torch.float16, torch.bfloat16)
        and (x.is_cuda or has_kernel(x.device))
    )


def _accumulate_in(x: Tensor, y: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
