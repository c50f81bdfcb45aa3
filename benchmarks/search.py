"""Measure embedding against the forward pass alone, exact search against memory, FAISS's kinds.

The vectors that recall is measured on are those of a trained model: "emoji" (128 numbers) embeds a
million different pictures, each one of the package's drawings, mirrored, cropped, tilted and tinted
by a random generator of its own number, so that none occurs twice. Questions are other such
pictures, with numbers that the index lacks, and the English names and keywords of emoji. Vectors of
1152 numbers, so400m's width, are random directions: time and memory alone are measured with them.

Run ``python -m benchmarks.search`` where FAISS is installed; it writes
``siglip_lab/data/results/search.json``. A million vectors take an hour of two cores once, and are
kept in ``--work``; a run that is stopped goes on there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import siglip_lab as sl
from benchmarks.common import RESULTS, alternate, hardware, write
from benchmarks.reading import photo, stored
from siglip_lab import emoji
from siglip_lab.pairs import has_bfloat16
from siglip_lab.search import embed, nearest, open_items
from siglip_lab.search.approximate import FACTORIES, Approximate, build
from siglip_lab.training.augmentation import chain, flip, jitter, random_crop

ASKED = 500  # questions of each sort that recall is measured with
TIMED = 50  # questions that are timed, one after the other
K = 10
CHUNK = 10_000  # pictures whose vectors are written at once
WIDE = 1152
BATCH = 32


# ---- a million vectors ---------------------------------------------------------------------------


def tilt(image: Image.Image, rng: random.Random) -> Image.Image:
    """Turn a picture by up to 20 degrees; the corners are white."""
    how = Image.Resampling.BICUBIC
    return image.rotate(rng.uniform(-20, 20), how, fillcolor=(255, 255, 255))


CHANGE = chain(flip, tilt, random_crop, jitter)


def changed(drawings: list, number: int) -> Image.Image:
    """The picture with this number."""
    rng = random.Random(f"search {number}")
    return CHANGE(drawings[number % len(drawings)].image, rng)


def trained_vectors(rows: int, work: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of `rows` pictures, of other pictures, and of texts; chunks are kept in `work`."""
    device = sl.default_device()
    model = sl.SigLIP.from_pretrained("emoji", dtype=torch.float32, device=device)
    processor = sl.Processor.from_pretrained("emoji")
    drawings = emoji.load()

    def vectors(numbers: range) -> np.ndarray:
        images = [changed(drawings, number) for number in numbers]
        return sl.embed_images(model, processor, images, 250).cpu().numpy()

    path = work / f"emoji-{rows}.npy"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        parts = []
        for start in tqdm(range(0, rows, CHUNK), unit_scale=CHUNK, unit="picture"):
            numbers = range(start, min(rows, start + CHUNK))
            part = work / f"emoji-{numbers.start}-{numbers.stop}.npy"
            if not part.exists():
                with open(part.with_suffix(".part"), "wb") as file:
                    np.save(file, vectors(numbers))
                os.replace(part.with_suffix(".part"), part)
            parts.append(part)
        with open(path.with_suffix(".part"), "wb") as file:
            np.save(file, np.concatenate([np.load(part) for part in parts]))
        os.replace(path.with_suffix(".part"), path)
    texts = list(dict.fromkeys(c for d in drawings for c in d.emoji.captions("en")))
    texts = random.Random(0).sample(texts, ASKED)
    pictures = vectors(range(rows, rows + ASKED))
    named = sl.embed_texts(model, processor, texts).cpu().numpy()
    return np.load(path, mmap_mode="c"), pictures, named


