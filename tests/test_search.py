"""Folders become indexes, through kills, full disks and in several processes, and are searched."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from small_pictures import coloured, small_model, small_processor

import siglip_lab as sl
from siglip_lab.cli import main
from siglip_lab.search import embedding, find, nearest, open_index, open_items, parts
from siglip_lab.toy.processes import torchrun

PROCESSOR = small_processor()
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")
N = 22


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """22 pictures, of which one is broken, in a folder and a folder in it."""
    path = tmp_path_factory.mktemp("pictures")
    (path / "deeper").mkdir()
    for i in range(N):
        coloured(i).save(path / ("deeper" if i % 2 else "") / f"{i:02}.png")
    (path / "07.png").write_bytes(b"nonsense")
    (path / "notes.txt").write_text("no picture")
    return path


def run(folder, out, model=None, processor=PROCESSOR, **options):
    options = {"batch_size": 4, "device": "cpu", "origin": "small"} | options
    return sl.search.embed(model or small_model(), processor, open_items(folder), out, **options)


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory, one_thread):
    return run(folder, tmp_path_factory.mktemp("whole") / "out")


def files(folder):
    names = ("vectors.npy", "items.jsonl", "offsets.npy", "skipped.json", "manifest.json")
    assert {path.name for path in Path(folder).iterdir()} == set(names)
    return [(Path(folder) / name).read_bytes() for name in names]


# ---- what there is to embed ----------------------------------------------------------------------


def test_an_index_has_what_embed_images_gives(whole, folder):
    names = [whole.item(row)["name"] for row in range(len(whole))]
    assert len(names) == N and "07.png" not in names and "deeper/07.png" in names
    expected = sl.embed_images(small_model(), PROCESSOR, [folder / name for name in names], 4)
    torch.testing.assert_close(torch.from_numpy(whole.vectors[:]), expected, rtol=0, atol=1e-6)
    manifest = json.loads((whole.folder / "manifest.json").read_text())
    assert manifest["rows"] == N and manifest["skipped"] == 1 and manifest["normalised"] is True
    assert manifest["model"] == "small" and manifest["computed_in"] == "float32"
    (name,) = json.loads((whole.folder / "skipped.json").read_text())
    assert name == "07.png"


def test_any_program_reads_the_vectors(whole):
    vectors = np.load(whole.folder / "vectors.npy")
    assert vectors.dtype == np.float32 and vectors.shape == (N, 16)
    lines = (whole.folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines][0] == "00.png"


def test_broken_files_are_named(folder, tmp_path, capsys):
    run(folder, tmp_path / "out")
    assert "skipped 07.png: file " in capsys.readouterr().err


def test_workers_change_nothing(whole, folder, tmp_path, one_thread):
    run(folder, tmp_path / "out", num_workers=2)
    assert files(tmp_path / "out") == files(whole.folder)


def write_tar(path, names):
    with tarfile.open(path, "w") as tar:
        for i, name in enumerate(names):
            buffer = BytesIO()
            coloured(i).save(buffer, "PNG")
            member = tarfile.TarInfo(name)
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)


def test_shards_lists_and_what_lies_beside_them(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_tar(data / "b.tar", ["0.png", "1.png", "1.txt", "._2.png"])
    coloured(5).save(data / "alone.png")
    index = run(data, tmp_path / "out")
    names = [index.item(row)["name"] for row in range(len(index))]
    assert names == ["alone.png", "b.tar/0.png", "b.tar/1.png"]
    for row, i in ((0, 5), (2, 1)):
        assert sl.load_image(index.image(row)).tobytes() == coloured(i).tobytes()
    one = run(data / "b.tar", tmp_path / "one")
    np.testing.assert_allclose(one.vectors, index.vectors[1:], atol=1e-6)
    (data / "list.txt").write_text("\nalone.png\nnowhere.png\n", encoding="utf-8")
    listed = run(data / "list.txt", tmp_path / "listed")
    assert len(listed) == 1 and listed.manifest.skipped == 1


def test_texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("a red square\n\n  ein grünes Herz \n" * 3, encoding="utf-8")
    items = open_items(path, texts=True)
    index = sl.search.embed(small_model(), PROCESSOR, items, tmp_path / "out", 4, device="cpu")
    assert len(index) == 6 and index.item(3)["name"] == "ein grünes Herz"
    ((best, *_),) = find(index, small_model(), PROCESSOR, texts="ein grünes Herz", k=6)
    assert best.row == 1 and best.cosine == pytest.approx(1, abs=1e-5)
    assert best.probability is None
    ((pair, *_),) = find(index, small_model(), PROCESSOR, images=coloured(0), k=1)
    assert 0 < pair.probability < 1


def test_images_of_any_shape(tmp_path, folder):
    from siglip_lab.toy.any_shape import flexible, flexible_processor

    model = flexible(small_model())
    processor = flexible_processor(PROCESSOR, model)
    index = run(folder, tmp_path / "out", model, processor)
    assert len(index) == N and "max_num_patches" in index.manifest.preprocessing
    assert len(find(index, model, processor, images=folder / "02.png", k=3)[0]) == 3


# ---- kills, full disks, processes ----------------------------------------------------------------

SCRIPT = """
import os, signal, sys, torch
import test_search as t
from siglip_lab.search import embedding, parts
from siglip_lab.training import state
torch.set_num_threads(1)
embedding.SECONDS_BETWEEN_PARTS = 0
kind, folder, out = sys.argv[1:]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if kind == "computing":
    note, calls = embedding._Run._note, iter(range(9))
    embedding._Run._note = lambda *a: die() if next(calls) == 2 else note(*a)
