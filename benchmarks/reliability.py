"""How many of tiny's answers are right, by their cosine: the data of reliability-sliders.js.

400 drawings that tiny has not seen, clean and with grain; for each the caption that is true and the
19 that differ from it in one word: 8,000 questions, as the chapter "Scores that you can
trust" asks them.

Run ``python -m benchmarks.reliability``; it writes ``siglip_lab/data/results/reliability.json``.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

import siglip_lab as sl
from benchmarks.common import RESULTS, hardware, write
from siglip_lab.toy.shapes_world import (
    all_combinations,
    draw,
    random_scene,
    training_combinations,
)

FIRST, STEP, STEPS = -0.4, 0.002, 305  # cosines below the first step are counted in it


def grainy(image: Image.Image) -> Image.Image:
    """The drawing with grain of its own, a standard deviation of 10 levels."""
    values = np.asarray(image, dtype=float)
    noise = np.random.default_rng(int(values.sum())).normal(0, 10, values.shape)
    return Image.fromarray((values + noise).clip(0, 255).astype("uint8"))


def count() -> dict[str, dict[str, list[int]]]:
    """Kind of drawings -> "wrong" and "right" -> answers in each step of the cosine."""
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    every, known = all_combinations(), training_combinations()
    scenes = [random_scene(f"test {i}", known[i % len(known)]) for i in range(400)]
    texts = sl.embed_texts(model, processor, [f"This is a photo of {c.label}." for c in every])
    differing = torch.tensor(
        [
            [sum(x != y for x, y in zip(c, s.combination, strict=True)) for c in every]
            for s in scenes
        ]
    )
    answers = {}
    for kind, change in (("clean", lambda drawing: drawing), ("grainy", grainy)):
        images = sl.embed_images(model, processor, [change(draw(scene)) for scene in scenes])
        place = ((images @ texts.T - FIRST) / STEP).floor().long().clamp(0, STEPS - 1)
        answers[kind] = {
            name: place[differing == distance].bincount(minlength=STEPS).tolist()
            for name, distance in (("wrong", 1), ("right", 0))
        }
    return answers


def main() -> None:
    what = "tiny's answers in each step of the cosine, from first on; benchmarks/reliability.py"
    result = {"what": what, "hardware": hardware(), "first": FIRST, "step": STEP}
    write(result | {"answers": count()}, RESULTS / "reliability.json")


if __name__ == "__main__":
    main()
