"""The stored training on emoji: what runs share, what is counted, stopping and going on."""

import json

import pytest
import torch

from benchmarks import emoji_training

SMALL = ["--pictures", "64", "--only", "as recommended", "diagonal only", "--no-levels"]


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_average_precision_of_a_ranking():
    true = torch.tensor([True, False, True])
    scores = torch.tensor([3.0, 2.0, 1.0])
    assert emoji_training.average_precision(scores, true) == pytest.approx((1 + 2 / 3) / 2)


def test_sisters_differ_in_their_colour_only():
    names = [drawing.emoji for drawing in emoji_training.artists()["validation"]]
    families = emoji_training.colours(names)
    assert set(families) == {"* heart", "* book", "* circle", "* square"}
    assert {names[i].names["en"] for i in families["* book"]} == {
        "green book", "blue book", "orange book",
    }  # fmt: skip


def test_a_name_comes_up_as_often_as_all_keywords():
    drawing = emoji_training.artists()["train"][0]
    (picture,) = emoji_training.pairs([drawing])
    name, *keywords = drawing.emoji.captions()
    assert picture.captions.count(name) == len(keywords) == len(set(picture.captions)) - 1


@pytest.mark.slow
def test_runs_go_on_where_they_were_stopped(tmp_path, monkeypatch, capsys):
    path = tmp_path / "emoji_training.json"
    emoji_training.main([*SMALL, "--output", str(path)])
    result = json.loads(path.read_text())
    assert [(run["name"], run["seed"]) for run in result["runs"]] == [
        (name, seed) for name in SMALL[3:5] for seed in range(3)
    ]
    for row in result["rows"]:
        values = [run["noto"]["top1"] for run in result["runs"] if run["name"] == row["name"]]
        assert row["noto_top1"] == pytest.approx(sum(values) / 3, abs=1e-4)
    result["runs"].pop()
    path.write_text(json.dumps(result))
    calls, real = [], emoji_training.lever
    monkeypatch.setattr(emoji_training, "lever", lambda *a: calls.append(a[:2]) or real(*a))
    emoji_training.main([*SMALL, "--output", str(path)])
    assert calls == [("diagonal only", 2)]
    with pytest.raises(SystemExit):
        emoji_training.main([*SMALL[2:], "--pictures", "128", "--output", str(path)])


@pytest.mark.slow
def test_the_longer_run_answers_everything():
    level = emoji_training.level("animals and food", steps=2, looks=(1, 2))
    assert [row["step"] for row in level["curve"]] == [1, 2]
    drawings = {name: row["drawings"] for name, row in level["naming"].items()}
    assert drawings["training drawings"] == 2 * drawings["new artist"]
    assert drawings["new concepts"] == 2 * drawings["new artist, new concepts"]
    for row in level["keywords"].values():
        assert 0 <= row["chance10"] <= 1 and row["keywords"] > 20
    assert set(level["curve"][0]["noto"]) == {"kind", "word", "word_chance", "top1", "top5"}
