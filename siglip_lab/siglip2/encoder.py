"""NaFlex's encoder: SigLIP's layers, in which nobody looks at padding.

The parameters are SigLIP's, under the same names; each forward pass takes a mask with the tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from siglip_lab import encoder as siglip
from siglip_lab import pooling
from siglip_lab.configs import TowerConfig

__all__ = ["Encoder", "EncoderLayer", "MAPHead", "MaskedAttention", "MaskedProbeAttention"]


class MaskedAttention(siglip.Attention):
    """Self-attention in which each of N tokens gathers from those that the mask `[B, N]` keeps."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, N, d]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        return self.out_proj(x.transpose(1, 2).flatten(2))  # [B, N, D]


class EncoderLayer(siglip.EncoderLayer):
    """SigLIP's, with the mask: `[B, N, D]` and `[B, N]` to `[B, N, D]`."""

    def __init__(self, width: int, num_heads: int, mlp_dim: int):
        super().__init__(width, num_heads, mlp_dim)
        self.self_attn = MaskedAttention(width, num_heads)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(siglip.Encoder):
    """SigLIP's, of layers that take a mask."""

    def __init__(self, config: TowerConfig):
        nn.Module.__init__(self)
        self.grad_checkpointing = False
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_dim)
            for _ in range(config.depth)
        )

    def forward(  # type: ignore[override]
        self, x: Tensor, mask: Tensor, hidden_states: list[Tensor] | None = None
    ) -> Tensor:
        """Run all layers; what leaves each is appended to `hidden_states`."""
        for layer in self.layers:
            if self.grad_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, mask, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x, mask)
            if hidden_states is not None:
                hidden_states.append(x)
        return x


class MaskedProbeAttention(pooling.ProbeAttention):
    """Cross-attention: the probe gathers from the tokens that the mask `[B, N]` keeps."""

    def forward(  # type: ignore[override]
        self, probe: Tensor, tokens: Tensor, mask: Tensor
    ) -> Tensor:
        inputs = (probe, tokens, tokens)
        parts = zip(inputs, self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (
            F.linear(x, w, b).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, *, d]
            for x, w, b in parts
        )
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        return self.out_proj(x.transpose(1, 2).flatten(2))


class MAPHead(pooling.MAPHead):
    """SigLIP's pooling over the tokens that the mask `[B, N]` keeps: `[B, N, D]` to `[B, D]`."""

    def __init__(self, width: int, num_heads: int, mlp_dim: int):
        super().__init__(width, num_heads, mlp_dim)
        self.attention = MaskedProbeAttention(width, num_heads)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        probe = self.probe.expand(tokens.shape[0], -1, -1)  # [B, 1, D]
        x = self.attention(probe, tokens, mask)
        return (x + self.mlp(self.layernorm(x)))[:, 0]
