"""Shapes of SigLIP models; those that were published are in `siglip_lab.published`."""

from dataclasses import dataclass, fields

from siglip_lab.checks import check_size

__all__ = ["SigLIPConfig", "TextConfig", "TowerConfig", "VisionConfig"]


@dataclass(frozen=True, kw_only=True)
class TowerConfig:
    """What both towers have: a stack of equal encoder layers."""

    width: int  #: size D of a token vector, in every layer
    depth: int  #: number of encoder layers
    num_heads: int  #: attention heads of a layer; must divide the width
    mlp_dim: int  #: size of the hidden layer of each MLP

    def __post_init__(self):
        for field in fields(self):
            check_size(field.name, getattr(self, field.name))
        if self.width % self.num_heads:
            raise ValueError(
                f"width {self.width} cannot be split into {self.num_heads} equal heads; "
                "choose num_heads that divides it"
            )

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.width // self.num_heads


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """Shape of the image tower.

    The side of a patch need not divide the image's: what is left over at the bottom and at the
    right is never seen.

    >>> config = VisionConfig(384, 14, width=1152, depth=27, num_heads=16, mlp_dim=4304)
    >>> config.grid_size, config.num_patches, config.head_dim
    (27, 729, 72)
    """

    image_size: int  #: side of the square input image, in pixels
    patch_size: int  #: side P of a square patch, in pixels

    def __post_init__(self):
        super().__post_init__()
        if self.image_size < self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is smaller than patch_size {self.patch_size}: "
                "no patch fits; use a larger image or a smaller patch"
            )

    @property
    def grid_size(self) -> int:
        """Whole patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """Number N of image tokens."""
        return self.grid_size**2


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """Shape of the text tower."""

    vocab_size: int  #: number of pieces that the tokenizer knows
    context_length: int  #: number L of tokens of every text; shorter ones are padded to it


@dataclass(frozen=True)
class SigLIPConfig:
    """Shape of a whole model; the text tower's head maps its width to the image tower's."""

    vision: VisionConfig
    text: TextConfig

    def __post_init__(self):
        for name, wanted in (("vision", VisionConfig), ("text", TextConfig)):
            if not isinstance(getattr(self, name), wanted):
                raise TypeError(f"{name} must be a {wanted.__name__}, got {getattr(self, name)!r}")

    @property
    def embed_dim(self) -> int:
        """Size of an image or text embedding: the image tower's width."""
        return self.vision.width
