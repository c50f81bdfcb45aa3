"""Softmax against sigmoid at batches of 16 to 1024: the same towers, pictures, order and examples.

Small towers learn the drawings of `siglip_lab.toy.shapes_world` from scratch with either loss. Each
picture is seen once and has one caption; no caption comes twice among 1024 pictures in a row, so
that in every batch the diagonal, and nothing else, belongs together. The learning rate is chosen
for each loss and batch size from one grid, on drawings of their own and a seed of its own; other
seeds then give the accuracies that count, on further drawings. The sigmoid loss is run twice, for
it depends on where b starts: once from a b fitted to the first batch, once from the paper's -10.

Run ``python -m benchmarks.batch_size``; it writes ``siglip_lab/data/results/batch_size.json`` after
each run, and goes on from there if it was stopped. One thread, about 70 minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.common import RESULTS, hardware, write
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.losses import clip_loss, sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.preprocessing import resize
from siglip_lab.processor import Processor
from siglip_lab.toy.shapes_world import (
    SIDES,
    SIZES,
    Combination,
    Scene,
    all_combinations,
    draw,
    held_out_combinations,
    random_scene,
    training_combinations,
)
from siglip_lab.training.optimization import BETAS, adamw, learning_rate, set_learning_rate

BLOCK = 1024  # pictures in a row without two equal captions; the largest batch
CONFIG = SigLIPConfig(
    VisionConfig(image_size=32, patch_size=8, width=48, depth=1, num_heads=3, mlp_dim=192),
    TextConfig(384, 12, width=48, depth=1, num_heads=3, mlp_dim=192),
)
BATCH_SIZES = [1024, 256, 64, 16]  # the quick ones first
LEARNING_RATES = [1e-3, 2e-3, 4e-3]
EXAMPLES = 2**17
SEEDS = [1, 2, 3]  # 0 chooses the learning rate
FIXED = "sigmoid, b = -10"  # the same loss, started as the paper starts it
LOSSES = ["softmax", "sigmoid", FIXED]
WARMUP = 0.1  # share of the steps
WEIGHT_DECAY = 1e-4  # the paper's


# ---- pictures and captions -----------------------------------------------------------------------


def caption(scene: Scene) -> str:
    """All that there is to say: "2 red circles, small, left"."""
    return describe(scene.combination, scene.size, scene.sides)


def describe(combination: Combination, size: str, sides: frozenset[str]) -> str:
    return ", ".join([combination.label, size, *(side for side in SIDES if side in sides)])


@cache
def block(index: int) -> tuple[Tensor, list[str]]:
    """1024 training pictures, uint8 `[1024, 3, S, S]`, and their captions, all different."""
    rng = random.Random(f"block {index}")
    scenes = {}
    while len(scenes) < BLOCK:
        scene = random_scene(rng)
        scenes.setdefault(caption(scene), scene)
    return pictures(scenes.values()), list(scenes)


def pictures(scenes) -> Tensor:
    size = CONFIG.vision.image_size
    levels = np.stack([np.asarray(resize(draw(scene), size)) for scene in scenes])
    return torch.from_numpy(levels).permute(0, 3, 1, 2)  # [n, 3, S, S]


def pixel_values(levels: Tensor) -> Tensor:
    return levels / 127.5 - 1


@cache
def tokenizer():
    tokenizer = Processor.from_pretrained("tiny").tokenizer
    tokenizer.context_length = CONFIG.text.context_length
    return tokenizer


def batches(seed: int, examples: int, n: int):
    """Pixel values and ids of every batch; the examples' order depends on the seed alone."""
    rng = torch.Generator().manual_seed(seed)
    for index in torch.randperm(examples // BLOCK, generator=rng).tolist():
        levels, captions = block(index)
        order = torch.randperm(BLOCK, generator=rng)
        ids = tokenizer()(captions)
        for chosen in order.split(n):
            yield pixel_values(levels[chosen]), ids[chosen]


# ---- one run -------------------------------------------------------------------------------------


def start(loss: str, seed: int, images: Tensor, ids: Tensor) -> SigLIP:
    """Random towers from the seed; t and b as the loss begins.

    Softmax begins with CLIP's t = 1/0.07 and has no b. Both sigmoids begin with SigLIP's t = 10.
    The paper's b = -10 is the logit of one true pair in 22 thousand, in batches of any size. The
    fitted b makes the mean logit of the first batch that of the share of true pairs, 1/n; it takes
    off what all cosines of random towers have in common, up to 0.2 in towers this small.
    """
    model = SigLIP(CONFIG, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        if loss == "softmax":
            model.logit_scale.fill_(math.log(1 / 0.07))
        elif loss == FIXED:
            model.logit_bias.fill_(-10.0)
        else:
            cosines = model.encode_image(images) @ model.encode_text(ids).T
            model.logit_bias.fill_(-math.log(len(ids) - 1))
            model.logit_bias.sub_(model.logit_scale.exp() * cosines.mean())
    return model


def train(loss: str, n: int, peak: float, seed: int, examples: int) -> tuple[SigLIP, list]:
    """The trained model, and the loss of every step."""
    model = start(loss, seed, *next(batches(seed, examples, n)))
    optimizer = adamw(model, WEIGHT_DECAY)
    steps, losses = examples // n, []
    warmup = max(1, round(WARMUP * steps))
    for step, (images, ids) in enumerate(batches(seed, examples, n)):
        set_learning_rate(optimizer, learning_rate(peak, step, steps, warmup))
        x, y = model.encode_image(images), model.encode_text(ids)
        if loss == "softmax":
            value = clip_loss(x, y, model.logit_scale)
        else:
            value = sigmoid_loss(x, y, model.logit_scale, model.logit_bias)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return model, losses


# ---- accuracy ------------------------------------------------------------------------------------


@cache
def questions(group: str, count: int) -> tuple[Tensor, list[Scene]]:
    """Drawings that no training picture shares, as many as asked for of each group."""
    combinations = {
        "validation": training_combinations(),
        "seen": training_combinations(),
        "triples": sorted(held_out_combinations("triples")),
        "pairs": sorted(held_out_combinations("pairs")),
    }[group]
    scenes = [
        random_scene(f"{group} {i}", combinations[i % len(combinations)]) for i in range(count)
    ]
    return pictures(scenes), scenes


@torch.inference_mode()
def accuracy(model: SigLIP, group: str, count: int) -> float:
    """How often the best of 320 captions, alike in size and side, names the right combination."""
    levels, scenes = questions(group, count)
    images = model.encode_image(pixel_values(levels))  # [count, D]
    right = 0
    for size in SIZES:
        for sides in {scene.sides for scene in scenes}:
            own = [i for i, s in enumerate(scenes) if (s.size, s.sides) == (size, sides)]
            if own:
                texts = [describe(c, size, sides) for c in all_combinations()]
                best = (images[own] @ model.encode_text(tokenizer()(texts)).T).argmax(dim=1)
                found = [all_combinations()[k] for k in best.tolist()]
                right += sum(f == scenes[i].combination for f, i in zip(found, own, strict=True))
    return right / count


# ---- the grid ------------------------------------------------------------------------------------


def measure(loss: str, n: int, peak: float, seed: int, settings: dict) -> dict:
    """One run: what was asked for, the losses at both ends, the accuracies."""
    model, losses = train(loss, n, peak, seed, settings["examples"])
    groups = ["validation"] if seed == 0 else ["seen", "triples", "pairs"]
    tail = losses[-max(1, len(losses) // 20) :]
    return {
        "loss": loss,
        "n": n,
        "learning_rate": peak,
        "seed": seed,
        "accuracy": {g: round(accuracy(model, g, settings["drawings"]), 4) for g in groups},
        "first_loss": round(losses[0], 4),
        "last_loss": round(sum(tail) / len(tail), 4),
        "t": round(model.logit_scale.exp().item(), 3),
        "b": None if loss == "softmax" else round(model.logit_bias.item(), 3),
    }


def best_rate(runs: list[dict], loss: str, n: int) -> float:
    """The learning rate that did best on the validation drawings; of equals, the smaller."""
    tried = [r for r in runs if (r["loss"], r["n"], r["seed"]) == (loss, n, 0)]
    best = max(tried, key=lambda r: (r["accuracy"]["validation"], -r["learning_rate"]))
    return best["learning_rate"]


def rows(runs: list[dict], settings: dict) -> list[dict]:
    """Mean and standard deviation over the seeds, at the chosen learning rate."""
    table = []
    for n in sorted({r["n"] for r in runs}):
        for loss in LOSSES:
            same = [r for r in runs if (r["loss"], r["n"]) == (loss, n) and r["seed"] != 0]
            final = [r for r in same if r["learning_rate"] == best_rate(runs, loss, n)]
            if len(final) < 2:
                continue
            groups = {g: [r["accuracy"][g] for r in final] for g in final[0]["accuracy"]}
            pairs = zip(groups["triples"], groups["pairs"], strict=True)
            groups["held_out"] = [statistics.mean(pair) for pair in pairs]
            table.append(
                {
                    "loss": loss,
                    "n": n,
                    "steps": settings["examples"] // n,
                    "learning_rate": final[0]["learning_rate"],
                    "seeds": len(final),
                    "mean": {g: round(statistics.mean(v), 4) for g, v in groups.items()},
                    "sd": {g: round(statistics.stdev(v), 4) for g, v in groups.items()},
                }
            )
    return table


def load(path: Path, settings: dict) -> list[dict]:
    """The runs that the file already holds."""
    if not path.exists():
        return []
    result = json.loads(path.read_text())
    if result["settings"] != settings:
        raise SystemExit(
            f"{path} was measured with other settings: move it away, or name another --output"
        )
    return result["runs"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=BATCH_SIZES, help="values of n")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the final runs")
    parser.add_argument("--rates", type=float, nargs="+", default=LEARNING_RATES, help="the grid")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each run")
    parser.add_argument("--drawings", type=int, default=2000, help="of each group that is tested")
    parser.add_argument("--output", type=Path, default=RESULTS / "batch_size.json")
    args = parser.parse_args(arguments)
    check(parser, args)
    torch.set_num_threads(1)
    settings = {  # what runs must share; sizes, seeds and rates may be added later
        "examples": args.examples,
        "drawings": args.drawings,
        "config": asdict(CONFIG),
        "warmup": WARMUP,
        "betas": list(BETAS),
        "weight_decay": WEIGHT_DECAY,
    }
    runs = load(args.output, settings)
    done = {tuple(r[key] for key in ("loss", "n", "learning_rate", "seed")) for r in runs}
    total = len(args.sizes) * len(LOSSES) * (len(args.rates) + len(args.seeds))
    with tqdm(total=total, initial=len(done), unit="run") as bar:
        for n in args.sizes:
            for loss in LOSSES:
                for rate, seed in plan(runs, loss, n, args):
                    if (loss, n, rate, seed) in done:
                        continue
                    runs.append(measure(loss, n, rate, seed, settings))
                    write(report(runs, settings), args.output)
                    bar.update()
    write(report(runs, settings), args.output)
    print(json.dumps(rows(runs, settings), indent=1))


def plan(runs, loss, n, args):
    """Learning rate and seed of each run, in order; the final ones once the choice can be made."""
    for rate in args.rates:
        yield rate, 0
    rate = best_rate(runs, loss, n)
    for seed in args.seeds:
        yield rate, seed


def check(parser, args) -> None:
    if args.examples < BLOCK or args.examples % BLOCK:
        parser.error(f"--examples must be a multiple of {BLOCK}, got {args.examples}")
    for n in args.sizes:
        if n < 2 or BLOCK % n:
            parser.error(f"--sizes must divide {BLOCK} and be at least 2, got {n}")
    if 0 in args.seeds or len(set(args.seeds)) < 2:
        parser.error("--seeds needs at least two different ones, and 0 chooses the learning rate")


def report(runs: list[dict], settings: dict) -> dict:
    return {
        "what": "zero-shot accuracy of small towers trained with either loss at the same number of "
        "examples; runs of seed 0 chose the learning rate on validation drawings, rows are means "
        "and standard deviations over the other seeds",
        "hardware": hardware(),
        "settings": settings,
        "rows": rows(runs, settings),
        "runs": runs,
    }


if __name__ == "__main__":
    main()
