"""The encoder: a stack of equal layers, the same code for image tokens and text tokens.

Chapter "Encoder layers". Pre-norm transformer layers: attention lets tokens look at each other,
the MLP works on each token alone, and both only add to the token's vector. No dropout, no mask.
Reference: big_vision, ``models/vit.py``.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from siglip_lab.configs import TowerConfig

__all__ = ["MLP", "Attention", "Encoder", "EncoderLayer", "layer_norm"]


def layer_norm(width: int) -> nn.LayerNorm:
    """LayerNorm with flax's default epsilon, under which SigLIP was trained."""
    return nn.LayerNorm(width, eps=1e-6)  # not PyTorch's 1e-5


class Attention(nn.Module):
    """Multi-head self-attention: each of N tokens gathers from all, `[B, N, D]` to `[B, N, D]`."""

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, N, d]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = F.scaled_dot_product_attention(q, k, v)  # softmax(q k^T / sqrt(d)) v
        return self.out_proj(x.transpose(1, 2).flatten(2))  # [B, N, D]


class MLP(nn.Module):
    """Two linear maps with a GELU between them, on each token alone: `[B, N, D]` to `[B, N, D]`."""

    def __init__(self, width: int, mlp_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(width, mlp_dim)
        self.fc2 = nn.Linear(mlp_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.fc1(x), approximate="tanh")  # [B, N, M]; flax's default GELU
        return self.fc2(x)


class EncoderLayer(nn.Module):
    """Attention, then MLP, each on normalised tokens and added to what came in: `[B, N, D]`."""

    def __init__(self, width: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.layer_norm1 = layer_norm(width)
        self.self_attn = Attention(width, num_heads)
        self.layer_norm2 = layer_norm(width)
        self.mlp = MLP(width, mlp_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    """`depth` layers, one after the other: `[B, N, D]` to `[B, N, D]`, before the final norm.

    With `grad_checkpointing`, the backward pass computes each layer once more instead of keeping
    what is inside it.
    """

    def __init__(self, config: TowerConfig):
        super().__init__()
        self.grad_checkpointing = False
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_dim)
            for _ in range(config.depth)
        )

    def forward(self, x: Tensor, hidden_states: list[Tensor] | None = None) -> Tensor:
        """Run all layers; what leaves each is appended to `hidden_states`."""
        for layer in self.layers:
            if self.grad_checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False)
            else:
                x = layer(x)
            if hidden_states is not None:
                hidden_states.append(x)
        return x
