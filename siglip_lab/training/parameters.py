"""What learns: everything, one tower, the last layers, or low-rank additions (LoRA)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from siglip_lab.checks import check_integer
from siglip_lab.loading.weights import assign, on_meta
from siglip_lab.model import SigLIP
from siglip_lab.training.config import TrainConfig

__all__ = ["choose_parameters", "learned", "plain_copy", "trainable_share", "whole"]

# What LoRA adds to: modules, which are all maps of the layers and of the image tower's head; and
# two matrices that peft's modules cannot stand around. The text tower's head drops tokens in its
# forward pass, and the image head's q, k and v are one packed parameter.
_MODULES = r".*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"
_TEXT_HEAD, _PACKED = "text_model.head.weight", "vision_model.head.attention.in_proj_weight"


def choose_parameters(model: SigLIP, config: TrainConfig) -> Any:
    """Set which parameters get gradients; t and b always do.

    Returns:
        For "lora" the `peft.tuners.lora.LoraModel` that holds the model, whose layers now have
        the additions; else None.

    Raises:
        ImportError: If LoRA is asked for and peft is not installed.
        ValueError: If a tower has fewer layers than should learn.
    """
    model.requires_grad_(True)
    adapters = None
    if config.learn in ("text", "vision"):
        model.lock("vision" if config.learn == "text" else "text")
    elif config.learn == "last":
        for tower, shape in (("vision", model.config.vision), ("text", model.config.text)):
            if config.layers > shape.depth:
                raise ValueError(
                    f"layers is {config.layers}, the {tower} tower has {shape.depth}: choose at "
                    'most that, or learn="all"'
                )
            model.lock(tower, config.layers)
    elif config.learn == "lora":
        adapters = _add_adapters(model, config)
    model.logit_scale.requires_grad_(True)
    model.logit_bias.requires_grad_(True)
    return adapters


def _add_adapters(model: SigLIP, config: TrainConfig) -> Any:
    try:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel
    except ImportError as error:
        raise ImportError("LoRA needs peft: pip install 'siglip-lab[training]'") from error
    check_integer("rank", config.rank)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=2 * config.rank,  # the additions count twice, whatever the rank
        target_modules=_MODULES,
        target_parameters=[_TEXT_HEAD, _PACKED] if config.adapt_head else [_TEXT_HEAD],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # of A; B is zero, so nothing changes at first
        return LoraModel(model, settings, "default")


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def trainable_share(model: nn.Module) -> tuple[int, int]:
    """How many numbers learn, and how many there are."""
    return sum(p.numel() for p in learned(model).values()), sum(
        p.numel() for p in model.parameters()
    )


def whole(tensor: Tensor) -> Tensor:
    """A tensor without its history, gathered if it is spread over processes: all come here."""
    tensor = tensor.detach()
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def plain_copy(model: SigLIP, adapters: Any = None, average: dict[str, Tensor] | None = None):
    """The model as it is saved: gathered, additions merged, in eval mode.

    Args:
        model: The model, which may be spread over processes: then all of them come here.
        adapters: What `choose_parameters` returned.
        average: Values to take instead of the parameters' own, by name.

    Returns:
        A `SigLIP`: the model itself where nothing has to be done.
    """
    average = average or {}
    if adapters is not None:
        adapters = copy.deepcopy(adapters)
        with torch.no_grad():
            for name, parameter in adapters.model.named_parameters():
                if name in average:
                    parameter.copy_(average[name])
        adapters.merge_and_unload()
        return adapters.merge_and_unload().eval()  # again, for what stood within another addition
    spread = any(hasattr(p, "full_tensor") for p in model.parameters())
    if not spread and not average:
        return model
    tensors = {n: whole(average.get(n, p)) for n, p in model.named_parameters()}
    return assign(Path("the trained model"), on_meta(SigLIP, model.config), tensors).eval()
