import math
from dataclasses import replace

import pytest
import torch
from parity import NothingIsRead, check_open_batches, random_inputs, random_model, shallow, twin

from siglip_lab import clip
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig, get_config, list_models
from siglip_lab.loading.folder import load_model
from siglip_lab.model import SigLIP

SMALL = SigLIPConfig(
    VisionConfig(46, 6, width=48, depth=2, num_heads=2, mlp_dim=100),
    TextConfig(99, 8, width=32, depth=3, num_heads=4, mlp_dim=70),
)


def differences(model, inputs):
    """Largest absolute difference to transformers, for everything that the model returns."""
    towers = {}
    for tower in (model.vision_model, model.text_model):
        tower.register_forward_hook(lambda tower, args, output: towers.update({tower: output}))
    with torch.no_grad():
        ours, theirs = model(**inputs), twin(model)(**inputs)
    vision, text = towers[model.vision_model], towers[model.text_model]
    pairs = {
        "image_embeds": (ours.image_embeds, theirs.image_embeds),
        "text_embeds": (ours.text_embeds, theirs.text_embeds),
        "logits_per_image": (ours.logits_per_image, theirs.logits_per_image),
        "logits_per_text": (ours.logits_per_text, theirs.logits_per_text),
        "image tokens": (vision.last_hidden_state, theirs.vision_model_output.last_hidden_state),
        "image pooled": (vision.pooler_output, theirs.vision_model_output.pooler_output),
        "text tokens": (text.last_hidden_state, theirs.text_model_output.last_hidden_state),
        "text pooled": (text.pooler_output, theirs.text_model_output.pooler_output),
    }
    return {name: (a - b).abs().max().item() for name, (a, b) in pairs.items()}


@pytest.mark.parametrize("name", [name for name in list_models() if name != "tiny"])
def test_published_shapes_equal_transformers(name):
    config = shallow(get_config(name))
    found = differences(random_model(config), random_inputs(config))
    assert max(found.values()) <= 1e-5, found


def test_towers_of_different_size_equal_transformers():
    found = differences(random_model(SMALL), random_inputs(SMALL, images=3, texts=5))
    assert max(found.values()) <= 1e-5, found


def test_tiny_equals_transformers():
    model = load_model("tiny")
    found = differences(model, random_inputs(model.config, images=3, texts=3))
    assert max(found.values()) <= 1e-5, found


def test_other_image_sizes_equal_transformers():
    model = random_model(SMALL)
    inputs = random_inputs(SMALL) | {"pixel_values": torch.randn(2, 3, 92, 60)}
    with torch.no_grad():
        ours = model(**inputs, interpolate_pos_encoding=True).logits_per_image
        theirs = twin(model)(**inputs, interpolate_pos_encoding=True).logits_per_image
    assert (ours - theirs).abs().max() <= 1e-5


def test_embeddings_are_unit_vectors_and_compose_to_the_forward_pass():
    model, inputs = random_model(SMALL), random_inputs(SMALL, images=2, texts=4)
    with torch.no_grad():
        out = model(**inputs)
        images = model.encode_image(inputs["pixel_values"])
        texts = model.encode_text(inputs["input_ids"])
    torch.testing.assert_close(images.norm(dim=-1), torch.ones(2))
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(4))
    assert torch.equal(out.image_embeds, images)
    assert torch.equal(out.text_embeds, texts)
    assert torch.equal(out.logits_per_image, out.logits_per_text.T)
    expected = images @ texts.T * model.logit_scale.exp() + model.logit_bias
    torch.testing.assert_close(out.logits_per_image, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_ends_in_float32(dtype):
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    with torch.no_grad():
        exact = model(**inputs).logits_per_image
        out = model.to(dtype)(**inputs)  # float32 pixels are converted to the weights' dtype
    assert out.logits_per_image.dtype == out.image_embeds.dtype == torch.float32
    assert (out.logits_per_image - exact).abs().max() < 0.2
    expected = out.image_embeds @ out.text_embeds.T
    expected = expected * model.logit_scale.float().exp() + model.logit_bias.float()
    assert torch.equal(out.logits_per_image, expected)


def test_autocast_keeps_the_final_product_in_float32():
    model = random_model(SMALL)
    torch.manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn(4, 48), dim=-1) for _ in "ab")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = model.logits(images, texts)
        assert model(**random_inputs(SMALL)).logits_per_image.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(found, model.logits(images, texts))


