"""Training on one's own pictures: the step, the loop, going on after a kill, what is refused."""

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_pictures import (
    coloured,
    pictures,
    small_model,
    small_processor,
    write_folder,
)
from test_memory import peak_bytes

import siglip_lab as sl
from siglip_lab.checks import CheckpointError
from siglip_lab.cli import main
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.losses import sigmoid_loss
from siglip_lab.training import (
    Pairs,
    Picture,
    Report,
    TrainConfig,
    Trainer,
    doors,
    dry_run,
    estimate_bytes,
    measure,
    new_model,
    run,
    state,
    train,
    train_tokenizer,
)
from siglip_lab.training.data import Batch, Batches
from siglip_lab.training.logs import Log
from siglip_lab.training.optimization import learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainConfig(steps=8, batch_size=6, warmup=2, learning_rate=1e-2, validate_every=3)
PROCESSOR = small_processor()
PAIRS = Pairs(pictures())


def run_small(out, config=CONFIG, pairs=PAIRS, **options) -> Report:
    options = {"held_out": 4, "before": {}, "device": "cpu"} | options
    return train(small_model(), PROCESSOR, pairs, out, config, **options)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    run_small(folder)
    return folder


# ---- a step --------------------------------------------------------------------------------------


def batches(config=CONFIG, pairs=PAIRS, **options) -> Batches:
    return Batches(pairs, PROCESSOR, config.steps, config.batch_size, config.seed, **options)


def gradients(config, model=None, step=0):
    trainer = Trainer(model or small_model().double(), config)
    loss = trainer.backward(batches(config)[step])
    return loss, {name: p.grad for name, p in trainer.learned.items()}


def test_the_loss_is_the_papers_with_all_true_pairs():
    model, batch = small_model(), batches()[0]
    x, y = model.encode_image(batch.pixel_values), model.encode_text(batch.input_ids)
    true = torch.zeros(6, 6, dtype=torch.bool)
    names = {picture.name: picture for picture in PAIRS}
    said = [PROCESSOR.tokenizer.decode(row) for row in batch.input_ids]
    for i, name in enumerate(batch.names):
        for j, caption in enumerate(said):
            true[i, j] = caption in names[name].captions
    assert true.diagonal().all() and true.sum() > 6
    expected = sigmoid_loss(x, y, model.logit_scale, model.logit_bias, labels=true)
    torch.testing.assert_close(Trainer(model, CONFIG).backward(batch), expected.detach())
    own = Trainer(model, replace(CONFIG, labels=False)).backward(batch)
    plain = sigmoid_loss(x, y, model.logit_scale, model.logit_bias)
    torch.testing.assert_close(own, plain.detach())


@pytest.mark.parametrize("micro", [1, 3, 4])
@pytest.mark.parametrize(
    "options", [{}, {"learn": "text"}, {"learn": "vision"}, {"grad_checkpointing": True}]
)
def test_caching_gives_the_gradients_of_the_whole_batch(micro, options):
    loss, expected = gradients(replace(CONFIG, micro_batch_size=6, **options))
    found_loss, found = gradients(replace(CONFIG, micro_batch_size=micro, **options))
    torch.testing.assert_close(found_loss, loss, rtol=1e-12, atol=1e-13)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-13)


def test_a_batch_that_is_summed_up_without_caching_has_other_gradients():
    """What caching is for: each micro-batch alone would not see the others' texts."""
    _, expected = gradients(CONFIG)
    trainer = Trainer(small_model().double(), CONFIG)
    for part in batches()[0].split(3):
        x, y, *scalars = trainer.embed(*part)
        (sl.sigmoid_loss(x, y, *scalars) / 2).backward()
    worst = max((p.grad - expected[n]).abs().max() for n, p in trainer.learned.items())
    assert worst > 1e-3


