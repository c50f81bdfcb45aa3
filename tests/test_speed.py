"""What `siglip-lab bench` says, and the type that a device does well. Nothing here is timed."""

import json
from functools import partial

import pytest
import torch

import siglip_lab as sl
from benchmarks import inference
from siglip_lab import clip
from siglip_lab.cli import main
from siglip_lab.export import towers
from siglip_lab.families import load_pair, random_pair
from siglip_lab.loading.weights import auto_dtype
from siglip_lab.speed import WAYS, measure_ways, where_time_goes
from siglip_lab.speed import ways as every_way

STEPS = ["read, resize", "image tower", "tokenize", "text tower", "compare"]


@pytest.fixture
def tiny() -> tuple[sl.SigLIP, sl.Processor]:
    return sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")


# ---- dtype="auto" --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"),
    [(True, True, torch.bfloat16), (False, True, torch.bfloat16), (False, False, torch.float32)],
)
def test_auto_on_a_processor(monkeypatch, amx, avx512, expected):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert auto_dtype(None) == auto_dtype("cpu") == expected
    assert auto_dtype(torch.device("mps")) == torch.float32
    model = sl.SigLIP.from_pretrained("emoji", dtype="auto")  # whose file holds float16
    assert model.vision_model.head.probe.dtype == expected
    assert model.logit_scale.dtype == torch.float32


