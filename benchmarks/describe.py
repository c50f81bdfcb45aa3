"""Teach a small language model to describe drawings from tiny's image tokens.

Each run trains one describer on drawings of seen combinations, and measures it on 500 new drawings
of seen and 500 of unseen combinations (a colour and a shape in a half where training never shows
them). What differs is what the describer reads, and, in the run "unfrozen", that the tower learns
too; then tiny's own test tells what it forgot.

Run ``python -m benchmarks.describe``; it writes ``siglip_lab/data/results/describe.json`` after
each run, goes on from there if it was stopped, and writes the first run's weights to
``siglip_lab/toy/describer/``. ``--only TAKE`` makes one run, ``--seeds 3`` three of each.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import siglip_lab as sl
from benchmarks.common import RESULTS, hardware, write
from siglip_lab.towers import VisionTower
from siglip_lab.toy import describe
from siglip_lab.toy.describe import WORDS, Describer, draw_two, image_tokens, sentence
from siglip_lab.toy.evaluation import naming_test
from siglip_lab.training.optimization import adamw, learning_rate, set_learning_rate

WHAT = (
    "a small language model on tiny's frozen image tokens: share of 500 drawings of seen and 500 "
    "of unseen combinations described without a mistake, and share of right words by kind"
)
TAKES = ("last", "pooled", "shuffled", "no norm", "penultimate", "unfrozen")
DRAWINGS, STEPS, BATCH, RATE, WARMUP, TESTS = 12_000, 2500, 64, 2e-3, 100, 500
KINDS = {"count": (0, 4), "colour": (1, 5), "shape": (2, 6), "relation": (3,)}
PATH = Path(__file__).parents[1] / "siglip_lab" / "toy" / "describer" / "model.safetensors"


def drawings(number: int, seed: str, unseen: bool = False) -> tuple[torch.Tensor, list[list[str]]]:
    """Pixel values and sentences."""
    rng = random.Random(seed)
    contents = [describe.random_drawing(rng, unseen) for _ in range(number)]
    pixels = sl.preprocess([draw_two(content, rng) for content in contents], 40)
    return pixels, [sentence(content) for content in contents]


@torch.no_grad()
def tokens_of(tower: VisionTower, pixels: torch.Tensor, take: str) -> torch.Tensor:
    """Image tokens of all drawings."""
    return torch.cat([image_tokens(tower, part, take) for part in pixels.split(250)])


def train(
    given: torch.Tensor, sentences: list[list[str]], seed: int, tower: VisionTower | None = None
) -> Describer:
    """Train on stored tokens, or, with a tower that learns too, on pixels."""
    torch.manual_seed(seed)
    ids = torch.tensor([[WORDS.index(w) for w in ("<start>", *s, "<end>")] for s in sentences])
    tokens = given if tower is None else image_tokens(tower, given[:1])
    model = Describer(tokens.shape[2], tokens.shape[1])
    learners = nn.ModuleList([model] if tower is None else [model, tower])
    optimizer = adamw(learners, 0.01)
    for step in range(STEPS):
        set_learning_rate(optimizer, learning_rate(RATE, step, STEPS, WARMUP))
        rows = torch.randint(len(ids), (BATCH,))
        tokens = given[rows] if tower is None else image_tokens(tower, given[rows])
        logits = model(tokens, ids[rows, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[rows, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def names_right(tower: VisionTower) -> float:
    """tiny's own test, with this image tower: share of 400 drawings named among 320 texts."""
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    model.vision_model.load_state_dict(tower.state_dict())
    test = naming_test()
    images, texts = processor(images=test.drawings), processor(text=test.texts)
    vectors = (
        model.encode_image(**images, normalize=True),
        model.encode_text(**texts, normalize=True),
    )
    return test.accuracy(*vectors)


def measure(model: Describer, tokens: torch.Tensor, sentences: list[list[str]]) -> dict:
    """Shares that are right: whole sentences, and words by kind."""
    pairs = list(zip(model.generate(tokens), sentences, strict=True))
    shares = {"all": sum(a == b for a, b in pairs) / len(pairs)}
    for kind, at in KINDS.items():
        # one thing at a time: a plural where there is one object is a mistake in the count alone
        stem = {describe.plural(s): s for s in describe.SHAPES} if kind == "shape" else {}
        words = [(a[i] if len(a) > i else "", b[i]) for a, b in pairs for i in at]
        right = [stem.get(a, a) == stem.get(b, b) for a, b in words]
        shares[kind] = sum(right) / len(right)
    return {name: round(share, 4) for name, share in shares.items()}


def main() -> None:
    """Go through the ways, write after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=TAKES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "describe.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tower = VisionTower.from_pretrained("tiny")
    data = {
        "train": drawings(DRAWINGS, "train"),
        "seen": drawings(TESTS, "seen"),
        "unseen": drawings(TESTS, "unseen", unseen=True),
    }
    names = ("drawings", "steps", "batch", "rate", "tests")
    settings = dict(zip(names, (DRAWINGS, STEPS, BATCH, RATE, TESTS), strict=True))
    result: dict = {"what": WHAT, "hardware": hardware("numpy", "pillow"), "settings": settings}
    before = json.loads(options.out.read_text("utf-8")) if options.out.exists() else {}
    result["runs"] = before["runs"] if before.get("settings") == settings else []
    for seed in range(options.seeds):
        for take in [options.only] if options.only else TAKES:
            if any((run["reads"], run["seed"]) == (take, seed) for run in result["runs"]):
                continue
            start = time.perf_counter()
            own = copy.deepcopy(tower) if take == "unfrozen" else None
            if own is not None:
                model = train(*data["train"], seed, own)
            else:
                tokens = tokens_of(tower, data["train"][0], take)
                model = train(tokens, data["train"][1], seed)
            if take == "last" and seed == 0:
                half = {name: tensor.half() for name, tensor in model.state_dict().items()}
                save_file(half, PATH)
                model.load_state_dict({name: tensor.float() for name, tensor in half.items()})
            run: dict = {"reads": take, "seed": seed}
            for name in ("seen", "unseen"):
                pixels, sentences = data[name]
                tokens = tokens_of(own or tower, pixels, "last" if own else take)
                run["tokens"] = tokens.shape[1]
                run[name] = measure(model, tokens, sentences)
            run["tiny"] = names_right(own or tower)
            result["runs"].append(run | {"seconds": round(time.perf_counter() - start)})
            print(json.dumps(result["runs"][-1]), flush=True)
            write(result, options.out)


if __name__ == "__main__":
    main()
