"""Public tests are read as their papers mean them, and measured as plain arithmetic says."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from small_pictures import COLOURS, coloured, small_model, small_processor, write_folder

import siglip_lab as sl
from siglip_lab import list_models, siglip2
from siglip_lab.cli import main
from siglip_lab.evaluate import (
    calibration_error,
    digits,
    expected,
    imagenet,
    karpathy,
    measure,
    open_test,
    reliability,
)
from siglip_lab.evaluate.authors import published
from siglip_lab.loading.pretrained import EMBEDDED
from siglip_lab.training import Pairs, Picture

SQUARE = Image.new("RGB", (8, 8))
MODEL, PROCESSOR = small_model(), small_processor()


# ---- ImageNet ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imagenet_folder(tmp_path_factory):
    """A thousand class folders, pictures in three of them."""
    folder = tmp_path_factory.mktemp("imagenet")
    for i in range(1000):
        (folder / "val" / f"n{i:08d}").mkdir(parents=True)
    for i in (0, 21, 999):
        picture = Image.new("RGB", (80, 40), "red")
        picture.paste("blue", (5, 2, 75, 38))  # 87.5 % of each side is 70 x 35
        picture.save(folder / "val" / f"n{i:08d}" / "a.png")
    return folder


def test_imagenet_names_go_by_the_order_of_the_folders(imagenet_folder):
    pairs = open_test(imagenet_folder)
    assert len(pairs) == 3 and len(pairs.texts) == 1000
    assert [pairs.ids(picture) for picture in pairs] == [(0,), (21,), (999,)]
    assert "a photo of a tench" in pairs[0].captions and "tench" in pairs[0].captions
    assert "a photo of the kite bird of prey" in pairs[1].captions  # without its brackets
    assert "a closeup photo of a toilet paper" in pairs[2].captions  # as big_vision deletes "-"
    assert len(pairs[0].captions) == 81


def test_classes_of_one_name_stay_two_classes(imagenet_folder):
    texts = open_test(imagenet_folder).texts
    assert texts["n00000657"] == texts["n00000744"]  # "missile", twice in OpenAI's list


def test_imagenet_looks_at_the_middle(imagenet_folder):
    picture = imagenet(imagenet_folder / "val")[0].open()
    assert picture.size == (70, 35)
    assert np.asarray(picture).reshape(-1, 3).max(0).tolist() == [0, 0, 255]  # no red is left
    assert imagenet(imagenet_folder / "val", crop=1)[0].open().size == (80, 40)


def test_imagenet_with_a_sentence_of_ones_own(imagenet_folder):
    assert open_test(imagenet_folder, ["A {}!"])[0].captions == ("a tench",)


def test_a_part_of_imagenet_is_refused(tmp_path):
    (tmp_path / "n01440764").mkdir()
    with pytest.raises(ValueError, match="has 1 of ImageNet's 1,000 class folders"):
        open_test(tmp_path)


def test_imagenet_without_pictures_is_refused(tmp_path):
    for i in range(1000):
        (tmp_path / f"n{i:08d}").mkdir()
    with pytest.raises(ValueError, match="hold no pictures"):
        open_test(tmp_path)


# ---- COCO and Flickr30k --------------------------------------------------------------------------


def write_karpathy(folder, n=6, name="dataset_coco.json"):
    (folder / "val2014").mkdir()
    rows = []
    for i in range(n):
        coloured(i).save(folder / "val2014" / f"{i}.png")
        said = [f"a {COLOURS[i % 6]} thing", f"number {i}", "a thing"]
        rows.append(
            {"filename": f"{i}.png", "split": "test" if i < n - 1 else "train",
             "sentences": [{"raw": text} for text in said]}
        )  # fmt: skip
    (folder / name).write_text(json.dumps({"images": rows}))
    return folder


@pytest.mark.parametrize("name", ["dataset_coco.json", "dataset_flickr30k.json"])
def test_karpathys_split(tmp_path, name):
    pairs = open_test(write_karpathy(tmp_path, name=name))
    assert [picture.name for picture in pairs] == [f"{i}.png" for i in range(5)]
    assert pairs[2].captions == ("a blue thing", "number 2", "a thing")
    assert len(pairs.texts) == 11  # what all say is one text, and true of all
    assert [picture.name for picture in karpathy(tmp_path / name, "train")] == ["5.png"]


def test_karpathys_split_with_other_words_or_without_pictures(tmp_path):
    path = write_karpathy(tmp_path) / "dataset_coco.json"
    with pytest.raises(ValueError, match=r"has the splits \['test', 'train'\]; got 'tset'"):
        karpathy(path, "tset")
    (tmp_path / "val2014" / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 5 pictures .* 3.png"):
        karpathy(path)
    path.write_text('{"annotations": []}')
    with pytest.raises(ValueError, match="is not as Karpathy wrote it"):
        karpathy(path)


# ---- measuring -----------------------------------------------------------------------------------


def test_accuracy_is_what_plain_arithmetic_says(tmp_path):
    """The best of ten mean text vectors, each of two sentences, counted by hand."""
    pairs = digits(["a photo of {}.", "{}"])
    found = measure(MODEL, PROCESSOR, pairs)
    images = sl.embed_images(MODEL, PROCESSOR, [picture.image for picture in pairs])
    texts = sl.embed_texts(
        MODEL, PROCESSOR, [t.format(d) for d in range(10) for t in ("a photo of {}.", "{}")]
    )
    means = texts.reshape(10, 2, -1).mean(1)
    best = (images @ (means / means.norm(dim=1, keepdim=True)).T).topk(5).indices
    own = torch.tensor([int(picture.group) for picture in pairs])
    assert found["name@1"] == pytest.approx((best[:, 0] == own).float().mean().item())
    assert found["name@5"] == pytest.approx((best == own[:, None]).any(1).float().mean().item())


def test_many_batches_count_their_broken_pictures(tmp_path, monkeypatch):
    """Those that were skipped are the list's own, whichever batch they were in."""
    monkeypatch.setattr("siglip_lab.training.measuring._BATCHES", 1)
    folder = write_folder(tmp_path, 12)
    for i in (2, 7, 11):
        (folder / f"{i}.png").write_bytes(b"broken")
    pairs = open_test(folder)
    found = measure(MODEL, PROCESSOR, pairs, batch_size=5)
    whole = [picture for i, picture in enumerate(pairs) if i not in (2, 7, 11)]
    images = sl.embed_images(MODEL, PROCESSOR, [picture.image for picture in whole])
    texts = sl.embed_texts(MODEL, PROCESSOR, [texts[0] for texts in pairs.texts.values()])
    best = (images @ texts.T).argmax(1).tolist()
    hits = [best[i] in pairs.ids(picture) for i, picture in enumerate(whole)]
    assert found["pictures"] == 9 and found["name@1"] == pytest.approx(np.mean(hits))


