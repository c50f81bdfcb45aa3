"""Measure a model as papers do: zero-shot naming, retrieval both ways, calibration.

test = open_test("imagenet/val")  # or COCO, Flickr30k, your own folder
measure(model, processor, test)  # top-1 and top-5 accuracy
"""

from siglip_lab.evaluate.authors import expected
from siglip_lab.evaluate.calibration import calibration_error, reliability
from siglip_lab.evaluate.known_tests import digits, imagenet, karpathy, open_test
from siglip_lab.training.measuring import measure

__all__ = [
    "calibration_error", "digits", "expected", "imagenet", "karpathy", "measure", "open_test",
    "reliability",
]  # fmt: skip
