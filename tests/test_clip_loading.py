import json
import os
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_clip_model import RESNET, SMALL, random_inputs, random_model, twin
from transformers import CLIPModel, CLIPProcessor

import siglip_lab as sl
from siglip_lab import clip
from siglip_lab.checks import CheckpointError
from siglip_lab.clip import CLIP
from siglip_lab.clip.loading import read_config, read_file
from siglip_lab.clip.preprocessing import MEAN, STD
from siglip_lab.configs import VisionConfig
from siglip_lab.loading.weights import on_meta


def openai_names(state: dict) -> dict:
    """Hugging Face's names to OpenAI's: the way back, written from `openai/CLIP` alone."""
    result, packed = {}, {}
    resnet = "visual_projection.weight" not in state
    for name, tensor in state.items():
        if resnet and name.startswith("vision_model."):
            result[name.replace("vision_model.", "visual.")] = tensor
            continue
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
    loaded = CLIP.from_pretrained(state_dict, config=model.config)
    assert loaded.config == model.config
    assert not loaded.training
    assert_same(loaded, model)


@torch.no_grad()
def test_a_state_dict_with_our_own_names(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "a.pt")
    assert_same(CLIP.from_pretrained(tmp_path / "a.pt", config=model.config), model)
    with pytest.raises(CheckpointError, match="config"):
        CLIP.from_pretrained(tmp_path / "a.pt")


def test_the_half_precision_of_openais_files_becomes_float32(model, tmp_path):
    """OpenAI stores matrices in float16 and norms in float32, and sizes beside them."""
    tensors = openai_names(model.state_dict())
    tensors = {k: t.half() if t.ndim > 1 else t for k, t in tensors.items()}
    sizes = {"input_resolution": 32, "context_length": 12, "vocab_size": 600}
    torch.save(tensors | {k: torch.tensor(v) for k, v in sizes.items()}, tmp_path / "half.pt")
    loaded = CLIP.from_pretrained(tmp_path / "half.pt", config=model.config)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    inputs = random_inputs(model.config)
    close = {"rtol": 0.02, "atol": 0.02}
    torch.testing.assert_close(loaded(**inputs).image_embeds, model(**inputs).image_embeds, **close)
    half = CLIP.from_pretrained(tmp_path / "half.pt", dtype=torch.bfloat16, config=model.config)
    assert {n for n, p in half.named_parameters() if p.dtype == torch.float32} == {"logit_scale"}
    assert half(**inputs).logits_per_image.dtype == torch.float32


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.module."])
@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_what_is_around_a_state_dict(model, tmp_path, prefix, wrapper):
    tensors = {prefix + k: tensor for k, tensor in openai_names(model.state_dict()).items()}
    torch.save({"epoch": 1, wrapper: tensors}, tmp_path / "a.pt")
    assert_same(CLIP.from_pretrained(tmp_path / "a.pt", config=model.config), model)


PATH = Path("clip.pt")
SIZES = {k: torch.tensor(1) for k in ("input_resolution", "context_length", "vocab_size")}


@pytest.mark.parametrize("name", clip.list_models())
def test_openais_own_files_are_known(name):
    """By the sizes beside the weights; the number of heads is that of the name."""
    config = clip.get_config(name)
    tensors = openai_names(on_meta(clip.CLIP, config).state_dict())
    assert read_file(PATH, tensors | SIZES, None)[0] == (config,)
    with pytest.raises(CheckpointError, match="is not one of OpenAI's own files.*pass config"):
        read_file(PATH, tensors, None)  # as open_clip's ViT-B-32, which has the exact GELU
    assert read_file(PATH, tensors, config)[0] == (config,)


