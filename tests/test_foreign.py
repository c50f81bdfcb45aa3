import functools
import io
import pickle
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import random_inputs, random_model
from safetensors.torch import save_file
from torch.nn import functional as F

from siglip_lab import CheckpointError, Processor, SigLIP, TextTower, VisionTower
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading import pretrained
from siglip_lab.published import get_config, list_models

TWO_SIZES = SigLIPConfig(  # the towers differ, as in giant-opt; the patches do not fill the image
    VisionConfig(46, 6, width=48, depth=2, num_heads=2, mlp_dim=100),
    TextConfig(600, 8, width=32, depth=3, num_heads=4, mlp_dim=70),
)
NO_HEAD = SigLIPConfig(
    VisionConfig(24, 8, width=24, depth=1, num_heads=3, mlp_dim=40),
    TextConfig(50, 5, width=24, depth=2, num_heads=2, mlp_dim=36),
)
CONFIGS = pytest.mark.parametrize("config", [TWO_SIZES, NO_HEAD], ids=["two sizes", "no head"])


HEADLESS = (NO_HEAD, get_config("siglip-so400m-patch16-256-i18n"))


def make(config: SigLIPConfig) -> SigLIP:
    model = random_model(config)
    if config in HEADLESS:
        torch.nn.init.eye_(model.text_model.head.weight)
        torch.nn.init.zeros_(model.text_model.head.bias)
    return model


# ---- the way out, written from the sources of big_vision, open_clip and timm alone ---------------


