"""Processes that a notebook starts, and the script of the chapter "Many devices"."""

import re
import subprocess
import sys

import nbformat
import pytest
import torch
from test_house import definitions

from siglip_lab import SigLIP
from siglip_lab.toy import french_lesson
from siglip_lab.toy.processes import on_ranks, torchrun

NOTEBOOK = "notebooks/10_many_devices.ipynb"


@pytest.mark.slow
def test_the_script_trains_and_its_ranks_stay_equal(tmp_path):
    options = "--epochs", "3", "--batch-size", "8"
    said = torchrun("-m", "siglip_lab.toy.french_lesson", *options, world=2, folder=tmp_path)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", said)]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]
    assert "apart by 0\n" in said  # over all ranks, to the last bit
    saved = SigLIP.from_pretrained(tmp_path / "tiny_french").state_dict()
    locked = SigLIP.from_pretrained("tiny").state_dict()
    same = {name: torch.equal(saved[name], locked[name]) for name in locked}
    assert all(same[name] for name in same if name.startswith("vision_model."))
    assert not all(same.values())


def test_the_script_does_nothing_without_torchrun():
    command = [sys.executable, "-m", "siglip_lab.toy.french_lesson"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "torchrun starts this script" in done.stderr


def test_every_combination_has_its_own_french_name():
    names = {french_lesson.french(each) for each in french_lesson.shapes_world.all_combinations()}
    assert len(names) == 320 and "2 cercle rouge" in names
    drawings = french_lesson.Drawings()
    first, caption = drawings[0]
    drawings.epoch = 1
    other, same = drawings[0]
    assert caption == same and first.tobytes() != other.tobytes() and len(drawings) == 288


def test_the_chapter_shows_the_scripts_own_code(root):
    library = definitions((root / "siglip_lab/toy/french_lesson.py").read_text(encoding="utf-8"))
    cells = nbformat.read(root / NOTEBOOK, 4).cells
    shown: dict[str, str] = {}
    for cell in cells:
        if "script" in cell.metadata.get("tags", []):
            shown |= definitions(cell.source)
    assert list(shown) == ["WithLoss", "batches", "one_epoch"]
    for name, code in shown.items():
        assert code == library[name]


def doubled(number):
    return 2 * number


def rank_and_sum():
    dist = torch.distributed  # the script that this text becomes imports torch
    number = torch.tensor(float(dist.get_rank() + 1))
    dist.all_reduce(number)
    return dist.get_rank(), doubled(number).item()


def fails():
    raise KeyError("no such caption")


@pytest.mark.slow
def test_functions_run_on_ranks_that_talk():
    assert on_ranks(2, rank_and_sum, doubled) == [(0, 6.0), (1, 6.0)]


@pytest.mark.slow
def test_a_failing_rank_is_heard():
    with pytest.raises(RuntimeError, match="no such caption"):
        on_ranks(1, fails)


def test_a_world_has_a_size():
    with pytest.raises(ValueError, match="world must be at least 1"):
        torchrun("script.py", world=0)
