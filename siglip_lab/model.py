"""The two towers and what joins them: images and texts become unit vectors, then logits.

Chapter "Two towers". Parameter names are those of the published checkpoints in the Hugging Face
format, so a downloaded file loads as it is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.encoder import MLP, Attention, Encoder, layer_norm
from siglip_lab.loading.pretrained import SIGLIP, TEXT_TOWER, VISION_TOWER, Pretrained
from siglip_lab.loading.weights import skip_draws
from siglip_lab.patches import VisionEmbeddings
from siglip_lab.pooling import LastTokenHead, MAPHead, ProbeAttention

__all__ = [
    "SigLIP", "TwoTowers", "TwoTowerOutput", "VisionTower", "TextTower", "TowerOutput",
    "TextEmbeddings", "default_device", "plain_model", "scaled_cosines", "unit_vectors",
]  # fmt: skip


class TowerOutput(NamedTuple):
    """What a tower returns."""

    last_hidden_state: Tensor  # [B, N, D], after the final norm, but in CLIP's ViT before it
    pooler_output: Tensor  # [B, D], not normalised


class TwoTowerOutput(NamedTuple):
    """What a model of two towers returns."""

    logits_per_image: Tensor  # [n_img, n_txt], at least float32
    logits_per_text: Tensor  # [n_txt, n_img], its transpose
    image_embeds: Tensor  # [n_img, D], L2-normalised, at least float32
    text_embeds: Tensor  # [n_txt, D], L2-normalised, at least float32


class VisionTower(Pretrained):
    """Images `[B, 3, S, S]` to tokens `[B, N, D]` and one vector `[B, D]` each.

    Args:
        config: Shape of the tower.
    """

    format = VISION_TOWER

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.embeddings = VisionEmbeddings(config)
        self.encoder = Encoder(config)
        self.post_layernorm = layer_norm(config.width)
        self.head = MAPHead(config.width, config.num_heads, config.mlp_dim)

    def forward(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> TowerOutput:
        """Arguments and errors as for `VisionEmbeddings.forward`."""
        x = self.embeddings(pixel_values, interpolate_pos_encoding)  # [B, N, D]
        x = self.post_layernorm(self.encoder(x))
        return TowerOutput(x, self.head(x))

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw this tower's weights anew; as `SigLIP.init_weights`."""
        _init_modules(self, generator)


class TextEmbeddings(nn.Module):
    """Token embedding plus position embedding: ids `[B, L]` to `[B, L, D]`.

    Args:
        config: Shape of the text tower.
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.context_length, config.width)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up tokens and positions.

        Raises:
            TypeError: If the ids are no tensor, or not integers.
            ValueError: If their shape does not fit the tables, or an id is outside the vocabulary;
                a GPU or a compiled model meets such an id with an error of PyTorch's.
        """
        self._check(input_ids)
        positions = self.position_embedding.weight[: input_ids.shape[1]]  # [L, D]
        try:
            return self.token_embedding(input_ids) + positions  # [B, L, D]
        except IndexError:  # only now are ids read: before, a GPU would have to be waited for
            self.check_values(input_ids)
            raise

    def check_values(self, input_ids: Tensor) -> None:
        """Refuse what `forward` refuses, and ids outside the vocabulary on any device."""
        self._check(input_ids)
        low, high = int(input_ids.min()), int(input_ids.max())
        vocab = self.token_embedding.num_embeddings
        if low < 0 or high >= vocab:
            raise ValueError(
                f"input_ids reach from {low} to {high}, the vocabulary from 0 to {vocab - 1}: "
                "the tokenizer belongs to another model"
            )

    def _check(self, input_ids: Tensor) -> None:
        if not isinstance(input_ids, Tensor):
            raise TypeError(
                f"input_ids are of type {type(input_ids).__name__}; expected a tensor [B, L]: "
                'use processor(text=...)["input_ids"]'
            )
        shape, length = tuple(input_ids.shape), self.position_embedding.num_embeddings
        if input_ids.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"input_ids are {input_ids.dtype}; expected int64 ids: use a tokenizer")
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"input_ids have shape {shape}; expected [B, L] with B, L >= 1")
        if shape[1] > length:
            raise ValueError(
                f"{shape[1]} tokens a text, but the model has {length} positions: "
                f"tokenize with context_length={length}"
            )