def test_clipping_of_the_gradient_of_t_and_the_schedule():
    config = replace(CONFIG, max_grad_norm=1e-3, max_logit_scale=10.0, learning_rate=0.1)
    trainer, batch = Trainer(small_model(), config), batches()[0]
    trainer.model.logit_scale.data.fill_(5.0)
    _, length = trainer.take_step(batch)
    assert length > 1e-3
    assert trainer.model.logit_scale.exp().item() == pytest.approx(10)
    assert trainer.optimizer.param_groups[0]["lr"] == learning_rate(0.1, 0, 8, 2) == 0.05


def test_the_average_is_ema():
    trainer = Trainer(small_model(), replace(CONFIG, ema=0.9))
    name = "vision_model.head.probe"
    average = trainer.learned[name].detach().clone()
    for step in range(3):
        trainer.take_step(batches()[step])
        average = 0.9 * average + 0.1 * trainer.learned[name].detach()
    found = trainer.result()
    torch.testing.assert_close(dict(found.named_parameters())[name], average)
    assert not torch.equal(average, trainer.learned[name])


def test_bfloat16_stays_near_float32_and_weights_stay_in_float32():
    config = replace(CONFIG, precision="bfloat16", steps=3, learning_rate=1e-3)
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer = Trainer(small_model(), replace(config, precision=precision))
        losses[precision] = [trainer.take_step(batches()[i])[0].item() for i in range(3)]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] != losses["float32"]
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


def test_the_papers_numbers_are_the_defaults():
    fine, new = TrainConfig(), TrainConfig(from_scratch=True)
    assert (fine.learning_rate, fine.weight_decay) == (1e-4, 0.0)  # 0.1 x, no decay
    assert (new.learning_rate, new.weight_decay) == (1e-3, 1e-4)
    assert TrainConfig(learn="lora").learning_rate == 5e-4
    assert fine.warmup == 100 and fine.max_grad_norm == 1 and fine.max_logit_scale is None
    groups = Trainer(small_model(), new).optimizer.param_groups
    assert [group["betas"] for group in groups] == [(0.9, 0.95)] * 2
    assert [group["weight_decay"] for group in groups] == [1e-4, 0.0]


# ---- the loop ------------------------------------------------------------------------------------


def test_a_run_learns_and_writes_what_it_says(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.json", "measured.csv", "model.safetensors", "preprocessor_config.json",
        "report.json", "report.md", "spiece.model", "tokenizer_config.json", "train.csv",
    }  # fmt: skip
    report = json.loads((trained / "report.json").read_text())
    assert report["first"].keys() == report["last"].keys() == {"held out"}
    rows = (trained / "measured.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "0", "3", "6", "8"]
    found = measure(sl.SigLIP.from_pretrained(trained), PROCESSOR, PAIRS.split(4, 0)[1])
    assert found == report["last"]["held out"]


def test_what_can_be_learned_is_learned(tmp_path):
    config = TrainConfig(steps=120, batch_size=12, learning_rate=1e-2, validate_every=120)
    colours = Pairs(replace(p, captions=p.captions[:1]) for p in pictures(48))
    report = run_small(tmp_path / "m", config, colours, held_out=12)
    first, last = report.first["held out"], report.last["held out"]
    assert last["name@1"] > 0.9 > 0.5 > first["name@1"] and last["texts"] <= 6


def test_the_same_seed_gives_the_same_weights_and_another_others(trained, tmp_path):
    run_small(tmp_path / "again")
    assert weights(tmp_path / "again") == weights(trained)
    run_small(tmp_path / "other", replace(CONFIG, seed=1))
    assert weights(tmp_path / "other") != weights(trained)


def test_workers_change_nothing(trained, tmp_path):
    run_small(tmp_path / "m", num_workers=2)
    assert weights(tmp_path / "m") == weights(trained)


def interrupted_at(stop: int, error=KeyboardInterrupt):
    """A step that is hit after `stop` of them, when the weights are halfway to the next."""
    take_step, calls = Trainer.take_step, iter(range(100))

    def interrupted(trainer, batch):
        if next(calls) < stop:
            return take_step(trainer, batch)
        with torch.no_grad():
            trainer.model.logit_bias.fill_(123.0)
        raise error

    return interrupted


@pytest.mark.parametrize("stop", [0, 5])
@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "micro_batch_size": 4, "learn": "last"}])
def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path, monkeypatch, stop, options):
    config = replace(CONFIG, layers=1, **options)
    run_small(tmp_path / "whole", config)
    monkeypatch.setattr(run, "SECONDS_BETWEEN_STATES", 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "take_step", interrupted_at(stop))
        run_small(tmp_path / "m", config)
    assert torch.load(tmp_path / "m" / state.STATE)["step"] == stop
    run_small(tmp_path / "m", config)
    assert weights(tmp_path / "m") == weights(tmp_path / "whole")
    names = [{path.name for path in (tmp_path / f).iterdir()} for f in ("m", "whole")]
    assert names[0] == names[1]
    rows = [(tmp_path / f / "measured.csv").read_text() for f in ("m", "whole")]
    assert rows[0] == rows[1]


