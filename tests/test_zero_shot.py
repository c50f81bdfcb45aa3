import numpy as np
import pytest
import torch

import siglip_lab as sl
from siglip_lab.checkpoints import Processor
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
        (None, "{}", TypeError, "labels is None; expected a list of strings"),
        (["a cat", 1], "{}", TypeError, r"labels\[1\] is a int; expected a string"),
        (["a cat"], None, TypeError, "template is a NoneType; expected a string"),
        (["a cat"], ["{}", "a {}"], TypeError, "template is a list; expected a string"),
    ],
)
def test_wrong_labels(tiny, images, labels, template, error, message):
    with pytest.raises(error, match=message):
        sl.zero_shot(*tiny, images, labels, template=template)


@pytest.mark.parametrize("kind", [np.array, tuple, iter, dict.fromkeys])
def test_labels_and_texts_in_any_collection(tiny, images, kind):
    expected = sl.zero_shot(*tiny, images, LABELS)
    assert torch.equal(sl.zero_shot(*tiny, images, kind(LABELS)), expected)
    assert torch.equal(sl.embed_texts(*tiny, kind(LABELS)), sl.embed_texts(*tiny, LABELS))


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (None, TypeError, "expected a string or a list of strings"),
        (["a cat", None], TypeError, r"texts\[1\] is a NoneType"),
        (iter([]), ValueError, "the list of texts is empty"),
    ],
)
def test_wrong_texts(tiny, texts, error, message):
    with pytest.raises(error, match=message):
        sl.embed_texts(*tiny, texts)


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (None, TypeError)]
)
def test_wrong_batch_sizes(tiny, images, size, error):
    with pytest.raises(error, match="batch_size must be"):
        sl.embed_images(*tiny, images, batch_size=size)
    with pytest.raises(error, match="batch_size must be"):
        sl.embed_texts(*tiny, LABELS, batch_size=size)


def test_a_broken_image_is_counted_in_the_whole_list(tiny, images):
    mixed = [*images, b"broken", "gone.png"]
    with pytest.raises(ValueError, match=r"^images\[3\]: image of 6 bytes is not") as caught:
        sl.embed_images(*tiny, mixed, batch_size=2)
    assert "images[1]" not in str(caught.value.__cause__)
    with pytest.raises(FileNotFoundError, match=r"^images\[4\]: there is no file"):
        sl.embed_images(*tiny, images + mixed[:1] + mixed[4:], batch_size=4)
    with pytest.raises(ValueError, match=r"^images\[40\]: "):
        sl.zero_shot(*tiny, images[:1] * 40 + [b"broken"], LABELS)


def test_a_text_too_long_is_counted_in_the_whole_list():
    vision, text = sl.VisionConfig(32, 8, 64, 1, 1, 64), sl.TextConfig(49408, 77, 64, 1, 1, 64, 32)
    model = sl.clip.CLIP(sl.clip.CLIPConfig(vision, text))
    processor = Processor(sl.clip.Tokenizer(), 32, sl.clip.preprocess)
    with pytest.raises(ValueError, match=r"^texts\[3\]"):
        sl.embed_texts(model, processor, ["a cat"] * 3 + ["a " * 200], batch_size=2)


def test_texts_are_checked_before_images_are_embedded(tiny, images):
    def refuse(texts):
        raise ValueError("too long")

    reads = Processor(refuse, tiny[1].image_size)
    with pytest.raises(ValueError, match="too long"):
        sl.zero_shot(tiny[0], reads, "gone.png", LABELS)


def test_nothing_to_embed(tiny):
    with pytest.raises(ValueError, match="the list is empty"):
        sl.embed_images(*tiny, [])


def test_retrieve_takes_arrays_and_gives_five_or_all(tiny, images, tmp_path):
    embeds = sl.embed_images(*tiny, images)
    np.save(tmp_path / "embeds.npy", embeds.numpy())
    stored = np.load(tmp_path / "embeds.npy", mmap_mode="r")
    for ours, k3 in zip(sl.retrieve(*tiny, LABELS, stored),
                        sl.retrieve(*tiny, LABELS, embeds, k=3), strict=True):  # fmt: skip
        assert torch.equal(ours, k3)
    assert sl.retrieve(*tiny, LABELS, embeds.repeat(2, 1))[1].shape == (3, 5)


@pytest.mark.parametrize(
    ("embeds", "error", "message"),
    [
        (torch.ones(72), ValueError, r"shape \(72,\); expected \[n_img, 72\]"),
        (torch.ones(3, 71), ValueError, r"shape \(3, 71\)"),
        (np.ones((0, 72)), ValueError, "n_img >= 1"),
        (["a.png"], TypeError, "image_embeds are of type list; .*embed_images"),
    ],
)
def test_retrieve_needs_embeddings(tiny, embeds, error, message):
    with pytest.raises(error, match=message):
        sl.retrieve(*tiny, "a red circle", embeds)


@pytest.mark.parametrize("k", [2.0, "2", True])
def test_retrieve_needs_an_integer_k(tiny, k):
    with pytest.raises(TypeError, match="k must be an integer"):
        sl.retrieve(*tiny, "a red circle", torch.ones(3, 72), k=k)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_retrieve_needs_a_possible_k(tiny, images, k):
    with pytest.raises(ValueError, match=f"at least 1, got {k}|k is {k}, but there are 3 images"):
        sl.retrieve(*tiny, "a red circle", sl.embed_images(*tiny, images), k=k)