class TextTower(Pretrained):
    """Ids `[B, L]` to tokens `[B, L, D]` and one vector `[B, E]` each.

    There is no attention mask: padding is attended to, as it was in training.

    Args:
        config: Shape of the tower.
        embed_dim: Size E of its embedding.
    """

    format = TEXT_TOWER

    def __init__(self, config: TextConfig, embed_dim: int):
        super().__init__()
        self.config = config
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = layer_norm(config.width)
        self.head = LastTokenHead(config.width, embed_dim)

    def forward(self, input_ids: Tensor) -> TowerOutput:
        """Arguments and errors as for `TextEmbeddings.forward`."""
        x = self.embeddings(input_ids)  # [B, L, D]
        x = self.final_layer_norm(self.encoder(x))
        return TowerOutput(x, self.head(x))

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw this tower's weights anew; as `SigLIP.init_weights`."""
        _init_modules(self, generator)


class TwoTowers(Pretrained):
    """What SigLIP and CLIP share: two towers, whose embeddings are compared.

    A model brings `encode_image`, `encode_text`, `logits` and `probabilities`.
    """

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, interpolate_pos_encoding: bool = False
    ) -> TwoTowerOutput:
        """Compare every image with every text.

        Args:
            pixel_values: Images `[n_img, 3, S, S]`.
            input_ids: Texts `[n_txt, L]`.
            interpolate_pos_encoding: Accept images of another size, if the image tower can.

        Returns:
            `TwoTowerOutput`; `probabilities` says what its logits mean.
        """
        image_embeds = self.encode_image(pixel_values, interpolate_pos_encoding)
        text_embeds = self.encode_text(input_ids)
        logits = self.logits(image_embeds, text_embeds)
        return TwoTowerOutput(logits, logits.T, image_embeds, text_embeds)


