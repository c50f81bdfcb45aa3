"""CLIP: SigLIP's encoder layers, with what was before, between and after them in 2021.

Parameter names are those of transformers' `CLIPModel`, so a Hugging Face file loads as it is. The
ResNets, which transformers does not have, are `vision_model` too; their parts keep OpenAI's names.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor, nn

from siglip_lab import patches
from siglip_lab.checks import check_pixel_values
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.clip.encoder import Encoder
from siglip_lab.clip.initialization import init_weights
from siglip_lab.clip.loading import CLIP_FORMAT
from siglip_lab.clip.pooling import class_token, end_of_text
from siglip_lab.clip.resnet import ModifiedResNet
from siglip_lab.configs import TextConfig, VisionConfig
from siglip_lab.loading.pretrained import load
from siglip_lab.loading.weights import skip_draws
from siglip_lab.model import TwoTowers, similarity
from siglip_lab.patches import interpolate_positions
from siglip_lab.towers import TextEmbeddings, TowerOutput

__all__ = ["CLIP", "TextTower", "VisionEmbeddings", "VisionTower"]


class VisionEmbeddings(patches.VisionEmbeddings):
    """Patches without bias, a class token, positions: `[B, 3, S, S]` to `[B, 1 + N, D]`."""

    def __init__(self, config: VisionConfig):
        super().__init__(config)
        p, d = config.patch_size, config.width
        self.class_embedding = nn.Parameter(torch.zeros(d))
        self.patch_embedding = nn.Conv2d(3, d, kernel_size=p, stride=p, bias=False)
        self.position_embedding = nn.Embedding(1 + config.num_patches, d)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Arguments and errors as for `siglip_lab.patches.VisionEmbeddings.forward`."""
        kernel, positions = self.patch_embedding.weight, self.position_embedding.weight
        check_pixel_values(pixel_values, kernel, self.image_size, interpolate_pos_encoding)
        x = self.patch_embedding(pixel_values.to(kernel.dtype))  # [B, D, rows, columns]
        if interpolate_pos_encoding:
            stretched = interpolate_positions(positions[1:], *x.shape[2:])
            positions = torch.cat([positions[:1], stretched])
        token = self.class_embedding.expand(x.shape[0], 1, -1)  # [B, 1, D]
        return torch.cat([token, x.flatten(2).transpose(1, 2)], dim=1) + positions


class VisionTower(nn.Module):
    """Images `[B, 3, S, S]` to tokens `[B, 1 + N, D]` and a vector `[B, D]`: the class token's."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.width)  # the published files spell it so
        self.encoder = Encoder(config)
        self.post_layernorm = nn.LayerNorm(config.width)

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool = False,
        interpolate_pos_encoding: bool = False,
    ) -> TowerOutput:
        """Arguments and errors as for `siglip_lab.patches.VisionEmbeddings.forward`."""
        x = self.pre_layrnorm(self.embeddings(pixel_values, interpolate_pos_encoding))
        states = [x] if output_hidden_states else None
        x = self.encoder(x, states)  # [B, 1 + N, D]
        pooled = self.post_layernorm(class_token(x))
        return TowerOutput(x, pooled, None if states is None else tuple(states))


class TextTower(nn.Module):
    """Ids `[B, L]` to tokens `[B, L, D]` and one vector `[B, D]` each: the end of text's.

    A causal mask hides from each token those after it, so that padding, which comes after the end
    of text, changes nothing.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(config, causal=True)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False) -> TowerOutput:
        """Arguments and errors as for `siglip_lab.towers.TextEmbeddings.forward`."""
        x = self.embeddings(input_ids)  # [B, L, D]
        states = [x] if output_hidden_states else None
        x = self.final_layer_norm(self.encoder(x, states))
        pooled = end_of_text(x, input_ids)
        return TowerOutput(x, pooled, None if states is None else tuple(states))


