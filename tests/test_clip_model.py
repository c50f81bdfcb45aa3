"""CLIP against transformers' `CLIPModel`, its ResNets against one written in functions."""

import math
from dataclasses import replace

import pytest
import torch
from parity import NothingIsRead, check_open_batches, share, tower
from torch.nn import functional as F
from transformers import CLIPConfig as TheirConfig
from transformers import CLIPModel

import siglip_lab as sl
from siglip_lab import clip
from siglip_lab.clip import CLIP, CLIPConfig, ResNetConfig
from siglip_lab.clip.initialization import init_weights
from siglip_lab.configs import TextConfig, VisionConfig

TEXT = TextConfig(600, 12, width=64, depth=2, num_heads=1, mlp_dim=256)
SMALL = CLIPConfig(VisionConfig(32, 8, width=128, depth=2, num_heads=2, mlp_dim=512), TEXT, 40)
RESNET = CLIPConfig(ResNetConfig(64, 8, (2, 1, 3, 1)), TEXT, 40)
VITS = ["ViT-B/32", "ViT-B/16", "ViT-L/14", "ViT-L/14@336px"]


def shallow(name: str, depth: int = 2) -> CLIPConfig:
    config = clip.get_config(name)
    text = replace(config.text, depth=depth, vocab_size=1000)  # each row is like any other
    return CLIPConfig(replace(config.vision, depth=depth), text, config.embed_dim)


def random_model(config: CLIPConfig, seed: int = 0) -> CLIP:
    """Random weights without a zero bias, an identity norm or a fresh statistic."""
    model = CLIP(config, seed).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("bias") or "norm" in name or "bn" in name or "downsample.1" in name:
                if tensor.is_floating_point():
                    tensor += 0.2 * torch.rand(tensor.shape, generator=generator)
    return model


def twin(model: CLIP) -> CLIPModel:
    config = model.config
    vision = {"image_size": config.vision.image_size, "patch_size": config.vision.patch_size}
    text = {
        "vocab_size": config.text.vocab_size,
        "max_position_embeddings": config.text.context_length,
        "eos_token_id": config.text.vocab_size - 1,
    }
    theirs = TheirConfig(
        vision_config=tower(config.vision) | vision,
        text_config=tower(config.text) | text,
        projection_dim=config.embed_dim,
    )
    with torch.device("meta"):
        other = CLIPModel(theirs)
    return share(other, model.state_dict())


def random_inputs(config: CLIPConfig, images: int = 2, texts: int = 3, seed: int = 0) -> dict:
    """Noise, and texts of random ids that end at random places and are padded with zeros."""
    generator = torch.Generator().manual_seed(seed)
    size, length = config.vision.image_size, config.text.context_length
    ids = torch.randint(1, config.text.vocab_size - 2, (texts, length), generator=generator)
    for row, end in zip(ids, torch.randint(2, length, (texts,), generator=generator), strict=True):
        row[end], row[end + 1 :] = config.text.vocab_size - 1, 0
    pixels = torch.randn(images, 3, size, size, generator=generator)
    return {"pixel_values": pixels, "input_ids": ids}


# ---- equal to transformers -----------------------------------------------------------------------


@pytest.mark.parametrize("name", VITS)
@torch.no_grad()
def test_equal_to_transformers(name):
    model = random_model(shallow(name))
    inputs = random_inputs(model.config, images=1, texts=2)
    ours, theirs = model(**inputs), twin(model)(**inputs)
    for field in ("logits_per_image", "logits_per_text", "image_embeds", "text_embeds"):
        assert largest_difference(getattr(ours, field), getattr(theirs, field)) <= 1e-5, field


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    assert one.shape == other.shape
    return (one - other).abs().max().item()


