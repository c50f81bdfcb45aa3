import json

import pytest
import torch
from parity import NoFloat64, random_inputs, random_model

import siglip_lab as sl
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig

CONFIG = SigLIPConfig(
    VisionConfig(46, 6, width=48, depth=4, num_heads=2, mlp_dim=100),
    TextConfig(99, 8, width=32, depth=2, num_heads=4, mlp_dim=70),
)


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG)


@pytest.fixture(scope="module")
def steps(model):
    return sl.trace(model, **random_inputs(CONFIG, images=2, texts=3), keep_tensors=True)


def test_the_walk_from_pixels_to_probabilities(model, steps):
    shapes = {row.name: row.shape for row in steps}
    assert shapes["pixel_values"] == (2, 3, 46, 46)
    assert shapes["vision_model.embeddings.patch_embedding"] == (2, 48, 7, 7)
    assert shapes["vision_model.embeddings"] == (2, 49, 48)
    assert shapes["vision_model.encoder.layers.3.mlp.fc1"] == (2, 49, 100)
    assert shapes["vision_model.head"] == (2, 48)
    assert shapes["text_model.encoder"] == (3, 8, 32)
    assert shapes["probabilities"] == (2, 3)
    assert [row.name for row in steps][-1] == "probabilities"


def test_every_parameter_is_in_the_table(model, steps):
    towers = ("embeddings", "encoder", "post_layernorm", "final_layer_norm", "head")
    parts = sum(row.parameters for row in steps if row.name.split(".")[-1] in towers)
    scalars = steps["logits_per_image"].parameters
    assert parts + scalars == sum(p.numel() for p in model.parameters())


def test_every_step_is_that_of_the_forward_pass(model, steps):
    with torch.no_grad():
        out = model(**random_inputs(CONFIG, images=2, texts=3), output_hidden_states=True)
    expected = {
        "vision_model.post_layernorm": out.vision.last_hidden_state,
        "vision_model.head": out.vision.pooler_output,
        "text_model.final_layer_norm": out.text.last_hidden_state,
        "text_model.head": out.text.pooler_output,
        "image_embeds": out.image_embeds,
        "text_embeds": out.text_embeds,
        "logits_per_image": out.logits_per_image,
        "probabilities": out.logits_per_image.sigmoid(),
    }
    for tower, states in (("vision", out.vision.hidden_states), ("text", out.text.hidden_states)):
        expected[f"{tower}_model.embeddings"] = states[0]
        for i, state in enumerate(states[1:]):
            expected[f"{tower}_model.encoder.layers.{i}"] = state
    for name, value in expected.items():
        row = steps[name]
        assert torch.equal(row.value, value), name
        assert row.mean == pytest.approx(value.mean().item())
        assert row.std == pytest.approx(value.std(correction=0).item())


def test_every_module_s_row_is_what_it_makes_of_its_input(model, steps):
    taken = {}

    def remember(name):
        def hook(module, args):
            taken[name] = module, args

        return hook

    modules = [(name, module) for name, module in model.named_modules() if name]
    handles = [module.register_forward_pre_hook(remember(name)) for name, module in modules]
    try:
        with torch.no_grad():
            model(**random_inputs(CONFIG, images=2, texts=3))
    finally:
        for handle in handles:
            handle.remove()
    rows = {row.name: row.value for row in steps if row.kind not in ("input", "output")}
    assert rows.keys() == taken.keys() - {"vision_model", "text_model"}
    for name, value in rows.items():
        module, args = taken[name]
        with torch.no_grad():
            assert torch.equal(module(*args), value), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_apple_gpu_is_enough(dtype):
    model = random_model(CONFIG).to(dtype)
    with NoFloat64():
        sl.trace(model, **random_inputs(CONFIG))


def test_ids_of_another_vocabulary_are_refused_before_the_model_runs(model):
    ids = torch.full((1, 8), 99)
    with pytest.raises(ValueError, match="the tokenizer belongs to another model") as caught:
        sl.trace(model, random_inputs(CONFIG)["pixel_values"], ids)
    assert caught.value.__context__ is None  # no lookup has failed, as it would on a GPU


def test_a_compiled_model_is_traced_and_a_wrapped_one_refused(model, steps):
    inputs = random_inputs(CONFIG, images=2, texts=3)
    compiled = sl.trace(torch.compile(model, backend="eager"), **inputs)
    assert compiled.to_dicts() == steps.to_dicts()
    with pytest.raises(TypeError, match="model is a DataParallel; .* pass model.module"):
        sl.trace(torch.nn.DataParallel(model), **inputs)


def test_tensors_are_dropped_unless_asked_for(model):
    assert all(row.value is None for row in sl.trace(model, **random_inputs(CONFIG)))


def test_hooks_are_removed_even_after_an_error(model):
    with pytest.raises(ValueError, match="expected"):
        sl.trace(model, torch.zeros(3, 46, 46), random_inputs(CONFIG)["input_ids"])
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["pixel_values", "input_ids"])
def test_inputs_that_are_no_tensors(model, name):
    with pytest.raises(TypeError, match="tensor"):
        sl.trace(model, **random_inputs(CONFIG) | {name: "a"})


def test_layers_in_the_middle_are_folded(steps):
    text = repr(steps)
    assert "vision_model.encoder.layers.1 … 2: like layer 0" in text
    assert "vision_model.encoder.layers.0.self_attn.q_proj" in text
    assert "vision_model.encoder.layers.2.mlp" not in text
    assert text.count("vision_model.encoder.layers.3") == 1
    assert text.count("text_model.encoder.layers.1") == 1
    assert text.count("like layer 0") == 1  # the text tower has no layer between first and last


def test_shows_itself_as_html(steps):
    html = steps._repr_html_()
    assert html.startswith('<table class="trace">')
    assert html.count("<tr>") == len(repr(steps).splitlines())
    assert "<td>[2, 49, 48]</td>" in html


def test_rows_as_json(steps):
    rows = json.loads(json.dumps(steps.to_dicts()))
    assert len(rows) == len(steps)
    assert rows[0] | {"mean": 0, "std": 0} == {
        "name": "pixel_values", "kind": "input", "shape": [2, 3, 46, 46], "dtype": "float32",
        "parameters": 0, "mean": 0, "std": 0,
    }  # fmt: skip


def test_unknown_row(steps):
    with pytest.raises(KeyError, match="no row 'head'; rows are named like"):
        steps["head"]