@pytest.mark.parametrize("width, heads, mlp", [(1280, 16, 5120), (1408, 16, 6144), (80, 4, 99)])
def test_the_number_of_heads_is_not_guessed(width, heads, mlp):
    """ViT-H, ViT-g, and one that nobody has published, whose patches do not fill the image."""
    vision = VisionConfig(230, 14, width=width, depth=2, num_heads=heads, mlp_dim=mlp)
    config = clip.CLIPConfig(vision, SMALL.text, SMALL.embed_dim)
    tensors = openai_names(on_meta(clip.CLIP, config).state_dict())
    for beside in ({}, SIZES):
        with pytest.raises(CheckpointError, match="number of heads are not known: pass config"):
            read_file(PATH, tensors | beside, None)
        assert read_file(PATH, tensors | beside, config)[0] == (config,)


def test_a_config_that_does_not_fit(model, state_dict, folder):
    text = replace(model.config.text, vocab_size=601)
    with pytest.raises(CheckpointError, match="holds text vocab_size=600, not 601"):
        CLIP.from_pretrained(state_dict, config=replace(model.config, text=text))
    other = RESNET if model.config == SMALL else SMALL
    with pytest.raises(CheckpointError, match="holds (VisionConfig|ResNetConfig).*, not (V|R)"):
        CLIP.from_pretrained(state_dict, config=other)
    with pytest.raises(ValueError, match="unknown model 'ViT-H'"):
        CLIP.from_pretrained(state_dict, config="ViT-H")
    with pytest.raises(TypeError, match="config is 5; expected a CLIPConfig or a name"):
        CLIP.from_pretrained(state_dict, config=5)
    with pytest.raises(ValueError, match="config"):
        CLIP.from_pretrained(folder, config="RN50")


def test_a_folder_of_transformers(folder):
    model = random_model(SMALL)
    assert_same(CLIP.from_pretrained(folder), model)
    weights = load_file(folder / "model.safetensors")
    names = [f"{part}_model.embeddings.position_ids" for part in ("text", "vision")]
    ids = {name: torch.arange(12)[None] for name in names}  # as older versions wrote
    save_file(weights | ids, folder / "model.safetensors", metadata={"format": "pt"})
    assert_same(CLIP.from_pretrained(folder), model)


def test_published_configs_store_differences_only():
    content = {"model_type": "clip", "projection_dim": 512}
    assert read_config(PATH, content) == (clip.get_config("ViT-B/32"),)
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
    assert read_config(PATH, content) == (clip.get_config("ViT-L/14"),)


def test_transformers_reads_a_saved_folder(tmp_path):
    model = random_model(SMALL)
    model.save_pretrained(tmp_path)
    assert_same(CLIP.from_pretrained(tmp_path), model)
    other, info = CLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    inputs = random_inputs(SMALL)
    with torch.no_grad():
        found, expected = model(**inputs), other(**inputs)
    torch.testing.assert_close(found.logits_per_image, expected.logits_per_image)


def test_a_resnet_has_no_folder(tmp_path):
    with pytest.raises(CheckpointError, match="torch.save"):
        random_model(RESNET).save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


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
        CLIP.from_pretrained(archive)
    assert_same(CLIP.from_pretrained(archive, run_code_in_file=True, config=model.config), model)
    # the way to convert that the message names
    torch.save(torch.jit.load(archive, map_location="cpu").state_dict(), tmp_path / "weights.pt")
    assert_same(CLIP.from_pretrained(tmp_path / "weights.pt", config=model.config), model)


class Trap:
    def __reduce__(self):
        return open, ("trapped", "w")


def test_pickled_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"text_projection": Trap()}, "trap.pt")
    for options in ({}, {"run_code_in_file": True}):
        with pytest.raises(CheckpointError, match="holds more than tensors"):
            CLIP.from_pretrained("trap.pt", **options)
    assert not (tmp_path / "trapped").exists()


# ---- what does not -------------------------------------------------------------------------------


def test_a_type_that_is_none(folder):
    with pytest.raises(TypeError, match="dtype"):
        CLIP.from_pretrained(folder, dtype=torch.int8)


def save_changed(model, path, change):
    tensors = openai_names(model.state_dict())
    change(tensors)
    torch.save(tensors, path)
    return path


