"""SigLIP 2: the tokenizer of all its models, and NaFlex, for images of any shape."""

from siglip_lab.gemma import GemmaTokenizer as Tokenizer
from siglip_lab.siglip2.configs import get_config, is_naflex, list_models
from siglip_lab.siglip2.counting import count_bytes, count_flops, count_parameters
from siglip_lab.siglip2.model import SigLIP2
from siglip_lab.siglip2.patches import position_weights
from siglip_lab.siglip2.preprocessing import preprocess, target_size
from siglip_lab.siglip2.processor import Processor

__all__ = [
    "Processor", "SigLIP2", "Tokenizer", "count_bytes", "count_flops", "count_parameters",
    "get_config", "is_naflex", "list_models", "position_weights", "preprocess", "target_size",
]  # fmt: skip