def test_a_picture_may_be_a_function_which_is_called_when_its_batch_is_read():
    called = []

    def function(i):
        def image():
            called.append(i)
            if i == 1:
                raise OSError("the disk is gone")
            return coloured(i)

        return image

    images = [function(0), coloured(3), function(1)]
    embeds, skipped = sl.embed_images(MODEL, PROCESSOR, images, on_error="skip")
    assert called == [0, 1] and skipped == {2: "images[2]: OSError: the disk is gone"}
    expected = sl.embed_images(MODEL, PROCESSOR, [coloured(0), coloured(3)])
    assert torch.equal(embeds, expected)
    with pytest.raises(ValueError, match=r"images\[2\]: OSError"):
        sl.embed_images(MODEL, PROCESSOR, images)


# ---- calibration ---------------------------------------------------------------------------------


def test_calibration_by_hand():
    p = torch.tensor([0.05, 0.15, 0.15, 1.0])
    true = torch.tensor([False, True, False, True])
    bins = reliability(p, true)
    assert bins.tolist() == [
        pytest.approx([1, 0.05, 0]), pytest.approx([2, 0.15, 0.5]), pytest.approx([1, 1, 1])
    ]  # fmt: skip
    assert calibration_error(p, true) == pytest.approx((0.05 + 2 * 0.35 + 0) / 4)


