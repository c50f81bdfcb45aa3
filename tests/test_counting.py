"""Every count against an independent one: the built model, transformers, PyTorch's own counters."""

import contextlib
import json
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import SiglipModel, shallow, twin_config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPConfig, CLIPModel

import siglip_lab as sl
from siglip_lab import clip, count_bytes, count_flops, count_parameters
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig, get_config, list_models
from siglip_lab.counting import compare
from siglip_lab.encoder import EncoderLayer
from siglip_lab.model import SigLIP
from siglip_lab.pooling import AttentionPool2d

SO400M = get_config("siglip-so400m-patch14-384")
CLIP_B32 = clip.get_config("ViT-B/32")

# Total, image tower, text tower, image tokens; of transformers' SiglipModel.
PARAMETERS = {
    "siglip-base-patch16-224": (203155970, 92884224, 110271744, 196),
    "siglip-base-patch16-256": (203202050, 92930304, 110271744, 256),
    "siglip-base-patch16-384": (203447810, 93176064, 110271744, 576),
    "siglip-base-patch16-512": (203791874, 93520128, 110271744, 1024),
    "siglip-large-patch16-256": (652150786, 315956224, 336194560, 256),
    "siglip-large-patch16-384": (652478466, 316283904, 336194560, 576),
    "siglip-so400m-patch14-224": (877360306, 427680704, 449679600, 256),
    "siglip-so400m-patch14-384": (877960498, 428225600, 449734896, 729),
    "siglip-base-patch16-256-multilingual": (370626050, 92930304, 277695744, 256),
    "siglip-so400m-patch16-256-i18n": (1128758962, 427888064, 700870896, 256),
    "siglip2-base-patch32-256": (376856066, 94552320, 282303744, 64),
    "siglip2-base-patch16-224": (375187970, 92884224, 282303744, 196),
    "siglip2-base-patch16-256": (375234050, 92930304, 282303744, 256),
    "siglip2-base-patch16-384": (375479810, 93176064, 282303744, 576),
    "siglip2-base-patch16-512": (375823874, 93520128, 282303744, 1024),
    "siglip2-large-patch16-256": (881526786, 315956224, 565570560, 256),
    "siglip2-large-patch16-384": (881854466, 316283904, 565570560, 576),
    "siglip2-large-patch16-512": (882313218, 316742656, 565570560, 1024),
    "siglip2-so400m-patch14-224": (1135463602, 427680704, 707782896, 256),
    "siglip2-so400m-patch14-384": (1136008498, 428225600, 707782896, 729),
    "siglip2-so400m-patch16-256": (1135670962, 427888064, 707782896, 256),
    "siglip2-so400m-patch16-384": (1136039602, 428256704, 707782896, 576),
    "siglip2-so400m-patch16-512": (1136555698, 428772800, 707782896, 1024),
    "siglip2-giant-opt-patch16-256": (1871393906, 1163168256, 708225648, 256),
    "siglip2-giant-opt-patch16-384": (1871885426, 1163659776, 708225648, 576),
}

# open_clip, docs/model_profile.csv: millions of parameters and GFLOPs: both, image, text.
PROFILE = {
    "siglip-base-patch16-224": (203.16, 92.88, 110.27, 46.44, 35.42, 11.02),
    "siglip-base-patch16-256": (203.2, 92.93, 110.27, 57.84, 46.82, 11.02),
    "siglip-base-patch16-384": (203.45, 93.18, 110.27, 123.15, 112.13, 11.02),
    "siglip-base-patch16-512": (203.79, 93.52, 110.27, 227.26, 216.24, 11.02),
    "siglip-large-patch16-256": (652.15, 315.96, 336.19, 201.62, 162.56, 39.06),
    "siglip-large-patch16-384": (652.48, 316.28, 336.19, 422.91, 383.85, 39.06),
    "siglip-so400m-patch14-224": (877.36, 427.68, 449.68, 233.54, 220.35, 13.19),
    "siglip-so400m-patch14-384": (877.96, 428.23, 449.73, 723.48, 670.35, 53.13),
    "siglip-base-patch16-256-multilingual": (370.63, 92.93, 277.7, 57.84, 46.82, 11.02),
    "RN50": (102.01, 38.32, 63.69, 18.18, 12.22, 5.96),
    "RN101": (119.69, 56.26, 63.43, 25.5, 19.54, 5.96),
    "RN50x4": (178.3, 87.14, 91.16, 51.82, 42.56, 9.27),
    "RN50x16": (290.98, 167.33, 123.65, 162.69, 149.39, 13.3),
    "RN50x64": (623.26, 420.38, 202.88, 552.65, 529.11, 23.55),
    "ViT-B/32": (151.28, 87.85, 63.43, 14.78, 8.82, 5.96),
    "ViT-B/16": (149.62, 86.19, 63.43, 41.09, 35.13, 5.96),
    "ViT-L/14": (427.62, 303.97, 123.65, 175.33, 162.03, 13.3),
    "ViT-L/14@336px": (427.94, 304.29, 123.65, 395.22, 381.92, 13.3),
}

