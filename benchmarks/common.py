"""What the benchmarks share: the machine, medians of alternating runs, writing the result."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

# With the package, so that a chapter finds them wherever it runs.
RESULTS = Path(__file__).parents[1] / "siglip_lab" / "data" / "results"


def hardware(*packages: str) -> dict:
    """Names of processor and GPU, cores that this process may use, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("torch", *packages)},
    }


def alternate(ways: dict[str, Callable], runs: int) -> tuple[dict, dict]:
    """Median seconds of each way, by the clock and of computing.

    The ways take turns, so that a slow moment of the machine meets all of them.
    """
    clock, work = {name: [] for name in ways}, {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            start, work_start = time.perf_counter(), time.process_time()
            way()
            clock[name].append(time.perf_counter() - start)
            work[name].append(time.process_time() - work_start)
    return tuple({k: statistics.median(v) for k, v in each.items()} for each in (clock, work))


def write(result: dict, path: Path) -> None:
    """Write to a neighbour, then rename: a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    text = json.dumps(result, indent=1)
    text = re.sub(r"\[[\d\s,]+\]", lambda row: " ".join(row[0].split()), text)  # numbers in a line
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, path)
