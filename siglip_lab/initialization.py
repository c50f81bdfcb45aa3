"""Random weights, as big_vision draws them (``models/vit.py``, ``text_transformer.py``)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from siglip_lab.encoder import MLP, Attention
from siglip_lab.pooling import LastTokenHead, MAPHead, ProbeAttention

__all__ = ["init_tower", "init_weights"]


def init_weights(
    vision: nn.Module, text: nn.Module, seed: int | torch.Generator | None = None
) -> None:
    """Draw both towers anew: from a seed, a generator, or PyTorch's global one.

    Of a seed, each tower has a stream of its own, so that both are drawn at once.
    """
    if seed is None or isinstance(seed, torch.Generator):
        init_tower(vision, seed)
        init_tower(text, seed)
        return
    first = torch.Generator().manual_seed(seed)
    second = torch.Generator().manual_seed(int(torch.randint(2**32, (), generator=first)))
    with ThreadPoolExecutor() as pool:
        list(pool.map(init_tower, (vision, text), (first, second)))


@torch.no_grad()
def init_tower(tower: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw a tower's weights anew: Xavier-uniform layers, normal embeddings."""

    def xavier(weight):
        nn.init.xavier_uniform_(weight, generator=generator)

    def normal(weight, fan_in):
        nn.init.normal_(weight, std=fan_in**-0.5, generator=generator)

    def zero(bias):
        nn.init.zeros_(bias)

    for name, module in tower.named_modules():
        if isinstance(module, (Attention, MLP)):
            for linear in module.children():
                xavier(linear.weight)
                zero(linear.bias)
        elif isinstance(module, ProbeAttention):
            for weight in module.in_proj_weight.chunk(3):
                xavier(weight)
            xavier(module.out_proj.weight)
            zero(module.in_proj_bias)
            zero(module.out_proj.bias)
        elif isinstance(module, MAPHead):
            xavier(module.probe[0])
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            normal(module.weight, fan_in=module.embedding_dim)
        elif name == "embeddings.patch_embedding":  # a convolution, or NaFlex's matrix
            normal(module.weight, fan_in=module.weight[0].numel())
            zero(module.bias)
        elif isinstance(module, LastTokenHead):
            normal(module.weight, fan_in=module.in_features)
            zero(module.bias)
