import json
import os
import subprocess
import sys

import pytest
import torch
from parity import random_inputs, random_model, twin
from PIL import Image
from safetensors.torch import load_file, save_file

import siglip_lab as sl
from siglip_lab.checkpoints import (
    TINY,
    CheckpointError,
    load_model,
    load_processor,
    read_config,
)
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig, get_config

CONFIG = SigLIPConfig(
    VisionConfig(46, 6, width=48, depth=2, num_heads=2, mlp_dim=100),
    TextConfig(600, 8, width=32, depth=3, num_heads=4, mlp_dim=70, embed_dim=48),
)
TINY_IMAGE = Image.new("RGB", (60, 40), "red")
PREPROCESSING = {
    "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    "size": {"height": 46, "width": 46},
}  # fmt: skip


@pytest.fixture
def model():
    return random_model(CONFIG)


@pytest.fixture
def folder(model, tmp_path):
    """A checkpoint folder written by transformers."""
    twin(model).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    (tmp_path / "spiece.model").write_bytes((TINY / "spiece.model").read_bytes())
    return tmp_path


def change_json(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        target = content
        for parent in parents:
            target = target[parent]
        target[last] = value
    path.write_text(json.dumps(content))


def change_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor.clone() for name, tensor in weights.items()}
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# ---- what loads ----------------------------------------------------------------------------------


def test_a_folder_saved_by_transformers_loads(model, folder):
    loaded = load_model(folder)
    assert loaded.config == CONFIG
    assert not loaded.training
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_shards_load(model, folder):
    (folder / "model.safetensors").unlink()
    twin(model).save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    loaded = load_model(folder)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_loaded_weights_can_be_trained_without_changing_the_file(folder):
    before = (folder / "model.safetensors").read_bytes()
    loaded = load_model(folder)
    loaded(**random_inputs(CONFIG)).logits_per_image.sum().backward()
    torch.optim.SGD(loaded.parameters(), lr=1.0).step()
    assert (folder / "model.safetensors").read_bytes() == before


def test_dtype(folder):
    kept, half = load_model(folder), load_model(folder, dtype=torch.bfloat16)
    assert half.text_model.head.bias.dtype == torch.bfloat16
    for scalar in ("logit_scale", "logit_bias"):  # rounded, they would move every probability
        assert getattr(half, scalar).dtype == torch.float32
        assert torch.equal(getattr(half, scalar), getattr(kept, scalar))
    assert load_model(folder, dtype=torch.float64).logit_scale.dtype == torch.float64
    change_weights(folder, lambda w: w.update({k: v.half() for k, v in w.items()}))
    assert load_model(folder).logit_scale.dtype == torch.float16
    assert load_model(folder, dtype=torch.float32).logit_scale.dtype == torch.float32


