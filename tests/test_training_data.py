"""Where pictures come from, what belongs together, and what is done to them first."""

import io
import json
import os
import pickle
import random
import re
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_pictures import COLOURS, coloured, pictures, small_processor, write_folder

from siglip_lab.training import (
    Pairs,
    Picture,
    TrainConfig,
    open_pairs,
    read_captions,
    read_class_folders,
    read_dataset,
    read_shards,
)
from siglip_lab.training import augmentation as a
from siglip_lab.training.data import Batches

PROCESSOR = small_processor()


def said(pairs):
    return {picture.name: picture.captions for picture in pairs}


def write(path: Path, text: str, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, **{"encoding": "utf-8", **options})


# ---- a folder with a list ------------------------------------------------------------------------


def test_a_csv_with_several_rows_a_picture(tmp_path):
    pairs = open_pairs(write_folder(tmp_path, 6))
    assert len(pairs) == 6 and not pairs.left_out
    assert pairs[0].captions == ("A red square, number 0", "red")
    assert pairs[1].captions == ("A green square, number 1",)
    assert np.array_equal(np.asarray(pairs[3].open()), np.asarray(coloured(3)))


def test_json_lines_say_the_same(tmp_path):
    write_folder(tmp_path, 6)
    expected = said(read_captions(tmp_path))
    (tmp_path / "captions.csv").unlink()
    rows = [{"file": name, "caption": list(texts)} for name, texts in expected.items()]
    write(tmp_path / "captions.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    assert said(open_pairs(tmp_path)) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_spreadsheets_write_this(tmp_path, encoding):
    write_folder(tmp_path, 2)
    text = 'File,Caption,group\r\n0.png,"Rouge, très ""rouge""",a\r\n1.png,  vert ,a\r\n\r\n'
    write(tmp_path / "captions.csv", text, encoding=encoding, newline="")
    pairs = open_pairs(tmp_path)
    assert said(pairs) == {"0.png": ('Rouge, très "rouge"',), "1.png": ("vert",)}
    assert pairs.grouped and pairs.ids(pairs[0]) == pairs.ids(pairs[1]) == (0,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Captions.CSV", "file,caption\n0.png,red\n"),
        ("metadata.csv", "file_name,text\n0.png,red\n"),
        ("metadata.jsonl", '{"file_name": "0.png", "text": "red"}\n'),
    ],
)
def test_lists_of_other_names_are_read_and_said(tmp_path, name, text):
    write_folder(tmp_path, 1)
    (tmp_path / "captions.csv").unlink()
    write(tmp_path / name, text)
    pairs = open_pairs(tmp_path)
    assert said(pairs) == {"0.png": ("red",)} and pairs.how.endswith(f": {name}")


def test_a_text_beside_each_picture(tmp_path):
    write_folder(tmp_path, 3)
    (tmp_path / "captions.csv").unlink()
    write(tmp_path / "0.txt", "red\na red square\n\n")
    with pytest.raises(ValueError, match=r"no \.txt beside .*it has 0\.txt") as caught:
        open_pairs(tmp_path)  # one of three: not meant so
    assert len(str(caught.value)) <= 300
    write(tmp_path / "1.txt", "green")
    pairs = open_pairs(tmp_path)
    assert said(pairs) == {"0.png": ("red", "a red square"), "1.png": ("green",)}
    assert pairs.left_out == {"2.png": "no caption"} and ".txt" in pairs.how
    (tmp_path / "1.txt").write_bytes(b"tr\xe8s")
    with pytest.raises(ValueError, match="not UTF-8"):
        open_pairs(tmp_path)


def test_an_unquoted_comma_is_refused_with_its_line(tmp_path):
    write_folder(tmp_path, 2)
    list_ = tmp_path / "captions.csv"
    write(list_, 'file,caption\n0.png,"a cat, asleep"\n1.png,a dog, awake\n')
    with pytest.raises(ValueError, match="line 3 has 3 fields, the header 2: put a") as caught:
        open_pairs(tmp_path)
    assert len(str(caught.value)) <= 300
    write(list_, "file,caption\n0.png,red,,\n1.png,green\n")  # what spreadsheets leave behind
    assert said(open_pairs(tmp_path)) == {"0.png": ("red",), "1.png": ("green",)}
    write(list_, 'file,caption\n0.png,red\n1.png,"green\n')
    with pytest.raises(ValueError, match="after line 2: .*quote that is not closed") as caught:
        open_pairs(tmp_path)
    assert len(str(caught.value)) <= 300