@torch.no_grad()
def test_every_hidden_state_equals_transformers():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    out = model(**inputs, output_hidden_states=True)
    other = twin(model)
    vision = other.vision_model(inputs["pixel_values"], output_hidden_states=True)
    text = other.text_model(inputs["input_ids"], output_hidden_states=True)
    for ours, theirs in ((out.vision, vision), (out.text, text)):
        assert len(ours.hidden_states) == len(theirs.hidden_states) == 1 + 2
        for one, two in zip(ours.hidden_states, theirs.hidden_states, strict=True):
            assert largest_difference(one, two) <= 1e-5
        assert largest_difference(ours.last_hidden_state, theirs.last_hidden_state) <= 1e-5
        assert largest_difference(ours.pooler_output, theirs.pooler_output) <= 1e-5
    assert model(**inputs).vision.hidden_states is None


@torch.no_grad()
def test_embeddings_before_they_are_normalized_equal_transformers():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    other = twin(model)
    image = model.encode_image(inputs["pixel_values"], normalize=False)
    text = model.encode_text(inputs["input_ids"], normalize=False)
    their_image = other.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output
    their_text = other.get_text_features(input_ids=inputs["input_ids"]).pooler_output
    assert largest_difference(image, their_image) <= 1e-5
    assert largest_difference(text, their_text) <= 1e-5
    assert not torch.allclose(image.norm(dim=-1), torch.ones(2))


@torch.no_grad()
def test_other_image_sizes_equal_transformers():
    model = random_model(SMALL)
    other = twin(model)
    for height, width in ((24, 48), (32, 32), (80, 40)):
        pixels = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
        ours = model.encode_image(pixels, normalize=False, interpolate_pos_encoding=True)
        theirs = other.get_image_features(pixels, interpolate_pos_encoding=True).pooler_output
        assert largest_difference(ours, theirs) <= 1e-5


def test_gradients_equal_transformers():
    model = random_model(SMALL)
    inputs = random_inputs(SMALL, images=3, texts=3)
    other = twin(model)
    out = model(**inputs)
    sl.clip_loss(out.image_embeds, out.text_embeds, model.logit_scale).backward()
    ours = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():  # shared with the twin
        parameter.grad = None
    other(**inputs, return_loss=True).loss.backward()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, msg=name, rtol=1e-4, atol=1e-5)


# ---- what the masks and the poolings mean --------------------------------------------------------


@torch.no_grad()
def test_what_comes_after_the_end_of_text_changes_nothing():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    ids = inputs["input_ids"]
    padded = model.encode_text(ids)
    ends = ids.argmax(dim=-1)
    for row, end, embed in zip(ids, ends, padded, strict=True):
        assert torch.allclose(model.encode_text(row[None, : end + 1])[0], embed, atol=1e-6)


def test_the_mask_hides_the_future():
    mask = clip.build_attention_mask(4)
    assert torch.equal(mask.isneginf(), torch.ones(4, 4).triu(1).bool())
    assert (mask.tril() == 0).all()


