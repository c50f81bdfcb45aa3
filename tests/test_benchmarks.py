import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import siglip_lab as sl
from benchmarks import forward, preprocess
from benchmarks.common import RESULTS

ROOT = Path(__file__).parent.parent

# open_clip is no dependency of the tests: this stands in its place, in the same form.
PEER = """
import torch
from torch.nn import functional as F

class SigLipLoss(torch.nn.Module):
    def forward(self, x, y, t, b):
        logits = t * x @ y.T + b
        return -F.logsigmoid(logits * (2 * torch.eye(len(x)) - 1)).sum() / len(x) * {factor}
"""


@pytest.fixture
def measure(tmp_path):
    """Run the benchmark of the losses beside a peer whose loss is off by a factor."""

    def run(factor=None):
        if factor:
            (tmp_path / "open_clip").mkdir()
            (tmp_path / "open_clip" / "__init__.py").write_text("raise ImportError('torchvision')")
            (tmp_path / "open_clip" / "loss.py").write_text(PEER.format(factor=factor))
            (tmp_path / "open_clip_torch-0.dist-info").mkdir()
            (tmp_path / "open_clip_torch-0.dist-info" / "METADATA").write_text("Version: 0\n")
        command = [sys.executable, "-m", "benchmarks.losses", "--sizes", "600", "--seconds", "0"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [*command, "--output", str(tmp_path / "losses.json")],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200,
        )  # fmt: skip

    return run


@pytest.mark.slow
def test_the_losses_are_measured_beside_their_peers(measure, tmp_path):
    done = measure(factor=1)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "losses.json").read_text())["rows"]
    names = ["siglip_lab", "open_clip", "transformers"]
    assert list(row["median_s"]) == list(row["extra_gb"]) == names
    assert all(row["median_s"].values()) and row["runs"] == 5
    assert row["products_s"] > 0
    peers = min(row["median_s"]["open_clip"], row["median_s"]["transformers"])
    assert row["ratio"] == pytest.approx(peers / row["median_s"]["siglip_lab"], abs=0.3)


@pytest.mark.slow
def test_a_peer_that_computes_something_else_is_not_compared(measure, tmp_path):
    done = measure(factor=2)
    assert done.returncode == 1 and "the losses differ" in done.stderr
    assert not (tmp_path / "losses.json").exists()


@pytest.mark.slow
def test_a_missing_peer_is_named(measure):
    assert "`make bench` fetches it" in measure().stderr


@pytest.mark.slow
def test_forward_passes_are_measured_beside_transformers(tmp_path):
    forward.main(["--models", "tiny", "--runs", "1", "--devices", "cpu", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "forward.json").read_text())["rows"]
    cases = [(row["dtype"], row["tower"]) for row in rows]
    assert cases == [(d, t) for d in ("float32", "bfloat16") for t in ("vision", "text")]
    for row in rows:
        median = row["median_ms"]
        ratio = median["transformers"] / median["siglip_lab"]
        assert row["ratio"] == pytest.approx(ratio, rel=0.02, abs=0.001)


@pytest.mark.slow
@torch.no_grad()
def test_a_tower_that_computes_something_else_is_not_compared():
    model = sl.SigLIP(sl.get_config("tiny"), seed=0)
    towers = {"siglip_lab": model.text_model, "transformers": forward.twin(model).text_model}
    ids = torch.randint(100, (2, 16))
    assert forward.row(towers, ids, runs=1)["difference"] < 1e-4
    towers["transformers"] = forward.twin(sl.SigLIP(sl.get_config("tiny"), seed=1)).text_model
    with pytest.raises(RuntimeError, match="differ"):
        forward.row(towers, ids, runs=1)


def test_preprocessing_is_measured_beside_its_peers(tmp_path):
    image = preprocess.photo(64, 48, seed=0)
    image.save(tmp_path / "a.png")
    for images in (image, [image] * 2, [str(tmp_path / "a.png")] * 3):
        row = preprocess.row("", images, runs=1)
        assert row["images"] == (len(images) if isinstance(images, list) else 1)
        assert row["ratio"]["transformers"] > 0
        assert ("pillow" in row["ratio"]) == (images is image)


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")))
def test_each_result_names_what_it_was_measured_on_or_where_it_is_from(path):
    result = json.loads(path.read_text())
    assert result["what"]
    if "source" in result:  # others measured it
        assert result["commit"] and result["licence"]
    else:
        assert {"processor", "cores", "python", "versions"} <= set(result["hardware"])
