"""Random weights, as OpenAI draws them (``clip/model.py``, ``initialize_parameters``)."""

from __future__ import annotations

import math

import torch
from torch import nn

from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.clip.pooling import AttentionPool2d

__all__ = ["init_weights"]


@torch.no_grad()
def init_weights(
    model: nn.Module, config: CLIPConfig, seed: int | torch.Generator | None = None
) -> None:
    """Draw both towers and projections anew: from a seed, a generator, or PyTorch's global one.

    Where a text layer reads a token (q, k, v) the spread is ``width**-0.5``; where it adds to the
    token it is ``(2 * depth * width)**-0.5``. transformers swaps these two in its attention.
    """
    generator = seed
    if not (generator is None or isinstance(generator, torch.Generator)):
        generator = torch.Generator().manual_seed(generator)
    _draw_defaults(model, generator)  # what is not drawn below stays so
    weights = dict(model.named_parameters())

    def normal(name: str, std: float) -> None:
        nn.init.normal_(weights[name], std=std, generator=generator)

    if isinstance(config.vision, ResNetConfig):
        for part in "qkvc":
            normal(f"vision_model.attnpool.{part}_proj.weight", config.vision.feature_dim**-0.5)
    else:
        width = config.vision.width
        normal("vision_model.embeddings.class_embedding", width**-0.5)
        normal("vision_model.embeddings.position_embedding.weight", width**-0.5)
        normal("visual_projection.weight", width**-0.5)
        bound = math.sqrt(6 / (4 * width))  # Xavier's, of q, k and v as one matrix [3D, D]
        for i in range(config.vision.depth):
            for part in "qkv":
                weight = weights[f"vision_model.encoder.layers.{i}.self_attn.{part}_proj.weight"]
                nn.init.uniform_(weight, -bound, bound, generator=generator)

    width, depth = config.text.width, config.text.depth
    reads, adds = width**-0.5, (2 * depth * width) ** -0.5
    normal("text_model.embeddings.token_embedding.weight", 0.02)
    normal("text_model.embeddings.position_embedding.weight", 0.01)
    for i in range(depth):
        layer = f"text_model.encoder.layers.{i}"
        for part in "qkv":
            normal(f"{layer}.self_attn.{part}_proj.weight", reads)
        normal(f"{layer}.self_attn.out_proj.weight", adds)
        normal(f"{layer}.mlp.fc1.weight", (2 * width) ** -0.5)
        normal(f"{layer}.mlp.fc2.weight", adds)
    normal("text_projection.weight", reads)

    for name, weight in weights.items():
        if "self_attn" in name and name.endswith("bias"):
            nn.init.zeros_(weight)
        elif name.startswith("vision_model.layer") and name.endswith("bn3.weight"):
            nn.init.zeros_(weight)  # every block of a ResNet begins as its shortcut alone


def _draw_defaults(model: nn.Module, generator: torch.Generator | None) -> None:
    """Draw what the constructors draw, in their order."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            bound = module.weight[0].numel() ** -0.5
            nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, generator=generator)
        elif isinstance(module, AttentionPool2d):
            positions = module.positional_embedding
            nn.init.normal_(positions, generator=generator).div_(positions.shape[1] ** 0.5)
        elif isinstance(module, (nn.LayerNorm, nn.BatchNorm2d)):
            module.reset_parameters()