@torch.no_grad()
def test_the_model_attends_as_with_the_mask():
    """The mask is for reading; the model says `is_causal=True`."""
    layer = random_model(SMALL).text_model.encoder.layers[0].self_attn
    x = torch.randn(2, 12, 64, generator=torch.Generator().manual_seed(0))
    q, k, v = (
        proj(x).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
        for proj in (layer.q_proj, layer.k_proj, layer.v_proj)
    )
    scores = q @ k.mT / q.shape[-1] ** 0.5 + clip.build_attention_mask(12)
    expected = layer.out_proj((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
    assert largest_difference(layer(x), expected) <= 1e-5


def test_quick_gelu():
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    torch.testing.assert_close(clip.quick_gelu(x), x / (1 + (-1.702 * x).exp()))
    assert 0.019 < (clip.quick_gelu(x) - F.gelu(x)).abs().max() < 0.021


# ---- ResNets, layer by layer ---------------------------------------------------------------------


def plain_resnet(w: dict, x: torch.Tensor, config: ResNetConfig) -> dict:
    """Every intermediate, from the tensors alone."""
    out = {}

    def norm(x, name):
        mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        scale = w[f"{name}.weight"] / (var + 1e-5).sqrt()
        return x * scale[:, None, None] + (w[f"{name}.bias"] - mean * scale)[:, None, None]

    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = F.conv2d(x, w[f"conv{i}.weight"], stride=stride, padding=1)
        x = norm(x, f"bn{i}").clamp(min=0)
    x = out["avgpool"] = F.avg_pool2d(x, 2)
    for stage, blocks in enumerate(config.layers, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            shrinks = stage > 1 and block == 0
            y = norm(F.conv2d(x, w[f"{name}.conv1.weight"]), f"{name}.bn1").clamp(min=0)
            y = F.conv2d(y, w[f"{name}.conv2.weight"], padding=1)
            y = norm(y, f"{name}.bn2").clamp(min=0)
            y = F.avg_pool2d(y, 2) if shrinks else y
            y = norm(F.conv2d(y, w[f"{name}.conv3.weight"]), f"{name}.bn3")
            if block == 0:
                x = F.avg_pool2d(x, 2) if shrinks else x
                x = norm(F.conv2d(x, w[f"{name}.downsample.0.weight"]), f"{name}.downsample.1")
            x = out[name] = (x + y).clamp(min=0)
    tokens = x.flatten(2).permute(2, 0, 1)  # [G * G, B, D]
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens])
    tokens = tokens + w["attnpool.positional_embedding"][:, None]
    parts = [f"attnpool.{part}_proj" for part in "qkv"]
    pooled, _ = F.multi_head_attention_forward(
        tokens[:1], tokens, tokens, tokens.shape[-1], config.num_heads,
        None, torch.cat([w[f"{part}.bias"] for part in parts]), None, None, False, 0.0,
        w["attnpool.c_proj.weight"], w["attnpool.c_proj.bias"], training=False,
        use_separate_proj_weight=True, need_weights=False,
        **{f"{part}_proj_weight": w[f"attnpool.{part}_proj.weight"] for part in "qkv"},
    )  # fmt: skip
    out["attnpool"] = pooled[0]
    return out


@pytest.mark.parametrize("config", [RESNET.vision, ResNetConfig(96, 6, (1, 2, 1, 2))])
@torch.no_grad()
def test_resnet_layer_by_layer(config):
    resnet = random_model(CLIPConfig(config, TEXT, 40)).vision_model
    seen = {}
    for name, module in resnet.named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o}))
    size = config.image_size
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    out = resnet(x)
    expected = plain_resnet(resnet.state_dict(), x, config)
    assert len(expected) == 2 + sum(config.layers)
    for name, tensor in expected.items():
        torch.testing.assert_close(seen[name], tensor, msg=name, rtol=1e-4, atol=1e-4)
    assert out.pooler_output is seen["attnpool"]
    assert torch.equal(out.last_hidden_state.mT.reshape(seen["layer4"].shape), seen["layer4"])


@pytest.mark.parametrize("name", clip.list_models())
def test_parameter_counts(name):
    with torch.device("meta"):
        model = CLIP(clip.get_config(name))
    assert sum(p.numel() for p in model.parameters()) == clip.count_parameters(model.config).total


def test_the_parts_of_resnets_have_openais_names():
    with torch.device("meta"):
        names = CLIP(clip.get_config("RN50")).state_dict()
    for name in ("layer1.0.conv1.weight", "attnpool.c_proj.weight", "layer2.0.downsample.0.weight",
                 "attnpool.positional_embedding", "bn3.running_var"):  # fmt: skip
        assert f"vision_model.{name}" in names
    assert not any(name.startswith(("visual.", "visual_projection")) for name in names)


# ---- initialization ------------------------------------------------------------------------------