def big_vision(model, prefix="params/", stacked=False):
    """A SigLIP's parameters as flax has them: kernels [in, out], heads as an axis of their own."""
    state, result = model.state_dict(), {}

    def dense(new, old):
        result[f"{new}/kernel"] = state[f"{old}.weight"].T
        result[f"{new}/bias"] = state[f"{old}.bias"]

    def norm(new, old):
        result[f"{new}/scale"] = state[f"{old}.weight"]
        result[f"{new}/bias"] = state[f"{old}.bias"]

    def attention(new, weights, biases, out, heads):
        new, width = f"{new}/MultiHeadDotProductAttention_0", len(biases[0])
        for part, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            result[f"{new}/{part}/kernel"] = weight.T.reshape(width, heads, width // heads)
            result[f"{new}/{part}/bias"] = bias.reshape(heads, width // heads)
        kernel = state[f"{out}.weight"].T.reshape(heads, width // heads, width)
        result[f"{new}/out/kernel"], result[f"{new}/out/bias"] = kernel, state[f"{out}.bias"]

    def encoder(new, old, config):
        for i in range(config.depth):
            block, layer = f"{new}/encoderblock_{i}", f"{old}.encoder.layers.{i}"
            norm(f"{block}/LayerNorm_0", f"{layer}.layer_norm1")
            projections = [f"{layer}.self_attn.{part}_proj" for part in "qkv"]
            weights = [state[f"{name}.weight"] for name in projections]
            biases = [state[f"{name}.bias"] for name in projections]
            attention(block, weights, biases, f"{layer}.self_attn.out_proj", config.num_heads)
            norm(f"{block}/LayerNorm_1", f"{layer}.layer_norm2")
            dense(f"{block}/MlpBlock_0/Dense_0", f"{layer}.mlp.fc1")
            dense(f"{block}/MlpBlock_0/Dense_1", f"{layer}.mlp.fc2")

    vision, text, head = model.config.vision, model.config.text, "vision_model.head"
    kernel = state["vision_model.embeddings.patch_embedding.weight"]
    naflex = kernel.ndim == 2  # a Dense, and a table with two sides
    result["img/embedding/kernel"] = kernel.T if naflex else kernel.permute(2, 3, 1, 0)
    result["img/embedding/bias"] = state["vision_model.embeddings.patch_embedding.bias"]
    positions = state["vision_model.embeddings.position_embedding.weight"]
    shape = 2 * (vision.grid_size,) if naflex else (1, vision.num_patches)
    result["img/pos_embedding"] = positions.reshape(*shape, vision.width)
    encoder("img/Transformer", "vision_model", vision)
    norm("img/Transformer/encoder_norm", "vision_model.post_layernorm")
    result["img/MAPHead_0/probe"] = state[f"{head}.probe"]
    weights = state[f"{head}.attention.in_proj_weight"].reshape(3, vision.width, vision.width)
    biases = state[f"{head}.attention.in_proj_bias"].reshape(3, vision.width)
    attention(
        "img/MAPHead_0", [*weights], [*biases], f"{head}.attention.out_proj", vision.num_heads
    )
    norm("img/MAPHead_0/LayerNorm_0", f"{head}.layernorm")
    dense("img/MAPHead_0/MlpBlock_0/Dense_0", f"{head}.mlp.fc1")
    dense("img/MAPHead_0/MlpBlock_0/Dense_1", f"{head}.mlp.fc2")
    result["txt/Embed_0/embedding"] = state["text_model.embeddings.token_embedding.weight"]
    result["txt/pos_embedding"] = state["text_model.embeddings.position_embedding.weight"][None]
    encoder("txt/Encoder_0", "text_model", text)
    norm("txt/Encoder_0/encoder_norm", "text_model.final_layer_norm")
    if model.config not in HEADLESS:
        dense("txt/head", "text_model.head")
    result["t"], result["b"] = state["logit_scale"], state["logit_bias"]
    if stacked:
        for tower, depth in (("img/Transformer", vision.depth), ("txt/Encoder_0", text.depth)):
            for name in [name for name in result if name.startswith(f"{tower}/encoderblock_0/")]:
                rest = name.removeprefix(f"{tower}/encoderblock_0/")
                layers = [result.pop(f"{tower}/encoderblock_{i}/{rest}") for i in range(depth)]
                result[f"{tower}/encoderblock/{rest}"] = torch.stack(layers)
    return {prefix + name: tensor for name, tensor in result.items()}


def open_clip(model, prefix=""):
    """A SigLIP's parameters as open_clip's `CustomTextCLIP` with timm's `VisionTransformer` has.

    A NaFlex's as with timm's `NaFlexVit`.
    """
    state, result = model.state_dict(), {}
    naflex = state["vision_model.embeddings.patch_embedding.weight"].ndim == 2
    moves = [
        (
            f"visual.trunk.{'embeds' if naflex else 'patch_embed'}.proj",
            "vision_model.embeddings.patch_embedding",
        ),
        ("visual.trunk.norm", "vision_model.post_layernorm"),
        ("visual.trunk.attn_pool.proj", "vision_model.head.attention.out_proj"),
        ("visual.trunk.attn_pool.norm", "vision_model.head.layernorm"),
        ("visual.trunk.attn_pool.mlp.fc1", "vision_model.head.mlp.fc1"),
        ("visual.trunk.attn_pool.mlp.fc2", "vision_model.head.mlp.fc2"),
        ("text.ln_final", "text_model.final_layer_norm"),
    ]
    if model.config not in HEADLESS:
        moves.append(("text.text_projection", "text_model.head"))
    for i in range(model.config.vision.depth):
        block, layer = f"visual.trunk.blocks.{i}", f"vision_model.encoder.layers.{i}"
        moves += [
            (f"{block}.norm1", f"{layer}.layer_norm1"),
            (f"{block}.norm2", f"{layer}.layer_norm2"),
            (f"{block}.attn.proj", f"{layer}.self_attn.out_proj"),
            (f"{block}.mlp.fc1", f"{layer}.mlp.fc1"),
            (f"{block}.mlp.fc2", f"{layer}.mlp.fc2"),
        ]
    for i in range(model.config.text.depth):
        block, layer = f"text.transformer.resblocks.{i}", f"text_model.encoder.layers.{i}"
        moves += [
            (f"{block}.ln_1", f"{layer}.layer_norm1"),
            (f"{block}.ln_2", f"{layer}.layer_norm2"),
            (f"{block}.attn.out_proj", f"{layer}.self_attn.out_proj"),
            (f"{block}.mlp.c_fc", f"{layer}.mlp.fc1"),
            (f"{block}.mlp.c_proj", f"{layer}.mlp.fc2"),
        ]
    for kind in ("weight", "bias"):
        for new, old in moves:
            result[f"{new}.{kind}"] = state[f"{old}.{kind}"]
        for tower, new, config in (
            ("vision", "visual.trunk.blocks.{}.attn.qkv.", model.config.vision),
            ("text", "text.transformer.resblocks.{}.attn.in_proj_", model.config.text),
        ):
            for i in range(config.depth):
                old = f"{tower}_model.encoder.layers.{i}.self_attn"
                parts = [state[f"{old}.{part}_proj.{kind}"] for part in "qkv"]
                result[new.format(i) + kind] = torch.cat(parts)
        packed = state[f"vision_model.head.attention.in_proj_{kind}"]
        q, kv = packed.split([len(packed) // 3, len(packed) - len(packed) // 3])
        result[f"visual.trunk.attn_pool.q.{kind}"] = q.clone()
        result[f"visual.trunk.attn_pool.kv.{kind}"] = kv.clone()
    positions = state["vision_model.embeddings.position_embedding.weight"]
    side, name = model.config.vision.grid_size, "embeds.pos_embed" if naflex else "pos_embed"
    result[f"visual.trunk.{name}"] = (
        positions.reshape(1, side, side, -1) if naflex else positions[None]
    )
    result["visual.trunk.attn_pool.latent"] = state["vision_model.head.probe"]
    result["text.token_embedding.weight"] = state["text_model.embeddings.token_embedding.weight"]
    positions = state["text_model.embeddings.position_embedding.weight"]
    result["text.positional_embedding"] = positions
    result["logit_scale"] = state["logit_scale"].squeeze()
    result["logit_bias"] = state["logit_bias"].squeeze()
    return {prefix + name: tensor for name, tensor in result.items()}


def save_npz(path, tensors):
    np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    return path


def save_safetensors(path, tensors):
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def save_pickle(path, tensors):
    torch.save(tensors, path)
    return path


WAYS = {
    "npz": lambda model, folder: save_npz(folder / "a.npz", big_vision(model)),
    "npz, bare names": lambda model, folder: save_npz(folder / "a.npz", big_vision(model, "")),
    "npz, stacked layers": lambda model, folder: save_npz(
        folder / "a.npz", big_vision(model, stacked=True)
    ),
    "safetensors": lambda model, folder: save_safetensors(
        folder / "open_clip_model.safetensors", open_clip(model)
    ),
    "pt": lambda model, folder: save_pickle(folder / "a.pt", open_clip(model)),
    "training checkpoint": lambda model, folder: save_pickle(
        folder / "epoch_1.pt",
        {
            "epoch": 1, "name": "run", "state_dict": open_clip(model, "module."),
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []},
        },
    ),
    "pickle of old": lambda model, folder: torch.save(
        open_clip(model), folder / "a.bin", _use_new_zipfile_serialization=False
    )
    or folder / "a.bin",
}  # fmt: skip


@torch.no_grad()
def assert_same(found, expected, **inputs):
    state = expected.state_dict()
    assert found.state_dict().keys() == state.keys()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, state[name]), name
        assert tensor.is_contiguous(), name
    inputs = random_inputs(expected.config, images=2) | inputs
    assert torch.equal(found(**inputs).logits_per_image, expected(**inputs).logits_per_image)


# ---- what loads ----------------------------------------------------------------------------------


@CONFIGS
@pytest.mark.parametrize("way", WAYS)
def test_every_layout_gives_back_the_model(config, way, tmp_path):
    model = make(config)
    loaded = SigLIP.from_pretrained(WAYS[way](model, tmp_path), config=config)
    assert loaded.config == config
    assert not loaded.training
    assert_same(loaded, model)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "model.", "model.module."])
@pytest.mark.parametrize("wrappers", [[], ["model"], ["model_state_dict"], ["model", "state_dict"]])
def test_what_is_around_a_state_dict(prefix, wrappers, tmp_path):
    model = make(TWO_SIZES)
    content = open_clip(model, prefix)
    path = save_safetensors(tmp_path / "a.safetensors", content)
    assert_same(SigLIP.from_pretrained(path, config=TWO_SIZES), model)
    for wrapper in wrappers:
        content = {wrapper: content, "epoch": 3}
    assert_same(
        SigLIP.from_pretrained(save_pickle(tmp_path / "a.pt", content), config=TWO_SIZES), model
    )


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("save", [save_pickle, save_safetensors])
def test_our_own_names(save, prefix, tmp_path):
    """What `torch.save(model.state_dict(), PATH)` keeps, of the whole and of a tower."""
    model = make(TWO_SIZES)
    content = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    path = save(tmp_path / f"a.{'pt' if save is save_pickle else 'safetensors'}", content)
    assert_same(SigLIP.from_pretrained(path, config=TWO_SIZES), model)
    for tower, part in ((VisionTower, "vision"), (TextTower, "text")):
        expected = getattr(model, f"{part}_model").state_dict()
        config = getattr(TWO_SIZES, part)
        alone = save_pickle(tmp_path / "tower.pt", {"model": expected})
        for source in (path, alone):
            found = tower.from_pretrained(source, config=config).state_dict()
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], expected[name]) for name in found)
    assert_same(
        SigLIP.from_pretrained(
            save_pickle(tmp_path / "b.pt", {"model": content}), config=TWO_SIZES
        ),
        model,
    )


