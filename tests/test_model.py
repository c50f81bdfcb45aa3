import math

import pytest
import torch
from parity import NothingIsRead, check_open_batches, random_inputs, random_model, shallow, twin

from siglip_lab import clip
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.model import SigLIP
from siglip_lab.published import get_config, list_models
from siglip_lab.towers import TextTower, VisionTower

SMALL = SigLIPConfig(
    VisionConfig(46, 6, width=48, depth=2, num_heads=2, mlp_dim=100),
    TextConfig(99, 8, width=32, depth=3, num_heads=4, mlp_dim=70),
)


def differences(model, inputs):
    """Largest absolute difference to transformers, for everything that the model returns."""
    with torch.no_grad():
        ours = model(**inputs, output_hidden_states=True)
        theirs = twin(model)(**inputs, output_hidden_states=True)
    vision, text = ours.vision, ours.text
    states = zip(
        vision.hidden_states + text.hidden_states,
        theirs.vision_model_output.hidden_states + theirs.text_model_output.hidden_states,
        strict=True,
    )
    pairs = {f"hidden state {index}": pair for index, pair in enumerate(states)} | {
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


@pytest.mark.parametrize("name", [name for name in list_models() if name.startswith("siglip-")])
def test_published_shapes_equal_transformers(name):
    config = shallow(get_config(name))
    found = differences(random_model(config), random_inputs(config))
    assert max(found.values()) <= 1e-5, found


def test_towers_of_different_size_equal_transformers():
    found = differences(random_model(SMALL), random_inputs(SMALL, images=3, texts=5))
    assert max(found.values()) <= 1e-5, found


def test_tiny_equals_transformers():
    model = SigLIP.from_pretrained("tiny")
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


def test_random_weights_depend_on_the_generator_alone():
    first, second, third = (SigLIP(SMALL, torch.Generator().manual_seed(n)) for n in (7, 7, 8))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name
    assert not torch.equal(first.text_model.head.weight, third.text_model.head.weight)


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
    with pytest.raises(TypeError, match=f"config is a {type(config).__name__}; .*from_pretrained"):
        SigLIP(config)


@pytest.mark.slow
def test_a_compiled_or_exported_model_takes_any_number_of_images_and_texts():
    inputs, others = random_inputs(SMALL, images=4, texts=5), random_inputs(SMALL, 3, 2)
    check_open_batches(random_model(SMALL), inputs, others)


def test_a_forward_reads_no_value():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    with NothingIsRead():
        model(**inputs).logits_per_image.sum().backward()


def test_one_side_alone():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    with torch.no_grad():
        both = model(**inputs)
        images = model(pixel_values=inputs["pixel_values"])
        texts = model(input_ids=inputs["input_ids"])
    assert torch.equal(images.image_embeds, both.image_embeds)
    assert torch.equal(texts.text_embeds, both.text_embeds)
    assert images.logits_per_image is images.text_embeds is images.text is None
    assert texts.logits_per_text is texts.image_embeds is texts.vision is None
    assert both.vision.hidden_states is None
    with pytest.raises(ValueError, match="pixel_values, input_ids or both"):
        model()


def test_raw_embeddings_equal_transformers():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    other = twin(model)
    with torch.no_grad():
        image = model.encode_image(inputs["pixel_values"], normalize=False)
        text = model.encode_text(inputs["input_ids"], normalize=False)
        expected = other(**inputs)
    assert (image - expected.vision_model_output.pooler_output).abs().max() <= 1e-5
    assert (text - expected.text_model_output.pooler_output).abs().max() <= 1e-5


def test_gradient_checkpointing_gives_the_same_gradients_and_keeps_less():
    model, inputs = random_model(SMALL), random_inputs(SMALL)

    def gradients_and_bytes():
        kept = {}

        def keep(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        model.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(**inputs).logits_per_image.sum()
        loss.backward()
        return [p.grad.clone() for p in model.parameters()], sum(kept.values())

    expected, plain = gradients_and_bytes()
    model.set_grad_checkpointing()
    found, checkpointed = gradients_and_bytes()
    assert all(map(torch.equal, found, expected))
    assert checkpointed < plain
    model.set_grad_checkpointing(False)
    assert gradients_and_bytes()[1] == plain


@pytest.mark.parametrize(("tower", "other"), [("vision", "text"), ("text", "vision")])
@pytest.mark.parametrize("unlocked", [0, 1, 2, 9])
def test_a_locked_tower_gets_no_gradients(tower, other, unlocked):
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    model.lock(tower, unlocked_layers=unlocked)
    model(**inputs).logits_per_image.sum().backward()
    learning = {name for name, p in model.named_parameters() if p.grad is not None}
    depth = getattr(SMALL, tower).depth
    part = f"{tower}_model."
    expected = {name for name, _ in model.named_parameters() if not name.startswith(part)}
    if unlocked:
        last = [f"encoder.layers.{n}." for n in range(max(0, depth - unlocked), depth)]
        ends = (*last, "head.", "post_layernorm.", "final_layer_norm.")
        names = dict(model.named_parameters())
        expected |= {n for n in names if n.removeprefix(part).startswith(ends)}
    assert learning == expected
    assert {name for name, p in model.named_parameters() if p.requires_grad} == expected
    assert any(name.startswith(f"{other}_model.embeddings") for name in learning)


@pytest.mark.parametrize(
    ("tower", "layers", "error"),
    [("image", 0, ValueError), ("text", -1, ValueError), ("text", 0.5, TypeError)],
)
def test_what_cannot_be_locked(tower, layers, error):
    model = random_model(SMALL)
    with pytest.raises(error):
        model.lock(tower, unlocked_layers=layers)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.to(torch.bfloat16),
        lambda model: model.half(),
        lambda model: model.bfloat16(),
        lambda model: model.to("cpu", torch.float16),
        lambda model: torch.nn.Sequential(model).bfloat16()[0],
        lambda model: model.half().float(),
    ],
)
def test_the_scalars_stay_exact(change):
    model = SigLIP(SMALL)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(118.2))
        model.logit_bias.fill_(-12.93)
    exact = [model.logit_scale.detach().clone(), model.logit_bias.detach().clone()]
    model = change(model)
    assert torch.equal(model.logit_scale, exact[0]) and torch.equal(model.logit_bias, exact[1])
    assert model.logit_scale.requires_grad
    assert model.double().logit_scale.dtype == torch.float64


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second, third = SigLIP(SMALL, seed=0), SigLIP(SMALL, seed=0), SigLIP(SMALL, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, weight), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(weight, other), name
    assert not torch.equal(first.text_model.head.weight, third.text_model.head.weight)


def test_the_gradients_of_the_scalars_stay_exact_too():
    model, inputs = random_model(SMALL), random_inputs(SMALL)
    model(**inputs).logits_per_image.sum().backward()
    model.bfloat16()
    assert model.logit_scale.grad.dtype == torch.float32
    torch.optim.AdamW(model.parameters()).step()


def test_a_tower_alone_can_learn():
    """All its parts are drawn: zeros in the probe and in q and k would stay zeros for ever."""
    tower, images = VisionTower(SMALL.vision), torch.randn(2, 3, 46, 46)
    first, second = tower(images).pooler_output
    assert not torch.allclose(first, second)
    (first - second).square().sum().backward()
    assert tower.head.probe.grad.any() and tower.head.attention.in_proj_weight.grad.all(1).any()
    words = TextTower(SMALL.text, 48).embeddings.token_embedding.weight
    assert words.std().item() == pytest.approx(32**-0.5, rel=0.1)
