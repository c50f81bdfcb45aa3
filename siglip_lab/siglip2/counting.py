"""Parameters, FLOPs and bytes of a NaFlex model, which depend on the budget of patches.

Padding costs what a patch costs: it is computed, and nobody looks at it. The parameters are those
of a SigLIP whose image is the table of positions.
"""

from __future__ import annotations

import torch

from siglip_lab.activations import TextBytes, VisionBytes
from siglip_lab.checks import check_integer, shown
from siglip_lab.configs import SigLIPConfig
from siglip_lab.counting import batch_flops, count_parameters, image_flops, text_flops
from siglip_lab.counts import Count
from siglip_lab.memory import batch_bytes

__all__ = ["count_bytes", "count_flops", "count_parameters"]


def count_flops(
    config: SigLIPConfig,
    max_num_patches: int = 256,
    images: int = 1,
    texts: int = 1,
    training: bool = False,
    attention_maps: bool = True,
) -> Count:
    """Count the FLOPs of one pass over a batch, as `siglip_lab.count_flops`, by the budget.

    Beside a SigLIP's parts there are the "positions": each patch takes a weighted mean of the
    table.

    >>> from siglip_lab import siglip2
    >>> config = siglip2.get_config("siglip2-base-patch16-naflex")
    >>> [round(count_flops(config, n, texts=0).total / 1e9, 1) for n in (128, 256, 1024)]
    [22.9, 46.9, 216.6]
    """
    _check(config, max_num_patches)
    vision, n = image_flops(config.vision, max_num_patches), max_num_patches
    vision["embeddings"]["positions"] = 2 * n * config.vision.num_patches * config.vision.width
    text, e = text_flops(config.text, config.embed_dim), config.embed_dim
    return batch_flops(vision, text, e, images, texts, training, attention_maps)


def count_bytes(
    config: SigLIPConfig,
    max_num_patches: int = 256,
    dtype: torch.dtype = torch.float32,
    batch: int = 1,
    training: bool = False,
    attention_maps: bool = False,
    grad_checkpointing: bool = False,
) -> Count:
    """Estimate the memory, as `siglip_lab.count_bytes`, by the budget of patches.

    >>> from siglip_lab import siglip2
    >>> config = siglip2.get_config("siglip2-so400m-patch16-naflex")
    >>> count_bytes(config, 1024, training=True)["activations"].vision.total // 10**6
    1993
    """
    _check(config, max_num_patches)
    vision, text, d = config.vision, config.text, config.embed_dim
    towers = (
        _VisionBytes(vision, max_num_patches, d, dtype, batch, attention_maps),
        TextBytes(text, text.context_length, d, dtype, batch, attention_maps),
    )
    pixels = 3 * vision.patch_size**2 * max_num_patches
    parameters = count_parameters(config)
    return batch_bytes(
        parameters, *towers, pixels, training, grad_checkpointing,
        {"mask": batch * max_num_patches * 4, "grids": batch * 2 * 8},
    )  # fmt: skip


class _VisionBytes(VisionBytes):
    """The image tower's, whose layers take a mask, and whose positions are weighted means."""

    def attention(self, queries: int) -> int:
        mask = 0 if self.maps else self.batch * self.n * self.size  # in numbers, each layer's own
        return super().attention(queries) + mask

    def ends(self) -> dict[str, int]:
        weights = self.batch * self.n * self.config.num_patches * 4  # type: ignore[attr-defined]
        return {"positions": weights} | super().ends()

    def saved(self, grad_checkpointing: bool) -> dict[str, int]:
        mask = {"mask": self.batch * self.n} if grad_checkpointing else {}  # as truth values
        return super().saved(grad_checkpointing) | mask


def _check(config: SigLIPConfig, max_num_patches: int) -> None:
    if not isinstance(config, SigLIPConfig):
        raise TypeError(f"config must be a SigLIPConfig, got {shown(repr(config))}")
    check_integer("max_num_patches", max_num_patches)