def test_our_own_names_of_another_shape(tmp_path):
    tensors = make(TWO_SIZES).state_dict()
    refuse(save_pickle(tmp_path / "a.pt", tensors), "not expected", config=NO_HEAD)
    deeper = replace(TWO_SIZES, text=replace(TWO_SIZES.text, context_length=9))
    refuse(save_pickle(tmp_path / "a.pt", tensors), "position_embedding", config=deeper)
    tensors["logit_bias"] = torch.zeros(1, dtype=torch.int8)
    refuse(save_pickle(tmp_path / "a.pt", tensors), "int8", config=TWO_SIZES)
    del tensors["text_model.head.bias"]
    path = save_pickle(tmp_path / "a.pt", tensors | {"logit_bias": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="head.bias"):
        TextTower.from_pretrained(path, config=TWO_SIZES.text)


def test_a_prefix_of_some_names_only(tmp_path):
    names = open_clip(make(NO_HEAD), "student.")
    refuse(save_pickle(tmp_path / "a.pt", names), "is no SigLIP", "begins with student.visual")
    names = open_clip(make(NO_HEAD), "module.") | {"n_averaged": torch.ones(1)}
    refuse(save_pickle(tmp_path / "a.pt", names), "is no SigLIP", "begins with module.visual")


def test_a_wrapper_without_end(tmp_path):
    content = {"epoch": 3}
    content["model"] = content
    refuse(save_pickle(tmp_path / "a.pt", content), "epoch is of type int")
    refuse(save_pickle(tmp_path / "a.pt", {"module." * 9999 + "x": torch.ones(1)}), "begins with x")


def test_a_whole_model_is_refused(tmp_path):
    advice = "torch.save(model.state_dict(), PATH)"
    for whole in (make(NO_HEAD), {"model": make(NO_HEAD)}):
        refuse(save_pickle(tmp_path / "a.pt", whole), "siglip_lab.model.SigLIP, whose code", advice)


@CONFIGS
def test_an_npz_tells_its_shape_but_for_pixels_that_no_patch_covers(config, tmp_path):
    model = make(config)
    covered = config.vision.grid_size * config.vision.patch_size
    found = SigLIP.from_pretrained(save_npz(tmp_path / "a.npz", big_vision(model))).config
    assert found == replace(config, vision=replace(config.vision, image_size=covered))


def test_tiny_from_open_clips_layout_without_a_config(tmp_path):
    """Published shapes, and this one, tell their heads and their image size."""
    model = SigLIP.from_pretrained("tiny")
    assert_same(
        SigLIP.from_pretrained(save_safetensors(tmp_path / "a.safetensors", open_clip(model))),
        model,
    )
    assert_same(
        SigLIP.from_pretrained(save_npz(tmp_path / "a.npz", big_vision(model)), config="tiny"),
        model,
    )


@pytest.mark.parametrize(
    "name",
    [
        "siglip-so400m-patch14-224", "siglip-so400m-patch14-384", "siglip-so400m-patch16-256-i18n",
        "siglip2-base-patch32-256", "siglip2-giant-opt-patch16-384",
    ],
)  # fmt: skip
def test_published_shapes_are_recognised(name, monkeypatch, tmp_path):
    """On the meta device: heads, image size, text length, head or none."""

    def assign(path, model, tensors):  # without a look at numbers that are not there
        model.load_state_dict(tensors, strict=True, assign=True)
        return model

    def pretend(tensors):
        monkeypatch.setattr(pretrained, "read_tensors", lambda path, run: tensors)

    monkeypatch.setattr(pretrained, "assign", assign)
    monkeypatch.setattr(pretrained, "resolve", lambda path, *arguments: path)
    with torch.device("meta"):
        model = SigLIP(get_config(name))
    pretend(open_clip(model))
    assert SigLIP.from_pretrained(tmp_path / "a.pt").config == get_config(name)
    pretend(big_vision(model, "", "2-" in name))
    assert SigLIP.from_pretrained(tmp_path / "a.npz").config == get_config(name)


def test_a_published_tower_has_one_image_size_and_one_number_of_heads():
    """Without this, reading would have to guess."""
    sizes, heads = {}, {}
    for config in (get_config(name) for version in (1, 2) for name in list_models(version)):
        vision, text = config.vision, config.text
        covered = replace(vision, image_size=vision.grid_size * vision.patch_size)
        assert sizes.setdefault(covered, vision.image_size) == vision.image_size
        for part, tower in (("vision", vision), ("text", text)):
            key = part, tower.width, tower.depth, tower.mlp_dim
            assert heads.setdefault(key, tower.num_heads) == tower.num_heads


SHAPES = st.builds(
    lambda grid, patch, spare, heads, sizes, depths, length: SigLIPConfig(
        VisionConfig(
            grid * patch + spare % patch,
            patch,
            width=heads[0] * 4,
            depth=depths[0],
            num_heads=heads[0],
            mlp_dim=10,
        ),
        TextConfig(
            20, length, width=heads[1] * 4, depth=depths[1], num_heads=heads[1], mlp_dim=sizes
        ),
    ),
    *(st.integers(1, 3), st.integers(1, 5), st.integers(0, 4)),
    heads=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    sizes=st.integers(1, 9),
    depths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    length=st.integers(1, 5),
)


@given(config=SHAPES, way=st.sampled_from(["npz", "npz, stacked layers", "pt"]))
@settings(max_examples=10, deadline=None)
def test_any_small_shape(config, way, tmp_path_factory):
    model = make(config)
    path = WAYS[way](model, tmp_path_factory.mktemp("any"))
    assert_same(SigLIP.from_pretrained(path, config=config), model)


@torch.no_grad()
def test_the_layouts_mean_what_the_libraries_compute():
    """Attention and patches, computed from the stored tensors as flax, timm and torch do it."""
    model = make(TWO_SIZES)
    x = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    expected = model.vision_model.encoder.layers[1].self_attn(x)
    flax, timm = big_vision(model, ""), open_clip(model)
    at = "img/Transformer/encoderblock_1/MultiHeadDotProductAttention_0/"
    q, k, v = (
        torch.einsum("bnd,dhk->bhnk", x, flax[f"{at}{part}/kernel"])
        + flax[f"{at}{part}/bias"][:, None]
        for part in ("query", "key", "value")
    )
    weights = (torch.einsum("bhnk,bhmk->bhnm", q, k) / 24**0.5).softmax(-1)
    heads = torch.einsum("bhnm,bhmk->bnhk", weights, v)
    out = torch.einsum("bnhk,hkd->bnd", heads, flax[at + "out/kernel"]) + flax[at + "out/bias"]
    torch.testing.assert_close(out, expected)

    at = "visual.trunk.blocks.1.attn."
    qkv = F.linear(x, timm[at + "qkv.weight"], timm[at + "qkv.bias"]).reshape(2, 5, 3, 2, 24)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [3, B, heads, N, D / heads]
    heads = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 48)
    out = F.linear(heads, timm[at + "proj.weight"], timm[at + "proj.bias"])
    torch.testing.assert_close(out, expected)

    x = x[..., :32]
    at, attention = "text.transformer.resblocks.2.attn.", torch.nn.MultiheadAttention(32, 4)
    names = attention.state_dict().keys()
    attention.load_state_dict({name: timm[at + name] for name in names})
    out = attention(*[x.transpose(0, 1)] * 3, need_weights=False)[0].transpose(0, 1)
    torch.testing.assert_close(out, model.text_model.encoder.layers[2].self_attn(x))

    image = random_inputs(TWO_SIZES)["pixel_values"]
    patch = image[0, :, 6:12, 18:24].permute(1, 2, 0)  # [P, P, 3] of row 1, column 3
    out = torch.einsum("hwc,hwcd->d", patch, flax["img/embedding/kernel"])
    out += flax["img/embedding/bias"] + flax["img/pos_embedding"][0, 7 + 3]
    torch.testing.assert_close(out, model.vision_model.embeddings(image)[0, 7 + 3])


