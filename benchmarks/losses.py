"""Time and memory of `siglip_lab.sigmoid_loss` against others, forward and backward.

Runs alternate in one process. A way that does not fit into memory, or does not run, has null.
Beside the ways stands what none of them can do without: the three matrix products.

On a CPU, in float32 with d = 1152, against open_clip's loss and transformers' own; the peak of
memory is taken in a process of its own for each way. On a CUDA GPU, with d = 768, against
siglip-kernel where it is installed, with the errors of the gradients and several sizes of a block.

Run ``python -m benchmarks.losses``; it writes ``siglip_lab/data/results/losses.json``, on a machine
with a GPU the key "gpu" in it.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import json
import multiprocessing
import resource
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.common import RESULTS, alternate, hardware, write
from siglip_lab import losses
from siglip_lab.losses_at_scale import sigmoid_loss

WIDTH, SIZES = 1152, [1024, 2048, 4096, 8192, 16384, 32768]
GPU_WIDTH, CHUNKS = 768, [2048, 4096, 5632, 8192, 11264, 16384]
GPU_SIZES = [(16384, "float32"), (16384, "bfloat16"), (32768, "bfloat16"), (65536, "bfloat16")]
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


def inputs(n: int, width: int = WIDTH, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Pairs that are a little alike, as in the first steps of training; the paper's log t and b."""
    generator = torch.Generator(DEVICE).manual_seed(0)
    x, noise = (torch.randn(n, width, generator=generator, device=DEVICE) for _ in range(2))
    y = noise.add_(x, alpha=0.3)
    for each in (x, y):
        each /= torch.linalg.vector_norm(each, dim=-1, keepdim=True)
    log_t, b = torch.tensor(10.0, device=DEVICE).log(), torch.tensor(-10.0, device=DEVICE)
    return [nn.Parameter(each) for each in (x.to(dtype), y.to(dtype), log_t, b)]


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

    In blocks, because the whole logits do not fit.
    """
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


# ---- on a CPU ------------------------------------------------------------------------------------


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
    """The largest memory of the process so far."""
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
    if meminfo.exists():
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
    memory = {name: extra_gb(name, n) for name in ways}
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


def on_cpu(sizes: list[int], seconds: float) -> dict:
    ways = {name: way for name, make in WAYS.items() if (way := make()) is not None}
    check_equal(ways)
    return {
        "what": "sigmoid loss, forward and backward in float32: median seconds of alternating "
        "runs; peak memory above the inputs and their gradients in 10^9 bytes, null where it does "
        "not fit; products_s: the three matrix products of the step alone; ratio: the fastest "
        "peer's time over siglip_lab's",
        "hardware": hardware("transformers", "open_clip_torch"),
        "d": WIDTH,
        "rows": [row(ways, n, seconds) for n in tqdm(sizes, desc="batch sizes")],
    }


# ---- on a GPU ------------------------------------------------------------------------------------


def gpu_step(loss, tensors: list[Tensor]) -> float | None:
    """Peak memory of one step above the inputs, its gradients included, in 10^9 bytes."""
    for tensor in tensors:
        tensor.grad = None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    try:
        step(loss, tensors)
    except Exception as error:  # a peer that cannot is no reason to measure nothing
        tqdm.write(f"{type(error).__name__}: {str(error)[:300]}")
        return None
    return round((torch.cuda.max_memory_allocated() - before) / 1e9, 3)


def gpu_row(ways: dict, tensors: list[Tensor], runs: int) -> dict:
    """Memory of each way, and the time of those that run."""
    for way in ways.values():  # what is compiled and loaded at the first call, cuBLAS's workspace
        gpu_step(way, tensors)
    memory = {name: gpu_step(way, tensors) for name, way in ways.items()}
    x, y = (tensor.detach() for tensor in tensors[:2])
    steps = {
        name: lambda way=way: step(way, tensors)
        for name, way in ways.items()
        if memory[name] is not None
    }
    steps |= {f"products {side}": lambda side=side: products(x, y, side) for side in (4096, 16384)}
    median, _ = alternate(steps, runs)
    bound = min(median[name] for name in median if name.startswith("products"))
    return {
        "runs": runs,
        "median_ms": {k: round(1e3 * median[k], 2) if k in median else None for k in memory},
        "products_ms": round(1e3 * bound, 2),
        "extra_gb": memory,
    }


def gradient_errors(ways: dict, dtype: torch.dtype) -> dict:
    """Each gradient's distance from float64's, as a share of its length; 4,096 pairs."""
    tensors = inputs(4096, GPU_WIDTH, dtype)
    exact = [nn.Parameter(tensor.detach().double()) for tensor in tensors]
    step(losses.sigmoid_loss, exact)
    found = {}
    for name, way in ways.items():
        if gpu_step(way, tensors) is not None:
            pairs = zip(("images", "texts", "log_t", "b"), tensors, exact, strict=True)
            found[name] = {
                part: float(f"{(mine.grad - right.grad).norm() / right.grad.norm():.1e}")
                for part, mine, right in pairs
            }
    return found


def on_gpu(sizes: list[tuple[int, str]], runs: int) -> dict:
    ways, packages = {"siglip_lab": sigmoid_loss}, []
    if importlib.util.find_spec("siglip_kernel"):
        from siglip_kernel import fused_siglip_loss

        ways["siglip-kernel"], packages = fused_siglip_loss, ["siglip-kernel"]
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    rows = []
    for n, dtype in tqdm(sizes, desc="batch sizes"):
        tensors = inputs(n, GPU_WIDTH, getattr(torch, dtype))
        rows.append({"n": n, "dtype": dtype} | gpu_row(ways, tensors, runs))
    n, dtype = sizes[-1]
    chunks = {
        str(size): lambda *tensors, size=size: sigmoid_loss(*tensors, chunk_size=size)
        for size in CHUNKS
    }
    return {
        "what": "sigmoid loss, forward and backward: median milliseconds of alternating runs; peak "
        "memory above the inputs, gradients included, in 10^9 bytes; products_ms: the three matrix "
        "products of the step alone, in the same type; rows: in blocks of the default side; "
        "chunks: the last row by the side of a block; errors: a gradient's distance from "
        "float64's over its length, at 4,096 pairs",
        "hardware": hardware(*packages, "triton") | {"driver": driver},
        "d": GPU_WIDTH,
        "rows": rows,
        "chunks": {"n": n, "dtype": dtype} | gpu_row(chunks, tensors, runs),
        "errors": {
            dtype: gradient_errors(ways, getattr(torch, dtype))
            for dtype in ("float32", "bfloat16", "float16")
        },
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="n, on a CPU")
    parser.add_argument("--seconds", type=float, default=60, help="time for one n, on a CPU")
    parser.add_argument("--runs", type=int, default=15, help="runs of each way, on a GPU")
    parser.add_argument("--output", type=Path, default=RESULTS / "losses.json", help="where to")
    args = parser.parse_args(arguments)
    result = json.loads(args.output.read_text()) if args.output.exists() else {}
    if DEVICE.type == "cuda":
        result["gpu"] = on_gpu(GPU_SIZES, args.runs)
    else:
        result |= on_cpu(args.sizes, args.seconds)
    write(result, args.output)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