def test_names_that_are_nearly_right(tmp_path):
    write_folder(tmp_path, 6)
    (tmp_path / "day").mkdir()
    coloured(1).save(tmp_path / "day" / "7.png")
    write(tmp_path / "captions.csv", "file,caption\n0.PNG,red\nday\\7.png,green\n2.png,blue\n")
    pairs = open_pairs(tmp_path)
    assert said(pairs) == {"day/7.png": ("green",), "2.png": ("blue",)}
    assert pairs.left_out["0.PNG"] == "there is no such file (for 0.PNG: did you mean 0.png?)"
    write(tmp_path / "captions.csv", "file,caption\n7.jpg,red\n")
    with pytest.raises(ValueError, match=r"for 7\.jpg: did you mean day/7\.png\?") as caught:
        open_pairs(tmp_path)
    assert len(str(caught.value)) <= 300


def test_what_is_alone_is_left_out_and_named(tmp_path):
    write_folder(tmp_path, 6)
    (tmp_path / "2.png").unlink()
    coloured(9).save(tmp_path / "alone.png")
    with open(tmp_path / "captions.csv", "a") as file:
        file.write("4.png,\nmissing.png,\n")
    pairs = open_pairs(tmp_path)
    missing = "there is no such file"
    assert pairs.left_out == {
        "2.png": missing, "missing.png": "no caption", "alone.png": "no caption"
    }  # fmt: skip
    assert len(pairs) == 5
    with pytest.raises(ValueError, match="3 entries are no pairs, there is no such file: 2.png"):
        open_pairs(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("captions.csv", "a.png,red\n", 'has the columns a.png, red; expected "file" and "cap'),
        ("captions.csv", "file;caption\n0.png;red\n", "separated by a comma"),
        ("captions.csv", "", "has the columns none"),
        ("captions.csv", "file,caption\nx.png,red\ny.png,blue\n", "none of its 2 rows"),
        ("captions.csv", "file,caption\n0.png,\n1.png,\n", "none of its 2 rows"),
        ("captions.csv", b"file,caption\n0.png,tr\xe8s\n", "not UTF-8"),
        ("captions.jsonl", '{"file": "0.png"', "line 1: expected"),
        ("captions.jsonl", '[1, 2]', "line 1: expected"),
        ("captions.jsonl", '{"file": "0.png", "caption": 3}', "line 1: expected"),
        ("captions.jsonl", '{"name": "0.png", "caption": "red"}', "has the columns name, caption"),
    ],
)  # fmt: skip
def test_lists_that_cannot_be_read(tmp_path, name, text, message):
    write_folder(tmp_path, 2)
    (tmp_path / "captions.csv").unlink()
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError) as caught:
        open_pairs(tmp_path)
    assert message in str(caught.value) and len(str(caught.value)) <= 300


