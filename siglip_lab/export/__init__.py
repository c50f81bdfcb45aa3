"""A model for other programs: its two towers as ONNX files, checked against PyTorch."""

from siglip_lab.export.checking import TOLERANCE, open_session
from siglip_lab.export.folders import MANIFEST, export_onnx
from siglip_lab.export.variants import SUFFIXES

__all__ = ["MANIFEST", "SUFFIXES", "TOLERANCE", "export_onnx", "open_session"]
