"""CLIP's ResNets: a three-convolution stem, blurred strides, and attention instead of a mean.

Parameter names are OpenAI's (``layer1.0.conv1.weight``, ``attnpool.c_proj.weight``, …).
Source: CLIP paper, section 2.4; openai/CLIP, ``clip/model.py``, ``ModifiedResNet``.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from siglip_lab.checks import check_pixel_values
from siglip_lab.clip.configs import ResNetConfig
from siglip_lab.clip.pooling import AttentionPool2d
from siglip_lab.towers import TowerOutput

__all__ = ["Bottleneck", "ModifiedResNet"]

EXPANSION = 4  # a block's output has four times as many channels as its middle


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut: `[B, C, H, W]` to `[B, 4 W, H/s, W/s]`.

    All convolutions have stride 1; where the map shrinks, an average of s x s does it, on the
    shortcut too, so that every value counts.

    Args:
        channels: Channels C that come in.
        width: Channels of the middle; four times as many go out.
        stride: How much smaller the map gets.
    """

    def __init__(self, channels: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(stride)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(EXPANSION * width)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or channels != EXPANSION * width:
            shrink = nn.AvgPool2d(stride)
            fit = nn.Conv2d(channels, EXPANSION * width, 1, bias=False)
            norm = nn.BatchNorm2d(EXPANSION * width)
            self.downsample = nn.Sequential(OrderedDict({"-1": shrink, "0": fit, "1": norm}))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self.avgpool(out)))
        return F.relu(out + self.downsample(x))


class ModifiedResNet(nn.Module):
    """Images `[B, 3, S, S]` to `[B, N, 32 W]`, the last map as tokens, and a vector `[B, E]`.

    Three things differ from a plain ResNet: the stem has three convolutions and an average instead
    of one and a maximum; strides are averages; the last map is pooled by attention.

    Args:
        config: Shape of the tower.
        embed_dim: Size E of the result.
    """

    def __init__(self, config: ResNetConfig, embed_dim: int):
        super().__init__()
        self.config = config
        half, width = config.width // 2, config.width
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        self.layer1 = _stage(width, width, config.layers[0], stride=1)
        self.layer2 = _stage(4 * width, 2 * width, config.layers[1], stride=2)
        self.layer3 = _stage(8 * width, 4 * width, config.layers[2], stride=2)
        self.layer4 = _stage(16 * width, 8 * width, config.layers[3], stride=2)
        self.attnpool = AttentionPool2d(
            config.grid_size, config.feature_dim, config.num_heads, embed_dim
        )

    def forward(
        self,
        pixel_values: Tensor,
        output_hidden_states: bool = False,
        interpolate_pos_encoding: bool = False,
    ) -> TowerOutput:
        """Arguments as for a ViT, of which the last two must be False."""
        if interpolate_pos_encoding or output_hidden_states:
            raise ValueError(
                "a ResNet takes no other size than its own and has no hidden states; expected "
                "interpolate_pos_encoding and output_hidden_states to be False"
            )
        check_pixel_values(pixel_values, self.conv1.weight, self.config.image_size)
        x = pixel_values.to(self.conv1.weight.dtype)
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        x = self.avgpool(x)  # [B, W, S/4, S/4]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        tokens = x.flatten(2).transpose(1, 2)  # of [B, 32 W, S/32, S/32]
        return TowerOutput(tokens, self.attnpool(x))

    def train(self, mode: bool = True) -> ModifiedResNet:
        """Enter training mode, unless the tower is locked: batch norms learn without gradients."""
        return super().train(mode and any(p.requires_grad for p in self.parameters()))


def _stage(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, width, stride)
    rest = [Bottleneck(EXPANSION * width, width) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
