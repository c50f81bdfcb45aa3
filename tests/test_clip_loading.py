import json
import os
import warnings
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_clip_model import RESNET, SMALL, random_inputs, random_model, twin

import siglip_lab as sl
from siglip_lab import clip
from siglip_lab.checks import CheckpointError
from siglip_lab.clip.loading import POSITION_IDS, _config_of, read_config
from siglip_lab.clip.preprocessing import MEAN, STD
from siglip_lab.configs import VisionConfig
from siglip_lab.loading.folder import on_meta


def openai_names(state: dict) -> dict:
    """Hugging Face's names to OpenAI's: the way back, written from `openai/CLIP` alone."""
    result, packed = {}, {}
    for name, tensor in state.items():
        new = name
        for old, replacement in (
            ("text_model.encoder.layers", "transformer.resblocks"),
            ("vision_model.encoder.layers", "visual.transformer.resblocks"),
            ("self_attn.out_proj", "attn.out_proj"),
            ("layer_norm", "ln_"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
            ("text_model.final_ln_", "ln_final"),
            ("text_model.embeddings.token_embedding", "token_embedding"),
            ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
            ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
            ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
            ("vision_model.embeddings.patch_embedding", "visual.conv1"),
            ("vision_model.pre_layrnorm", "visual.ln_pre"),
            ("vision_model.post_layernorm", "visual.ln_post"),
        ):
            new = new.replace(old, replacement)
        if "self_attn." in new:  # q, k, v
            block, _, rest = new.partition("self_attn.")
            part, kind = rest.split("_proj.")
            packed.setdefault(f"{block}attn.in_proj_{kind}", {})[part] = tensor
        elif new == "text_projection.weight":
            result["text_projection"] = tensor.T
        elif new == "visual_projection.weight":
            result["visual.proj"] = tensor.T
        else:
            result[new] = tensor
    for name, parts in packed.items():
        result[name] = torch.cat([parts["q"], parts["k"], parts["v"]])
    return result


@pytest.fixture(params=[SMALL, RESNET], ids=["vit", "resnet"])
def model(request):
    return random_model(request.param)


@pytest.fixture
def state_dict(model, tmp_path):
    path = tmp_path / "clip.pt"
    torch.save(openai_names(model.state_dict()), path)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    twin(random_model(SMALL)).save_pretrained(folder)
    settings = {
        "resample": 3, "image_mean": list(MEAN), "image_std": list(STD),
        "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32},
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def assert_same(found, expected):
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, state[name]), name


# ---- what loads ----------------------------------------------------------------------------------


def test_a_state_dict_with_openais_names(model, state_dict):
    loaded = clip.load_model(state_dict, config=model.config)
    assert loaded.config == model.config
    assert not loaded.training
    assert_same(loaded, model)


@torch.no_grad()
def test_the_half_precision_of_openais_files_becomes_float32(model, tmp_path):
    """OpenAI stores matrices in float16 and norms in float32, and sizes beside them."""
    tensors = openai_names(model.state_dict())
    tensors = {k: t.half() if t.ndim > 1 else t for k, t in tensors.items()}
    sizes = {"input_resolution": 32, "context_length": 12, "vocab_size": 600}
    torch.save(tensors | {k: torch.tensor(v) for k, v in sizes.items()}, tmp_path / "half.pt")
    loaded = clip.load_model(tmp_path / "half.pt", config=model.config)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    inputs = random_inputs(model.config)
    close = {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(loaded(**inputs).image_embeds, model(**inputs).image_embeds, **close)
    half = clip.load_model(tmp_path / "half.pt", dtype=torch.bfloat16, config=model.config)
    assert {n for n, p in half.named_parameters() if p.dtype == torch.float32} == {"logit_scale"}
    assert half(**inputs).logits_per_image.dtype == torch.float32


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.module."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_what_is_around_a_state_dict(model, tmp_path, prefix, wrapper):
    tensors = {prefix + k: tensor for k, tensor in openai_names(model.state_dict()).items()}
    torch.save({"epoch": 1, wrapper: tensors}, tmp_path / "a.pt")
    assert_same(clip.load_model(tmp_path / "a.pt", config=model.config), model)


SIZES = {k: torch.tensor(1) for k in ("input_resolution", "context_length", "vocab_size")}


@pytest.mark.parametrize("name", clip.list_models())
def test_openais_own_files_are_known(name):
    """By the sizes beside the weights; the number of heads is that of the name."""
    config = clip.get_config(name)
    tensors = openai_names(on_meta(clip.CLIP, config).state_dict())
    assert _config_of(tensors | SIZES, "clip.pt") == config
    with pytest.raises(CheckpointError, match="is not one of OpenAI's own files.*pass config"):
        _config_of(tensors, "clip.pt")  # as open_clip's ViT-B-32, which has the exact GELU
    assert _config_of(tensors, "clip.pt", config) == config


@pytest.mark.parametrize("width, heads, mlp", [(1280, 16, 5120), (1408, 16, 6144), (80, 4, 99)])
def test_the_number_of_heads_is_not_guessed(width, heads, mlp):
    """ViT-H, ViT-g, and one that nobody has published, whose patches do not fill the image."""
    vision = VisionConfig(230, 14, width=width, depth=2, num_heads=heads, mlp_dim=mlp)
    config = clip.CLIPConfig(vision, SMALL.text)
    tensors = openai_names(on_meta(clip.CLIP, config).state_dict())
    for beside in ({}, SIZES):
        with pytest.raises(CheckpointError, match="number of heads are not known: pass config"):
            _config_of(tensors | beside, "clip.pt")
        assert _config_of(tensors | beside, "clip.pt", config) == config


def test_a_config_that_does_not_fit(model, state_dict, folder):
    text = replace(model.config.text, vocab_size=601)
    with pytest.raises(CheckpointError, match="holds text vocab_size=600, not 601"):
        clip.load_model(state_dict, config=replace(model.config, text=text))
    other = RESNET if model.config == SMALL else SMALL
    with pytest.raises(CheckpointError, match="holds (VisionConfig|ResNetConfig).*, not (V|R)"):
        clip.load_model(state_dict, config=other)
    with pytest.raises(ValueError, match="unknown model 'ViT-H'"):
        clip.load_model(state_dict, config="ViT-H")
    with pytest.raises(TypeError, match="config is 5; expected a CLIPConfig or a name"):
        clip.load_model(state_dict, config=5)
    for arguments in ({"name": folder}, {"name": "RN50", "weights": "random"}):
        with pytest.raises(ValueError, match="config is for a state dict alone"):
            clip.load_model(**arguments, config="RN50")


def test_a_folder_of_transformers(folder):
    model = random_model(SMALL)
    assert_same(clip.load_model(folder), model)
    weights = load_file(folder / "model.safetensors")
    ids = {name: torch.arange(12)[None] for name in POSITION_IDS}  # as older versions wrote
    save_file(weights | ids, folder / "model.safetensors", metadata={"format": "pt"})
    assert_same(clip.load_model(folder), model)


def test_published_configs_store_differences_only(tmp_path):
    content = {"model_type": "clip", "projection_dim": 512}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_config(tmp_path) == clip.get_config("ViT-B/32")
    content |= {
        "projection_dim": 768,
        "text_config": {
            "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
            "projection_dim": 768,
        },
        "vision_config": {
            "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
            "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
        },
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_config(tmp_path) == clip.get_config("ViT-L/14")


@pytest.mark.slow
def test_random_weights():
    one, two = (clip.load_model("ViT-B/32", weights="random", seed=3) for _ in range(2))
    assert_same(one, two)
    state = torch.random.get_rng_state()
    other = clip.load_model("ViT-B/32", weights="random", seed=4, dtype=torch.bfloat16)
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's randomness is left alone
    assert other.text_projection.weight.dtype == torch.bfloat16
    assert not torch.equal(one.text_projection.weight, other.text_projection.weight.float())


# ---- TorchScript ---------------------------------------------------------------------------------


@pytest.fixture
def archive(model, tmp_path):
    """Weights in a TorchScript archive, under OpenAI's names."""

    class Holder(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            return x

    root = Holder()
    for name, tensor in openai_names(model.state_dict()).items():
        *parents, last = name.split(".")
        holder = root
        for parent in parents:
            if parent not in holder._modules:
                holder.add_module(parent, Holder())
            holder = holder._modules[parent]
        holder.register_buffer(last, tensor.clone())
    path = tmp_path / "archive.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(root, torch.zeros(1)), path)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_archive_with_code_is_refused_unless_asked_for(model, archive, tmp_path):
    with pytest.raises(CheckpointError, match="keep its weights alone.*run_code_in_file=True"):
        clip.load_model(archive)
    assert_same(clip.load_model(archive, run_code_in_file=True, config=model.config), model)
    # the way to convert that the message names
    torch.save(torch.jit.load(archive, map_location="cpu").state_dict(), tmp_path / "weights.pt")
    assert_same(clip.load_model(tmp_path / "weights.pt", config=model.config), model)


class Trap:
    def __reduce__(self):
        return open, ("trapped", "w")


def test_pickled_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"text_projection": Trap()}, "trap.pt")
    for options in ({}, {"run_code_in_file": True}):
        with pytest.raises(CheckpointError, match="holds more than tensors"):
            clip.load_model("trap.pt", **options)
    assert not (tmp_path / "trapped").exists()


# ---- what does not -------------------------------------------------------------------------------


def test_a_type_that_is_none():
    with pytest.raises(TypeError, match="dtype is torch.int8; expected torch.float16, "):
        clip.load_model("ViT-B/32", weights="random", dtype=torch.int8)


def save_changed(model, path, change):
    tensors = openai_names(model.state_dict())
    change(tensors)
    torch.save(tensors, path)
    return path


def test_a_missing_and_a_foreign_tensor_are_named(model, tmp_path):
    path = save_changed(model, tmp_path / "a.pt", lambda t: t.pop("ln_final.bias"))
    with pytest.raises(CheckpointError, match="missing: text_model.final_layer_norm.bias; not"):
        clip.load_model(path, config=model.config)
    path = save_changed(model, tmp_path / "b.pt", lambda t: t.update(extra=torch.zeros(1)))
    with pytest.raises(CheckpointError, match="not expected: extra"):
        clip.load_model(path, config=model.config)


def test_a_wrong_shape_is_named(model, tmp_path):
    path = save_changed(
        model, tmp_path / "a.pt", lambda t: t.update({"ln_final.bias": torch.zeros(3)})
    )
    with pytest.raises(CheckpointError, match=r"final_layer_norm.bias has shape \[3\]"):
        clip.load_model(path, config=model.config)


def test_another_models_state_dict(tmp_path):
    path = tmp_path / "siglip.pt"
    torch.save(sl.load_model("tiny").state_dict(), path)
    with pytest.raises(CheckpointError, match="is not a CLIP with OpenAI's names: it has no"):
        clip.load_model(path)
    torch.save({"epoch": 3, "state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="is not a CLIP with OpenAI's names: it has no"):
        clip.load_model(path)


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_truncated_file(model, state_dict, length):
    state_dict.write_bytes(state_dict.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=f"{length:,} bytes"):
        clip.load_model(state_dict, config=model.config)


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("hello", "world")
    with pytest.raises(CheckpointError, match="damaged, or holds more than tensors"):
        clip.load_model(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "siglip"}, "model_type is 'siglip', expected 'clip'"),
        ({"vision_config": {"hidden_act": "gelu"}}, "hidden_act is 'gelu'; this model has 'quick"),
        ({"text_config": {"layer_norm_eps": 1e-6}}, "text_config.layer_norm_eps is 1e-06"),
        ({"text_config": {"eos_token_id": 49_000}}, "eos_token_id is 49000; .* highest id"),
        ({"text_config": {"attention_dropout": 0.1}}, "text_config.attention_dropout is 0.1"),
        ({"projection_dim": "large"}, "embed_dim"),
    ],
)
def test_configs_that_are_no_clip(folder, changes, message):
    change(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        clip.load_model(folder)


def test_a_siglip_folder_is_named():
    with pytest.raises(CheckpointError, match="model_type is 'siglip', expected 'clip'"):
        clip.load_model(sl.checkpoints.TINY)


def test_broken_folders(folder):
    (folder / "vocab.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="vocab.json is a folder or a device"):
        clip.load_processor(folder)
    change(folder / "config.json", text_config=5)
    with pytest.raises(CheckpointError, match="text_config is 5, expected an object"):
        clip.load_model(folder)
    change(folder / "config.json", text_config={"num_hidden_layers": 20000})
    with pytest.raises(CheckpointError, match="depth must be at most 500, got 20000"):
        clip.load_model(folder)
    os.mkfifo(folder / "weights.pt")
    for run in (False, True):
        with pytest.raises(CheckpointError, match="weights.pt is a folder or a device"):
            clip.load_model(folder / "weights.pt", run_code_in_file=run)


def test_weights_that_are_none(model, tmp_path):
    """Not finite, or no floats; and names that a terminal would obey."""
    for name, new, message in (
        ("ln_final.weight", lambda t: t * torch.nan, "final_layer_norm.weight holds NaN"),
        ("logit_scale", lambda t: t + torch.inf, "logit_scale holds NaN or infinity"),
        ("ln_final.weight", torch.Tensor.int, "final_layer.* is torch.int32"),
        ("\x1b[2J" + "x" * 1_000_000, lambda t: torch.zeros(1), "not expected: .x1b.2Jxx"),
    ):
        path = save_changed(
            model, tmp_path / "a.pt", lambda t, k=name, new=new: t.update({k: new(t.get(k))})
        )
        with pytest.raises(CheckpointError, match=message) as error:
            clip.load_model(path, config=model.config)
        assert str(error.value).isprintable() and len(str(error.value)) <= 400


def test_names_and_paths():
    with pytest.raises(ValueError, match="weights of 'RN50' are not part of this package"):
        clip.load_model("RN50")
    with pytest.raises(FileNotFoundError, match="or one of the names RN50"):
        clip.load_model("no/where")
    with pytest.raises(ValueError, match="unknown model 'no/where'"):
        clip.load_model("no/where", weights="random")
    with pytest.raises(ValueError, match='only choice is "random"'):
        clip.load_model("RN50", weights="trained")


# ---- processor -----------------------------------------------------------------------------------


def test_processor_of_a_name():
    processor = clip.load_processor("ViT-L/14@336px")
    inputs = processor(text=["a diagram"], images=[torch.zeros(9, 12, 3).numpy()])
    assert inputs["pixel_values"].shape == (1, 3, 336, 336)
    assert inputs["input_ids"].shape == (1, 77)


def test_processor_of_a_folder(folder):
    model = clip.load_model(folder)
    with pytest.raises(FileNotFoundError, match="no vocab.json"):
        clip.load_processor(folder)
    letters = clip.tokenizer._BYTES.values()
    pieces = [*letters, *(x + "</w>" for x in letters), "ca", "cat</w>", clip.tokenizer.START]
    ids = {piece: i for i, piece in enumerate([*pieces, clip.tokenizer.END])}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    processor = clip.load_processor(folder)
    assert processor.tokenizer.pieces("cat cab")[1:-1] == ["cat</w>", "ca", "b</w>"]
    image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    rows = sl.zero_shot(model, processor, [image, image], ["cat", "dog", "cab"], template="{}")
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones(2))
    embeds = sl.embed_images(model, processor, [image, image])
    best, _ = sl.retrieve(model, processor, "a cat", embeds, k=2)
    torch.testing.assert_close(best, torch.full((1, 2), 0.5))

    change(folder / "preprocessor_config.json", size=32, crop_size=32)  # as older files write it
    clip.load_processor(folder)
    change(folder / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    with pytest.raises(CheckpointError, match="image_mean is .0.5, 0.5, 0.5.; this model's"):
        clip.load_processor(folder)
    change(folder / "preprocessor_config.json", image_mean=list(MEAN), size=40)
    with pytest.raises(CheckpointError, match="size is 40; .* {'shortest_edge': 32}"):
        clip.load_processor(folder)
    change(folder / "preprocessor_config.json", size=32, do_center_crop=False)
    with pytest.raises(CheckpointError, match="do_center_crop is False; .* has True"):
        clip.load_processor(folder)
    change(folder / "preprocessor_config.json", do_center_crop=True)
    end = {"__type": "AddedToken", "content": clip.tokenizer.END}  # as OpenAI's folders have it
    settings = {"unk_token": end, "pad_token": "!", "do_lower_case": True, "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    clip.load_processor(folder)
    for settings, message in (
        ({"do_lower_case": False}, "do_lower_case is False; .* has True"),
        ({"added_tokens_decoder": {"9": {"content": "<a>"}}}, "has the added token '<a>'"),
    ):
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        with pytest.raises(CheckpointError, match=message):
            clip.load_processor(folder)


def test_a_vocabulary_larger_than_the_model(folder):
    with pytest.raises(CheckpointError, match="49408 pieces, the model allows 600"):
        clip.load_processor(folder, vocabulary=clip.tokenizer._installed_file())
