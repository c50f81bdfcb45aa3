"""Time and memory of `siglip_lab.sigmoid_loss` against open_clip's loss and transformers' own.

Forward and backward, d = 1152. Runs alternate in one process; the peak of memory is taken in a
process of its own for each way. A way that does not fit into memory has null. Beside the ways
stands what none of them can do without: the three matrix products.

Run ``python -m benchmarks.losses``; it writes ``siglip_lab/data/results/losses.json``, or on a
machine with a GPU ``losses_gpu.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import multiprocessing
import resource
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.common import RESULTS, alternate, hardware, write
from siglip_lab.losses_at_scale import sigmoid_loss

WIDTH = 1152
SIZES = {"cpu": [1024, 2048, 4096, 8192, 16384, 32768], "cuda": [2**k for k in range(12, 21)]}
LARGEST_PEER = 2**17  # beyond it, the logits of the others alone are larger than any one card
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


# ---- the ways ------------------------------------------------------------------------------------


def open_clip_loss(**options):
    """open_clip's `SigLipLoss`, from its file alone: importing the package would need torchvision.

    None if the installed release does not know the options.
    """
    package = importlib.util.find_spec("open_clip")
    if package is None:
        raise SystemExit("open_clip is not installed; `make bench` fetches it beside the rest")
    path = Path(package.origin).with_name("loss.py")
    spec = importlib.util.spec_from_file_location("open_clip_loss", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not set(options) <= set(inspect.signature(module.SigLipLoss).parameters):
        return None
    plain = module.SigLipLoss(**options)
    return lambda x, y, log_t, b: plain(x, y, log_t.exp(), b)


def transformers_loss():
    """`SiglipModel.forward` itself, with towers that hand over the embeddings they were given."""
    from transformers import SiglipConfig, SiglipModel, logging

    logging.set_verbosity_error()  # it warns of token ids that nothing here uses

    class Given(nn.Module):
        def forward(self, **_):
            return SimpleNamespace(pooler_output=self.embeds)

    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = SiglipModel(SiglipConfig(text_config=small, vision_config=small)).to(DEVICE)
    model.vision_model, model.text_model = Given(), Given()

    def loss(x, y, log_t, b):
        model.vision_model.embeds, model.text_model.embeds = x, y
        model.logit_scale, model.logit_bias = log_t, b
        return model(return_loss=True).loss

    return loss


WAYS = {  # each makes a function of images, texts, log t and b
    "siglip_lab": lambda: sigmoid_loss,
    "open_clip": open_clip_loss,
    "open_clip chunk_size": lambda: open_clip_loss(chunk_size=512),  # newer than release 3.3.0
    "transformers": transformers_loss,
}


def inputs(n: int) -> list[Tensor]:
    """Pairs that are a little alike, as in the first steps of training; the paper's log t and b."""
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(n, WIDTH, generator=generator) for _ in range(2))
    y = noise.add_(x, alpha=0.3)
    for each in (x, y):
        each /= torch.linalg.vector_norm(each, dim=-1, keepdim=True)
    tensors = x, y, torch.tensor([10.0]).log(), torch.tensor([-10.0])
    return [nn.Parameter(tensor.to(DEVICE)) for tensor in tensors]


def step(loss, tensors: list[Tensor]) -> Tensor:
    """Forward and backward; the gradients are new each time."""
    for tensor in tensors:
        tensor.grad = None
    value = loss(*tensors)
    value.backward()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return value.detach()


def products(x: Tensor, y: Tensor, side: int = 2048) -> None:
    """The three products of 2 n^2 d operations alone: logits, and the gradients of x and y.

    In blocks, because the whole logits do not fit; on a GPU in bfloat16, its fastest type.
    """
    if DEVICE.type == "cuda":
        x, y = x.bfloat16(), y.bfloat16()
    grad_x, grad_y, block = torch.zeros_like(x), torch.zeros_like(y), x.new_empty(side, side)
    rows = [slice(i, i + side) for i in range(0, len(x), side)]
    for i in rows:
        for j in rows:
            logits = block[: len(x[i]), : len(y[j])]
            torch.mm(x[i], y[j].T, out=logits)
            grad_x[i].addmm_(logits, y[j])
            grad_y[j].addmm_(logits.T, x[i])
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


