"""Every count against an independent one: the built model, transformers, PyTorch's own counters."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from any_shape import configs, flops, inputs, meta, parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import SiglipModel, shallow, twin_config
from torch.utils.flop_counter import FlopCounterMode

from siglip_lab import clip, count_bytes, count_flops, count_parameters
from siglip_lab.counts import compare
from siglip_lab.encoder import EncoderLayer
from siglip_lab.model import SigLIP
from siglip_lab.published import get_config, list_models

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
}

# SoViT (arXiv 2305.13035), table 1: image size -> GFLOPs, as printed.
SOVIT = {224: 221, 384: 672}


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
        "emoji",
        *list(PARAMETERS)[10:],
    ]


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


@pytest.mark.parametrize("name", PROFILE)
def test_millions_of_parameters_in_open_clips_profile(name):
    count = count_parameters(get_config(name))
    found = tuple(round(c.total / 1e6, 2) for c in (count, count.vision, count.text))
    assert found == PROFILE[name][:3]


# ---- floating-point operations ----


@pytest.mark.slow
@settings(max_examples=10, deadline=None, derandomize=True)
@given(configs(), st.integers(1, 3), st.integers(1, 3))
def test_flops_of_any_model_equal_pytorchs_count(config, images, texts):
    model = SigLIP(config)
    forward, backward = flops(lambda: model(*inputs(config, images, texts)).logits_per_image)
    assert count_flops(config, images, texts).total == forward
    assert count_flops(config, images, texts, training=True).total == forward + backward


@pytest.mark.slow
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


@pytest.mark.parametrize("name", PROFILE)
def test_gflops_in_open_clips_profile(name):
    count = count_flops(get_config(name))
    vision, text = count.vision.total, count.text.total
    found = tuple(round(number / 1e9, 2) for number in (vision + text, vision, text))
    assert found == PROFILE[name][3:]


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


# ---- what the functions give and refuse ----


def test_a_count_is_a_frozen_tree():
    count = count_parameters(SO400M)
    assert [part.name for part in count] == ["vision", "text", "scalars"]
    assert count["vision"] is count.vision
    assert count == count_parameters(SO400M)
    with pytest.raises(KeyError, match="logit scale"):
        count["scalars"]["vision"]
    with pytest.raises(FrozenInstanceError):
        count.total = 0


def test_the_towers_are_attributes_wherever_there_are_any():
    count = count_bytes(SO400M, training=True)
    for branch in (count["weights"], count["activations"], count["AdamW"]["first moment"]):
        assert (branch.vision, branch.text) == (branch["vision"], branch["text"])
    assert not hasattr(count, "vision")
    assert not hasattr(count["weights"].vision, "text")


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

    for count in (clip.count_parameters(CLIP_B32), count_bytes(SO400M, training=True)):
        check(json.loads(json.dumps(count.to_dict())))


def test_comparison_lines_up_what_differs():
    counts = {"SigLIP": count_parameters(SO400M), "CLIP": clip.count_parameters(CLIP_B32)}
    lines = compare(counts).splitlines()
    (layers, _) = (line.split() for line in lines if "layer 0" in line)
    assert layers == "layer 0 … 27 x 15,239,504 46.9% 12 x 7,087,872 56.2%".split()
    (bias,) = (line.split() for line in lines if "logit bias" in line)
    assert bias == ["logit", "bias", "1", "0.0%", "-"]


@pytest.mark.parametrize(
    ("call", "error", "noun"),
    [
        (lambda: count_parameters("tiny"), TypeError, "SigLIPConfig"),
        (lambda: count_parameters(CLIP_B32), TypeError, "SigLIPConfig"),
        (lambda: count_flops(SO400M.vision), TypeError, "SigLIPConfig"),
        (lambda: count_flops(SO400M, images=-1), ValueError, "images"),
        (lambda: count_flops(SO400M, texts=1.5), TypeError, "texts"),
        (lambda: compare({}), ValueError, "unit"),
        (
            lambda: compare({"a": count_flops(SO400M), "b": count_parameters(SO400M)}),
            ValueError,
            "unit",
        ),
    ],
)
def test_what_cannot_be_counted(call, error, noun):
    with pytest.raises(error, match=noun):
        call()
