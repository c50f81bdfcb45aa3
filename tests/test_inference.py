import io

import numpy as np
import pytest
import torch
from parity import NoFloat64
from torch import nn
from torch.optim.swa_utils import AveragedModel
from transformers import SiglipModel, SiglipProcessor

import siglip_lab as sl
from siglip_lab.processor import Processor
from siglip_lab.toy.shapes_world import Combination, draw, random_scene


@pytest.fixture(scope="module")
def tiny():
    return sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")


@pytest.fixture(scope="module")
def images():
    return [
        draw(random_scene(0, Combination(2, "red", "circle"))),
        draw(random_scene(0, Combination(1, "blue", "square"))),
        draw(random_scene(0, Combination(3, "green", "triangle"))),
    ]


SHAPE = {"width": 64, "depth": 1, "num_heads": 1, "mlp_dim": 64}
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
        ("2 red circles", "{}", TypeError, "labels is '2 red circles'"),
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
    with pytest.raises(ValueError, match=r"^images\[3\]: image of 6 bytes is not"):
        sl.embed_images(*tiny, mixed, batch_size=2)
    with pytest.raises(FileNotFoundError, match=r"^images\[4\]: there is no file"):
        sl.embed_images(*tiny, images + mixed[:1] + mixed[4:], batch_size=4)
    with pytest.raises(ValueError, match=r"^images\[40\]: "):
        sl.zero_shot(*tiny, images[:1] * 40 + [b"broken"], LABELS)


def test_a_text_too_long_is_counted_in_the_whole_list():
    vision, text = sl.VisionConfig(32, 8, **SHAPE), sl.TextConfig(49408, 77, **SHAPE)
    model = sl.clip.CLIP(sl.clip.CLIPConfig(vision, text, 32))
    inputs = sl.clip.Processor(sl.clip.Tokenizer(), 32)
    with pytest.raises(ValueError, match=r"^texts\[3\]"):
        inputs(text=["a cat"] * 3 + ["a " * 200], truncate=False)
    assert sl.embed_texts(model, inputs, ["a " * 200], batch_size=2).shape == (1, 32)


