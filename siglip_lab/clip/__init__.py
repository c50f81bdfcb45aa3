"""CLIP in the same rooms as SigLIP.

>>> from siglip_lab import clip
>>> clip.get_config("ViT-B/32").embed_dim
512
"""

from siglip_lab.clip.configs import CLIPConfig, ResNetConfig, get_config, list_models

__all__ = ["CLIPConfig", "ResNetConfig", "get_config", "list_models"]
