"""The figure of the chapter "CLIP, line by line"."""

from siglip_lab.clip.configs import CLIPConfig
from siglip_lab.configs import VisionConfig
from siglip_lab.figures.ch01 import walk_map
from siglip_lab.figures.svg import Drawing

__all__ = ["clip_walk"]


def clip_walk(config: CLIPConfig, photo, captions: list[str]) -> Drawing:
    """Draw the walk through a CLIP whose image tower is a ViT, with the shape of every station."""
    vision, text, n = config.vision, config.text, len(captions)
    if not isinstance(vision, VisionConfig):
        raise ValueError("this CLIP has a ResNet; the map shows the stations of a ViT")
    tokens = [1, 1 + vision.num_patches, vision.width]
    words = [n, text.context_length, text.width]
    left = [
        ("resize, cut, scale", [1, 3, vision.image_size, vision.image_size]),
        (f"class token + {vision.num_patches} patches", tokens),
        (f"{vision.depth} encoder layers", tokens),
        ("class token × matrix", [1, config.embed_dim]),
    ]
    right = [
        ("byte pairs, start, end", words[:2]),
        ("look up, add positions", words),
        (f"{text.depth} layers with a mask", words),
        ("end token × matrix", [n, config.embed_dim]),
    ]
    end = ("cosine × t, then softmax", "shares of one: which caption is it?")
    return walk_map(photo, captions, left, right, *end)
