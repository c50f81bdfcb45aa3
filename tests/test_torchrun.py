"""The training script of the chapter "The loss at scale", started as its reader starts it."""

import os
import re
import socket
import subprocess
import sys

import nbformat
import pytest
import torch

from siglip_lab import SigLIP

NOTEBOOK = "notebooks/09_loss_at_scale.ipynb"
COMMAND = "torchrun --nproc-per-node 2 train_two_ranks.py"
END = "    dist.destroy_process_group()\n"


@pytest.fixture(scope="module")
def script(root) -> str:
    cells = nbformat.read(root / NOTEBOOK, 4).cells
    (text,) = (c.source for c in cells if c.cell_type == "code" and COMMAND in c.source)
    return text


def torchrun(folder, text: str, *options: str) -> str:
    (folder / "train_two_ranks.py").write_text(text, encoding="utf-8")
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr=127.0.0.1", "--nproc-per-node=2", "train_two_ranks.py", *options]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": loopback, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_pages_script_trains_and_its_ranks_stay_equal(tmp_path, script):
    assert script.count(END) == 1
    leave_weights = '    torch.save(model.state_dict(), f"rank{rank}.pt")\n'
    text = script.replace(END, leave_weights + END)
    said = torchrun(tmp_path, text, "--epochs", "3", "--batch-size", "8")
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]
    assert "apart by 0\n" in said
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    saved = SigLIP.from_pretrained(tmp_path / "tiny_french").state_dict()
    assert all(torch.equal(saved[name], first[name]) for name in first)
    locked = SigLIP.from_pretrained("tiny").vision_model.state_dict()
    assert all(torch.equal(saved[f"vision_model.{name}"], locked[name]) for name in locked)


def test_the_script_does_nothing_when_it_is_imported(script):
    names = {"__name__": "page"}
    exec(compile(script, "train_two_ranks.py", "exec"), names)
    combination = names["shapes_world"].Combination(2, "red", "circle")
    assert names["french"](combination) == "2 cercle rouge"
