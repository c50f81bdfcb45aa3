"""CLIP's poolings, and the plainest ones beside them: many tokens to one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["AttentionPool2d", "class_token", "end_of_text", "last_token", "mean_pool"]


def last_token(tokens: Tensor) -> Tensor:
    """The last token, whatever it is: `[B, N, D]` to `[B, D]`. SigLIP's text tower reads it.

    >>> last_token(torch.arange(6.0).view(1, 3, 2))
    tensor([[4., 5.]])
    """
    return tokens[:, -1]


def mean_pool(tokens: Tensor) -> Tensor:
    """The mean of all tokens, "global average pooling": `[B, N, D]` to `[B, D]`.

    >>> mean_pool(torch.arange(6.0).view(1, 3, 2))
    tensor([[2., 3.]])
    """
    return tokens.mean(dim=1)


def class_token(tokens: Tensor) -> Tensor:
    """The first token: `[B, 1 + N, D]` to `[B, D]`.

    Only for a tower that was trained with a learned token in front of the patches, as ViT (paper,
    section 3.1) and CLIP's ViT are; SigLIP's first token is the patch in the upper left corner.

    >>> class_token(torch.arange(6.0).view(1, 3, 2))
    tensor([[0., 1.]])
    """
    return tokens[:, 0]


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
        positions = nn.init.normal_(torch.empty(grid_size**2 + 1, width)) / width**0.5
        self.positional_embedding = nn.Parameter(positions)
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.c_proj = nn.Linear(width, embed_dim or width)

    def forward(self, features: Tensor) -> Tensor:
        """Pool a feature map of the size that the positions are for."""
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
            proj(part).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, 1 or N, d]
            for proj, part in ((self.q_proj, x[:, :1]), (self.k_proj, x), (self.v_proj, x))
        )
        x = F.scaled_dot_product_attention(q, k, v)
        return self.c_proj(x.transpose(1, 2).flatten(2))[:, 0]  # [B, E]