def test_ctrl_c_ends_after_the_step_and_loses_nothing(trained, tmp_path, monkeypatch):
    take_step = Trainer.take_step

    def pressed(trainer, batch):
        if trainer.step == 4:
            signal.raise_signal(signal.SIGINT)  # in the middle of the step
        return take_step(trainer, batch)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr(Trainer, "take_step", pressed)
        run_small(tmp_path / "m")
    assert str(caught.value) == "Stopped after step 5; the same command goes on from there"
    assert torch.load(tmp_path / "m" / state.STATE)["step"] == 5
    assert signal.getsignal(signal.SIGINT) == before
    run_small(tmp_path / "m")
    assert weights(tmp_path / "m") == weights(trained)


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    script = f"""
import sys, test_training as t
from siglip_lab.training import Trainer
def wait(trainer, batch):
    print("in a step", flush=True)
    sys.stdin.read()
Trainer.take_step = wait
t.run_small({str(tmp_path / "m")!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, "tests"])}
    command = [sys.executable, "-c", script]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **pipes) as first:
        assert first.stdout.readline() == b"in a step\n"
        with pytest.raises(OSError, match="another run is writing into"):
            run_small(tmp_path / "m")
        first.kill()
    assert run_small(tmp_path / "m").last  # a killed one holds nothing
    assert state.LOCK not in {path.name for path in (tmp_path / "m").iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 4, 7])
def test_a_killed_process_goes_on_with_the_same_bits(trained, tmp_path, moment):
    """Kill -9 in the middle of a step, and once more while a state is being written."""
    script = f"""
import os, signal, sys, torch
from siglip_lab.training import loop, run, state
import test_training as t
torch.set_num_threads(1)
run.SECONDS_BETWEEN_STATES = 0
kind, moment = sys.argv[1], {moment}
if kind == "step":
    take, calls = loop.Trainer.take_step, iter(range(100))
    def step(trainer, batch):
        if next(calls) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(trainer, batch)
    loop.Trainer.take_step = step
elif kind == "write":
    def fsync(file):
        os.kill(os.getpid(), signal.SIGKILL)
    state.os.fsync = fsync
t.run_small({str(tmp_path / "m")!r})
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, "tests"])}
    codes = []
    for kind in ("step", "write", "none"):
        done = subprocess.run([sys.executable, "-c", script, kind], env=environment, text=True,
                              capture_output=True)  # fmt: skip
        codes.append(done.returncode)
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0], done.stderr
    assert weights(tmp_path / "m") == weights(trained)


