import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gemma_file import write_gemma
from safetensors import SafetensorError
from test_foreign import big_vision, open_clip, save_npz, save_pickle

import siglip_lab as sl
from siglip_lab import cli as command_line
from siglip_lab.cli import main
from siglip_lab.loading import hubs
from siglip_lab.loading.pretrained import EMBEDDED
from siglip_lab.toy.shapes_world import Combination, draw, random_scene


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
        sl.SigLIP.from_pretrained("tiny"),
        sl.Processor.from_pretrained("tiny"),
        photo,
        labels,
        template="{}",
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
    assert (
        len(capsys.readouterr().out.splitlines()) == 30
    )  # 12 and 15 and 2 models, and the heading


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
    return str(save_npz(tmp_path / "tiny.npz", big_vision(sl.SigLIP.from_pretrained("tiny"))))


def test_convert(tiny_npz, photo, tmp_path, capsys):
    folder = tmp_path / "folder"
    spiece = str(EMBEDDED["tiny"] / "spiece.model")
    assert main(["convert", tiny_npz, str(folder), "--tokenizer", spiece, "--shape", "tiny"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{folder}: ")
    assert f"{sl.count_parameters(sl.get_config('tiny')).total:,} parameters" in line
    for model in (str(folder), "tiny"):
        assert main(["classify", photo, "2 red circles", "--model", model, "--json"]) == 0
    ours, tiny = capsys.readouterr().out.split("]\n[")
    assert ours.strip("[]\n") == tiny.strip("[]\n")


def test_convert_without_a_tokenizer_and_into_an_empty_folder(tmp_path, capsys):
    path = save_pickle(tmp_path / "tiny.pt", open_clip(sl.SigLIP.from_pretrained("tiny")))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert main(["convert", str(path), str(folder)]) == 0
    assert "the model alone" in capsys.readouterr().out
    weights = sl.SigLIP.from_pretrained(folder).state_dict()
    for name, tensor in sl.SigLIP.from_pretrained("tiny").state_dict().items():
        assert torch.equal(weights[name], tensor), name
    assert main(["convert", str(path), str(folder)]) == 1  # now it is not empty
    assert "exists and is not an empty folder" in capsys.readouterr().err


def test_convert_a_siglip_2(tiny_npz, tmp_path, capsys, monkeypatch):
    """Played by tiny: SigLIP's tokenizer does not fit the newer models."""
    spiece, gemma = str(EMBEDDED["tiny"] / "spiece.model"), str(write_gemma(tmp_path))
    arguments = ["convert", tiny_npz, str(tmp_path / "folder"), "--shape", "tiny"]
    with monkeypatch.context() as patch:
        patch.setattr(command_line, "list_models", lambda version=1: ["tiny"])
        assert main([*arguments, "--tokenizer", spiece]) == 1
        assert "give the tokenizer.json of a SigLIP 2 or of a Gemma" in capsys.readouterr().err
        assert main([*arguments, "--tokenizer", gemma]) == 1
        assert "900 pieces" in capsys.readouterr().err
        assert main(arguments) == 0
    assert "the model alone" in capsys.readouterr().out


def test_convert_what_cannot_be(tiny_npz, tmp_path, capsys):
    folder = tmp_path / "folder"
    (tmp_path / "noise.npz").write_bytes(b"noise")
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    for file, options, message in (
        ("noise.npz", [], "noise.npz (5 bytes) is damaged"),
        ("other.npz", [], "it begins with x"),
        ("nowhere.npz", [], "there is no file"),
        (tiny_npz, ["--shape", "siglip-base-patch16-224"], "image_size=36, not 224"),
        (tiny_npz, ["--shape", "siglip-huge"], "unknown model 'siglip-huge'"),
        (tiny_npz, ["--tokenizer", "nowhere.model"], "nowhere.model"),
        (tiny_npz, ["--tokenizer", tiny_npz], "tiny.npz"),
    ):
        assert main(["convert", str(tmp_path / file), str(folder), *options]) == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("siglip-lab: ") and captured.err.count("\n") == 1
        assert message in captured.err
        assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count", "siglip-huge"], "unknown model 'siglip-huge'; known models: siglip-base"),
        (["count", "tiny", "ViT-H/14"], "ViT-L/14@336px"),
        (["classify", "nowhere.png", "a cat"], "nowhere.png"),
        (["classify", "nowhere.png", "a cat", "--model", "siglip-giant"], "siglip-giant"),
        (["trace", "x.png", "a cat", "--model", "google/siglip2-base-patch16-224"], "cannot fetch"),
        (["download", "siglip-huge"], "siglip-huge"),
    ],
)
def test_what_cannot_be_read_exits_with_1(arguments, message, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("siglip-lab: ")
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
    monkeypatch.setattr(hubs, "fetch", lambda repo, hub, *options: f"{hub}/{repo}")
    assert main(["download", "siglip-base-patch16-224"]) == 0
    assert main(["download", "modelscope:me/mine"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hf/google/siglip-base-patch16-224", "modelscope/me/mine"
    ]  # fmt: skip


def test_version(capsys):
    with pytest.raises(SystemExit) as error:
        main(["--version"])
    assert error.value.code == 0
    assert capsys.readouterr().out == f"siglip-lab {sl.__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt(), 130, ""), (SafetensorError("disk full"), 1, "siglip-lab: disk full\n")],
)
def test_what_stops_a_command(monkeypatch, capsys, error, code, message):
    def stop(*arguments):
        raise error

    monkeypatch.setattr(command_line, "resolve", stop)
    assert main(["download", "siglip-base-patch16-224"]) == code
    assert capsys.readouterr() == ("", message)


# ---- text from elsewhere, and terminals of all kinds ---------------------------------------------

CAPTIONS = ["два красных круга", "二つの赤い丸", "دو دایره‌ی سرخ", "un œuf 🥚", "a blue square"]
TERMINALS = [("latin-1", "strict"), ("cp437", "strict"), ("ascii", "strict"),
             ("ascii", "surrogateescape"), ("utf-8", "strict")]  # fmt: skip


@pytest.fixture(params=TERMINALS, ids="-".join)
def terminal(request, monkeypatch):
    """Runs a command and returns what arrives through the encoding."""
    encoding, errors = request.param

    def shown(*arguments):
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            assert main([*arguments]) == 0
        return stream.buffer.getvalue().decode(encoding)

    shown.encoding = encoding
    return shown


def test_every_terminal_shows_the_tables(terminal, photo):
    assert "vision_model.encoder.layers.1 " in terminal("trace", photo, "a cat")
    assert "151,277,313" in terminal("count", "tiny", "ViT-B/32")
    assert "siglip-so400m-patch14-384" in terminal("models")


def test_every_terminal_shows_captions_as_well_as_it_can(terminal, photo):
    lines = terminal("classify", photo, *CAPTIONS).split("\n")[:-1]
    rows = [line.split(maxsplit=1)[1] for line in lines]
    encoded = [text.encode(terminal.encoding, "replace") for text in CAPTIONS]
    assert sorted(rows) == sorted(text.decode(terminal.encoding) for text in encoded)


def test_every_terminal_gets_captions_whole_as_json(terminal, photo):
    rows = json.loads(terminal("classify", photo, *CAPTIONS, "--json"))
    assert [row["caption"] for row in rows] == CAPTIONS


def test_captions_that_python_left_as_bytes_are_utf_8(photo, capsys):
    """So they come where LC_ALL is C and PYTHONUTF8 is 0."""
    bytes_of = [text.encode().decode("ascii", "surrogateescape") for text in CAPTIONS]
    assert main(["classify", photo, *bytes_of, "--template", bytes_of[0] + "{}", "--json"]) == 0
    assert [row["caption"] for row in json.loads(capsys.readouterr().out)] == CAPTIONS
    with pytest.raises(SystemExit) as error:
        main(["classify", photo, "\udcff"])
    assert error.value.code == 2 and "argument caption" in capsys.readouterr().err


LONG = 1_000_000 * "a"
STEERING = "\x1b[31m\x9b2J\u202e\r\n\x07"


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "{}", "a cat"],
        ["classify", "photo.png", "a cat", "--model", "{}"],
        ["classify", "photo.png", "a cat", "--template", "{}"],
        ["count", "{}"],
        ["convert", "{}", "folder"],
        ["download", "{}"],
        ["models", "{}"],  # argparse's own messages
        ["{}"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("text", [LONG, STEERING], ids=["long", "steering"])
def test_an_error_repeats_no_text_that_floods_or_steers_the_terminal(arguments, text, capsys):
    arguments = [text if word == "{}" else word for word in arguments]
    try:
        code = main(arguments)
    except SystemExit as error:
        code = error.code
    captured = capsys.readouterr()
    assert code in (1, 2) and captured.out == ""
    message = captured.err[captured.err.index("siglip-lab: ") if code == 1 else 0 :]
    assert len(message) < 2000
    assert not any(character in message for character in "\x1b\x9b\u202e\r\x07")
    assert code == 2 or message.count("\n") == 1


@pytest.mark.parametrize("text", [LONG, STEERING], ids=["long", "steering"])
def test_classify_repeats_no_caption_that_floods_or_steers_the_terminal(photo, capsys, text):
    assert main(["classify", photo, text]) == 0
    out = capsys.readouterr().out
    assert len(out) < 2000 and out.count("\n") == 1 and out[:-1].isprintable()


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path, capsys):
    path = save_pickle(tmp_path / "steering.pt", {STEERING: torch.zeros(2)})
    assert main(["convert", str(path), str(tmp_path / "folder")]) == 1
    assert capsys.readouterr().err[:-1].isprintable()


