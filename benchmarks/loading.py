"""Time and memory of loading so400m-patch14-384 against transformers' `from_pretrained`.

Every run is a process of its own: from its start, imports included, to a model that is ready. The
weights are random, written once as a checkpoint folder of 3.5 GB; the file lies in the page cache.
The peak of memory is that of the process, the mapped file included, after loading and after one
image and one text have passed.

Run ``python -m benchmarks.loading``; it writes ``siglip_lab/data/results/loading.json``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tqdm import tqdm

from benchmarks.common import RESULTS, alternate, hardware, write

NAME = "siglip-so400m-patch14-384"
FOLDER = Path(__file__).parents[1] / "build" / f"{NAME}-random"

SIGLIP_LAB = """
import torch
import siglip_lab as sl
model = sl.SigLIP.from_pretrained({folder!r}, dtype={dtype})
"""
TRANSFORMERS = """
import torch
from transformers import SiglipModel, logging
logging.set_verbosity_error()
logging.disable_progress_bar()
model = SiglipModel.from_pretrained({folder!r}, dtype={dtype}).eval()
"""
RANDOM = f"""
import siglip_lab as sl
model = sl.SigLIP(sl.get_config("{NAME}"), seed=0)
"""
FORWARD = """
with torch.no_grad():
    model(pixel_values=torch.zeros(1, 3, 384, 384), input_ids=torch.ones(1, 64, dtype=torch.long))
"""
PEAK = """
from pathlib import Path
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024)
"""
WAYS = {"siglip_lab": SIGLIP_LAB, "transformers": TRANSFORMERS}


def run(code: str) -> str:
    """What a fresh Python prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def checkpoint(folder: Path) -> None:
    """Write the checkpoint folder with random weights, if it is not there."""
    if (folder / "model.safetensors").exists():
        return
    import siglip_lab as sl

    sl.SigLIP(sl.get_config(NAME), seed=0).save_pretrained(folder)


def row(folder: Path, dtype: str, runs: int) -> dict:
    """One type of weights: seconds to a ready model, and peaks of memory."""
    codes = {k: code.format(folder=str(folder), dtype=f"torch.{dtype}") for k, code in WAYS.items()}
    for code in codes.values():  # fills the page cache
        run(code)
    median, _ = alternate({k: partial(run, code) for k, code in codes.items()}, runs)
    peak = {k: int(run(code + PEAK)) / 1e9 for k, code in codes.items()}
    passed = {k: int(run(code + FORWARD + PEAK)) / 1e9 for k, code in codes.items()}
    return {
        "dtype": dtype,
        "runs": runs,
        "median_s": {k: round(v, 3) for k, v in median.items()},
        "ratio": round(median["siglip_lab"] / median["transformers"], 3),
        "peak_gb": {k: round(v, 3) for k, v in peak.items()},
        "peak_gb_after_forward": {k: round(v, 3) for k, v in passed.items()},
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=FOLDER, help="checkpoint; written if absent")
    parser.add_argument("--runs", type=int, default=5, help="runs of each way")
    parser.add_argument("--output", type=Path, default=RESULTS / "loading.json")
    args = parser.parse_args(arguments)
    checkpoint(args.folder)
    rows = [row(args.folder, d, args.runs) for d in tqdm(["float32", "bfloat16"], desc="types")]
    start = time.perf_counter()
    run(RANDOM)
    result = {
        "what": "from the start of a process to a model that is ready: median seconds of "
        "alternating runs; ratio: siglip_lab's time over transformers'; peaks of a process's "
        "memory in 10^9 bytes, the mapped file included; random_s: so400m with random weights",
        "hardware": hardware("transformers"),
        "weights_gb": round((args.folder / "model.safetensors").stat().st_size / 1e9, 3),
        "rows": rows,
        "random_s": round(time.perf_counter() - start, 2),
    }
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
