"""Training: the same bits after any interruption, and the shipped model."""

import json
import math
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import siglip_lab as sl
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading.pretrained import EMBEDDED
from siglip_lab.preprocessing import preprocess
from siglip_lab.tokenizer import Tokenizer
from siglip_lab.toy import training
from siglip_lab.toy.data import train_tokenizer, training_batch
from siglip_lab.toy.evaluation import Accuracy, evaluate
from siglip_lab.toy.shapes_world import draw
from siglip_lab.toy.training import TrainConfig, Trainer, train
from siglip_lab.training.optimization import adamw, learning_rate

SHIPPED = EMBEDDED["tiny"]
VERY_SMALL = SigLIPConfig(
    VisionConfig(image_size=27, patch_size=8, width=24, depth=1, num_heads=2, mlp_dim=40),
    TextConfig(300, 16, width=24, depth=1, num_heads=2, mlp_dim=40),
)
CONFIG = TrainConfig(steps=6, batch_size=8, warmup=2, model=VERY_SMALL)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    train(folder, CONFIG)
    return folder


# ---- data ----------------------------------------------------------------------------------------


def test_a_batch_follows_from_seed_and_step_and_repeats_no_combination():
    batch = training_batch(3, 7, 50)
    assert batch == training_batch(3, 7, 50)
    assert batch != training_batch(3, 8, 50) and batch != training_batch(4, 7, 50)
    assert len({scene.combination for scene in batch.scenes}) == 50
    assert batch.labels.shape == (50, 50) and batch.labels.diagonal().all()
    assert batch.labels.sum() > 50  # some captions are true of several pictures


def test_training_sees_the_pixels_that_preprocess_gives():
    batch = training_batch(0, 0, 5)
    expected = preprocess([draw(scene) for scene in batch.scenes], 60)
    assert torch.equal(batch.pixel_values(60), expected)


@pytest.mark.slow
def test_the_tokenizer_is_reproduced_to_the_byte_and_has_siglips_layout(trained):
    model = train_tokenizer(300)
    assert model == train_tokenizer(300) == (trained / "spiece.model").read_bytes()
    tokenizer = Tokenizer(trained / "spiece.model", 16)
    assert tokenizer.vocab_size == 300
    assert tokenizer.encode("") == [1]
    assert tokenizer("a blue square")[0, -1] == 1  # padded with the end token
    with pytest.raises(ValueError, match="100000 pieces"):
        train_tokenizer(100_000)


def test_captions_and_everyday_english_are_known_to_the_shipped_tokenizer():
    tokenizer = sl.Processor.from_pretrained("tiny").tokenizer
    for step in range(5):
        for caption in training_batch(0, step, 100).captions:
            assert len(tokenizer.encode(caption.text)) <= 16
    text = "Two astronauts photographed 37 zebras, quietly; was it a just joke or virtual reality?"
    assert 2 not in tokenizer.encode(text)


# ---- the loop ------------------------------------------------------------------------------------


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained, tmp_path):
    train(tmp_path / "again", CONFIG, device="cpu")
    assert weights(tmp_path / "again") == weights(trained)
    train(tmp_path / "other", replace(CONFIG, seed=1))
    assert weights(tmp_path / "other") != weights(trained)


@pytest.mark.slow
def test_a_batch_seen_again_and_again_is_learned(trained):
    batch, tokenizer = training_batch(0, 0, 8), sl.Processor.from_pretrained(trained).tokenizer
    trainer = Trainer(replace(CONFIG, steps=150, learning_rate=3e-3))
    losses = [trainer.take_step(batch, tokenizer) for _ in range(150)]
    assert losses[-1] < 0.3 * losses[0]


def test_the_loss_of_a_step_is_that_of_the_models_logits_and_the_batchs_labels():
    batch, tokenizer = training_batch(0, 0, 8), sl.Processor.from_pretrained("tiny").tokenizer
    trainer = Trainer(replace(CONFIG, model=sl.get_config("tiny")))
    assert trainer.model.logit_bias.exp().item() == pytest.approx(1 / 24)
    with torch.no_grad():
        logits = trainer.model(batch.pixel_values(40), tokenizer(batch.texts)).logits_per_image
    signed = torch.where(batch.labels, logits, -logits)  # some captions are true of several
    by_hand = -torch.nn.functional.logsigmoid(signed).sum() / 8
    torch.testing.assert_close(trainer.take_step(batch, tokenizer), by_hand)