def test_half_precision_stays_unless_asked(tmp_path):
    model = make(NO_HEAD)
    arrays = {name: tensor.half().numpy() for name, tensor in big_vision(model).items()}
    np.savez(tmp_path / "half.npz", **arrays)
    loaded = SigLIP.from_pretrained(tmp_path / "half.npz")
    assert {p.dtype for p in loaded.parameters()} == {torch.float16}
    assert torch.equal(loaded.logit_scale, model.logit_scale.half())

    brain = {name: tensor.bfloat16() for name, tensor in big_vision(model).items()}
    arrays = {k: t.contiguous().view(torch.int16).numpy().view("V2") for k, t in brain.items()}
    np.savez(tmp_path / "brain.npz", **arrays)  # as numpy saves jax's bfloat16
    loaded = SigLIP.from_pretrained(tmp_path / "brain.npz")
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].bfloat16()), name

    loaded = SigLIP.from_pretrained(tmp_path / "brain.npz", dtype=torch.float16)
    types = {name: p.dtype for name, p in loaded.named_parameters()}
    assert types.pop("logit_scale") == types.pop("logit_bias") == torch.float32
    assert set(types.values()) == {torch.float16}


def test_tensors_stay_memory_mapped(tmp_path):
    """What was read shares no memory with another tensor that would be written twice, either."""
    path = WAYS["safetensors"](make(TWO_SIZES), tmp_path)
    loaded = SigLIP.from_pretrained(path, config=TWO_SIZES)
    loaded.save_pretrained(tmp_path / "folder")
    assert_same(SigLIP.from_pretrained(tmp_path / "folder"), loaded)
    q, k = (getattr(loaded.text_model.encoder.layers[0].self_attn, f"{p}_proj") for p in "qk")
    assert q.weight.untyped_storage().data_ptr() == k.weight.untyped_storage().data_ptr()