def test_killed_after_the_last_step(trained, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Report, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run_small(tmp_path / "m")
    report = run_small(tmp_path / "m")
    assert weights(tmp_path / "m") == weights(trained)
    assert report.last == run_small(tmp_path / "again").last


def test_killed_while_it_measures(trained, tmp_path, monkeypatch):
    measure, calls = run.measure, iter(range(100))

    def stops(*arguments, **options):
        if next(calls) == 2:  # of step 6
            raise KeyboardInterrupt
        return measure(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "measure", stops)
        run_small(tmp_path / "m")
    assert torch.load(tmp_path / "m" / state.STATE)["step"] == 6
    run_small(tmp_path / "m")
    assert weights(tmp_path / "m") == weights(trained)
    rows = [(each / "measured.csv").read_text() for each in (tmp_path / "m", trained)]
    assert rows[0] == rows[1]


def test_other_settings_data_or_weights_do_not_go_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "take_step", interrupted_at(2))
        run_small(tmp_path / "m")
    with pytest.raises(ValueError, match=r"--seed 0 \(now 1\)\. .*another folder"):
        run_small(tmp_path / "m", replace(CONFIG, seed=1))
    with pytest.raises(ValueError, match="captions have changed since.* another folder"):
        run_small(tmp_path / "m", pairs=Pairs(pictures(25)))
    with pytest.raises(ValueError, match="has other weights.* another folder"):
        train(small_model(1), PROCESSOR, PAIRS, tmp_path / "m", CONFIG, 4, {}, "cpu")
    (tmp_path / "m" / state.STATE).write_bytes(b"PK\3\4 no state")
    with pytest.raises(CheckpointError, match="damaged"):
        run_small(tmp_path / "m")


def test_tensorboard_has_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_small(tmp_path / "m", tensorboard=True)
    losses = []
    for path in (tmp_path / "m" / "tensorboard").iterdir():
        events = EventAccumulator(str(path)).Reload()
        if "train/loss" in events.Tags()["scalars"]:
            losses += [(each.step, each.value) for each in events.Scalars("train/loss")]
    rows = list(csv.DictReader((tmp_path / "m" / "train.csv").open()))
    assert losses == [(8, pytest.approx(float(rows[-1]["loss"]), rel=1e-4))]


def test_a_log_drops_what_comes_after_the_state(tmp_path):
    text = "step,loss\n10,1\n20,0.5\n30,0.25\n40"  # cut off by a kill
    (tmp_path / "train.csv").write_text(text)
    Log(tmp_path, "train", 20).add(30, loss=0.125)
    assert (tmp_path / "train.csv").read_text() == "step,loss\n10,1\n20,0.5\n30,0.125\n"


def test_a_finished_run_is_not_overwritten(trained):
    with pytest.raises(FileExistsError, match="is finished: see report.md .*DATA NEW --model"):
        run_small(trained)


def test_nothing_held_out(tmp_path):
    report = run_small(tmp_path / "m", held_out=None, before={"colours": Pairs(pictures(6))})
    assert report.pictures == 24 and list(report.last) == ["colours"]
    assert "before (colours)" in str(report) and "held-out" not in str(report)
    assert "none to measure with" in dry_run(small_model(), PROCESSOR, PAIRS, CONFIG, None, "cpu")
    run_small(tmp_path / "n", held_out=None)
    assert weights(tmp_path / "n") == weights(tmp_path / "m")