class CLIP(TwoTowers):
    """Two towers, two projections to a common size, a logit scale.

    ``logit[i, j] = exp(logit_scale) * cos(image_i, text_j)``; the softmax of a row says which of
    the texts belongs to image i (CLIP paper, figure 3). There is no bias.

    Its weights are random, drawn on the CPU as by OpenAI, with t = 1/0.07: from a seed, the same on
    every device, from a `torch.Generator`, or from PyTorch's global one.

    >>> from siglip_lab import clip
    >>> model = CLIP(clip.get_config("ViT-B/32"), seed=0)
    >>> model.encode_image(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 512])
    """

    format = CLIP_FORMAT
    reads_padding = False  # the causal mask hides it

    def __init__(self, config: CLIPConfig, seed: int | torch.Generator | None = None):
        if not isinstance(config, CLIPConfig):
            raise TypeError(
                f"config is a {type(config).__name__}; expected a CLIPConfig: "
                "clip.get_config(NAME) gives one, CLIP.from_pretrained(NAME) a trained model"
            )
        super().__init__()
        self.config = config
        vision, text, embed_dim = config.vision, config.text, config.embed_dim
        with skip_draws():
            if isinstance(vision, ResNetConfig):
                self.vision_model: nn.Module = ModifiedResNet(vision, embed_dim)
                self.visual_projection: nn.Module = nn.Identity()  # its pooling projects
            else:
                self.vision_model = VisionTower(vision)
                self.visual_projection = nn.Linear(vision.width, embed_dim, bias=False)
            self.text_model = TextTower(text)
            self.text_projection = nn.Linear(text.width, embed_dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # log t
        init_weights(self, config, seed)

    @classmethod
    def from_pretrained(
        cls, where: str | os.PathLike, *, run_code_in_file: bool = False, **options: Any
    ) -> CLIP:
        """Load a model, ready for inference (in eval mode).

        Args:
            where: "ViT-B/32" and the other ViTs of `list_models`, from Hugging Face; else as for
                `siglip_lab.SigLIP.from_pretrained`. A file is a state dict with OpenAI's names, as
                OpenAI's own and open_clip's.
            run_code_in_file: Load a TorchScript archive, as OpenAI's own downloads are. Such a
                file can carry code, and loading it runs that code: do so only with a file that you
                trust. Without this, no code from a file is ever run.
            options: `device`, `dtype`, `config`, `revision`, as there. Weights of a file become
                float32 unless another type is asked for. Give `config` where the file is not
                OpenAI's own and the model was trained with QuickGELU: no file holds activation and
                number of heads.

        Raises:
            CheckpointError: As there; also if activation and number of heads are not known.
        """
        return load(cls, where, run_code_in_file=run_code_in_file, **options)

    def project_image(self, pooled: Tensor) -> Tensor:
        return self.visual_projection(pooled)

    def project_text(self, pooled: Tensor) -> Tensor:
        return self.text_projection(pooled)

    def logits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        return similarity(image_embeds, text_embeds, self.logit_scale)

    def to_probabilities(self, logits: Tensor) -> Tensor:
        """Each image's choice among all texts of its row, whose sum is one."""
        return logits.softmax(dim=-1)

    def lock(self, tower: str, unlocked_layers: int = 0) -> None:
        """Keep the "vision" or the "text" tower and its projection as they are.

        The last `unlocked_layers` encoder layers still learn, and with them what comes after. A
        ResNet has no encoder layers and is locked as a whole, with its batch norms' statistics.
        """
        resnet = tower == "vision" and isinstance(self.vision_model, ModifiedResNet)
        if resnet and unlocked_layers != 0:
            raise ValueError(
                f"unlocked_layers is {unlocked_layers!r}, but a ResNet has no encoder layers; "
                "expected 0, which locks all of it"
            )
        super().lock(tower, unlocked_layers)
        projection = self.visual_projection if tower == "vision" else self.text_projection
        projection.requires_grad_(unlocked_layers > 0)
        self.train(self.training)  # a locked ResNet stays in eval mode
