"""CLIP: SigLIP's encoder layers, with what stood before, between and after them in 2021.

Parameter names are those of transformers' `CLIPModel`, so a Hugging Face file loads as it is; the
ResNets, which transformers does not have, keep OpenAI's.
"""

from __future__ import annotations

import math
import os
from typing import Any

import torch
from torch import Tensor, nn

from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.clip.loading import CLIP_FORMAT
from siglip_lab.clip.resnet import ModifiedResNet
from siglip_lab.configs import TextConfig, VisionConfig
from siglip_lab.encoder import Encoder
from siglip_lab.loading.pretrained import load
from siglip_lab.model import (
    TextEmbeddings,
    TowerOutput,
    TwoTowers,
    scaled_cosines,
    unit_vectors,
)
from siglip_lab.patches import interpolate_positions, to_weights
from siglip_lab.pooling import class_token, end_of_text

__all__ = [
    "CLIP", "TextTower", "VisionEmbeddings", "VisionTower", "build_attention_mask", "quick_gelu",
]  # fmt: skip

EPS = 1e-5  # PyTorch's default for LayerNorm


def quick_gelu(x: Tensor) -> Tensor:
    """GELU's quick approximation ``x * sigmoid(1.702 x)``, element by element.

    OpenAI's weights need it: with the exact GELU they still work, and are worse. open_clip's
    "ViT-B-32" has the exact one, "ViT-B-32-quickgelu" this.

    Source: openai/CLIP, ``clip/model.py``, ``QuickGELU``.

    >>> quick_gelu(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1542,  0.0000,  0.8458])
    """
    return x * torch.sigmoid(1.702 * x)


