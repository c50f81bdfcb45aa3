"""Pooling heads: many tokens become one vector.

Chapter "Pooling heads". The image tower lets a learned query, the probe, attend to all tokens (MAP:
multi-head attention pooling); the text tower takes the last token. Reference: big_vision,
``models/vit.py`` (``MAPHead``) and ``models/proj/image_text/text_transformer.py``. The other
poolings are what the chapter compares them with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.encoder import MLP, layer_norm, merge_heads, split_heads

__all__ = [
    "MAPHead", "LastTokenHead", "ProbeAttention", "AttentionPool2d",
    "class_token", "end_of_text", "last_token", "mean_pool",
]  # fmt: skip


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
        probe = self.probe.expand(tokens.shape[0], -1, -1)  # [B, 1, D]
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
        return super().forward(last_token(tokens))


def last_token(tokens: Tensor) -> Tensor:
    """The last token, whatever it is: `[B, N, D]` to `[B, D]`. SigLIP's text tower reads it.

    >>> last_token(torch.arange(6.0).view(1, 3, 2))
    tensor([[4., 5.]])
    """
    return tokens[:, -1]


def class_token(tokens: Tensor) -> Tensor:
    """The first token: `[B, 1 + N, D]` to `[B, D]`.

    Only for a tower that was trained with a learned token in front of the patches, as ViT (paper,
    section 3.1) and CLIP's ViT are; SigLIP's first token is the patch in the upper left corner.

    >>> class_token(torch.arange(6.0).view(1, 3, 2))
    tensor([[0., 1.]])
    """
    return tokens[:, 0]


def mean_pool(tokens: Tensor) -> Tensor:
    """The mean of all tokens, "global average pooling": `[B, N, D]` to `[B, D]`.

    >>> mean_pool(torch.arange(6.0).view(1, 3, 2))
    tensor([[2., 3.]])
    """
    return tokens.mean(dim=1)


def end_of_text(tokens: Tensor, input_ids: Tensor) -> Tensor:
    """The token at each text's largest id: `[B, L, D]` and ids `[B, L]` to `[B, D]`.

    CLIP's way: in its vocabulary the end of text, 49407, is the largest id, and argmax finds the
    first one. In SigLIP's the end is id 1, and the largest id is some word's. Reference:
    openai/CLIP, ``clip/model.py``, ``encode_text``.

    Raises:
        ValueError: If the ids do not fit the tokens.

    >>> end_of_text(torch.arange(6.0).view(1, 3, 2), torch.tensor([[7, 9, 0]]))
    tensor([[2., 3.]])
    """
    if tokens.shape[:2] != input_ids.shape:
        raise ValueError(
            f"input_ids have shape {tuple(input_ids.shape)}, tokens {tuple(tokens.shape)}; "
            "expected [B, L] and [B, L, D]"
        )
    rows = torch.arange(tokens.shape[0], device=tokens.device)
    return tokens[rows, input_ids.argmax(dim=-1)]


class AttentionPool2d(nn.Module):
    """The head of CLIP's ResNets: the mean of a feature map asks, and is among those asked.

    `[B, D, G, G]` to `[B, E]`. Reference: openai/CLIP, ``clip/model.py``, whose parameter names
    these are.

    Args:
        grid_size: Side G of the feature map.
        width: Its channels D.
        num_heads: Attention heads.
        embed_dim: Size E of the result. Default: `width`.

    >>> AttentionPool2d(7, width=32, num_heads=4, embed_dim=8)(torch.zeros(2, 32, 7, 7)).shape
    torch.Size([2, 8])
    """

    def __init__(self, grid_size: int, width: int, num_heads: int, embed_dim: int | None = None):
        super().__init__()
        self.num_heads = num_heads
        positions = torch.randn(grid_size**2 + 1, width) / width**0.5
        self.positional_embedding = nn.Parameter(positions)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, embed_dim or width)

    def forward(self, features: Tensor) -> Tensor:
        """Shapes as for the class.

        Raises:
            ValueError: If the feature map is not of the size that the positions are for.
        """
        tokens = features.flatten(2).transpose(1, 2)  # [B, G * G, D]
        positions, width = self.positional_embedding.shape
        if tokens.shape[1:] != (positions - 1, width):
            raise ValueError(
                f"features have shape {tuple(features.shape)}; expected [B, {width}, G, G] with "
                f"G * G = {positions - 1}"
            )
        x = torch.cat([mean_pool(tokens)[:, None], tokens], dim=1)  # [B, 1 + G * G, D]
        x = x + self.positional_embedding
        q, k, v = (
            split_heads(proj(part), self.num_heads)  # [B, heads, 1 or 1 + G * G, D/heads]
            for proj, part in ((self.q_proj, x[:, :1]), (self.k_proj, x), (self.v_proj, x))
        )
        return self.c_proj(merge_heads(F.scaled_dot_product_attention(q, k, v)))[:, 0]  # [B, E]
