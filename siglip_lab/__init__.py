"""siglip_lab: SigLIP as the book tells it, one module a chapter."""

from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig, get_config, list_models
from siglip_lab.model import SigLIP, default_device
from siglip_lab.patchify import patchify
