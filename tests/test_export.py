"""ONNX: the towers' files say what the model says, and there is a whole folder or none."""

import errno
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gemma_file import write_gemma
from serving import served

import siglip_lab as sl
from siglip_lab import clip, siglip2
from siglip_lab.cli import main
from siglip_lab.clip.configs import CLIPConfig, ResNetConfig
from siglip_lab.export import SUFFIXES, checking, export_onnx, folders, open_session, variants
from siglip_lab.export import towers as graphs
from siglip_lab.export.checking import pictures, sample
from siglip_lab.loading.pretrained import EMBEDDED

for _package in graphs.PACKAGES:
    pytest.importorskip(_package, reason="the extra export is not installed")

SIDES = {"image": "vision_model", "text": "text_model"}
SIZES = {"width": 32, "depth": 1, "num_heads": 2, "mlp_dim": 48}
VISION = sl.VisionConfig(32, 16, **SIZES)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """tiny, in every format, written by the command."""
    out = tmp_path_factory.mktemp("export") / "new" / "tiny"
    formats = [word for name in reversed(SUFFIXES) for word in ("--dtype", name)]
    assert main(["export", "tiny", str(out), *formats]) == 0
    return out


@pytest.fixture(scope="module")
def tiny() -> tuple[sl.SigLIP, sl.Processor]:
    return sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")


@pytest.fixture
def small() -> tuple[sl.SigLIP, sl.Processor]:
    """Random, and traced in a moment."""
    tokenizer = sl.Tokenizer(EMBEDDED["tiny"] / "spiece.model", 6)
    config = sl.SigLIPConfig(VISION, sl.TextConfig(tokenizer.vocab_size, 6, **SIZES))
    return sl.SigLIP(config, seed=0).eval(), sl.Processor(tokenizer, 32)


def vectors(session, inputs) -> np.ndarray:
    """Unit vectors, as another program gets them: with NumPy alone."""
    (raw,) = session.run(None, {name: np.asarray(tensor) for name, tensor in inputs.items()})
    return raw / np.linalg.norm(raw, axis=-1, keepdims=True)


# ---- what the files say --------------------------------------------------------------------------


@pytest.mark.slow
def test_logits_come_of_the_folder_alone(exported, tiny):
    manifest = json.loads((exported / "export.json").read_text())
    processor = sl.Processor.from_pretrained(exported)
    inputs = processor(text=["2 red circles", "a blue square"], images=pictures()[:3])
    image, text = (
        vectors(open_session(exported / f"onnx/{SIDES[side]}.onnx"), {name: inputs[name]})
        for side, name in (("image", "pixel_values"), ("text", "input_ids"))
    )
    logits = manifest["logit_scale"] * image @ text.T + manifest["logit_bias"]
    with torch.no_grad():
        expected = tiny[0](**inputs).logits_per_image
    assert np.abs(logits - expected.numpy()).max() < 1e-3
    assert manifest["probabilities"] == "sigmoid"


@pytest.mark.slow
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", SUFFIXES)
def test_the_measured_error_is_the_files(exported, tiny, side, dtype):
    model, processor = tiny
    name = f"onnx/{SIDES[side]}{SUFFIXES[dtype]}.onnx"
    entry = json.loads((exported / "export.json").read_text())["files"][name]
    inputs = sample(processor, side)
    encode = model.encode_image if side == "image" else model.encode_text
    with torch.no_grad():
        expected = encode(*inputs.values()).numpy()
    difference = np.abs(vectors(open_session(exported / name), inputs) - expected).max()
    assert difference == pytest.approx(entry["difference"], rel=0.3, abs=1e-6)
    most = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 2e-3, "int8": 0.05, "int8-weights": 0.01}
    assert difference < most[dtype]
    assert entry["cosine"] > (0.995 if dtype == "int8" else 0.9995)
    assert entry["bytes"] == (exported / name).stat().st_size
    plain = exported / f"onnx/{SIDES[side]}.onnx"
    assert dtype == "float32" or entry["bytes"] < 0.6 * plain.stat().st_size


@pytest.mark.slow
def test_any_number_of_rows_and_only_padded_texts(exported, tiny):
    from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

    session = open_session(exported / "onnx/text_model.onnx")
    (ids,) = sample(tiny[1], "text").values()
    all_at_once = vectors(session, {"input_ids": ids})
    for start, end in ((0, 1), (1, 4), (4, 8)):
        part = vectors(session, {"input_ids": ids[start:end]})
        assert np.abs(part - all_at_once[start:end]).max() < 1e-5
    with pytest.raises(InvalidArgument):
        vectors(session, {"input_ids": ids[:, :5]})


