"""Many processes train as one does: DDP and FSDP2, their states, and what they refuse."""

import os
import signal
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import ranks
import torch
from safetensors.torch import load_file
from small_pictures import pictures, small_model, small_processor, write_folder

from siglip_lab.toy.processes import torchrun
from siglip_lab.training import Pairs, TrainConfig, Trainer, run, state, train
from siglip_lab.training.data import Batches
from siglip_lab.training.parallel import join_ranks
from siglip_lab.training.parameters import whole

CONFIG = TrainConfig(steps=6, batch_size=8, learning_rate=1e-2, warmup=2, validate_every=3)
HERE = Path(__file__).parent


def batches(rank=0, world=1, config=CONFIG):
    part = (rank, world)
    return Batches(Pairs(pictures()), small_processor(), 6, config.batch_size, part=part)


# ---- a step --------------------------------------------------------------------------------------


def one_backward(rank, parallel, config, steps=0):
    """The loss, and the gradients or, after some steps, the weights, as numbers."""
    with join_ranks("cpu") as mine:
        trainer = Trainer(small_model().double(), config, mine, parallel)
        data = batches(mine.rank, mine.world, config)
        for step in range(steps):
            trainer.take_step(data[step])
        loss = mine.mean(trainer.backward(data[steps])).item()
        found = [(name, whole(p.grad), whole(p)) for name, p in trainer.learned.items()]
        return loss, {n: [grad.tolist(), p.tolist()] for n, grad, p in found if is_felt(n)}


def is_felt(name):
    """No attention notices a bias of its keys: AdamW moves it by what is rounded."""
    return not name.endswith(("k_proj.bias", "in_proj_bias"))


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize(
    ("world", "options"),
    [
        (2, {}),
        (2, {"micro_batch_size": 3}),
        (2, {"learn": "text", "micro_batch_size": 2, "grad_checkpointing": True}),
        (4, {"labels": False}),
        (4, {"max_grad_norm": 0.1}),
    ],
)
def test_processes_train_as_one_does(parallel, world, options):
    config = replace(CONFIG, **options)
    expected = one_backward(0, "ddp", config, 2)
    for found in ranks.run(world, one_backward, parallel, config, 2):
        if isinstance(found, Exception):
            raise found
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-11)


# ---- a run ---------------------------------------------------------------------------------------


def whole_run(rank, out, parallel="ddp", config=CONFIG, stop=None):
    run.SECONDS_BETWEEN_STATES = 0
    take_step = Trainer.take_step

    def stops(trainer, batch):
        if trainer.step == stop:
            os._exit(1)
        return take_step(trainer, batch)

    if stop is not None:
        Trainer.take_step = stops
    options = {"held_out": 4, "before": {}, "device": "cpu", "parallel": parallel}
    report = train(small_model(), small_processor(), Pairs(pictures()), out, config, **options)
    return report.last, sorted(report.unreadable)


def assert_close(folder, other):
    one, two = (load_file(each / "model.safetensors") for each in (folder, other))
    one, two = ({n: x for n, x in each.items() if is_felt(n)} for each in (one, two))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_run_on_two_ranks_dies_goes_on_and_equals_one_process(tmp_path, parallel):
    config = replace(CONFIG, ema=0.9)
    expected = ranks.run(2, whole_run, tmp_path / "whole", parallel, config)
    assert not any(isinstance(each, Exception) for each in expected), expected
    found = ranks.run(2, whole_run, tmp_path / "m", parallel, config, 4)
    assert found == [None, None]  # both ended without a word
    assert torch.load(tmp_path / "m" / state.STATE)["step"] == 4
    assert ranks.run(2, whole_run, tmp_path / "m", parallel, config) == expected
    files = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("m", "whole")]
    assert files[0] == files[1]
    whole_run(0, tmp_path / "one", config=config)
    assert_close(tmp_path / "one", tmp_path / "m")