# ---- what does not: names and shapes -------------------------------------------------------------


def refuse(path, *parts, config=TWO_SIZES):
    with pytest.raises(CheckpointError) as error:
        SigLIP.from_pretrained(path, config=config)
    for part in (str(path), *parts):
        assert part in str(error.value)


LAST = {
    "big_vision": "img/Transformer/encoderblock_1/MlpBlock_0/Dense_1/kernel",
    "open_clip": "visual.trunk.blocks.1.attn.qkv.weight",
}


@pytest.mark.parametrize("library", LAST)
def test_names_that_are_missing_or_left_over(library, tmp_path, monkeypatch):
    model, last = make(TWO_SIZES), LAST[library]
    full = big_vision(model, "") if library == "big_vision" else open_clip(model)
    save = save_npz if library == "big_vision" else save_safetensors
    path = tmp_path / ("a.npz" if library == "big_vision" else "a.safetensors")
    refuse(save(path, {k: t for k, t in full.items() if k != last}), "missing: ", last)
    refuse(save(path, full | {"extra": torch.zeros(2)}), "not expected: extra")
    monkeypatch.setattr(pretrained, "on_meta", functools.cache(pretrained.on_meta))
    for name in full:  # none is dispensable, and none is read without a look at its shape
        rest = {k: t for k, t in full.items() if k != name}
        for tensors in (rest, rest | {name: torch.zeros(7, 5, 3)}):
            monkeypatch.setattr(pretrained, "read_tensors", lambda path, run, x=tensors: {**x})
            refuse(path)


def test_a_wrong_shape_is_named(tmp_path):
    full = big_vision(make(TWO_SIZES), "")
    name = "txt/Encoder_0/encoderblock_2/MultiHeadDotProductAttention_0/key/bias"
    path = save_npz(tmp_path / "a.npz", full | {name: full[name].reshape(2, 16)})
    refuse(path, f"{name} has shape [2, 16]", "4 heads")
    kernel = name.replace("bias", "kernel")
    path = save_npz(tmp_path / "a.npz", full | {kernel: full[kernel].reshape(32, 32)})
    refuse(path, f"{kernel} has shape [32, 32]", "4 heads")


def test_another_number_of_heads(tmp_path):
    other = replace(TWO_SIZES, text=replace(TWO_SIZES.text, num_heads=2))
    path = save_npz(tmp_path / "a.npz", big_vision(make(TWO_SIZES)))
    refuse(path, "holds text num_heads=4, not 2", config=other)
    base = "siglip-base-patch16-224"
    refuse(path, "width=48, not 768", "image_size=42, not 224", config=base)
    full = big_vision(make(TWO_SIZES), "")
    name = "img/Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/bias"
    save_npz(path, full | {name: torch.zeros(5, 10)})
    refuse(path, "width 48 cannot be split into 5 equal heads", config=None)