def test_weight_decay_is_for_matrices_only():
    model = sl.SigLIP(VERY_SMALL, seed=0)
    decayed, others = adamw(model, 0.1).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert {id(model.logit_scale), id(model.logit_bias)} <= {id(p) for p in others["params"]}
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(("steps", "warmup"), [(100, 10), (6, 2), (5, 0), (3, 5), (1, 1)])
def test_the_learning_rate_rises_and_falls(steps, warmup):
    rates = [learning_rate(2.0, step, steps, warmup) for step in range(steps)]
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert all(0 < rate <= 2 for rate in rates)
    assert steps < warmup or max(rates) == 2


@pytest.mark.skipif(sl.default_device().type == "cpu", reason="needs a GPU")
def test_a_run_of_the_cpu_goes_on_on_a_gpu(trained, tmp_path):
    device, tokenizer = sl.default_device(), sl.Processor.from_pretrained(trained).tokenizer
    here, there = Trainer(CONFIG), Trainer(CONFIG, device)
    for step in range(3):
        batch = training_batch(0, step, 8)
        here.save(tmp_path / training.STATE)
        there.restore(tmp_path / training.STATE)
        losses = [trainer.take_step(batch, tokenizer) for trainer in (here, there)]
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-4)
    train(tmp_path / "m", CONFIG, device=device)
    assert sl.SigLIP.from_pretrained(tmp_path / "m").logit_scale.device.type == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [0, 4])
def test_ctrl_c_leaves_a_state_and_the_resumed_run_ends_with_the_same_bits(
    trained, tmp_path, monkeypatch, stop_at
):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_STATES", 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "take_step", interrupted_at(stop_at))
        train(tmp_path / "m", CONFIG)
    assert torch.load(tmp_path / "m" / training.STATE)["step"] == stop_at
    train(tmp_path / "m", CONFIG, resume=True)
    assert weights(tmp_path / "m") == weights(trained)
    assert {p.name for p in (tmp_path / "m").iterdir()} == {p.name for p in trained.iterdir()}