def test_the_report_says_what_was_done(tmp_path):
    report = run_small(tmp_path / "m", held_out=Pairs(pictures(6)), origin="small")
    text = str(report)
    for words in (
        "small, trained on a list of pictures", "8 steps of 6 pairs, 2.0 epochs of 24 pictures",
        "learned: all; peak learning rate 0.01", "In short: naming held-out pictures",
        "(6 pictures: one of them is 16.7 points)", "import torch, transformers",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("among the best 5") == 1  # of 12 texts, and not of 6 pictures
    assert len(report.examples) == 5 and report.examples["3.png"][0] == "black"


# ---- what goes wrong -----------------------------------------------------------------------------


def test_broken_pictures_are_named_and_skipped(tmp_path, capsys):
    broken = [Picture("bad.png", b"nonsense", ("red", "worse")), *pictures(11)]
    out = tmp_path / "m"
    report = run_small(out, pairs=Pairs(broken), held_out=Pairs(pictures(4)))
    assert report.unreadable.keys() == {"bad.png"}
    assert "bad.png" in capsys.readouterr().err and "bad.png" in (out / "report.md").read_text()
    run_small(tmp_path / "again", pairs=Pairs(broken), held_out=Pairs(pictures(4)))
    assert weights(tmp_path / "again") == weights(out)


def test_many_broken_pictures_are_said_once_and_not_counted(tmp_path, capsys):
    broken = [Picture(f"bad {i}.png", b"nonsense", ("red",)) for i in range(12)]
    config = replace(CONFIG, batch_size=20)
    report = run_small(tmp_path / "m", config, Pairs([*pictures(20), *broken]), held_out=PAIRS)
    error = capsys.readouterr().err
    assert error.count("skipped bad") == 10 and "others that cannot be read are not named" in error
    assert report.pictures == 20 and "WARNING: 12 pictures could not be read" in str(report)


def test_only_broken_pictures(tmp_path):
    broken = Pairs([Picture(f"{i}.png", b"nonsense", ("red",)) for i in range(20)])
    with pytest.raises(ValueError, match="20 pictures drawn .* cannot be read") as caught:
        run_small(tmp_path / "m", pairs=broken, held_out=Pairs(pictures(4)))
    assert len(str(caught.value)) <= 300
    with pytest.raises(ValueError, match=r"none of 20 held-out .* 0\.png \(image of 8"):
        run_small(tmp_path / "n", held_out=broken)


def test_a_loss_that_is_no_number_names_the_batch_and_keeps_the_last_good(tmp_path, monkeypatch):
    take_step = Trainer.take_step

    def spoiled(trainer, batch):
        if trainer.step == 5:
            trainer.model.logit_scale.data.fill_(torch.nan)
        return take_step(trainer, batch)

    monkeypatch.setattr(Trainer, "take_step", spoiled)
    monkeypatch.setattr(run, "SECONDS_BETWEEN_STATES", 0)
    out = tmp_path / "m"
    with pytest.raises(ValueError, match="step 6: the loss is nan") as caught:
        run_small(out)
    assert len(str(caught.value)) <= 300
    training, _ = PAIRS.split(4, 0)
    names = [training[i].name for i in batches(pairs=training).indices(5)]
    assert (out / "stopped_at.txt").read_text().split() == names and names[0] in str(caught.value)
    saved = torch.load(out / state.STATE)
    assert saved["step"] == 5 and saved["parameters"]["logit_scale"].isfinite().all()
    assert sl.SigLIP.from_pretrained(out).logit_scale.isfinite().all()  # of step 3


def test_no_room_is_said_before_anything_begins(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="0.00 GB are free, a run's checkpoint and state"):
        run_small(tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_disk_that_fills_up_keeps_the_last_state(trained, tmp_path, monkeypatch):
    import resource

    monkeypatch.setattr(run, "SECONDS_BETWEEN_STATES", 0)
    take_step, limit = Trainer.take_step, resource.getrlimit(resource.RLIMIT_FSIZE)

    def filling(trainer, batch):
        if trainer.step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
        return take_step(trainer, batch)

    out = tmp_path / "m"
    try:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="make room") as caught:
            patch.setattr(Trainer, "take_step", filling)
            run_small(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "last state is kept" in str(caught.value) and len(str(caught.value)) <= 300
    assert torch.load(out / state.STATE)["step"] == 4
    assert not [path for path in out.iterdir() if path.name.startswith(".new")]
    run_small(out)
    assert weights(out) == weights(trained)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rate": 1.0}, "learning_rate is 1.0; expected above 0 and at most 0.1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"learn": "everything"}, "expected one of all, text, vision, last, lora"),
        ({"precision": "float16"}, "expected one of auto, float32, bfloat16"),
        ({"ema": 1.5}, "ema is 1.5"),
        ({"micro_batch_size": 0}, "micro_batch_size must be at least 1"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"max_logit_scale": 0.5}, "max_logit_scale is 0.5"),
    ],
)
def test_settings_that_are_refused(values, said):
    with pytest.raises((TypeError, ValueError)) as caught:
        TrainConfig(**values)
    assert said in str(caught.value) and len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": replace(CONFIG, batch_size=64)}, "batch_size is 64, but there are 20 pictures"),
        ({"config": replace(CONFIG, batch_size=1)}, "batch_size is 1"),
        ({"config": replace(CONFIG, remainder="refuse")}, "20 pictures are not whole batches of 6"),
        ({"config": replace(CONFIG, learn="last", layers=9)}, "layers is 9, the vision tower has"),
        ({"held_out": 0}, "held_out is 0 of 24 pictures, which leaves an empty split"),
        ({"pairs": Pairs(pictures(1)), "held_out": 0.1}, "and more pictures than one"),
        ({"device": "cuda:99"}, "device is 'cuda:99', which is not there"),
        ({"held_out": 24}, "empty split"),
        ({"held_out": 1.0}, "empty split"),
        ({"held_out": -0.1}, "empty split"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_begins(tmp_path, change, said):
    with pytest.raises(ValueError) as caught:
        run_small(tmp_path / "m", **change)
    assert said in str(caught.value) and len(str(caught.value)) <= 300
    assert not (tmp_path / "m").exists()


def test_models_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="pictures of 40 px a side, the model reads 16"):
        train(small_model(), sl.Processor.from_pretrained("tiny"), PAIRS, tmp_path / "m")
    half = sl.SigLIP.from_pretrained("tiny", dtype=torch.float16)
    with pytest.raises(ValueError, match="load the model with dtype=torch.float32"):
        train(half, sl.Processor.from_pretrained("tiny"), PAIRS, tmp_path / "m")
    short = sl.Processor(sl.Tokenizer(*tokenizer_file(tmp_path), 8), 16)
    with pytest.raises(ValueError, match="texts of 8 tokens, the model reads 16"):
        train(small_model(), short, PAIRS, tmp_path / "m")


