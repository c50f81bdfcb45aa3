"""The NaFlex model against `Siglip2Model`, and what may not matter to it: padding, company."""

import math

import parity
import pytest
import torch
from parity import NoFloat64, NothingIsRead, shallow, share, tower
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from transformers import Siglip2Config, Siglip2Model, logging

import siglip_lab as sl
from siglip_lab import siglip2
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.siglip2.model import SigLIP2

logging.set_verbosity_error()

CONFIG = SigLIPConfig(  # the table is of 5 x 5 positions
    VisionConfig(20, 4, width=48, depth=3, num_heads=4, mlp_dim=100),
    TextConfig(60, 8, width=32, depth=2, num_heads=2, mlp_dim=70),
)
GRIDS = [[5, 5], [2, 9], [1, 20], [7, 1], [1, 1], [4, 5], [20, 1]]  # of at most 25 patches


def random_model(config=CONFIG, seed=0):
    return parity.random_model(config, seed, SigLIP2)


def images(grids=GRIDS, budget=25, config=CONFIG, seed=0):
    """What `preprocess` would make of images with these grids."""
    generator = torch.Generator().manual_seed(seed)
    size, shapes = 3 * config.vision.patch_size**2, torch.tensor(grids)
    mask = (torch.arange(budget) < shapes.prod(1, keepdim=True)).int()
    patches = torch.rand(len(grids), budget, size, generator=generator) * 2 - 1
    return {
        "pixel_values": patches * mask[..., None], "pixel_attention_mask": mask,
        "spatial_shapes": shapes,
    }  # fmt: skip


def inputs(config=CONFIG, texts=3, **options):
    generator = torch.Generator().manual_seed(1)
    shape = texts, config.text.context_length
    ids = torch.randint(config.text.vocab_size, shape, generator=generator)
    return images(config=config, **options) | {"input_ids": ids}


def twin(model):
    """`Siglip2Model` with the model's tensors."""
    vision, text = model.config.vision, model.config.text
    config = Siglip2Config(
        vision_config=tower(vision)
        | {"num_patches": vision.num_patches, "patch_size": vision.patch_size},
        text_config=tower(text)
        | {
            "vocab_size": text.vocab_size, "max_position_embeddings": text.context_length,
            "projection_size": model.config.embed_dim,
        },
    )  # fmt: skip
    with torch.device("meta"):
        other = Siglip2Model(config)
    return share(other, model.state_dict())


# ---- positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 5, 16])
def test_positions_are_those_of_a_resized_table(side):
    """For grids below and above the table's side, one way or both, in one batch.

    A grid of one column, for which PyTorch's CPU kernel is wrong, is held to its mirror.
    """
    sides = [1, 2, 3, 5, 7, 15, 16, 17, 32, 40]
    grids = [[rows, columns] for rows in sides for columns in sides]
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(side * side, 6, generator=generator, dtype=torch.float64)
    square = table.T.reshape(1, 6, side, side)
    weights = siglip2.position_weights(torch.tensor(grids), 1600, side)
    for (rows, columns), weight in zip(grids, weights, strict=True):
        mirrored = columns == 1
        size = (columns, rows) if mirrored else (rows, columns)
        before = square.transpose(2, 3) if mirrored else square
        resized = F.interpolate(before, size, mode="bilinear", antialias=True)
        resized = resized.transpose(2, 3) if mirrored else resized
        n = rows * columns
        found = weight[:n].double() @ table
        torch.testing.assert_close(found, resized[0].flatten(1).T, atol=5e-6, rtol=0)
        assert torch.equal(weight[n:], weight[:1].expand(1600 - n, -1))
    torch.testing.assert_close(weights.sum(2), torch.ones(len(grids), 1600))


def test_the_tables_own_grid_takes_its_entries():
    weights = siglip2.position_weights(torch.tensor([[16, 16]]), 256, 16)
    torch.testing.assert_close(weights[0], torch.eye(256))