def test_open_clips_heads_must_be_known(tmp_path):
    path = save_pickle(tmp_path / "a.pt", open_clip(make(TWO_SIZES)))
    refuse(path, "number of heads of its vision tower", "pass config", config=None)
    refuse(path, "no known tower has its sizes", "'width': 48", config="tiny")
    other = replace(TWO_SIZES, text=replace(TWO_SIZES.text, context_length=9))
    refuse(path, "holds text context_length=8, not 9", config=other)
    with pytest.raises(ValueError, match="unknown model 'siglip'"):
        SigLIP.from_pretrained(path, config="siglip")


def test_a_missing_head_where_the_towers_differ(tmp_path):
    full = big_vision(make(TWO_SIZES), "")
    rest = {name: tensor for name, tensor in full.items() if "txt/head" not in name}
    refuse(save_npz(tmp_path / "a.npz", rest), "48", "32", config=None)


def test_a_layer_stored_twice(tmp_path):
    model = make(NO_HEAD)
    both = big_vision(model) | big_vision(model, stacked=True)
    refuse(save_npz(tmp_path / "a.npz", both), "twice", "in img/Transformer/")


# ---- what does not: other files ------------------------------------------------------------------


def test_other_models_are_told_apart(tmp_path):
    model = make(NO_HEAD)
    trunk = {
        name.removeprefix("visual.trunk."): tensor
        for name, tensor in open_clip(model).items()
        if name.startswith("visual.trunk.")
    }
    path = save_safetensors(tmp_path / "a.safetensors", trunk)
    refuse(path, "image tower alone", "VisionTower.from_pretrained")
    path = save_pickle(tmp_path / "a.pt", model.state_dict())
    with pytest.raises(CheckpointError, match="pass config"):
        SigLIP.from_pretrained(path)
    refuse(save_pickle(tmp_path / "a.pt", {"visual.proj": torch.zeros(1)}), "begins with visual.p")
    refuse(save_pickle(tmp_path / "a.pt", {}), "begins with nothing")
    image = {k: t for k, t in big_vision(model).items() if not k.startswith("params/txt")}
    refuse(save_npz(tmp_path / "a.npz", image), "image tower alone")
    flat = {"params/img/embedding/kernel": torch.zeros(192, 24)}
    refuse(
        save_npz(tmp_path / "a.npz", big_vision(model) | flat),
        "images of any shape: use siglip2.SigLIP2.from_pretrained",
    )
    whole = big_vision(model) | {"opt/0/count": torch.zeros(1)}
    refuse(save_npz(tmp_path / "a.npz", whole), "it begins with params/img/embedding/kernel")


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.npz"):
        SigLIP.from_pretrained(tmp_path / "nowhere.npz")
    with pytest.raises(CheckpointError, match="config.json"):
        SigLIP.from_pretrained(tmp_path)
    (tmp_path / "a.msgpack").write_bytes(b"")
    refuse(tmp_path / "a.msgpack", "ends in .npz, .safetensors, .pt, .pth, .bin")


