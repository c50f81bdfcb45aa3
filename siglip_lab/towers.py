"""The two towers, chapter "Two towers"; parameter names are those of Hugging Face's checkpoints."""

from typing import NamedTuple

from torch import Tensor, nn

from siglip_lab.checks import check_input_ids, check_vocabulary
from siglip_lab.configs import TextConfig, VisionConfig
from siglip_lab.encoder import Encoder, layer_norm
from siglip_lab.initialization import init_tower
from siglip_lab.loading.pretrained import TEXT_TOWER, VISION_TOWER, Pretrained
from siglip_lab.patches import VisionEmbeddings
from siglip_lab.pooling import LastTokenHead, MAPHead

__all__ = ["TextEmbeddings", "TextTower", "TowerOutput", "TwoTowerOutput", "VisionTower"]


class TowerOutput(NamedTuple):
    """What a tower returns."""

    last_hidden_state: Tensor  # [B, N, D], after the final norm, but in CLIP's ViT before it
    pooler_output: Tensor  # [B, D], not normalised
    hidden_states: tuple[Tensor, ...] | None = None  # before layer 0, after each


class TwoTowerOutput(NamedTuple):
    """What a model of two towers returns; None for a side that was left out."""

    logits_per_image: Tensor | None  # [n_img, n_txt], at least float32
    logits_per_text: Tensor | None  # [n_txt, n_img], its transpose
    image_embeds: Tensor | None  # [n_img, E], L2-normalised, at least float32
    text_embeds: Tensor | None  # [n_txt, E], L2-normalised, at least float32
    vision: TowerOutput | None
    text: TowerOutput | None


class VisionTower(Pretrained):
    """Images `[B, 3, S, S]` to tokens `[B, N, D]` and one vector `[B, D]` each."""

    format = VISION_TOWER

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config = config
        self.embeddings = VisionEmbeddings(config)
        self.encoder = Encoder(config)
        self.post_layernorm = layer_norm(config.width)
        self.head = MAPHead(config.width, config.num_heads, config.mlp_dim)
        init_tower(self)

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool = False,
        interpolate_pos_encoding: bool = False,
    ) -> TowerOutput:
        """Arguments and errors as for `VisionEmbeddings.forward`."""
        x = self.embeddings(pixel_values, interpolate_pos_encoding)  # [B, N, D]
        states = [x] if output_hidden_states else None
        x = self.post_layernorm(self.encoder(x, states))
        return TowerOutput(x, self.head(x), tuple(states) if states else None)


class TextEmbeddings(nn.Module):
    """Token embedding plus position embedding: ids `[B, L]` to `[B, L, D]`."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.context_length, config.width)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up tokens and positions.

        A GPU or a compiled model meets an id outside the vocabulary with an error of PyTorch's.
        """
        positions = self.position_embedding.weight
        check_input_ids(input_ids, len(positions))
        try:
            return self.token_embedding(input_ids) + positions[: input_ids.shape[1]]  # [B, L, D]
        except IndexError:  # only now are ids read: before, a GPU would have to be waited for
            check_vocabulary(input_ids, self.token_embedding.num_embeddings)
            raise


class TextTower(Pretrained):
    """Ids `[B, L]` to tokens `[B, L, D]` and one vector `[B, E]` each.

    There is no attention mask: padding is attended to, as it was in training.
    """

    format = TEXT_TOWER

    def __init__(self, config: TextConfig, embed_dim: int):
        super().__init__()
        self.config = config
        self.embeddings = TextEmbeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = layer_norm(config.width)
        self.head = LastTokenHead(config.width, embed_dim)
        init_tower(self)

    def forward(self, input_ids: Tensor, output_hidden_states: bool = False) -> TowerOutput:
        """Arguments and errors as for `TextEmbeddings.forward`."""
        x = self.embeddings(input_ids)  # [B, L, D]
        states = [x] if output_hidden_states else None
        x = self.final_layer_norm(self.encoder(x, states))
        return TowerOutput(x, self.head(x), tuple(states) if states else None)
