"""SigLIP 2 in and out: folders as the hub has them, files of other libraries, names."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from gemma_file import PIECES, SPECIAL, hub_settings, token, write_gemma
from hub_server import Hub, environment
from PIL import Image
from test_foreign import big_vision, open_clip, save_npz, save_pickle, save_safetensors
from test_siglip2_model import images, random_model, twin
from transformers import AutoProcessor, Siglip2Model, Siglip2Processor, SiglipModel, logging
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

import siglip_lab as sl
from siglip_lab import siglip2
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading import pretrained
from siglip_lab.preprocessing import BILINEAR

logging.set_verbosity_error()

CONFIG = SigLIPConfig(
    VisionConfig(64, 16, width=48, depth=2, num_heads=4, mlp_dim=100),
    TextConfig(PIECES, 16, width=48, depth=2, num_heads=2, mlp_dim=70),
)
UNEVEN = replace(CONFIG, text=replace(CONFIG.text, width=32))  # as the giant's towers are
TEXTS = ["A Photo of TWO cats!", "", "οδός ΟΔΟΣ <eos> <EOS> 😀", "cat " * 30]
PICTURES = [
    Image.fromarray(np.random.default_rng(i).integers(0, 256, (*shape, 3), dtype=np.uint8))
    for i, shape in enumerate([(64, 48), (90, 31), (20, 200)])
]
HALF = [0.5] * 3
# What google's own preprocessor_config.json says of images: of any shape, of one size
FLEXIBLE = {
    "data_format": "channels_first", "default_to_square": True, "device": None,
    "disable_grouping": None, "do_convert_rgb": None, "do_normalize": True, "do_pad": None,
    "do_rescale": True, "do_resize": True, "image_mean": HALF,
    "image_processor_type": "Siglip2ImageProcessorFast", "image_std": HALF,
    "input_data_format": None, "max_num_patches": 20, "pad_size": None, "patch_size": 16,
    "processor_class": "Siglip2Processor", "resample": 2, "rescale_factor": 0.00392156862745098,
    "return_tensors": None,
}  # fmt: skip
FIXED = {
    "do_convert_rgb": None, "do_normalize": True, "do_rescale": True, "do_resize": True,
    "image_mean": HALF, "image_processor_type": "SiglipImageProcessor", "image_std": HALF,
    "processor_class": "SiglipProcessor", "resample": 2, "rescale_factor": 0.00392156862745098,
    "size": {"height": 64, "width": 64},
}  # fmt: skip


def write_json(path, content):
    path.write_text(json.dumps(content))


@pytest.fixture
def flexible(tmp_path):
    """A NaFlex folder as the hub has it: transformers' model, the conversion's processor."""
    model = random_model(CONFIG)
    twin(model).save_pretrained(tmp_path)
    write_gemma(tmp_path)
    write_json(tmp_path / "preprocessor_config.json", FLEXIBLE)
    write_json(tmp_path / "tokenizer_config.json", hub_settings("Siglip2Processor"))
    (tmp_path / "tokenizer.model").write_bytes(b"a SentencePiece model, which is not read")
    return tmp_path


@pytest.fixture
def fixed(tmp_path):
    """SigLIP 2 of one size: SigLIP's classes, Gemma's tokenizer, bilinear."""
    model = sl.SigLIP(CONFIG, seed=0)
    model.save_pretrained(tmp_path)
    write_gemma(tmp_path)
    write_json(tmp_path / "preprocessor_config.json", FIXED)
    write_json(tmp_path / "tokenizer_config.json", hub_settings("SiglipProcessor"))
    return tmp_path


def rows(tokenizer, texts, length=16):
    options = {"padding": "max_length", "max_length": length, "truncation": True}
    return torch.tensor(tokenizer(texts, **options)["input_ids"])


def assert_same_inputs(ours, theirs):
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


# ---- folders of the hub --------------------------------------------------------------------------


@torch.no_grad()
def test_a_naflex_folder_of_the_hub(flexible):
    model, processor = (
        kind.from_pretrained(flexible) for kind in (siglip2.SigLIP2, siglip2.Processor)
    )
    assert model.config == CONFIG and not model.training
    assert (processor.max_num_patches, processor.patch_size) == (20, 16)
    ours = processor(text=TEXTS, images=PICTURES)
    theirs = Siglip2ImageProcessorPil(max_num_patches=20)(PICTURES, return_tensors="pt")
    assert_same_inputs({name: ours[name] for name in theirs}, theirs)
    expected = Siglip2Model.from_pretrained(flexible).eval()(**ours).logits_per_image
    torch.testing.assert_close(model(**ours).logits_per_image, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_folder_of_fixed_size_of_the_hub(fixed):
    model, processor = sl.SigLIP.from_pretrained(fixed), sl.Processor.from_pretrained(fixed)
    assert isinstance(processor.tokenizer, siglip2.Tokenizer) and processor.resample == BILINEAR
    ours = processor(text=TEXTS, images=PICTURES)
    options = {"size": {"height": 64, "width": 64}, "resample": 2, "return_tensors": "pt"}
    expected = SiglipImageProcessorPil()(PICTURES, **options)["pixel_values"]
    assert torch.equal(ours["pixel_values"], expected)
    assert ours["input_ids"][1].tolist() == [1] + [0] * 15
    expected = SiglipModel.from_pretrained(fixed).eval()(**ours).logits_per_image
    torch.testing.assert_close(model(**ours).logits_per_image, expected, atol=1e-5, rtol=0)


def test_defaults_need_not_be_written(flexible):
    """transformers stores what differs: 256 patches of 16 pixels are the default."""
    path = flexible / "config.json"
    content = json.loads(path.read_text())
    for part in ("vision_config", "text_config"):
        for key in (
            "attention_dropout",
            "hidden_act",
            "layer_norm_eps",
            "num_channels",
            "model_type",
        ):
            content[part].pop(key, None)
    write_json(path, content)
    assert siglip2.SigLIP2.from_pretrained(flexible).config == CONFIG
    form = siglip2.SigLIP2.format
    (config,) = form.read_config(
        path, {"model_type": "siglip2", "text_config": {"vocab_size": 256_000}}
    )
    assert config == siglip2.get_config("siglip2-base-patch16-naflex")
    sizes = {
        "hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16,
        "num_hidden_layers": 27,
    }  # fmt: skip
    (config,) = form.read_config(path, {
        "model_type": "siglip2", "vision_config": sizes,
        "text_config": sizes | {"vocab_size": 256_000, "projection_size": 1152},
    })  # fmt: skip
    assert config == siglip2.get_config("siglip2-so400m-patch16-naflex")


# ---- there and back ------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [CONFIG, UNEVEN], ids=["even", "uneven"])
@torch.no_grad()
def test_naflex_there_and_back(config, tmp_path):
    model = random_model(config)
    processor = siglip2.Processor(siglip2.Tokenizer(write_gemma(tmp_path), 16), 12)
    folder = tmp_path / "ours"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)

    theirs, twin_processor = (
        Siglip2Model.from_pretrained(folder).eval(),
        AutoProcessor.from_pretrained(folder),
    )
    assert isinstance(twin_processor, Siglip2Processor)
    ours = processor(text=TEXTS, images=PICTURES)
    options = {"padding": "max_length", "max_length": 16, "truncation": True}
    assert torch.equal(
        ours["input_ids"], torch.tensor(twin_processor(text=TEXTS, **options)["input_ids"])
    )
    images = Siglip2ImageProcessorPil.from_pretrained(folder)(PICTURES, return_tensors="pt")
    assert_same_inputs({name: ours[name] for name in images}, images)
    expected = theirs(**ours).logits_per_image
    torch.testing.assert_close(model(**ours).logits_per_image, expected, atol=1e-5, rtol=0)

    back = tmp_path / "theirs"
    theirs.save_pretrained(back)
    twin_processor.save_pretrained(back)
    again, reader = siglip2.SigLIP2.from_pretrained(back), siglip2.Processor.from_pretrained(back)
    assert again.config == config and reader.max_num_patches == 12
    assert_same_inputs(reader(text=TEXTS, images=PICTURES), ours)
    assert torch.equal(again(**ours).logits_per_image, model(**ours).logits_per_image)


@torch.no_grad()
def test_fixed_size_there_and_back(tmp_path):
    tokenizer = siglip2.Tokenizer(write_gemma(tmp_path), 16)
    model, processor = sl.SigLIP(UNEVEN, seed=0).eval(), sl.Processor(tokenizer, 64, BILINEAR)
    folder = tmp_path / "ours"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)

    theirs, twin_processor = (
        SiglipModel.from_pretrained(folder).eval(),
        AutoProcessor.from_pretrained(folder),
    )
    ours = processor(text=TEXTS, images=PICTURES)
    assert torch.equal(rows(twin_processor.tokenizer, TEXTS), ours["input_ids"])
    images = SiglipImageProcessorPil.from_pretrained(folder)(PICTURES, return_tensors="pt")
    assert torch.equal(images["pixel_values"], ours["pixel_values"])

    back = tmp_path / "theirs"
    theirs.save_pretrained(back)
    twin_processor.save_pretrained(back)
    again, reader = sl.SigLIP.from_pretrained(back), sl.Processor.from_pretrained(back)
    assert again.config == UNEVEN and reader.resample == BILINEAR
    assert_same_inputs(reader(text=TEXTS, images=PICTURES), ours)
    assert torch.equal(again(**ours).logits_per_image, model(**ours).logits_per_image)


def test_a_processor_alone(tmp_path):
    """A folder without a model says its sizes itself."""
    processor = siglip2.Processor(siglip2.Tokenizer(write_gemma(tmp_path), 9), 30, 14)
    processor.save_pretrained(tmp_path / "a")
    again = siglip2.Processor.from_pretrained(tmp_path / "a")
    assert (again.max_num_patches, again.patch_size, again.tokenizer.context_length) == (30, 14, 9)
    assert_same_inputs(again(text="a", images=PICTURES), processor(text="a", images=PICTURES))


def test_one_tokenizer_replaces_the_other(tmp_path):
    """The old one, which would win, is taken away."""
    sl.Processor.from_pretrained("tiny").save_pretrained(tmp_path / "a")
    tokenizer = siglip2.Tokenizer(write_gemma(tmp_path), 16)
    sl.Processor(tokenizer, 40, BILINEAR).save_pretrained(tmp_path / "a")
    assert isinstance(sl.Processor.from_pretrained(tmp_path / "a").tokenizer, siglip2.Tokenizer)
    sl.Processor.from_pretrained("tiny").save_pretrained(tmp_path / "a")
    again = sl.Processor.from_pretrained(tmp_path / "a")
    assert not isinstance(again.tokenizer, siglip2.Tokenizer) and again.resample == 3


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"resample": 3}, "resample is 3; .* has 2"),
        ({"image_mean": [0.4] * 3}, "image_mean"),
        ({"do_resize": False}, "do_resize"),
        ({"max_num_patches": 0}, "max_num_patches must be at least 1"),
        ({"max_num_patches": "256"}, "max_num_patches must be an integer"),
        ({"patch_size": 2.5}, "patch_size must be an integer"),
        ({"size": {"height": 64, "width": 64}}, "size is .*no such setting"),
        ({"image_processor_type": "SiglipImageProcessor"}, "image_processor_type"),
    ],
)
def test_other_preprocessing_is_refused(flexible, changes, message):
    write_json(flexible / "preprocessor_config.json", FLEXIBLE | changes)
    with pytest.raises(sl.CheckpointError, match=message):
        siglip2.Processor.from_pretrained(flexible)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"add_bos_token": True}, "add_bos_token is True; .* has False"),
        ({"add_eos_token": False}, "add_eos_token is False; .* has True"),
        ({"do_lower_case": False}, "do_lower_case is False"),
        ({"padding_side": "left"}, "padding_side is 'left'"),
        ({"pad_token": "<eos>"}, "pad_token is '<eos>'"),
        ({"model_max_length": 8}, "model_max_length is 8; .* has 16"),
        ({"tokenizer_class": "LlamaTokenizerFast"}, "tokenizer_class"),
        ({"additional_special_tokens": ["<image>"]}, "has the added token '<image>'"),
        ({"extra_special_tokens": {"image_token": "<image>"}}, "has the added token '<image>'"),
        ({"added_tokens_decoder": {"900": token("<image>")}}, "has the added token '<image>'"),
        ({"added_tokens_decoder": 5}, "has the added token 5"),
        ({"chat_template": "{{ messages }}"}, "chat_template is .*no such setting"),
    ],
)
def test_another_tokenizer_is_refused(flexible, changes, message):
    write_json(flexible / "tokenizer_config.json", hub_settings("Siglip2Processor") | changes)
    with pytest.raises(sl.CheckpointError, match=message):
        siglip2.Processor.from_pretrained(flexible)


def test_tokens_added_in_a_file_of_their_own(flexible):
    write_json(flexible / "added_tokens.json", {SPECIAL[6]: 6})
    siglip2.Processor.from_pretrained(flexible)
    write_json(flexible / "added_tokens.json", {"<image>": 900})
    with pytest.raises(sl.CheckpointError, match="<image>"):
        siglip2.Processor.from_pretrained(flexible)


def test_each_kind_of_folder_says_whose_the_other_is(flexible, tmp_path_factory):
    for kind in (sl.SigLIP, sl.Processor):
        with pytest.raises(sl.CheckpointError, match=r"siglip2\.SigLIP2\.from_pretrained"):
            kind.from_pretrained(flexible)
    for kind in (siglip2.SigLIP2, siglip2.Processor):
        with pytest.raises(sl.CheckpointError, match=r"siglip_lab\.SigLIP\.from_pretrained"):
            kind.from_pretrained("tiny")
    other = tmp_path_factory.mktemp("other")
    sl.SigLIP.from_pretrained("tiny").save_pretrained(other)
    with pytest.raises(sl.CheckpointError, match="a 'siglip2' would replace"):
        random_model(CONFIG).save_pretrained(other)


def test_a_folder_is_known_by_what_it_holds(flexible, tmp_path_factory):
    assert siglip2.is_naflex(flexible)
    assert not siglip2.is_naflex("tiny")
    file = tmp_path_factory.mktemp("file") / "a.npz"
    file.write_bytes(b"")
    assert not siglip2.is_naflex(file)
    with pytest.raises(FileNotFoundError):
        siglip2.is_naflex("nowhere")
    with pytest.raises(sl.CheckpointError, match="cannot fetch"):  # the tests are offline
        siglip2.is_naflex("siglip2-base-patch16-naflex")


@pytest.mark.parametrize(
    "part, changes, message",
    [
        (None, {"model_type": "clip"}, "model_type is 'clip', expected 'siglip2'"),
        ("vision_config", {"num_patches": 250}, "num_patches is 250; expected a square"),
        ("vision_config", {"num_patches": -4}, "num_patches must be at least 1"),
        ("vision_config", {"num_patches": "16"}, "num_patches must be an integer"),
        ("vision_config", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("vision_config", {"vision_use_head": False}, "vision_use_head"),
        ("vision_config", {"num_attention_heads": 5}, "cannot be split into 5"),
        ("text_config", {"projection_size": 40}, "must be equal"),
        ("text_config", {"vocab_size": 901}, "do not fit|has shape|900"),
    ],
)
def test_other_configs_are_refused(flexible, part, changes, message):
    path = flexible / "config.json"
    content = json.loads(path.read_text())
    (content if part is None else content[part]).update(changes)
    write_json(path, content)
    for kind in (siglip2.SigLIP2, siglip2.Processor):
        if kind is siglip2.SigLIP2 or part != "text_config" or "vocab_size" in changes:
            with pytest.raises(sl.CheckpointError, match=message):
                kind.from_pretrained(flexible)


def test_a_vocabulary_of_another_model(flexible, tmp_path):
    path = flexible / "config.json"
    content = json.loads(path.read_text())
    content["text_config"]["vocab_size"] = 256_000
    write_json(path, content)
    with pytest.raises(sl.CheckpointError, match="900 pieces, config.json has 256000"):
        siglip2.Processor.from_pretrained(flexible)


# ---- files of other libraries --------------------------------------------------------------------

WAYS = {
    "npz": lambda model, folder: save_npz(folder / "a.npz", big_vision(model, "params/")),
    "npz, stacked layers": lambda model, folder: save_npz(
        folder / "a.npz", big_vision(model, "params/", stacked=True)
    ),
    "open_clip": lambda model, folder: save_safetensors(folder / "a.safetensors", open_clip(model)),
    "open_clip, in training": lambda model, folder: save_pickle(
        folder / "a.pt", {"state_dict": open_clip(model, "module.")}
    ),
    "our own": lambda model, folder: save_pickle(folder / "a.pt", model.state_dict()),
}


@pytest.mark.parametrize("config", [CONFIG, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_every_layout_gives_back_the_model(config, way, tmp_path):
    model = random_model(config)
    loaded = siglip2.SigLIP2.from_pretrained(WAYS[way](model, tmp_path), config=config)
    assert loaded.config == config
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    if "npz" in way:
        assert siglip2.SigLIP2.from_pretrained(tmp_path / "a.npz").config == config


@pytest.mark.parametrize("name", siglip2.list_models())
@pytest.mark.parametrize("layout", ["npz", "pt"])
def test_published_files_need_no_config(name, layout, monkeypatch, tmp_path):
    """On the meta device."""

    def assign(path, model, tensors):
        model.load_state_dict(tensors, strict=True, assign=True)
        return model

    with torch.device("meta"):
        model = siglip2.SigLIP2(siglip2.get_config(name))
    tensors = big_vision(model, "", True) if layout == "npz" else open_clip(model)
    monkeypatch.setattr(pretrained, "assign", assign)
    monkeypatch.setattr(pretrained, "resolve", lambda path, *arguments: path)
    monkeypatch.setattr(pretrained, "read_tensors", lambda path, run: tensors)
    assert siglip2.SigLIP2.from_pretrained(tmp_path / "a").config == siglip2.get_config(name)


def test_each_kind_of_file_says_whose_the_other_is(tmp_path):
    naflex = save_npz(tmp_path / "a.npz", big_vision(random_model(CONFIG)))
    fixed = save_npz(tmp_path / "b.npz", big_vision(sl.SigLIP(CONFIG, seed=0)))
    for kind in (sl.SigLIP, sl.VisionTower):
        with pytest.raises(sl.CheckpointError, match=r"any shape: use siglip2\.SigLIP2"):
            kind.from_pretrained(naflex)
    with pytest.raises(sl.CheckpointError, match="a fixed size: use siglip_lab.SigLIP"):
        siglip2.SigLIP2.from_pretrained(fixed)
    timm = open_clip(random_model(CONFIG))
    alone = {
        name.removeprefix("visual.trunk."): tensor
        for name, tensor in timm.items() if name.startswith("visual.trunk.")
    }  # fmt: skip
    with pytest.raises(sl.CheckpointError, match="holds an image tower alone"):
        siglip2.SigLIP2.from_pretrained(save_pickle(tmp_path / "c.pt", alone))
    with pytest.raises(sl.CheckpointError, match="mlp_dim=100, not 101|holds"):
        vision = replace(CONFIG.vision, mlp_dim=101)
        siglip2.SigLIP2.from_pretrained(naflex, config=replace(CONFIG, vision=vision))
    with pytest.raises(ValueError, match="those of fixed size are siglip_lab.SigLIP's"):
        siglip2.SigLIP2.from_pretrained(naflex, config="siglip2-base-patch16-224")


def test_a_table_or_patches_that_are_none(tmp_path):
    tensors = big_vision(random_model(CONFIG))
    kernel, table = "params/img/embedding/kernel", "params/img/pos_embedding"
    for name, tensor in ((kernel, torch.zeros(700, 48)), (table, torch.zeros(4, 3, 48))):
        with pytest.raises(sl.CheckpointError):
            siglip2.SigLIP2.from_pretrained(save_npz(tmp_path / "a.npz", tensors | {name: tensor}))


# ---- the fifteen of fixed size, and the uneven giant ---------------------------------------------


@pytest.mark.parametrize("name", sl.list_models(version=2))
def test_every_published_shape_loads(name, monkeypatch, tmp_path):
    """Its folder, of tensors that take no room, is read as transformers describes it."""
    config = sl.get_config(name)
    content = sl.SigLIP.format.write_config(config)
    write_json(tmp_path / "config.json", content)
    monkeypatch.setattr(pretrained.folders, "load_folder", lambda folder, model, *arguments: model)
    model = sl.SigLIP.from_pretrained(tmp_path)
    assert model.config == config
    assert sum(p.numel() for p in model.parameters()) == sl.count_parameters(config).total
    with torch.device("meta"):
        theirs = SiglipModel(SiglipModel.config_class.from_pretrained(tmp_path))
    ours = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert ours == {name: tensor.shape for name, tensor in theirs.state_dict().items()}


def test_images_of_the_model_fixture_fit():
    """The grids of `images` are those of a budget, as the processor's are."""
    given = images(config=CONFIG, grids=[[2, 3]], budget=8)
    assert given["pixel_attention_mask"].sum() == 6


