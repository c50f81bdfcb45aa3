"""Train and fine-tune on your own pictures.

pairs = open_pairs("pictures")  # a folder with captions.csv, or one of three others
report = train(model, processor, pairs, "out", TrainConfig(steps=1000))
print(report)  # what it gained, what it forgot
"""

from siglip_lab.training.config import TrainConfig
from siglip_lab.training.data import Pairs, Picture
from siglip_lab.training.estimates import dry_run, estimate_bytes
from siglip_lab.training.lists import read_captions, read_texts
from siglip_lab.training.loop import Trainer, train
from siglip_lab.training.measuring import measure, shapes_world_pairs
from siglip_lab.training.probe import class_features, linear_probe, nearest_neighbours
from siglip_lab.training.report import Report
from siglip_lab.training.scratch import new_model, train_tokenizer
from siglip_lab.training.sources import (
    open_pairs,
    read_class_folders,
    read_dataset,
    read_shards,
)

__all__ = [
    "Pairs", "Picture", "Report", "TrainConfig", "Trainer", "class_features", "dry_run",
    "estimate_bytes", "linear_probe", "measure", "nearest_neighbours", "new_model", "open_pairs",
    "read_captions", "read_class_folders", "read_dataset", "read_shards", "read_texts",
    "shapes_world_pairs", "train", "train_tokenizer",
]  # fmt: skip
