"""Shapes drawn by hypothesis, and what the tests of the counts measure on built models."""

import torch
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig


@st.composite
def configs(draw):
    def shape(heads):
        head_dim, depth, mlp_dim = (draw(st.integers(1, most)) for most in (12, 3, 40))
        return {
            "width": heads * head_dim, "depth": depth, "num_heads": heads, "mlp_dim": mlp_dim,
        }  # fmt: skip

    patch, grid, left_over = draw(st.integers(1, 7)), draw(st.integers(1, 5)), draw(st.booleans())
    size = patch * grid + (patch - 1 if left_over else 0)
    vision = VisionConfig(size, patch, **shape(draw(st.integers(1, 4))))
    text = shape(draw(st.integers(1, 4)))
    vocab, length = draw(st.integers(2, 50)), draw(st.integers(1, 12))
    return SigLIPConfig(vision, TextConfig(vocab, length, **text))


def meta(build):
    with torch.device("meta"):
        return build()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def inputs(config, images, texts):
    vision, text = config.vision, config.text
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(images, 3, vision.image_size, vision.image_size, generator=generator)
    ids = torch.randint(text.vocab_size, (texts, text.context_length), generator=generator)
    return pixels, ids


def flops(forward):
    """FLOPs of a forward pass and of its backward, with maps that PyTorch counts as products."""
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as first:
            out = forward()
        with FlopCounterMode(display=False) as second:
            out.sum().backward()
    return first.get_total_flops(), second.get_total_flops()
