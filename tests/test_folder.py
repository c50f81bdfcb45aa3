import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from parity import random_inputs, random_model, twin
from PIL import Image
from ranks import run as run_ranks
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import SiglipModel, SiglipProcessor

from siglip_lab import CheckpointError, Processor, SigLIP, TextTower, VisionTower, clip
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading.pretrained import EMBEDDED, SIGLIP
from siglip_lab.published import get_config

TINY = EMBEDDED["tiny"]

CONFIG = SigLIPConfig(
    VisionConfig(46, 6, width=48, depth=2, num_heads=2, mlp_dim=100),
    TextConfig(384, 8, width=32, depth=3, num_heads=4, mlp_dim=70),
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


def assert_same(found, expected):
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, state[name]), name


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
    loaded = SigLIP.from_pretrained(folder)
    assert loaded.config == CONFIG
    assert not loaded.training
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_shards_load(model, folder):
    (folder / "model.safetensors").unlink()
    twin(model).save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    loaded = SigLIP.from_pretrained(folder)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_loaded_weights_can_be_trained_without_changing_the_file(folder):
    before = (folder / "model.safetensors").read_bytes()
    loaded = SigLIP.from_pretrained(folder)
    loaded(**random_inputs(CONFIG)).logits_per_image.sum().backward()
    torch.optim.SGD(loaded.parameters(), lr=1.0).step()
    assert (folder / "model.safetensors").read_bytes() == before


def test_dtype(folder):
    kept, half = (
        SigLIP.from_pretrained(folder),
        SigLIP.from_pretrained(folder, dtype=torch.bfloat16),
    )
    assert half.text_model.head.bias.dtype == torch.bfloat16
    for scalar in ("logit_scale", "logit_bias"):  # rounded, they would move every probability
        assert getattr(half, scalar).dtype == torch.float32
        assert torch.equal(getattr(half, scalar), getattr(kept, scalar))
    assert SigLIP.from_pretrained(folder, dtype=torch.float64).logit_scale.dtype == torch.float64
    change_weights(folder, lambda w: w.update({k: v.half() for k, v in w.items()}))
    assert SigLIP.from_pretrained(folder).logit_scale.dtype == torch.float16
    assert SigLIP.from_pretrained(folder, dtype=torch.float32).logit_scale.dtype == torch.float32


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
    (config,) = SIGLIP.read_config(tmp_path / "config.json", content)
    assert config == get_config("siglip-so400m-patch14-384")


@pytest.mark.slow
@pytest.mark.parametrize("dtype, most", [("None", 0.25), ("torch.bfloat16", 0.95)])
def test_loading_maps_the_file_instead_of_copying_it(tmp_path, dtype, most):
    """Loading 400 MB takes less than a quarter of it in memory; in half precision, which is half
    of it, the file is never there as a whole beside what it becomes."""
    pytest.importorskip("resource")
    config = SigLIPConfig(
        VisionConfig(28, 14, width=64, depth=1, num_heads=2, mlp_dim=64),
        TextConfig(8, 8, width=512, depth=44, num_heads=8, mlp_dim=1200),
    )
    twin(random_model(config)).save_pretrained(tmp_path)
    size = (tmp_path / "model.safetensors").stat().st_size
    assert size > 380e6
    code = (
        "import resource, sys, siglip_lab, torch\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        f"model = siglip_lab.SigLIP.from_pretrained(sys.argv[1], dtype={dtype})\n"
        "print(peak() - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(run.stdout) * unit < size * most


def test_processor(folder):
    inputs = Processor.from_pretrained(folder)(
        text=["a red circle", "2 blue squares"], images=[TINY_IMAGE]
    )
    assert inputs["input_ids"].shape == (2, 8)
    assert inputs["pixel_values"].shape == (1, 3, 46, 46)
    with torch.no_grad():
        assert SigLIP.from_pretrained(folder)(**inputs).logits_per_image.shape == (1, 2)


def test_processor_takes_either_side(folder):
    processor = Processor.from_pretrained(folder)
    assert list(processor(text="a")) == ["input_ids"]
    assert list(processor(images=TINY_IMAGE)) == ["pixel_values"]
    with pytest.raises(ValueError):
        processor()


def test_processor_reads_the_file_that_transformers_5_writes(folder):
    (folder / "preprocessor_config.json").unlink()
    content = json.dumps({"image_processor": PREPROCESSING})
    (folder / "processor_config.json").write_text(content)
    assert Processor.from_pretrained(folder).image_size == 46


# ---- what does not -------------------------------------------------------------------------------


def test_missing_extra_and_misshapen_keys(folder):
    def rename(weights):
        weights["vision_model.head.prob"] = weights.pop("vision_model.head.probe")

    change_weights(folder, rename)
    with pytest.raises(CheckpointError, match="vision_model.head.probe"):
        SigLIP.from_pretrained(folder)


def test_misshapen_key(folder):
    change_weights(folder, lambda w: w.update({"text_model.head.bias": torch.zeros(47)}))
    with pytest.raises(CheckpointError, match="text_model.head.bias"):
        SigLIP.from_pretrained(folder)


def test_quantized_weights(folder):
    change_weights(
        folder, lambda w: w.update({"text_model.head.bias": torch.zeros(48, dtype=torch.int8)})
    )
    with pytest.raises(CheckpointError, match="text_model.head.bias is I8"):
        SigLIP.from_pretrained(folder)


def test_many_missing_keys_are_counted(folder):
    change_weights(folder, lambda w: [w.pop(k) for k in list(w) if "encoder" in k])
    with pytest.raises(CheckpointError, match="78 more"):
        SigLIP.from_pretrained(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_truncated_file(folder, keep):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep >= 4 else int(len(content) * keep)])
    with pytest.raises(CheckpointError, match="model.safetensors"):
        SigLIP.from_pretrained(folder)


