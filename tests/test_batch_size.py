import json
import math

import pytest
import torch

from benchmarks import batch_size

SMALL = ["--sizes", "16", "256", "--rates", "1e-3", "2e-3", "--seeds", "1", "2"]
SMALL += ["--examples", "1024", "--drawings", "8"]


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "batch_size.json"
    batch_size.main([*SMALL, "--output", str(path)])
    return path


@pytest.mark.slow
def test_each_loss_and_size_is_chosen_for_then_measured(measured):
    result = json.loads(measured.read_text())
    assert len(result["runs"]) == 2 * 3 * (2 + 2)
    assert [(r["n"], r["loss"]) for r in result["rows"]] == [
        (n, loss) for n in (16, 256) for loss in ("softmax", "sigmoid", "sigmoid, b = -10")
    ]
    for row in result["rows"]:
        runs = [r for r in result["runs"] if (r["n"], r["loss"]) == (row["n"], row["loss"])]
        tried = {r["learning_rate"]: r["accuracy"]["validation"] for r in runs if r["seed"] == 0}
        assert list(tried) == [1e-3, 2e-3]
        assert tried[row["learning_rate"]] == max(tried.values())
        final = [r for r in runs if r["seed"] != 0]
        assert [(r["seed"], r["learning_rate"]) for r in final] == [
            (seed, row["learning_rate"]) for seed in (1, 2)
        ]
        for group in ("seen", "triples", "pairs"):
            values = torch.tensor([r["accuracy"][group] for r in final])
            assert row["mean"][group] == pytest.approx(values.mean().item(), abs=1e-4)
            assert row["sd"][group] == pytest.approx(values.std().item(), abs=1e-4)
        assert row["steps"] == 1024 // row["n"]


@pytest.mark.slow
def test_both_losses_learn(measured):
    for run in json.loads(measured.read_text())["runs"]:
        if run["n"] == 16:
            assert run["last_loss"] < run["first_loss"] - 0.1


@pytest.mark.slow
def test_a_stopped_grid_goes_on_where_it_was(measured, tmp_path, monkeypatch):
    path, calls, real = tmp_path / "batch_size.json", [], batch_size.measure
    few = [*SMALL, "--sizes", "256", "--rates", "1e-3", "--output", str(path)]

    def stop_after_two(*run):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(run[:4])
        return real(*run)

    monkeypatch.setattr(batch_size, "measure", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        batch_size.main(few)
    assert len(json.loads(path.read_text())["runs"]) == 2
    monkeypatch.setattr(batch_size, "measure", lambda *run: calls.append(run[:4]) or real(*run))
    batch_size.main(few)
    assert len(calls) == len(set(calls)) == 3 * (1 + 2)
    result, other = (json.loads(p.read_text()) for p in (path, measured))
    assert len(result["runs"]) == 9 and len(result["rows"]) == 3
    for run in result["runs"]:  # and a run gives the same, whatever ran before it
        asked = [run[key] for key in ("loss", "n", "learning_rate", "seed")]
        same = [
            r
            for r in other["runs"]
            if [r[key] for key in ("loss", "n", "learning_rate", "seed")] == asked
        ]
        assert same in ([], [run])
    assert any(run in other["runs"] for run in result["runs"])


def test_each_loss_starts_as_it_says():
    (images, ids), n = next(batch_size.batches(1, 1024, 64)), 64
    for loss in batch_size.LOSSES:
        model = batch_size.start(loss, 1, images, ids)
        t, b = model.logit_scale.exp().item(), model.logit_bias.item()
        assert t == pytest.approx(1 / 0.07 if loss == "softmax" else 10, rel=1e-5)
        if loss == "sigmoid":  # the mean logit is that of one true pair in n
            with torch.no_grad():
                cosines = model.encode_image(images) @ model.encode_text(ids).T
            assert t * cosines.mean().item() + b == pytest.approx(-math.log(n - 1), 1e-4)
        elif loss == batch_size.FIXED:
            assert b == -10
    same = [dict(batch_size.start(loss, 1, images, ids).named_parameters())
            for loss in batch_size.LOSSES]  # fmt: skip
    for name, weight in same[0].items():
        if not name.startswith("logit"):
            assert all(torch.equal(weight, other[name]) for other in same[1:])


def test_runs_stored_before_an_arm_was_added_stay_valid(measured, tmp_path, monkeypatch):
    result = json.loads(measured.read_text())
    result["runs"] = [r for r in result["runs"] if r["loss"] != batch_size.FIXED]
    path = tmp_path / "batch_size.json"
    path.write_text(json.dumps(result))
    asked = []

    keys = ("loss", "n", "learning_rate", "seed")
    known = {tuple(r[k] for k in keys): r for r in json.loads(measured.read_text())["runs"]}

    def stored(*run):
        asked.append(run[0])
        return known[run[:4]]

    monkeypatch.setattr(batch_size, "measure", stored)
    batch_size.main([*SMALL, "--output", str(path)])
    assert set(asked) == {batch_size.FIXED} and len(asked) == 2 * (2 + 2)
    assert json.loads(path.read_text())["rows"] == json.loads(measured.read_text())["rows"]


def test_other_settings_do_not_go_into_the_same_file(measured):
    with pytest.raises(SystemExit, match="other settings"):
        batch_size.main([*SMALL, "--examples", "2048", "--output", str(measured)])


def test_the_examples_and_their_order_depend_on_the_seed_alone():
    def every(seed, n):
        images, ids = zip(*batch_size.batches(seed, 1024, n), strict=True)
        assert {len(each) for each in ids} == {n}
        return torch.cat(images), torch.cat(ids)

    images, ids = every(seed=1, n=16)
    others, same_ids = every(seed=1, n=256)
    assert torch.equal(images, others) and torch.equal(ids, same_ids)
    assert not torch.equal(ids, every(seed=2, n=256)[1])


def test_no_caption_comes_twice_in_a_block_and_none_is_of_a_held_out_combination():
    levels, captions = batch_size.block(0)
    assert levels.shape == (1024, 3, 32, 32) and levels.dtype == torch.uint8
    assert len(set(captions)) == 1024
    held_out = {c.label for c in batch_size.held_out_combinations()}
    assert not held_out & {caption.split(",")[0] for caption in captions}
    longest = max(len(batch_size.tokenizer().encode(caption)) for caption in captions)
    assert longest <= batch_size.CONFIG.text.context_length


@pytest.mark.parametrize(
    "wrong", [["--examples", "1000"], ["--sizes", "48"], ["--seeds", "0", "1"], ["--seeds", "1"]]
)
def test_a_grid_that_cannot_be_is_refused(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit):
        batch_size.main([*SMALL, *wrong, "--output", str(tmp_path / "x.json")])
    assert f"{wrong[0]} " in capsys.readouterr().err