def test_config_file_of_a_published_model_stores_only_what_differs(tmp_path):
    shape = {
        "hidden_size": 1152, "intermediate_size": 4304,
        "num_attention_heads": 16, "num_hidden_layers": 27,
    }  # fmt: skip
    content = {
        "model_type": "siglip",
        "text_config": shape,
        "vision_config": shape | {"image_size": 384, "patch_size": 14},
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_config(tmp_path) == get_config("siglip-so400m-patch14-384")


@pytest.mark.slow
def test_random_weights_are_the_same_for_the_same_seed():
    first = load_model("siglip-base-patch16-224", weights="random", seed=3)
    second = load_model("siglip-base-patch16-224", weights="random", seed=3, dtype=torch.bfloat16)
    name = "vision_model.encoder.layers.11.mlp.fc2.weight"
    assert torch.equal(first.state_dict()[name].bfloat16(), second.state_dict()[name])
    assert torch.equal(first.logit_scale, second.logit_scale)
    other = "text_model.encoder.layers.11.mlp.fc2.weight"  # of the same shape, from its own stream
    assert not torch.equal(first.state_dict()[name], first.state_dict()[other])


@pytest.mark.slow
@pytest.mark.parametrize("dtype, most", [("None", 0.25), ("torch.bfloat16", 0.95)])
def test_loading_maps_the_file_instead_of_copying_it(tmp_path, dtype, most):
    """Loading 400 MB takes less than a quarter of it in memory; in half precision, which is half
    of it, the file is never there as a whole beside what it becomes."""
    config = SigLIPConfig(
        VisionConfig(28, 14, width=64, depth=1, num_heads=2, mlp_dim=64),
        TextConfig(8, 8, width=512, depth=44, num_heads=8, mlp_dim=1200, embed_dim=64),
    )
    twin(random_model(config)).save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 380e6
    code = (
        "import resource, sys, siglip_lab, torch\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        f"model = siglip_lab.load_model(sys.argv[1], dtype={dtype})\n"
        "print(peak() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(run.stdout) * unit < size * most


def test_processor(folder):
    inputs = load_processor(folder)(text=["a red circle", "2 blue squares"], images=[TINY_IMAGE])
    assert inputs["input_ids"].shape == (2, 8)
    assert inputs["pixel_values"].shape == (1, 3, 46, 46)
    with torch.no_grad():
        assert load_model(folder)(**inputs).logits_per_image.shape == (1, 2)


def test_processor_takes_either_side(folder):
    processor = load_processor(folder)
    assert list(processor(text="a")) == ["input_ids"]
    assert list(processor(images=TINY_IMAGE)) == ["pixel_values"]
    with pytest.raises(ValueError, match="give text, images or both"):
        processor()


def test_processor_reads_the_file_that_transformers_5_writes(folder):
    (folder / "preprocessor_config.json").unlink()
    content = json.dumps({"image_processor": PREPROCESSING})
    (folder / "processor_config.json").write_text(content)
    assert load_processor(folder).image_size == 46


# ---- what does not -------------------------------------------------------------------------------


def test_missing_extra_and_misshapen_keys(folder):
    def rename(weights):
        weights["vision_model.head.prob"] = weights.pop("vision_model.head.probe")

    change_weights(folder, rename)
    with pytest.raises(CheckpointError, match="missing: vision_model.head.probe; not expected: v"):
        load_model(folder)


def test_misshapen_key(folder):
    change_weights(folder, lambda w: w.update({"text_model.head.bias": torch.zeros(47)}))
    with pytest.raises(CheckpointError, match=r"text_model.head.bias has shape \[47\].*\[48\]"):
        load_model(folder)


def test_quantized_weights(folder):
    change_weights(
        folder, lambda w: w.update({"text_model.head.bias": torch.zeros(48, dtype=torch.int8)})
    )
    with pytest.raises(CheckpointError, match="text_model.head.bias is torch.int8"):
        load_model(folder)


def test_many_missing_keys_are_counted(folder):
    change_weights(folder, lambda w: [w.pop(k) for k in list(w) if "encoder" in k])
    with pytest.raises(CheckpointError, match="and 75 more; not expected: none"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_truncated_file(folder, keep):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep >= 4 else int(len(content) * keep)])
    with pytest.raises(CheckpointError, match="model.safetensors .* is truncated or not"):
        load_model(folder)


def test_corrupt_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_model(folder)


def test_missing_files(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no model.safetensors in this folder"):
        load_model(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="no config.json in this folder"):
        load_model(folder)


def test_missing_shard(model, folder):
    (folder / "model.safetensors").unlink()
    twin(model).save_pretrained(folder, max_shard_size="60KB")
    sorted(folder.glob("*.safetensors"))[1].unlink()
    with pytest.raises(CheckpointError, match="no model-00002-of-"):
        load_model(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "clip"}, "model_type is 'clip', expected 'siglip'"),
        ({"model_type": "siglip2"}, "model_type is 'siglip2'"),
        ({"vision_config__hidden_act": "quick_gelu"}, "vision_config.hidden_act is 'quick_gelu'"),
        ({"text_config__layer_norm_eps": 1e-5}, "text_config.layer_norm_eps is 1e-05"),
        ({"vision_config__num_channels": 4}, "num_channels is 4"),
        ({"vision_config__vision_use_head": False}, "vision_use_head is False"),
        ({"vision_config__num_attention_heads": 5}, "width 48 cannot be split into 5"),
        ({"text_config__projection_size": 32}, "size 48 .* text embeddings 32"),
        ({"vision_config__image_size": [46, 46]}, "image_size must be an integer"),
    ],
)
def test_configs_that_are_not_siglip(folder, changes, message):
    change_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        load_model(folder)