def test_corrupt_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])
    with pytest.raises(CheckpointError, match="safetensors"):
        SigLIP.from_pretrained(folder)


def test_missing_files(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no model.safetensors"):
        SigLIP.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="no config.json"):
        SigLIP.from_pretrained(folder)


def test_missing_shard(model, folder):
    (folder / "model.safetensors").unlink()
    twin(model).save_pretrained(folder, max_shard_size="60KB")
    sorted(folder.glob("*.safetensors"))[1].unlink()
    with pytest.raises(CheckpointError, match="no model-00002-of-"):
        SigLIP.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "clip"}, "model_type is 'clip', expected 'siglip'"),
        ({"model_type": "siglip2"}, "'siglip2', a SigLIP 2.*NaFlex.*siglip2.SigLIP2"),
        ({"vision_config__hidden_act": "quick_gelu"}, "vision_config.hidden_act is 'quick_gelu'"),
        ({"text_config__layer_norm_eps": 1e-5}, "text_config.layer_norm_eps is 1e-05"),
        ({"vision_config__num_channels": 4}, "num_channels is 4"),
        ({"vision_config__vision_use_head": False}, "vision_use_head is False"),
        ({"vision_config__num_attention_heads": 5}, "width 48 cannot be split into 5"),
        ({"text_config__projection_size": 32}, "size 48 .* 32"),
        ({"vision_config__image_size": [46, 46]}, "image_size must be an integer"),
    ],
)
def test_configs_that_are_not_siglip(folder, changes, message):
    change_json(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        SigLIP.from_pretrained(folder)


def test_config_that_does_not_fit_the_weights(folder):
    change_json(folder / "config.json", vision_config__num_hidden_layers=3)
    with pytest.raises(CheckpointError, match="vision_model.encoder.layers.2"):
        SigLIP.from_pretrained(folder)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("[]", "JSON object, found list")]
)
def test_config_that_is_no_config(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        SigLIP.from_pretrained(folder)


@pytest.mark.parametrize("load", [SigLIP.from_pretrained, Processor.from_pretrained])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('"vision_config": 5', "vision_config is 5, expected an object"),
        ('"text_config": []', "text_config is .., expected an object"),
        (
            f'"text_config": {{"vocab_size": {10**18}}}',
            "vocab_size must be at most 500,000, got 10",
        ),
        (
            f'"text_config": {{"vocab_size": {"9" * 10_000}}}',
            "is not valid JSON: Exceeds the limit",
        ),
        (f'"text_config": {"[" * 100_000}', "is not valid JSON: maximum recursion depth"),
        ('"vision_config": {"num_hidden_layers": 20000}', "depth must be at most 500, got 20000"),
    ],
    ids=["number", "list", "vocabulary", "digits", "nesting", "depth"],
)
def test_configs_that_would_take_for_ever(load, content, message, folder, monkeypatch):
    monkeypatch.setattr("siglip_lab.loading.pretrained.on_meta", None)  # nothing is built for them
    end = "}" if content[-1] != "[" else ""
    (folder / "config.json").write_text(f'{{"model_type": "siglip", {content}{end}')
    with pytest.raises(CheckpointError, match=f"config.json:? .*{message}"):
        load(folder)