# ---- by name -------------------------------------------------------------------------------------

ONE_LINE = """
import sys, torch, siglip_lab as sl
naflex = sl.siglip2.is_naflex(sys.argv[1])
family, kind = (sl.siglip2, sl.siglip2.SigLIP2) if naflex else (sl, sl.SigLIP)
model, processor = kind.from_pretrained(sys.argv[1]), family.Processor.from_pretrained(sys.argv[1])
from PIL import Image
inputs = processor(text=["A cat", "two dogs"], images=[Image.new("RGB", (90, 30), "red")])
print(naflex, list(model(**inputs).logits_per_image.shape), inputs["input_ids"][0, :2].tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["siglip2-base-patch16-naflex", "siglip2-so400m-patch14-384"])
def test_a_published_name_is_one_line(name, tmp_path_factory, request):
    """Fetched by the hub's own client: what is needed, and the SentencePiece model is not."""
    naflex = "naflex" in name
    served = request.getfixturevalue("flexible" if naflex else "fixed")
    cache = tmp_path_factory.mktemp("cache")
    (served / "tokenizer.model").write_bytes(b"a SentencePiece model, which is not read")
    with Hub({f"google/{name}": served}) as hub:
        settings = os.environ | environment(cache, hub.url)
        run = subprocess.run(
            [sys.executable, "-c", ONE_LINE, name], env=settings, capture_output=True, text=True
        )
        fetched = {key for key, _ in hub.requests}
        hub.shutdown()
    expected = siglip2.Tokenizer(served / "tokenizer.json").encode("A cat")[:2]
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == f"{naflex} [1, 2] {expected}"
    assert "tokenizer.json" in fetched and "tokenizer.model" not in fetched
