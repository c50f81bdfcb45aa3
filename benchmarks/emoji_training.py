"""A small SigLIP on emoji: what labels, batch, t, b and augmentation do; what is learned first.

Two measurements, both on one thread with float32.

*Levers.* Small towers learn the 128 foods and drinks from Fluent's two drawings of each, from
nothing, and are measured on Noto's, which they never see. One thing at a time differs from the
first row of `LEVERS`. The learning rate is the same in all of them: it is not chosen anew for each.

*Levels.* Two longer runs learn from Fluent's drawings, one animals and food, one all kinds of
emoji, less a fifth of the concepts and a fifth of the pairs of picture and keyword. Along the way
each is asked for kind, colour, word and name; at the end, for what it has not met: another artist,
another concept, another pair. One seed.

Run ``python -m benchmarks.emoji_training``; it writes
``siglip_lab/data/results/emoji_training.json`` after each run, and goes on from there if it was
stopped. One thread, about 10 minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.common import RESULTS, hardware, write
from siglip_lab import emoji
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.emoji.data import Drawing, Emoji
from siglip_lab.emoji.evaluation import recall_at_k
from siglip_lab.losses_at_scale import sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.training import Pairs, Picture, TrainConfig, Trainer
from siglip_lab.training import augmentation as ways
from siglip_lab.training.data import Batches
from siglip_lab.training.optimization import adamw, learning_rate, set_learning_rate
from siglip_lab.training.scratch import train_tokenizer

SIZE, CONTEXT, PIECES = 40, 12, 512
GROUP = "Food & Drink"
PEAK, PICTURES = 2e-3, 600 * 32  # of each lever's run
SHARED = 10  # drawings of which a keyword is true, to count as a shared one
GENTLE = ways.chain(ways.random_crop, ways.jitter)
BASE = {"labels": True, "batch": 32, "t": 10.0, "b": None, "augment": "crop and jitter"}
LEVERS = {  # name -> what differs from BASE; b None: log of the odds of one true pair, 1 : n - 1
    "as recommended": {},
    "diagonal only": {"labels": False},
    "no augmentation": {"augment": "none"},
    "big_vision's example": {"augment": "example"},
    "batch 8": {"batch": 8},
    "batch 128": {"batch": 128},
    "b = -10": {"b": -10.0},
    "b = 0": {"b": 0.0},
    "t = 1": {"t": 1.0},
    "t = 30": {"t": 30.0},
}
AUGMENT = {"none": None, "crop and jitter": GENTLE, "example": ways.coco_example}
SEEDS = {"as recommended": 3, "diagonal only": 3}  # others: 2
LEVEL_STEPS, LEVEL_BATCH, LEVEL_PEAK = 1600, 64, 2e-3
LOOKS = (50, 100, 200, 400, 800, 1600)  # steps after which the longer run is asked
LEVELS: dict[str, tuple[str, ...] | None] = {
    "animals and food": ("Animals & Nature", "Food & Drink"),
    "all kinds": None,
}
COLOURS = re.compile("red|orange|yellow|green|light blue|blue|purple|brown|black|white|grey|pink")


def shape(width: int, depth: int, text_depth: int) -> SigLIPConfig:
    """Towers of one width."""
    same = {"width": width, "num_heads": 4, "mlp_dim": 4 * width}
    return SigLIPConfig(
        VisionConfig(image_size=SIZE, patch_size=8, depth=depth, **same),
        TextConfig(PIECES, CONTEXT, depth=text_depth, **same),
    )


SMALL, LARGER = shape(48, 1, 1), shape(64, 2, 2)


# ---- data ----------------------------------------------------------------------------------------


@cache
def artists() -> dict[str, list[Drawing]]:
    """Fluent to train, Noto to measure; Twemoji is left alone."""
    return emoji.by_artist(emoji.load(["noto", "fluent-flat", "fluent-3d"]))


def subset(drawings: Sequence[Drawing]) -> list[Drawing]:
    """Food and drink."""
    return [drawing for drawing in drawings if drawing.emoji.group == GROUP]


def processor(drawings: Sequence[Drawing]) -> Processor:
    """A processor whose vocabulary comes from the drawings' captions."""
    captions = [text for drawing in drawings for text in drawing.emoji.captions()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spiece.model"
        return Processor(train_tokenizer(captions, file, PIECES, CONTEXT), SIZE)


def pairs(drawings: Sequence[Drawing]) -> Pairs:
    """Each drawing with its captions; the name comes up as often as all keywords together."""
    pictures = []
    for drawing in drawings:
        name, *keywords = drawing.emoji.captions()
        captions = (*[name] * max(1, len(keywords)), *keywords)
        label = f"{drawing.artist} {drawing.emoji.code_points}"
        pictures.append(Picture(label, drawing.image, captions))
    return Pairs(pictures)


# ---- measuring -----------------------------------------------------------------------------------


@torch.no_grad()
def embedded(model: SigLIP, processor: Processor, drawings: Sequence[Drawing]) -> Tensor:
    """Unit vectors of drawings `[n, D]`."""
    values = processor(images=[drawing.image for drawing in drawings])["pixel_values"]
    return torch.cat([model.encode_image(part) for part in values.split(256)])


@torch.no_grad()
def answers(
    model: SigLIP, processor: Processor, drawings: Sequence[Drawing], names: Sequence[Emoji]
) -> dict[str, float]:
    """Shares of drawings named; how keywords are answered that many drawings share.

    Retrieval is the mean over these keywords of the average precision of the drawings' order.
    """
    images = embedded(model, processor, drawings)
    texts = model.encode_text(processor.tokenizer([each.names["en"] for each in names]))
    found = emoji.naming(images @ texts.T, drawings, names)
    words = shared_words(drawings)
    true = torch.tensor([[w in d.emoji.keywords["en"] for d in drawings] for w in words])
    logits = model.logits(images, model.encode_text(processor.tokenizer(words))).T  # [words, n]
    p = logits.sigmoid()
    precision = [average_precision(*row) for row in zip(logits, true, strict=True)]
    result = {
        "top1": found.top1, "top5": found.top5, "retrieval": statistics.mean(precision),
        "yes_true": p[true].mean().item(), "yes_false": p[~true].mean().item(),
    }  # fmt: skip
    return {key: round(value, 4) for key, value in result.items()}


def average_precision(scores: Tensor, true: Tensor) -> float:
    """Mean, over the true ones, of the precision down to each."""
    hits = true[scores.argsort(descending=True, stable=True)].double()
    at = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
    return (at[hits > 0]).mean().item()


# ---- levers --------------------------------------------------------------------------------------


def lever(name: str, seed: int, pictures: int = PICTURES) -> dict:
    """One run of a row of `LEVERS`."""
    how = BASE | LEVERS[name]
    n, steps = how["batch"], pictures // how["batch"]
    train, noto = subset(artists()["train"]), subset(artists()["validation"])
    model = SigLIP(SMALL, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.logit_scale.fill_(math.log(how["t"]))
        model.logit_bias.fill_(-math.log(n - 1) if how["b"] is None else how["b"])
    made = processor(train)
    config = TrainConfig(
        steps=steps, batch_size=n, learning_rate=PEAK, seed=seed, from_scratch=True,
        labels=how["labels"], augment=AUGMENT[how["augment"]], precision="float32",
    )  # fmt: skip
    trainer = Trainer(model, config)
    batches = Batches(pairs(train), made, steps, n, seed, config.augment)
    losses = [trainer.take_step(batches[step])[0].item() for step in range(steps)]
    model.eval()
    names = [drawing.emoji for drawing in noto]
    return {
        "name": name,
        "seed": seed,
        "losses": [round(losses[0], 3), round(statistics.mean(losses[-len(losses) // 20 :]), 3)],
        "t": round(model.logit_scale.exp().item(), 2),
        "b": round(model.logit_bias.item(), 2),
        "noto": answers(model, made, noto, names),
        "fluent": answers(model, made, train, names),
    }


def rows(runs: list[dict]) -> list[dict]:
    """Means over seeds, with the lowest and the highest, in the order of `LEVERS`."""
    table = []
    for name in LEVERS:
        same = [run for run in runs if run["name"] == name]
        if not same:
            continue
        row: dict = {"name": name, "seeds": len(same)}
        for who in ("noto", "fluent"):
            for key in same[0][who]:
                values = [run[who][key] for run in same]
                row[f"{who}_{key}"] = round(statistics.mean(values), 4)
                row[f"{who}_{key}_range"] = [min(values), max(values)]
        for key in ("t", "b"):
            row[key] = round(statistics.mean(run[key] for run in same), 2)
        table.append(row)
    return table


# ---- levels --------------------------------------------------------------------------------------


def level(name: str, steps: int = LEVEL_STEPS, looks: Sequence[int] = LOOKS, progress=iter) -> dict:
    """One of the longer runs, asked along the way and at its end.

    Its batches are `emoji.training_batch`'s, in which a keyword that is hidden for one of the
    drawings does not occur: else the loss would call a pair wrong that is only kept back.
    """
    groups = LEVELS[name]
    train, noto = (
        [d for d in artists()[role] if groups is None or d.emoji.group in groups]
        for role in ("train", "validation")
    )
    seen, new = (emoji.by_concept(train)[role] for role in ("train", "validation"))
    names = [drawing.emoji for drawing in noto]
    split = emoji.by_keyword(drawing.emoji for drawing in seen)
    hidden = split["validation"] | split["test"]
    made = processor(seen)
    model = SigLIP(LARGER, torch.Generator().manual_seed(0)).train()
    torch.nn.init.constant_(model.logit_bias, -math.log(LEVEL_BATCH - 1))
    optimizer = adamw(model, weight_decay=1e-4)
    curve = []
    for step in progress(range(steps)):
        set_learning_rate(optimizer, learning_rate(LEVEL_PEAK, step, steps, warmup=steps // 10))
        batch = emoji.training_batch(seen, 0, step, LEVEL_BATCH, hidden=hidden)
        rng = random.Random(f"augment {step}")
        images = [GENTLE(drawing.image, rng) for drawing in batch.drawings]
        inputs = made(images=images, text=batch.texts)
        embeds = model(**inputs)
        loss = sigmoid_loss(
            embeds.image_embeds, embeds.text_embeds, model.logit_scale, model.logit_bias,
            labels=batch.labels,
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step + 1 in looks:
            model.eval()
            curve.append({"step": step + 1, "noto": asked(model, made, noto, names)})
            model.train()
    model.eval()
    known = {drawing.emoji.code_points for drawing in seen}
    asked_for = {
        "training drawings": seen,
        "new artist": [d for d in noto if d.emoji.code_points in known],
        "new concepts": new,
        "new artist, new concepts": [d for d in noto if d.emoji in {x.emoji for x in new}],
    }
    naming = {}
    for key, drawings in asked_for.items():
        images = embedded(model, made, drawings)
        found = emoji.naming(images @ named(model, made, names).T, drawings, names)
        naming[key] = {"drawings": len(drawings), "top1": found.top1, "top5": found.top5}
    return {
        "steps": steps,
        "parameters": sum(p.numel() for p in model.parameters()),
        "curve": curve,
        "naming": naming,
        "keywords": {
            "seen pairs": retrieval(model, made, seen, split["train"]),
            "new pairs": retrieval(model, made, seen, split["validation"]),
        },
    }


@torch.no_grad()
def named(model: SigLIP, processor: Processor, names: Sequence[Emoji]) -> Tensor:
    """Unit vectors of names `[m, D]`."""
    return model.encode_text(processor.tokenizer([each.names["en"] for each in names]))


@torch.no_grad()
def retrieval(model, processor, drawings, pairs) -> dict[str, float]:
    """How often a keyword finds a drawing of its pairs among the best, and how often by chance.

    Pairs that are true beside those that count leave the ranking, all of them.
    """
    points = [drawing.emoji.code_points for drawing in drawings]
    words = sorted({word for code, word in pairs if code in set(points)})
    true = torch.tensor([[(each, word) in pairs for each in points] for word in words])
    all_true = torch.tensor([[w in d.emoji.keywords["en"] for d in drawings] for w in words])
    texts = model.encode_text(processor.tokenizer(words))
    scores = texts @ embedded(model, processor, drawings).T
    out = all_true & ~true
    noise = torch.rand(scores.shape, generator=torch.Generator().manual_seed(0))
    return {
        "keywords": len(words),
        "recall10": recall_at_k(scores, true, 10, out),
        "chance10": recall_at_k(noise, true, 10, out),
    }


@torch.no_grad()
def asked(model, processor, drawings, names) -> dict[str, float]:
    """Kind, word, name and colour: shares of right answers.

    Kind: the best name is of the right one of Unicode's groups, a mean over the groups, so that one
    answer for all of nine gets 1/9. Word: the best of the shared words is true. Colour: of names
    that differ in a colour only, such as "red heart" and its sisters, the best is the right one.
    """
    scores = embedded(model, processor, drawings) @ named(model, processor, names).T
    best = scores.argmax(dim=1).tolist()
    right: dict[str, list[bool]] = defaultdict(list)
    for drawing, index in zip(drawings, best, strict=True):
        right[drawing.emoji.group].append(names[index].group == drawing.emoji.group)
    sisters = colours(names)
    coloured = []
    for drawing, row in zip(drawings, scores, strict=True):
        family = sisters.get(COLOURS.sub("*", drawing.emoji.names["en"], count=1), [])
        if names.index(drawing.emoji) in family:
            coloured.append(names[family[row[family].argmax()]] == drawing.emoji)
    words = shared_words(drawings)
    true = torch.tensor([[word in d.emoji.keywords["en"] for word in words] for d in drawings])
    texts = model.encode_text(processor.tokenizer(words))
    word = recall_at_k(embedded(model, processor, drawings) @ texts.T, true, 1)
    found = emoji.naming(scores, drawings, names)
    result = {
        "kind": statistics.mean(map(statistics.mean, right.values())),
        "word": word,
        "word_chance": true[true.any(dim=1)].double().mean().item(),
        "top1": found.top1,
        "top5": found.top5,
    }
    if coloured:
        result["colour"] = statistics.mean(coloured)
    return {key: round(value, 4) for key, value in result.items()}


def shared_words(drawings: Sequence[Drawing]) -> list[str]:
    """Keywords that at least `SHARED` of the drawings have."""
    count: dict[str, int] = defaultdict(int)
    for drawing in drawings:
        for word in drawing.emoji.keywords["en"]:
            count[word] += 1
    return sorted(word for word, times in count.items() if times >= SHARED)


def colours(names: Sequence[Emoji]) -> dict[str, list[int]]:
    """Places of names that differ in their colour only, three or more: "* heart" -> [...]."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, each in enumerate(names):
        if (key := COLOURS.sub("*", each.names["en"], count=1)).startswith("*"):
            found[key].append(place)
    return {key: places for key, places in found.items() if len(places) >= 3}


# ---- the file ------------------------------------------------------------------------------------


def settings(pictures: int, steps: int) -> dict:
    """What must be equal for runs to go into one file."""
    return {
        "levers": LEVERS, "base": BASE, "pictures": pictures, "peak": PEAK, "size": SIZE,
        "small": asdict(SMALL), "larger": asdict(LARGER), "level_steps": steps, "group": GROUP,
        "shared": SHARED,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and run what the file does not have yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=PICTURES, help="of each lever's run")
    parser.add_argument("--steps", type=int, default=LEVEL_STEPS, help="of each longer run")
    parser.add_argument("--only", choices=LEVERS, nargs="+", default=list(LEVERS))
    parser.add_argument("--no-levels", action="store_true", help="without the longer runs")
    parser.add_argument("--output", type=Path, default=RESULTS / "emoji_training.json")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    given = json.loads(json.dumps(settings(args.pictures, args.steps)))
    result: dict = {"runs": [], "levels": {}}
    if args.output.exists():
        result = json.loads(args.output.read_text())
        if result["settings"] != given:
            parser.error(f"{args.output} was measured with other settings: move it away")
    done = {(run["name"], run["seed"]) for run in result["runs"]}
    todo = [(n, s) for n in args.only for s in range(SEEDS.get(n, 2)) if (n, s) not in done]

    def save() -> None:
        write(
            {
                "what": "small towers trained on emoji from nothing: one lever at a time, measured "
                "on an artist never seen; and two longer runs, asked along the way",
                "hardware": hardware(),
                "settings": given,
                "rows": rows(result["runs"]),
                "runs": result["runs"],
                "levels": result["levels"],
            },
            args.output,
        )

    for name, seed in tqdm(todo, unit="run"):
        result["runs"].append(lever(name, seed, args.pictures))
        save()
    for name in LEVELS:
        if name not in result["levels"] and not args.no_levels:
            result["levels"][name] = level(name, args.steps, progress=tqdm)
            save()
    print(json.dumps(rows(result["runs"]), indent=1))


if __name__ == "__main__":
    main()