def tokenizer_file(folder):
    PROCESSOR.save_pretrained(folder)
    return [folder / "spiece.model"]


def test_what_is_only_said(capsys, tmp_path):
    long = Picture("long.png", coloured(1), ("word " * 40,))
    left = {"a.png": "there is no such file", "b.png": "no caption"}
    pairs = Pairs([*pictures(), long], left)
    words = "\n".join(doors.remarks(pairs, PROCESSOR))
    assert "there is no such file: a.png" in words and "no caption: b.png" in words
    assert "1 of 31 captions have more than 16 tokens and will be cut" in words
    assert "25 pictures have 31 different captions: where several share one" in words
    assert "1 of 27 entries are left out, no caption" in words and "WARNING" not in words
    many = Pairs(pictures(6), left)
    assert "WARNING, 1 of 8 entries are left out" in "\n".join(doors.remarks(many, PROCESSOR))


# ---- measuring -----------------------------------------------------------------------------------


def test_measure_is_recall():
    model = sl.SigLIP.from_pretrained("tiny")
    processor = sl.Processor.from_pretrained("tiny")
    pairs = Pairs(pictures(12))
    found = measure(model, processor, pairs)
    texts = list(pairs.texts)
    x = sl.embed_images(model, processor, [p.image for p in pairs])
    cosines = x @ sl.embed_texts(model, processor, texts).T
    own = [[texts.index(c) for c in p.captions] for p in pairs]
    five = cosines.topk(5).indices.tolist()
    hits = [bool(set(row) & set(mine)) for row, mine in zip(five, own, strict=True)]
    assert found["name@5"] == sum(hits) / 12 and found["texts"] == 18
    best = [t in own[int(column.argmax())] for t, column in enumerate(cosines.T)]
    assert found["find@1"] == pytest.approx(sum(best) / 18)


def test_tiny_remembers_the_shapes_world():
    from siglip_lab.training import shapes_world_pairs

    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    found = measure(model, processor, shapes_world_pairs())
    assert found["name@1"] > 0.9 and found["texts"] == 320


# ---- before anything begins ----------------------------------------------------------------------


