"""Do probabilities mean what they say? Bins of answers, and one number."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["calibration_error", "reliability"]


def reliability(probabilities: Tensor, true: Tensor, bins: int = 10) -> Tensor:
    """Sort answers into bins of equal width by their probability.

    Args:
        probabilities: In [0, 1], of any shape.
        true: bool, whether what was asked is so, of the same shape.
        bins: Number of bins.

    Returns:
        float64 `[m, 3]`, a row for each bin that is not empty, lowest first: how many answers,
        their mean probability, and the share of them that is true.

    >>> reliability(torch.tensor([0.1, 0.1, 0.9]), torch.tensor([False, True, True]))
    tensor([[2.0000, 0.1000, 0.5000],
            [1.0000, 0.9000, 1.0000]], dtype=torch.float64)
    """
    p, y = _checked(probabilities, true, bins)
    place = (p * bins).long().clamp(max=bins - 1)
    count, scores, hits = (
        torch.zeros(bins, dtype=p.dtype).index_add(0, place, x) for x in (torch.ones_like(p), p, y)
    )
    full = count > 0
    return torch.stack([count, scores / count, hits / count], dim=1)[full]


def calibration_error(probabilities: Tensor, true: Tensor, bins: int = 10) -> float:
    """The expected calibration error: how far mean probability and share of truth lie apart.

    Each bin of `reliability` counts by its number of answers. 0 is the best; it says nothing of how
    useful the answers are: who always answers with the share of truth has 0, too.

    Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), eq. 3.

    >>> p, true = torch.tensor([0.1, 0.1, 0.9]), torch.tensor([False, True, True])
    >>> round(calibration_error(p, true), 6)
    0.3
    """
    count, scores, share = reliability(probabilities, true, bins).unbind(1)
    return ((scores - share).abs() @ count / count.sum()).item()


def _checked(probabilities: Tensor, true: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    if probabilities.shape != true.shape or true.dtype != torch.bool or not true.numel():
        raise ValueError(
            f"got probabilities {list(probabilities.shape)} and true {list(true.shape)} of "
            f"{true.dtype}; expected one truth value for each probability, at least one"
        )
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    p = probabilities.detach().flatten().cpu().double()
    if not bool(((p >= 0) & (p <= 1)).all()):  # NaN is neither
        raise ValueError("probabilities must be in [0, 1]: give the sigmoid of logits, not logits")
    return p, true.flatten().cpu().double()