def random_directions(rows: int, width: int, work: Path) -> Path:
    """Random unit vectors in a file; they show time and memory, and nothing of recall."""
    path = work / f"random-{rows}-{width}.npy"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        with open(path.with_suffix(".part"), "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, rows, CHUNK):
                block = rng.standard_normal((min(CHUNK, rows - start), width), dtype=np.float32)
                file.write((block / np.linalg.norm(block, axis=1, keepdims=True)).data)
        os.replace(path.with_suffix(".part"), path)
    return path


# ---- exact search --------------------------------------------------------------------------------


def exact(vectors: np.ndarray, queries: np.ndarray, runs: int) -> dict:
    """One question over all vectors, and the time that merely reading them takes, in turns."""
    tensor = torch.from_numpy(vectors)
    ways: dict[str, Callable] = {
        "search": lambda: nearest(vectors, queries[:1], K),
        "reading": tensor.sum,
        "32 questions": lambda: nearest(vectors, queries[:32], K),
    }
    for way in ways.values():  # so that the file is in memory
        way()
    clock, _ = alternate(ways, runs)
    gb = vectors.nbytes / 1e9
    return {
        "rows": len(vectors), "width": vectors.shape[1], "gb": round(gb, 3),
        "ms": {name: round(1000 * seconds, 2) for name, seconds in clock.items()},
        "gb_per_s": {name: round(gb / clock[name], 2) for name in ("search", "reading")},
        "of_bandwidth": round(clock["reading"] / clock["search"], 3),
    }  # fmt: skip


# ---- FAISS ---------------------------------------------------------------------------------------


def kind_alone(path: Path, kind: str, asked: dict[str, np.ndarray], with_recall: bool) -> dict:
    """Build one kind; run in a process of its own, whose memory is measured."""
    import faiss

    vectors = np.load(path, mmap_mode="c")
    start = time.perf_counter()
    found = build(vectors, kind)
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        file = Path(folder, "index.faiss")
        faiss.write_index(found, str(file))
        size = file.stat().st_size
    index = Approximate(found, vectors)
    row: dict = {
        "kind": kind, "faiss": FACTORIES[kind](*vectors.shape), "build_s": round(seconds, 1),
        "bytes_per_vector": round(size / len(vectors), 1),
    }  # fmt: skip
    for name, queries in asked.items():
        times = []
        for query in queries[:TIMED]:
            start = time.perf_counter()
            index.nearest(query[None], K)
            times.append(time.perf_counter() - start)
        row[name] = {"ms": round(1000 * float(np.median(times)), 3)}
        if with_recall:
            best = nearest(vectors, queries, K)[1]
            ways = {"alone": index.propose(queries, K), "ordered": index.nearest(queries, K)[1]}
            row[name] |= {f"recall@{K} {way}": recall(best, rows) for way, rows in ways.items()}
    row["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return row


def recall(best: np.ndarray, found: np.ndarray) -> float:
    """The share of the best rows that were found."""
    same = [len({*a} & {*b}) / len(a) for a, b in zip(best.tolist(), found.tolist(), strict=True)]
    return round(float(np.mean(same)), 4)


def kinds(path: Path, names: list[str], asked: dict[str, np.ndarray], with_recall: bool) -> list:
    """One row for each kind."""
    rows = []
    for kind in names:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rows.append(pool.apply(kind_alone, (path, kind, asked, with_recall)))
        print(json.dumps(rows[-1]), flush=True)
    return rows


# ---- embedding -----------------------------------------------------------------------------------


def embedding(name: str, pictures: int, workers: int, runs: int, work: Path) -> dict:
    """Pictures a second of `embed`, from JPEG files to an index, and of the tower alone."""
    device = sl.default_device()
    dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
    if name in ("tiny", "emoji"):
        model = sl.SigLIP.from_pretrained(name).to(device, dtype)
    else:
        model = sl.SigLIP(sl.get_config(name), seed=0).eval().to(device, dtype)
    side = model.config.vision.image_size
    processor = sl.Processor(sl.Processor.from_pretrained("tiny").tokenizer, side)
    values = torch.rand(BATCH, 3, side, side, device=device) * 2 - 1
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        data = Path(folder, "pictures")
        data.mkdir()
        content = stored(photo(640, 480))
        for number in range(pictures):
            (data / f"{number:06}.jpg").write_bytes(content)
        outs = iter(range(10**6))

        def whole() -> None:
            out = Path(folder, f"out{next(outs)}")
            embed(model, processor, open_items(data), out, BATCH, workers, device)

        @torch.no_grad()
        def forward() -> None:
            for _ in range(pictures // BATCH):
                model.encode_image(values)
            if device.type == "cuda":
                torch.cuda.synchronize()

        model.encode_image(values)
        clock, _ = alternate({"embed": whole, "forward alone": forward}, runs)
    speeds = {way: round(pictures / seconds, 2) for way, seconds in clock.items()}
    return {
        "model": name, "type": str(dtype), "pictures": pictures, "batch": BATCH,
        "workers": workers, "pictures_per_s": speeds,
        "of_forward": round(clock["forward alone"] / clock["embed"], 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--kinds", nargs="*", choices=FACTORIES, default=[*FACTORIES])
    parser.add_argument(
        "--wide-kinds", nargs="*", choices=FACTORIES, default=["flat", "int8", "ivfpq"]
    )
    parser.add_argument("--models", nargs="*", default=["siglip-base-patch16-224", "tiny"])
    parser.add_argument("--pictures", type=int, default=256, help="to embed, of each model")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("build/search"))
    parser.add_argument("--output", type=Path, default=RESULTS / "search.json")
    args = parser.parse_args()
    vectors, pictures, texts = trained_vectors(args.rows, args.work)
    asked = {"pictures": pictures, "texts": texts}
    wide = random_directions(args.rows, WIDE, args.work)
    directions = np.load(wide, mmap_mode="c")
    questions = {"random": directions[:TIMED].copy()}
    result = {
        "what": f"{args.rows:,} vectors of the model emoji, of as many different pictures: its "
        "drawings, mirrored, tilted by up to 20 degrees, cropped to at least 60 %, tinted; "
        f"{ASKED} other such pictures and {ASKED} names or keywords ask. Wide: random directions. "
        f"ms: one question, the {K} best; recall@{K} against exact search, of FAISS alone and "
        f"with exact cosines of {10 * K} proposed rows; peak_gb: of the process, with the pages of "
        "the vectors' file. embedding: JPEG files of 640 x 480 to an index; random weights but for "
        "tiny",
        "hardware": hardware("numpy", "faiss-cpu"),
        "load": round(os.getloadavg()[0], 1),
        "exact": [
            exact(vectors, texts, args.runs),
            exact(directions, questions["random"], args.runs),
        ],
        "trained": kinds(args.work / f"emoji-{args.rows}.npy", args.kinds, asked, True),
        "wide": kinds(wide, args.wide_kinds, questions, False),
        "embedding": [
            embedding(name, args.pictures, args.workers, args.runs, args.work)
            for name in args.models
        ],
    }
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
