"""What the losses refuse, by types and shapes alone: no value is read back."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_pairs"]


def check_pairs(
    x: Tensor, y: Tensor, scalars: tuple[Tensor, ...], labels=None, sets: bool = False
) -> tuple[Tensor | None, Tensor | None]:
    """Refuse wrong types and shapes, reading no value; `sets` lets an image have several ids.

    Returns: Labels as bool `[n, m]` and None, or ids `[n]` (or `[n, k]`) and `[m]`, or, by default,
    None twice.
    """
    if not all(isinstance(each, Tensor) for each in (x, y, *scalars)):
        raise TypeError("embeddings, logit_scale and logit_bias must be tensors")
    if not (x.is_floating_point() and y.is_floating_point()):
        raise TypeError(f"embeddings are {x.dtype} and {y.dtype}; expected floating-point tensors")
    expected = "[n, D] twice, a text for each image" if labels is None else "[n, D] and [m, D]"
    matrices = x.ndim == y.ndim == 2 and x.numel() and y.numel() and x.shape[1] == y.shape[1]
    if not matrices or (labels is None and x.shape[0] != y.shape[0]):
        raise ValueError(f"embeddings are {list(x.shape)} and {list(y.shape)}; expected {expected}")
    if any(scalar.numel() != 1 for scalar in scalars):
        raise ValueError("logit_scale and logit_bias hold one number each; one here holds more")
    if labels is None:
        return None, None
    matrix = isinstance(labels, Tensor) and labels.dtype == torch.bool
    given = labels if isinstance(labels, (tuple, list)) else [labels] * (2 - matrix)
    each = list(given)
    if sets and given is labels and len(each) == 2 and getattr(each[0], "ndim", 0) == 2:
        each[0] = each[0].flatten(1)[:, :1].squeeze(1)  # each image's first id stands for all
    if not matrix and not (len(given) == 2 and all(map(_are_ids, each))):
        raise TypeError(
            "labels must be a bool matrix [n, m], as labels > 0 makes of +1 and -1, or integer "
            f"ids: ([n], [m]) or one [n] for both; got {getattr(labels, 'dtype', type(labels))}"
        )
    shapes, (n, m) = [tuple(ids.shape) for ids in each], (x.shape[0], y.shape[0])
    if shapes != ([(n, m)] if matrix else [(n,), (m,)]):
        raise ValueError(f"labels of shape {shapes} do not fit {n} images, {m} texts")
    first, *second = (ids.to(x.device, torch.bool if matrix else torch.int64) for ids in given)
    return first, second[0] if second else None


def _are_ids(ids) -> bool:
    integers = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
    return isinstance(ids, Tensor) and ids.ndim == 1 and ids.dtype in integers
