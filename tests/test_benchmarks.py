import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")))
def test_each_result_names_what_it_was_measured_on(path):
    result = json.loads(path.read_text())
    assert {"processor", "cores", "python", "versions"} <= set(result["hardware"])
    assert result["what"]
