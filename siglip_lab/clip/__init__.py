"""CLIP in the same rooms as SigLIP.

>>> from siglip_lab import clip
>>> clip.get_config("ViT-B/32").embed_dim
512
"""

from siglip_lab.clip.configs import CLIPConfig, ResNetConfig, get_config, list_models
from siglip_lab.clip.counting import count_flops, count_parameters
from siglip_lab.clip.encoder import build_attention_mask, quick_gelu
from siglip_lab.clip.memory import count_bytes
from siglip_lab.clip.model import CLIP
from siglip_lab.clip.preprocessing import preprocess
from siglip_lab.clip.processor import Processor
from siglip_lab.clip.resnet import ModifiedResNet
from siglip_lab.clip.tokenizer import Tokenizer, tokenize

__all__ = [
    "CLIP", "CLIPConfig", "ModifiedResNet", "Processor", "ResNetConfig", "Tokenizer",
    "build_attention_mask", "count_bytes", "count_flops", "count_parameters", "get_config",
    "list_models", "preprocess", "quick_gelu", "tokenize",
]  # fmt: skip
