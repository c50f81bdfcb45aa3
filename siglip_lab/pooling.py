"""Pooling heads: many tokens become one vector.

Chapter "Pooling heads". The image tower lets a learned query, the probe, attend to all tokens (MAP:
multi-head attention pooling); the text tower takes the last token. Reference: big_vision,
``models/vit.py`` (``MAPHead``) and ``models/proj/image_text/text_transformer.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.encoder import MLP, layer_norm, merge_heads, split_heads

__all__ = ["MAPHead", "LastTokenHead"]


class ProbeAttention(nn.Module):
    """Cross-attention whose q, k and v projections are stored as one packed matrix `[3D, D]`.

    Args:
        width: Size D of a token vector.
        num_heads: Number of heads.
    """

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, probe: Tensor, tokens: Tensor) -> Tensor:
        """The probe `[B, Q, D]` gathers from the tokens `[B, N, D]`: returns `[B, Q, D]`."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            split_heads(F.linear(x, weight, bias), self.num_heads)  # [B, heads, Q or N, D/heads]
            for x, weight, bias in zip((probe, tokens, tokens), weights, biases, strict=True)
        )
        return self.out_proj(merge_heads(F.scaled_dot_product_attention(q, k, v)))


class MAPHead(nn.Module):
    """Multi-head attention pooling: `[B, N, D]` to `[B, D]`.

    One learned vector, the probe, asks; all tokens answer; an MLP refines the answer. The residual
    starts at the attention's output: the probe itself is not added.

    Args:
        width: Size D of a token vector.
        num_heads: Attention heads.
        mlp_dim: Size of the MLP's hidden layer.
    """

    def __init__(self, width: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = ProbeAttention(width, num_heads)
        self.layernorm = layer_norm(width)
        self.mlp = MLP(width, mlp_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Shapes as for the class."""
        probe = self.probe.expand(len(tokens), -1, -1)  # [B, 1, D]
        x = self.attention(probe, tokens)  # [B, 1, D]
        x = x + self.mlp(self.layernorm(x))
        return x[:, 0]  # [B, D]


class LastTokenHead(nn.Linear):
    """The last token, whatever it is, through a linear map with bias: `[B, L, D]` to `[B, E]`.

    Texts are padded to full length with the end token, so the last token is an end token that has
    attended to the whole text.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """Shapes as for the class."""
        return super().forward(tokens[:, -1])
