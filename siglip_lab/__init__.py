"""siglip_lab: SigLIP as the book tells it, from a photo and two captions to a probability.

>>> import siglip_lab as sl
>>> model = sl.SigLIP.from_pretrained("tiny")
>>> processor = sl.Processor.from_pretrained("tiny")
>>> image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
>>> probabilities = sl.zero_shot(model, processor, image, ["2 red circles", "a blue square"])
"""

from siglip_lab import early  # noqa: F401  isort: skip  # before torch, whose import takes seconds
from siglip_lab import clip, search, siglip2
from siglip_lab.checks import CheckpointError
from siglip_lab.configs import SigLIPConfig, TextConfig, TowerConfig, VisionConfig
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.images import load_image
from siglip_lab.inference import embed_images, embed_texts, retrieve, zero_shot
from siglip_lab.losses import clip_loss, soft_target_loss
from siglip_lab.losses_at_scale import distributed_sigmoid_loss, sigmoid_loss
from siglip_lab.memory import count_bytes
from siglip_lab.model import SigLIP
from siglip_lab.pairs import default_device
from siglip_lab.patches import patchify
from siglip_lab.pooling import LastTokenHead, MAPHead
from siglip_lab.preprocessing import preprocess, to_image
from siglip_lab.processor import Processor
from siglip_lab.published import get_config, list_models
from siglip_lab.tokenizer import Tokenizer
from siglip_lab.towers import TextTower, VisionTower
from siglip_lab.toy import shapes_world
from siglip_lab.tracing import trace

__all__ = [
    "CheckpointError", "LastTokenHead", "MAPHead", "Processor", "SigLIP", "SigLIPConfig",
    "TextConfig", "TextTower", "Tokenizer", "TowerConfig", "VisionConfig", "VisionTower",
    "clip", "clip_loss", "count_bytes", "count_flops", "count_parameters", "default_device",
    "distributed_sigmoid_loss", "embed_images", "embed_texts", "get_config", "list_models",
    "load_image", "patchify", "preprocess", "retrieve", "search", "shapes_world", "sigmoid_loss",
    "siglip2", "soft_target_loss", "to_image", "trace", "zero_shot",
]  # fmt: skip

__version__ = "0.1.0"
