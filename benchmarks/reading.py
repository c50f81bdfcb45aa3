"""Time what stands between a file and a model: decoding and resizing, reading from shards, a step.

Everything on one thread, in seconds of computing and not by the clock, so that other programs on
the machine disturb little; ways alternate. The photo is the book's cat, mirrored like tiles until
the size is filled, so that a large picture has as much detail on each pixel as a small one.

Run ``python -m benchmarks.reading``; it writes ``siglip_lab/data/results/reading.json``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import siglip_lab as sl
from benchmarks.common import RESULTS, alternate, hardware, write
from siglip_lab import emoji
from siglip_lab.training import Pairs, Picture, TrainConfig, Trainer
from siglip_lab.training.data import Batches
from siglip_lab.training.sources import read_shards

SIZES = ((451, 300), (640, 480), (1600, 1200), (4000, 3000))  # the cat; small; large; a phone
SIDES = (224, 384)
QUALITY = 90
BATCH = 64


def photo(width: int, height: int) -> Image.Image:
    """The cat, mirrored to the right and downwards until the size is filled."""
    with (files("siglip_lab") / "data" / "chelsea.png").open("rb") as file:
        cat = np.asarray(Image.open(file).convert("RGB"))
    tile = np.concatenate([cat, cat[:, ::-1]], axis=1)
    tile = np.concatenate([tile, tile[::-1]], axis=0)
    repeats = -(-height // tile.shape[0]), -(-width // tile.shape[1]), 1
    return Image.fromarray(np.tile(tile, repeats)[:height, :width])


def decode(data: bytes) -> Image.Image:
    """Bytes to pixels."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def stored(image: Image.Image) -> bytes:
    """A JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def decode_smaller(data: bytes, side: int) -> torch.Tensor:
    """As `sl.preprocess`, but the JPEG decoder itself halves the picture while it can."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (side, side))  # never below this
    return sl.preprocess(image, side)


def decoding(runs: int) -> list[dict]:
    """Milliseconds of computing for one picture, by its size."""
    rows = []
    for width, height in SIZES:
        data = stored(photo(width, height))
        once = stored(decode(data).resize((640, 480), Image.Resampling.BICUBIC))
        ways: dict[str, Callable] = {"decode": partial(decode, data)}
        for side in SIDES:
            ways[f"to {side}"] = partial(sl.preprocess, data, side)
            ways[f"to {side}, decoded smaller"] = partial(decode_smaller, data, side)
        _, work = alternate(ways, runs if width < 4000 else max(5, runs // 4))
        off = {
            side: (ways[f"to {side}"]() - ways[f"to {side}, decoded smaller"]()).abs() * 127.5
            for side in SIDES
        }
        rows.append({
            "width": width, "height": height, "bytes": len(data),
            "ms": {name: round(1000 * seconds, 3) for name, seconds in work.items()},
            "levels_off": {side: round(each.mean().item(), 2) for side, each in off.items()},
            "levels_off_stored_at_640": {
                side: round(((sl.preprocess(data, side) - sl.preprocess(once, side)).abs() * 127.5)
                            .mean().item(), 2)
                for side in SIDES
            },
        })  # fmt: skip
    return rows


# ---- emoji, and tiny -----------------------------------------------------------------------------


def encoded() -> list[tuple[str, bytes]]:
    """All emoji as PNG, with their names."""
    found = []
    for drawing in emoji.load():
        buffer = io.BytesIO()
        drawing.image.save(buffer, "PNG")
        found.append((drawing.emoji.captions("en")[0], buffer.getvalue()))
    return found


def storing(pictures: list[tuple[str, bytes]], runs: int) -> dict:
    """Microseconds a picture to get its bytes from the machine's cache; what an index takes."""
    order = np.random.default_rng(0).permutation(len(pictures)).tolist()
    with tempfile.TemporaryDirectory() as folder:
        tar_path = Path(folder, "emoji.tar")
        with tarfile.open(tar_path, "w") as tar:
            for i, (name, data) in enumerate(pictures):
                Path(folder, f"{i:05}.png").write_bytes(data)
                for ending, content in (("png", data), ("txt", name.encode())):
                    member = tarfile.TarInfo(f"{i:05}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        tracemalloc.start()
        pairs = read_shards([tar_path])
        index = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        paths = [f"{folder}/{i:05}.png" for i in range(len(pictures))]

        def one_by_one() -> int:
            return sum(len(Path(paths[i]).read_bytes()) for i in order)

        def by_index() -> int:
            return sum(len(pairs[i].image()) for i in order)  # type: ignore[operator]

        def front_to_back() -> int:
            total = 0
            with tarfile.open(tar_path, "r|") as tar:
                for member in tar:
                    if member.name.endswith(".png"):
                        total += len(tar.extractfile(member).read())  # type: ignore[union-attr]
            return total

        ways: dict[str, Callable] = {
            "files": one_by_one, "tar by index": by_index, "tar front to back": front_to_back
        }  # fmt: skip
        if len({way() for way in ways.values()}) != 1:
            raise RuntimeError("the ways read different bytes")
        _, work = alternate(ways, runs)
        size = tar_path.stat().st_size
    each = {name: round(1e6 * seconds / len(pictures), 1) for name, seconds in work.items()}
    sizes = {
        "bytes": sum(len(data) for _, data in pictures),
        "tar_bytes": size,
        "index_bytes": index,
    }
    return {"pictures": len(pictures), **sizes, "us": each}


def tiny_steps(pictures: list[tuple[str, bytes]], runs: int) -> dict:
    """Milliseconds a picture: reading it for tiny, tiny's image tower, a step of its training."""
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    pairs = Pairs(Picture(str(i), data, (name,)) for i, (name, data) in enumerate(pictures))
    batches = Batches(pairs, processor, 100, BATCH)
    batch = batches[0]
    trainer = Trainer(model, TrainConfig(batch_size=BATCH, precision="float32"))

    def forward() -> None:
        with torch.no_grad():
            model.encode_image(batch.pixel_values)

    ways: dict[str, Callable] = {
        "reading": partial(batches.__getitem__, 0),
        "image tower": forward,
        "training step": partial(trainer.take_step, batch),
    }
    for way in ways.values():
        way()
    _, work = alternate(ways, runs)
    return {name: round(1000 * seconds / BATCH, 4) for name, seconds in work.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--output", type=Path, default=RESULTS / "reading.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pictures = encoded()
    result = {
        "what": "computing on one thread. photos: a JPEG of quality 90, a mirrored photo of a cat, "
        "to RGB and to pixel values, ms a picture; levels_off: mean difference, of 255, where the "
        "decoder makes it smaller, or where it was stored once more at 640 x 480; emoji: PNG of "
        "40 x 40, microseconds a picture to get its bytes from the cache; tiny: ms a picture of "
        "batches of 64",
        "hardware": hardware("pillow", "numpy"),
        "load": round(os.getloadavg()[0], 1),
        "photos": decoding(args.runs),
        "emoji": storing(pictures, max(5, args.runs // 4)),
        "tiny": tiny_steps(pictures[:1000], args.runs),
    }
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