def test_a_constant_answer_is_calibrated_and_useless():
    assert calibration_error(torch.full((4,), 0.25), torch.tensor([True] + [False] * 3)) == 0


@pytest.mark.parametrize(
    ("probabilities", "true", "message"),
    [
        ([0.5, 0.5], [True], "one truth value for each probability"),
        ([], [], "at least one"),
        ([1.5], [True], "give the sigmoid of logits"),
        ([float("nan")], [True], "give the sigmoid of logits"),
    ],
)
def test_what_cannot_be_calibrated(probabilities, true, message):
    with pytest.raises(ValueError, match=message):
        reliability(torch.tensor(probabilities), torch.tensor(true, dtype=torch.bool))


# ---- what the authors measured -------------------------------------------------------------------


def whole(how, n):
    return Pairs((Picture(str(i), SQUARE, ("a",)) for i in range(n)), how=how)


def test_the_number_to_expect():
    coco = whole("dataset_coco.json, split test: 5,000 pictures", 5_000)
    for name in ("siglip2-base-patch16-224", "google/siglip2-base-patch16-224"):
        assert expected(name, coco) == pytest.approx({"name@1": 0.689, "find@1": 0.521})
    flickr = whole("dataset_flickr30k.json, split test: 1,000 pictures", 1_000)
    found = expected("siglip-so400m-patch14-384", flickr)
    assert found == pytest.approx({"name@1": 0.935, "find@1": 0.805})
    imagenet_ = whole("ImageNet: 50,000 pictures, 81 sentences a class", 50_000)
    assert expected("siglip-base-patch16-224", imagenet_) == pytest.approx({"name@1": 0.762})


@pytest.mark.parametrize(
    ("model", "how", "n"),
    [
        ("tiny", "dataset_coco.json, split test: 5,000 pictures", 5_000),
        ("siglip-base-patch16-224", "dataset_coco.json, split val: 5,000 pictures", 5_000),
        ("siglip-base-patch16-224", "dataset_coco.json, split test: 400 pictures", 400),
        (
            "siglip2-base-patch16-naflex",
            "dataset_flickr30k.json, split test: 1,000 pictures",
            1_000,
        ),
        ("siglip-base-patch16-256-multilingual", "ImageNet: 50,000 pictures, 81 sentences", 50_000),
    ],
)
def test_nothing_to_expect(model, how, n):
    assert expected(model, whole(how, n)) == {}


def test_published_rows_are_whole():
    table = published()
    names = {*list_models(), *list_models(version=2), *siglip2.list_models()}
    assert set(table["rows"]) == names - set(EMBEDDED)
    assert all(len(row) == len(table["columns"]) for row in table["rows"].values())


# ---- the command ---------------------------------------------------------------------------------


def test_command_with_classes(capsys):
    assert main(["evaluate", "digits", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 500 and found["texts"] == 10 and found["published"] == {}
    assert main(["evaluate", "digits", "--template", "{}"]) == 0
    said = capsys.readouterr().out
    assert "top-1 accuracy" in said and "recall" not in said and "among 10 classes" in said


def test_command_says_what_the_authors_measured(capsys, monkeypatch):
    monkeypatch.setattr(
        "siglip_lab.evaluate.command.expected", lambda model, test: {"name@1": 0.762}
    )
    assert main(["evaluate", "digits"]) == 0
    assert "the authors: 76.2%" in capsys.readouterr().out.splitlines()[1]


def test_command_with_captions(tmp_path, capsys):
    folder = write_folder(tmp_path, 8)
    (folder / "1.png").write_bytes(b"broken")
    assert main(["evaluate", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "text to image, recall@1" in said and "left out, unreadable or without a text: 1" in said
    assert main(["evaluate", str(folder), "--template", "a {}"]) == 1
    assert "--template is for names of classes" in capsys.readouterr().err


def test_command_without_data(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "no")]) == 1
    assert "there is no file or folder" in capsys.readouterr().err