def test_initialization_of_the_text_tower_and_the_vit():
    model = CLIP(shallow("ViT-B/32"), seed=0)
    state, width, depth = model.state_dict(), 512, 2
    text, vision = "text_model.encoder.layers.0.", "vision_model.encoder.layers.0."
    out_of = (2 * depth * width) ** -0.5
    for name, std in {
        text + "self_attn.q_proj.weight": width**-0.5,
        text + "self_attn.v_proj.weight": width**-0.5,
        text + "self_attn.out_proj.weight": out_of,
        text + "mlp.fc1.weight": (2 * width) ** -0.5,
        text + "mlp.fc2.weight": out_of,
        "text_model.embeddings.token_embedding.weight": 0.02,
        "text_model.embeddings.position_embedding.weight": 0.01,
        "text_projection.weight": width**-0.5,
        "vision_model.embeddings.class_embedding": 768**-0.5,
        "vision_model.embeddings.position_embedding.weight": 768**-0.5,
        "visual_projection.weight": 768**-0.5,
        # uniform within +-bound has the spread bound / sqrt(3)
        vision + "self_attn.k_proj.weight": math.sqrt(6 / (4 * 768)) / math.sqrt(3),
        vision + "mlp.fc1.weight": (1 / math.sqrt(768)) / math.sqrt(3),
    }.items():
        assert state[name].std().item() == pytest.approx(std, rel=0.1), name
    for name in (text + "self_attn.q_proj.bias", vision + "self_attn.out_proj.bias"):
        assert not state[name].any()
    assert model.logit_scale.exp().item() == pytest.approx(1 / 0.07)


def test_initialization_of_a_resnet():
    resnet = CLIP(RESNET, seed=0).vision_model
    assert not resnet.layer3[1].bn3.weight.any()
    assert resnet.bn3.weight.all()  # of the stem
    assert resnet.attnpool.q_proj.weight.std().item() == pytest.approx(256**-0.5, rel=0.05)
    x = torch.randn(2, 128, 2, 2, generator=torch.Generator().manual_seed(0)).relu()
    block = resnet.eval().layer4[0]
    assert torch.equal(block(x), F.relu(block.downsample(x)))


# The first numbers of some weights for seed 3, from the first version of this package
DRAWN = {
    SMALL: {
        "vision_model.embeddings.class_embedding": [0.059082, -0.055222, -0.014877],
        "vision_model.embeddings.patch_embedding.weight": [-0.071553, -0.056931, -0.030911],
        "vision_model.encoder.layers.1.self_attn.k_proj.weight": [-0.090704, 0.091569, 0.075703],
        "vision_model.encoder.layers.0.self_attn.out_proj.weight": [0.056424, -0.050486, -0.080157],
        "vision_model.encoder.layers.1.mlp.fc2.bias": [-0.011452, -0.002294, -0.023765],
        "visual_projection.weight": [-0.003681, -0.102491, 0.077616],
        "text_model.embeddings.token_embedding.weight": [0.001418, 0.028436, 0.011684],
        "text_model.encoder.layers.1.mlp.fc2.weight": [-0.005392, -0.069271, -0.002308],
        "text_projection.weight": [0.023598, 0.025859, 0.003919],
    },
    RESNET: {
        "vision_model.conv1.weight": [-0.190809, -0.151816, -0.082429],
        "vision_model.layer4.0.downsample.0.weight": [0.018351, -0.087309, -0.054337],
        "vision_model.attnpool.positional_embedding": [0.108732, 0.113581, -0.081538],
        "vision_model.attnpool.k_proj.bias": [-0.036469, 0.044277, 0.019718],
        "vision_model.attnpool.c_proj.weight": [-0.035936, -0.018121, 0.047856],
        "text_model.encoder.layers.0.self_attn.q_proj.weight": [-0.319206, 0.060707, -0.031570],
        "text_projection.weight": [-0.120996, -0.056890, 0.004043],
    },
}


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_a_seed_draws_what_it_always_drew(config):
    state = torch.random.get_rng_state()
    model = CLIP(config, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())  # the caller's is left alone
    for name, expected in DRAWN[config].items():
        found = model.state_dict()[name].flatten()[:3].tolist()
        assert found == pytest.approx(expected, abs=1e-6), name
    torch.manual_seed(3)  # any generator gives the same
    for again in (CLIP(config), CLIP(config, torch.Generator().manual_seed(3))):
        for name, tensor in again.state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name]), name


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_init_weights_leaves_nothing_of_the_old_weights(config):
    model = random_model(config)
    for tensor in model.state_dict().values():
        tensor.fill_(7)
    init_weights(model, config, seed=3)
    found, expected = model.state_dict(), CLIP(config, seed=3).state_dict()
    assert {name for name in found if not torch.equal(found[name], expected[name])} == {
        "logit_scale"
    }


