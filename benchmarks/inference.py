"""Time inference by every way beside transformers and open_clip, and say what each way changes.

The weights are random, one shape at a time; transformers' `SiglipModel` shares them, in float32
with PyTorch's attention, as it loads by default, and in bfloat16. open_clip draws its own, of which
there must be as many, if it is installed in a folder on the path (see the Makefile). Runs of all
alternate, so that a slow moment of the machine meets each. How much working memory a way takes is
the peak of a fresh process above its weights. What happens to answers is measured on tiny, which is
trained: 400 drawings, each to find its own of 320 texts. All ways of so400m are ready at once, in
some 20 GB of memory; `--ways` takes fewer.

Run ``python -m benchmarks.inference``; it writes ``siglip_lab/data/results/inference.json``.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import siglip_lab as sl
from benchmarks.common import RESULTS, alternate, hardware, write
from benchmarks.forward import MODELS, twin
from benchmarks.losses import peak_bytes
from benchmarks.training import define_torchvisions_operators
from siglip_lab.export.towers import PACKAGES
from siglip_lab.families import random_pair
from siglip_lab.processor import Inputs
from siglip_lab.speed.measuring import errors
from siglip_lab.speed.ways import WAYS, check_ways, each_way
from siglip_lab.toy.evaluation import NamingTest, naming_test

OPEN_CLIP = {MODELS[0]: "ViT-B-16-SigLIP", MODELS[1]: "ViT-SO400M-14-SigLIP-384"}
DEFAULT = "transformers"  # what the others are compared with
TOLERANCE = 1e-4  # of unit vectors in float32


def pixels(model: sl.SigLIP, n: int) -> Inputs:
    """Images of noise, the same in each process."""
    size = model.config.vision.image_size
    generator = torch.Generator().manual_seed(0)
    return Inputs(pixel_values=torch.rand(n, 3, size, size, generator=generator) * 2 - 1)


def peers(name: str, model: sl.SigLIP) -> dict[str, Callable[[Inputs], Tensor]]:
    """The other libraries' image towers, from inputs to unit vectors."""

    def vectors(encode: Callable, inputs: Inputs, dtype: torch.dtype = torch.float32) -> Tensor:
        return F.normalize(encode(inputs["pixel_values"].to(dtype)).float(), dim=-1)

    whole, half = twin(model), twin(copy.deepcopy(model).bfloat16())
    found: dict[str, Callable[[Inputs], Tensor]] = {
        DEFAULT: partial(vectors, lambda x: whole.vision_model(x).pooler_output),
        "transformers, bfloat16": partial(
            vectors, lambda x: half.vision_model(x).pooler_output, dtype=torch.bfloat16
        ),
    }
    if name in OPEN_CLIP and all(map(importlib.util.find_spec, ("open_clip", "timm"))):
        import open_clip

        theirs = open_clip.create_model(OPEN_CLIP[name], precision="fp32").eval()
        sizes = [sum(p.numel() for p in each.parameters()) for each in (theirs, model)]
        if sizes[0] != sizes[1]:
            raise RuntimeError(f"open_clip's model has {sizes[0]:,} numbers, ours {sizes[1]:,}")
        found["open_clip"] = partial(vectors, theirs.encode_image)
    return found


def rows(
    name: str, ways: list[str], batches: list[int], runs: int | None, memory: bool
) -> list[dict]:
    """Every way and every peer of one model, at each batch size."""
    model, processor = random_pair(name)
    with tempfile.TemporaryDirectory() as folder:
        ready = {way.name: way for way in each_way(ways, model, processor, Path(folder))}
        encoders = {way: each.image for way, each in ready.items()} | peers(name, model)
        check_equal(encoders, pixels(model, 2))
        result = []
        for batch in batches:
            inputs = pixels(model, batch)
            every: dict[str, Callable] = {
                way: partial(encode, inputs) for way, encode in encoders.items()
            }
            alternate(every, 1)  # lets each warm up, and compile
            few = runs or (5 if name == MODELS[1] else 15)
            clock, _ = alternate(every, few)
            times = {way: round(clock[DEFAULT] / seconds, 3) for way, seconds in clock.items()}
            row = {
                "model": name, "batch": batch, "runs": few,
                "median_ms": {way: round(1000 * seconds, 3) for way, seconds in clock.items()},
                "times_transformers": times,
            }  # fmt: skip
            if memory:
                row["working_gb"] = {way: working_gb(name, way, batch) for way in ready}
            row["weights_gb"] = {way: round(each.bytes / 1e9, 4) for way, each in ready.items()}
            result.append(row)
    return result