@pytest.mark.slow
def test_the_folder_is_laid_out_as_transformers_js_reads_it(exported):
    manifest = json.loads((exported / "export.json").read_text())
    assert {path.name for path in exported.iterdir()} == {
        "config.json", "export.json", "onnx", "preprocessor_config.json", "spiece.model",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    expected = [f"onnx/{file}{end}.onnx" for file in SIDES.values() for end in SUFFIXES.values()]
    assert list(manifest["files"]) == expected
    assert sorted(f"onnx/{path.name}" for path in (exported / "onnx").iterdir()) == sorted(expected)
    vision, text = manifest["files"][expected[0]], manifest["files"]["onnx/text_model.onnx"]
    assert vision["inputs"] == {"pixel_values": "tensor(float) [batch_size, 3, 40, 40]"}
    assert text["inputs"] == {"input_ids": "tensor(int64) [batch_size, 16]"}
    assert vision["outputs"] == {"pooler_output": "tensor(float) [batch_size, 72]"}
    assert json.loads((exported / "config.json").read_text())["model_type"] == "siglip"


@pytest.mark.slow
def test_no_file_tells_where_it_was_made(exported):
    here = str(Path(sl.__file__).parent).encode()
    for path in exported.rglob("*.onnx"):
        content = path.read_bytes()
        assert here not in content and b".py" not in content, path.name


@pytest.mark.slow
@pytest.mark.browser
def test_the_files_run_in_a_browser(exported, tiny, browser, root, tmp_path):
    runtime = root / "build/onnxruntime-web/node_modules/onnxruntime-web/dist"
    runtime = Path(os.environ.get("ONNXRUNTIME_WEB", runtime))
    if not (runtime / "ort.wasm.min.mjs").exists():
        pytest.skip(
            "no onnxruntime-web: npm install --prefix build/onnxruntime-web onnxruntime-web"
        )
    (tmp_path / "runtime").symlink_to(runtime)
    (tmp_path / "model").symlink_to(exported)
    (tmp_path / "index.html").write_text("<!doctype html><title>a model</title>")
    code = """async ([file, name, type, numbers, shape]) => {
        const ort = await import("/runtime/ort.wasm.min.mjs");
        ort.env.wasm.numThreads = 1;
        const session = await ort.InferenceSession.create("/model/onnx/" + file);
        const array = type === "int64" ? BigInt64Array.from(numbers.map(BigInt)) : numbers;
        const found = await session.run({[name]: new ort.Tensor(type, array, shape)});
        return Array.from(Object.values(found)[0].data);
    }"""
    with served(tmp_path) as address:
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        for side, file in SIDES.items():
            ((name, tensor),) = sample(tiny[1], side).items()
            native = open_session(exported / f"onnx/{file}.onnx")
            expected = vectors(native, {name: tensor})
            kind = "int64" if side == "text" else "float32"
            for dtype, end in SUFFIXES.items():
                given = [f"{file}{end}.onnx", name, kind, tensor.flatten().tolist()]
                raw = page.evaluate(code, [*given, list(tensor.shape)])
                rows = np.array(raw).reshape(len(tensor), -1)
                rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
                cosine = (rows * expected).sum(axis=-1).min()
                assert cosine > (0.995 if dtype == "int8" else 0.9995), (file, dtype, cosine)
        page.close()


# ---- CLIP, and images of any shape ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "vision", [VISION, ResNetConfig(32, 8, (1, 1, 1, 1))], ids=["ViT", "ResNet"]
)
def test_a_clip(vision, tmp_path):
    processor = clip.Processor(clip.Tokenizer(context_length=9), 32)
    text = sl.TextConfig(processor.tokenizer.vocab_size, 9, **SIZES)
    model = clip.CLIP(CLIPConfig(vision, text, 24), seed=0).eval()
    manifest = export_onnx(model, processor, tmp_path / "out")
    assert manifest["probabilities"].startswith("softmax") and manifest["logit_bias"] == 0
    assert manifest["logit_scale"] == pytest.approx(1 / 0.07)
    image, words = manifest["files"].values()
    assert list(image["outputs"]) == ["image_embeds"] and list(words["outputs"]) == ["text_embeds"]
    assert words["inputs"] == {"input_ids": "tensor(int64) [batch_size, sequence_length]"}
    session = open_session(tmp_path / "out/onnx/text_model.onnx")
    ids = processor(text=["a cat"])["input_ids"]
    whole, short = (vectors(session, {"input_ids": each}) for each in (ids, ids[:, :5]))
    assert np.abs(whole - short).max() < 1e-5  # it never reads the padding
    assert (tmp_path / "out/config.json").exists() == (vision is VISION)


@pytest.mark.slow
def test_naflex_takes_any_budget_of_patches(tmp_path):
    tokenizer = siglip2.Tokenizer(write_gemma(tmp_path), 6)
    config = sl.SigLIPConfig(VISION, sl.TextConfig(tokenizer.vocab_size, 6, **SIZES))
    model, processor = siglip2.SigLIP2(config, seed=0).eval(), siglip2.Processor(tokenizer, 12)
    manifest = export_onnx(model, processor, tmp_path / "out", ["float32", "int8"])
    assert manifest["files"]["onnx/vision_model.onnx"]["inputs"] == {
        "pixel_values": "tensor(float) [batch_size, num_patches, 768]",
        "pixel_attention_mask": "tensor(int32) [batch_size, num_patches]",
        "spatial_shapes": "tensor(int64) [batch_size, 2]",
    }
    session = open_session(tmp_path / "out/onnx/vision_model.onnx")
    for budget in (7, 40):
        inputs = siglip2.preprocess(pictures()[:2], budget)
        with torch.no_grad():
            expected = model.encode_image(**inputs).numpy()
        assert np.abs(vectors(session, inputs) - expected).max() < 1e-5


