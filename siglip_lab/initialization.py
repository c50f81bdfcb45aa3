"""Random weights, as big_vision draws them (``models/vit.py``, ``text_transformer.py``)."""

from __future__ import annotations

import torch
from torch import nn

from siglip_lab.encoder import MLP, Attention
from siglip_lab.pooling import LastTokenHead, MAPHead, ProbeAttention

__all__ = ["init_tower"]


@torch.no_grad()
def init_tower(tower: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw a tower's weights anew: Xavier-uniform layers, normal embeddings."""

    def xavier(weight):
        nn.init.xavier_uniform_(weight, generator=generator)

    def normal(weight, fan_in):
        nn.init.normal_(weight, std=fan_in**-0.5, generator=generator)

    for module in tower.modules():
        if isinstance(module, (Attention, MLP)):
            for linear in module.children():
                xavier(linear.weight)
                nn.init.zeros_(linear.bias)
        elif isinstance(module, ProbeAttention):
            for weight in module.in_proj_weight.chunk(3):
                xavier(weight)
            xavier(module.out_proj.weight)
            nn.init.zeros_(module.in_proj_bias)
            nn.init.zeros_(module.out_proj.bias)
        elif isinstance(module, MAPHead):
            xavier(module.probe[0])
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            normal(module.weight, fan_in=module.embedding_dim)
        elif isinstance(module, nn.Conv2d):
            normal(module.weight, fan_in=module.weight[0].numel())
            nn.init.zeros_(module.bias)
        elif isinstance(module, LastTokenHead):
            normal(module.weight, fan_in=module.in_features)
            nn.init.zeros_(module.bias)
