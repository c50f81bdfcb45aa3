"""The model as the chapters write it: the `build` cells of four notebooks, without the library.

Cells tagged `build` define the parts of the image tower. Here they run one after the other in a
namespace of their own, and what they build must take transformers' weights and give its outputs.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import torch
from parity import share, tower
from transformers import SiglipVisionConfig, SiglipVisionModel

from siglip_lab.published import get_config

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CHAPTERS = ("04_patchify", "05_encoder_layers", "06_pooling_heads", "07_two_towers")


@dataclass(frozen=True)
class Shape:
    """What the notebooks may know of a config; deliberately not the library's class."""

    image_size: int
    patch_size: int
    width: int
    depth: int
    num_heads: int
    mlp_dim: int
    num_patches: int


def build_cells() -> list[str]:
    cells = []
    for chapter in CHAPTERS:
        notebook = nbformat.read(NOTEBOOKS / f"{chapter}.ipynb", 4)
        found = [c.source for c in notebook.cells if "build" in c.metadata.get("tags", [])]
        assert found, f"{chapter} has no cell tagged 'build'"
        cells += found
    return cells


@pytest.fixture(scope="module")
def namespace() -> dict:
    """All build cells, executed in the order of the chapters, from nothing."""
    names: dict = {"__name__": "rebuilt"}
    for cell in build_cells():
        exec(compile(cell, "build cell", "exec"), names)
    return names


def shape(name: str, depth: int | None = None) -> Shape:
    vision = get_config(name).vision
    return Shape(
        vision.image_size, vision.patch_size, vision.width, depth or vision.depth,
        vision.num_heads, vision.mlp_dim, vision.num_patches,
    )  # fmt: skip


def reference(config: Shape) -> SiglipVisionModel:
    """transformers' image tower with random weights, biases and norms included."""
    with torch.device("meta"):  # to draw its weights would take transformers most of the test
        model = SiglipVisionModel(
            SiglipVisionConfig(
                **tower(config), image_size=config.image_size, patch_size=config.patch_size
            )
        )
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: 0.02 * torch.randn(tensor.shape, generator=generator) + ("norm" in name)
        for name, tensor in model.state_dict().items()
    }
    return share(model, weights)


def test_build_cells_stand_on_their_own():
    for cell in build_cells():
        assert "siglip_lab" not in cell and not re.search(r"\bsl\.", cell), cell[:200]
        assert "transformers" not in cell, cell[:200]


@pytest.mark.parametrize(
    "config", [shape("siglip-so400m-patch14-384", depth=2), shape("tiny")], ids=["so400m", "tiny"]
)
def test_what_the_chapters_build_equals_transformers(namespace, config):
    theirs = reference(config)
    ours = namespace["VisionTower"](config).eval()
    weights = theirs.state_dict()
    weights = {name.removeprefix("vision_model."): value for name, value in weights.items()}
    ours.load_state_dict(weights, strict=True)

    pixels = torch.rand(2, 3, config.image_size, config.image_size) * 2 - 1
    with torch.no_grad():
        expected = theirs(pixels)
        tokens, pooled, _ = ours(pixels)
    assert tokens.shape == (2, config.num_patches, config.width)
    assert pooled.shape == (2, config.width)
    assert (tokens - expected.last_hidden_state).abs().max() <= 1e-5
    assert (pooled - expected.pooler_output).abs().max() <= 1e-5
