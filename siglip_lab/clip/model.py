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
from torch.nn import functional as F

from siglip_lab import encoder, patches
from siglip_lab.checks import check_pixel_values
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.clip.loading import CLIP_FORMAT
from siglip_lab.clip.pooling import class_token, end_of_text
from siglip_lab.clip.resnet import ModifiedResNet
from siglip_lab.configs import TextConfig, TowerConfig, VisionConfig
from siglip_lab.loading.pretrained import load
from siglip_lab.model import TwoTowers, similarity
from siglip_lab.patches import interpolate_positions
from siglip_lab.towers import TextEmbeddings, TowerOutput

__all__ = [
    "CLIP", "MLP", "CausalAttention", "Encoder", "EncoderLayer", "TextTower",
    "VisionEmbeddings", "VisionTower", "build_attention_mask", "quick_gelu",
]  # fmt: skip


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


class CausalAttention(encoder.Attention):
    """Self-attention that hides from each token those after it."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, H, L, d]
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # as `build_attention_mask`
        return self.out_proj(x.transpose(1, 2).flatten(2))  # [B, L, D]


class MLP(encoder.MLP):
    """SigLIP's, with the quick GELU."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(quick_gelu(self.fc1(x)))


class EncoderLayer(encoder.EncoderLayer):
    """SigLIP's, with the quick GELU and PyTorch's epsilon, and for texts with the causal mask."""

    def __init__(self, config: TowerConfig, causal: bool):
        nn.Module.__init__(self)  # all parts are CLIP's own
        attention = CausalAttention if causal else encoder.Attention
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.self_attn = attention(config.width, config.num_heads)
        self.layer_norm2 = nn.LayerNorm(config.width)
        self.mlp = MLP(config.width, config.mlp_dim)


class Encoder(encoder.Encoder):
    """SigLIP's, of CLIP's layers."""

    def __init__(self, config: TowerConfig, causal: bool = False):
        nn.Module.__init__(self)
        self.grad_checkpointing = False
        self.layers = nn.ModuleList(EncoderLayer(config, causal) for _ in range(config.depth))


class VisionEmbeddings(patches.VisionEmbeddings):
    """Patches without bias, a class token, positions: `[B, 3, S, S]` to `[B, 1 + N, D]`."""

    def __init__(self, config: VisionConfig):
        nn.Module.__init__(self)
        p, n, d = config.patch_size, config.num_patches, config.width
        self.image_size = config.image_size
        self.class_embedding = nn.Parameter(torch.zeros(d))
        self.patch_embedding = nn.Conv2d(3, d, kernel_size=p, stride=p, bias=False)
        self.position_embedding = nn.Embedding(1 + n, d)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        kernel, positions = self.patch_embedding.weight, self.position_embedding.weight
        check_pixel_values(
            pixel_values, kernel, None if interpolate_pos_encoding else self.image_size
        )
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
        interpolate_pos_encoding: bool = False,
        output_hidden_states: bool = False,
    ) -> TowerOutput:
        """Arguments and errors as for `siglip_lab.patches.VisionEmbeddings.forward`."""
        x = self.pre_layrnorm(self.embeddings(pixel_values, interpolate_pos_encoding))
        states = [x] if output_hidden_states else None
        x = self.encoder(x, states)  # [B, 1 + N, D]
        return TowerOutput(x, self.post_layernorm(class_token(x)), states and tuple(states))


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
        return TowerOutput(x, end_of_text(x, input_ids), states and tuple(states))


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
                self.vision_model = ModifiedResNet(config.vision, config.embed_dim)
                self.visual_projection = nn.Identity()
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

    def project_image(self, pooled: Tensor) -> Tensor:
        return self.visual_projection(pooled)

    def project_text(self, pooled: Tensor) -> Tensor:
        return self.text_projection(pooled)

    def logits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        return similarity(image_embeds, text_embeds, self.logit_scale)

    def to_probabilities(self, logits: Tensor) -> Tensor:
        """A choice among all that stand in a row, whose sum is one."""
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
            self.vision_model.initialize_parameters()
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
