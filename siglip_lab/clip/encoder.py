"""CLIP's encoder: SigLIP's layers, with the quick GELU, and with a causal mask for texts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab import encoder as siglip
from siglip_lab.configs import TowerConfig

__all__ = [
    "MLP", "CausalAttention", "Encoder", "EncoderLayer", "build_attention_mask", "quick_gelu",
]  # fmt: skip


def quick_gelu(x: Tensor) -> Tensor:
    """GELU's quick approximation ``x * sigmoid(1.702 x)``, element by element.

    OpenAI's weights need it: with the exact GELU they still work, but worse. open_clip's
    "ViT-B-32" has the exact one, "ViT-B-32-quickgelu" this.

    Source: openai/CLIP, ``clip/model.py``, ``QuickGELU``.

    >>> quick_gelu(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1542,  0.0000,  0.8458])
    """
    return x * torch.sigmoid(1.702 * x)


def build_attention_mask(length: int) -> Tensor:
    """The causal mask `[L, L]`: 0 on and below the diagonal, -inf above.

    Added to the scores before the softmax, it hides from each token those after it. The model has
    no need of it: it passes ``is_causal=True``, which means the same.

    Source: openai/CLIP, ``clip/model.py``, ``build_attention_mask``.

    >>> build_attention_mask(3)
    tensor([[0., -inf, -inf],
            [0., 0., -inf],
            [0., 0., 0.]])
    """
    return torch.full((length, length), -math.inf).triu(1)


class CausalAttention(siglip.Attention):
    """Self-attention in which each token gathers from itself and those before it alone."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, L, d]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(x.transpose(1, 2).flatten(2))  # [B, L, D]


class MLP(siglip.MLP):
    """SigLIP's, with the quick GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(quick_gelu(self.fc1(x)))


class EncoderLayer(siglip.EncoderLayer):
    """SigLIP's, of CLIP's parts; LayerNorm has PyTorch's epsilon, 1e-5."""

    def __init__(self, config: TowerConfig, causal: bool):
        nn.Module.__init__(self)  # none of SigLIP's parts stays
        attention = CausalAttention if causal else siglip.Attention
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.self_attn = attention(config.width, config.num_heads)
        self.layer_norm2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config.width, config.mlp_dim)


class Encoder(siglip.Encoder):
    """SigLIP's, of CLIP's layers."""

    def __init__(self, config: TowerConfig, causal: bool = False):
        nn.Module.__init__(self)
        self.grad_checkpointing = False
        self.layers = nn.ModuleList(EncoderLayer(config, causal) for _ in range(config.depth))