def test_transformers_swaps_two_spreads():
    """In its attention, what is fed gets the smaller spread and what is added the larger one."""
    torch.manual_seed(0)
    width, depth = 64, 6
    text = replace(TEXT, depth=depth)
    ours = CLIP(CLIPConfig(SMALL.vision, text, 40))
    theirs = CLIPModel(
        TheirConfig(
            text_config=tower(text) | {"vocab_size": 600, "max_position_embeddings": 12},
            vision_config=tower(SMALL.vision) | {"image_size": 32, "patch_size": 8},
        )
    )
    into, out_of = width**-0.5, (2 * depth * width) ** -0.5
    for model, q, out in ((ours, into, out_of), (theirs, out_of, into)):
        attention = model.text_model.encoder.layers[0].self_attn
        assert attention.q_proj.weight.std().item() == pytest.approx(q, rel=0.1)
        assert attention.out_proj.weight.std().item() == pytest.approx(out, rel=0.1)


# ---- use -----------------------------------------------------------------------------------------


def test_same_methods_as_siglip():
    model = random_model(SMALL)
    inputs = random_inputs(SMALL)
    out = model(**inputs)
    assert torch.equal(out.image_embeds, model.encode_image(inputs["pixel_values"]))
    assert torch.equal(out.logits_per_image, model.logits(out.image_embeds, out.text_embeds))
    assert torch.equal(out.logits_per_text, out.logits_per_image.T)
    rows = model.to_probabilities(out.logits_per_image)
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones(2))

    def public(cls):
        return {name for name in dir(cls) if not name.startswith("_")}

    assert public(sl.SigLIP) == public(CLIP)


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_trace(config):
    trace = sl.trace(random_model(config), **random_inputs(config))
    assert trace["logits_per_image"].parameters == 1
    assert trace["probabilities"].mean == pytest.approx(1 / 3)


@pytest.mark.parametrize("config", [SMALL, RESNET])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_other_types(config, dtype):
    model, inputs = random_model(config), random_inputs(config)
    expected = model(**inputs).logits_per_image
    found = model.to(dtype)(**inputs).logits_per_image
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.5)


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_wrong_inputs(config):
    model, size = random_model(config), config.vision.image_size
    for images, error, noun in (
        (torch.zeros(1, 3, 48, 48), ValueError, f"size={size}"),
        (torch.zeros(3, size, size), ValueError, "shape"),
        (torch.zeros(1, 1, size, size), ValueError, "shape"),
        (torch.zeros(1, 3, size, size, dtype=torch.uint8), TypeError, "floating point"),
        ("a.png", TypeError, "str"),
        ([0.0], TypeError, "list"),
    ):
        with pytest.raises(error, match=noun):
            model.encode_image(images)
    for ids, error, noun in (
        (torch.full((1, 12), 600), ValueError, "another model"),
        (torch.zeros(1, 13, dtype=torch.int64), ValueError, "context_length=12"),
        ("a cat", TypeError, "str"),
    ):
        with pytest.raises(error, match=noun):
            model.encode_text(ids)


@pytest.mark.parametrize("config", ["ViT-B/32", sl.get_config("tiny")])
def test_a_config_of_another_kind(config):
    with pytest.raises(TypeError, match=f"{type(config).__name__}; expected a CLIPConfig"):
        CLIP(config)


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_a_compiled_or_exported_model_takes_any_number_of_images_and_texts(config):
    inputs, others = random_inputs(config, images=4, texts=5), random_inputs(config, 3, 2)
    check_open_batches(random_model(config), inputs, others)


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_a_forward_reads_no_value(config):
    model, inputs = random_model(config), random_inputs(config)
    with NothingIsRead():
        model(**inputs).logits_per_image.sum().backward()


