import json
import subprocess
import sys

import pytest

import siglip_lab as sl
from siglip_lab.__main__ import main
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count", "siglip-huge"], "unknown model 'siglip-huge'; known models: siglip-base"),
        (["count", "tiny", "ViT-H/14"], "ViT-L/14@336px"),
        (["classify", "nowhere.png", "a cat"], "nowhere.png"),
        (["classify", "nowhere.png", "a cat", "--model", "siglip-giant"], "no checkpoint folder"),
        (["trace", "x.png", "a cat", "--model", "siglip-so400m-patch14-384"], "pass source=FOLDER"),
    ],
)
def test_what_cannot_be_read_exits_with_1(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("siglip_lab: ")
    assert message in captured.err


@pytest.mark.parametrize(
    "arguments", [[], ["classify"], ["classify", "photo.png"], ["count"], ["nonsense"]]
)
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2


def test_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "siglip_lab", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("classify", "trace", "models", "count"):
        assert command in run.stdout
