"""Bytes of a CLIP with a ViT, in inference and in training: an estimate, as SigLIP's is."""

from __future__ import annotations

import torch

from siglip_lab.activations import TowerBytes
from siglip_lab.checks import shown
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.clip.counting import count_parameters
from siglip_lab.counts import Count
from siglip_lab.memory import batch_bytes

__all__ = ["count_bytes"]


def count_bytes(
    config: CLIPConfig,
    dtype: torch.dtype = torch.float32,
    batch: int = 1,
    training: bool = False,
    attention_maps: bool = False,
    grad_checkpointing: bool = False,
) -> Count:
    """Estimate the memory of a CLIP; arguments, result and errors as `siglip_lab.count_bytes`.

    Raises:
        TypeError: If `config` is no `CLIPConfig`.
        ValueError: If its image tower is a ResNet, whose feature maps are not counted here.

    >>> from siglip_lab import clip
    >>> memory = count_bytes(clip.get_config("ViT-B/32"), training=True)
    >>> memory["weights"].total, memory["activations"].text["head"].total
    (605109252, 4120)
    """
    if not isinstance(config, CLIPConfig):
        raise TypeError(f"config must be a CLIPConfig, got {shown(repr(config))}")
    vision, text, e = config.vision, config.text, config.embed_dim
    if isinstance(vision, ResNetConfig):
        raise ValueError("the bytes of a ResNet are not counted: take a CLIP with a ViT")
    towers = (
        _VisionBytes(vision, 1 + vision.num_patches, e, dtype, batch, attention_maps),
        _TextBytes(text, text.context_length, e, dtype, batch, attention_maps),
    )
    pixels = 3 * vision.image_size**2
    return batch_bytes(count_parameters(config), *towers, pixels, training, grad_checkpointing)


class _TowerBytes(TowerBytes):
    def mlp(self) -> int:
        """Kept of x * sigmoid(1.702 x): both factors, and the product for what follows."""
        return 3 * self.hidden

    def mlp_gradients(self) -> int:
        """Alive at once: the gradients of both factors."""
        return max(super().mlp_gradients(), 2 * self.hidden)


class _VisionBytes(_TowerBytes):
    def ends(self) -> dict[str, int]:
        d = self.config.width
        return {
            "first norm": self.norm(outputs=0),
            # The class token's alone; but as a view it keeps all tokens.
            "final norm": self.tokens + self.batch * (d + 2) * self.size,
            "head": self.normalised(),
        }


class _TextBytes(_TowerBytes):
    def ends(self) -> dict[str, int]:
        end_of_text = self.batch * (self.config.width * self.size + 2 * 8)  # and its two indices
        return {
            "final norm": self.norm(outputs=0),
            "head": end_of_text + self.normalised(),
        }