# SoViT (arXiv 2305.13035), table 1: image size -> GFLOPs, as printed.
SOVIT = {224: 221, 384: 672}


def published(name):
    return clip.get_config(name) if name in clip.list_models() else get_config(name)


def meta(build):
    with torch.device("meta"):
        return build()


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@st.composite
def configs(draw):
    def shape(heads):
        head_dim, depth, mlp_dim = (draw(st.integers(1, most)) for most in (12, 3, 40))
        return {
            "width": heads * head_dim, "depth": depth, "num_heads": heads, "mlp_dim": mlp_dim,
        }  # fmt: skip

    patch, grid, left_over = draw(st.integers(1, 7)), draw(st.integers(1, 5)), draw(st.booleans())
    size = patch * grid + (patch - 1 if left_over else 0)
    vision = VisionConfig(size, patch, **shape(draw(st.integers(1, 4))))
    text = shape(draw(st.integers(1, 4)))
    vocab, length = draw(st.integers(2, 50)), draw(st.integers(1, 12))
    return SigLIPConfig(vision, TextConfig(vocab, length, **text, embed_dim=vision.width))


# ---- parameters ----


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_published_models(name):
    config = get_config(name)
    count = count_parameters(config)
    expected = (count.total, count.vision.total, count.text.total, config.vision.num_patches)
    assert expected == PARAMETERS[name]
    assert count.total == count.vision.total + count.text.total + 2
    model = meta(lambda: SigLIP(config))
    built = [parameters(part) for part in (model, model.vision_model, model.text_model)]
    assert built == [count.total, count.vision.total, count.text.total]
    assert count.total == parameters(meta(lambda: SiglipModel(twin_config(config))))


def test_every_published_name_is_checked():
    assert [*list_models(), *list_models(2)] == [
        *list(PARAMETERS)[:10],
        "tiny",
        *list(PARAMETERS)[10:],
    ]
    assert [name for name in PROFILE if "siglip" not in name] == clip.list_models()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(configs())
def test_parameters_of_any_model_part_by_part(config):
    model, count = meta(lambda: SigLIP(config)), count_parameters(config)
    for tower, module in (("vision", model.vision_model), ("text", model.text_model)):
        assert count[tower].total == parameters(module)
        assert count[tower]["embeddings"].total == parameters(module.embeddings)
        assert count[tower]["head"].total == parameters(module.head)
        for i, layer in enumerate(module.encoder.layers):
            part = count[tower][f"layer {i}"]
            assert part["attention"].total == parameters(layer.self_attn)
            assert part["mlp"].total == parameters(layer.mlp)
            assert part.total == parameters(layer)
    assert count.total == parameters(model)


def test_parts_of_so400m():
    count = count_parameters(SO400M)
    assert count.vision["layer 0"].total == count.text["layer 26"].total == 15_239_504
    assert count.vision["head"].total == 15_238_352
    assert count.vision["embeddings"].total == 1_518_336
    assert count.text["embeddings"]["tokens"].total == 36_864_000
    assert count.text["head"].total == 1_328_256
    assert round((count.vision.total - count.vision["head"].total) / 1e6) == 413