@pytest.mark.parametrize(
    "name",
    ["config.json", "preprocessor_config.json", "spiece.model", "model.safetensors", "index"],
)
def test_what_is_no_regular_file(name, folder):
    path = folder / {"index": "model.safetensors.index.json"}.get(name, name)
    load = Processor.from_pretrained if name[0] in "ps" else SigLIP.from_pretrained
    path.unlink(missing_ok=True)
    for make in (path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero")):
        make()
        with pytest.raises(CheckpointError, match=path.name):
            load(folder)
        path.rmdir() if path.is_dir() else path.unlink()
    if name != "model.safetensors":
        with open(path, "wb") as file:
            file.truncate(10_000_001)
        with pytest.raises(CheckpointError, match="10,000,001 bytes"):
            load(folder)


@pytest.mark.parametrize(
    "name",
    [
        "logit_scale",
        "text_model.encoder.layers.2.layer_norm1.weight",
        "vision_model.head.mlp.fc1.bias",
    ],
)
def test_numbers_that_are_none(name, folder):
    for number in (float("nan"), float("inf")):
        change_weights(folder, lambda weights, x=number: weights[name][-1:].fill_(x))
        for dtype in (None, torch.bfloat16):
            with pytest.raises(CheckpointError, match=name):
                SigLIP.from_pretrained(folder, dtype=dtype)


@pytest.fixture
def shards(model, folder):
    (folder / "model.safetensors").unlink()
    twin(model).save_pretrained(folder, max_shard_size="60KB")
    return folder


def test_a_tensor_in_two_shards(shards):
    first, second, *_ = sorted(shards.glob("*.safetensors"))
    name, tensor = next(iter(load_file(first).items()))
    save_file(load_file(second) | {name: tensor + 1}, second)
    with pytest.raises(CheckpointError, match=name):
        SigLIP.from_pretrained(shards)


@pytest.mark.parametrize("shard", [None, "another", "../a.safetensors", 5, "", "a\0b"])
def test_an_index_that_is_wrong(shards, shard):
    """It leaves a tensor out, names another shard, or something that is no file of the folder."""
    index = shards / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    files = list(weight_map.values())
    name = max(weight_map, key=lambda name: files.count(weight_map[name]))
    if shard is None:
        del weight_map[name]
    elif shard == "another":
        weight_map[name] = next(file for file in files if file != weight_map[name])
    else:
        weight_map[name] = shard
    change_json(index, weight_map=weight_map)
    message = (
        "do not fit what model.safetensors.index.json lists|name of a file|no a.x00b in|a folder or"
    )
    with pytest.raises(CheckpointError, match=message):
        SigLIP.from_pretrained(shards)


def test_what_a_message_repeats_prints(folder):
    """A tensor's name, a value or a path of a million characters, or with terminal escapes."""

    def check(error, function, *arguments):
        with pytest.raises(error) as caught:
            function(*arguments)
        assert str(caught.value).isprintable() and len(str(caught.value)) <= 400

    for evil in ("\x1b[2J\n\u202e", "x" * 1_000_000):
        for name in (evil, f"folder/{evil}"):
            check(FileNotFoundError, SigLIP.from_pretrained, name)
            check(FileNotFoundError, Processor.from_pretrained, name)
        change_weights(folder, lambda weights, x=evil: weights.update({x: torch.zeros(1)}))
        check(CheckpointError, SigLIP.from_pretrained, folder)
        for changes in ({"resample": evil}, {"size": [evil]}):
            change_json(folder / "preprocessor_config.json", **changes)
            check(CheckpointError, Processor.from_pretrained, folder)
        for changes in ({"model_type": evil}, {"model_type": "siglip", "text_config": [evil]}):
            change_json(folder / "config.json", **changes)
            check(CheckpointError, SigLIP.from_pretrained, folder)
    evil = folder.rename(folder.with_name("a\x1b[2Jb"))
    check(CheckpointError, SigLIP.from_pretrained, evil)
    long = CheckpointError("a" * 1000 + "end")
    assert len(str(long)) == 400 and str(long).startswith("aaa") and str(long).endswith("aend")
    assert isinstance(long, ValueError)


@pytest.mark.parametrize(
    "changes",
    [
        {"resample": 0}, {"image_mean": [0.48, 0.46, 0.41]}, {"size": {"height": 48, "width": 48}},
        {"do_resize": False}, {"do_rescale": False}, {"do_normalize": False},
        {"rescale_factor": 1 / 127.5}, {"do_convert_rgb": False}, {"do_center_crop": True},
        {"pad_size": {"height": 60, "width": 60}}, {"data_format": "channels_last"},
        {"image_processor_type": "Siglip2ImageProcessor"}, {"auto_map": {"x": "y"}},
    ],
)  # fmt: skip
def test_other_preprocessing_is_refused(folder, changes):
    change_json(folder / "preprocessor_config.json", **changes)
    with pytest.raises(CheckpointError, match=next(iter(changes))):
        Processor.from_pretrained(folder)


def test_of_two_image_processors_both_are_read(folder):
    processors = {"image_processor": PREPROCESSING | {"do_rescale": False}}
    (folder / "processor_config.json").write_text(json.dumps(processors))
    with pytest.raises(CheckpointError, match="do_rescale"):
        Processor.from_pretrained(folder)
    (folder / "processor_config.json").write_text('{"processor_class": "SiglipProcessor"}')
    Processor.from_pretrained(folder)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"do_lower_case": False}, "do_lower_case is False; .* has True"),
        ({"model_max_length": 7}, "model_max_length is 7; .* has 8"),
        ({"pad_token": {"content": "<pad>"}}, "pad_token is '<pad>'; .* has '</s>'"),
        ({"padding_side": "left"}, "padding_side is 'left'"),
        ({"tokenizer_class": "T5Tokenizer"}, "tokenizer_class is 'T5Tokenizer'"),
        ({"extra_special_tokens": ["<a>"]}, "has the added token '<a>'"),
        ({"sp_model_kwargs": {"alpha": 0.1}}, "sp_model_kwargs is .*no such setting"),
        ({"added_tokens_decoder": {"384": {"content": "<a>"}}}, "has the added token '<a>'"),
        ({"added_tokens_decoder": 5}, "has the added token 5"),
    ],
)
def test_another_tokenizer_is_refused(folder, changes, message):
    settings = json.loads((TINY / "tokenizer_config.json").read_text()) | {"model_max_length": 9}
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(settings))
    Processor.from_pretrained(folder)
    path.write_text(json.dumps(settings | changes))
    with pytest.raises(CheckpointError, match=message):
        Processor.from_pretrained(folder)