# ---- measurements --------------------------------------------------------------------------------


def extra_gb(name: str, n: int) -> float | None:
    """Peak memory of one step above the inputs and their gradients, in 10^9 bytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_extra_gb, (name, n))


def _extra_gb(name: str, n: int) -> float | None:
    limit_memory()
    loss, tensors = WAYS[name](), inputs(n)
    step(loss, inputs(64))  # what is loaded at the first call
    before = peak_bytes(reset=True)
    try:
        step(loss, tensors)
    except (RuntimeError, MemoryError):  # torch says "not enough memory" as a RuntimeError
        return None
    gradients = sum(tensor.grad.nbytes for tensor in tensors)
    return round((peak_bytes() - before - gradients) / 1e9, 3)


def peak_bytes(reset: bool = False) -> int:
    """The largest memory so far: of torch on the GPU, of the process without one."""
    if DEVICE.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if reset:  # ru_maxrss would remember the parent's peak, and what making the inputs took
        Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":") for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def limit_memory() -> None:
    """Let this process fail where the machine would start to swap or kill."""
    meminfo = Path("/proc/meminfo")
    if DEVICE.type == "cpu" and meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        available = int(fields["MemAvailable"].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (int(0.9 * available),) * 2)


def check_equal(ways: dict) -> None:
    """Refuse to compare speeds of what does not compute the same."""
    values = {name: step(loss, inputs(64)).item() for name, loss in ways.items()}
    if max(values.values()) - min(values.values()) > 1e-5 * values["siglip_lab"]:
        raise SystemExit(f"the losses differ, so their speeds cannot be compared: {values}")


def row(ways: dict, n: int, seconds: float) -> dict:
    """One batch size: memory of each way, then the time of those that fit."""
    memory = {k: extra_gb(k, n) for k in ways if k == "siglip_lab" or n <= LARGEST_PEER}
    tensors = inputs(n)
    steps = {
        name: lambda loss=loss: step(loss, tensors)
        for name, loss in ways.items()
        if memory.get(name) is not None
    }
    alone = len(steps) == 1  # nothing to compare with
    x, y = (tensor.detach() for tensor in tensors[:2])
    steps["products"] = lambda: products(x, y)
    start = time.perf_counter()
    for way in steps.values():  # to warm up
        way()
    runs = 1 if alone else max(5, min(25, int(seconds / (time.perf_counter() - start))))
    median, _ = alternate(steps, runs)
    bound = median.pop("products")
    peers = [median[name] for name in median if name != "siglip_lab"]
    return {
        "n": n,
        "runs": runs,
        "median_s": {k: round(median[k], 4) if k in median else None for k in memory},
        "products_s": round(bound, 4),
        "ratio": round(min(peers) / median["siglip_lab"], 2) if peers else None,
        "extra_gb": memory,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = SIZES[DEVICE.type]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes, help="values of n")
    parser.add_argument("--seconds", type=float, default=60, help="time for one size, roughly")
    default = RESULTS / ("losses_gpu.json" if DEVICE.type == "cuda" else "losses.json")
    parser.add_argument("--output", type=Path, default=default, help="where to write the result")
    args = parser.parse_args(arguments)
    ways = {name: way for name, make in WAYS.items() if (way := make()) is not None}
    check_equal(ways)
    rows = [row(ways, n, args.seconds) for n in tqdm(args.sizes, desc="batch sizes")]
    result = {
        "what": "sigmoid loss, forward and backward in float32: median seconds of alternating "
        "runs; peak memory above the inputs and their gradients in 10^9 bytes, null where it does "
        "not fit; products_s: the three matrix products of the step alone (bfloat16 on a GPU); "
        "ratio: the fastest peer's time over siglip_lab's",
        "hardware": hardware("transformers", "open_clip_torch"),
        "d": WIDTH,
        "rows": rows,
    }
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
