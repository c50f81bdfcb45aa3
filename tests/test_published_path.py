"""The tests of published numbers themselves: without weights they skip, with others they fail."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gemma_file import write_gemma
from hub_server import Hub, environment
from PIL import Image
from sentencepiece import sentencepiece_model_pb2
from test_clip_model import twin
from test_published import draw_circle

import siglip_lab as sl


def run(root, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-m", "checkpoint", "-q", "-rA", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "tests/test_published.py", *arguments],
        cwd=root, capture_output=True, text=True, timeout=300, env={**os.environ, "COLUMNS": "250"},
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
def test_without_weights_they_skip_and_say_why(root):
    out = run(root)
    assert "39 skipped" in out and "passed" not in out
    assert "no weights at hand: pass --checkpoint NAME_OR_PATH" in out


@pytest.mark.slow
def test_a_name_is_asked_for_at_its_hub(root, tmp_path):
    """The command as the book prints it, with a hub that has no such repository."""
    with Hub({}) as hub:
        settings = os.environ | environment(tmp_path, hub.url)
        del settings["HF_HUB_OFFLINE"]  # neither is it set on a reader's machine
        out = subprocess.run(
            [Path(sys.executable).with_name("pytest"), "-xq", "-p", "no:xdist", "-m", "checkpoint"]
            + ["--checkpoint", "siglip-base-patch16-224"],
            cwd=root, capture_output=True, text=True, timeout=300, env=settings,
        ).stdout  # fmt: skip
        hub.shutdown()
    assert "cannot fetch google/siglip-base-patch16-224 from Hugging Face" in out, out


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Noise under the names of the pictures."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("000000039769.jpg", "CLIP.png"):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / name)
    torch.save(torch.rand(2, 3, 224, 224), folder / "siglip_pixel_values.pt")
    return folder


@pytest.mark.slow
def test_a_random_base_model_loads_and_fails_each_of_them(root, images, tmp_path):
    """So the path from the disk to each number is walked, and none of the tests passes by luck."""
    sl.SigLIP(sl.get_config("siglip-base-patch16-224"), seed=0).save_pretrained(tmp_path)
    tiny = sl.Processor.from_pretrained("tiny").tokenizer
    proto = sentencepiece_model_pb2.ModelProto.FromString(tiny.model_bytes)
    for number in range(len(proto.pieces), 32_000):  # as many as the model's table has rows
        proto.pieces.add(piece=f"piece {number}", score=-100.0)
    (tmp_path / "long.model").write_bytes(proto.SerializeToString())
    tokenizer = sl.Tokenizer(tmp_path / "long.model", context_length=64)
    sl.Processor(tokenizer, 224).save_pretrained(tmp_path)
    out = run(root, "--checkpoint", str(tmp_path), "--images", str(images))
    for row in ("cats_base_224", "pipeline_base_224", "apples_base-patch16-224"):
        assert f"FAILED tests/test_published.py::test_published_number[{row}] - Assert" in out
    assert "13 failed, 1 passed" in out and "error" not in out.splitlines()[-1]
    assert "of siglip-so400m-patch14-384; at hand is siglip-base-patch16-224" in out


@pytest.mark.slow
def test_a_random_naflex_draws_circles_and_fails(root, tmp_path):
    """Its pictures need no folder: red and blue are what they were when the numbers were made."""
    config = sl.siglip2.get_config("siglip2-base-patch16-naflex")
    sl.siglip2.SigLIP2(config, seed=0).save_pretrained(tmp_path)
    file = write_gemma(tmp_path, pieces=256_000)
    sl.siglip2.Processor(sl.siglip2.Tokenizer(file)).save_pretrained(tmp_path)
    out = run(root, "--checkpoint", str(tmp_path))
    assert "test_published_number[circles_siglip2_base_naflex] - Assert" in out
    assert "1 failed" in out and "error" not in out.splitlines()[-1]


def test_a_circle_as_published():
    circle = draw_circle(224, 1024)
    assert circle.size == (1024, 224)
    colours = [circle.getpixel(place) for place in ((0, 0), (512, 112), (512, 20))]
    assert colours == [(255, 0, 0), (0, 0, 255), (0, 128, 0)]


@pytest.mark.slow
def test_a_random_clip_loads_and_fails(root, images, tmp_path):
    twin(sl.clip.CLIP(sl.clip.get_config("ViT-B/32"), seed=0)).save_pretrained(tmp_path)
    out = run(root, "--checkpoint", str(tmp_path), "--images", str(images))
    for row in ("cats_clip_b32", "diagram_clip_b32", "t_clip-vit-base-patch32"):
        assert f"FAILED tests/test_published.py::test_published_number[{row}] - Assert" in out
    assert "3 failed" in out and "36 skipped" in out
