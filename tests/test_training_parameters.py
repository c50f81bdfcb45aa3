"""What learns: one tower, the last layers, low-rank additions; and what is saved of it."""

from dataclasses import replace

import pytest
import torch
from small_pictures import SMALL, coloured, pictures, small_model, small_processor

import siglip_lab as sl
from siglip_lab.training import Pairs, TrainConfig, Trainer, state, train
from siglip_lab.training.data import Batches

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TrainConfig(steps=4, batch_size=6, learning_rate=1e-2, warmup=0)
PROCESSOR, PAIRS = small_processor(), Pairs(pictures())


def trained(config: TrainConfig, steps: int = 3) -> Trainer:
    trainer = Trainer(small_model(), config)
    batches = Batches(PAIRS, PROCESSOR, 4, 6)
    for step in range(steps):
        trainer.take_step(batches[step])
    return trainer


def changed(model: sl.SigLIP) -> set[str]:
    new, old = model.state_dict(), small_model().state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


SCALARS = {"logit_scale", "logit_bias"}
NAMES = set(small_model().state_dict())


@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"learn": "all"}, ("",)),
        ({"learn": "text"}, ("text_model",)),
        ({"learn": "vision"}, ("vision_model",)),
        (
            {"learn": "last", "layers": 1},
            (
                "vision_model.encoder.layers.1", "vision_model.post_layernorm", "vision_model.head",
                "text_model.encoder.layers.1", "text_model.final_layer_norm", "text_model.head",
            ),
        ),
    ],
)  # fmt: skip
def test_what_learns_changes_and_the_rest_stays(options, begins):
    expected = {name for name in NAMES if name.startswith(begins)} | SCALARS
    found = changed(trained(replace(CONFIG, **options)).model)
    # No attention notices a bias of its keys
    assert found <= expected and all("k_proj.bias" in name for name in expected - found)


def test_after_another_choice_everything_may_learn_again():
    model = small_model()
    Trainer(model, replace(CONFIG, learn="text"))
    assert all(p.requires_grad for p in Trainer(model, CONFIG).model.parameters())


# ---- LoRA ----------------------------------------------------------------------------------------

LORA = replace(CONFIG, learn="lora", rank=2)


@pytest.fixture
def peft():
    return pytest.importorskip("peft")


def outputs(model):
    inputs = PROCESSOR(text=["red", "number 3"], images=[coloured(3), coloured(4)])
    with torch.no_grad():
        return model(**inputs).logits_per_image


@pytest.mark.parametrize("head", [True, False])
def test_additions_change_nothing_at_first_and_merge_exactly(peft, head):
    config = replace(LORA, adapt_head=head)
    first = Trainer(small_model(), config)
    torch.testing.assert_close(outputs(first.model), outputs(small_model()))
    trainer = trained(config)
    merged = trainer.result()
    torch.testing.assert_close(outputs(merged), outputs(trainer.model), rtol=1e-5, atol=1e-5)
    assert (outputs(merged) - outputs(small_model())).abs().max() > 1e-3
    assert merged.state_dict().keys() == NAMES
    matrices = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "text_model.head")
    expected = {n for n in NAMES if n.endswith("weight") and any(part in n for part in matrices)}
    expected |= {"vision_model.head.attention.in_proj_weight"} if head else set()
    assert changed(merged) == expected | SCALARS


def test_additions_are_small_and_the_same_from_the_same_seed(peft):
    trainer = Trainer(small_model(), LORA)
    learned = sum(p.numel() for p in trainer.learned.values())
    assert learned < sum(p.numel() for p in small_model().parameters()) / 2
    assert all("lora_" in name or name in SCALARS for name in trainer.learned)
    torch.manual_seed(5)  # of no account
    again = Trainer(small_model(), LORA)
    assert all(torch.equal(p, again.learned[name]) for name, p in trainer.learned.items())


def test_caching_with_additions(peft):
    batch = Batches(PAIRS, PROCESSOR, 4, 6)[0]
    found = []
    for micro in (6, 4):
        trainer = trained(replace(LORA, micro_batch_size=micro), 1)
        trainer.backward(batch)
        found.append({name: p.grad for name, p in trainer.learned.items()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_run_with_additions_stops_goes_on_and_loads_in_transformers(peft, tmp_path, monkeypatch):
    import transformers

    from siglip_lab.training import run

    def run_lora(out):
        options = {"held_out": 4, "before": {}, "device": "cpu"}
        return train(small_model(), PROCESSOR, PAIRS, out, replace(LORA, ema=0.9), **options)

    report = run_lora(tmp_path / "whole")
    assert report.learning < report.parameters / 2
    monkeypatch.setattr(run, "SECONDS_BETWEEN_STATES", 0)
    take_step = Trainer.take_step

    def stops(trainer, batch):
        if trainer.step == 2:
            raise KeyboardInterrupt
        return take_step(trainer, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "take_step", stops)
        run_lora(tmp_path / "m")
    saved = torch.load(tmp_path / "m" / state.STATE)["parameters"]
    assert all("lora_" in name or name in SCALARS for name in saved)
    run_lora(tmp_path / "m")
    files = [(tmp_path / f / "model.safetensors").read_bytes() for f in ("m", "whole")]
    assert files[0] == files[1]
    theirs = transformers.SiglipModel.from_pretrained(tmp_path / "m").eval()
    inputs = PROCESSOR(text=["red"], images=[coloured(3)])
    with torch.no_grad():
        expected = theirs(**inputs).logits_per_image
        found = sl.SigLIP.from_pretrained(tmp_path / "m")(**inputs).logits_per_image
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert sl.SigLIP.from_pretrained(tmp_path / "m").config == SMALL


def test_without_peft(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"pip install 'siglip-lab\[training\]'"):
        Trainer(small_model(), LORA)
