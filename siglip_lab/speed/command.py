"""The command ``siglip-lab bench``."""

from __future__ import annotations

import argparse
import json
import platform
from typing import Any

import torch

from siglip_lab.families import load_pair, random_pair
from siglip_lab.loading.weights import check_device
from siglip_lab.pairs import default_device
from siglip_lab.speed.measuring import measure_ways
from siglip_lab.speed.ways import WAYS, check_ways
from siglip_lab.terminal import show, whole_number

__all__ = ["add_bench"]


def add_bench(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "bench", help="how fast is a model on this machine, and by which settings?"
    )
    add = parser.add_argument
    add("where", metavar="NAME", help='"tiny", a published name, "OWNER/NAME" or a folder')
    add("--random", action="store_true", help="random weights in a published shape: no download")
    add(
        "--way", action="append", default=[], choices=WAYS, metavar="WAY",
        help=f"measure it beside float32; may be repeated: {', '.join(WAYS)} (default: all but "
        "compiled)",
    )  # fmt: skip
    add("--batch-size", type=whole_number(1, 10**6), default=8, help="default: %(default)s")
    add("--device", help="such as cuda or cpu (default: a GPU if there is one)")
    add("--threads", type=whole_number(1, 1024), help="CPU threads (default: PyTorch's choice)")
    add("--seconds", type=float, default=3.0, help="of each measurement (default: %(default)s)")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> None:
    if not 0 <= options.seconds <= 3600:
        raise ValueError(f"--seconds is {options.seconds:g}; expected 0 to 3600")
    check_device(options.device)
    device = torch.device(options.device or default_device())
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        check_ways(options.way, device)  # before weights are fetched
    except ImportError as error:
        raise ValueError(str(error)) from error
    model, processor = (random_pair if options.random else load_pair)(options.where)
    report = measure_ways(
        model.to(device), processor, options.way, options.batch_size, options.seconds
    )
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "torch": torch.__version__,
    }
    if options.json:
        print(json.dumps({"model": options.where, **machine, **report.to_dict()}, indent=2))
        return
    show(f"{options.where}: " + ", ".join(f"{key} {value}" for key, value in machine.items()))
    show(f"\n{report}")
