import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from test_formats import big_vision, open_clip, save_npz, save_pickle

import siglip_lab as sl
from siglip_lab import __main__ as command_line
from siglip_lab.__main__ import main
from siglip_lab.checkpoints import TINY
from siglip_lab.shapes_world import Combination, draw, random_scene


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    draw(random_scene(0, Combination(2, "red", "circle"))).save(path)
    return str(path)


def test_classify_puts_the_true_caption_first(photo, capsys):
    assert main(["classify", photo, "a blue square", "2 red circles"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("2 red circles")
    assert second.endswith("a blue square")


def test_classify_as_json_equals_the_library(photo, capsys):
    labels = ["2 red circles", "a blue square"]
    assert main(["classify", photo, *labels, "--template", "{}", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    expected = sl.zero_shot(
        sl.load_model("tiny"), sl.load_processor("tiny"), photo, labels, template="{}"
    )
    assert [row["caption"] for row in rows] == labels
    assert [row["probability"] for row in rows] == pytest.approx(expected[0].tolist())


def test_trace(photo, capsys):
    assert main(["trace", photo, "2 red circles", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows[-1]["name"] == "probabilities"
    assert main(["trace", photo, "2 red circles"]) == 0
    assert "vision_model.head" in capsys.readouterr().out


def test_models(capsys):
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["siglip-so400m-patch14-384"]["num_patches"] == 729
    assert main(["models"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(sl.list_models()) + 1


def test_count(capsys):
    assert main(["count", "siglip-so400m-patch14-384"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["total", "877,960,498", "100.0%"]
    assert main(["count", "siglip2-giant-opt-patch16-256", "ViT-B/32"]) == 0
    total = capsys.readouterr().out.splitlines()[1].split()
    assert total == ["total", "1,871,393,906", "100.0%", "151,277,313", "100.0%"]


def test_count_as_json_equals_the_library(capsys):
    assert main(["count", "tiny", "RN50", "--flops", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert list(counts) == ["tiny", "RN50"]
    assert counts["tiny"] == sl.count_flops(sl.get_config("tiny")).to_dict()


@pytest.fixture
def tiny_npz(tmp_path):
    """tiny as big_vision would have published it."""
    return str(save_npz(tmp_path / "tiny.npz", big_vision(sl.load_model("tiny"))))


def test_convert(tiny_npz, photo, tmp_path, capsys):
    folder = tmp_path / "folder"
    spiece = str(TINY / "spiece.model")
    assert main(["convert", tiny_npz, str(folder), "--tokenizer", spiece, "--shape", "tiny"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder}: ")
    assert f"{sl.count_parameters(sl.get_config('tiny')).total:,} parameters" in line
    for model in (str(folder), "tiny"):
        assert main(["classify", photo, "2 red circles", "--model", model, "--json"]) == 0
    ours, tiny = capsys.readouterr().out.split("]\n[")
    assert ours.strip("[]\n") == tiny.strip("[]\n")


def test_convert_without_a_tokenizer_and_into_an_empty_folder(tmp_path, capsys):
    path = save_pickle(tmp_path / "tiny.pt", open_clip(sl.load_model("tiny")))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert main(["convert", str(path), str(folder)]) == 0
    assert "load_processor will, once its spiece.model is put there" in capsys.readouterr().out
    weights = sl.load_model(folder).state_dict()
    for name, tensor in sl.load_model("tiny").state_dict().items():
        assert torch.equal(weights[name], tensor), name
    assert main(["convert", str(path), str(folder)]) == 1  # now it is not empty
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_convert_a_siglip_2(tiny_npz, tmp_path, capsys, monkeypatch):
    """Played by tiny: SigLIP's tokenizer does not fit the newer models."""
    monkeypatch.setattr(command_line, "list_models", lambda version: ["tiny"])
    spiece = str(TINY / "spiece.model")
    arguments = ["convert", tiny_npz, str(tmp_path / "folder"), "--shape", "tiny"]
    assert main([*arguments, "--tokenizer", spiece]) == 1
    assert "its tokenizer, Gemma's, is not part of this library" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "SigLIP 2's tokenizer is Gemma's" in capsys.readouterr().out


def test_convert_what_cannot_be(tiny_npz, tmp_path, capsys):
    folder = tmp_path / "folder"
    (tmp_path / "noise.npz").write_bytes(b"noise")
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    for file, options, message in (
        ("noise.npz", [], "noise.npz (5 bytes) is damaged"),
        ("other.npz", [], "is no SigLIP of big_vision or open_clip: it begins with x"),
        ("nowhere.npz", [], "there is no file"),
        (tiny_npz, ["--shape", "siglip-base-patch16-224"], "holds vision image_size=36, not 224"),
        (tiny_npz, ["--shape", "siglip-huge"], "unknown model 'siglip-huge'"),
        (tiny_npz, ["--tokenizer", "nowhere.model"], "nowhere.model"),
        (tiny_npz, ["--tokenizer", tiny_npz], "tiny.npz"),
    ):
        assert main(["convert", str(tmp_path / file), str(folder), *options]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("siglip_lab: ") and captured.err.count("\n") == 1
        assert message in captured.err
        assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count", "siglip-huge"], "unknown model 'siglip-huge'; known models: siglip-base"),
        (["count", "tiny", "ViT-H/14"], "ViT-L/14@336px"),
        (["classify", "nowhere.png", "a cat"], "nowhere.png"),
        (["classify", "nowhere.png", "a cat", "--model", "siglip-giant"], "no checkpoint folder"),
        (["trace", "x.png", "a cat", "--model", "siglip-so400m-patch14-384"], "pass source=FOLDER"),
        (["download", "tiny"], "'tiny' is on no hub; published models: siglip-base"),
    ],
)
def test_what_cannot_be_read_exits_with_1(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("siglip_lab: ")
    assert message in captured.err


@pytest.mark.parametrize(
    "arguments",
    [[], ["classify"], ["classify", "photo.png"], ["count"], ["convert", "a.npz"], ["nonsense"]],
)
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_download_prints_the_folder(monkeypatch, capsys):
    monkeypatch.setattr("siglip_lab.__main__.download", lambda name, source: f"{source}/{name}")
    assert main(["download", "siglip-base-patch16-224"]) == 0
    assert main(["download", "siglip-base-patch16-224", "--source", "modelscope"]) == 0
    folders = ["huggingface/siglip-base-patch16-224", "modelscope/siglip-base-patch16-224"]
    assert capsys.readouterr().out.splitlines() == folders


def test_version(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--version"])
    assert error.value.code == 0
    assert capsys.readouterr().out == f"siglip-lab {sl.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt(), 130, ""), (SafetensorError("disk full"), 1, "siglip_lab: disk full\n")],
)
def test_what_stops_a_command(monkeypatch, capsys, error, code, message):
    def stop(*arguments):
        raise error

    monkeypatch.setattr(command_line, "download", stop)
    assert main(["download", "siglip-base-patch16-224"]) == code
    assert capsys.readouterr() == ("", message)


def test_a_reader_that_leaves_early():
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "siglip_lab", "models"]
    run = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    assert (run.returncode, run.stderr) == (0, "")


def test_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "siglip_lab", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("classify", "trace", "models", "count", "convert", "download"):
        assert command in run.stdout
