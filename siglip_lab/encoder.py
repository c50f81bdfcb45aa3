"""The encoder: a stack of equal layers, the same code for image tokens and text tokens.

Chapter "Encoder layers". Pre-norm transformer layers: attention lets tokens look at each other,
the MLP works on each token alone, and both only add to the token's vector. No mask and no dropout.
Reference: big_vision, ``models/vit.py``.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "MLP", "EncoderLayer", "Encoder", "layer_norm"]


def layer_norm(width: int) -> nn.LayerNorm:
    """LayerNorm with flax's epsilon, 1e-6, under which SigLIP was trained (PyTorch's is 1e-5)."""
    return nn.LayerNorm(width, eps=1e-6)


class Attention(nn.Module):
    """Multi-head self-attention over all tokens, without a mask: `[B, N, D]` to `[B, N, D]`.

    Args:
        width: Size D of a token vector.
        num_heads: Number of heads; each works on D / num_heads numbers.
    """

    def __init__(self, width: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Every token gathers from every token; shapes as for the class."""
        q, k, v = (
            split_heads(proj(x), self.num_heads)  # [B, heads, N, D/heads]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = F.scaled_dot_product_attention(q, k, v)  # softmax(q k^T / sqrt(D/heads)) v
        return self.out_proj(merge_heads(x))  # [B, N, D]


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """`[B, N, D]` to `[B, heads, N, D / heads]`."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """`[B, heads, N, D / heads]` to `[B, N, D]`."""
    return x.transpose(1, 2).flatten(2)


class MLP(nn.Module):
    """Two linear maps with a GELU between them, on each token alone: `[B, N, D]` to `[B, N, D]`.

    The GELU is the tanh approximation, flax's default.

    Args:
        width: Size D of a token vector.
        mlp_dim: Size of the hidden layer.
    """

    def __init__(self, width: int, mlp_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(width, mlp_dim)
        self.fc2 = nn.Linear(mlp_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as for the class."""
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class EncoderLayer(nn.Module):
    """One pre-norm layer: attention, then MLP, each added to what came in.

    Args:
        width: Size D of a token vector.
        num_heads: Attention heads.
        mlp_dim: Size of the MLP's hidden layer.
    """

    def __init__(self, width: int, num_heads: int, mlp_dim: int):
        super().__init__()
        self.layer_norm1 = layer_norm(width)
        self.self_attn = Attention(width, num_heads)
        self.layer_norm2 = layer_norm(width)
        self.mlp = MLP(width, mlp_dim)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, D]` to `[B, N, D]`."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    """`depth` layers, one after the other.

    Args:
        config: `VisionConfig` or `TextConfig`: width, depth, num_heads, mlp_dim are used.
    """

    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_dim)
            for _ in range(config.depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, N, D]` to `[B, N, D]`, before the final norm."""
        for layer in self.layers:
            x = layer(x)
        return x
