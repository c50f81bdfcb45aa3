"""The encoder: a stack of equal layers, the same code for image tokens and text tokens.

Chapter "Encoder layers". Pre-norm transformer layers: attention lets tokens look at each other,
the MLP works on each token alone, and both only add to the token's vector. No dropout, and in
SigLIP no mask. Reference: big_vision, ``models/vit.py``.

CLIP's layers are the same but for the activation, LayerNorm's epsilon and its text tower's mask.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Attention", "MLP", "EncoderLayer", "Encoder", "gelu_tanh", "layer_norm"]

EPS = 1e-6  # flax's default for LayerNorm, under which SigLIP was trained; PyTorch's is 1e-5


def layer_norm(width: int) -> nn.LayerNorm:
    """LayerNorm with SigLIP's epsilon, 1e-6."""
    return nn.LayerNorm(width, eps=EPS)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU in its tanh approximation, flax's default; element by element."""
    return F.gelu(x, approximate="tanh")


class Attention(nn.Module):
    """Multi-head self-attention over all tokens: `[B, N, D]` to `[B, N, D]`.

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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Every token gathers from every token; shapes as for the class.

        Args:
            x: Tokens.
            mask: Added to the scores before the softmax, `[N, N]`: -inf where row i must not see
                column j. SigLIP has none.
        """
        q, k, v = (
            split_heads(proj(x), self.num_heads)  # [B, heads, N, D/heads]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = F.scaled_dot_product_attention(q, k, v, mask)  # softmax(q k^T / sqrt(D/heads)) v
        return self.out_proj(merge_heads(x))  # [B, N, D]


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """`[B, N, D]` to `[B, heads, N, D / heads]`."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """`[B, heads, N, D / heads]` to `[B, N, D]`."""
    return x.transpose(1, 2).flatten(2)


class MLP(nn.Module):
    """Two linear maps with a GELU between them, on each token alone: `[B, N, D]` to `[B, N, D]`.

    Args:
        width: Size D of a token vector.
        mlp_dim: Size of the hidden layer.
        activation: The function between the two maps.
    """

    def __init__(self, width: int, mlp_dim: int, activation: Callable = gelu_tanh):
        super().__init__()
        self.activation = activation
        self.fc1 = nn.Linear(width, mlp_dim)
        self.fc2 = nn.Linear(mlp_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as for the class."""
        return self.fc2(self.activation(self.fc1(x)))


class EncoderLayer(nn.Module):
    """One pre-norm layer: attention, then MLP, each added to what came in.

    Args:
        width: Size D of a token vector.
        num_heads: Attention heads.
        mlp_dim: Size of the MLP's hidden layer.
        activation: The MLP's.
        eps: LayerNorm's.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        mlp_dim: int,
        activation: Callable = gelu_tanh,
        eps: float = EPS,
    ):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width, eps)
        self.self_attn = Attention(width, num_heads)
        self.layer_norm2 = nn.LayerNorm(width, eps)
        self.mlp = MLP(width, mlp_dim, activation)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`[B, N, D]` to `[B, N, D]`; the mask is the attention's."""
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    """`depth` layers, one after the other.

    Args:
        config: `VisionConfig` or `TextConfig`: width, depth, num_heads, mlp_dim are used.
        activation: The MLPs'.
        eps: LayerNorm's.
    """

    def __init__(self, config, activation: Callable = gelu_tanh, eps: float = EPS):
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.num_heads, config.mlp_dim, activation, eps)
            for _ in range(config.depth)
        )

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`[B, N, D]` to `[B, N, D]`, before the final norm; the mask is the attention's."""
        for layer in self.layers:
            x = layer(x, mask)
        return x