@pytest.mark.slow
def test_a_state_goes_from_one_kind_of_run_to_another(tmp_path):
    """FSDP begins, one process goes on, DDP ends."""
    found = ranks.run(2, whole_run, tmp_path / "m", "fsdp", CONFIG, 2)
    assert found == [None, None]
    assert ranks.run(1, whole_run, tmp_path / "m", "ddp", CONFIG, 4) == [None]
    assert torch.load(tmp_path / "m" / state.STATE)["step"] == 4
    found = ranks.run(2, whole_run, tmp_path / "m", "ddp")
    assert not any(isinstance(each, Exception) or each is None for each in found), found
    whole_run(0, tmp_path / "one")
    assert_close(tmp_path / "one", tmp_path / "m")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_torchrun_starts_the_command_and_a_killed_run_goes_on(tmp_path):
    folder = write_folder(tmp_path / "pictures")
    words = ["train", str(folder), "OUT", "--steps", "6", "--batch-size", "8", "--device", "cpu"]
    words += ["--before", "none", "--parallel", "fsdp"]

    def command(out):
        return [str(tmp_path / out) if word == "OUT" else word for word in words]

    said = torchrun("-m", "siglip_lab", *command("whole"), world=2)
    assert said.count("held-out data") == 1
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(HERE.parent)!r})\n"
        "from siglip_lab import cli\n"
        "from siglip_lab.training import Trainer, run\n"
        "run.SECONDS_BETWEEN_STATES = 0\n"
        "take = Trainer.take_step\n"
        "def step(trainer, batch):\n"
        "    if trainer.step == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return take(trainer, batch)\n"
        "Trainer.take_step = step\n"
        "cli.main(sys.argv[1:])\n"
    )
    with pytest.raises(RuntimeError, match="SIGKILL|exitcode: -9"):
        torchrun(str(script), *command("m"), world=2)
    assert torch.load(tmp_path / "m" / state.STATE)["step"] == 3
    torchrun("-m", "siglip_lab", *command("m"), world=2)
    files = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("m", "whole")]
    assert files[0] == files[1]


# ---- what is refused -----------------------------------------------------------------------------


def other_data(rank, out):
    pairs = Pairs(pictures(24 + rank))
    return train(small_model(), small_processor(), pairs, out, CONFIG, 4, {}, "cpu")


def a_batch_of_nine(rank, out):
    return whole_run(rank, out, config=replace(CONFIG, batch_size=9))


def additions_spread(rank, out):
    return whole_run(rank, out, "fsdp", replace(CONFIG, learn="lora"))


def an_unknown_way(rank, out):
    return whole_run(rank, out, "dp")


def no_number(rank, out):
    take_step = Trainer.take_step

    def spoiled(trainer, batch):
        if trainer.step == 2 and rank == 1:
            batch.pixel_values.fill_(torch.nan)
        return take_step(trainer, batch)

    Trainer.take_step = spoiled
    return whole_run(rank, out)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (other_data, "the data differs between the processes"),
        (a_batch_of_nine, "batch_size 9 cannot be shared by 2 processes"),
        pytest.param(
            additions_spread,
            'take parallel="ddp"',
            marks=pytest.mark.skipif(not find_spec("peft"), reason="needs peft"),
        ),
        (an_unknown_way, "parallel is 'dp'; expected one of ddp, fsdp"),
        (no_number, "step 3: the loss is nan"),
    ],
)
def test_every_rank_says_what_is_wrong(tmp_path, function, said):
    for error in ranks.run(2, function, tmp_path / "m"):
        assert isinstance(error, ValueError), error
        assert said in str(error) and len(str(error)) <= 300


def test_a_part_of_a_batch_is_a_part():
    every = batches()[1]
    parts = [batches(rank, 2)[1] for rank in range(2)]
    assert sum((part.names for part in parts), ()) == every.names
    for name in ("pixel_values", "input_ids", "text_ids"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(every, name))