def test_texts_are_checked_before_images_are_embedded(tiny, images):
    def refuse(texts, truncate):
        raise ValueError("too long")

    reads = Processor(refuse, tiny[1].image_size)
    with pytest.raises(ValueError, match="too long"):
        sl.zero_shot(tiny[0], reads, "gone.png", LABELS)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_cannot_be_read_are_skipped_and_named(tiny, images, workers, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    mixed = [images[0], b"broken", images[1], "gone.png", images[2], tmp_path / "notes.txt"]
    found, skipped = sl.embed_images(
        *tiny, mixed, batch_size=2, num_workers=workers, on_error="skip"
    )
    torch.testing.assert_close(found, sl.embed_images(*tiny, images), rtol=0, atol=1e-6)
    assert sorted(skipped) == [1, 3, 5]
    assert "gone.png" in skipped[3] and "notes.txt" in skipped[5]
    with pytest.raises(ValueError, match=r"^images\[1\]"):
        sl.embed_images(*tiny, mixed, batch_size=2, num_workers=workers)


def test_what_is_no_image_is_never_skipped(tiny, images):
    for wrong in (None, 3, [images[0], {"a": 1}]):
        with pytest.raises(TypeError):
            sl.embed_images(*tiny, wrong, on_error="skip")


def test_numpys_integers_are_integers(tiny, images):
    embeds = sl.embed_images(*tiny, images, batch_size=np.int64(2))
    assert sl.retrieve(*tiny, "a red circle", embeds, k=np.int64(2))[1].shape == (1, 2)


def test_nothing_but_broken_images_gives_no_rows(tiny):
    found, skipped = sl.embed_images(*tiny, [b"1", b"2"], on_error="skip")
    assert found.shape == (0, 72) and len(skipped) == 2
    with pytest.raises(ValueError, match="on_error"):
        sl.embed_images(*tiny, [b"1"], on_error="ignore")


def test_images_from_any_collection(tiny, images):
    expected = sl.embed_images(*tiny, images)
    assert torch.equal(sl.embed_images(*tiny, (image for image in images)), expected)
    one = sl.embed_images(*tiny, np.asarray(images[0]))
    torch.testing.assert_close(one, expected[:1], rtol=0, atol=1e-6)


def test_the_callers_random_numbers_stay_theirs(tiny, images):
    torch.manual_seed(0)
    sl.embed_images(*tiny, images)
    state = torch.get_rng_state()
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_to_embed(tiny):
    with pytest.raises(ValueError, match="no image"):
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_retrieve_takes_unit_vectors_of_any_precision(tiny, images, dtype):
    embeds = sl.embed_images(*tiny, images)
    expected = sl.retrieve(*tiny, LABELS, embeds)
    probabilities, indices = sl.retrieve(*tiny, LABELS, embeds.to(dtype))
    assert torch.equal(indices, expected[1]) and probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities, expected[0], rtol=0.1, atol=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row * 12, r"image_embeds\[1\] has length 12; .*functional.normalize"),
        (lambda row: row * 1.02, "has length 1.02; expected unit vectors: use embed_images"),
        (lambda row: row * 0, "has length 0; "),
        (lambda row: row * float("nan"), "has length nan"),
        (lambda row: row / 0, "has length nan|has length inf"),
    ],
)
def test_retrieve_needs_unit_vectors(tiny, images, change, message):
    embeds = sl.embed_images(*tiny, images)
    embeds[1] = change(embeds[1])
    for given in (embeds, embeds.double().numpy()):
        with pytest.raises(ValueError, match=message):
            sl.retrieve(*tiny, LABELS, given)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_retrieve_takes_no_integers(tiny, images, dtype):
    embeds = (sl.embed_images(*tiny, images) * 127).to(dtype)
    with pytest.raises(TypeError, match=f"image_embeds are {dtype}; expected floating point"):
        sl.retrieve(*tiny, LABELS, embeds)


def test_an_array_of_doubles_needs_no_float64_on_the_device(tiny, images):
    stored = sl.embed_images(*tiny, images).double()
    with NoFloat64():
        assert sl.retrieve(*tiny, LABELS, stored)[0].dtype == torch.float32


# ---- models and processors of another kind -------------------------------------------------------


def uses(images):
    """Everything that takes a model and a processor."""
    return {
        "zero_shot": lambda m, p: sl.zero_shot(m, p, images, LABELS),
        "embed_images": lambda m, p: sl.embed_images(m, p, images),
        "embed_texts": lambda m, p: sl.embed_texts(m, p, LABELS),
        "retrieve": lambda m, p: sl.retrieve(m, p, LABELS, torch.eye(3, 72))[0],
    }


class Parallel(nn.Module):
    """Holds a model as DistributedDataParallel does, without a process group."""

    def __init__(self, module):
        super().__init__()
        self.module = module


@pytest.mark.parametrize("use", uses(None))
@pytest.mark.parametrize("wrap", [nn.DataParallel, AveragedModel, Parallel])
def test_wrapped_models_are_refused(tiny, images, use, wrap):
    model, processor = tiny
    for wrapped in (wrap(model), torch.compile(wrap(model), backend="eager")):
        with pytest.raises(TypeError, match=f"^model is a {wrap.__name__}; .* pass model.module$"):
            uses(images)[use](wrapped, processor)


@pytest.mark.parametrize("use", uses(None))
def test_compiled_models_work(tiny, images, use):
    model, processor = tiny
    found = uses(images)[use](torch.compile(model, backend="eager"), processor)
    assert torch.equal(found, uses(images)[use](model, processor))