def test_double_precision_stays_double():
    model, inputs = random_model(SMALL).double(), random_inputs(SMALL)
    with torch.no_grad():
        assert model(**inputs).logits_per_image.dtype == torch.float64


def test_a_new_model_starts_like_the_paper():
    torch.manual_seed(0)
    model = SigLIP(SMALL)
    assert model.logit_scale.item() == pytest.approx(math.log(10))
    assert model.logit_bias.item() == -10
    fc1 = model.vision_model.encoder.layers[0].mlp.fc1
    assert fc1.weight.abs().max() <= (6 / (48 + 100)) ** 0.5
    assert not fc1.bias.any()
    assert model.vision_model.head.probe.any()


def test_random_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = SigLIP(SMALL)
    first.init_weights(torch.Generator().manual_seed(7))
    torch.manual_seed(2)
    second = SigLIP(SMALL)
    second.init_weights(torch.Generator().manual_seed(7))
    third = SigLIP(SMALL)
    third.init_weights(torch.Generator().manual_seed(8))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name
    assert not torch.equal(first.text_model.head.weight, third.text_model.head.weight)


def test_identity_head_changes_nothing():
    text = replace(SMALL.text, embed_dim=32, identity_head=True)
    model = SigLIP(SigLIPConfig(replace(SMALL.vision, width=32), text)).eval()
    ids = random_inputs(model.config)["input_ids"]
    with torch.no_grad():
        out = model.text_model(ids)
    assert torch.equal(out.pooler_output, out.last_hidden_state[:, -1])


def test_all_parameters_receive_gradients():
    model, inputs = random_model(SMALL), random_inputs(SMALL, images=2)
    model(**inputs).logits_per_image.sigmoid().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ("a cat", TypeError, r"input_ids are of type str; .*processor\(text=...\)"),
        (["a cat"], TypeError, "input_ids are of type list"),
        (
            {"input_ids": torch.ones(1, 8, dtype=torch.long)},
            TypeError,
            "input_ids are of type dict",
        ),
        (torch.zeros(1, 8), TypeError, "input_ids are torch.float32"),
        (torch.zeros(8, dtype=torch.long), ValueError, r"expected \[B, L\]"),
        (torch.zeros(0, 8, dtype=torch.long), ValueError, "B, L >= 1"),
        (torch.zeros(1, 9, dtype=torch.long), ValueError, "9 tokens.*context_length=8"),
        (torch.full((1, 8), 99), ValueError, "from 99 to 99, the vocabulary from 0 to 98"),
        (torch.full((1, 8), -1), ValueError, "from -1 to -1"),
    ],
)
def test_ids_that_do_not_fit(ids, error, message):
    with pytest.raises(error, match=message):
        random_model(SMALL).encode_text(ids)


@pytest.mark.parametrize("config", ["tiny", clip.get_config("ViT-B/32")])
def test_a_config_of_another_kind(config):
    with pytest.raises(TypeError, match=f"config is a {type(config).__name__}; .*load_model"):
        SigLIP(config)


@pytest.mark.slow
def test_a_compiled_or_exported_model_takes_any_number_of_images_and_texts():
    inputs, others = random_inputs(SMALL, images=4, texts=5), random_inputs(SMALL, 3, 2)
    check_open_batches(random_model(SMALL), inputs, others)


def test_a_forward_reads_no_value():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    with NothingIsRead():
        model(**inputs).logits_per_image.sum().backward()
