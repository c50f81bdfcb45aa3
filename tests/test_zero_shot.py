import pytest
import torch

import siglip_lab as sl
from siglip_lab.shapes_world import Combination, draw, random_scene


@pytest.fixture(scope="module")
def tiny():
    return sl.load_model("tiny"), sl.load_processor("tiny")


@pytest.fixture(scope="module")
def images():
    return [
        draw(random_scene(0, Combination(2, "red", "circle"))),
        draw(random_scene(0, Combination(1, "blue", "square"))),
        draw(random_scene(0, Combination(3, "green", "triangle"))),
    ]


LABELS = ["2 red circles", "a blue square", "3 green triangles"]


def test_true_labels_win(tiny, images):
    probabilities = sl.zero_shot(*tiny, images, LABELS)
    assert probabilities.shape == (3, 3)
    assert probabilities.argmax(1).tolist() == [0, 1, 2]


def test_equals_the_model_called_by_hand(tiny, images):
    model, processor = tiny
    inputs = processor(text=[f"This is a photo of {label}." for label in LABELS], images=images)
    with torch.no_grad():
        expected = model(**inputs).logits_per_image.sigmoid()
    torch.testing.assert_close(sl.zero_shot(*tiny, images, LABELS), expected, rtol=0, atol=1e-5)


def test_each_label_is_judged_on_its_own(tiny, images):
    alone = sl.zero_shot(*tiny, images, LABELS[:1])
    together = sl.zero_shot(*tiny, images, LABELS)[:, :1]
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)


def test_one_image_and_another_template(tiny, images):
    assert sl.zero_shot(*tiny, images[0], ["2 red circles"], template="{}").shape == (1, 1)


def test_embedding_in_batches_changes_nothing(tiny, images):
    whole = sl.embed_images(*tiny, images)
    parts = sl.embed_images(*tiny, images, batch_size=2)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-6)


def test_retrieve_finds_the_image_of_a_text(tiny, images):
    probabilities, indices = sl.retrieve(*tiny, LABELS, sl.embed_images(*tiny, images), k=2)
    assert indices[:, 0].tolist() == [0, 1, 2]
    assert (probabilities[:, 0] >= probabilities[:, 1]).all()


@pytest.mark.parametrize(
    ("labels", "template", "error", "message"),
    [
        ("2 red circles", "{}", TypeError, "labels is one string, '2 red circles'"),
        ([], "{}", ValueError, "labels is empty"),
        (["a cat"], "a photo", ValueError, "has no {} to put the label in"),
    ],
)
def test_wrong_labels(tiny, images, labels, template, error, message):
    with pytest.raises(error, match=message):
        sl.zero_shot(*tiny, images, labels, template=template)


def test_nothing_to_embed(tiny):
    with pytest.raises(ValueError, match="the list is empty"):
        sl.embed_images(*tiny, [])


@pytest.mark.parametrize("k", [0, 4])
def test_retrieve_needs_a_possible_k(tiny, images, k):
    with pytest.raises(ValueError, match=f"k is {k}; expected 1 to 3"):
        sl.retrieve(*tiny, "a red circle", sl.embed_images(*tiny, images), k=k)
