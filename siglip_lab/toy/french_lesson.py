"""Teach tiny French on several processes: the script of the chapter "Many devices".

    torchrun --nproc-per-node 2 -m siglip_lab.toy.french_lesson --out tiny_french

The image tower knows the drawings and stays locked, as in the paper's SigLiT. The text tower learns
that "2 cercle rouge" is what it used to call "2 red circles" (no accents, no plurals).
"""

from __future__ import annotations

import os
import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from siglip_lab.losses_at_scale import distributed_sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.terminal import Parser, whole_number
from siglip_lab.toy import shapes_world

__all__ = ["Drawings", "WithLoss", "batches", "french", "main", "one_epoch", "train"]

_COLOURS = "rouge orange jaune vert cyan bleu violet rose brun noir"
_SHAPES = "cercle carre triangle etoile coeur croix anneau lune"
_FRENCH = dict(zip(shapes_world.COLOURS, _COLOURS.split(), strict=True))
_FRENCH |= dict(zip(shapes_world.SHAPES, _SHAPES.split(), strict=True))


def french(combination: shapes_world.Combination) -> str:
    """Name a combination in French.

    >>> french(shapes_world.Combination(2, "red", "circle"))
    '2 cercle rouge'
    """
    count, colour, shape = combination
    return f"{count} {_FRENCH[shape]} {_FRENCH[colour]}"


class Drawings(Dataset):
    """One drawing of each of 288 combinations with its caption, another drawing every epoch."""

    epoch = 0

    def __len__(self) -> int:
        return len(shapes_world.training_combinations())

    def __getitem__(self, i: int) -> tuple:
        combination = shapes_world.training_combinations()[i]
        scene = shapes_world.random_scene(f"{self.epoch} {i}", combination)
        return shapes_world.draw(scene), french(combination)


class WithLoss(nn.Module):
    """The forward pass returns the loss, so that DDP sees all of it, t and b included."""

    def __init__(self, model: SigLIP):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        return distributed_sigmoid_loss(
            self.model.encode_image(pixel_values),
            self.model.encode_text(input_ids),
            self.model.logit_scale,
            self.model.logit_bias,
        )


def batches(drawings: Dataset, batch_size: int, seed: int) -> DataLoader:
    """Cut the drawings into batches, different ones on each rank."""
    return DataLoader(
        drawings,
        batch_size,
        sampler=DistributedSampler(drawings, seed=seed, drop_last=True),
        drop_last=True,
        collate_fn=lambda pairs: zip(*pairs, strict=True),
    )


def one_epoch(ddp, loader, processor, optimizer, device) -> float:
    """Train on every batch once; the mean loss of all ranks."""
    total = torch.zeros((), device=device)
    for images, texts in loader:
        inputs = processor(text=list(texts), images=list(images))
        loss = ddp(**{k: v.to(device) for k, v in inputs.items()})
        optimizer.zero_grad()
        loss.backward()  # here DDP takes the mean of the gradients
        optimizer.step()
        total += loss.detach()
    dist.all_reduce(total)
    return total.item() / len(loader) / dist.get_world_size()


def train(out: str, epochs: int, batch_size: int, seed: int) -> None:
    """Train one copy of tiny on each rank; the first rank prints and saves."""
    gpu = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    device = f"cuda:{os.environ['LOCAL_RANK']}" if gpu else "cpu"
    if gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpu else "gloo")

    model = SigLIP.from_pretrained("tiny", device=device).train()
    model.vision_model.requires_grad_(False)
    ddp = DistributedDataParallel(WithLoss(model))
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.0)

    processor, drawings = Processor.from_pretrained("tiny"), Drawings()
    loader = batches(drawings, batch_size, seed)
    for epoch in range(epochs):
        drawings.epoch = epoch
        loader.sampler.set_epoch(epoch)  # or every epoch has the same order
        loss = one_epoch(ddp, loader, processor, optimizer, device)
        if dist.get_rank() == 0:
            print(f"epoch {epoch + 1}  loss {loss:.1f}", flush=True)

    mine = nn.utils.parameters_to_vector(model.parameters()).detach()
    of_rank_0 = mine.clone()
    dist.broadcast(of_rank_0, 0)
    apart = (mine - of_rank_0).abs().max()
    dist.all_reduce(apart, dist.ReduceOp.MAX)
    if dist.get_rank() == 0:
        model.save_pretrained(out)
        processor.save_pretrained(out)
        print(f"weights of the ranks are apart by {apart.item():g}")
    dist.destroy_process_group()


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, and train."""
    parser = Parser(prog="torchrun --nproc-per-node 2 -m siglip_lab.toy.french_lesson")
    parser.add_argument("--out", default="tiny_french", help="folder of the new model")
    parser.add_argument("--epochs", type=whole_number(1, 1000), default=8)
    most = len(shapes_world.training_combinations())
    parser.add_argument("--batch-size", type=whole_number(1, most), default=16, help="of a rank")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if "RANK" not in os.environ:
        parser.error("torchrun starts this script; python alone does not")
    train(**vars(chosen))


if __name__ == "__main__":
    main(sys.argv[1:])