def test_more_than_floats(tmp_path):
    full = big_vision(make(NO_HEAD)) | {"params/t": torch.zeros(1, dtype=torch.int64)}
    refuse(save_npz(tmp_path / "a.npz", full), "t is torch.int64, expected floats")
    full = open_clip(make(NO_HEAD)) | {"epoch": 3}
    refuse(save_pickle(tmp_path / "a.pt", full), "epoch is of type int; expected tensors only")
    refuse(save_pickle(tmp_path / "a.pt", [torch.zeros(1)]), "holds a list")
    refuse(save_pickle(tmp_path / "a.pt", {3: torch.zeros(1)}), "expected a dict of named tensors")


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: x.to("meta"), lambda x: x[:1, :1].expand(10**6, 10**5),
        torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr,
        lambda x: torch.nested.nested_tensor([x, x]),
        lambda x: torch.nested.nested_tensor([x, x], layout=torch.jagged),
    ],
    ids=["meta", "stride of 0", "sparse", "CSR", "nested", "jagged"],
)  # fmt: skip
def test_tensors_that_are_not_plain(odd, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = open_clip(make(NO_HEAD)) | {"logit_bias": odd(torch.eye(3))}
        path = save_pickle(tmp_path / "a.pt", tensors)
        refuse(path, "logit_bias is sparse, nested, without numbers, or", "save plain")


@pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning")
def test_tensors_of_other_kinds(tmp_path):
    tensors, path = open_clip(make(NO_HEAD)), tmp_path / "a.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8)
    small = torch.zeros(1).to(torch.float8_e4m3fn)
    for odd, name in ((quantized, "qint8"), (small, "float8_e4m3fn"), (small.cfloat(), "complex")):
        save_pickle(path, tensors | {"logit_bias": odd})
        refuse(path, f"logit_bias is torch.{name}", "expected floats")
    refuse(save_pickle(path, tensors | {"a": torch.zeros(0, 9)}), "a is empty, [0, 9]")
    big = torch.zeros(10_000)
    refuse(save_pickle(path, {f"{i}": big for i in range(9)}), "tensors are larger than the file")
    views = dict(enumerate(torch.zeros(9, 100)))
    save_pickle(path, {str(k): view for k, view in views.items()})
    refuse(path, "is no SigLIP")  # but they are plain


def test_a_file_that_would_grow(tmp_path, monkeypatch):
    """Weights hardly shrink; what does is refused before it is unpacked."""
    arrays = {name: tensor.numpy() for name, tensor in big_vision(make(NO_HEAD)).items()}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    SigLIP.from_pretrained(tmp_path / "a.npz")
    np.savez_compressed(tmp_path / "b.npz", **arrays, zeros=np.zeros(10**6, np.float32))
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", None)
    refuse(tmp_path / "b.npz", "would grow to 4,1", "save them with numpy.savez")


def test_an_array_of_every_name(tmp_path):
    path = save_npz(tmp_path / "a.npz", big_vision(make(NO_HEAD)))
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("params/b.npy", archive.read("params/t.npy"))
    refuse(path, "holds two arrays of the same name")


def test_no_more_layers_than_can_be(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "on_meta", None)  # nothing is built
    full = open_clip(make(NO_HEAD))
    full |= {f"visual.trunk.blocks.{i}.attn.proj.bias": torch.zeros(1) for i in range(2, 600)}
    known = replace(NO_HEAD, vision=replace(NO_HEAD.vision, depth=500))
    refuse(save_pickle(tmp_path / "a.pt", full), "no known tower has its sizes", config=known)
    full = big_vision(make(NO_HEAD), "")
    full |= {f"txt/Encoder_0/encoderblock_{i}/a": torch.zeros(1) for i in range(2, 600)}
    refuse(save_npz(tmp_path / "a.npz", full), "depth must be at most 500, got 600", config=None)
    stacked = {"img/embedding/kernel": torch.zeros(1), "img/encoderblock/a": torch.zeros(501)}
    refuse(save_npz(tmp_path / "a.npz", stacked), "layers must be at most 500, got 501")


@pytest.mark.parametrize("way", ["npz", "safetensors", "pt"])
def test_numbers_that_are_none(way, tmp_path):
    model = make(NO_HEAD)
    model.vision_model.post_layernorm.bias.data[3] = float("nan")
    refuse(WAYS[way](model, tmp_path), "post_layernorm.bias holds NaN", config=NO_HEAD)


def test_what_a_message_repeats_prints(tmp_path):
    for evil in ("\x1b[2J", "x" * 60_000):
        for save, ending in (
            (save_npz, "npz"),
            (save_pickle, "pt"),
            (save_safetensors, "safetensors"),
        ):
            path = tmp_path / f"a.{ending}"
            for tensors in (
                {evil: torch.zeros(1)}, {evil: torch.zeros(0, 1)},
                {evil: torch.zeros(1, dtype=torch.int8)},
                open_clip(make(NO_HEAD)) | {evil: torch.zeros(1)},
            ):  # fmt: skip
                save(path, tensors)
                with pytest.raises(CheckpointError) as error:
                    SigLIP.from_pretrained(path, config=NO_HEAD)
                assert str(error.value).isprintable() and len(str(error.value)) <= 400
        with pytest.raises(FileNotFoundError) as error:
            SigLIP.from_pretrained(tmp_path / evil)
        assert str(error.value).isprintable() and len(str(error.value)) <= 400


class Trap:
    def __reduce__(self):
        return open, ("trapped", "w")


def test_no_code_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    full = open_clip(make(NO_HEAD))
    for content in (full | {"logit_bias": Trap()}, {"state_dict": full, "args": Trap()}):
        refuse(save_pickle(tmp_path / "trap.pt", content), "holds more than tensors")
    (tmp_path / "trap.bin").write_bytes(pickle.dumps({"logit_bias": Trap()}, protocol=2))
    refuse(tmp_path / "trap.bin", "holds more than tensors")
    arrays = {name: tensor.numpy() for name, tensor in big_vision(make(NO_HEAD)).items()}
    np.savez("trap.npz", **arrays | {"params/b": np.array([Trap()], dtype=object)})
    refuse(tmp_path / "trap.npz", "Object arrays cannot be loaded")
    (tmp_path / "trap.npz").write_bytes(pickle.dumps(Trap()))
    refuse(tmp_path / "trap.npz", "holds more than tensors")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(tmp_path):
    class Holder(torch.nn.Module):
        def forward(self, x: torch.Tensor):
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Holder(), torch.zeros(1)), tmp_path / "a.pt")
    refuse(tmp_path / "a.pt", "is a TorchScript archive", "holds code")
    with open(tmp_path / "a.pt", "ab") as file:  # so it is no zip for Python, but one for torch
        file.write(bytes(68_500))
    assert not zipfile.is_zipfile(tmp_path / "a.pt")
    refuse(tmp_path / "a.pt", "is a TorchScript archive", "holds code")