@pytest.mark.parametrize("use", uses(None))
def test_models_and_processors_that_are_none(tiny, images, use):
    call, (model, processor) = uses(images)[use], tiny
    with pytest.raises(TypeError, match="^processor is a SigLIP; expected the model and its Proce"):
        call(processor, model)
    with pytest.raises(TypeError, match="processor is a SiglipProcessor; .*from_pretrained"):
        call(model, SiglipProcessor.__new__(SiglipProcessor))
    with pytest.raises(TypeError, match="processor is a Tokenizer"):
        call(model, processor.tokenizer)
    with pytest.raises(TypeError, match="model is a VisionTower; .*from_pretrained"):
        call(model.vision_model, processor)
    with pytest.raises(TypeError, match="model is a SiglipModel; expected this library's"):
        call(SiglipModel.__new__(SiglipModel), processor)
    with pytest.raises(TypeError, match="model is a str"):
        call("tiny", processor)


def test_rows_that_the_model_was_not_trained_on_are_refused(tiny, images):
    model, processor = tiny
    cut = Processor(lambda text, truncate: processor.tokenizer(text)[:, :9], 40)
    for call in (sl.embed_texts, lambda m, p, t: sl.zero_shot(m, p, images, t)):
        with pytest.raises(ValueError, match="pads texts to 9 tokens, the model reads 16"):
            call(model, cut, LABELS)
    with pytest.raises(ValueError, match="77 tokens a text, but the model has 16 positions"):
        sl.embed_texts(model, Processor(sl.clip.Tokenizer(), 40), LABELS)


def test_ids_that_the_model_does_not_have_are_refused_before_it_runs(tiny):
    foreign = Processor(sl.clip.Tokenizer(context_length=16), 40)
    with pytest.raises(ValueError, match="vocabulary from 0 to .* another model") as caught:
        sl.embed_texts(tiny[0], foreign, LABELS)
    assert caught.value.__context__ is None  # no lookup has failed, as it would on a GPU
    lists = Processor(lambda text, truncate: [[1] * 16] * len(text), 40)
    with pytest.raises(TypeError, match="input_ids are of type list; expected a tensor"):
        sl.embed_texts(tiny[0], lists, LABELS)


def test_clip_reads_rows_without_their_padding():
    vision, text = sl.VisionConfig(32, 8, **SHAPE), sl.TextConfig(49408, 77, **SHAPE)
    model = sl.clip.CLIP(sl.clip.CLIPConfig(vision, text, 32)).eval()
    whole, short = (
        sl.embed_texts(model, sl.clip.Processor(sl.clip.Tokenizer(context_length=n), 32), LABELS)
        for n in (77, 8)
    )
    torch.testing.assert_close(whole, short)


@pytest.mark.parametrize("k", [2.0, "2", True])
def test_retrieve_needs_an_integer_k(tiny, k):
    with pytest.raises(TypeError, match="k must be an integer"):
        sl.retrieve(*tiny, "a red circle", torch.ones(3, 72), k=k)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_retrieve_needs_a_possible_k(tiny, images, k):
    with pytest.raises(ValueError, match=f"at least 1, got {k}|k is {k}, but there are 3 images"):
        sl.retrieve(*tiny, "a red circle", sl.embed_images(*tiny, images), k=k)


def test_a_processor_of_another_kind_is_refused(tiny, images):
    model, processor = tiny
    other = sl.clip.Processor(sl.clip.Tokenizer(context_length=16), 40)
    for call in (sl.embed_texts, sl.embed_images):
        with pytest.raises(ValueError, match="another kind"):
            call(model, other, LABELS)
    vision, text = sl.VisionConfig(32, 8, **SHAPE), sl.TextConfig(384, 16, **SHAPE)
    clip = sl.clip.CLIP(sl.clip.CLIPConfig(vision, text, 32))
    with pytest.raises(ValueError, match="another kind"):
        sl.zero_shot(clip, processor, images, LABELS)


def test_an_open_file_beside_a_broken_one_is_read(tiny, images):
    def opened(image):
        file = io.BytesIO()
        image.save(file, "PNG")
        file.seek(0)
        return file

    files = [opened(images[0]), io.BytesIO(b"broken"), opened(images[1])]
    found, skipped = sl.embed_images(*tiny, files, on_error="skip")
    torch.testing.assert_close(found, sl.embed_images(*tiny, images[:2]), rtol=0, atol=1e-6)
    assert list(skipped) == [1]