class SigLIP(TwoTowers):
    """Two towers, a logit scale and a logit bias.

    ``logit[i, j] = exp(logit_scale) * cos(image_i, text_j) + logit_bias``, and the sigmoid of a
    logit is the probability that text j belongs to image i (SigLIP paper, Algorithm 1).

    A new model has random weights, drawn as in big_vision; `from_pretrained` gives trained ones.

    Args:
        config: Shape of the model.

    Raises:
        TypeError: If the config is no `SigLIPConfig`.

    >>> import siglip_lab as sl
    >>> model = sl.SigLIP.from_pretrained("tiny")
    >>> pixel_values = torch.zeros(2, 3, *[model.config.vision.image_size] * 2)
    >>> input_ids = torch.ones(3, model.config.text.context_length, dtype=torch.long)
    >>> model(pixel_values=pixel_values, input_ids=input_ids).logits_per_image.shape
    torch.Size([2, 3])
    """

    format = SIGLIP

    def __init__(self, config: SigLIPConfig, seed: int | None = None):
        if not isinstance(config, SigLIPConfig):
            raise TypeError(
                f"config is a {type(config).__name__}; expected a SigLIPConfig: get_config(NAME) "
                "gives one, SigLIP.from_pretrained(NAME) a trained model"
            )
        super().__init__()
        self.config = config
        with skip_draws():
            self.vision_model = VisionTower(config.vision)
            self.text_model = TextTower(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.zeros(1))  # log t
        self.logit_bias = nn.Parameter(torch.zeros(1))
        self.init_weights(None if seed is None else torch.Generator().manual_seed(seed))

    def encode_image(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """Images `[B, 3, S, S]` to unit vectors `[B, D]`, at least float32.

        Arguments and errors as for `VisionEmbeddings.forward`.
        """
        pooled = self.vision_model(pixel_values, interpolate_pos_encoding).pooler_output
        return unit_vectors(pooled)

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Ids `[B, L]` to unit vectors `[B, D]`, at least float32.

        Arguments and errors as for `TextEmbeddings.forward`.
        """
        return unit_vectors(self.text_model(input_ids).pooler_output)

    def logits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Logits `[n_img, n_txt]` of unit vectors `[n_img, D]` and `[n_txt, D]`."""
        scaled = scaled_cosines(image_embeds, text_embeds, self.logit_scale)
        return scaled + self.logit_bias.to(scaled.dtype)

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the logits mean: each pair's own probability, of the same shape."""
        return logits.sigmoid()

    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, as big_vision does: t = 10, b = -10, Xavier-uniform layers.

        Args:
            generator: Source of randomness; None takes PyTorch's global one.
        """
        self.vision_model.init_weights(generator)
        self.text_model.init_weights(generator)
        nn.init.constant_(self.logit_scale, math.log(10))
        nn.init.constant_(self.logit_bias, -10.0)


def plain_model(model: TwoTowers) -> TwoTowers:
    """The model itself, also where torch.compile holds it.

    Raises:
        TypeError: If it is no model of this library, or one in a wrapper.
    """
    model = getattr(model, "_orig_mod", model)
    if isinstance(model, TwoTowers):
        return model
    wrapped = isinstance(getattr(model, "module", None), nn.Module)  # as DataParallel holds it
    raise TypeError(
        f"model is a {type(model).__name__}; expected this library's SigLIP or CLIP: "
        + ("pass model.module" if wrapped else "from_pretrained gives one")
    )


def unit_vectors(x: Tensor) -> Tensor:
    """Vectors `[B, D]` scaled to length 1, in at least float32 and also under autocast."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


def scaled_cosines(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """Cosines times t `[n_img, n_txt]`, of unit vectors `[n_img, D]` and `[n_txt, D]`, and log t.

    Computed in float32 also where the towers run in half precision: a logit near -10 has a
    resolution of 0.0625 in bfloat16, and a scale near 112 multiplies every rounding error of the
    cosine.
    """
    dtype = torch.promote_types(image_embeds.dtype, torch.float32)
    with torch.autocast(image_embeds.device.type, enabled=False):
        cosines = image_embeds.to(dtype) @ text_embeds.to(dtype).T  # [n_img, n_txt]
        return cosines * logit_scale.to(dtype).exp()


@torch.no_grad()
def _init_modules(tower: nn.Module, generator: torch.Generator | None) -> None:

    def xavier(weight):
        nn.init.xavier_uniform_(weight, generator=generator)

    def normal(weight, fan_in):
        nn.init.normal_(weight, std=fan_in**-0.5, generator=generator)

    for module in tower.modules():
        if isinstance(module, (Attention, MLP)):
            for linear in module.children():
                xavier(linear.weight)
                nn.init.zeros_(linear.bias)
        elif isinstance(module, ProbeAttention):
            for weight in module.in_proj_weight.chunk(3):
                xavier(weight)
            xavier(module.out_proj.weight)
            nn.init.zeros_(module.in_proj_bias)
            nn.init.zeros_(module.out_proj.bias)
        elif isinstance(module, MAPHead):
            xavier(module.probe[0])
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            normal(module.weight, fan_in=module.embedding_dim)
        elif isinstance(module, nn.Conv2d):
            normal(module.weight, fan_in=module.weight[0].numel())
            nn.init.zeros_(module.bias)
        elif isinstance(module, LastTokenHead):
            normal(module.weight, fan_in=module.in_features)
            nn.init.zeros_(module.bias)


def default_device() -> torch.device:
    """The device to run on: a CUDA or Apple GPU where there is one, else the CPU.

    >>> default_device().type in ("cuda", "mps", "cpu")
    True
    """
    for name in ("cuda", "mps"):
        if getattr(torch, name).is_available():
            return torch.device(name)
    return torch.device("cpu")