def interrupted_at(stop: int):
    """A step that Ctrl-C hits after `stop` of them, when the optimizer is halfway through."""
    take_step, calls = Trainer.take_step, iter(range(100))

    def interrupted(trainer, *rest):
        if next(calls) < stop:
            return take_step(trainer, *rest)
        with torch.no_grad():
            trainer.model.logit_bias.fill_(123.0)
        raise KeyboardInterrupt

    return interrupted


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_bits(trained, tmp_path):
    script = f"""
import time, torch
from siglip_lab.toy import training as t
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.toy.training import TrainConfig

take_step, calls = t.Trainer.take_step, iter(range(100))

def slow(*arguments):
    if next(calls) == 4:
        print("fourth step", flush=True)
        time.sleep(60)
    return take_step(*arguments)

torch.set_num_threads(1)
t.SECONDS_BETWEEN_STATES, t.Trainer.take_step = 0, slow
t.train({str(tmp_path / "m")!r}, {CONFIG!r})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "fourth step\n", process.stderr.read()
    process.kill()
    process.communicate()
    assert torch.load(tmp_path / "m" / training.STATE)["step"] == 4
    assert not (tmp_path / "m" / "model.safetensors").exists()
    train(tmp_path / "m", CONFIG, resume=True)
    assert weights(tmp_path / "m") == weights(trained)


def test_a_run_is_not_resumed_with_another_config_nor_overwritten(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(tmp_path / "m", CONFIG, resume=True)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "take_step", interrupted_at(0))
        train(tmp_path / "m", CONFIG)
    with pytest.raises(ValueError, match=r"seed 0 \(now 5\)"):
        train(tmp_path / "m", replace(CONFIG, seed=5), resume=True)
    with pytest.raises(FileExistsError, match="unfinished run"):
        train(tmp_path / "m", CONFIG)


def test_a_finished_model_is_not_overwritten(trained):
    before = {path: path.read_bytes() for path in trained.iterdir()}
    with pytest.raises(FileExistsError, match="not an empty folder: name another one"):
        train(trained, replace(CONFIG, seed=1))
    with pytest.raises(FileExistsError, match="not an empty folder"):
        train(trained / "config.json", CONFIG)
    assert {path: path.read_bytes() for path in trained.iterdir()} == before


def test_whatever_stops_a_run_after_its_first_file_it_can_go_on(trained, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "Tokenizer", stop)
        train(tmp_path / "m", CONFIG)
    train(tmp_path / "m", CONFIG, resume=True)
    assert weights(tmp_path / "m") == weights(trained)


class _Foreign:
    """What runs when it is unpickled by a careless reader."""

    def __reduce__(self):
        return print, ("this must not be seen",)


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory) -> Path:
    """The folder of a run that stopped after its first step."""
    folder = tmp_path_factory.mktemp("stopped") / "m"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "SECONDS_BETWEEN_STATES", 0)
        patch.setattr(Trainer, "take_step", interrupted_at(1))
        train(folder, CONFIG)
    return folder


def without(state: dict, *path: str) -> dict:
    """A copy in which one key is missing."""
    first, *rest = path
    kept = {key: value for key, value in state.items() if key != first or rest}
    return kept | ({first: without(state[first], *rest)} if rest else {})


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "text": lambda path: path.write_text("hello there"),
    "foreign pickle": lambda path: path.write_bytes(pickle.dumps(_Foreign())),
    "plain pickle": lambda path: path.write_bytes(pickle.dumps({"step": 0}, protocol=4)),
    "list": lambda path: torch.save([1, 2], path),
    "no dict": lambda path: torch.save(torch.load(path) | {"config": [1]}, path),
    "step": lambda path: torch.save(torch.load(path) | {"step": "first"}, path),
} | {
    f"without {' '.join(keys)}": lambda path, keys=keys: torch.save(
        without(torch.load(path), *keys), path
    )
    for keys in (["config"], ["config", "seed"], ["step"], ["model"], ["model", "logit_bias"],
                 ["optimizer"], ["optimizer", "param_groups"])
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.filterwarnings("error")
def test_a_damaged_state_is_refused_in_one_line(unfinished, tmp_path, capsys, monkeypatch, damage):
    shutil.copytree(unfinished, tmp_path / "m")
    state = tmp_path / "m" / training.STATE
    damage(state)
    monkeypatch.setitem(training.CONFIGS, "quick", CONFIG)
    assert training.main(["--out", str(tmp_path / "m"), "--resume"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert f"{state} is damaged" in captured.err


def test_a_folder_in_the_place_of_the_state(tmp_path, capsys):
    (tmp_path / training.STATE).mkdir()
    assert training.main(["--out", str(tmp_path), "--resume"]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "Is a directory" in captured.err


def test_the_state_is_written_now_and_then(tmp_path, monkeypatch):
    clock, written = iter(range(0, 1000, 20)), []
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))

    def record(trainer, path):
        written.append(trainer.step)
        path.touch()

    (tmp_path / "m").mkdir()
    monkeypatch.setattr(Trainer, "save", record)
    train(tmp_path / "m", CONFIG)
    assert written == [0, 2, 4, 6]  # two steps of 20 seconds are above 30


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}, {"batch_size": 289}])
def test_an_impossible_config_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig(**wrong)


# ---- checkpoint and command line -----------------------------------------------------------------


def test_the_folder_loads_here_and_in_transformers_with_the_same_logits(trained):
    transformers = pytest.importorskip("transformers")
    batch = training_batch(0, 0, 6)
    texts, images = [c.text for c in batch.captions], [draw(s) for s in batch.scenes]
    for folder in (trained, SHIPPED):
        theirs, info = transformers.SiglipModel.from_pretrained(folder, output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        tokenizer = transformers.SiglipTokenizer.from_pretrained(folder)
        ids = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        pixels = transformers.AutoProcessor.from_pretrained(folder).image_processor(
            images, return_tensors="pt"
        )
        inputs = sl.Processor.from_pretrained(folder)(text=texts, images=images)
        assert list(ids) == ["input_ids"] and torch.equal(ids["input_ids"], inputs["input_ids"])
        torch.testing.assert_close(pixels["pixel_values"], inputs["pixel_values"])
        with torch.no_grad():
            expected = theirs(**inputs).logits_per_image
            actual = sl.SigLIP.from_pretrained(folder)(**inputs).logits_per_image
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_the_command_line_trains_measures_and_explains_itself(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(training.CONFIGS, "quick", CONFIG)
    monkeypatch.setattr(training, "evaluate", lambda *_: Accuracy(1, 0.5, 0, {"seen": 9}))
    assert training.main(["--out", str(tmp_path / "m"), "--steps", "2"]) == 0
    assert "seen              100.0% of 9 new pictures" in capsys.readouterr().out
    assert training.main(["--out", str(tmp_path / "m"), "--resume"]) == 1
    assert "nothing to resume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        training.main(["--help"])
    assert "--config" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value"),
    [("--threads", "0"), ("--threads", "-1"), ("--threads", "9" * 12), ("--threads", "two"),
     ("--steps", "0"), ("--steps", "1.5"), ("--batch-size", "0"), ("--batch-size", "289"),
     ("--seed", "9" * 30), ("--seed", "9" * 5000), ("--device", "abacus")],
)  # fmt: skip
def test_what_an_option_does_not_take_is_refused_by_its_name(tmp_path, capsys, option, value):
    with pytest.raises(SystemExit) as error:
        training.main(["--out", str(tmp_path / "m"), option, value])
    captured = capsys.readouterr()
    assert error.value.code == 2 and captured.out == ""
    assert f"error: argument {option}: " in captured.err and len(captured.err) < 2000
    assert not (tmp_path / "m").exists()


def test_ctrl_c_says_how_to_go_on_and_that_is_right(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(training.CONFIGS, "shipped", CONFIG)
    monkeypatch.setattr(training, "evaluate", lambda *_: Accuracy(1, 1, 1, {}))
    words = ["--config", "shipped", "--out", str(tmp_path / "two words"), "--seed", "1"]
    for stop in (2, 1):  # the second time, --resume is there already
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "take_step", interrupted_at(stop))
            assert training.main(words) == 130
        hint = capsys.readouterr().err.splitlines()[-1]
        begin = "Stopped. Go on with: python -m siglip_lab.toy.training "
        assert hint.startswith(begin) and hint.count("--resume") == 1
        words = shlex.split(hint.removeprefix(begin))
    assert training.main(words) == 0
    assert not (tmp_path / "two words" / training.STATE).exists()


def test_ctrl_c_before_the_first_state_and_after_the_last_says_nothing(
    tmp_path, capsys, monkeypatch
):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(training.CONFIGS, "quick", CONFIG)
    for name in ("train_tokenizer", "evaluate"):
        with monkeypatch.context() as patch:
            patch.setattr(training, name, stop)
            assert training.main(["--out", str(tmp_path / "m")]) == 130
        captured = capsys.readouterr()
        assert captured.out == "" and "Stopped" not in captured.err


@pytest.fixture
def closed_pipe():
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w") as stream:
        yield stream


def test_a_reader_of_the_result_that_leaves(tmp_path, monkeypatch, capsys, closed_pipe):
    monkeypatch.setitem(training.CONFIGS, "quick", CONFIG)
    monkeypatch.setattr(training, "evaluate", lambda *_: Accuracy(1, 1, 1, {"seen": 9}))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed_pipe)
        assert training.main(["--out", str(tmp_path / "m")]) == 0
        closed_pipe.flush()  # as Python does at its end
    assert "siglip_lab" not in capsys.readouterr().err


def test_a_reader_of_the_progress_that_leaves(tmp_path, monkeypatch, closed_pipe):
    """The run stops, is no success, and can go on."""
    monkeypatch.setitem(training.CONFIGS, "quick", CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", closed_pipe)
        assert training.main(["--out", str(tmp_path / "m")]) == 1
        closed_pipe.flush()
    train(tmp_path / "m", CONFIG, resume=True)


def test_a_full_disk_in_one_line(tmp_path):
    """Wherever it fills up: at the state, at the weights, and while converting."""
    script = f"""
