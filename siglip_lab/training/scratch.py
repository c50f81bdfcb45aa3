"""New weights in the shape of a model that exists."""

from __future__ import annotations

import math
import os

import torch

from siglip_lab.loading.pretrained import SIGLIP, resolve
from siglip_lab.loading.weights import read_json
from siglip_lab.model import SigLIP
from siglip_lab.training.config import TrainConfig

__all__ = ["new_model"]


def new_model(where: str | os.PathLike, config: TrainConfig) -> SigLIP:
    """Draw new weights for the shape of a checkpoint folder, or a name that has one.

    b starts where the answer to every pair is the share of true ones, 1 in a batch: the paper's -10
    is that of 22 thousand.

    Args:
        where: As for `SigLIP.from_pretrained`; its weights are not read.
        config: Has the seed and the batch size.
    """
    folder = resolve(where, SIGLIP.repositories, weights=False)
    path = folder / "config.json"
    (shape,) = SIGLIP.read_config(path, read_json(path))
    model = SigLIP(shape, seed=config.seed)
    torch.nn.init.constant_(model.logit_bias, -math.log(max(1, config.batch_size - 1)))
    return model
