"""How fast a model is on this machine, and by which settings.

What to choose: on a processor with AMX, ``dtype="auto"``, which is bfloat16 there; with the AVX-512
instructions for bfloat16 alone, the same, or ONNX Runtime with ``int8``, which is faster and less
exact; elsewhere float32 in ONNX Runtime or PyTorch. ``siglip-lab bench NAME`` measures it.
"""

from siglip_lab.speed.measuring import Report, Row, measure_ways, where_time_goes
from siglip_lab.speed.ways import WAYS, Way, each_way

__all__ = ["WAYS", "Report", "Row", "Way", "each_way", "measure_ways", "where_time_goes"]