# ---- parity --------------------------------------------------------------------------------------


@torch.no_grad()
def check_parity(config, grids, budget):
    model = random_model(config)
    given = inputs(config, grids=grids, budget=budget)
    ours = model(**given, output_hidden_states=True)
    theirs = twin(model)
    expected = theirs(**given)
    for name in ("logits_per_image", "logits_per_text", "image_embeds", "text_embeds"):
        torch.testing.assert_close(getattr(ours, name), expected[name], atol=1e-5, rtol=0)
    # Rows of padding mean nothing, and attend to padding in neither
    keep = given["pixel_attention_mask"].bool()
    tower = theirs.vision_model(
        given["pixel_values"], given["pixel_attention_mask"], given["spatial_shapes"],
        output_hidden_states=True,
    )  # fmt: skip
    states = [*ours.vision.hidden_states, ours.vision.last_hidden_state]
    for found, wanted in zip(states, [*tower.hidden_states, tower.last_hidden_state], strict=False):
        torch.testing.assert_close(found[keep], wanted[keep], atol=1e-5, rtol=1e-5)
    assert len(ours.vision.hidden_states) == config.vision.depth + 1
    torch.testing.assert_close(
        ours.vision.last_hidden_state[keep], tower.last_hidden_state[keep], atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(ours.vision.pooler_output, tower.pooler_output, atol=1e-5, rtol=1e-5)


def test_equal_to_transformers():
    grids = [grid for grid in GRIDS if grid[1] > 1 or grid == [1, 1]]  # see `position_weights`
    check_parity(CONFIG, [*grids, [12, 2], [5, 1]], 25)


@pytest.mark.slow
@pytest.mark.parametrize("name", siglip2.list_models())
def test_equal_to_transformers_at_the_published_widths(name):
    config = shallow(siglip2.get_config(name), depth=1, vocab_size=500)
    check_parity(config, [[16, 16], [7, 32], [1, 50], [14, 18]], 256)


def test_names_and_numbers_are_transformers():
    for name in siglip2.list_models():
        with torch.device("meta"):
            model = SigLIP2(siglip2.get_config(name))
            theirs = Siglip2Model(
                Siglip2Config(
                    vision_config=tower(model.config.vision),
                    text_config=tower(model.config.text) | {
                        "vocab_size": 256_000, "projection_size": model.config.embed_dim,
                    },
                )
            )  # fmt: skip
        expected = {name: tensor.shape for name, tensor in theirs.state_dict().items()}
        assert {name: tensor.shape for name, tensor in model.state_dict().items()} == expected


# ---- what may not matter -------------------------------------------------------------------------


@torch.no_grad()
def test_what_stands_in_the_padding_changes_nothing():
    model, given = random_model(), images()
    expected = model.encode_image(**given)
    noise = given | {
        "pixel_values": given["pixel_values"]
        + (1 - given["pixel_attention_mask"][..., None]) * 1000 * torch.randn(len(GRIDS), 25, 48)
    }
    assert torch.equal(model.encode_image(**noise), expected)


@torch.no_grad()
def test_company_and_budget_change_nothing():
    model, given = random_model(), images()
    together = model.encode_image(**given)
    for i, grid in enumerate(GRIDS):
        n = math.prod(grid)
        alone = {name: x[i : i + 1] for name, x in given.items()}
        torch.testing.assert_close(model.encode_image(**alone)[0], together[i], atol=1e-6, rtol=0)
        cut = {name: x[:, :n] if name != "spatial_shapes" else x for name, x in alone.items()}
        torch.testing.assert_close(model.encode_image(**cut)[0], together[i], atol=1e-6, rtol=0)
        more = alone | {
            name: F.pad(alone[name], (0,) * (2 * alone[name].ndim - 4) + (0, 30))
            for name in ("pixel_values", "pixel_attention_mask")
        }
        torch.testing.assert_close(model.encode_image(**more)[0], together[i], atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_grid_matters():
    """Twelve patches are another picture as 3 x 4 than as 4 x 3."""
    model, patches = random_model(), images([[3, 4]], 12)
    other = patches | {"spatial_shapes": torch.tensor([[4, 3]])}
    difference = model.encode_image(**patches) - model.encode_image(**other)
    assert difference.abs().max() > 1e-3


@torch.no_grad()
def test_a_square_is_the_fixed_models_square():
    """With the table's own grid, NaFlex is SigLIP whose convolution has the same numbers."""
    flexible, fixed = random_model(), sl.SigLIP(CONFIG, seed=0).eval()
    state = flexible.state_dict()
    name = "vision_model.embeddings.patch_embedding.weight"
    kernel = state[name].reshape(48, 4, 4, 3).permute(0, 3, 1, 2)
    fixed.load_state_dict(state | {name: kernel})
    pixels = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    patches = pixels.reshape(2, 3, 5, 4, 5, 4).permute(0, 2, 4, 3, 5, 1).reshape(2, 25, 48)
    grids, mask = torch.tensor([[5, 5]] * 2), torch.ones(2, 25, dtype=torch.int32)
    torch.testing.assert_close(
        flexible.encode_image(patches, mask, grids), fixed.encode_image(pixels), atol=1e-6, rtol=0
    )


def test_one_side_alone():
    model, given = random_model(), inputs()
    ids = given.pop("input_ids")
    image, text = model(**given), model(input_ids=ids)
    assert image.logits_per_image is None and image.text is None
    assert torch.equal(image.image_embeds, model.encode_image(**given))
    assert torch.equal(text.text_embeds, model.encode_text(ids))
    raw = model.encode_image(**given, normalize=False)
    torch.testing.assert_close(F.normalize(raw, dim=-1), image.image_embeds)
    with pytest.raises(ValueError, match="give pixel_values, input_ids or both"):
        model()


# ---- training, and other machines ----------------------------------------------------------------


def test_checkpointing_gives_the_same_gradients():
    found = []
    for checkpointing in (False, True):
        model = random_model().train()
        model.set_grad_checkpointing(checkpointing)
        assert model.vision_model.encoder.grad_checkpointing == checkpointing
        model(**inputs()).logits_per_image.square().sum().backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert gradient.abs().sum() > 0 or "k_proj.bias" in name, name
        torch.testing.assert_close(found[1][name], gradient)


def test_padding_gets_no_gradient():
    model, given = random_model(), images()
    given["pixel_values"].requires_grad_(True)
    model.encode_image(**given)[:, 0].sum().backward()
    gradient, keep = given["pixel_values"].grad, given["pixel_attention_mask"].bool()
    assert gradient[~keep].eq(0).all() and gradient[keep].abs().sum(-1).gt(0).all()


def test_a_locked_tower():
    model = random_model()
    model.lock("vision", unlocked_layers=1)
    learning = {n for n, p in model.vision_model.named_parameters() if p.requires_grad}
    assert any(n.startswith("encoder.layers.2.") for n in learning)
    assert not any(n.startswith(("embeddings.", "encoder.layers.1.")) for n in learning)


@pytest.mark.slow
@torch.no_grad()
def test_export_with_an_open_batch():
    """Also with an open budget: neither is written into the program."""
    model, given = random_model(), inputs()
    dims = {"n_img": torch.export.Dim("n_img"), "budget": torch.export.Dim("budget", min=2)}
    shapes = {
        "pixel_values": {0: dims["n_img"], 1: dims["budget"]},
        "pixel_attention_mask": {0: dims["n_img"], 1: dims["budget"]},
        "spatial_shapes": {0: dims["n_img"]},
        "input_ids": {0: torch.export.Dim("n_txt")},
    }
    program = torch.export.export(model, (), given, dynamic_shapes=shapes).module()
    for others in (inputs(texts=2, grids=[[3, 3], [1, 12]], budget=12), inputs(budget=40)):
        torch.testing.assert_close(
            program(**others).logits_per_image, model(**others).logits_per_image
        )


def test_nothing_waits_for_a_gpu():
    model, given = random_model().train(), inputs()
    with NothingIsRead():
        model(**given).logits_per_image.sum().backward()
    with FakeTensorMode():
        assert SigLIP2(CONFIG)(**inputs()).logits_per_image.shape == (7, 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision(dtype):
    model, given = random_model(), inputs()
    expected = model(**given)
    half = random_model().to(dtype)
    assert half.logit_scale.dtype == torch.float32
    found = half(**given)
    assert found.vision.last_hidden_state.dtype == dtype
    assert found.logits_per_image.dtype == torch.float32
    torch.testing.assert_close(found.image_embeds, expected.image_embeds, atol=0.03, rtol=0)
    mixed = half(**{n: x.to(dtype) if x.is_floating_point() else x for n, x in given.items()})
    torch.testing.assert_close(mixed.image_embeds, expected.image_embeds, atol=0.03, rtol=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(
            model(**given).image_embeds, expected.image_embeds, atol=0.03, rtol=0
        )


@torch.no_grad()
def test_an_apple_gpu_is_enough():
    with NoFloat64():
        random_model()(**inputs())


def test_random_weights():
    first, second = (SigLIP2(CONFIG, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    config = shallow(siglip2.get_config("siglip2-base-patch16-naflex"), depth=1, vocab_size=9)
    patches = SigLIP2(config, seed=0)
    weight = patches.vision_model.embeddings.patch_embedding.weight
    assert weight.std().item() == pytest.approx(768**-0.5, rel=0.01)  # big_vision's, for a Dense
    assert patches.vision_model.embeddings.patch_embedding.bias.eq(0).all()


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"pixel_values": torch.zeros(7, 3, 20, 20)},
            ValueError,
            "a SigLIP of fixed size",
        ),
        ({"pixel_values": torch.zeros(7, 25, 47)}, ValueError, r"expected patches \[B, N, 48\]"),
        ({"pixel_values": torch.zeros(7, 0, 48)}, ValueError, "B, N >= 1"),
        ({"pixel_values": torch.zeros(7, 25, 48).int()}, TypeError, "expected floating point"),
        ({"pixel_values": [1]}, TypeError, "list and Tensor; expected tensors"),
        ({"spatial_shapes": None}, TypeError, "Tensor and NoneType"),
        ({"spatial_shapes": torch.ones(7, 2)}, TypeError, "expected integers"),
        ({"spatial_shapes": torch.ones(6, 2).int()}, ValueError, r"\[7, 2\]"),
        ({"pixel_attention_mask": None}, TypeError, "pixel_attention_mask is a NoneType"),
        ({"pixel_attention_mask": torch.ones(7, 24)}, ValueError, r"expected \[7, 25\]"),
    ],
)
def test_other_inputs_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        random_model()(**images() | change)


def test_other_configs_are_refused():
    with pytest.raises(TypeError, match="expected a SigLIPConfig"):
        SigLIP2("siglip2-base-patch16-naflex")
    with pytest.raises(ValueError, match="those of fixed size are siglip_lab.SigLIP's"):
        siglip2.get_config("siglip2-base-patch16-224")
    with pytest.raises(ValueError, match="use siglip_lab.siglip2.get_config"):
        sl.get_config("google/siglip2-base-patch16-naflex")


def test_random_weights_are_siglips():
    """Of one seed, number for number; a patch's are in another arrangement."""
    naflex, square = SigLIP2(CONFIG, seed=3).state_dict(), sl.SigLIP(CONFIG, seed=3).state_dict()
    assert naflex.keys() == square.keys()
    for name, tensor in square.items():
        assert torch.equal(naflex[name].flatten(), tensor.flatten()), name