def test_tokens_added_in_a_file_of_their_own(folder):
    (folder / "added_tokens.json").write_text('{"<unk>": 2, "<a>": 384}')
    with pytest.raises(CheckpointError, match="<a>"):
        Processor.from_pretrained(folder)


def test_what_transformers_saves_of_a_processor_loads(tmp_path):
    SiglipProcessor.from_pretrained(TINY).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((TINY / "config.json").read_bytes())
    found, expected = (
        Processor.from_pretrained(folder)(text="Two, red") for folder in (tmp_path, "tiny")
    )
    assert torch.equal(found["input_ids"], expected["input_ids"])


@pytest.mark.parametrize(
    "name, message",
    [
        ("tokenizer.json", "is no tokenizer.json, or is damaged"),
        ("tokenizer.model", "holds no tokenizer: expected spiece.model or tokenizer.json"),
    ],
)
def test_a_vocabulary_under_another_name(folder, name, message):
    (folder / "spiece.model").rename(folder / name)
    with pytest.raises(CheckpointError, match=message):
        Processor.from_pretrained(folder)


def test_an_image_processor_that_is_none(folder):
    (folder / "preprocessor_config.json").write_text('{"image_processor": null}')
    with pytest.raises(CheckpointError, match="image_processor"):
        Processor.from_pretrained(folder)


@pytest.mark.parametrize("size", [10, 383, 385, 250_000])
def test_tokenizer_of_another_model(size, folder):
    change_json(folder / "config.json", text_config__vocab_size=size)
    with pytest.raises(CheckpointError, match=str(size)):
        Processor.from_pretrained(folder)


@pytest.mark.parametrize("load", [SigLIP.from_pretrained, Processor.from_pretrained])
def test_what_is_on_no_hub_and_not_here(load, tmp_path):
    for where in ("nowhere", "./a/b", tmp_path / "nowhere", Path("a/b"), "a/b/c", "a/b.pt", ""):
        with pytest.raises(FileNotFoundError, match="tiny"):
            load(where)
    with pytest.raises(FileNotFoundError):
        load("elsewhere:google/siglip-base-patch16-224")
    with pytest.raises(TypeError):
        load(5)