import resource, signal, sys
from siglip_lab import SigLIP
from siglip_lab import cli as command_line
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading.folder import write_files
from siglip_lab.toy import training
from siglip_lab.toy.training import TrainConfig, Trainer

training.CONFIGS["quick"] = {CONFIG!r}
tiny = SigLIP.from_pretrained("tiny")
SigLIP.from_pretrained = lambda *_, **__: tiny
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
sys.argv = ["train"]
print(training.main(["--out", "state"]))
Trainer.save = lambda trainer, path: write_files(path.parent, {{path.name: b""}})
print(training.main(["--out", "weights"]))
print(command_line.main(["convert", sys.executable, "converted"]))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.stdout.split() == ["1", "1", "1"], run.stderr
    errors = [line for line in run.stderr.splitlines() if line.startswith("siglip-lab: ")]
    assert len(errors) == 3 and all("File too large" in line for line in errors), run.stderr
    assert "Traceback" not in run.stderr


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert training.main(["--out", str(tmp_path / "file" / "m")]) == 1
    assert capsys.readouterr().err.startswith("siglip-lab: [Errno 20] Not a directory")


# ---- the shipped model ---------------------------------------------------------------------------


def test_the_shipped_folder_is_complete_and_small():
    names = {path.name for path in SHIPPED.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "preprocessor_config.json", "spiece.model",
        "tokenizer_config.json",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 8e6
    assert sl.SigLIP.from_pretrained(SHIPPED).config == sl.get_config("tiny")
    assert json.loads((SHIPPED / "config.json").read_text())["model_type"] == "siglip"
    assert (SHIPPED / "spiece.model").read_bytes() == train_tokenizer(
        sl.get_config("tiny").text.vocab_size
    )


def test_the_shipped_folder_is_what_saving_writes(tmp_path):
    sl.Processor.from_pretrained("tiny").save_pretrained(tmp_path)
    sl.SigLIP.from_pretrained("tiny").save_pretrained(tmp_path)
    for path in SHIPPED.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_tiny_shape_keeps_the_real_ones_quirks():
    vision = sl.get_config("tiny").vision
    assert vision.image_size % vision.patch_size == 4  # pixels that are never seen
    assert math.log2(vision.head_dim) % 1 and math.log2(vision.mlp_dim) % 1


def test_the_shipped_model_is_as_accurate_as_the_book_says():
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    accuracy = evaluate(model, processor, 2, seed=1)
    assert accuracy.pictures == {"seen": 576, "held_out_triples": 32, "held_out_pairs": 32}
    assert accuracy.seen >= 0.95
    assert accuracy.held_out_triples >= 0.85
    assert accuracy.held_out_pairs >= 0.75


def test_the_shipped_model_tells_true_from_false_captions():
    scene = sl.shapes_world.random_scene(0, sl.shapes_world.Combination(2, "red", "circle"))
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    labels = ["2 red circles", "red circles", "something red", "2 shapes", "a blue square"]
    true = sl.zero_shot(model, processor, draw(scene), labels)[0]
    assert (true[:-1] > 0.5).all() and true[-1] < 0.01


def test_the_readmes_example_shows_what_it_says(root):
    example = re.search(
        r"```python\n(import siglip_lab.+?)```", (root / "README.md").read_text(), re.S
    )
    *lines, last = example[1].strip().splitlines()
    code, said = re.split(r"\s+# tensor\(", last)
    names = {}
    exec("\n".join(lines), names)
    shown = eval(code, names)[0].tolist()
    assert shown == pytest.approx(json.loads(said.rstrip(")"))[0], abs=1e-3)
    assert shown[0] > 0.9 and shown[1] < 0.1  # a true caption and a false one