def test_places_without_data(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        open_pairs(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"has no captions.csv .* rows of file,caption"):
        open_pairs(tmp_path / "empty")
    write_folder(tmp_path, 2)
    write(tmp_path / "captions.jsonl", "{}")
    with pytest.raises(ValueError, match="has captions.csv and captions.jsonl: keep one"):
        open_pairs(tmp_path)


def test_a_file_instead_of_a_folder(tmp_path):
    write_folder(tmp_path, 2)
    for name in ("captions.csv", "0.png"):
        with pytest.raises(ValueError, match="is a file: give the folder that holds it") as caught:
            open_pairs(tmp_path / name)
        assert len(str(caught.value)) <= 300


def test_lists_in_folders_within_are_no_classes(tmp_path):
    write_folder(tmp_path / "one" / "day0", 2)
    write_folder(tmp_path / "one" / "day1", 2)
    with pytest.raises(ValueError, match=r"day0.captions\.csv \(2 in all\)") as caught:
        open_pairs(tmp_path)
    assert len(str(caught.value)) <= 300


# ---- class folders -------------------------------------------------------------------------------


def test_class_folders_with_templates(tmp_path):
    for i in range(6):
        path = tmp_path / ("red_ones", "blue")[i % 2] / "deep" / f"{i}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        coloured(i).save(path)
    coloured(9).save(tmp_path / "alone.png")
    write(tmp_path / "blue" / "notes.txt", "no picture")
    pairs = open_pairs(tmp_path, ["a {}.", "{}!"])
    assert len(pairs) == 6 and pairs.left_out == {"alone.png": "no caption"}
    assert pairs.texts == {"blue": ("a blue.", "blue!"), "red ones": ("a red ones.", "red ones!")}
    assert pairs[0].group == "blue" and pairs.ids(pairs[0]) == (0,)
    assert pairs.how.endswith(': class folders: 2 classes, "a blue."')
    with pytest.raises(ValueError, match="has no {}"):
        read_class_folders(tmp_path, ["a photo"])


# ---- shards --------------------------------------------------------------------------------------


def encoded(i: int) -> bytes:
    buffer = io.BytesIO()
    coloured(i).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path: Path, samples: list[dict]) -> None:
    """As webdataset's TarWriter does."""
    with tarfile.open(path, "w") as tar:
        for sample in samples:
            for ending, content in sample.items():
                if ending == "__key__":
                    continue
                member = tarfile.TarInfo(f"{sample['__key__']}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


SAMPLES = [
    {"__key__": "a/000", "png": encoded(0), "txt": b"red\n"},
    {"__key__": "a/001", "png": encoded(1), "json": b'{"captions": ["green", "leaf"]}'},
    {"__key__": "a/002", "txt": b"blue"},
    {"__key__": "a/003", "png": encoded(3)},
]


def test_shards(tmp_path):
    write_shard(tmp_path / "one-000.tar", SAMPLES)
    write_shard(tmp_path / "one-001.tar", [{"__key__": "4", "png": encoded(4), "txt": b"white"}])
    pairs = open_pairs(tmp_path)
    assert said(pairs) == {
        "one-000.tar/a/000": ("red",), "one-000.tar/a/001": ("green", "leaf"),
        "one-001.tar/4": ("white",),
    }  # fmt: skip
    assert pairs.left_out == {
        "one-000.tar/a/002": "there is no picture", "one-000.tar/a/003": "no caption"
    }  # fmt: skip
    assert np.array_equal(np.asarray(pairs[2].open()), np.asarray(coloured(4)))
    assert said(open_pairs(tmp_path / "one-001.tar")) == {"one-001.tar/4": ("white",)}
    assert pickle.loads(pickle.dumps(pairs[0])).open().size == pairs[0].open().size  # workers


def test_shards_that_webdataset_wrote(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "%03d.tar"), maxcount=2, verbose=0) as shards:
        for i in range(5):
            picture = np.asarray(coloured(i))
            shards.write({"__key__": f"{i:05}", "png": picture, "json": {"caption": COLOURS[i]}})
    pairs = open_pairs(tmp_path)
    assert [p.captions for p in pairs] == [(COLOURS[i],) for i in range(5)]
    assert np.array_equal(np.asarray(pairs[3].open()), np.asarray(coloured(3)))