def test_a_missing_and_a_foreign_tensor_are_named(model, tmp_path):
    path = save_changed(model, tmp_path / "a.pt", lambda t: t.pop("ln_final.bias"))
    with pytest.raises(CheckpointError, match="missing: ln_final.bias"):
        CLIP.from_pretrained(path, config=model.config)
    path = save_changed(model, tmp_path / "b.pt", lambda t: t.update(extra=torch.zeros(1)))
    with pytest.raises(CheckpointError, match="not expected: extra"):
        CLIP.from_pretrained(path, config=model.config)


def test_a_wrong_shape_is_named(model, tmp_path):
    path = save_changed(
        model, tmp_path / "a.pt", lambda t: t.update({"ln_final.bias": torch.zeros(3)})
    )
    with pytest.raises(CheckpointError, match=r"final_layer_norm.bias has shape \[3\]"):
        CLIP.from_pretrained(path, config=model.config)


def test_another_models_state_dict(tmp_path):
    path = tmp_path / "siglip.pt"
    torch.save(sl.SigLIP.from_pretrained("tiny").state_dict(), path)
    with pytest.raises(CheckpointError, match="not expected"):
        CLIP.from_pretrained(path, config="ViT-B/32")
    torch.save({"epoch": 3, "state_dict": {}}, path)
    with pytest.raises(CheckpointError, match="is not a CLIP with OpenAI's names: it has no"):
        CLIP.from_pretrained(path)


@pytest.mark.parametrize("length", [0, 100, 5000])
def test_a_truncated_file(model, state_dict, length):
    state_dict.write_bytes(state_dict.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=f"{length:,} bytes"):
        CLIP.from_pretrained(state_dict, config=model.config)


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("hello", "world")
    with pytest.raises(CheckpointError, match="damaged, or holds more than tensors"):
        CLIP.from_pretrained(tmp_path / "a.pt")


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
        CLIP.from_pretrained(folder)


def test_a_siglip_folder_is_named():
    with pytest.raises(CheckpointError, match="model_type is 'siglip', expected 'clip'"):
        CLIP.from_pretrained("tiny")


def test_broken_folders(folder):
    (folder / "vocab.json").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="vocab.json is a folder or a device"):
        clip.Processor.from_pretrained(folder)
    change(folder / "config.json", text_config=5)
    with pytest.raises(CheckpointError, match="text_config is 5, expected an object"):
        CLIP.from_pretrained(folder)
    change(folder / "config.json", text_config={"num_hidden_layers": 20000})
    with pytest.raises(CheckpointError, match="depth must be at most 500, got 20000"):
        CLIP.from_pretrained(folder)
    os.mkfifo(folder / "weights.pt")
    for run in (False, True):
        with pytest.raises(CheckpointError, match="weights.pt is a folder or a device"):
            CLIP.from_pretrained(folder / "weights.pt", run_code_in_file=run)


def test_weights_that_are_none(model, tmp_path):
    """Not finite, or no floats; and names that a terminal would obey."""
    for name, new, message in (
        ("ln_final.weight", lambda t: t * torch.nan, "final_layer_norm.weight holds NaN"),
        ("logit_scale", lambda t: t + torch.inf, "logit_scale holds NaN or infinity"),
        ("ln_final.weight", torch.Tensor.int, "ln_final.weight is torch.int32"),
        ("\x1b[2J" + "x" * 1_000_000, lambda t: torch.zeros(1), "not expected: .x1b.2Jxx"),
    ):
        path = save_changed(
            model, tmp_path / "a.pt", lambda t, k=name, new=new: t.update({k: new(t.get(k))})
        )
        with pytest.raises(CheckpointError, match=message) as error:
            CLIP.from_pretrained(path, config=model.config)
        assert str(error.value).isprintable() and len(str(error.value)) <= 400


def test_names_and_paths():
    for where in ("RN50", "nowhere", "./no/where"):
        with pytest.raises(FileNotFoundError, match="ViT-B/32"):
            CLIP.from_pretrained(where)


# ---- processor -----------------------------------------------------------------------------------


