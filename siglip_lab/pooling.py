"""Pooling heads: many tokens become one vector.

Chapter "Pooling heads". The image tower lets a learned query, the probe, attend to all tokens (MAP:
multi-head attention pooling); the text tower takes the last token. Reference: big_vision,
``models/vit.py`` (``MAPHead``) and ``models/proj/image_text/text_transformer.py``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.encoder import MLP, layer_norm

__all__ = ["LastTokenHead", "MAPHead", "ProbeAttention"]


class ProbeAttention(nn.Module):
    """Cross-attention: Q probes gather from N tokens, `[B, Q, D]` and `[B, N, D]` to `[B, Q, D]`.

    The projections of q, k and v are stored as one matrix `[3D, D]`, as in the published files.
    """

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, probe: Tensor, tokens: Tensor) -> Tensor:
        weights = self.in_proj_weight.chunk(3)  # of q, k, v: each [D, D]
        biases = self.in_proj_bias.chunk(3)
        inputs = (probe, tokens, tokens)
        q, k, v = (
            F.linear(x, w, b).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, *, d]
            for x, w, b in zip(inputs, weights, biases, strict=True)
        )
        x = F.scaled_dot_product_attention(q, k, v)  # [B, H, Q, d]
        return self.out_proj(x.transpose(1, 2).flatten(2))


class MAPHead(nn.Module):
    """Multi-head attention pooling: `[B, N, D]` to `[B, D]`.

    The probe, a learned vector, asks; all tokens answer; an MLP refines. `init_tower` draws it.
    """

    def __init__(self, width: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(1, 1, width))
        self.attention = ProbeAttention(width, num_heads)
        self.layernorm = layer_norm(width)
        self.mlp = MLP(width, mlp_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        probe = self.probe.expand(tokens.shape[0], -1, -1)  # [B, 1, D]
        x = self.attention(probe, tokens)  # [B, 1, D]; the probe itself is not added
        x = x + self.mlp(self.layernorm(x))
        return x[:, 0]  # [B, D]


class LastTokenHead(nn.Linear):
    """The last token, whatever it is, through a linear map with bias: `[B, L, D]` to `[B, E]`.

    Texts are padded to full length with the end token, so the last token is an end token that has
    attended to the whole text.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens[:, -1])