def test_a_folder_wins_over_a_hub(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for name in ("google/siglip-base-patch16-224", "siglip-base-patch16-224"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copytree(folder.name, name)
        assert SigLIP.from_pretrained(name).config == CONFIG
    with pytest.raises(CheckpointError, match="cannot fetch"):  # the tests are offline
        SigLIP.from_pretrained("hf:google/siglip-base-patch16-224")


def test_a_folder_wins_over_the_embedded_model(folder, monkeypatch):
    shutil.copytree(folder, folder / "tiny")
    monkeypatch.chdir(folder)
    assert SigLIP.from_pretrained("tiny").config == CONFIG
    assert Processor.from_pretrained("tiny").image_size == CONFIG.vision.image_size


def test_a_config_is_for_files_alone(folder):
    with pytest.raises(ValueError, match="config"):
        SigLIP.from_pretrained(folder, config=CONFIG)
    with pytest.raises(TypeError, match="SigLIPConfig"):
        SigLIP.from_pretrained("tiny", config=CONFIG.vision)


def test_nothing_is_fetched_for_arguments_that_are_wrong(monkeypatch):
    monkeypatch.setattr("siglip_lab.loading.hubs.fetch", None)
    for device in ("gpu", "cuda:77", 3.5):
        with pytest.raises(ValueError, match="device"):
            SigLIP.from_pretrained("me/model", device=device)
    for where in ("me/model", "hf:me/model.pt", "tiny"):
        with pytest.raises(ValueError, match="config"):
            SigLIP.from_pretrained(where, config="tiny")
    for name in ("ViT-B/32", "ViT-L/14@336px", "RN50x4"):
        for part in (SigLIP, Processor, VisionTower):
            with pytest.raises(FileNotFoundError, match=r"clip\.CLIP"):
                part.from_pretrained(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "load", ["SigLIP.from_pretrained(sys.argv[1])", "SigLIP(sl.get_config('tiny'))"]
)
def test_loading_imports_little(folder, load):
    """Drawing on the meta device or leaving it would import a thousand modules, sympy's first."""
    code = f"import sys, siglip_lab as sl; sl.{load}; print('sympy' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


# ---- towers --------------------------------------------------------------------------------------


def in_transformers(model, kind, folder):
    """A model, a tower or a classifier of transformers with these weights, saved into a folder."""
    whole = twin(model)
    if kind == "SiglipModel":
        return whole.save_pretrained(folder)
    part = "text" if "Text" in kind else "vision"
    config = whole.config if "Classification" in kind else getattr(whole.config, f"{part}_config")
    other = getattr(transformers, kind)(config)
    target = getattr(other, f"{part}_model", other)
    target.load_state_dict(getattr(whole, f"{part}_model").state_dict())
    other.save_pretrained(folder)


@pytest.mark.parametrize("prefix", ["", "vision_model."])  # transformers 5 and 4
@pytest.mark.parametrize(
    "kind", ["SiglipModel", "SiglipVisionModel", "SiglipForImageClassification"]
)
def test_an_image_tower(kind, prefix, model, tmp_path):
    in_transformers(model, kind, tmp_path)
    if kind == "SiglipVisionModel":
        weights = load_file(tmp_path / "model.safetensors")
        weights = {prefix + name.removeprefix("vision_model."): x for name, x in weights.items()}
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tower = VisionTower.from_pretrained(tmp_path)
    assert tower.config == CONFIG.vision and not tower.training
    assert_same(tower, model.vision_model)
    if kind != "SiglipModel":
        with pytest.raises(CheckpointError, match=r"VisionTower\.from_pretrained"):
            SigLIP.from_pretrained(tmp_path)
        with pytest.raises(CheckpointError, match=r"VisionTower\.from_pretrained"):
            TextTower.from_pretrained(tmp_path)
    else:
        with pytest.raises(CheckpointError):
            clip.CLIP.from_pretrained(tmp_path)


@pytest.mark.parametrize("prefix", ["", "text_model."])
@pytest.mark.parametrize("kind", ["SiglipModel", "SiglipTextModel"])
def test_a_text_tower(kind, prefix, model, tmp_path):
    in_transformers(model, kind, tmp_path)
    if kind == "SiglipTextModel":
        weights = load_file(tmp_path / "model.safetensors")
        weights = {prefix + name.removeprefix("text_model."): x for name, x in weights.items()}
        save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    tower = TextTower.from_pretrained(tmp_path, dtype=torch.float64)
    assert_same(tower, model.text_model.double())
    if kind == "SiglipTextModel":
        for other in (SigLIP, VisionTower):
            with pytest.raises(CheckpointError, match=r"TextTower\.from_pretrained"):
                other.from_pretrained(tmp_path)


def test_a_tower_drops_only_what_is_known(folder):
    change_weights(folder, lambda weights: weights.update({"lora.weight": torch.zeros(1)}))
    for tower in (VisionTower, TextTower):
        with pytest.raises(CheckpointError, match="lora.weight"):
            tower.from_pretrained(folder)


@pytest.mark.parametrize("part", ["vision", "text"])
def test_transformers_reads_a_saved_tower(part, model, tmp_path):
    tower = getattr(model, f"{part}_model")
    tower.save_pretrained(tmp_path)
    assert_same(type(tower).from_pretrained(tmp_path), tower)
    kind = {"vision": transformers.SiglipVisionModel, "text": transformers.SiglipTextModel}[part]
    other, info = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    key = {"vision": "pixel_values", "text": "input_ids"}[part]
    value = random_inputs(CONFIG)[key]
    with torch.no_grad():
        expected, found = other(value).pooler_output, tower(value).pooler_output
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


# ---- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [SigLIP, Processor])
def test_transformers_reads_what_model_and_processor_write(first, tmp_path):
    parts = [SigLIP.from_pretrained("tiny"), Processor.from_pretrained("tiny")]
    for part in sorted(parts, key=lambda part: not isinstance(part, first)):
        part.save_pretrained(tmp_path)
    model, processor = parts
    assert (tmp_path / "spiece.model").read_bytes() == (TINY / "spiece.model").read_bytes()
    ours = processor(text=["two red circles"], images=[TINY_IMAGE])
    theirs = SiglipProcessor.from_pretrained(tmp_path)(
        text=["two red circles"], images=[TINY_IMAGE], return_tensors="pt", padding="max_length"
    )
    assert theirs.keys() == ours.keys()  # no mask, which would hide the padding
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    other, info = SiglipModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    with torch.no_grad():
        found, expected = model(**ours), other(**theirs)
    torch.testing.assert_close(found.logits_per_image, expected.logits_per_image)
    again = Processor.from_pretrained(tmp_path)(text=["two red circles"], images=[TINY_IMAGE])
    assert all(torch.equal(ours[name], again[name]) for name in ours)


def test_a_processor_replaces_what_transformers_5_wrote(tmp_path):
    """Its processor_config.json would win over the new settings, its added tokens be refused."""
    processor = Processor.from_pretrained("tiny")
    settings = {"image_processor": PREPROCESSING | {"do_rescale": False}}
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    (tmp_path / "added_tokens.json").write_text('{"<a>": 384}')
    processor.save_pretrained(tmp_path)
    assert Processor.from_pretrained(tmp_path).image_size == 40
    theirs = SiglipProcessor.from_pretrained(tmp_path)(images=TINY_IMAGE, return_tensors="pt")
    assert torch.equal(theirs["pixel_values"], processor(images=TINY_IMAGE)["pixel_values"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("part", ["whole", "vision_model", "text_model"])
def test_transformers_finds_the_type_that_was_saved(dtype, part, tmp_path):
    model = SigLIP.from_pretrained("tiny", dtype=dtype)
    model = model if part == "whole" else getattr(model, part)
    model.save_pretrained(tmp_path)
    kind = {
        "whole": SiglipModel, "vision_model": transformers.SiglipVisionModel,
        "text_model": transformers.SiglipTextModel,
    }[part]  # fmt: skip
    found = dict(kind.from_pretrained(tmp_path, dtype="auto").named_parameters())
    assert {p.dtype for name, p in found.items() if "logit" not in name} == {dtype}
    again = type(model).from_pretrained(tmp_path)
    assert_same(again, model)


def test_what_would_destroy_another_model_is_not_written(tmp_path):
    whole, processor = SigLIP.from_pretrained("tiny"), Processor.from_pretrained("tiny")
    towers = whole.vision_model, whole.text_model
    for part in (whole, *towers):
        folder = tmp_path / type(part).__name__
        part.save_pretrained(folder)
        for other in {whole, *towers} - {part}:
            with pytest.raises(CheckpointError, match="another folder"):
                other.save_pretrained(folder)
        part.save_pretrained(folder)
        assert_same(type(part).from_pretrained(folder), part)
    random_model(CONFIG).save_pretrained(tmp_path / "sizes")
    change_json(tmp_path / "SigLIP" / "config.json", text_config__vocab_size=385)
    for name, noun in (
        ("sizes", "another folder"), ("SigLIP", "385"), ("VisionTower", "one tower"),
    ):  # fmt: skip
        before = sorted((tmp_path / name).iterdir())
        with pytest.raises(CheckpointError, match=noun):
            processor.save_pretrained(tmp_path / name)
        assert sorted((tmp_path / name).iterdir()) == before
    with pytest.raises(CheckpointError, match="'siglip', expected 'clip'"):
        clip.Processor.from_pretrained("ViT-B/32").save_pretrained(tmp_path / "sizes")


@pytest.mark.parametrize("part", [SigLIP, Processor])
def test_folders_that_are_none(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part, file = part.from_pretrained("tiny"), tmp_path / "file"
    file.write_text("")
    for folder, error, noun in (
        ("", ValueError, "path"), ("~/model", ValueError, "expanduser"),
        (file, NotADirectoryError, "is a file"),
    ):  # fmt: skip
        with pytest.raises(error, match=noun):
            part.save_pretrained(folder)
    assert list(tmp_path.iterdir()) == [file]


def test_a_processor_without_a_model(tmp_path):
    processor = Processor.from_pretrained("tiny")
    processor.save_pretrained(tmp_path)
    again = Processor.from_pretrained(tmp_path)
    assert (again.image_size, again.tokenizer.context_length) == (40, 16)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(CheckpointError, match="tokenizer_config.json"):
        Processor.from_pretrained(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"hello"])
def test_everything_that_is_wrong_with_a_tokenizer_is_a_checkpoint_error(folder, damage):
    (folder / "spiece.model").write_bytes(damage)
    with pytest.raises(CheckpointError, match="spiece.model"):
        Processor.from_pretrained(folder)
    (folder / "spiece.model").unlink()
    with pytest.raises(CheckpointError, match="spiece.model"):
        Processor.from_pretrained(folder)


def test_what_was_saved_last_is_what_loads(tmp_path):
    """Also where the shards of an earlier checkpoint lie."""
    model = SigLIP.from_pretrained("tiny")
    twin(model).save_pretrained(tmp_path, max_shard_size="500KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    with torch.no_grad():
        model.logit_bias += 5
    model.save_pretrained(tmp_path)
    assert torch.equal(SigLIP.from_pretrained(tmp_path).logit_bias, model.logit_bias)


def find(folder):
    """Which model a folder gives."""
    try:
        return SigLIP.from_pretrained(folder).logit_bias.item()
    except CheckpointError:
        return "refused"


def other(config=None):
    model = SigLIP.from_pretrained("tiny") if config is None else random_model(config)
    model.logit_bias.data.fill_(5)
    return model


@pytest.mark.parametrize(
    ("config", "sharded"),
    [(None, False), (CONFIG, False), (None, True)],
    ids=["weights", "all", "weights for shards"],
)
def test_an_interrupted_save_mixes_nothing(config, sharded, tmp_path, monkeypatch):
    """It is cut off before each of its steps in turn, and leaves nothing beside."""
    tiny, new, found = SigLIP.from_pretrained("tiny"), other(config), []
    if sharded:
        twin(tiny).save_pretrained(tmp_path / "shards", max_shard_size="500KB")

    def limited(function, steps):
        def step(*arguments, **options):
            if next(steps, None) is None:
                raise OSError("cut off")
            return function(*arguments, **options)

        return step

    for allowed in range(8):
        folder = tmp_path / str(allowed)
        tiny.save_pretrained(folder)
        if sharded:
            (folder / "model.safetensors").unlink()
            for path in (tmp_path / "shards").iterdir():
                (folder / path.name).write_bytes(path.read_bytes())
        before, steps = {path.name for path in folder.iterdir()}, iter(range(allowed))
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", limited(os.replace, steps))
            patch.setattr(os, "fsync", limited(os.fsync, steps))
            patch.setattr(Path, "unlink", limited(Path.unlink, steps))
            try:
                new.save_pretrained(folder)
            except OSError as error:
                assert str(error) == "cut off"
        assert {path.name for path in folder.iterdir()} <= before | {"model.safetensors"}
        found.append(find(folder))
    old = tiny.logit_bias.item()
    assert found[0] == old and found[-1] == 5
    assert set(found) <= {old, 5, "refused"}
    assert found == sorted(found, key=[old, "refused", 5].index)
    assert ("refused" in found) == (config is not None or sharded)  # else it always loads


def test_a_full_disk_and_permissions(tmp_path):
    code = (
        "import os, resource, sys, siglip_lab as sl\n"
        "os.umask(0o027)\n"
        "model = sl.SigLIP.from_pretrained('tiny')\n"
        "model.save_pretrained(sys.argv[1])\n"
        "sl.Processor.from_pretrained('tiny').save_pretrained(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        "model.logit_bias.data.fill_(5)\n"
        "try: model.save_pretrained(sys.argv[1])\n"
        "except OSError as error: print(error)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "model.safetensors" in run.stdout
    assert find(tmp_path) == SigLIP.from_pretrained("tiny").logit_bias.item()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o640) and len(modes) == 5


def test_two_that_save_at_once(tmp_path, monkeypatch):
    """One saves while the other is about to rename; who reads never finds half a file."""
    replace, running = os.replace, []

    def interrupted(old, new):
        if len(running) < 1:
            running.append(True)
            other().save_pretrained(tmp_path)
        replace(old, new)
        assert find(tmp_path) != "refused"

    tiny = SigLIP.from_pretrained("tiny")
    tiny.save_pretrained(tmp_path)
    monkeypatch.setattr(os, "replace", interrupted)
    tiny.save_pretrained(tmp_path)
    assert find(tmp_path) == tiny.logit_bias.item()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_compiled_model_saves_what_it_compiles(tmp_path):
    torch.compile(other(), backend="eager").save_pretrained(tmp_path)
    assert find(tmp_path) == 5


def shard_and_save(rank, folder):
    """FSDP: the parameters of a model over two processes, saved by both, written by the first."""
    model = SigLIP.from_pretrained("tiny")
    model.logit_bias.data.fill_(5)
    mesh = init_device_mesh("cpu", (2,))
    for layer in [*model.vision_model.encoder.layers, *model.text_model.encoder.layers]:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.save_pretrained(Path(folder) / str(rank))


@pytest.mark.slow
def test_a_sharded_model_is_gathered(tmp_path):
    assert run_ranks(2, shard_and_save, tmp_path) == [None, None]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["0"]
    loaded, expected = SigLIP.from_pretrained(tmp_path / "0"), other()
    assert_same(loaded, expected)


class LoRA(torch.nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base_layer, self.lora_A = base, torch.nn.Linear(base.in_features, 2)


def add_lora(model):
    model.text_model.encoder.layers[0].self_attn.q_proj = LoRA(model.text_model.head)


def drop_layer(model):
    del model.vision_model.encoder.layers[-1]


def share_layers(model):
    layers = model.vision_model.encoder.layers
    layers[1] = layers[0]


def share_part(model):
    """A vector inside another tensor: other parameters, other shapes, the same memory."""
    matrix = model.vision_model.encoder.layers[0].mlp.fc1.weight.data
    model.text_model.head.bias.data = matrix[0]


def grow_table(model):
    table = model.text_model.embeddings.token_embedding
    table.weight = torch.nn.Parameter(torch.randn(len(table.weight) + 1, table.embedding_dim))


def round_off(model):
    head = model.text_model.head
    head.weight = torch.nn.Parameter(head.weight.data.to(torch.int8), requires_grad=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add_lora, "merge LoRA.*not expected: .*q_proj.base_layer.bias"),
        (
            lambda m: torch.nn.utils.parametrizations.weight_norm(m.text_model.head),
            "remove parametrizations.*not expected: text_model.head.parametrizations",
        ),
        (drop_layer, "rebuild.*missing: vision_model.encoder.layers.3"),
        (lambda m: m.register_buffer("steps", torch.zeros(1)), "not expected: steps"),
        (grow_table, r"token_embedding.weight has shape \[385, 72\], model.config asks for"),
        (round_off, "head.weight is torch.int8, expected floats"),
        (share_layers, "layers.0.* and .*layers.1.* share memory"),
        (share_part, "share memory"),
        (lambda m: m.to("meta"), "or are on the meta device"),
        (lambda m: m.logit_scale.data.fill_(torch.nan), "logit_scale holds NaN"),
        (lambda m: m.text_model.head.weight.data[0, 1:2].fill_(torch.inf), "head.weight holds NaN"),
    ],
)
def test_a_model_that_would_not_load_is_not_saved(change, message, tmp_path):
    model = SigLIP.from_pretrained("tiny")
    model.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    change(model)
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(CheckpointError, match=message):
            model.save_pretrained(folder)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*quantiz:UserWarning")
def test_a_quantized_model_is_not_saved(tmp_path):
    model = SigLIP.from_pretrained("tiny")
    model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
    with pytest.raises(CheckpointError, match="model.config"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dtype", ["bfloat16", torch.int8, torch.complex64, torch.float8_e4m3fn])
def test_types_that_are_none(dtype):
    with pytest.raises(TypeError, match="dtype"):
        SigLIP.from_pretrained("tiny", dtype=dtype)
