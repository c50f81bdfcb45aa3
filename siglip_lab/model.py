"""What joins the two towers: unit vectors, then logits.

Chapter "Two towers".
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.checks import check_integer
from siglip_lab.configs import SigLIPConfig
from siglip_lab.encoder import Encoder
from siglip_lab.initialization import init_weights
from siglip_lab.loading.pretrained import SIGLIP, Pretrained
from siglip_lab.loading.weights import skip_draws
from siglip_lab.towers import TextTower, TwoTowerOutput, VisionTower

__all__ = ["SigLIP", "TwoTowers", "l2_normalize", "similarity"]


class TwoTowers(Pretrained, ABC):
    """What SigLIP and CLIP share: two towers, whose embeddings are compared."""

    vision_model: nn.Module
    text_model: nn.Module
    logit_scale: nn.Parameter  # log t
    reads_padding = True  # there is no mask: a row must have the length that it had in training

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        output_hidden_states: bool = False,
        interpolate_pos_encoding: bool = False,
    ) -> TwoTowerOutput:
        """Compare images `[n_img, 3, S, S]` with texts `[n_txt, L]`, or embed one side alone."""
        if pixel_values is None and input_ids is None:
            raise ValueError("give pixel_values, input_ids or both: model(**processor(...))")
        vision = text = image_embeds = text_embeds = logits = None
        if pixel_values is not None:
            vision = self.vision_model(pixel_values, output_hidden_states, interpolate_pos_encoding)
            image_embeds = l2_normalize(self.project_image(vision.pooler_output))
        if input_ids is not None:
            text = self.text_model(input_ids, output_hidden_states)
            text_embeds = l2_normalize(self.project_text(text.pooler_output))
        if image_embeds is not None and text_embeds is not None:
            logits = self.logits(image_embeds, text_embeds)
        per_text = None if logits is None else logits.T
        return TwoTowerOutput(logits, per_text, image_embeds, text_embeds, vision, text)

    def encode_image(
        self, pixel_values: Tensor, normalize: bool = True, interpolate_pos_encoding: bool = False
    ) -> Tensor:
        """Images `[B, 3, S, S]` to embeddings `[B, E]`: unit vectors, at least float32, or raw."""
        output = self.vision_model(pixel_values, False, interpolate_pos_encoding)
        embeds = self.project_image(output.pooler_output)
        return l2_normalize(embeds) if normalize else embeds

    def encode_text(self, input_ids: Tensor, normalize: bool = True) -> Tensor:
        """Ids `[B, L]` to embeddings `[B, E]`: unit vectors, at least float32, or raw."""
        embeds = self.project_text(self.text_model(input_ids).pooler_output)
        return l2_normalize(embeds) if normalize else embeds

    def project_image(self, pooled: Tensor) -> Tensor:
        """From the image tower's vector `[B, D]` to the embedding `[B, E]`: here the same."""
        return pooled

    def project_text(self, pooled: Tensor) -> Tensor:
        """From the text tower's vector to the embedding `[B, E]`: here the same."""
        return pooled

    @abstractmethod
    def logits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        """Logits `[n_img, n_txt]` of unit vectors `[n_img, E]` and `[n_txt, E]`."""

    @abstractmethod
    def to_probabilities(self, logits: Tensor) -> Tensor:
        """What the logits mean, in the same shape."""

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute each layer once more in the backward pass instead of keeping its activations."""
        for module in self.modules():
            if isinstance(module, Encoder):
                module.grad_checkpointing = enable

    def lock(self, tower: str, unlocked_layers: int = 0) -> None:
        """Keep the "vision" or the "text" tower as it is: its weights get no gradients.

        The last `unlocked_layers` encoder layers (at most all) still learn, with what comes after.
        """
        if tower not in ("vision", "text"):
            raise ValueError(f'tower is {tower!r}; expected "vision" or "text"')
        check_integer("unlocked_layers", unlocked_layers, least=0)
        part: Any = self.vision_model if tower == "vision" else self.text_model
        part.requires_grad_(False)
        if unlocked_layers:
            parts = list(part.children())
            behind = parts[parts.index(part.encoder) + 1 :]
            for module in [*part.encoder.layers[-unlocked_layers:], *behind]:
                module.requires_grad_(True)


class SigLIP(TwoTowers):
    """Two towers, a logit scale and a logit bias.

    ``logit[i, j] = exp(logit_scale) * cos(image_i, text_j) + logit_bias``, and the sigmoid of a
    logit is the probability that text j belongs to image i (SigLIP paper, Algorithm 1).

    Its weights are random, drawn on the CPU as in big_vision, with t = 10 and b = -10: from a seed,
    the same on every device, from a `torch.Generator`, or from PyTorch's global one.

    >>> import siglip_lab as sl
    >>> SigLIP(sl.get_config("tiny"), seed=0).encode_image(torch.zeros(2, 3, 40, 40)).shape
    torch.Size([2, 72])
    """

    format = SIGLIP
    _vision_tower: type[nn.Module] = VisionTower

    def __init__(self, config: SigLIPConfig, seed: int | torch.Generator | None = None):
        if not isinstance(config, SigLIPConfig):
            raise TypeError(
                f"config is a {type(config).__name__}; expected a SigLIPConfig: get_config(NAME) "
                "gives one, SigLIP.from_pretrained(NAME) a trained model"
            )
        super().__init__()
        self.config = config
        with skip_draws():  # PyTorch's own numbers, which big_vision's would replace
            self.vision_model = self._vision_tower(config.vision)
            self.text_model = TextTower(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.full((1,), math.log(10)))  # log t
        self.logit_bias = nn.Parameter(torch.full((1,), -10.0))
        init_weights(self.vision_model, self.text_model, seed)

    def logits(self, image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
        scaled = similarity(image_embeds, text_embeds, self.logit_scale)
        return scaled + self.logit_bias.to(scaled.dtype)

    def to_probabilities(self, logits: Tensor) -> Tensor:
        """Each pair's own probability: pairs are questions apart, rows need not sum to one."""
        return logits.sigmoid()


def l2_normalize(x: Tensor) -> Tensor:
    """Scale vectors `[B, E]` to length 1, in at least float32 and also under autocast."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


def similarity(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """Cosines times t `[n_img, n_txt]`, of unit vectors `[n_img, E]` and `[n_txt, E]`, and log t.

    Computed in float32 also where the towers run in half precision: a logit near -10 has a
    resolution of 0.0625 in bfloat16, and a scale near 112 multiplies every rounding error of the
    cosine.
    """
    dtype = torch.promote_types(image_embeds.dtype, torch.float32)
    with torch.autocast(image_embeds.device.type, enabled=False):
        cosines = image_embeds.to(dtype) @ text_embeds.to(dtype).T  # [n_img, n_txt]
        return cosines * logit_scale.to(dtype).exp()
