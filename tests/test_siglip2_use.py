"""A NaFlex model in use: answers, search, loaders, traces, counts, commands."""

import json
import math

import numpy as np
import pytest
import torch
from any_shape import flops, meta, parameters
from gemma_file import PIECES, write_gemma
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import twin as fixed_twin
from PIL import Image
from small_pictures import pictures
from test_foreign import big_vision, save_npz
from test_memory import attention, memory_events, peak_bytes, saved_bytes
from test_siglip2_folder import CONFIG, PICTURES
from test_siglip2_model import random_model
from torch.utils.data import DataLoader

import siglip_lab as sl
from siglip_lab import siglip2
from siglip_lab.cli import main
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.training import Pairs, TrainConfig, train

LABELS = ["a red circle", "two cats", "a page of text"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    tokenizer = siglip2.Tokenizer(write_gemma(tmp_path_factory.mktemp("gemma")), 16)
    return random_model(CONFIG), siglip2.Processor(tokenizer, 20)


@pytest.fixture(scope="module")
def folder(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    for part in pair:
        part.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "banner.png"
    PICTURES[2].save(path)
    return str(path)


# ---- the processor -------------------------------------------------------------------------------


def test_inputs(pair):
    _, processor = pair
    inputs = processor(text=LABELS, images=PICTURES)
    assert {name: tuple(x.shape) for name, x in inputs.items()} == {
        "input_ids": (3, 16), "pixel_values": (3, 20, 768), "pixel_attention_mask": (3, 20),
        "spatial_shapes": (3, 2),
    }  # fmt: skip
    half = inputs.to(torch.bfloat16)
    assert half["pixel_values"].dtype == torch.bfloat16
    assert half["spatial_shapes"].dtype == torch.int64
    assert processor(images=PICTURES[0], max_num_patches=7)["pixel_values"].shape == (1, 7, 768)
    assert list(processor(text="a")) == ["input_ids"]
    with pytest.raises(ValueError, match="give text, images or both"):
        processor()
    with pytest.raises(ValueError, match="max_num_patches must be at least 1"):
        processor(images=PICTURES, max_num_patches=0)
    with pytest.raises(ValueError, match=r"texts\[0\] has"):
        processor(text="cat " * 50, images=PICTURES, truncate=False)
    with pytest.raises(FileNotFoundError, match=r"images\[1\]"):
        processor(images=[PICTURES[0], "gone.png"])


@pytest.mark.parametrize("workers", [0, 2])
def test_collate_feeds_the_model_from_a_loader(pair, workers):
    model, processor = pair
    rows = list(zip(PICTURES, LABELS, strict=True))
    expected = processor(text=LABELS, images=PICTURES)
    loader = DataLoader(rows, batch_size=3, collate_fn=processor.collate, num_workers=workers)
    prepared = [(processor.transform(image), text) for image, text in rows]
    for found in (
        *loader,
        processor.collate(prepared),
        processor.collate([rows[0], *prepared[1:]]),
    ):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert model(**expected).logits_per_image.shape == (3, 3)


# ---- answers -------------------------------------------------------------------------------------


@torch.no_grad()
def test_zero_shot_and_retrieve(pair):
    model, processor = pair
    expected = model(**processor(text=LABELS, images=PICTURES)).logits_per_image.sigmoid()
    found = sl.zero_shot(model, processor, PICTURES, LABELS, template="{}", batch_size=2)
    torch.testing.assert_close(found, expected)
    embeds = sl.embed_images(model, processor, PICTURES)
    probabilities, indices = sl.retrieve(model, processor, LABELS, embeds, k=1)
    best, places = expected.T.topk(1)
    torch.testing.assert_close(probabilities, best)
    assert torch.equal(indices, places)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_cannot_be_read_are_skipped_and_named(pair, workers):
    mixed = [PICTURES[0], b"broken", PICTURES[1], "gone.png", PICTURES[2]]
    options = {"batch_size": 2, "num_workers": workers}
    found, skipped = sl.embed_images(*pair, mixed, on_error="skip", **options)
    torch.testing.assert_close(found, sl.embed_images(*pair, PICTURES), rtol=0, atol=1e-6)
    assert sorted(skipped) == [1, 3] and "gone.png" in skipped[3]
    with pytest.raises(ValueError, match=r"^images\[1\]"):
        sl.embed_images(*pair, mixed, **options)


def test_a_processor_of_another_kind_is_refused(pair):
    model, processor = pair
    tiny = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    for wrong in ((model, tiny[1]), (tiny[0], processor)):
        with pytest.raises(ValueError, match="siglip2.Processor for NaFlex"):
            sl.embed_images(*wrong, PICTURES)


def test_training_refuses_it(pair, tmp_path):
    pairs = Pairs(pictures(4))
    with pytest.raises(TypeError, match="SigLIP2; expected a SigLIP: SigLIP 2 at fixed resolution"):
        train(*pair, pairs, tmp_path, TrainConfig(steps=1, batch_size=2))


# ---- trace ---------------------------------------------------------------------------------------


@torch.no_grad()
def test_trace(pair):
    model, processor = pair
    inputs = processor(text=LABELS, images=PICTURES)
    steps = sl.trace(model, **inputs, keep_tensors=True)
    assert {row.name for row in steps if row.kind == "input"} == set(inputs)
    out = model(**inputs, output_hidden_states=True)
    expected = {
        "vision_model.embeddings": out.vision.hidden_states[0],
        "vision_model.encoder.layers.1": out.vision.hidden_states[2],
        "vision_model.post_layernorm": out.vision.last_hidden_state,
        "vision_model.head": out.vision.pooler_output,
        "logits_per_image": out.logits_per_image,
    }
    for name, value in expected.items():
        assert torch.equal(steps[name].value, value), name
    assert steps["spatial_shapes"].shape == (3, 2)
    towers = {"embeddings", "encoder", "post_layernorm", "final_layer_norm", "head"}
    parts = sum(row.parameters for row in steps if row.name.split(".")[-1] in towers)
    assert parts + 2 == siglip2.count_parameters(CONFIG).total
    with pytest.raises(TypeError, match="spatial_shapes"):
        sl.trace(model, inputs["pixel_values"], inputs["input_ids"])
    assert not any(module._forward_hooks for module in model.modules())


def test_the_giants_uneven_towers():
    """Counted as published; traced in the same proportions, cut to what is fast."""
    giant = sl.get_config("siglip2-giant-opt-patch16-256")
    assert (giant.vision.width, giant.text.width, giant.embed_dim) == (1536, 1152, 1536)
    small = SigLIPConfig(
        VisionConfig(32, 16, width=64, depth=4, num_heads=2, mlp_dim=256),
        TextConfig(100, 8, width=48, depth=2, num_heads=2, mlp_dim=180),
    )
    model = sl.SigLIP(small, seed=0).eval()
    pixels, ids = torch.zeros(1, 3, 32, 32), torch.zeros(2, 8, dtype=torch.long)
    steps = sl.trace(model, pixels, ids)
    assert steps["text_model.head"].shape == steps["text_embeds"].shape == (2, 64)
    assert steps["text_model.final_layer_norm"].shape == (2, 8, 48)
    with torch.no_grad():
        expected = fixed_twin(model)(pixel_values=pixels, input_ids=ids).logits_per_image
    torch.testing.assert_close(model(pixels, ids).logits_per_image, expected, atol=1e-5, rtol=0)


# ---- counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", siglip2.list_models())
def test_parameters_of_the_published(name):
    config = siglip2.get_config(name)
    count = siglip2.count_parameters(config)
    assert count.total == parameters(meta(lambda: siglip2.SigLIP2(config)))
    # As many as the square model of 256 pixels has: 375,234,050 and 1,135,670,962
    square = sl.get_config(name.replace("naflex", "256"))
    assert count.total == sl.count_parameters(square).total


@st.composite
def flexible(draw):
    def shape():
        heads, head_dim, depth, mlp_dim = (draw(st.integers(1, most)) for most in (3, 8, 2, 30))
        return {
            "width": heads * head_dim, "depth": depth, "num_heads": heads, "mlp_dim": mlp_dim,
        }  # fmt: skip

    patch, side = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    text = TextConfig(draw(st.integers(2, 40)), draw(st.integers(1, 9)), **shape())
    return SigLIPConfig(VisionConfig(patch * side, patch, **shape()), text)


def made(config, budget, batch):
    pictures = [Image.new("RGB", (9 + 7 * i, 20)) for i in range(batch)]
    inputs = siglip2.preprocess(pictures, budget, patch_size=config.vision.patch_size)
    ids = torch.zeros(batch, config.text.context_length, dtype=torch.long)
    return inputs, ids


@pytest.mark.slow
@settings(max_examples=8, derandomize=True)
@given(config=flexible(), budget=st.integers(1, 30), batch=st.integers(1, 3))
def test_flops_by_budget_equal_pytorchs_count(config, budget, batch):
    model = siglip2.SigLIP2(config, seed=0)
    inputs, ids = made(config, budget, batch)
    forward, backward = flops(lambda: model(**inputs, input_ids=ids).logits_per_image)
    assert siglip2.count_flops(config, budget, batch, batch).total == forward
    both = siglip2.count_flops(config, budget, batch, batch, training=True)
    assert both.total == forward + backward
    forward, _ = flops(lambda: model.encode_image(**inputs))
    assert siglip2.count_flops(config, budget, batch, 0).total == forward


def test_a_square_budget_costs_what_a_square_costs():
    config = siglip2.get_config("siglip2-base-patch16-naflex")
    square = sl.count_flops(sl.get_config("siglip2-base-patch16-256"))
    count = siglip2.count_flops(config)
    positions = count.vision["embeddings"]["positions"].total
    assert count.total - positions == square.total and positions < 0.003 * square.total
    assert siglip2.count_flops(config, 1024).vision.total > 4 * count.vision.total


@settings(max_examples=15, derandomize=True)
@given(
    config=flexible(), budget=st.integers(1, 30), batch=st.integers(1, 3), maps=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)  # fmt: skip
def test_activations_are_what_autograd_saves(config, budget, batch, maps, dtype):
    model = siglip2.SigLIP2(config, seed=0).to(dtype)
    inputs, _ = made(config, budget, batch)
    options = {"training": True, "attention_maps": maps}
    count = siglip2.count_bytes(config, budget, dtype, batch, **options)
    with attention(maps):
        found = saved_bytes(model, lambda: model.encode_image(**inputs), *inputs.values())
    kept = count["activations"]
    assert found == kept.vision.total + (0 if dtype == torch.float32 else kept["pixels"].total)
    assert count["inputs"].total == sum(x.nbytes for x in inputs.values()) + batch * 8 * (
        config.text.context_length
    )


MIDDLING = SigLIPConfig(
    VisionConfig(96, 8, width=96, depth=8, num_heads=6, mlp_dim=384),
    TextConfig(2000, 32, width=96, depth=8, num_heads=6, mlp_dim=384),
)


@pytest.mark.parametrize("maps", [False, True])
def test_memory_of_an_inference_and_of_checkpointing(one_thread, maps):
    model = siglip2.SigLIP2(MIDDLING, seed=0)
    inputs, _ = made(MIDDLING, 200, 2)
    options = {"batch": 2, "attention_maps": maps}

    def inference():
        with torch.no_grad():
            return model.encode_image(**inputs)

    with attention(maps):
        inference()
        peak = peak_bytes(inference)
        model.set_grad_checkpointing(True)
        held = sum(memory_events(lambda: model.encode_image(**inputs)))
    count = siglip2.count_bytes(MIDDLING, 200, **options)
    assert peak == pytest.approx(count["working memory"].total, rel=0.1)
    options |= {"training": True, "grad_checkpointing": True}
    kept = siglip2.count_bytes(MIDDLING, 200, **options)["activations"].vision.total
    random_state = 8 * torch.get_rng_state().nbytes
    assert kept <= held <= kept + random_state + 4096


@pytest.mark.parametrize("count", [siglip2.count_flops, siglip2.count_bytes])
def test_what_cannot_be_counted(count):
    with pytest.raises(TypeError, match="config must be a SigLIPConfig"):
        count("siglip2-base-patch16-naflex")
    with pytest.raises(ValueError, match="max_num_patches must be at least 1"):
        count(CONFIG, 0)
    with pytest.raises(TypeError, match="max_num_patches must be an integer"):
        count(CONFIG, 2.5)


# ---- the command line ----------------------------------------------------------------------------


def test_classify_and_trace(pair, folder, photo, capsys):
    assert main(["classify", photo, *LABELS, "--model", folder, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    expected = sl.zero_shot(*pair, photo, LABELS)[0].tolist()
    assert [row["probability"] for row in rows] == pytest.approx(expected, rel=1e-4)
    assert main(["trace", photo, *LABELS, "--model", folder]) == 0
    assert "spatial_shapes" in capsys.readouterr().out


def test_models_and_counts(capsys):
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(rows) == 12 + 15 + 2
    assert rows["siglip2-so400m-patch16-naflex"]["image_size"] is None
    assert rows["siglip2-so400m-patch14-384"]["vocab_size"] == 256_000
    assert main(["models"]) == 0
    assert "siglip2-base-patch16-naflex" in capsys.readouterr().out
    names = ["siglip2-base-patch16-naflex", "google/siglip2-base-patch16-256"]
    for options, functions in (
        ([], (siglip2.count_parameters, sl.count_parameters)),
        (["--flops"], (siglip2.count_flops, sl.count_flops)),
    ):
        assert main(["count", *names, "--json", *options]) == 0
        found = json.loads(capsys.readouterr().out)
        for name, function, family in zip(names, functions, (siglip2, sl), strict=True):
            assert found[name]["total"] == function(family.get_config(name)).total


def test_convert(pair, photo, monkeypatch, tmp_path, capsys):
    """A NaFlex file by its published name, played by a small one."""
    model, _ = pair
    name = "siglip2-base-patch16-naflex"
    monkeypatch.setitem(siglip2.configs.NAFLEX, name, CONFIG)
    file = str(save_npz(tmp_path / "a.npz", big_vision(model)))
    gemma, folder = str(write_gemma(tmp_path)), str(tmp_path / "folder")
    assert main(["convert", file, folder]) == 1
    assert "siglip2.SigLIP2.from_pretrained" in capsys.readouterr().err
    spiece = str(sl.loading.pretrained.EMBEDDED["tiny"] / "spiece.model")
    assert main(["convert", file, folder, "--shape", name, "--tokenizer", spiece]) == 1
    assert "give the tokenizer.json of a SigLIP 2" in capsys.readouterr().err
    assert main(["convert", file, folder, "--shape", name, "--tokenizer", gemma]) == 0
    assert "parameters" in capsys.readouterr().out
    assert main(["classify", photo, "a cat", "--model", folder, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    processor = siglip2.Processor(siglip2.Tokenizer(gemma, 16))
    expected = sl.zero_shot(model, processor, photo, ["a cat"]).item()
    assert row["probability"] == pytest.approx(expected, rel=1e-4) and not math.isnan(expected)


def test_convert_one_of_fixed_size(monkeypatch, tmp_path, capsys):
    fixed = sl.SigLIP(CONFIG, seed=0)
    file = str(save_npz(tmp_path / "a.npz", big_vision(fixed)))
    gemma, folder = str(write_gemma(tmp_path)), str(tmp_path / "folder")
    assert main(["convert", file, folder, "--tokenizer", gemma]) == 0
    assert "parameters" in capsys.readouterr().out
    processor = sl.Processor.from_pretrained(folder)
    assert processor.resample == 2 and processor.tokenizer.vocab_size == PIECES
    inputs = processor(text=LABELS, images=np.zeros((9, 9, 3), np.uint8))
    assert sl.SigLIP.from_pretrained(folder)(**inputs).logits_per_image.shape == (1, 3)