def test_processor_of_a_name():
    processor = clip.Processor.from_pretrained("ViT-L/14@336px")
    inputs = processor(text=["a diagram"], images=[torch.zeros(9, 12, 3).numpy()])
    assert inputs["pixel_values"].shape == (1, 3, 336, 336)
    assert inputs["input_ids"].shape == (1, 77)


def test_processor_of_a_folder(folder):
    model = CLIP.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="vocab.json"):
        clip.Processor.from_pretrained(folder)
    letters = clip.tokenizer._BYTES.values()
    pieces = [*letters, *(x + "</w>" for x in letters), "ca", "cat</w>"]
    unused = [f"unused {i}" for i in range(model.config.text.vocab_size - len(pieces) - 2)]
    pieces += [*unused, clip.tokenizer.START]
    ids = {piece: i for i, piece in enumerate([*pieces, clip.tokenizer.END])}
    (folder / "vocab.json").write_text(json.dumps(ids))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    processor = clip.Processor.from_pretrained(folder)
    assert processor.tokenizer.pieces("cat cab")[1:-1] == ["cat</w>", "ca", "b</w>"]
    image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    rows = sl.zero_shot(model, processor, [image, image], ["cat", "dog", "cab"], template="{}")
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones(2))
    embeds = sl.embed_images(model, processor, [image, image])
    best, _ = sl.retrieve(model, processor, "a cat", embeds, k=2)
    torch.testing.assert_close(best, torch.full((1, 2), 0.5))

    change(folder / "preprocessor_config.json", size=32, crop_size=32)  # as older files write it
    clip.Processor.from_pretrained(folder)
    change(folder / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    with pytest.raises(CheckpointError, match="image_mean is .0.5, 0.5, 0.5.; this model's"):
        clip.Processor.from_pretrained(folder)
    change(folder / "preprocessor_config.json", image_mean=list(MEAN), size=40)
    with pytest.raises(CheckpointError, match="size is 40; .* {'shortest_edge': 32}"):
        clip.Processor.from_pretrained(folder)
    change(folder / "preprocessor_config.json", size=32, do_center_crop=False)
    with pytest.raises(CheckpointError, match="do_center_crop is False; .* has True"):
        clip.Processor.from_pretrained(folder)
    change(folder / "preprocessor_config.json", do_center_crop=True)
    end = {"__type": "AddedToken", "content": clip.tokenizer.END}  # as OpenAI's folders have it
    settings = {"unk_token": end, "pad_token": "!", "do_lower_case": True, "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    clip.Processor.from_pretrained(folder)
    for settings, message in (
        ({"do_lower_case": False}, "do_lower_case is False; .* has True"),
        ({"added_tokens_decoder": {"9": {"content": "<a>"}}}, "has the added token '<a>'"),
    ):
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        with pytest.raises(CheckpointError, match=message):
            clip.Processor.from_pretrained(folder)


def test_a_vocabulary_larger_than_the_model(folder):
    for name, content in clip.Tokenizer().files().items():
        (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="49408"):
        clip.Processor.from_pretrained(folder)


def test_transformers_reads_a_saved_processor(tmp_path):
    processor = clip.Processor.from_pretrained("ViT-B/32")
    processor.save_pretrained(tmp_path)
    images = [sl.shapes_world.draw(sl.shapes_world.random_scene(0))]
    texts = ["A photo of 2 cats!", "naïve café"]
    ours = processor(text=texts, images=images)
    theirs = CLIPProcessor.from_pretrained(tmp_path)(
        text=texts, images=images, padding="max_length", return_tensors="pt"
    )
    ends = ours["input_ids"].argmax(dim=1)  # behind it, the two fill with different tokens
    for row, other, end in zip(ours["input_ids"], theirs["input_ids"], ends, strict=True):
        assert torch.equal(row[: end + 1], other[: end + 1])
    torch.testing.assert_close(ours["pixel_values"], theirs["pixel_values"], rtol=0, atol=0.02)
    again = clip.Processor.from_pretrained(tmp_path)(text=texts, images=images)
    assert all(torch.equal(ours[name], again[name]) for name in ours)
