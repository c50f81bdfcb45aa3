"""Time `siglip_lab.preprocessing` against transformers' `SiglipImageProcessorPil`, in one process.

Runs of the two alternate, so that a slow moment of the machine meets both. Images are decoded
before the clock starts. torch keeps to one thread: both use it only to copy, and on a busy machine
threads that wait for work disturb whatever runs next.

Run ``python -m benchmarks.preprocess``; it writes ``siglip_lab/data/results/preprocess.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from benchmarks.common import RESULTS, alternate, hardware, write
from siglip_lab.preprocessing import preprocess

SIZE = 384


def peer_processor(size: int) -> SiglipImageProcessorPil:
    """The peer, with the settings of every SigLIP v1 checkpoint."""
    return SiglipImageProcessorPil(
        size={"height": size, "width": size},
        resample=3,
        rescale_factor=1 / 255,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Smooth noise at two scales: like a photo, neither flat nor white noise."""
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = Image.fromarray(levels)
    return Image.blend(noise.filter(ImageFilter.BoxBlur(8)), noise, 0.2)


def compare(images: list[Image.Image], runs: int) -> dict:
    """Median times of both for one batch, and how many times faster siglip_lab is."""
    peer = peer_processor(SIZE)
    ways = {
        "siglip_lab": lambda: preprocess(images, SIZE),
        "transformers": lambda: peer(images, return_tensors="pt")["pixel_values"],
    }
    ours, theirs = (way() for way in ways.values())
    if not torch.equal(ours, theirs):
        raise RuntimeError("the two disagree; a speed without equality means nothing")
    wall, work = (in_ms(seconds) for seconds in alternate(ways, runs))
    return {
        "images": len(images),
        "width": images[0].width,
        "height": images[0].height,
        "size": SIZE,
        "runs": runs,
        "median_ms": wall,
        "ratio": round(wall["transformers"] / wall["siglip_lab"], 2),
        "median_cpu_ms": work,
        "cpu_ratio": round(work["transformers"] / work["siglip_lab"], 2),
        "equal": True,
    }


def in_ms(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(1000 * value, 3) for name, value in seconds.items()}


def check_quiet(single: dict) -> None:
    """Refuse a measurement that other programs disturbed.

    One image is worked on by one thread: on a quiet machine it takes as long as it computes.
    """
    for name, wall in single["median_ms"].items():
        if wall > 1.1 * single["median_cpu_ms"][name]:
            raise SystemExit(
                f"the machine is busy: {name} took {wall} ms, of which it computed "
                f"{single['median_cpu_ms'][name]} ms; nothing was written, run it again later"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60, help="timed runs of each (default: 60)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS / "preprocess.json", help="where to write the result"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "what": "images to pixel values, decoded RGB images, siglip_lab against transformers' "
        "SiglipImageProcessorPil, medians of alternating runs",
        "hardware": hardware("transformers", "pillow", "numpy"),
        "single": compare([photo(640, 480, seed=0)], args.runs),
        "batch": compare([photo(640, 480, seed) for seed in range(16)], max(1, args.runs // 4)),
    }
    check_quiet(result["single"])
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