def test_shards_that_are_damaged(tmp_path):
    write_shard(tmp_path / "one.tar", SAMPLES)
    whole = (tmp_path / "one.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:1300])
    (tmp_path / "none.tar").write_bytes(b"nonsense" * 100)
    write_shard(tmp_path / "bad.tar", [{"__key__": "x", "png": encoded(0), "json": b"{"}])
    write_shard(tmp_path / "alone.tar", SAMPLES[2:])
    for name, message in (
        ("cut", "whole, uncompressed tar|no key of the shards"), ("none", "uncompressed tar"),
        ("bad", "expected UTF-8 text"), ("alone", "no key of the shards"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message) as caught:
            read_shards([tmp_path / f"{name}.tar"])
        assert len(str(caught.value)) <= 300


def test_a_shard_that_is_cut_off_anywhere_is_refused(tmp_path):
    samples = [{"__key__": f"{i}", "png": encoded(i), "txt": b"red"} for i in range(3)]
    write_shard(tmp_path / "one.tar", samples)
    whole = (tmp_path / "one.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        begins = tar.getmembers()[2].offset  # of the second picture
    for end in (begins - 100, begins, begins + 300, begins + 512, begins + 600):
        (tmp_path / "one.tar").write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"one.tar is no whole, uncompressed tar"):
            read_shards([tmp_path / "one.tar"])


# ---- a data set of Hugging Face ------------------------------------------------------------------


@pytest.fixture
def datasets():
    os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    return pytest.importorskip("datasets")


def hugging_face(datasets, **columns):
    features = {"image": datasets.Image()}
    images = [{"bytes": encoded(i), "path": None} for i in range(4)]
    features |= {name: feature for name, (feature, _) in columns.items()}
    content = {"image": images} | {name: values for name, (_, values) in columns.items()}
    return datasets.Dataset.from_dict(content, features=datasets.Features(features))


def test_a_data_set_with_captions(datasets, tmp_path):
    text = datasets.Value("string")
    dataset = hugging_face(datasets, caption=(text, ["red", "green", " ", "black"]))
    pairs = read_dataset(dataset)
    assert said(pairs) == {"row 0": ("red",), "row 1": ("green",), "row 3": ("black",)}
    assert pairs.left_out == {"row 2": "no caption"}
    assert np.array_equal(np.asarray(pairs[2].open()), np.asarray(coloured(3)))
    dataset.save_to_disk(str(tmp_path / "stored"))
    assert said(open_pairs(tmp_path / "stored")) == said(pairs)
    assert pickle.loads(pickle.dumps(pairs[0])).open().size == coloured(0).size


def test_a_data_set_with_lists_and_groups(datasets):
    text = datasets.Value("string")
    lists = datasets.Sequence(text) if hasattr(datasets, "Sequence") else [text]
    captions = [["red", "hot"], ["green"], ["blue"], ["black"]]
    dataset = hugging_face(
        datasets, texts=(lists, captions), kind=(text, ["warm", "cold", "cold", "none"])
    )
    pairs = read_dataset(dataset, caption="texts", group="kind")
    assert pairs[0].captions == ("red", "hot")
    assert pairs.texts == {"warm": ("red", "hot"), "cold": ("green", "blue"), "none": ("black",)}


def test_a_data_set_with_classes(datasets):
    names = datasets.ClassLabel(names=["warm_one", "cold"])
    pairs = read_dataset(hugging_face(datasets, label=(names, [0, 1, 0, 1])), templates=["a {}"])
    assert [p.captions for p in pairs] == [("a warm one",), ("a cold",)] * 2
    assert pairs.texts == {"warm one": ("a warm one",), "cold": ("a cold",)}


def test_data_sets_that_cannot_be_read(datasets):
    with pytest.raises(TypeError, match="expected a datasets.Dataset"):
        read_dataset([1, 2])
    dataset = hugging_face(datasets, words=(datasets.Value("string"), list("abcd")))
    with pytest.raises(TypeError, match="choose a split"):
        read_dataset(datasets.DatasetDict(train=dataset))
    with pytest.raises(ValueError, match="the columns image, words; expected 'caption'"):
        read_dataset(dataset)
    with pytest.raises(ValueError, match="expected 'photo'"):
        read_dataset(dataset, image="photo", caption="words")


def test_a_stored_data_set_without_the_extra(tmp_path, monkeypatch):
    write(tmp_path / "state.json", "{}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=re.escape("pip install 'siglip-lab[datasets]'")):
        open_pairs(tmp_path)


# ---- what belongs together -----------------------------------------------------------------------


def test_captions_that_the_tokenizer_takes_for_one_are_one():
    first = Picture("a", b"", ("A cat.", "Fur"))
    pairs = Pairs([first, Picture("b", b"", ("a CAT", "a cat!!"))])
    assert pairs.texts == {"a cat": ("A cat.",), "fur": ("Fur",)}
    assert pairs.ids(pairs[0]) == (0, 1) and pairs.ids(pairs[1]) == (0,)


def test_pairs_that_are_refused():
    one = pictures(1)[0]
    with pytest.raises(ValueError, match="no picture with a caption"):
        Pairs([])
    with pytest.raises(ValueError, match="captions must be a tuple"):
        Pairs([replace(one, captions="red")])
    with pytest.raises(ValueError, match="captions must be a tuple"):
        Pairs([replace(one, captions=())])
    with pytest.raises(TypeError, match="expected a string"):
        Pairs([replace(one, captions=(3,))])
    with pytest.raises(ValueError, match="either all pictures have a group"):
        Pairs([one, *pictures(2, group=True)])


def test_a_split_is_by_names_and_seed():
    pairs = Pairs(pictures(50))
    train, held = pairs.split(0.2, 0)
    assert (len(train), len(held)) == (40, 10)
    assert {p.name for p in train} | {p.name for p in held} == {p.name for p in pairs}
    shuffled = random.Random(0).sample(list(pairs), 50)
    again = Pairs(shuffled).split(10, 0)[1]
    assert {p.name for p in again} == {p.name for p in held}
    assert {p.name for p in pairs.split(10, 1)[1]} != {p.name for p in held}
    grouped = Pairs(pictures(50, group=True)).split(2, 0)[1]
    assert set(grouped.texts) == set(COLOURS)  # the names of all groups, also of those not in it


def test_an_epoch_shows_every_picture_once_in_another_order():
    data = Batches(Pairs(pictures(25)), PROCESSOR, 100, 6)
    epochs = [[i for step in range(e * 4, e * 4 + 4) for i in data.indices(step)] for e in (0, 1)]
    for epoch in epochs:
        assert len(set(epoch)) == 24
    assert epochs[0] != epochs[1]
    captions = {tuple(data[step].input_ids[0].tolist()) for step in range(40)}
    assert len(captions) > 15  # several a picture


def test_a_step_is_the_same_whenever_it_is_asked_for():
    data = Batches(Pairs(pictures(25)), PROCESSOR, 100, 6, seed=3, augment=a.coco_example)
    first = data[17]
    data[3]
    for name in ("pixel_values", "input_ids", "image_ids", "text_ids"):
        assert torch.equal(getattr(data[17], name), getattr(first, name))


def test_a_loop_over_batches_ends():
    assert len(list(Batches(Pairs(pictures(12)), PROCESSOR, 3, 4))) == 3


# ---- augmentation --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", a.AUGMENTATIONS)
def test_augmentations_give_pictures_and_follow_the_generator(name):
    augment, photo = a.AUGMENTATIONS[name], coloured(5).resize((40, 30))
    rng = random.Random(0)
    found = [augment(photo, rng) for _ in range(40)]
    assert all(image.mode == "RGB" and min(image.size) >= 2 for image in found)
    assert len({image.tobytes() for image in found}) > 1
    assert augment(photo, random.Random(7)).tobytes() == augment(photo, random.Random(7)).tobytes()
    assert photo.tobytes() == coloured(5).resize((40, 30)).tobytes()  # left as it was


def test_every_change_of_rand_augment_works_at_every_strength():
    photo = coloured(5).resize((31, 17))
    for change in a._CHANGES:
        for share in (0, 0.5, 1):
            assert change(photo, share, random.Random(0)).size == photo.size


def test_augmentations_in_turn_are_named_in_the_settings():
    both = a.chain(a.flip, a.random_crop)
    assert both(Image.new("RGB", (20, 20)), random.Random(0)).size != (20, 20)
    config = TrainConfig(augment=both)
    again = TrainConfig(augment=a.chain(a.flip, a.random_crop))
    other = TrainConfig(augment=a.chain(a.flip, a.jitter))
    assert config.to_dict() == again.to_dict() != other.to_dict()
    json.dumps(config.to_dict())
    assert pickle.loads(pickle.dumps(both)).args == both.args