def test_what_is_no_plain_archive(tmp_path, monkeypatch):
    """None of these reaches `torch.load`."""
    plain = save_pickle(tmp_path / "plain.pt", open_clip(make(NO_HEAD)))
    with zipfile.ZipFile(plain) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    old = save_pickle(tmp_path / "old.pt", {})
    torch.save({}, old, pickle_protocol=4, _use_new_zipfile_serialization=False)
    whole, path = plain.read_bytes(), tmp_path / "a.pt"
    monkeypatch.setattr(torch, "load", None)

    def rebuilt(members, compression=zipfile.ZIP_STORED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    for content, message in (
        (rebuilt(members, zipfile.ZIP_DEFLATED), "it is no plain archive of torch.save"),
        (rebuilt(members | {"plain/more": b""}), "it is no plain archive of torch.save"),
        (whole + bytes(68_500), "not a zip file"),
        (b"#!" + whole, "it begins as no file of torch.save"),
        (old.read_bytes(), "it begins as no file of torch.save"),
        (pickle.dumps({}, protocol=2), "it begins as no file of torch.save"),
        (rebuilt(members), "'NoneType' object is not callable"),  # that one would be read
    ):
        path.write_bytes(content)
        refuse(path, message)


@pytest.mark.parametrize("way", ["npz", "safetensors", "pt", "pickle of old"])
def test_damaged_files(way, tmp_path):
    path = WAYS[way](make(NO_HEAD), tmp_path)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refuse(path, f"{length:,} bytes) is damaged", config=NO_HEAD)
    path.write_bytes(b"hello" * 100)
    refuse(path, "is damaged", config=NO_HEAD)


@given(place=st.floats(0, 1), byte=st.integers(1, 255), way=st.sampled_from(["npz", "pt"]))
@settings(max_examples=25, deadline=None)
def test_a_changed_byte_gives_a_model_or_a_clear_error(place, byte, way, tmp_path_factory):
    path = WAYS[way](make(NO_HEAD), tmp_path_factory.mktemp("byte"))
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= byte
    path.write_bytes(content)
    try:
        SigLIP.from_pretrained(path, config=NO_HEAD)
    except CheckpointError as error:
        assert str(path) in str(error)


def test_a_zip_of_something_else(tmp_path):
    for name in ("a.npz", "a.pt"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("hello", "world")
        refuse(tmp_path / name)
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    refuse(tmp_path / "a.npz", "is damaged")


def test_a_file_has_no_processor(tmp_path):
    model = SigLIP.from_pretrained("tiny")
    path = save_npz(tmp_path / "tiny.npz", big_vision(model))
    loaded = SigLIP.from_pretrained(path, dtype=torch.bfloat16)
    assert loaded.text_model.head.bias.dtype == torch.bfloat16
    assert torch.equal(loaded.logit_scale, model.logit_scale)
    with pytest.raises(CheckpointError, match="siglip-lab convert"):
        Processor.from_pretrained(path)


# ---- one tower -----------------------------------------------------------------------------------


def timm(model):
    """The image tower of open_clip's file is timm's."""
    full = open_clip(model)
    trunk = "visual.trunk."
    return {k.removeprefix(trunk): t for k, t in full.items() if k.startswith(trunk)}


@pytest.mark.parametrize("save, ending", [(save_safetensors, "safetensors"), (save_pickle, "pth")])
def test_an_image_tower_of_timm(save, ending, tmp_path):
    model = make(TWO_SIZES)
    path = save(tmp_path / f"tower.{ending}", timm(model))
    tower = VisionTower.from_pretrained(path, config=TWO_SIZES.vision)
    size = TWO_SIZES.vision.image_size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = model.vision_model(pixels), tower(pixels)
    assert torch.equal(found.pooler_output, expected.pooler_output)
    assert not tower.training
    half = VisionTower.from_pretrained(path, dtype=torch.bfloat16, config=TWO_SIZES.vision)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_a_published_tower_of_timm_needs_no_config(tmp_path):
    model = SigLIP.from_pretrained("tiny")
    path = save_safetensors(tmp_path / "a.safetensors", timm(model))
    assert VisionTower.from_pretrained(path).config == model.config.vision
    VisionTower.from_pretrained(path, config="tiny")


@CONFIGS
@pytest.mark.parametrize("way", ["npz", "npz, stacked layers", "safetensors", "pt"])
def test_a_whole_file_gives_either_tower(config, way, tmp_path):
    model = make(config)
    path = WAYS[way](model, tmp_path)
    for tower, part in ((VisionTower, "vision"), (TextTower, "text")):
        found = tower.from_pretrained(path, config=getattr(config, part))
        state = getattr(model, f"{part}_model").state_dict()
        assert found.state_dict().keys() == state.keys()
        assert all(torch.equal(x, state[name]) for name, x in found.state_dict().items())
    extra = {"elsewhere.weight": torch.zeros(1)}
    path = save_npz(tmp_path / "b.npz", big_vision(model, "") | extra)
    for tower, part in ((VisionTower, "vision"), (TextTower, "text")):
        with pytest.raises(CheckpointError, match="elsewhere"):
            tower.from_pretrained(path, config=getattr(config, part))


def test_what_is_no_image_tower(tmp_path):
    tensors, vision = timm(make(TWO_SIZES)), TWO_SIZES.vision
    headless = {k: t for k, t in tensors.items() if "attn_pool" not in k}
    for change, message, config in (
        (tensors, "number of heads", None),
        (tensors, "number of heads", "tiny"),
        (headless, "attn_pool", vision),  # as timm's "gap" variants
        ({"a": torch.zeros(1)}, "begins with a", vision),
    ):
        path = save_pickle(tmp_path / "a.pth", change)
        with pytest.raises(CheckpointError, match=message):
            VisionTower.from_pretrained(path, config=config)
    with pytest.raises(CheckpointError):
        TextTower.from_pretrained(save_pickle(tmp_path / "a.pth", tensors))