def test_a_resnet_takes_one_size_only_and_has_no_hidden_states():
    model, pixels = random_model(RESNET), torch.zeros(1, 3, 64, 64)
    with pytest.raises(ValueError, match="size"):
        model.encode_image(torch.zeros(1, 3, 96, 96), interpolate_pos_encoding=True)
    with pytest.raises(ValueError, match="hidden states"):
        model(pixels, output_hidden_states=True)


# ---- training ------------------------------------------------------------------------------------


def gradients(model: CLIP) -> dict[str, torch.Tensor]:
    inputs = random_inputs(model.config, images=3)
    out = model(**inputs)
    sl.clip_loss(out.image_embeds, out.text_embeds, model.logit_scale).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_gradient_checkpointing_gives_the_same_gradients(config):
    expected, model = gradients(random_model(config)), random_model(config)
    model.set_grad_checkpointing()
    called = []
    for layer in (m for m in model.modules() if type(m).__name__ == "EncoderLayer"):
        layer.register_forward_pre_hook(lambda *_: called.append(1))
    found = gradients(model)
    assert len(called) == 2 * 2 * (2 if config is SMALL else 1)  # each layer runs twice
    assert found.keys() == expected.keys() == dict(model.named_parameters()).keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


TOWERS = {
    "vision": ("vision_model.", "visual_projection."),
    "text": ("text_model.", "text_projection."),
}


@pytest.mark.parametrize("unlocked", [0, 1])
@pytest.mark.parametrize("tower", TOWERS)
def test_a_locked_tower_gets_no_gradients(tower, unlocked):
    model = random_model(SMALL)
    model.lock(tower, unlocked_layers=unlocked)
    names = {name for name, _ in model.named_parameters()}
    locked = {name for name in names if name.startswith(TOWERS[tower])}
    if unlocked:  # the last layer, and what comes after
        parts = (".layers.1.", "post_layernorm", "final_layer_norm", "projection")
        locked = {name for name in locked if not any(part in name for part in parts)}
    assert locked and gradients(model).keys() == names - locked


@pytest.mark.parametrize("config, tower", [(SMALL, "vision"), (SMALL, "text"), (RESNET, "vision")])
def test_training_leaves_a_locked_tower_as_it_is(config, tower):
    """A ResNet's batch norms would change without any gradient."""
    model = random_model(config).train()
    model.lock(tower)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.train()  # as an epoch begins
        gradients(model)
        optimizer.step()
    assert model.training
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed and not any(name.startswith(TOWERS[tower]) for name in changed)


def test_a_resnet_that_is_not_locked_learns_its_statistics():
    model = random_model(RESNET).train()
    before = model.vision_model.bn1.running_mean.clone()
    model.lock("text")
    model(**random_inputs(RESNET))
    assert not torch.equal(model.vision_model.bn1.running_mean, before)


@pytest.mark.parametrize(
    "config, tower, layers, error",
    [
        (RESNET, "vision", 1, ValueError),
        (RESNET, "vision", "all", ValueError),
        (SMALL, "vision", "all", TypeError),
        (SMALL, "vision", -1, ValueError),
        (RESNET, "visual", 0, ValueError),
    ],
)
def test_what_cannot_be_locked(config, tower, layers, error):
    model = random_model(config)
    with pytest.raises(error):
        model.lock(tower, unlocked_layers=layers)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("config", [SMALL, RESNET])
def test_autocast(config):
    model, inputs = random_model(config), random_inputs(config)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model(**inputs)
    assert found.logits_per_image.dtype == found.image_embeds.dtype == torch.float32
    with torch.no_grad():
        expected = model(**inputs).logits_per_image
    torch.testing.assert_close(found.logits_per_image, expected, rtol=0.1, atol=0.5)