elif kind == "writing":
    parts.write_part.__globals__["write_files"].__globals__["os"].fsync = die
elif kind == "finishing":
    replace = os.replace
    os.replace = lambda a, b: die() if str(b).endswith("items.jsonl") else replace(a, b)
t.run(folder, out)
"""


@POSIX
@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(whole, folder, tmp_path):
    """Kill -9 while it computes, while it writes a part, and while it puts the parts together."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, "tests"])}
    codes, done = [], 0
    for kind in ("computing", "writing", "finishing", "none"):
        command = [sys.executable, "-c", SCRIPT, kind, str(folder), str(tmp_path / "out")]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        codes.append(ended.returncode)
        found = len(parts.finished_batches(tmp_path / "out"))
        assert found >= done or kind == "none"
        done = found
    assert codes == [-signal.SIGKILL] * 3 + [0], ended.stderr
    assert "going on: 23 are done" in ended.stderr
    assert files(tmp_path / "out") == files(whole.folder)


def test_ctrl_c_keeps_what_is_done(whole, folder, tmp_path, monkeypatch, one_thread):
    note, calls = embedding._Run._note, iter(range(9))

    def pressed(self, *batch):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return note(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr(embedding._Run, "_note", pressed)
        run(folder, tmp_path / "out")
    assert str(caught.value) == "Stopped after 8 of 23; the same command goes on from there"
    with pytest.raises(FileNotFoundError, match="the same command again finishes"):
        open_index(tmp_path / "out")
    run(folder, tmp_path / "out")
    assert files(tmp_path / "out") == files(whole.folder)


@POSIX
@pytest.mark.parametrize("moment", ["a part", "the vectors"])
def test_a_disk_that_fills_up_loses_nothing(
    whole, folder, tmp_path, monkeypatch, capsys, one_thread, moment
):
    import resource  # capsys: else what is said would be a file, too

    limit, out = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "out"
    monkeypatch.setattr(embedding, "SECONDS_BETWEEN_PARTS", 0)
    owner, name = (parts, "write_part") if moment == "a part" else (parts, "_write_vectors")
    real, calls = getattr(owner, name), iter(range(9))

    def filling(*arguments):
        if moment == "the vectors" or next(calls) == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
        return real(*arguments)

    try:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="make room") as caught:
            patch.setattr(owner, name, filling)
            run(folder, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "What is done is kept" in str(caught.value) and len(str(caught.value)) <= 300
    assert not (out / "manifest.json").exists() and not list(out.glob("**/.new*"))
    assert len(parts.finished_batches(out)) == (2 if moment == "a part" else 6)
    run(folder, out)
    assert files(out) == files(whole.folder)


@POSIX
@pytest.mark.slow
def test_two_processes_share_the_work_and_a_killed_one_goes_on(folder, tmp_path):
    words = ["embed", str(folder), "OUT", "--batch-size", "4", "--device", "cpu"]
    words += ["--precision", "float32"]

    def command(out):
        return [str(tmp_path / out) if word == "OUT" else word for word in words]

    torchrun("-m", "siglip_lab", *command("one"), world=1)
    said = torchrun("-m", "siglip_lab", *command("two"), world=2)
    assert said.count("22 images, 72 numbers each") == 1
    assert files(tmp_path / "two") == files(tmp_path / "one")
    script = tmp_path / "dies.py"
    script.write_text(
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from siglip_lab import cli\n"
        "from siglip_lab.search import embedding\n"
        "embedding.SECONDS_BETWEEN_PARTS = 0\n"
        "note, calls = embedding._Run._note, iter(range(9))\n"
        "def stops(run, *batch):\n"
        "    if run.ranks.rank == 1 and next(calls) == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return note(run, *batch)\n"
        "embedding._Run._note = stops\n"
        "cli.main(sys.argv[1:])\n"
    )
    with pytest.raises(RuntimeError, match="SIGKILL|exitcode: -9"):
        torchrun(str(script), *command("killed"), world=2)
    assert not (tmp_path / "killed/manifest.json").exists()
    torchrun("-m", "siglip_lab", *command("killed"), world=1)
    assert files(tmp_path / "killed") == files(tmp_path / "one")


# ---- what is refused -----------------------------------------------------------------------------


def test_what_cannot_be_listed(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "lines.txt").write_text("a cat\na dog\n")
    (tmp_path / "blank.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes("Küche".encode("latin-1"))
    (tmp_path / "a.tar").write_bytes(b"nonsense")
    for where, texts, error, said in (
        ("nowhere", False, FileNotFoundError, "there is no file or folder"),
        ("empty", False, ValueError, "has no pictures"),
        ("lines.txt", False, ValueError, "for texts give --texts"),
        ("blank.txt", True, ValueError, "has no lines"),
        ("latin.txt", True, ValueError, "is not UTF-8"),
        ("a.tar", False, ValueError, "no whole, uncompressed tar"),
        ("a.tar", True, ValueError, "is no list of texts"),
        (folder / "02.png", False, ValueError, "is a picture; expected its folder"),
        ("empty", True, ValueError, "is no list of texts"),
    ):
        with pytest.raises(error, match=said) as caught:
            open_items(tmp_path / where, texts)
        assert len(str(caught.value)) <= 300


def test_a_folder_that_may_not_be_read_is_not_passed_over(folder, monkeypatch):
    def walk(top, onerror):
        onerror(PermissionError(13, "Permission denied", str(folder / "deeper")))

    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(PermissionError, match="deeper"):
        open_items(folder)


def test_a_place_that_is_taken(whole, folder, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").touch()
    with pytest.raises(NotADirectoryError, match="is a file"):
        run(folder, tmp_path / "file")
    with pytest.raises(FileExistsError, match="no unfinished run"):
        run(folder, tmp_path / "notes")
    with pytest.raises(FileExistsError, match="is finished: siglip-lab search"):
        run(folder, whole.folder)


def test_a_second_run_into_the_same_folder_is_refused(folder, tmp_path):
    script = f"""
from pathlib import Path
from siglip_lab.training.state import hold
with hold(Path({str(tmp_path / "out")!r})):
    print("holds", flush=True)
    input()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes) as other:
        assert other.stdout.readline() == "holds\n"
        with pytest.raises(OSError, match="another run is writing into"):
            run(folder, tmp_path / "out")
        other.kill()
    assert len(run(folder, tmp_path / "out")) == N


def test_no_room_is_said_before_anything_begins(folder, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match="0.00 GB are free, the vectors, twice, need"):
        run(folder, tmp_path / "out")
    assert not list(tmp_path.glob("out/.unfinished"))


def test_an_unfinished_run_is_not_mixed_with_another(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            embedding.parts, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        run(folder, out)
    for change, said in (
        ({"batch_size": 5}, r"begun with --batch-size 4 \(now 5\)"),
        ({"model": small_model(1)}, "a model of other weights"),
        ({"model": small_model().bfloat16()}, r"--computed-in float32 \(now bfloat16\)"),
        ({"processor": sl.Processor(PROCESSOR.tokenizer, 16, 2)}, "a processor of other settings"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            run(folder, out, **change)
        assert len(str(caught.value)) <= 300
    other = replace(open_items(folder), names=open_items(folder).names[1:])
    with pytest.raises(ValueError, match="other pictures or texts"):
        sl.search.embed(small_model(), PROCESSOR, other, out, 4, device="cpu")
    assert len(run(folder, out)) == N


def test_vectors_that_are_no_numbers_are_not_written(folder, tmp_path):
    model = small_model()
    with torch.no_grad():
        model.vision_model.head.probe.fill_(torch.nan)
    with pytest.raises(ValueError, match="vector of 00.png is no number"):
        run(folder, tmp_path / "out", model)
    with pytest.raises(FileNotFoundError, match="holds no index"):
        open_index(tmp_path / "out")


def test_nothing_that_can_be_read(tmp_path):
    (tmp_path / "data").mkdir()
    for i in range(3):
        (tmp_path / f"data/{i}.png").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="none of 3 images can be read, such as 0.png: file"):
        run(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("manifest.json", b"{"),
        ("manifest.json", b'{"kind": "images"}'),
        ("vectors.npy", b"nonsense"),
        ("vectors.npy", None),
        ("offsets.npy", b""),
        ("items.jsonl", b"{}\n"),
    ],
)
def test_an_index_that_is_damaged(whole, tmp_path, file, content):
    for path in whole.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_bytes(content or (tmp_path / file).read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged.* embed again") as caught:
        open_index(tmp_path)
    assert len(str(caught.value)) <= 300


# ---- searching -----------------------------------------------------------------------------------


def unit(n, width=16, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [1, 64, 1000, 2**24])
@pytest.mark.parametrize("queries", [1, 5])
def test_exact_search_finds_the_best(monkeypatch, block, queries):
    from siglip_lab.search import exact

    monkeypatch.setattr(exact, "_BLOCK", block)
    vectors, asked = unit(57), unit(queries, seed=1)
    expected, places = (torch.from_numpy(asked) @ torch.from_numpy(vectors).T).topk(7)
    cosines, rows = nearest(vectors, asked, 7)
    assert np.array_equal(rows, places.numpy())
    np.testing.assert_allclose(cosines, expected.numpy(), atol=1e-6)
    assert sorted(nearest(vectors, asked, 57)[1][0]) == list(range(57))


def test_equal_cosines_keep_the_order_of_their_rows():
    vectors = np.repeat(unit(3), 4, axis=0)
    assert nearest(vectors, vectors[4:5], 4)[1].tolist() == [[4, 5, 6, 7]]


def test_queries_that_do_not_fit():
    vectors = unit(5)
    for queries, k, said in (
        (unit(1, 17), 1, r"shape \(1, 17\); expected \[q, 16\]"),
        (unit(1)[0], 1, r"shape \(16,\)"),
        (2 * unit(1), 1, "query 0 has length 2; expected a unit vector"),
        (unit(1) * np.nan, 1, "query 0 has length nan"),
        (unit(1), 6, "k is 6, but the index has 5 rows: give at most 5"),
        (unit(1), 0, "k must be at least 1"),
    ):
        with pytest.raises(ValueError, match=said):
            nearest(vectors, queries, k)
    vectors[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3 of the index is no unit vector"):
        nearest(vectors, unit(1), 1)


@pytest.fixture(scope="module")
def tiny():
    return sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two dozen drawings, and tiny's index of them, which the command makes."""
    from siglip_lab.toy.shapes_world import draw, random_scene, training_combinations

    path = tmp_path_factory.mktemp("drawn")
    (path / "drawings").mkdir()
    for i, combination in enumerate(training_combinations()[:240:10]):
        label = combination.label.replace(" ", "-")
        draw(random_scene(i, combination)).save(path / "drawings" / f"{label}.png")
    words = [str(path / "drawings"), str(path / "out"), "--precision", "float32"]
    assert main(["embed", *words, "--device", "cpu"]) == 0
    return path


def test_a_text_finds_its_picture_as_retrieve_does(drawn, tiny):
    index = open_index(drawn / "out")
    texts = [index.item(row)["name"][:-4].replace("-", " ") for row in range(len(index))]
    hits = find(index, *tiny, texts=texts, k=3)
    probabilities, rows = sl.retrieve(*tiny, texts, torch.from_numpy(index.vectors[:]), k=3)
    assert [[hit.row for hit in each] for each in hits] == rows.tolist()
    found = torch.tensor([[hit.probability for hit in each] for each in hits])
    torch.testing.assert_close(found, probabilities, rtol=1e-4, atol=1e-5)
    right = [each[0].name[:-4].replace("-", " ") == t for each, t in zip(hits, texts, strict=True)]
    assert sum(right) > 20


def test_a_picture_finds_itself(drawn, tiny):
    index = open_index(drawn / "out")
    ((best, second),) = find(index, *tiny, images=index.image(5), k=2)
    assert (best.row, best.probability) == (5, None) and best.cosine == pytest.approx(1, abs=1e-5)
    assert second.cosine < best.cosine


def test_another_models_questions_are_refused(drawn, tiny, folder):
    index = open_index(drawn / "out")
    model, processor = tiny
    with pytest.raises(ValueError, match="was made by tiny; the model given has other weights"):
        find(index, small_model(), PROCESSOR, texts="red")
    changed = sl.SigLIP.from_pretrained("tiny")
    with torch.no_grad():
        changed.text_model.head.weight.add_(0.01)
    with pytest.raises(ValueError, match="other weights"):
        find(index, changed, processor, texts="red")
    other = sl.Processor(processor.tokenizer, 40, 2)
    with pytest.raises(ValueError, match="whose resample is 3, not 2") as caught:
        find(index, model, other, texts="red")
    assert len(str(caught.value)) <= 300
    with pytest.raises(ValueError, match="give one of the two"):
        find(index, model, processor)
    half = sl.SigLIP.from_pretrained("tiny", dtype=torch.bfloat16)
    assert find(index, half, processor, texts="a red square", k=1)[0][0].cosine > 0


# ---- FAISS ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory, whole):
    """An index of 10,000 vectors that differ most along a few axes, as a model's do."""
    vectors = unit(10_000, 64) * 0.85 ** np.arange(64, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = open_index(whole.folder)
    index.vectors, index.folder = vectors, tmp_path_factory.mktemp("large")
    return index


@pytest.mark.parametrize("kind", ["flat", "int8", "pca", "binary", "ivfpq", "hnsw"])
def test_every_kind_is_built_once_and_finds_nearly_the_same(large, kind, monkeypatch):
    pytest.importorskip("faiss", reason="needs faiss-cpu, the extra search")
    from siglip_lab.search import approximate

    queries = large.vectors[:20] + 0.2 * unit(20, 64, seed=3)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    cosines, rows = nearest(large.vectors, queries, 10)
    found = approximate.open_approximate(large, kind).nearest(queries, 10, proposed=30)
    same = [len({*a} & {*b}) / 10 for a, b in zip(rows, found[1], strict=True)]
    assert np.mean(same) > 0.8, np.mean(same)
    assert (found[0] <= cosines + 1e-6).all() and (np.diff(found[0], axis=1) <= 0).all()
    monkeypatch.setattr(approximate, "build", None)
    again = approximate.open_approximate(large, kind).nearest(queries, 10, proposed=30)
    assert np.array_equal(again[1], found[1])


def test_what_faiss_refuses(large, tmp_path, monkeypatch):
    pytest.importorskip("faiss", reason="needs faiss-cpu, the extra search")
    from siglip_lab.search.approximate import build, open_approximate

    large.folder = tmp_path
    with pytest.raises(ValueError, match="expected exact or one of flat"):
        open_approximate(large, "tree")
    with pytest.raises(ValueError, match="ivfpq learns from at least 9,984 vectors"):
        build(large.vectors[:300], "ivfpq")
    (tmp_path / "flat.faiss").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is damaged, or of other vectors"):
        open_approximate(large, "flat")


@POSIX
def test_a_disk_that_fills_up_leaves_no_half_of_faiss(large, tmp_path):
    pytest.importorskip("faiss", reason="needs faiss-cpu, the extra search")
    import resource

    from siglip_lab.search.approximate import open_approximate

    large.folder, limit = tmp_path, resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        with pytest.raises(OSError, match="make room"):
            open_approximate(large, "flat")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.iterdir())


def test_faiss_is_asked_for_where_it_is_missing(drawn, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert main(["search", str(drawn / "out"), "red", "--kind", "flat"]) == 1
    assert "pip install 'siglip-lab[search]'" in capsys.readouterr().err


# ---- the commands, and the page ------------------------------------------------------------------


def test_the_command_finds_a_text(drawn, capsys):
    assert main(["search", str(drawn / "out"), "a red square", "-k", "3", "--json"]) == 0
    ((answer),) = json.loads(capsys.readouterr().out)
    assert answer["question"] == "a red square" and len(answer["results"]) == 3
    assert main(["search", str(drawn / "out"), "a red square", "-k", "3"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "a red square, in 24 images" and len(lines) == 3
    assert lines[0].endswith(answer["results"][0]["name"]) and "%" in lines[0]


def test_the_command_finds_a_picture_and_writes_a_page(drawn, capsys, tmp_path):
    photo = next((drawn / "drawings").iterdir())
    page = tmp_path / "found.html"
    words = ["search", str(drawn / "out"), "--image", str(photo), "--page", str(page), "-k", "5"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(photo.name)
    text = page.read_text(encoding="utf-8")
    assert text.count('<img alt="') == 5 and "data:image/jpeg;base64," in text


def test_a_page_escapes_names_and_does_without_lost_pictures(drawn, tiny, tmp_path):
    from siglip_lab.search import write_page

    index = open_index(drawn / "out")
    hits = find(index, *tiny, texts="red", k=2)
    hits[0][0] = hits[0][0]._replace(name="<script>.png")
    index.manifest = replace(index.manifest, source=str(tmp_path))
    write_page(index, ["<b>"], hits, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in text and "<b>" not in text and "&lt;script&gt;.png" in text
    assert text.count("not there any more") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give one or more texts"),
        (["red", "--image", "a.png"], "give one or more texts"),
        (["red", "-k", "25"], "k is 25, but the index has 24 rows"),
        (["--image", "nowhere.png"], "there is no file 'nowhere.png'"),
        (["PHOTO"], "is a file where a text belongs"),
        (["red", "--model", "emoji"], "the model given has other weights"),
        (["red", "--page", "."], "is a folder; expected a file"),
    ],
)
def test_the_command_says_in_a_line_what_is_wrong(drawn, capsys, words, said):
    photo = str(next((drawn / "drawings").iterdir()))
    words = [photo if word == "PHOTO" else word for word in words]
    assert main(["search", str(drawn / "out"), *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and said in captured.err and captured.err.count("\n") == 1


def test_the_command_embeds_only_what_it_can(drawn, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for words, said in (
        (["empty", "out"], "has no pictures"),
        (["nowhere", "out"], "there is no file or folder"),
        ([str(drawn / "drawings"), "out", "--model", "nowhere"], "there is no file or folder"),
        ([str(drawn / "drawings"), "out", "--device", "cuda:99"], "which is not there"),
        ([str(drawn / "drawings"), "out", "--device", "abacus"], "which is not there"),
    ):
        words = [str(tmp_path / w) if w in ("empty", "nowhere", "out") else w for w in words]
        assert main(["embed", *words]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
        assert not (tmp_path / "out").exists()
    assert main(["search", str(tmp_path / "empty"), "red"]) == 1
    assert "holds no index" in capsys.readouterr().err


def test_a_model_of_a_folder_is_found_again(folder, tmp_path, capsys, monkeypatch):
    model = tmp_path / "model"
    small_model().save_pretrained(model)
    PROCESSOR.save_pretrained(model)
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(folder), "out", "--model", "model", "--device", "cpu"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["search", "../out", "red"]) == 0
    assert "red, in 22 images" in capsys.readouterr().out