def test_a_dry_run_says_what_it_takes_and_writes_nothing(tmp_path):
    words = dry_run(
        small_model(), PROCESSOR, PAIRS, replace(CONFIG, learn="text"), 4, "cpu", out=tmp_path / "m"
    )
    total = sum(p.numel() for p in small_model().parameters())
    learning = sum(p.numel() for p in small_model().text_model.parameters()) + 2
    assert f"parameters    {total:,}, of which {learning:,} learn" in words
    for line in ("memory ", "steps ", "time ", "20 to train with, 4 to measure with"):
        assert line in words
    assert not (tmp_path / "m").exists()
    with pytest.raises(ValueError, match="batch_size is 64"):
        dry_run(small_model(), PROCESSOR, PAIRS, TrainConfig())


def test_reading_is_measured_as_a_worker_reads(monkeypatch):
    """A DataLoader's worker has one thread; the loop itself may read with eight."""
    threads, read = torch.get_num_threads(), []
    take = Batches.__getitem__

    def noted(batches, step):
        read.append(torch.get_num_threads())
        return take(batches, step)

    monkeypatch.setattr(Batches, "__getitem__", noted)
    torch.set_num_threads(2)
    try:
        words = dry_run(small_model(), PROCESSOR, PAIRS, CONFIG, 4, "cpu")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert read[-1] == 1 and set(read[:-1]) == {2}
    assert "on one core" in words


def test_new_weights_begin_at_the_share_of_true_pairs():
    model = new_model("tiny", TrainConfig(batch_size=64, seed=3))
    assert model.config == sl.get_config("tiny")
    assert model.logit_bias.sigmoid().item() == pytest.approx(1 / 64)
    same = sl.SigLIP(sl.get_config("tiny"), seed=3)
    assert torch.equal(model.vision_model.head.probe, same.vision_model.head.probe)


def test_a_vocabulary_is_learned_from_captions(tmp_path):
    captions = ["a red apple", "A red bike!", "a green apple"] * 3
    tokenizer = train_tokenizer(captions, tmp_path / "spiece.model", pieces=32, context_length=8)
    assert tokenizer.vocab_size == 32
    assert tokenizer("Red apple").shape == (1, 8)
    assert tokenizer.decode(tokenizer("Red apple")[0]) == "red apple"
    same = train_tokenizer(captions, tmp_path / "again.model", pieces=32)
    assert same.model_bytes == tokenizer.model_bytes
    assert sl.Tokenizer(tmp_path / "spiece.model").model_bytes == tokenizer.model_bytes
    with pytest.raises(ValueError, match="no vocabulary of 4000 pieces"):
        train_tokenizer(captions, tmp_path / "spiece.model", pieces=4000)


