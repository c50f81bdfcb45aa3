"""Teach tiny handwritten digits in several ways: what it gains, and what it forgets.

tiny learned drawings of coloured shapes and has not met a digit. Each way of fine-tuning gets 1, 4,
16 or all (about 100) labelled pictures of each digit, 300 steps of at most 32 pictures, and the
learning rate that did best on validation pictures with 16 labels and a seed of its own. Two other
seeds are run with 16 labels; one of them with other numbers. Gains are measured on 500 test digits
among ten captions; what is forgotten, on 400 drawings among 320 captions. Then, for full
fine-tuning with 16 labels: averages of the weights before and after, old drawings in every batch,
and small batches with and without labels for all true pairs.

Run ``python -m benchmarks.fine_tuning``; it writes ``siglip_lab/data/results/fine_tuning.json``
after each run, and goes on from there if it was stopped. One thread, about 15 minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import siglip_lab as sl
from benchmarks.common import RESULTS, hardware, write
from siglip_lab.toy.digits import Digits, load_digits
from siglip_lab.toy.evaluation import NamingTest, naming_test
from siglip_lab.toy.shapes_world import draw, random_scene, training_combinations
from siglip_lab.training import TrainConfig, Trainer
from siglip_lab.training.data import Batch
from siglip_lab.training.parameters import trainable_share

STEPS = 300
BATCH = 32
LABELS = [100, 4, 1]  # of each digit, with the first seed, beside 16; 100 are all
SEEDS = [1, 2]  # 0 chooses the learning rate
RATES = {
    "all": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3],
    "vision": [3e-4, 1e-3],
    "text": [3e-4, 1e-3, 3e-3],
    "last": [1e-3, 3e-3],
    "lora": [1e-3, 3e-3, 1e-2],
}
WEIGHTS = [i / 10 for i in range(11)]  # of the new weights in an average with the old ones
OLD = [8, 32]  # drawings of the old world beside 32 digits
KEYS = ("learn", "labels", "learning_rate", "seed", "batch", "old", "true_pairs")


# ---- data ----------------------------------------------------------------------------------------


@cache
def world() -> tuple[sl.Processor, Digits, Tensor, NamingTest, Tensor]:
    """Processor; digits and their pixel values; the drawings of the test and theirs."""
    processor, digits, test = sl.Processor.from_pretrained("tiny"), load_digits(), naming_test()
    pixels = [processor(images=each)["pixel_values"] for each in (digits.pictures, test.drawings)]
    return processor, digits, pixels[0], test, pixels[1]


def captions() -> list[str]:
    return [f"the digit {digit}" for digit in range(10)]


def batches(run: dict) -> Iterator[Batch]:
    """A batch for each step: digits, each with its caption, and old drawings with theirs."""
    processor, digits, pixels, _, _ = world()
    pool, seed = digits.few(run["labels"], run["seed"]), run["seed"]
    size = min(run["batch"], len(pool))
    ids = processor(text=captions())["input_ids"]
    rng, left = torch.Generator().manual_seed(seed + 100), []
    known = training_combinations()
    for step in range(STEPS):
        if len(left) < size:
            left = torch.randperm(len(pool), generator=rng).tolist()
        chosen, left = pool[left[:size]], left[size:]
        own = digits.labels[chosen]
        images, texts = pixels[chosen], ids[own]
        if run["old"]:
            numbers = torch.randperm(len(known), generator=rng)[: run["old"]].tolist()
            scenes = [random_scene(f"old {seed} {step} {i}", known[i]) for i in numbers]
            inputs = processor(
                text=[f"This is a photo of {scene.combination.label}." for scene in scenes],
                images=[draw(scene) for scene in scenes],
            )
            images = torch.cat([images, inputs["pixel_values"]])
            texts = torch.cat([texts, inputs["input_ids"]])
            own = torch.cat([own, 10 + torch.tensor(numbers)])
        yield Batch(images, texts, own[:, None], own, (), {})


# ---- one run -------------------------------------------------------------------------------------


@torch.inference_mode()
def score(model: sl.SigLIP, part: str = "test") -> dict[str, float]:
    """Top-1 accuracy on digits among 10 captions and on the old drawings among 320; mean score of
    a digit's own caption.
    """
    processor, digits, pixels, test, drawings = world()
    chosen = getattr(digits, part)
    texts = model.encode_text(processor(text=captions())["input_ids"])
    logits, own = model.logits(model.encode_image(pixels[chosen]), texts), digits.labels[chosen]
    every = model.encode_text(processor(text=test.texts)["input_ids"])
    found = {
        "digits": (logits.argmax(dim=1) == own).double().mean().item(),
        "own": logits.sigmoid()[range(len(own)), own].mean().item(),
        "shapes": test.accuracy(model.encode_image(drawings), every),
    }
    return {name: round(share, 4) for name, share in found.items()}


def measure(run: dict) -> dict[str, Any]:
    """Fine-tune tiny once; what it can do then, and what a step took."""
    tiny = sl.SigLIP.from_pretrained("tiny", dtype=torch.float32)
    before = {name: p.clone() for name, p in tiny.state_dict().items()}
    config = TrainConfig(
        steps=STEPS, batch_size=run["batch"] + run["old"], learn=run["learn"], layers=1,
        learning_rate=run["learning_rate"], seed=run["seed"], labels=run["true_pairs"],
        precision="float32",
    )  # fmt: skip
    trainer, seconds, losses = Trainer(tiny, config), [], []
    for batch in batches(run):
        start = time.process_time()
        loss, _ = trainer.take_step(batch)
        seconds.append(time.process_time() - start)
        losses.append(loss.item())
    learning, _ = trainable_share(trainer.model)
    model = trainer.result().eval()
    found: dict[str, Any] = dict(run) | {"learning": learning}
    found["cpu_seconds_a_step"] = round(statistics.median(seconds), 4)
    found["first_loss"], found["last_loss"] = (round(losses[i], 3) for i in (0, -1))
    found["t"] = round(model.logit_scale.exp().item(), 2)
    found["b"] = round(model.logit_bias.item(), 2)
    found |= score(model, "validation" if run["seed"] == 0 else "test")
    if averaged(run):
        after = {name: p.clone() for name, p in model.state_dict().items()}
        found["averages"] = []
        for weight in WEIGHTS:
            mixed = {n: torch.lerp(before[n], after[n], weight) for n in before}
            model.load_state_dict(mixed)
            found["averages"].append({"new": weight} | score(model))
    return found


def averaged(run: dict) -> bool:
    plain = run["batch"] == BATCH and not run["old"] and run["true_pairs"] and run["seed"]
    return bool(plain and run["learn"] == "all" and run["labels"] == 16)


# ---- the plan ------------------------------------------------------------------------------------


def best_rate(runs: list[dict], learn: str) -> float:
    """The learning rate that did best on the validation digits; of equals, the smaller."""
    tried = [run for run in runs if run["learn"] == learn and run["seed"] == 0]
    best: dict = max(tried, key=lambda run: (run["digits"], -run["learning_rate"]))
    return best["learning_rate"]


def plan(runs: list[dict]) -> Iterator[dict]:
    """Every run, in order; the rate of the final ones once the choice can be made."""

    def one(learn, labels, rate, seed, batch=BATCH, old=0, true_pairs=True):
        values = learn, labels, rate, seed, batch, old, true_pairs
        return dict(zip(KEYS, values, strict=True))

    for learn, rates in RATES.items():
        for rate in rates:
            yield one(learn, 16, rate, 0)
    for seed in SEEDS:
        for learn in RATES:
            yield one(learn, 16, best_rate(runs, learn), seed)
        rate = best_rate(runs, "all")
        yield one("all", 16, rate, seed, true_pairs=False)
        for old in OLD:
            yield one("all", 16, rate, seed, old=old)
        if seed == SEEDS[0]:
            for true_pairs in (True, False):
                yield one("all", 16, rate, seed, batch=8, true_pairs=true_pairs)
            for labels in LABELS:
                for learn in RATES:
                    if learn != "vision":
                        yield one(learn, labels, best_rate(runs, learn), seed)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS / "fine_tuning.json")
    path = parser.parse_args(arguments).output
    torch.set_num_threads(1)
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    first = score(sl.SigLIP.from_pretrained("tiny", dtype=torch.float32))
    with tqdm(unit="run") as bar:
        for run in plan(runs):
            if not any(all(done[key] == run[key] for key in KEYS) for done in runs):
                runs.append(measure(run))
                write(report(first, runs), path)
            bar.update()


def report(first: dict, runs: list[dict]) -> dict:
    return {
        "what": "tiny fine-tuned on handwritten digits: top-1 accuracy on digits (among 10 "
        "captions) and on the drawings that it learned from (among 320); runs of seed 0 chose the "
        "learning rate on validation digits, the others are measured on test digits",
        "hardware": hardware("peft", "scikit-learn"),
        "settings": {"steps": STEPS, "batch": BATCH, "layers": 1, "rank": 8},
        "before": first,
        "runs": runs,
    }


if __name__ == "__main__":
    main()