def check_equal(encoders: dict[str, Callable[[Inputs], Tensor]], inputs: Inputs) -> None:
    """Refuse to compare speeds where float32 gives other vectors; open_clip has other weights."""
    with torch.no_grad():
        right = encoders["float32"](inputs)
        for name in (DEFAULT, "onnx"):
            if name in encoders and not (encoders[name](inputs) - right).abs().max() <= TOLERANCE:
                raise RuntimeError(f"{name} gives other vectors; a speed without equality is none")


def working_gb(name: str, way: str, batch: int) -> float | None:
    """Peak of memory above the weights, of a way's first run in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_working_gb, (name, way, batch, torch.get_num_threads()))


@torch.no_grad()
def _working_gb(name: str, way: str, batch: int, threads: int) -> float | None:
    torch.set_num_threads(threads)
    model, processor = random_pair(name)
    with tempfile.TemporaryDirectory() as folder:
        *_, ready = each_way(["float32", way], model, processor, Path(folder))
        inputs = pixels(model, batch)
        try:
            before = peak_bytes(reset=True)
        except OSError:  # a system that cannot reset it
            return None
        ready.image(inputs)
        return round((peak_bytes() - before) / 1e9, 4)


def answers(ways: list[str]) -> dict[str, dict]:
    """What happens to tiny's answers, all drawings in one call; in integers one at a time, too."""
    model = sl.SigLIP.from_pretrained("tiny", dtype=torch.float32)
    processor, test = sl.Processor.from_pretrained("tiny"), naming_test()
    images, texts = processor(images=test.drawings), processor(text=test.texts)
    found: dict[str, dict] = {}
    expected = None
    with tempfile.TemporaryDirectory() as folder:
        for way in each_way(ways, model, processor, Path(folder)):
            vectors = way.image(images), way.text(texts)
            expected = expected or vectors
            found[way.name] = compared(model, test, expected, vectors)
            if way.name == "onnx-int8":  # its ranges are those of the batch
                vectors = one_by_one(way.image, images), one_by_one(way.text, texts)
                alone = compared(model, test, expected, vectors)
                found[way.name]["one_at_a_time"] = alone
    return found


def compared(
    model: sl.SigLIP,
    test: NamingTest,
    expected: tuple[Tensor, Tensor],
    vectors: tuple[Tensor, Tensor],
) -> dict:
    """How tiny's answers by these vectors differ from those by the expected ones."""
    cosine, change = errors(model, expected, vectors)
    yes, now = (model.logits(*each) > 0 for each in (expected, vectors))
    return {
        "accuracy": test.accuracy(*vectors),
        "smallest_cosine": round(cosine, 6),
        "largest_change_of_a_probability": round(change, 6),
        "yes": int(now.sum()),  # above one half
        "changed_sides": int((yes != now).sum()),
    }


def one_by_one(encode: Callable[[Inputs], Tensor], inputs: Inputs) -> Tensor:
    """Each image or text in a call of its own."""
    rows = zip(*(tensor.split(1) for tensor in inputs.values()), strict=True)
    return torch.cat([encode(Inputs(zip(inputs, row, strict=True))) for row in rows])


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, help="names of published shapes")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="images at once")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--runs", type=int, help="runs of each; else 5 to 15, as long as they take")
    parser.add_argument(
        "--memory", action=argparse.BooleanOptionalAction, default=True,
        help="whether to measure each way's memory, in processes of their own",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS / "inference.json")
    args = parser.parse_args(arguments)
    define_torchvisions_operators()  # before transformers looks for torchvision
    from transformers import logging

    logging.set_verbosity_error()
    if args.threads:
        torch.set_num_threads(args.threads)
    ways = check_ways(args.ways, torch.device("cpu"))
    timed = [
        row
        for name in tqdm(args.models)
        for row in rows(name, ways, args.batches, args.runs, args.memory)
    ]
    installed = [
        p for p in ("open_clip_torch", "timm") if any("open_clip" in r["median_ms"] for r in timed)
    ]
    result = {
        "what": "image towers by every way, beside transformers' SiglipModel as it loads by "
        "default, and open_clip: random weights, no gradients, median times of alternating runs; "
        "times_transformers: its time over the way's; working_gb: peak above the weights; "
        "answers: of tiny, 400 drawings among 320 texts",
        "hardware": hardware("transformers", *PACKAGES, *installed),
        "instructions": {
            "amx": torch.cpu._is_amx_tile_supported(),
            "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
            "vnni": torch.cpu._is_vnni_supported(),
        },
        "ways": {way: WAYS[way] for way in ways},
        "rows": timed,
        "answers": answers(ways),
    }  # fmt: skip
    write(result, args.out)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
