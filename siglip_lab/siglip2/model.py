"""SigLIP 2 for images of any shape (NaFlex): SigLIP with another image tower.

At fixed resolution SigLIP 2 is `siglip_lab.SigLIP`. Parameter names are those of transformers'
`Siglip2Model`.
"""

from __future__ import annotations

from torch import Tensor, nn

from siglip_lab.configs import VisionConfig
from siglip_lab.encoder import layer_norm
from siglip_lab.model import SigLIP, l2_normalize
from siglip_lab.siglip2.checks import check_mask
from siglip_lab.siglip2.configs import SIGLIP2
from siglip_lab.siglip2.encoder import Encoder, MAPHead
from siglip_lab.siglip2.patches import NaFlexEmbeddings
from siglip_lab.towers import TowerOutput, TwoTowerOutput

__all__ = ["NaFlexVisionTower", "SigLIP2"]


class NaFlexVisionTower(nn.Module):
    """Patches `[B, N, P * P * 3]` of any grids to tokens `[B, N, D]` and one vector `[B, D]` each.

    Tokens of padding come out, too; nothing depends on them.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.embeddings = NaFlexEmbeddings(config)
        self.encoder = Encoder(config)
        self.post_layernorm = layer_norm(config.width)
        self.head = MAPHead(config.width, config.num_heads, config.mlp_dim)

    def forward(
        self,
        pixel_values: Tensor,
        pixel_attention_mask: Tensor,
        spatial_shapes: Tensor,
        output_hidden_states: bool = False,
    ) -> TowerOutput:
        """Take the three tensors that `preprocess` makes."""
        x = self.embeddings(pixel_values, spatial_shapes)
        check_mask(pixel_attention_mask, pixel_values)
        mask = pixel_attention_mask.bool()
        states = [x] if output_hidden_states else None
        x = self.post_layernorm(self.encoder(x, mask, states))
        return TowerOutput(x, self.head(x, mask), tuple(states) if states else None)


class SigLIP2(SigLIP):
    """SigLIP 2 NaFlex: images keep their aspect ratio, and have as many patches as they need.

    The config is a `SigLIPConfig` whose image is the table of positions: 256 pixels in patches of
    16 are a table of 16 x 16. Text tower, scale, bias, logits and random weights are SigLIP's.

    >>> from PIL import Image
    >>> from siglip_lab import siglip2
    >>> model = SigLIP2(siglip2.get_config("siglip2-base-patch16-naflex"), seed=0)
    >>> model.encode_image(**siglip2.preprocess(Image.new("RGB", (640, 480)))).shape
    torch.Size([1, 768])
    """

    format = SIGLIP2
    _vision_tower = NaFlexVisionTower

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        pixel_attention_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> TwoTowerOutput:
        """Compare images with texts `[n_txt, L]`, or embed one side alone.

        An image is what `preprocess` makes of it: patches `[n_img, N, P * P * 3]`, a mask
        `[n_img, N]` and its grid, `[n_img, 2]`.
        """
        if pixel_values is None and input_ids is None:
            raise ValueError("give pixel_values, input_ids or both: model(**processor(...))")
        vision = text = image_embeds = text_embeds = logits = None
        if pixel_values is not None:
            grids = pixel_attention_mask, spatial_shapes
            vision = self.vision_model(pixel_values, *grids, output_hidden_states)
            image_embeds = l2_normalize(vision.pooler_output)
        if input_ids is not None:
            text = self.text_model(input_ids, output_hidden_states)
            text_embeds = l2_normalize(text.pooler_output)
        if image_embeds is not None and text_embeds is not None:
            logits = self.logits(image_embeds, text_embeds)
        per_text = None if logits is None else logits.T
        return TwoTowerOutput(logits, per_text, image_embeds, text_embeds, vision, text)

    def encode_image(  # type: ignore[override]
        self,
        pixel_values: Tensor,
        pixel_attention_mask: Tensor,
        spatial_shapes: Tensor,
        normalize: bool = True,
    ) -> Tensor:
        """Patches of images to embeddings `[B, E]`: unit vectors, at least float32, or raw."""
        embeds = self.vision_model(pixel_values, pixel_attention_mask, spatial_shapes).pooler_output
        return l2_normalize(embeds) if normalize else embeds