CLIP_VITS = {
    "ViT-B/32": 151_277_313,  # also printed by openai/CLIP's notebook
    "ViT-B/16": 149_620_737,
    "ViT-L/14": 427_616_513,
    "ViT-L/14@336px": 427_944_193,
}


@pytest.mark.parametrize("name", CLIP_VITS)
def test_parameters_of_clips_vits_equal_transformers(name):
    config = clip.get_config(name)
    shape = {"image_size": config.vision.image_size, "patch_size": config.vision.patch_size}
    twin = CLIPConfig(
        projection_dim=config.embed_dim,
        vision_config=clip_tower(config.vision) | shape,
        text_config=clip_tower(config.text),
    )
    model, count = meta(lambda: CLIPModel(twin)), count_parameters(config)
    assert count.total == CLIP_VITS[name] == parameters(model)
    vision = parameters(model.vision_model) + parameters(model.visual_projection)
    assert count.vision.total == vision


def clip_tower(config):
    return {
        "hidden_size": config.width, "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads, "intermediate_size": config.mlp_dim,
    }  # fmt: skip


@pytest.mark.parametrize("name", PROFILE)
def test_millions_of_parameters_in_open_clips_profile(name):
    count = count_parameters(published(name))
    found = tuple(round(c.total / 1e6, 2) for c in (count, count.vision, count.text))
    assert found == PROFILE[name][:3]


class Bottleneck(nn.Module):
    def __init__(self, channels, inner, stride):
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.AvgPool2d(stride),
            nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner),
        )  # fmt: skip
        self.shortcut = nn.Identity()
        if stride > 1 or channels != 4 * inner:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(channels, 4 * inner, 1, bias=False),
                nn.BatchNorm2d(4 * inner),
            )

    def forward(self, x):
        return torch.relu(self.path(x) + self.shortcut(x))


