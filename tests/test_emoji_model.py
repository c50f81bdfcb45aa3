"""The training of the model "emoji", and what the package carries of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import SiglipModel, SiglipProcessor

import siglip_lab as sl
from benchmarks import emoji_model as training
from siglip_lab import emoji
from siglip_lab.loading.pretrained import EMBEDDED

CONFIG = training.Config(
    steps=4, batch=4, warmup=2, size=16, patch=8, width=16, depth=1, heads=2, mlp=2, text_width=16,
    text_depth=1, pieces=64, context=8, extra=2, optimizer="muon",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawings():
    """Twelve things, by three hands, of which two are one in two paints."""
    found = [
        each for each in emoji.load(["fluent-flat", "fluent-3d", "noto"]) if each.emoji.is_thing
    ]
    kept = {each.emoji for each in found[:12]}
    return [each for each in found if each.emoji in kept]


@pytest.fixture(scope="module")
def parts(drawings):
    return training.Data(drawings, CONFIG)


@pytest.fixture(scope="module")
def tables(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "spiece.model"
    path.write_bytes(parts.vocabulary())
    return parts.tokens(sl.Tokenizer(path, CONFIG.context))


# ---- augmentation --------------------------------------------------------------------------------


def test_no_strength_changes_nothing(parts):
    x = parts.pixels[:8].float() / 255
    mirror = torch.ones(8, dtype=torch.bool)
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(training.augmented(x, x.flip(0), mirror, 0.0, rng), x[:, :3])
    # Each by itself, too; a bend of nothing still reads between pixels
    for change in (training.shaded, training.redrawn, training.erased):
        torch.testing.assert_close(change(x, 0.0, rng), x)
    torch.testing.assert_close(training.palette_of(x, x.flip(0), 0.0, rng), x)
    torch.testing.assert_close(training.moved(x, mirror, 0.0, rng), x, rtol=0, atol=1e-4)
    torch.testing.assert_close(training.recoloured(x, 0.0, rng), x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("strength", [0.3, 1.0, 3.0])
def test_every_value_stays_finite_and_in_range(parts, strength):
    blank = torch.ones(1, 4, 40, 40)  # nothing is drawn: a mean of no pixels
    blank[:, 3] = 0
    x = torch.cat([parts.pixels[:30].float() / 255, blank])
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        y = training.augmented(x, x.flip(0), torch.ones(31, dtype=torch.bool), strength, rng)
        assert y.shape == (31, 3, 40, 40) and y.isfinite().all()
        assert y.min() >= -1e-5 and y.max() <= 1 + 1e-5
        assert ((y - x[:, :3]).abs().flatten(1).amax(1) > 0.05).float().mean() > 0.9


def test_the_paper_is_found_and_what_it_encloses_is_drawn():
    pixels = np.full((9, 9, 3), 255, np.uint8)
    pixels[2:7, 2:7] = 0
    pixels[4, 4] = 255  # white, but inside
    found = training.paper(pixels)
    assert found.sum() == 81 - 25 and not found[4, 4]


# ---- data ----------------------------------------------------------------------------------------


def test_a_batch_follows_from_seed_and_step_alone(parts, tables):
    first = parts.batch(3, tables)
    parts.batch(0, tables), torch.rand(5)
    assert all(map(torch.equal, first, parts.batch(3, tables)))
    assert not torch.equal(first[0], parts.batch(2, tables)[0])
    x, ids, true = first
    assert x.shape == (4, 3, 16, 16) and ids.shape == (10, 8) and true.shape == (4, 10)
    own = torch.arange(8)
    assert true[own // 2, own].all()  # name and keyword of each; some are shared
    parts.config = replace(CONFIG, seed=1)
    assert not torch.equal(first[0], parts.batch(3, tables)[0])
    parts.config = CONFIG


@pytest.mark.parametrize(
    ("held_out", "hands"), [("noto", {"fluent"}), ("none", {"fluent", "noto"})]
)
def test_held_out_hands_and_near_copies_never_train(held_out, hands, tmp_path, monkeypatch):
    every = {each.emoji.code_points: each for each in emoji.load(["twemoji"])}
    noto = {each.emoji.code_points: each for each in emoji.load(["noto"])}
    keys = list(every)[700:710]
    noise = np.random.default_rng(0).integers(0, 9, (40, 40, 3), np.uint8)

    def hand(artist, source, own=0):
        return [
            emoji.Drawing(source[key].emoji, artist, (source[key].pixels // 2 + own * noise))
            for key in keys
        ]

    copies = hand("fxemoji", every) + hand("emojione", noto)
    own = [emoji.Drawing(d.emoji, "streamline", d.pixels[::-1, ::-1]) for d in hand("", every)]
    fourth = hand(
        "noto-v1", {k: emoji.Drawing(d.emoji, "", d.pixels[::-1]) for k, d in noto.items()}
    )
    monkeypatch.setattr(training, "load_hands", lambda folder, known: copies + own + fourth)
    load = emoji.load
    monkeypatch.setattr(
        training.data, "load", lambda *a, **k: [] if a[:1] == (["openmoji"],) else load(*a, **k)
    )
    found = training.drawings_for(held_out, tmp_path, ["en"])
    artists = {each.artist for each in found}
    assert {name.partition("-")[0] for name in artists & set(emoji.ARTISTS)} == hands
    assert "twemoji" not in artists and "fxemoji" not in artists and "streamline" in artists
    assert ("emojione" in artists) == ("noto-v1" in artists) == (held_out == "none")


# ---- training ------------------------------------------------------------------------------------


def test_muon_takes_the_encoders_matrices_and_adamw_the_rest():
    model = sl.SigLIP(CONFIG.model, seed=0)
    adamw, muon = training.optimizers(model, CONFIG)
    names = {id(p): name for name, p in model.named_parameters()}
    matrices, vectors, scalars = (
        {names[id(p)] for p in group["params"]} for group in adamw.param_groups
    )
    inner = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert inner and all(".layers." in name and name.endswith("weight") for name in inner)
    assert scalars == {"logit_scale", "logit_bias"}
    assert "text_model.embeddings.token_embedding.weight" in matrices
    assert len(inner) + len(matrices) + len(vectors) + 2 == len(names)
    assert [group["weight_decay"] for group in adamw.param_groups] == [CONFIG.decay, 0, 0]
    (alone,) = training.optimizers(model, replace(CONFIG, optimizer="adamw"))
    assert sum(len(group["params"]) for group in alone.param_groups) == len(names)


def test_the_rate_rises_holds_and_falls():
    config = replace(CONFIG, steps=100, warmup=10, fall=0.3, peak=1.0)
    rates = [training.learning_rate(config, step) for step in range(100)]
    assert rates[0] == 0.1 and set(rates[9:70]) == {1.0}
    assert rates[70:] == sorted(rates[70:], reverse=True) and 0 < rates[-1] < 0.04


@pytest.fixture
def run(drawings, monkeypatch):
    """Train in a folder up to a step, as if the process had been killed behind it."""
    monkeypatch.setattr(training, "drawings_for", lambda *_: drawings)
    monkeypatch.setattr(training, "SECONDS_BETWEEN_STATES", -1)
    config = replace(CONFIG, held_out="none")

    def train(out, kill_at=None):
        batch = training.Data.batch

        def dying(self, step, tables):
            if step == kill_at:
                raise KeyboardInterrupt
            return batch(self, step, tables)

        with monkeypatch.context() as patch:
            patch.setattr(training.Data, "batch", dying)
            training.train(out, config, None, "", 2, None)

    return train


def test_a_stopped_run_ends_with_the_same_bits_and_its_export_loads(run, tmp_path, capsys):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, kill_at=3)
    assert torch.load(stopped / training.STATE, weights_only=True)["step"] == 3
    run(stopped)
    assert (whole / "model.safetensors").read_bytes() == (
        stopped / "model.safetensors"
    ).read_bytes()
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4] and lines[-1]["loss"] > 0

    training.export(whole, tmp_path / "folder")
    assert "step 4 of 4" in capsys.readouterr().out
    exact, half = sl.SigLIP.from_pretrained(whole), sl.SigLIP.from_pretrained(tmp_path / "folder")
    processor = sl.Processor.from_pretrained(tmp_path / "folder")
    assert half.text_model.head.weight.dtype == torch.float16
    for mine, its in zip(half.parameters(), exact.parameters(), strict=True):
        assert torch.equal(mine, its if its.numel() == 1 else its.half())
    texts = ["a red apple", "dog"]
    found, expected = (sl.embed_texts(m, processor, texts) for m in (half.float(), exact))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01)


# ---- what the package carries --------------------------------------------------------------------


def test_the_folder_is_small_and_credits_every_hand():
    folder = EMBEDDED["emoji"]
    files = {path.name: path for path in folder.rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in files.values()) <= 4_000_000
    text = files["LICENSE.md"].read_text(encoding="utf-8")
    for word in (
        "Noto", "Fluent", "Firefox OS", "EmojiTwo", "Streamline", "OpenMoji", "Emoji One",
        "CC BY 4.0", "CC BY-SA 4.0", "Apache 2.0", "MIT", "Unicode",
    ):  # fmt: skip
        assert word in text
    for link in {part.partition(")")[0] for part in text.split("](../")[1:]}:
        assert (folder.parent / link).exists(), link


def test_it_equals_transformers():
    folder = EMBEDDED["emoji"]
    model, processor = sl.SigLIP.from_pretrained("emoji"), sl.Processor.from_pretrained("emoji")
    images = [each.image for each in emoji.load(["noto"])[600:603]]
    ours = processor(text=["a dog", "pizza"], images=images)
    theirs = SiglipProcessor.from_pretrained(folder)(
        text=["a dog", "pizza"], images=images, return_tensors="pt", padding="max_length"
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    other = SiglipModel.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits = other(**theirs).logits_per_image
        torch.testing.assert_close(
            model.float()(**ours).logits_per_image, logits, atol=1e-4, rtol=0
        )


def test_half_precision_is_as_good():
    images = [each.image for each in emoji.load(["noto"])[600:640]]
    processor = sl.Processor.from_pretrained("emoji")
    half, exact = (
        sl.SigLIP.from_pretrained("emoji", dtype=dtype) for dtype in (None, torch.float32)
    )
    assert (next(half.text_model.parameters())).dtype == torch.float16
    found, expected = (sl.embed_images(model, processor, images) for model in (half, exact))
    assert found.dtype == torch.float32 and (found - expected).abs().max() < 0.005
    assert sl.zero_shot(half, processor, images[:1], ["a cat", "a car"]).isfinite().all()


def test_it_knows_dogs_from_cars():
    """Of a hand that it learned from: no measurement, only that the right file is there."""
    model, processor = sl.SigLIP.from_pretrained("emoji"), sl.Processor.from_pretrained("emoji")
    drawings = {each.emoji.names["en"]: each for each in emoji.load(["fluent-flat"])}
    names = ["dog face", "automobile", "pizza", "red apple", "cat face"]
    found = sl.zero_shot(model, processor, [drawings[name].image for name in names], names)
    assert found.argmax(dim=1).tolist() == [0, 1, 2, 3, 4]
