"""The shapes world: what is drawn is what is said, and what is held out stays out."""

import math
import random

import numpy as np
import pytest

from siglip_lab.toy import shapes_world as world
from siglip_lab.toy.data import training_batch
from siglip_lab.toy.shapes_world import Caption, Combination, draw, random_caption, random_scene


def scenes(n: int = 200) -> list[world.Scene]:
    """Scenes of combinations of every kind, the held-out ones included."""
    rng = random.Random("test")
    return [random_scene(rng, rng.choice(world.all_combinations())) for _ in range(n)]


def blobs(mask: np.ndarray) -> int:
    """The number of 8-connected regions of a boolean picture."""
    todo, found = {tuple(p) for p in np.argwhere(mask)}, 0
    while todo:
        found += 1
        stack = [todo.pop()]
        while stack:
            y, x = stack.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & todo
            todo -= near
            stack += near
    return found


@pytest.mark.parametrize("shape", world.SHAPES)
@pytest.mark.parametrize("count", world.COUNTS)
def test_as_many_blobs_are_drawn_as_the_label_says(shape, count):
    for seed in range(2):
        scene = random_scene(seed, Combination(count, "green", shape))
        assert blobs((np.array(draw(scene)) == scene.fill).all(axis=-1)) == count


def test_a_ring_has_a_hole_and_a_circle_has_none():
    for shape, regions in (("ring", 2), ("circle", 1)):
        scene = random_scene(0, Combination(1, "blue", shape))
        background = (np.array(draw(scene)) == scene.background).all(axis=-1)
        assert blobs(background) == regions


def test_a_picture_has_two_colours_and_the_objects_have_the_one_named():
    for scene in scenes():
        colours = {colour for _, colour in draw(scene).getcolors()}
        assert colours == {scene.fill, scene.background}
        distances = {name: math.dist(rgb, scene.fill) for name, rgb in world.COLOURS.items()}
        assert min(distances, key=distances.get) == scene.colour
        assert math.dist(scene.fill, scene.background) > 60


def test_objects_keep_apart_and_away_from_the_edge():
    for scene in scenes():
        drawn = np.array(draw(scene)) == scene.fill
        rows, columns = np.where(drawn.all(axis=-1))
        edge = world.CANVAS * 0.05
        assert min(rows.min(), columns.min()) > edge
        assert max(rows.max(), columns.max()) < world.CANVAS - edge
        spots = list(zip(scene.centres, scene.radii, strict=True))
        for i, (centre, radius) in enumerate(spots):
            for other, other_radius in spots[:i]:
                assert math.dist(centre, other) > 1.12 * (radius + other_radius)


def test_scenes_and_captions_follow_from_their_seeds():
    scene = random_scene(5)
    assert scene == random_scene(5) != random_scene(6)
    assert draw(scene).tobytes() == draw(random_scene(5)).tobytes()
    assert random_caption(scene, 1) == random_caption(scene, 1)


def test_a_plain_tuple_is_a_combination():
    assert random_scene(0, (2, "red", "circle")) == random_scene(0, Combination(2, "red", "circle"))


def test_every_kind_of_scene_occurs():
    drawn = [random_scene(seed) for seed in range(1000)]
    assert {scene.size for scene in drawn} == set(world.SIZES)
    assert {side for scene in drawn for side in scene.sides} == set(world.SIDES)
    assert any(not scene.sides for scene in drawn)
    for count in (1, 2):  # more large objects than two may not fit into one half
        on_sides = {(s.size, side) for s in drawn if s.count == count for side in s.sides}
        assert len(on_sides) == 8


def test_a_caption_is_true_of_its_scene_and_says_what_it_claims():
    for i, scene in enumerate(scenes(500)):
        caption = random_caption(scene, i)
        assert caption.is_true_of(scene)
        words = caption.text.split()
        for claim in (caption.colour, caption.size, caption.side):
            assert claim is None or claim in words
        named = {w for w in words if w in world.COLOURS}
        assert named == ({caption.colour} if caption.colour else set())
        if caption.shape is not None:
            assert {caption.shape, world.plural(caption.shape)} & set(words)
        if len(caption.counts) == 1:
            (count,) = caption.counts
            numbers = {1: {"a", "an", "1", "one"}, 2: {"2", "two"}, 3: {"3", "three"}}
            assert numbers.get(count, {"4", "four"}) & set(words)


def test_a_caption_is_false_of_a_scene_that_differs_in_what_it_claims():
    scene = random_scene(0, Combination(2, "red", "circle"))
    two = frozenset({2})
    assert Caption("", two, "red", "circle").is_true_of(scene)
    assert not Caption("", frozenset({3}), "red", "circle").is_true_of(scene)
    assert not Caption("", two, "blue", "circle").is_true_of(scene)
    assert not Caption("", two, "red", "square").is_true_of(scene)
    other_size = "small" if scene.size == "large" else "large"
    assert not Caption("", size=other_size).is_true_of(scene)
    for side in world.SIDES:
        assert Caption("", side=side).is_true_of(scene) == (side in scene.sides)


def test_labels_are_english_and_distinct():
    labels = [combination.label for combination in world.all_combinations()]
    assert len(set(labels)) == 320
    assert {"a blue square", "2 red circles", "an orange star", "4 pink crosses"} <= set(labels)


def test_the_held_out_combinations_are_a_tenth_of_two_kinds():
    triples, pairs = (world.held_out_combinations(kind) for kind in ("triples", "pairs"))
    assert len(triples) == len(pairs) == 16 and not triples & pairs
    assert world.held_out_combinations() == triples | pairs
    training = set(world.training_combinations())
    assert training == set(world.all_combinations()) - triples - pairs
    seen_pairs = {(c.colour, c.shape) for c in training}
    assert not seen_pairs & world.held_out_pairs()
    assert all((c.colour, c.shape) in seen_pairs for c in triples)
    assert all((c.colour, c.shape) in world.held_out_pairs() for c in pairs)
    # The parts of a held-out combination are all known.
    assert {(c.count, c.colour) for c in training} == {
        (n, colour) for n in world.COUNTS for colour in world.COLOURS
    }
    assert {(c.count, c.shape) for c in training} == {
        (n, shape) for n in world.COUNTS for shape in world.SHAPES
    }


def test_training_neither_shows_nor_names_what_is_held_out():
    held_out = world.held_out_combinations()
    for step in range(60):
        batch = training_batch(seed=0, step=step, batch_size=100)
        assert not {scene.combination for scene in batch.scenes} & held_out
        for caption in batch.captions:
            if caption.colour and caption.shape:
                named = {Combination(n, caption.colour, caption.shape) for n in caption.counts}
                assert len(named) > 1 or not named & held_out
                assert (caption.colour, caption.shape) not in world.held_out_pairs()


def test_what_is_unknown_is_refused():
    with pytest.raises(ValueError, match="not in all_combinations"):
        random_scene(0, Combination(5, "red", "circle"))
    with pytest.raises(ValueError, match="pairs"):
        world.held_out_combinations("colours")
