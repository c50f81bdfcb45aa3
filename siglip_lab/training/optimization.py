"""AdamW with the paper's β2, and a schedule: a linear rise, then half a cosine."""

from __future__ import annotations

import math

import torch
from torch import nn

__all__ = ["BETAS", "adamw", "learning_rate", "set_learning_rate"]

BETAS = (0.9, 0.95)  # the paper's; 0.95 keeps large batches stable, where 0.999 is PyTorch's


def adamw(model: nn.Module, weight_decay: float) -> torch.optim.AdamW:
    """Make AdamW for what learns in a model; weight decay pulls at matrices only.

    Norms, biases and t are left alone. The paper has a decay of 1e-4, and none on pre-trained
    weights.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def learning_rate(peak: float, step: int, steps: int, warmup: int) -> float:
    """Rise linearly to the peak, then fall along half a cosine to zero.

    Args:
        peak: The highest learning rate.
        step: Number of the step, from 0.
        steps: Number of steps of the run.
        warmup: Steps of the rise.

    >>> [round(learning_rate(1.0, step, steps=100, warmup=10), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