def test_config_that_does_not_fit_the_weights(folder):
    change_json(folder / "config.json", vision_config__num_hidden_layers=3)
    with pytest.raises(CheckpointError, match="missing: vision_model.encoder.layers.2"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("[]", "JSON object, found list")]
)
def test_config_that_is_no_config(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    "changes",
    [{"resample": 2}, {"image_mean": [0.48, 0.46, 0.41]}, {"size": {"height": 48, "width": 48}}],
)
def test_other_preprocessing_is_refused(folder, changes):
    change_json(folder / "preprocessor_config.json", **changes)
    with pytest.raises(
        CheckpointError, match=f"{next(iter(changes))} is .*this model's preprocessing"
    ):
        load_processor(folder)


def test_tokenizer_of_another_model(folder):
    change_json(folder / "config.json", text_config__vocab_size=10)
    with pytest.raises(CheckpointError, match="config.json allows 10"):
        load_processor(folder)


def test_folder_of_another_shape(folder):
    with pytest.raises(CheckpointError, match="is not siglip-base-patch16-224: it holds vision"):
        load_model("siglip-base-patch16-224", source=folder)


def test_names_and_folders_that_do_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint folder 'siglip-giant'.*tiny"):
        load_model("siglip-giant")
    with pytest.raises(ValueError, match="unknown model 'siglip-giant'"):
        load_model("siglip-giant", source=tmp_path)
    with pytest.raises(ValueError, match=r"not part of this package: pass source=FOLDER"):
        load_model("siglip-so400m-patch14-384")
    with pytest.raises(FileNotFoundError, match="no checkpoint folder"):
        load_processor("siglip-so400m-patch14-384", source=tmp_path / "nowhere")


def test_weights_argument():
    with pytest.raises(ValueError, match='the only choice is "random"'):
        load_model("tiny", weights="pretrained")
    with pytest.raises(ValueError, match="either source or weights"):
        load_model("tiny", weights="random", source=".")


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["sys.argv[1]", "'tiny', weights='random'"])
def test_loading_imports_little(folder, arguments):
    """Drawing on the meta device or leaving it would import a thousand modules, sympy's first."""
    load = f"sl.load_model({arguments})"
    code = f"import sys, siglip_lab as sl; {load}; print('sympy' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


# ---- writing -------------------------------------------------------------------------------------


def test_what_was_saved_last_is_what_loads(tmp_path):
    """Also where the shards of an earlier checkpoint lie."""
    model = load_model("tiny")
    twin(model).save_pretrained(tmp_path, max_shard_size="500KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    with torch.no_grad():
        model.logit_bias += 5
    sl.save_checkpoint(tmp_path, model)
    assert torch.equal(load_model(tmp_path).logit_bias, model.logit_bias)


def test_what_cannot_be_saved(tmp_path):
    model = load_model("tiny")
    compiled = torch.compile(model, backend="eager")
    with torch.device("meta"):
        other = sl.clip.CLIP(sl.clip.get_config("RN50"))
    for wrong, name in ((compiled, "OptimizedModule"), (other, "CLIP"), ("tiny", "str")):
        with pytest.raises(TypeError, match=f"got a {name}; expected a SigLIP"):
            sl.save_checkpoint(tmp_path / "new", wrong)
    with pytest.raises(TypeError, match="spiece is 'spiece.model'; expected bytes"):
        sl.save_checkpoint(tmp_path / "new", model, "spiece.model")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", ["bfloat16", torch.int8, torch.complex64, torch.float8_e4m3fn])
def test_types_that_are_none(dtype):
    with pytest.raises(TypeError, match=f"dtype is {dtype!r}; expected torch.float16, "):
        load_model("tiny", dtype=dtype)


def test_googles_prefix_changes_nothing():
    for prefix in ("", "google/"):
        with pytest.raises(ValueError, match='pass source="huggingface"'):
            load_model(f"{prefix}siglip-base-patch16-224")