def build_attention_mask(
    length: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """The causal mask `[L, L]`: 0 on and below the diagonal, -inf above.

    Added to the scores before the softmax, it hides from each token those after it.

    Source: openai/CLIP, ``clip/model.py``, ``build_attention_mask``.

    >>> build_attention_mask(3)
    tensor([[0., -inf, -inf],
            [0., 0., -inf],
            [0., 0., 0.]])
    """
    return torch.full((length, length), -math.inf, device=device, dtype=dtype).triu(1)


class VisionEmbeddings(nn.Module):
    """Patches without bias, a class token in front, positions: `[B, 3, S, S]` to `[B, 1 + N, D]`.

    Args:
        config: Shape of the image tower.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        patch = config.patch_size
        self.class_embedding = nn.Parameter(torch.zeros(config.width))
        self.patch_embedding = nn.Conv2d(3, config.width, patch, stride=patch, bias=False)
        self.position_embedding = nn.Embedding(1 + config.num_patches, config.width)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Arguments and errors as for `siglip_lab.patches.VisionEmbeddings.forward`."""
        size = None if interpolate_pos_encoding else self.config.image_size
        x = self.patch_embedding(to_weights(pixel_values, self.patch_embedding.weight, size))
        rows, columns = x.shape[-2:]  # x: [B, D, rows, columns]
        x = x.flatten(2).transpose(1, 2)  # [B, N, D]
        token = self.class_embedding.expand(x.shape[0], 1, -1)
        x = torch.cat([token, x], dim=1)  # [B, 1 + N, D]
        table = self.position_embedding.weight
        return x + torch.cat([table[:1], interpolate_positions(table[1:], rows, columns)])


class VisionTower(nn.Module):
    """Images `[B, 3, S, S]` to tokens `[B, 1 + N, D]` and one vector `[B, D]`: the class token's.

    Args:
        config: Shape of the tower.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.embeddings = VisionEmbeddings(config)
        self.pre_layrnorm = nn.LayerNorm(config.width, EPS)  # the published files spell it so
        self.encoder = Encoder(config, quick_gelu, EPS)
        self.post_layernorm = nn.LayerNorm(config.width, EPS)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> TowerOutput:
        """Arguments and errors as for `VisionEmbeddings.forward`."""
        x = self.embeddings(pixel_values, interpolate_pos_encoding)  # [B, 1 + N, D]
        x = self.encoder(self.pre_layrnorm(x))
        return TowerOutput(x, self.post_layernorm(class_token(x)))


class TextTower(nn.Module):
    """Ids `[B, L]` to tokens `[B, L, D]` and one vector `[B, D]` each: the end of text's.

    A causal mask hides from each token those after it, so that padding, which comes after the end
    of text, changes nothing.

    Args:
        config: Shape of the tower.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(config, quick_gelu, EPS)
        self.final_layer_norm = nn.LayerNorm(config.width, EPS)

    def forward(self, input_ids: Tensor) -> TowerOutput:
        """Arguments and errors as for `siglip_lab.model.TextEmbeddings.forward`."""
        x = self.embeddings(input_ids)  # [B, L, D]
        mask = build_attention_mask(x.shape[1], x.device, x.dtype)  # [L, L]
        x = self.final_layer_norm(self.encoder(x, mask))
        return TowerOutput(x, end_of_text(x, input_ids))


class CLIP(TwoTowers):
    """Two towers, two projections to a common size, a logit scale.

    ``logit[i, j] = exp(logit_scale) * cos(image_i, text_j)``; the softmax of a row says which of
    the texts belongs to image i (CLIP paper, figure 3). There is no bias.

    A new model has random weights, drawn as by OpenAI; `from_pretrained` gives trained ones.

    Args:
        config: Shape of the model.

    Raises:
        TypeError: If the config is no `CLIPConfig`.

    >>> from siglip_lab import clip
    >>> model = CLIP(clip.get_config("ViT-B/32"))
    >>> model.encode_image(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 512])
    """

    format = CLIP_FORMAT

    def __init__(self, config: CLIPConfig, seed: int | None = None):
        if not isinstance(config, CLIPConfig):
            raise TypeError(
                f"config is a {type(config).__name__}; expected a CLIPConfig: "
                "clip.get_config(NAME) gives one, CLIP.from_pretrained(PATH) a trained model"
            )
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            if isinstance(config.vision, ResNetConfig):
                self.visual = ModifiedResNet(config.vision, config.embed_dim)
            else:
                self.vision_model = VisionTower(config.vision)
                self.visual_projection = nn.Linear(
                    config.vision.width, config.embed_dim, bias=False
                )
            self.text_model = TextTower(config.text)
            self.text_projection = nn.Linear(config.text.width, config.embed_dim, bias=False)
            self.logit_scale = nn.Parameter(torch.zeros(()))  # log t
            self.initialize_parameters()

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

    def encode_image(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Images `[B, 3, S, S]` to unit vectors `[B, E]`, at least float32.

        Arguments and errors as for `VisionEmbeddings.forward`; a ResNet takes no other size.
        """
        if not isinstance(self.config.vision, ResNetConfig):
            pooled = self.vision_model(pixel_values, interpolate_pos_encoding).pooler_output
            return unit_vectors(self.visual_projection(pooled))
        if interpolate_pos_encoding:
            raise ValueError("CLIP's ResNets take no other size than their own")
        return unit_vectors(self.visual(pixel_values))

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Ids `[B, L]` to unit vectors `[B, E]`, at least float32.

        Arguments and errors as for `siglip_lab.model.TextEmbeddings.forward`.
        """
        return unit_vectors(self.text_projection(self.text_model(input_ids).pooler_output))

    def logits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Logits `[n_img, n_txt]` of unit vectors `[n_img, E]` and `[n_txt, E]`."""
        return scaled_cosines(image_embeds, text_embeds, self.logit_scale)

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the logits mean: a choice among all that stand in a row, whose sum is one."""
        return logits.softmax(dim=-1)

    @torch.no_grad()
    def initialize_parameters(self) -> None:
        """Draw what OpenAI draws by hand, from PyTorch's global generator, and set t = 1/0.07.

        The rest keeps what its layer's constructor drew: PyTorch's defaults. Where a text layer is
        fed (q, k, v) the spread is ``width**-0.5``, and where it adds to the token's vector
        ``(2 * depth * width)**-0.5``. transformers swaps these two in its attention.

        Source: openai/CLIP, ``clip/model.py``, ``initialize_parameters`` and the constructors.
        """
        if isinstance(self.config.vision, ResNetConfig):
            self.visual.initialize_parameters()
        else:
            self._initialize_vision()
        self._initialize_text()
        nn.init.constant_(self.logit_scale, math.log(1 / 0.07))

    def _initialize_vision(self) -> None:
        embeddings, std = self.vision_model.embeddings, self.config.vision.width**-0.5
        nn.init.normal_(embeddings.class_embedding, std=std)
        nn.init.normal_(embeddings.position_embedding.weight, std=std)
        nn.init.normal_(self.visual_projection.weight, std=std)
        for layer in self.vision_model.encoder.layers:
            attention = layer.self_attn
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
                # Xavier's bound for the three as one matrix [3D, D], as PyTorch's attention has it
                bound = math.sqrt(6 / (4 * linear.in_features))
                nn.init.uniform_(linear.weight, -bound, bound)
            _zero_biases(attention)

    def _initialize_text(self) -> None:
        width, depth = self.config.text.width, self.config.text.depth
        into, out_of = width**-0.5, (2 * depth * width) ** -0.5
        nn.init.normal_(self.text_model.embeddings.token_embedding.weight, std=0.02)
        nn.init.normal_(self.text_model.embeddings.position_embedding.weight, std=0.01)
        for layer in self.text_model.encoder.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for linear in (attention.q_proj, attention.k_proj, attention.v_proj):
                nn.init.normal_(linear.weight, std=into)
            nn.init.normal_(attention.out_proj.weight, std=out_of)
            nn.init.normal_(mlp.fc1.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(mlp.fc2.weight, std=out_of)
            _zero_biases(attention)
        nn.init.normal_(self.text_projection.weight, std=into)


def _zero_biases(attention: nn.Module) -> None:
    for linear in attention.children():
        nn.init.zeros_(linear.bias)
