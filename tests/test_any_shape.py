"""Drawings of any shape, and tiny in the form that reads them."""

import pytest
import torch

import siglip_lab as sl
from siglip_lab import siglip2
from siglip_lab.toy.any_shape import ASPECTS, flexible, flexible_processor, training_batch
from siglip_lab.toy.evaluation import naming_test
from siglip_lab.toy.shapes_world import CANVAS, Combination, draw, random_scene


@pytest.fixture(scope="module")
def tiny():
    return sl.SigLIP.from_pretrained("tiny")


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_drawing_has_its_shape_and_the_area_of_all(aspect):
    image = draw(random_scene(0, aspect=aspect))
    assert image.width / image.height == pytest.approx(aspect, rel=0.02)
    assert image.width * image.height == pytest.approx(CANVAS**2, rel=0.02)


@pytest.mark.parametrize("aspect", ASPECTS)
def test_objects_keep_clear_of_the_edge_and_of_each_other(aspect):
    """What is drawn has the area of four whole squares."""
    for seed in range(20):
        scene = random_scene(seed, Combination(4, "red", "square"), aspect)
        image = draw(scene)
        ink = {n: colour for n, colour in image.getcolors()}
        drawn = next(n for n, colour in ink.items() if colour == scene.fill)
        expected = sum(2 * (1.12 * radius * CANVAS) ** 2 for radius in scene.radii)
        assert drawn == pytest.approx(expected, rel=0.12)  # nothing hidden, nothing cut
        columns = [
            image.getpixel((x, y)) for x in (0, image.width - 1) for y in range(image.height)
        ]
        assert set(columns) == {scene.background}


def test_sides_are_those_of_the_picture():
    scenes = [random_scene(seed, Combination(1, "blue", "star"), 4) for seed in range(200)]
    for scene in scenes:
        ((x, y),) = scene.centres
        assert ("left" in scene.sides) == (x < 0.5) and ("bottom" in scene.sides) == (y > 0.5)


@pytest.mark.parametrize("aspect", [0.2, 5, 0, float("nan")])
def test_shapes_beyond_what_holds_an_object_are_refused(aspect):
    with pytest.raises(ValueError, match="from 1/4 to 4"):
        random_scene(0, aspect=aspect)


def test_square_scenes_are_what_they_were():
    """To the last bit, as tiny has learned them and the page draws them."""
    scene = random_scene(7, Combination(2, "red", "circle"))
    assert scene.centres == (
        (0.6252201622484097, 0.3842666696182237),
        (0.2399590202144049, 0.5949299154938741),
    )


def test_the_flexible_form_computes_what_the_square_one_does(tiny):
    """On the 36 x 36 pixels that tiny sees, each in its own layout."""
    new, x = flexible(tiny), torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    patches = x[:, :, :36, :36].unflatten(3, (6, 6)).unflatten(2, (6, 6))  # B, 3, R, P, C, P
    patches = patches.permute(0, 2, 4, 3, 5, 1).reshape(2, 36, 108)
    mask, grids = torch.ones(2, 36, dtype=torch.int32), torch.full((2, 2), 6)
    with torch.no_grad():
        expected, found = tiny.encode_image(x), new.encode_image(patches, mask, grids)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.equal(new.logit_bias, tiny.logit_bias) and not new.training


def test_it_names_long_drawings_that_squashing_spoils(tiny):
    test, processor = naming_test(n=100, aspect=4), sl.Processor.from_pretrained("tiny")
    new = flexible(tiny)
    texts = sl.embed_texts(tiny, processor, test.texts)
    kept = sl.embed_images(new, flexible_processor(processor, new), test.drawings)
    assert test.accuracy(sl.embed_images(tiny, processor, test.drawings), texts) < 0.2
    assert test.accuracy(kept, texts) > 0.8


def test_the_processor_has_the_tables_budget(tiny):
    new = flexible(tiny)
    processor = flexible_processor(sl.Processor.from_pretrained("tiny"), new)
    assert (processor.max_num_patches, processor.patch_size) == (36, 6)
    assert isinstance(processor, siglip2.Processor)


def test_training_batches_depend_on_their_arguments_alone():
    batch, again = (training_batch(1, 2, 16, ASPECTS) for _ in range(2))
    assert batch.scenes == again.scenes and batch.texts == again.texts
    assert len({scene.aspect for scene in batch.scenes}) > 2
    assert bool(batch.labels.diagonal().all())
    assert training_batch(1, 3, 16, ASPECTS).texts != batch.texts