@pytest.fixture
def broken_model(monkeypatch):
    model = sl.SigLIP.from_pretrained("tiny")
    with torch.no_grad():
        model.logit_bias.fill_(math.nan)
    monkeypatch.setattr(sl.SigLIP, "from_pretrained", lambda *_, **__: model)


@pytest.mark.parametrize("options", [["classify"], ["classify", "--json"], ["trace", "--json"]])
def test_what_is_no_number_is_no_answer(broken_model, photo, capsys, options):
    assert main([*options, photo, "a cat"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "the model's answer is no number" in captured.err


def test_trace_shows_where_numbers_end(broken_model, photo, capsys):
    assert main(["trace", photo, "a cat"]) == 0
    *_, embeds, logits, probabilities = capsys.readouterr().out.splitlines()
    assert "nan" not in embeds and "nan" in logits and "nan" in probabilities


# ---- interruptions, full disks, readers that leave -----------------------------------------------


@pytest.mark.parametrize("command", ["classify", "trace", "models", "count", "convert", "download"])
def test_ctrl_c_ends_every_command_quietly(monkeypatch, capsys, command):
    def stop(*_, **__):
        raise KeyboardInterrupt

    for name in ("list_models", "named_family", "resolve"):
        monkeypatch.setattr(command_line, name, stop)
    monkeypatch.setattr(sl.SigLIP, "from_pretrained", stop)
    arguments = {"classify": ["x.png", "a"], "trace": ["x.png", "a"], "count": ["tiny"],
                 "convert": [__file__, "nowhere"], "download": ["x"]}  # fmt: skip
    assert main([command, *arguments.get(command, [])]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_while_it_imports_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    paths = [str(tmp_path), str(Path(sl.__file__).parent.parent)]
    done = subprocess.run(
        [sys.executable, "-m", "siglip_lab", "models"], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.split("\n") == ["", "siglip-lab: stopped before it began", ""]


def test_a_second_photo_is_no_caption(photo, capsys):
    for command in ("classify", "trace"):
        assert main([command, photo, photo, "a cat"]) == 1
        assert "is a file where a caption belongs" in capsys.readouterr().err


def test_an_unfinished_training_says_so(photo, tmp_path, capsys):
    (tmp_path / "training_state.pt").touch()
    assert main(["classify", photo, "a cat", "--model", str(tmp_path)]) == 1
    assert "has not come to a checkpoint yet" in capsys.readouterr().err


def test_output_onto_a_full_disk(monkeypatch, capsys):
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert main(["models"]) == 1
        full.flush()  # as Python does at its end
    assert capsys.readouterr().err == "siglip-lab: [Errno 28] No space left on device\n"


def test_a_folder_that_cannot_be_written(tiny_npz, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["convert", tiny_npz, str(tmp_path / "file/folder")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "file/folder" in captured.err


@pytest.mark.slow
def test_a_reader_that_leaves_early():
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-m", "siglip_lab", "models"]
    run = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.slow
def test_runs_as_a_module():
    run = subprocess.run(
        [sys.executable, "-m", "siglip_lab", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("classify", "trace", "models", "count", "convert", "download"):
        assert command in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("home", [None, "/proc"])
def test_a_machine_without_a_home(photo, home):
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    environment |= {"HOME": home} if home else {}
    command = [sys.executable, "-m", "siglip_lab", "classify", photo, "2 red circles"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and "2 red circles" in run.stdout, run.stderr
