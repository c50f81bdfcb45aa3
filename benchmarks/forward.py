"""Time the two towers against transformers' `SiglipModel`, forward, with the same weights.

The weights are random and shared, both sides attend by PyTorch's `scaled_dot_product_attention`,
and both give the same vectors, or nothing is written. Runs of the two alternate, so that a slow
moment of the machine meets both. On a GPU each run ends when the GPU has finished.

Run ``python -m benchmarks.forward``; it writes ``siglip_lab/data/results/forward.json`` for the CPU
and, where there is one, ``forward_gpu.json`` for the GPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm import tqdm

import siglip_lab as sl
from benchmarks.common import RESULTS, alternate, hardware, write

if TYPE_CHECKING:
    from transformers import SiglipModel

MODELS = ["siglip-base-patch16-224", "siglip-so400m-patch14-384"]
BATCHES = {  # of images; texts are many more at once
    ("cpu", MODELS[0]): [1, 8],
    ("cpu", MODELS[1]): [1],
    ("cuda", MODELS[0]): [1, 32],
    ("cuda", MODELS[1]): [1, 32],
}
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}  # relative, of the vectors' length


def twin(model: sl.SigLIP) -> SiglipModel:
    """`SiglipModel` that shares the model's weights; nothing is allocated or drawn."""
    from transformers import SiglipConfig, SiglipModel

    text, vision = (
        {
            "hidden_size": config.width,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.num_heads,
            "intermediate_size": config.mlp_dim,
        }
        for config in (model.config.text, model.config.vision)
    )
    text["vocab_size"] = model.config.text.vocab_size
    text["max_position_embeddings"] = model.config.text.context_length
    text["projection_size"] = model.config.embed_dim
    vision["image_size"] = model.config.vision.image_size
    vision["patch_size"] = model.config.vision.patch_size
    with torch.device("meta"):
        other = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    other.set_attn_implementation("sdpa")
    other.load_state_dict(model.state_dict(), assign=True)
    for module in other.modules():  # buffers that no checkpoint holds
        for name, ids in module.named_buffers(recurse=False):  # position_ids [1, N]
            device = model.logit_scale.device
            module.register_buffer(name, torch.arange(ids.shape[1], device=device)[None])
    return other.eval()


def row(towers: dict[str, nn.Module], inputs: Tensor, runs: int) -> dict:
    """Median times of one tower at one batch, and how many times faster siglip_lab is."""

    def run(tower: nn.Module) -> Tensor:
        vectors = tower(inputs).pooler_output
        if inputs.is_cuda:
            torch.cuda.synchronize()
        return vectors

    ours, theirs = (run(tower) for tower in towers.values())
    error = (ours - theirs).norm() / theirs.norm()
    if not error <= TOLERANCE[ours.dtype]:
        raise RuntimeError(f"the vectors differ by {error:.2g}; a speed without equality is none")
    if inputs.is_cuda:  # the clocks rise, and a lazy library is loaded, before time is taken
        for tower in towers.values():
            run(tower)
    ways: dict[str, Callable] = {name: partial(run, tower) for name, tower in towers.items()}
    wall, _ = alternate(ways, runs)
    return {
        "batch": len(inputs),
        "runs": runs,
        "median_ms": {name: round(1000 * seconds, 3) for name, seconds in wall.items()},
        "ratio": round(wall["transformers"] / wall["siglip_lab"], 3),
        "difference": float(f"{error:.1e}"),
    }


def rows(name: str, dtype: torch.dtype, device: str, runs: int | None) -> list[dict]:
    """Both towers of one model, at each batch."""
    model = sl.SigLIP(sl.get_config(name), seed=0).eval().to(device, dtype)
    other = twin(model)
    config = model.config
    shape = (3, config.vision.image_size, config.vision.image_size)
    result = []
    for batch in BATCHES.get((device, name), [1]):
        pixel_values = torch.rand(batch, *shape, device=device, dtype=dtype) * 2 - 1
        length = config.text.context_length
        input_ids = torch.randint(config.text.vocab_size, (batch, length), device=device)
        for tower, inputs in [("vision", pixel_values), ("text", input_ids)]:
            key = f"{tower}_model"
            towers = {"siglip_lab": getattr(model, key), "transformers": getattr(other, key)}
            few = 5 if name == MODELS[1] and tower == "vision" else 15
            what = {"model": name, "device": device, "dtype": str(dtype)[6:], "tower": tower}
            count = runs or (few if device == "cpu" else 40)
            result.append(what | row(towers, inputs, count))
    return result


@torch.no_grad()
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--models", nargs="+", default=MODELS, help="names of published shapes")
    parser.add_argument("--devices", nargs="+", default=devices)
    parser.add_argument("--runs", type=int, help="runs of each; else 5 to 40, as long as they take")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where to write the results")
    args = parser.parse_args(arguments)
    from transformers import logging

    logging.set_verbosity_error()
    torch.manual_seed(0)
    for device in args.devices:
        work = tqdm([(name, dtype) for name in args.models for dtype in TOLERANCE], desc=device)
        result = {
            "what": "forward pass of one tower, siglip_lab beside transformers' SiglipModel, "
            "the same random weights, without gradients: median times of alternating runs; ratio: "
            "transformers' time over siglip_lab's; difference: of the vectors, relative; texts are "
            "of full length",
            "hardware": hardware("transformers"),
            "rows": [r for name, dtype in work for r in rows(name, dtype, device, args.runs)],
        }
        write(result, args.folder / ("forward.json" if device == "cpu" else "forward_gpu.json"))
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
