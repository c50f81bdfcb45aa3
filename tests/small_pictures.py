"""Small coloured pictures with captions, and the smallest model that reads them."""

import csv
from pathlib import Path

from PIL import Image

import siglip_lab as sl
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.training import Picture

SMALL = SigLIPConfig(
    VisionConfig(image_size=16, patch_size=8, width=16, depth=2, num_heads=2, mlp_dim=24),
    TextConfig(384, 16, width=16, depth=2, num_heads=2, mlp_dim=24),
)
COLOURS = "red", "green", "blue", "black", "white", "yellow"


def small_model(seed: int = 0) -> sl.SigLIP:
    return sl.SigLIP(SMALL, seed=seed)


def small_processor() -> sl.Processor:
    return sl.Processor(sl.Processor.from_pretrained("tiny").tokenizer, 16)


def coloured(index: int) -> Image.Image:
    picture = Image.new("RGB", (12 + index % 7, 14), COLOURS[index % 6])
    picture.putpixel((index % 12, index % 14), (index % 256, 255 - index % 256, 7 * index % 256))
    return picture


def pictures(n: int = 24, group: bool = False) -> list[Picture]:
    """Every sixth has the same colour, and shares that caption with the others of it."""
    return [
        Picture(
            f"{i}.png",
            coloured(i),
            (COLOURS[i % 6], f"number {i}"),
            COLOURS[i % 6] if group else None,
        )
        for i in range(n)
    ]


def write_folder(folder: Path, n: int = 30) -> Path:
    """Pictures and a ``captions.csv``, every third with two rows."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "caption"])
        for i in range(n):
            coloured(i).save(folder / f"{i}.png")
            rows.writerow([f"{i}.png", f"A {COLOURS[i % 6]} square, number {i}"])
            if i % 3 == 0:
                rows.writerow([f"{i}.png", COLOURS[i % 6]])
    return folder
