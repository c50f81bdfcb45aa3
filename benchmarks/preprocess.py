"""Time `siglip_lab.preprocess` against its peers: one PIL image, 16 of them, 32 JPEG files.

The peers are transformers' `SiglipImageProcessorPil` and, where it is installed, hf-processors-rs,
which computes the same in Rust; all three give the same bits, or nothing is written. Runs of them
alternate, in one process, so that a slow moment of the machine meets all. torch keeps to one
thread: it is only asked to copy here, and threads that wait for work disturb whatever runs next.

"pillow" is the resize alone, which siglip_lab and transformers share: no way around it is faster.

Run ``python -m benchmarks.preprocess``; it writes ``siglip_lab/data/results/preprocess.json``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from benchmarks.common import RESULTS, alternate, hardware, write
from siglip_lab.preprocessing import preprocess, resize

SIZE = 384
SETTINGS = {  # of every SigLIP v1 checkpoint
    "size": {"height": SIZE, "width": SIZE},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}
RUST = "hf-processors-rs"


def peers() -> dict[str, Callable]:
    """Images or paths to float32 `[B, 3, 384, 384]`, as each peer does it."""
    processor = SiglipImageProcessorPil(**SETTINGS)

    def transformers(images: Image.Image | list) -> torch.Tensor:
        files = isinstance(images, list) and isinstance(images[0], str)
        opened = [Image.open(file) for file in images] if files else images
        return processor(opened, return_tensors="pt")["pixel_values"]

    ways: dict[str, Callable] = {"transformers": transformers}
    if find_spec("hf_processors_rs"):
        from hf_processors_rs import AutoImageProcessor

        settings = {"image_processor_type": "SiglipImageProcessor", **SETTINGS}
        ways[RUST] = AutoImageProcessor.from_dict(settings, backend="pil")
    return ways


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Smooth noise at two scales: like a photo, neither flat nor white noise."""
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    noise = Image.fromarray(levels)
    return Image.blend(noise.filter(ImageFilter.BoxBlur(8)), noise, 0.2)


def row(what: str, images: Image.Image | list, runs: int) -> dict:
    """Median times for one batch, and how many times faster than each peer siglip_lab is."""
    ways = {name: (lambda way=way: way(images)) for name, way in peers().items()}
    ways = {"siglip_lab": lambda: preprocess(images, SIZE), **ways}
    ours, *theirs = (np.asarray(way()) for way in ways.values())
    if not all(np.array_equal(ours, other) for other in theirs):
        raise RuntimeError("the results disagree; a speed without equality means nothing")
    if isinstance(images, Image.Image):
        ways["pillow"] = lambda: resize(images, SIZE)
    wall, work = alternate(ways, runs)
    return {
        "what": what,
        "images": len(ours),
        "runs": runs,
        "median_ms": {name: round(1000 * value, 3) for name, value in wall.items()},
        "median_cpu_ms": {name: round(1000 * value, 3) for name, value in work.items()},
        "ratio": {k: round(wall[k] / wall["siglip_lab"], 2) for k in wall if k != "siglip_lab"},
    }


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
    parser.add_argument("--runs", type=int, default=60, help="timed runs for one image")
    parser.add_argument("--output", type=Path, default=RESULTS / "preprocess.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    photos = [photo(640, 480, seed) for seed in range(32)]
    few = max(1, args.runs // 4)
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/{index}.jpg" for index in range(len(photos))]
        for image, file in zip(photos, files, strict=True):
            image.save(file, quality=90)
        rows = [
            row("one PIL image", photos[0], args.runs),
            row("16 PIL images", photos[:16], few),
            row("32 JPEG files", files, few),
        ]
    check_quiet(rows[0])
    installed = [RUST] if find_spec("hf_processors_rs") else []
    result = {
        "what": f"pictures of 640 x 480 to pixel values of {SIZE} x {SIZE}, equal to the bit: "
        "median times of alternating runs; ratio: the other's time over siglip_lab's; pillow: the "
        "resize alone, which siglip_lab and transformers share",
        "hardware": hardware("transformers", "pillow", "numpy", *installed),
        "rows": rows,
    }
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