# ---- large files ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_weights_stand_beside_a_file_that_would_be_too_large(small, tmp_path, monkeypatch):
    monkeypatch.setattr(variants, "MOST", 1000)
    manifest = export_onnx(*small, tmp_path / "out", ["int8", "int8-weights", "bfloat16"])
    for name, entry in manifest["files"].items():
        path = tmp_path / "out" / name
        data = path.with_suffix(".onnx_data")
        assert path.stat().st_size + data.stat().st_size == entry["bytes"]
        assert data.stat().st_size > 1000
    names = [Path(name).name for name in manifest["files"]]
    assert "vision_model.onnx" not in names  # it was there only to be quantised
    found = sorted(path.name for path in (tmp_path / "out/onnx").iterdir())
    assert found == sorted(names + [Path(name).stem + ".onnx_data" for name in names])
    config = json.loads((tmp_path / "out/config.json").read_text())
    large = config["transformers.js_config"]["use_external_data_format"]
    assert sorted(large) == sorted(names)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    open_session(tmp_path / "elsewhere/onnx/text_model_int8.onnx")


# ---- doors ---------------------------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_folder_with_something_in_it_is_refused(small, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").touch()
    for arguments in (["tiny", str(tmp_path / "out")], ["no/model", str(tmp_path / "out")]):
        assert main(["export", *arguments]) == 1  # before a hub is asked
        assert "is not empty: name a folder" in capsys.readouterr().err
    with pytest.raises(NotADirectoryError, match="is a file"):
        export_onnx(*small, tmp_path / "out/thesis.txt")
    assert left(tmp_path) == ["out", "thesis.txt"]


def test_what_is_missing_is_named(small, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(graphs, "find_spec", lambda name: name == "onnx")
    with pytest.raises(
        ImportError, match=r"needs onnxruntime, onnxscript, tokenizers: pip install 'siglip-lab"
    ):
        export_onnx(*small, tmp_path / "out")
    assert main(["export", "no/model", str(tmp_path / "out")]) == 1
    assert "siglip-lab[export]" in capsys.readouterr().err
    assert left(tmp_path) == []


def test_wrong_arguments(small, tiny, tmp_path):
    with pytest.raises(ValueError, match="dtypes has 'int4'; expected some of float32, float16"):
        export_onnx(*small, tmp_path / "out", ["float32", "int4"])
    with pytest.raises(ValueError, match="dtypes has nothing"):
        export_onnx(*small, tmp_path / "out", [])
    with pytest.raises(TypeError, match="expected this library's SigLIP or CLIP"):
        export_onnx(small[0].text_model, small[1], tmp_path / "out")
    with pytest.raises(ValueError, match="pads texts to 6 tokens, the model reads 16"):
        export_onnx(tiny[0], small[1], tmp_path / "out")
    with pytest.raises(ValueError, match="pixel_values are 32x32"):
        export_onnx(tiny[0], sl.Processor(tiny[1].tokenizer, 32), tmp_path / "out")
    assert left(tmp_path) == []


def test_a_disk_without_room_is_refused_at_once(small, tmp_path, monkeypatch):
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda place: type("", (), {"free": 9})())
    with pytest.raises(OSError, match=r"0.00 GB are free, its files need"):
        export_onnx(*small, tmp_path / "a" / "out")
    assert left(tmp_path) == []


@pytest.mark.slow
def test_a_disk_that_fills_leaves_nothing(small, tmp_path, monkeypatch):
    whole = variants.save

    def save(graph, path):
        whole(graph, path)
        if path.name == "text_model.onnx":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(variants, "save", save)
    with pytest.raises(OSError, match=r"cannot write .*out \(No space left on device\); nothing"):
        export_onnx(*small, tmp_path / "out")
    assert left(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_the_right_to_write(small, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="nothing of it is left"):
        export_onnx(*small, tmp_path / "out")


@pytest.mark.slow
def test_a_file_that_says_something_else_is_not_done(small, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "TOLERANCE", 1e-12)
    with pytest.raises(ValueError, match="differs from PyTorch by .*; expected at most 1e-12"):
        export_onnx(*small, tmp_path / "out")
    assert left(tmp_path) == []


@pytest.mark.slow
def test_an_empty_folder_is_taken_and_has_the_rights_of_new_ones(small, tmp_path):
    model, processor = small
    (tmp_path / "out").mkdir()
    (tmp_path / "plain").mkdir()
    export_onnx(model.to(torch.bfloat16), processor, tmp_path / "out", "float16")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode
    names = {"vision_model_fp16.onnx", "text_model_fp16.onnx"}
    assert set(left(tmp_path / "out/onnx")) == names
    assert next(model.text_model.parameters()).dtype == torch.bfloat16  # as it was given