# ---- the command ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_makes_a_checkpoint_that_transformers_loads(tmp_path, capsys):
    import transformers

    folder, out = write_folder(tmp_path / "pictures"), tmp_path / "out"
    words = ["train", str(folder), str(out), "--steps", "6", "--batch-size", "8", "--device", "cpu"]
    assert main([*words, "--dry-run"]) == 0
    assert "of which 468,452 learn (100.0%)" in capsys.readouterr().out
    assert main([*words, "--seed", "0", "--augment", "flip", "--augment", "crop"]) == 0
    said = capsys.readouterr().out
    assert "held-out data" in said and "what it could do before: shapes world" in said
    lines = said[said.index("import torch") : said.index("(It may warn")]
    printed = subprocess.run([sys.executable, "-c", lines], text=True, capture_output=True)
    assert printed.returncode == 0 and printed.stdout.startswith("tensor([["), printed.stderr
    command = shlex.split(said.splitlines()[-1])
    assert command[:2] == ["siglip-lab", "classify"] and main(command[1:]) == 0
    capsys.readouterr()
    theirs = transformers.AutoModel.from_pretrained(out).eval()
    prepare = transformers.AutoProcessor.from_pretrained(out)
    photo, texts = coloured(3), ["red", "A black square, number 3"]
    inputs = prepare(text=texts, images=photo, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**inputs).logits_per_image
    model, processor = sl.SigLIP.from_pretrained(out), sl.Processor.from_pretrained(out)
    found = model(**processor(text=texts, images=photo)).logits_per_image
    torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-4)
    assert main(words) == 1
    assert "is finished: see report.md" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--learning-rate", "1"], "--learning-rate is 1.0; expected above 0 and at most 0.1"),
        (["--batch-size", "64"], "--batch-size is 64, but there are 27 pictures to train with"),
        (["--batch-size", "64"], "give at most --batch-size 27"),
        (["--held-out", "0"], "--held-out None trains on everything"),
        (["--template", "a {}"], "--template is for the names of class folders"),
        (["--device", "cuda:99"], "device is 'cuda:99', which is not there"),
        (["--held-out", "nowhere"], "'nowhere', no number and no data"),
        (["--model", "nowhere"], "there is no file or folder 'nowhere'"),
        (["--before", "nowhere"], "there is no file or folder 'nowhere'"),
        (["--strict"], "entries are no pairs"),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(tmp_path, capsys, change, said):
    folder = write_folder(tmp_path / "pictures")
    (folder / "0.png").rename(folder / "alone.png")
    shutil.copy(folder / "alone.png", folder / "0.png")
    out = tmp_path / "out"
    words = ["train", str(folder), str(out), "--steps", "2", "--batch-size", "8", "--device", "cpu"]
    assert main([*words, *change]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and len(error) <= 315
    assert not out.exists()


def test_the_default_batch_is_what_the_data_allow(tmp_path, capsys):
    folder = write_folder(tmp_path / "pictures")
    words = ["train", str(folder), str(tmp_path / "out"), "--device", "cpu", "--dry-run"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "pictures: captions.csv" in said and "1,000 of 27 pairs, 1,000.0 epochs" in said


MIDDLING = SigLIPConfig(
    VisionConfig(96, 8, width=96, depth=8, num_heads=6, mlp_dim=384),
    TextConfig(2000, 32, width=96, depth=8, num_heads=6, mlp_dim=384),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"grad_checkpointing": True},
        {"micro_batch_size": 4},
        {"micro_batch_size": 4, "grad_checkpointing": True},
        {"micro_batch_size": 4, "grad_checkpointing": True, "precision": "bfloat16"},
        {"precision": "bfloat16"},
        {"learn": "text"},
        {"learn": "last", "micro_batch_size": 4},
    ],
)
def test_memory_is_what_was_estimated(options):
    n, config = 16, TrainConfig(batch_size=16, **options)
    trainer = Trainer(sl.SigLIP(MIDDLING, seed=0), config)
    ids = torch.arange(n)
    batch = Batch(torch.randn(n, 3, 96, 96), torch.ones(n, 32).long(), ids[:, None], ids, (), {})
    trainer.take_step(batch)  # AdamW's moments are there from now on
    peak = peak_bytes(lambda: trainer.take_step(batch))
    moments = [x for each in trainer.optimizer.state.values() for x in each.values()]
    there = sum(x.nbytes for x in (*trainer.model.parameters(), *moments, *batch[:2]))
    learning = sum(p.numel() for p in trainer.learned.values())
    found = estimate_bytes(MIDDLING, config, learning, dtype=trainer.dtype)
    assert there + peak == pytest.approx(found.total, rel=0.1)


def test_memory_follows_what_learns():
    shape, config = sl.get_config("siglip-so400m-patch14-384"), TrainConfig(batch_size=32)
    every = estimate_bytes(shape, config)
    one = estimate_bytes(shape, replace(config, learn="text"), learning=450_000_000)
    cached = estimate_bytes(shape, replace(config, micro_batch_size=4, grad_checkpointing=True))
    assert every["AdamW"].total == 8 * sl.count_parameters(shape).total
    assert one.total < every.total / 2
    assert cached["activations"].total < every["activations"].total / 50
