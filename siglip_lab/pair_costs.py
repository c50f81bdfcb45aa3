"""What a block of pairs costs, and its derivatives: the elementwise part of the loss at scale.

On a CUDA GPU one Triton kernel reads and writes each number once; elsewhere PyTorch does the same.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor
from torch.nn import functional as F

try:
    import triton
    from triton import language as tl
except ImportError:  # comes with PyTorch for CUDA
    triton = None

__all__ = ["HALF_SCALE", "has_kernel", "sum_and_derive"]

HALF_SCALE = 2**15  # keeps derivatives of 1e-9 in float16; a power of two changes no digit


def has_kernel(device: torch.device) -> bool:
    """Tell whether Triton's kernel runs there; on a CPU, in Triton's interpreter only."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    return triton is not None and (device.type == "cuda" or interpreted)


def sum_and_derive(
    cosines: Tensor, t: Tensor, b: Tensor, true: Tensor | None, diagonal: int, out: Tensor
) -> Tensor:
    """Write the derivative of each pair's cost by its logit, and add up.

    A pair costs softplus(-z * logit), whose derivative is -z * sigmoid(-z * logit).

    Args:
        cosines: `[rows, columns]`, contiguous, at least float32; overwritten.
        t: A scalar of that type.
        b: A scalar of that type.
        true: The pairs with z = 1, bool `[rows, columns]`. None: those of a diagonal.
        diagonal: Which one, as in `torch.diagonal`; out of the block, no pair is true.
        out: Where the derivatives go: the same memory, or half precision, times `HALF_SCALE`.

    Returns:
        The sums of costs, derivatives, and in half precision derivatives times cosines, `[3]`:
        from rounded derivatives, log t would get a gradient with few digits, or none.
    """
    if cosines.dtype == torch.float32 and has_kernel(cosines.device):
        return _by_kernel(cosines, t, b, true, diagonal, out)
    sums, narrow = cosines.new_zeros(3), out.dtype != cosines.dtype
    size = 1024 if cosines.is_cpu else len(cosines)  # or softplus would take a whole block more
    for start in range(0, len(cosines), size):
        rows = slice(start, start + size)
        of_part = cosines[rows].clone() if narrow else None
        part = torch.addcmul(b, cosines[rows], t, out=cosines[rows])
        if true is None:
            positive, sign = part.diagonal(diagonal + start), part.new_full((), -1)
        else:
            positive, sign = part, torch.where(true[rows], -1.0, 1.0)
        positive.mul_(sign)  # -z * logit; to subtract the logit from the cost would cancel digits
        sums[0] += F.softplus(part, threshold=40).sum()  # the default, 20, is too few for float64
        part.sigmoid_()
        positive.mul_(sign)
        sums[1] += part.sum()
        if of_part is not None:
            sums[2] += of_part.mul_(part).sum()
            torch.mul(part, HALF_SCALE, out=out[rows])
    return sums


def _by_kernel(cosines, t, b, true, diagonal: int, out) -> Tensor:
    rows, columns = cosines.shape
    grid = triton.cdiv(rows, 16), triton.cdiv(columns, 256)
    sums = cosines.new_empty(3, *grid)
    labels = cosines if true is None else true.contiguous().view(torch.uint8)
    scale = 1 if out.dtype == cosines.dtype else HALF_SCALE
    with torch.cuda.device_of(cosines):  # Triton starts on the current device, not the tensors'
        _kernel[grid](
            cosines, t, b, labels, out, *sums, rows, columns, diagonal, scale, true is not None,
            16, 256, num_warps=8,
        )  # fmt: skip
    return sums.sum(dim=(1, 2))


if triton is not None:

    @triton.jit
    def _kernel(
        cosines, t, b, labels, out, costs, derivatives, products, rows, columns, diagonal, scale,
        LABELS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    ):  # fmt: skip
        row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
        column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        inside = (row < rows) & (column < columns)
        at = row.to(tl.int64) * columns + column
        cosine = tl.load(cosines + at, mask=inside, other=0.0)
        logit = cosine * tl.load(t) + tl.load(b)
        if LABELS:
            positive = tl.load(labels + at, mask=inside, other=0) != 0
        else:
            positive = column == row + diagonal
        logit = tl.where(positive, -logit, logit)  # -z * logit
        e = tl.exp(-tl.abs(logit))  # one exponential for softplus and sigmoid
        # log(1 + e) = 2 artanh(s): no slow logarithm, and a small e keeps digits that 1 + e loses
        s = e / (2 + e)
        q = s * s  # at most 1/9
        series = 1 + q * (
            1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13)))))
        )
        softplus = tl.maximum(logit, 0.0) + 2 * s * series
        sigmoid = tl.where(logit < 0, e, 1.0) / (1 + e)
        derivative = tl.where(inside, tl.where(positive, -sigmoid, sigmoid), 0.0)
        tl.store(out + at, (derivative * scale).to(out.dtype.element_ty), mask=inside)
        program = tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)
        tl.store(costs + program, tl.sum(tl.where(inside, softplus, 0.0)))
        tl.store(derivatives + program, tl.sum(derivative))
        tl.store(products + program, tl.sum(derivative * cosine))
