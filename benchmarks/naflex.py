"""Put tiny into NaFlex's form and adapt it: what it names on pictures of other shapes than square.

Drawings of the shapes world in five shapes, 1 : 4 to 4 : 1, all of one area; 400 of each shape
among 320 captions. Measured are tiny as it is, which squashes each picture; its weights in NaFlex's
form, untrained; and both after the same further training on pictures of all shapes: the budget of
NaFlex's batches is drawn from four. With two seeds.

Run ``python -m benchmarks.naflex``; it writes ``siglip_lab/data/results/naflex.json`` after each
run, and goes on from there if it was stopped. One thread, about 20 minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import torch
from tqdm import tqdm

import siglip_lab as sl
from benchmarks.common import RESULTS, hardware, write
from siglip_lab import siglip2
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.losses_at_scale import sigmoid_loss
from siglip_lab.toy.any_shape import ASPECTS, flexible, flexible_processor, training_batch
from siglip_lab.toy.evaluation import naming_test
from siglip_lab.toy.shapes_world import draw
from siglip_lab.training.optimization import adamw, learning_rate, set_learning_rate

WHAT = (
    "tiny on drawings of five shapes, squashed and in NaFlex's form, before and after the same "
    "further training: top-1 accuracy among 320 captions by shape, 400 drawings each; for NaFlex "
    "by budget"
)
BUDGETS = [25, 36, 49, 64]
STEPS, BATCH, RATE, WARMUP = 2000, 64, 3e-4, 100
SEEDS = [0, 1]
KEYS = ("way", "steps", "seed")
WAYS = ("squashed", "any shape")


def start(way: str) -> tuple[sl.SigLIP, sl.Processor]:
    """tiny, or tiny in NaFlex's form, with its processor."""
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    if way == "squashed":
        return model, processor
    other = flexible(model)
    return other, flexible_processor(processor, other)


def adapt(model: sl.SigLIP, processor: sl.Processor, steps: int, seed: int) -> None:
    """Train on pictures of all shapes, in place; NaFlex meets all budgets."""
    optimizer, rng = adamw(model.train(), 0.0), random.Random(f"budgets {seed}")
    for step in tqdm(range(steps), desc=f"seed {seed}", unit="step"):
        batch = training_batch(seed, step, BATCH, ASPECTS)
        if isinstance(processor, siglip2.Processor):
            processor.max_num_patches = rng.choice(BUDGETS)
        inputs = processor(text=batch.texts, images=[draw(scene) for scene in batch.scenes])
        ids = inputs.pop("input_ids")
        embeds = model.encode_image(**inputs), model.encode_text(ids)
        loss = sigmoid_loss(*embeds, model.logit_scale, model.logit_bias, labels=batch.labels)
        set_learning_rate(optimizer, learning_rate(RATE, step, steps, WARMUP))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


def named(model: sl.SigLIP, processor: sl.Processor) -> dict:
    """Top-1 accuracy by shape; for NaFlex by budget and shape."""
    if not isinstance(processor, siglip2.Processor):
        return accuracies(model, processor)
    found = {}
    for budget in BUDGETS:
        processor.max_num_patches = budget
        found[str(budget)] = accuracies(model, processor)
    return found


def accuracies(model: sl.SigLIP, processor: sl.Processor) -> dict[str, float]:
    found = {}
    for aspect in ASPECTS:
        test = naming_test(aspect=aspect)
        texts = embed_texts(model, processor, test.texts)
        share = test.accuracy(embed_images(model, processor, test.drawings), texts)
        found[str(aspect)] = round(share, 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RESULTS / "naflex.json")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"steps": options.steps, "batch": BATCH, "learning_rate": RATE, "budgets": BUDGETS}
    result = {"what": WHAT, "hardware": hardware("numpy", "pillow"), "settings": settings}
    result["runs"] = []
    if options.output.exists():
        old = json.loads(options.output.read_text())
        result = old if old["settings"] == settings else result
    runs = [{"way": way, "steps": 0, "seed": None} for way in WAYS]
    runs += [{"way": way, "steps": options.steps, "seed": s} for s in SEEDS for way in WAYS]
    done = [{key: run[key] for key in KEYS} for run in result["runs"]]
    for run in runs:
        if run in done:
            continue
        print(run, flush=True)
        began = time.perf_counter()
        model, processor = start(run["way"])
        if run["steps"]:
            adapt(model, processor, run["steps"], run["seed"])
        run |= {"named": named(model, processor), "seconds": round(time.perf_counter() - began)}
        result["runs"].append(run)
        write(result, options.output)


if __name__ == "__main__":
    main()