@pytest.mark.parametrize(("able", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_a_gpu(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    assert auto_dtype("cuda:1") == expected


def test_no_other_word_is_a_type():
    with pytest.raises(TypeError, match="dtype is 'float32'; expected .*\"auto\" for what the dev"):
        sl.SigLIP.from_pretrained("tiny", dtype="float32")


def test_auto_is_close_to_float32():
    """Also where the processor has to imitate bfloat16."""
    processor = sl.Processor.from_pretrained("tiny")
    image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    one, other = (
        sl.embed_images(sl.SigLIP.from_pretrained("tiny", dtype=dtype), processor, image)
        for dtype in (torch.float32, "auto")
    )
    assert (one * other).sum() > 0.9999


# ---- which model ---------------------------------------------------------------------------------


def test_each_name_finds_its_family():
    for name, kind in (("tiny", sl.SigLIP), ("emoji", sl.SigLIP)):
        model, processor = load_pair(name)
        assert type(model) is kind and processor.format is model.format


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "ViT-B/32", "siglip2-base-patch16-naflex"])
def test_random_weights_in_a_published_shape(name):
    model, processor = random_pair(name)
    assert processor.format is model.format and not model.training
    drawn = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    with torch.no_grad():
        logits = model(**processor(text=["a cat", "a dog"], images=drawn)).logits_per_image
    assert logits.shape == (1, 2) and logits.isfinite().all()


def test_a_clip_of_a_folder(tmp_path):
    sizes = {"width": 32, "depth": 1, "num_heads": 2, "mlp_dim": 48}
    processor = clip.Processor(clip.Tokenizer(context_length=9), 32)
    text = sl.TextConfig(processor.tokenizer.vocab_size, 9, **sizes)
    config = clip.CLIPConfig(sl.VisionConfig(32, 16, **sizes), text, 24)
    clip.CLIP(config, seed=0).save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert isinstance(load_pair(tmp_path)[0], clip.CLIP)


# ---- siglip-lab bench ----------------------------------------------------------------------------


def test_where_the_time_goes(tiny):
    stages = where_time_goes(*tiny, batch_size=2, seconds=0)
    assert [name for name in stages if not name.startswith(" ")] == STEPS
    parts = [name.strip() for name in stages if name.startswith(" ")]
    assert parts == ["patches", "norms", "attention", "MLP", "pooling"]
    assert all(len(row) == 2 and min(row) > 0 for row in stages.values())


def test_every_way_of_pytorch_stands_beside_float32(tiny):
    names = ["float16", "bfloat16", "medium"]
    report = measure_ways(*tiny, names, batch_size=2, seconds=0)
    assert [row.way for row in report.rows] == ["float32", "medium", "bfloat16", "float16"]
    float32, medium, bfloat16, float16 = report.rows
    assert float32.cosine == pytest.approx(1) and float32.probability == 0
    assert medium.cosine > 0.9999
    assert 1 > float16.cosine > bfloat16.cosine > 0.9999
    assert float16.probability < bfloat16.probability < 0.1
    halves = [row.megabytes / float32.megabytes for row in (medium, bfloat16, float16)]
    assert halves == pytest.approx([1, 0.5, 0.5], abs=0.01)
    assert torch.get_float32_matmul_precision() == "highest"
    assert "fastest with a cosine of at least 0.999" in str(report)
    assert 'dtype="auto" is' in str(report)


@pytest.mark.slow
def test_onnx_runtime_stands_beside_it_too(tiny):
    for package in towers.PACKAGES:
        pytest.importorskip(package, reason="the extra export is not installed")
    names = ["onnx", "onnx-int8", "onnx-int8-weights"]
    report = measure_ways(*tiny, names, batch_size=2, seconds=0)
    _, plain, dynamic, weights = report.rows
    assert plain.cosine == pytest.approx(1, abs=1e-6) and plain.probability < 1e-4
    assert plain.cosine > weights.cosine > dynamic.cosine > 0.99
    assert dynamic.megabytes < weights.megabytes < plain.megabytes


@pytest.mark.slow
def test_compiled_says_the_same(tiny, monkeypatch):
    """Traced, but for a compiler of C++, which a machine may lack and which takes a minute."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    report = measure_ways(*tiny, ["compiled"], batch_size=2, seconds=0)
    assert report.rows[1].cosine > 0.999


def test_the_command_as_json_and_as_a_table(capsys):
    arguments = ["bench", "tiny", "--seconds", "0", "--batch-size", "2", "--device", "cpu"]
    arguments += ["--way", "bfloat16"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "tiny" and found["batch_size"] == 2
    assert [row["way"] for row in found["rows"]] == ["float32", "bfloat16"]
    assert main([*arguments, "--random"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tiny: processor ")
    assert any(line.startswith("where the time goes (float32)") for line in lines)
    assert lines[-1].startswith('dtype="auto" is ')


def test_what_the_command_refuses(capsys, monkeypatch):
    refused = {
        ("no/model", "--device", "nowhere"): "device is 'nowhere'",
        ("no-such-model", "--random"): "unknown model 'no-such-model'",
        ("tiny", "--seconds", "-1"): "--seconds is -1; expected 0 to 3600",
        ("tiny", "--seconds", "nan"): "--seconds is nan; expected 0 to 3600",
    }
    for arguments, message in refused.items():
        assert main(["bench", *arguments]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setattr(every_way, "find_spec", lambda name: None)
    assert main(["bench", "no/model", "--device", "cpu", "--way", "onnx-int8"]) == 1
    assert "onnx-int8 needs onnx, onnxruntime, onnxscript, tokenizers" in capsys.readouterr().err


def test_what_runs_on_the_cpu_only():
    with pytest.raises(ValueError, match="onnx runs on the CPU, the device is cuda: leave it out"):
        every_way.check_ways(["onnx"], torch.device("cuda"))
    names = every_way.check_ways([], torch.device("cuda"))
    assert names == ["float32", "medium", "bfloat16", "float16"]
    with pytest.raises(ValueError, match="there is no way 'int4'; expected float32, medium"):
        every_way.check_ways(["int4"], torch.device("cpu"))
    assert set(every_way.check_ways(list(WAYS), torch.device("cpu"))) == set(WAYS)


# ---- the benchmark -------------------------------------------------------------------------------


@pytest.mark.slow
def test_inference_is_measured_beside_transformers(tmp_path):
    out = tmp_path / "inference.json"
    ways = ["float32", "bfloat16"]
    sizes = ["--batches", "1", "2", "--runs", "1"]
    inference.main(["--models", "tiny", "--ways", *ways, *sizes, "--out", str(out)])
    result = json.loads(out.read_text())
    assert [(row["model"], row["batch"]) for row in result["rows"]] == [("tiny", 1), ("tiny", 2)]
    for row in result["rows"]:
        assert list(row["median_ms"]) == [*ways, "transformers", "transformers, bfloat16"]
        assert row["times_transformers"]["transformers"] == 1
        assert list(row["working_gb"]) == list(row["weights_gb"]) == ways
    answers = result["answers"]
    assert answers["float32"]["largest_change_of_a_probability"] == 0
    assert abs(answers["bfloat16"]["accuracy"] - answers["float32"]["accuracy"]) < 0.02


@torch.no_grad()
def test_a_peer_that_computes_something_else_is_not_timed():
    one, other = (sl.SigLIP(sl.get_config("tiny"), seed=seed).eval() for seed in (0, 1))
    encoders = {"float32": lambda inputs: one.encode_image(**inputs),
                inference.DEFAULT: lambda inputs: other.encode_image(**inputs)}  # fmt: skip
    with pytest.raises(RuntimeError, match="a speed without equality is none"):
        inference.check_equal(encoders, inference.pixels(one, 2))