def modified_resnet(config, embed_dim):
    """CLIP's ModifiedResNet (openai/CLIP, clip/model.py) of plain layers."""
    width, stem = config.width, []
    for channels, out, stride in (
        (3, width // 2, 2),
        (width // 2, width // 2, 1),
        (width // 2, width, 1),
    ):
        stem += [nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)]
        stem += [nn.BatchNorm2d(out), nn.ReLU()]
    blocks, channels = [nn.AvgPool2d(2)], width
    for stage, depth in enumerate(config.layers):
        for block in range(depth):
            inner = width * 2**stage
            blocks.append(Bottleneck(channels, inner, 2 if stage and not block else 1))
            channels = 4 * inner
    pool = AttentionPool2d(config.grid_size, channels, config.num_heads, embed_dim)
    return nn.Sequential(*stem, *blocks, pool)


@pytest.mark.parametrize("name", ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"])
def test_resnets_equal_one_of_plain_layers(name):
    config = clip.get_config(name)
    model = meta(lambda: modified_resnet(config.vision, config.embed_dim))
    assert count_parameters(config).vision.total == parameters(model)


@pytest.mark.parametrize("name", ["RN50", "RN50x4"])
def test_flops_of_resnets_equal_those_of_one_of_plain_layers(name):
    config = clip.get_config(name)
    model = meta(lambda: modified_resnet(config.vision, config.embed_dim))
    images = torch.empty(2, 3, *[config.vision.image_size] * 2, device="meta")
    forward, backward = flops(lambda: model(images))
    assert count_flops(config, images=2, texts=0).total == forward
    assert count_flops(config, images=2, texts=0, training=True).total == forward + backward


# ---- floating-point operations ----


def flops(forward):
    """FLOPs of a forward pass and of its backward, with maps that PyTorch counts as products."""
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as first:
            out = forward()
        with FlopCounterMode(display=False) as second:
            out.sum().backward()
    return first.get_total_flops(), second.get_total_flops()


def inputs(config, images, texts):
    vision, text = config.vision, config.text
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(images, 3, vision.image_size, vision.image_size, generator=generator)
    ids = torch.randint(text.vocab_size, (texts, text.context_length), generator=generator)
    return pixels, ids


@settings(max_examples=10, deadline=None, derandomize=True)
@given(configs(), st.integers(1, 3), st.integers(1, 3))
def test_flops_of_any_model_equal_pytorchs_count(config, images, texts):
    model = SigLIP(config)
    forward, backward = flops(lambda: model(*inputs(config, images, texts)).logits_per_image)
    assert count_flops(config, images, texts).total == forward
    assert count_flops(config, images, texts, training=True).total == forward + backward


@settings(max_examples=5, deadline=None, derandomize=True)
@given(configs(), st.integers(1, 3))
def test_either_side_of_the_flops_can_be_left_out(config, number):
    model = SigLIP(config)
    pixels, ids = inputs(config, number, number)
    for arguments, run in (
        ((number, 0), lambda: model.encode_image(pixels)),
        ((0, number), lambda: model.encode_text(ids)),
    ):
        forward, backward = flops(run)
        assert count_flops(config, *arguments).total == forward
        assert count_flops(config, *arguments, training=True).total == forward + backward
    assert count_flops(config, 0, 0).total == 0
    both = count_flops(config, number, number)
    assert both.total == sum(
        part.total for part in (both.vision, both.text, both["logits"])
    )  # fmt: skip


def test_flops_without_attention_maps_are_those_that_fused_attention_hides():
    config = shallow(SO400M, depth=1)
    with FlopCounterMode(display=False) as counter:
        meta(lambda: EncoderLayer(1152, 16, 4304))(torch.empty(1, 729, 1152, device="meta"))
    layer = count_flops(config).vision["layer 0"]
    assert layer.total == counter.get_total_flops()
    less = count_flops(config, attention_maps=False).vision["layer 0"]
    assert layer.total - less.total == layer["attention map"].total == 4 * 729**2 * 1152
    with pytest.raises(KeyError, match="no part 'attention map'; parts: attention, mlp"):
        less["attention map"]


def all_ask(config):
    """What open_clip's attention pooling computes for tokens that nobody reads."""
    if isinstance(config.vision, VisionConfig):
        return 0
    unread, d = config.vision.grid_size**2, config.vision.feature_dim
    return unread * (2 * d * d + 4 * (unread + 1) * d + 2 * d * config.embed_dim)


@pytest.mark.parametrize("name", PROFILE)
def test_gflops_in_open_clips_profile(name):
    config = published(name)
    count, more = count_flops(config), all_ask(config)
    found = (
        count.vision.total + count.text.total + more,
        count.vision.total + more,
        count.text.total,
    )
    assert tuple(round(number / 1e9, 2) for number in found) == PROFILE[name][3:]


@pytest.mark.parametrize(
    ("name", "image", "text"),
    [
        ("siglip-so400m-patch16-256-i18n", 220.46, 53.13),
        ("siglip2-base-patch32-256", 11.49, 11.02),
        ("siglip2-large-patch16-512", 727.49, 39.06),
        ("siglip2-so400m-patch16-384", 518.94, 53.13),
        ("siglip2-so400m-patch16-512", 979.61, 53.13),
        ("siglip2-giant-opt-patch16-256", 599.0, 53.13),
        ("siglip2-giant-opt-patch16-384", 1392.98, 53.13),
    ],
)
def test_gflops_that_no_profile_lists(name, image, text):
    count = count_flops(get_config(name))
    assert (round(count.vision.total / 1e9, 2), round(count.text.total / 1e9, 2)) == (image, text)


@pytest.mark.parametrize("size", SOVIT)
def test_gflops_of_sovit_within_half_a_percent(size):
    vision = replace(SO400M.vision, image_size=size)
    found = count_flops(replace(SO400M, vision=vision), texts=0).total / 1e9
    assert found == pytest.approx(SOVIT[size], rel=0.005)


# ---- bytes ----


def attention(maps):
    return sdpa_kernel(SDPBackend.MATH) if maps else contextlib.nullcontext()


def checkpointed(model, reentrant=False):
    def wrap(forward):
        return lambda *x: checkpoint(forward, *x, use_reentrant=reentrant)

    for tower in (model.vision_model, model.text_model):
        for layer in tower.encoder.layers:
            layer.forward = wrap(layer.forward)
    return model


def saved_bytes(model, run, *inputs):
    """Bytes of the tensors that autograd keeps, each storage once, without weights and inputs."""
    ours = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *inputs]}
    tensors = []

    def keep(tensor):
        tensors.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = run()
    del out
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(size for pointer, size in storages.items() if pointer not in ours)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    config=configs(),
    batch=st.integers(1, 3),
    maps=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_activations_are_what_autograd_saves(config, batch, maps, dtype):
    model = SigLIP(config).to(dtype)
    pixels, ids = inputs(config, batch, batch)
    count = count_bytes(config, dtype, batch, training=True, attention_maps=maps)["activations"]
    with attention(maps):
        image = saved_bytes(model, lambda: model.encode_image(pixels), pixels)
        text = saved_bytes(model, lambda: model.encode_text(ids), ids)
    converted = 0 if dtype == torch.float32 else count["pixels"].total
    assert (image, text) == (count.vision.total + converted, count.text.total)


MIDDLING = SigLIPConfig(
    VisionConfig(96, 8, width=96, depth=8, num_heads=6, mlp_dim=384),
    TextConfig(2000, 32, width=96, depth=8, num_heads=6, mlp_dim=384),
)


@pytest.mark.parametrize("maps", [False, True])
def test_checkpointing_keeps_only_the_inputs_of_layers(maps):
    model = checkpointed(SigLIP(MIDDLING), reentrant=True)  # this kind saves with autograd
    pixels, ids = inputs(MIDDLING, 2, 2)
    with attention(maps):
        image = saved_bytes(model, lambda: model.encode_image(pixels), pixels)
        text = saved_bytes(model, lambda: model.encode_text(ids), ids)
    options = {"training": True, "attention_maps": maps, "checkpointing": True}
    count = count_bytes(MIDDLING, batch=2, **options)["activations"]
    assert (image, text) == (count.vision.total, count.text.total)
    assert count.vision["layer 0"].total == 2 * 144 * 96 * 4


def peak_bytes(run):
    """The most that PyTorch's CPU allocator held at once for what `run` made."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def there_before(count):
    names = ("weights", "inputs", "gradients", "AdamW")
    return sum(part.total for part in count if part.name in names)


@pytest.mark.parametrize(
    ("dtype", "maps", "checkpointing"),
    [
        (torch.float32, False, False),
        (torch.float32, False, True),
        (torch.float32, True, False),
        (torch.float32, True, True),
        (torch.bfloat16, False, True),
    ],
)
def test_peak_of_a_training_step(one_thread, dtype, maps, checkpointing):
    model = SigLIP(MIDDLING).to(dtype)
    for scalar in (model.logit_scale, model.logit_bias):
        scalar.data = scalar.data.float()
    if checkpointing:
        checkpointed(model)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pixels, ids = inputs(MIDDLING, 4, 4)

    def step():
        embeds = model.encode_image(pixels), model.encode_text(ids)
        sl.sigmoid_loss(*embeds, model.logit_scale, model.logit_bias).backward()

    with attention(maps):
        step()
        optimizer.step()
        peak = peak_bytes(step)
    options = {"training": True, "attention_maps": maps, "checkpointing": checkpointing}
    count = count_bytes(MIDDLING, dtype, batch=4, **options)
    moments = [s[key] for s in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    tensors = [*model.parameters(), *(p.grad for p in model.parameters()), *moments, pixels, ids]
    assert sum(tensor.nbytes for tensor in tensors) == there_before(count)
    # Of the whole, and of what comes and goes in the step.
    assert there_before(count) + peak == pytest.approx(count.total, rel=0.1)
    assert peak == pytest.approx(count.total - there_before(count), rel=0.1)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_peak_of_an_inference(one_thread, dtype, maps):
    model = SigLIP(MIDDLING).to(dtype)
    pixels, ids = inputs(MIDDLING, 4, 4)
    with attention(maps), torch.no_grad():
        peak = peak_bytes(lambda: (model.encode_image(pixels), model.encode_text(ids)))
    count = count_bytes(MIDDLING, dtype, batch=4, attention_maps=maps)
    assert peak == pytest.approx(count["working memory"].total, rel=0.1)


def test_scalars_stay_in_float32():
    model = sl.load_model("tiny", dtype=torch.bfloat16)
    count = count_bytes(model.config, torch.bfloat16)["weights"]
    assert count.total == sum(p.nbytes for p in model.parameters())
    assert count["scalars"].total == 8


def test_what_the_options_save_on_so400m():
    def activations(**options):
        count = count_bytes(SO400M, torch.bfloat16, batch=32, training=True, **options)
        return count["activations"].total

    plain, maps = activations(), activations(attention_maps=True)
    assert maps - plain > 27 * 32 * 16 * 729**2 * 4
    assert plain > 10 * activations(checkpointing=True)
    assert activations(checkpointing=True) < activations(checkpointing=True, attention_maps=True)


# ---- what the functions give and refuse ----


def test_a_count_is_a_frozen_tree():
    count = count_parameters(SO400M)
    assert [part.name for part in count] == ["vision", "text", "scalars"]
    assert count["vision"] is count.vision
    assert count == count_parameters(SO400M)
    with pytest.raises(KeyError, match="'scalars' has no part 'vision'; parts: logit scale, logit"):
        count["scalars"]["vision"]
    with pytest.raises(FrozenInstanceError):
        count.total = 0


def test_a_count_shows_itself_as_a_tree():
    lines = repr(count_parameters(SO400M)).splitlines()
    assert lines[0].split() == ["parameters", "number", "share"]
    assert lines[1].split() == ["total", "877,960,498", "100.0%"]
    layers = [line.split() for line in lines if line.startswith("    layer 0 …")]
    assert layers == [["layer", "0", "…", "27", "x", "15,239,504", "46.9%"]] * 2
    assert len({len(line) for line in lines}) == 1
    assert count_flops(SO400M, 0, 0).total == 0
    assert "0.0%" in repr(count_flops(SO400M, 0, 0))


def test_dicts_add_up():
    def check(node):
        parts = [value for key, value in node.items() if key != "total"]
        assert not parts or node["total"] == sum(part["total"] for part in parts)
        for part in parts:
            check(part)

    for count in (count_parameters(CLIP_B32), count_bytes(SO400M, training=True)):
        check(json.loads(json.dumps(count.to_dict())))


def test_comparison_lines_up_what_differs():
    counts = {"SigLIP": count_parameters(SO400M), "CLIP": count_parameters(CLIP_B32)}
    lines = compare(counts).splitlines()
    (layers, _) = (line.split() for line in lines if "layer 0" in line)
    assert layers == "layer 0 … 27 x 15,239,504 46.9% 12 x 7,087,872 56.2%".split()
    (bias,) = (line.split() for line in lines if "logit bias" in line)
    assert bias == ["logit", "bias", "1", "0.0%", "-"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: count_parameters("tiny"), TypeError, "must be a SigLIPConfig or a CLIPConfig"),
        (lambda: count_flops(SO400M.vision), TypeError, "must be a SigLIPConfig or a CLIPConfig"),
        (lambda: count_flops(SO400M, images=-1), ValueError, "images must be at least 0, got -1"),
        (lambda: count_flops(SO400M, texts=1.5), TypeError, "texts must be an integer, got 1.5"),
        (lambda: count_bytes(CLIP_B32), TypeError, "config must be a SigLIPConfig, got CLIPConfig"),
        (
            lambda: count_bytes(SO400M, torch.int8),
            TypeError,
            "floating torch.dtype, got torch.int8",
        ),
        (lambda: count_bytes(SO400M, "bfloat16"), TypeError, "torch.dtype, got 'bfloat16'"),
        (lambda: count_bytes(SO400M, batch=0), ValueError, "batch must be at least 1, got 0"),
        (lambda: count_bytes(SO400M, checkpointing=True), ValueError, "training=True"),
        (lambda: compare({}), ValueError, r"one or more counts of one unit, got \[\]"),
        (
            lambda: compare({"a": count_flops(SO400M), "b": count_parameters(SO400M)}),
            ValueError,
            r"one unit, got \['FLOPs', 'parameters'\]",
        ),
    ],
)
def test_what_cannot_be_counted(call, error, message):
    with pytest.raises(error, match=message):
        call()
