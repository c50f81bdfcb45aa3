"""The hubs' real clients against `hub_server`: what they fetch, and what becomes of each fault.

A client reads its environment when it is imported, so each test runs one in a process of its own,
forked from a server that has imported torch already. Its pauses pass at once.
"""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from itertools import repeat
from pathlib import Path

import pytest
from hub_server import Fault, Hub, digest, environment, run_client, sha256
from parity import random_model, twin

import siglip_lab as sl
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading import hubs
from siglip_lab.loading.folder import TINY

NAME = "siglip-so400m-patch14-384"  # another owner on each hub
ABSENT = "siglip-base-patch16-224"
WEIGHTS = "model.safetensors"
CONFIG = SigLIPConfig(
    VisionConfig(46, 6, width=32, depth=2, num_heads=2, mlp_dim=64),
    TextConfig(2000, 8, width=32, depth=2, num_heads=4, mlp_dim=64),
)
PREPROCESSING = {
    "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    "size": {"height": 46, "width": 46},
}  # fmt: skip
NEEDED = {"config.json", "preprocessor_config.json", "spiece.model", WEIGHTS}
ROOM = 300_000  # bytes: every file but the weights fits
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["hub_server", "siglip_lab", "torch._dynamo", "requests"])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """What the hubs serve, written by transformers, with files that nobody here needs."""
    folder = tmp_path_factory.mktemp("checkpoint")
    twin(random_model(CONFIG)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING))
    shutil.copy(TINY / "spiece.model", folder)
    for name in ("README.md", "pytorch_model.bin", "tokenizer.json"):
        (folder / name).write_text("not needed")
    assert (folder / WEIGHTS).stat().st_size > ROOM
    return folder


@pytest.fixture(scope="module")
def server(checkpoint):
    with Hub({f"google/{NAME}": checkpoint, f"fireicewolf/{NAME}": checkpoint}) as hub:
        yield hub
        hub.shutdown()


@pytest.fixture(params=hubs.SOURCES)
def source(request):
    return request.param


@pytest.fixture
def hub(server):
    server.heal()
    return server


@pytest.fixture
def start(hub, source, tmp_path):
    """Starts clients that share a cache."""
    started = []

    def start(**options):
        started.append(Client(source, tmp_path, **{"endpoint": hub.url} | options))
        return started[-1]

    yield start
    for client in started:
        client.process.kill()


class Client:
    """A process with a hub's client in it; `load` and `process` load something there."""

    def __init__(self, source, cache, endpoint, offline="0", hurry=True, room=None):
        self.source, self.cache = source, cache
        self.pipe, theirs = processes.Pipe()
        settings = environment(cache, endpoint, offline)
        arguments = (theirs, source, settings, (NAME, CONFIG), cache / "log", hurry, room)
        self.process = processes.Process(target=run_client, args=arguments, daemon=True)
        self.process.start()

    def send(self, what="load_model", name=NAME):
        self.pipe.send((what, name))

    def receive(self):
        """The loaded thing's description, or the `CheckpointError` that came instead."""
        assert self.pipe.poll(40), (self.cache / "log").read_text()
        kind, answer = self.pipe.recv()
        if kind == "error":
            raise sl.CheckpointError(answer)
        assert kind == "done", answer
        return answer

    def load(self, what="load_model", name=NAME):
        self.send(what, name)
        return self.receive()


@pytest.fixture
def expected():
    return digest(random_model(CONFIG))


def cached(cache):
    """The files that have the names under which they would be loaded."""
    found = cache.glob("*/**/snapshots/*/*")
    return [path for path in found if path.is_file() and path.suffix != ".incomplete"]


def check_whole(cache, checkpoint):
    for path in cached(cache):
        assert path.read_bytes() == (checkpoint / path.name).read_bytes(), path


# ---- what is fetched -----------------------------------------------------------------------------


@pytest.mark.slow
def test_only_what_is_needed_comes_once(start, hub, tmp_path, expected):
    client = start()
    tokenizer = sl.Tokenizer(TINY / "spiece.model", CONFIG.text.context_length)
    assert client.load("load_processor") == tokenizer("a red circle").tolist()
    assert {path.name for path in cached(tmp_path)} == NEEDED - {WEIGHTS}
    assert client.load() == expected
    assert {path.name for path in cached(tmp_path)} == NEEDED
    hub.heal()
    assert client.load() == start().load() == expected
    assert not {key for key, first in hub.requests} & NEEDED


def test_shards(start, hub, checkpoint, tmp_path, expected):
    shards = tmp_path / "shards"
    shutil.copytree(checkpoint, shards, ignore=shutil.ignore_patterns(WEIGHTS))
    twin(random_model(CONFIG)).save_pretrained(shards, max_shard_size="200KB")
    assert len(list(shards.glob("model-*.safetensors"))) > 1
    with pytest.MonkeyPatch.context() as patch:
        for name in (f"google/{NAME}", f"fireicewolf/{NAME}"):
            patch.setitem(hub.repositories, name, shards)
        assert start().load() == expected


def test_names():
    so400m = "siglip-so400m-patch14-384"
    assert hubs.repository(so400m, "huggingface") == f"google/{so400m}"
    assert hubs.repository(so400m, "modelscope") == f"fireicewolf/{so400m}"
    for name in sl.list_models()[:-1] + sl.list_models(version=2):
        assert hubs.repository(name, "huggingface") == f"google/{name}"
        assert hubs.repository(f"google/{name}", "modelscope").endswith(f"/{name}")
    with pytest.raises(ValueError, match="'tiny' is on no hub; published models: siglip-base"):
        hubs.download("tiny")
    with pytest.raises(ValueError, match="source='hub': the hubs are 'huggingface' and 'models"):
        hubs.download(so400m, "hub")


def test_a_missing_client(monkeypatch, source):
    client = {"huggingface": "huggingface_hub", "modelscope": "modelscope"}[source]
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(sl.CheckpointError, match=f"cannot fetch {NAME}: pip install {client}"):
        hubs.download(NAME, source)


def test_a_folder_of_a_hubs_name_is_a_path(monkeypatch, tmp_path, source, checkpoint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("siglip_lab.loading.folder.download", lambda *arguments: checkpoint)
    with pytest.raises(sl.CheckpointError, match=f"is not {NAME}: it holds vision"):
        sl.load_model(NAME, source=source)
    with pytest.raises(FileNotFoundError, match=source):
        sl.load_model(NAME, source=f"./{source}")


def test_a_processor_of_siglip_2_is_refused(monkeypatch, tmp_path):
    """By its vocabulary: its tokenizer is not downloaded."""
    monkeypatch.setattr("siglip_lab.loading.folder.download", lambda *arguments: tmp_path)
    config = {"model_type": "siglip", "text_config": {"vocab_size": 256_000}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(sl.CheckpointError, match="is a SigLIP 2 with Gemma's tokenizer"):
        sl.load_processor("siglip2-base-patch16-224", source="huggingface")


@pytest.mark.slow
def test_the_command_prints_the_folder(hub, tmp_path, source, checkpoint):
    command = [sys.executable, "-m", "siglip_lab", "download", NAME, "--source", source]
    settings = os.environ | environment(tmp_path, hub.url)
    run = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert {path.name for path in Path(run.stdout.removesuffix("\n")).iterdir()} == NEEDED
    assert "100%" in run.stderr
    check_whole(tmp_path, checkpoint)


# ---- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({WEIGHTS: [Fault(cut=120_000)]}, id="cut in mid-file"),
        pytest.param({WEIGHTS: [Fault(cut=120_000, reset=True)]}, id="reset in mid-file"),
        pytest.param({"list": [Fault(429)], WEIGHTS: [Fault(429)]}, id="429 then success"),
        pytest.param({"list": [Fault(500)] * 3}, id="500 thrice"),
        pytest.param({WEIGHTS: [Fault(500)] * 3}, id="500 thrice for a file"),
        pytest.param({WEIGHTS: [Fault(truncate=9000)]}, id="truncated once"),
    ],
)
def test_a_fault_that_passes(start, hub, tmp_path, expected, checkpoint, faults):
    hub.faults = {key: iter(list(row)) for key, row in faults.items()}
    assert start().load() == expected
    assert all(next(rest, None) is None for rest in hub.faults.values())
    check_whole(tmp_path, checkpoint)
    if WEIGHTS in faults and faults[WEIGHTS] == [Fault(cut=120_000)]:
        first = [first for key, first in hub.requests if key == WEIGHTS]
        assert len(first) == 2 and 100_000 <= first[1] <= 120_000  # not all over again


@pytest.mark.parametrize(
    ("key", "fault", "message"),
    [
        pytest.param(WEIGHTS, Fault(cut=0), "cut off, or not a hub: try again later", id="cut"),
        pytest.param(WEIGHTS, Fault(truncate=9000), "again", id="truncated"),
        pytest.param(WEIGHTS, Fault(damage=True), "a damaged file came and w", id="checksum"),
        pytest.param("config.json", Fault(damage=True), "a damaged file", id="small checksum"),
        pytest.param("list", Fault(403), "HTTP 403, refused: accept the licence", id="403"),
        pytest.param(WEIGHTS, Fault(403), "HTTP 403, refused", id="403 for a file"),
        pytest.param("list", Fault(500), "HTTP 500, busy or broken: try again", id="500"),
        pytest.param(WEIGHTS, Fault(500), "HTTP 500, busy or broken", id="500 for a file"),
        pytest.param("list", Fault(429), "HTTP 429, busy or broken", id="429"),
    ],
)
def test_a_fault_that_stays(start, hub, tmp_path, expected, checkpoint, key, fault, message):
    hub.faults = {key: repeat(fault)}
    client = start()
    with pytest.raises(sl.CheckpointError, match=message) as error:
        client.load()
    assert f"cannot fetch {NAME} from {client.source}, " in str(error.value)
    assert f"/{NAME} at {hub.url}. " in str(error.value)
    assert "a folder as source" in str(error.value)
    check_whole(tmp_path, checkpoint)
    hub.heal()
    assert client.load() == expected
    check_whole(tmp_path, checkpoint)


def test_a_name_that_is_not_there(start):
    with pytest.raises(sl.CheckpointError, match="no such repository, or .*: check the name"):
        start().load(name=ABSENT)


def test_a_repository_without_weights(start, hub, checkpoint, tmp_path):
    partial = tmp_path / "partial"
    shutil.copytree(checkpoint, partial, ignore=shutil.ignore_patterns(WEIGHTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hub.repositories, f"google/{ABSENT}", partial)
        with pytest.raises(sl.CheckpointError, match=f"files missing in it.*no {WEIGHTS}"):
            start().load(name=ABSENT)


def test_a_cache_that_cannot_be_written(start, tmp_path):
    for name in ("hf", "ms"):
        (tmp_path / name).write_text("no folder")
    with pytest.raises(sl.CheckpointError, match=f"{tmp_path}.* cannot be written: change its"):
        start().load()


def test_a_full_disk(start, tmp_path, expected, checkpoint):
    with pytest.raises(sl.CheckpointError, match="the disk is full: the files need [0-9,]+ bytes"):
        start(room=ROOM).load()
    check_whole(tmp_path, checkpoint)
    assert start().load() == expected


@pytest.mark.slow
def test_a_full_file_system(hub, tmp_path):
    """The same on a file system of its own, where the kernel lets us mount one."""
    mount = f"mount -t tmpfs -o size={ROOM + 100_000} none {tmp_path}"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, mount]).returncode:
        pytest.skip("mounting needs user namespaces")
    code = (
        "from siglip_lab.loading import hubs\n"
        "for source in hubs.SOURCES:\n"
        "    try: hubs.download('siglip-so400m-patch14-384', source)\n"
        "    except hubs.CheckpointError as error: print(error)\n"
    )
    command = [*unshare, f'{mount} && exec "$0" -c "$1"', sys.executable, code]
    settings = os.environ | environment(tmp_path, hub.url)
    run = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert run.stdout.count("the disk is full: the files need 3,511,841,992 bytes") == 2, run.stderr


def test_a_killed_process(start, hub, source, tmp_path, expected, checkpoint):
    hub.faults = {WEIGHTS: iter([Fault(hold=True)])}
    client = start()
    client.send()
    assert hub.held.wait(20)
    deadline = time.monotonic() + 20  # the files come side by side: until only the weights lack
    while {path.name for path in cached(tmp_path)} != NEEDED - {WEIGHTS} or not any(
        path.stat().st_size for path in tmp_path.rglob("*.incomplete")
    ):
        assert time.monotonic() < deadline, list(tmp_path.rglob("*"))
        time.sleep(0.05)
    client.process.kill()
    client.process.join()
    hub.release.set()
    assert {path.name for path in cached(tmp_path)} == NEEDED - {WEIGHTS}
    with pytest.raises(sl.CheckpointError, match="the hub cannot be reached"):
        start(endpoint="http://127.0.0.1:9").load()
    hub.heal()
    assert start().load() == expected
    check_whole(tmp_path, checkpoint)
    ((weights, first),) = [(key, first) for key, first in hub.requests if key == WEIGHTS]
    assert (first > 0) == (source == "modelscope")  # the other begins this file again


def test_two_processes_at_once(start, hub, tmp_path, expected, checkpoint):
    hub.faults = {WEIGHTS: iter([Fault(hold=True)])}
    clients = [start(), start()]
    for client in clients:
        client.send()
    assert hub.held.wait(20)
    time.sleep(0.5)
    hub.release.set()
    assert [client.receive() for client in clients] == [expected, expected]
    check_whole(tmp_path, checkpoint)


def test_no_network_with_a_warm_cache(start, source, expected):
    assert start().load() == expected
    assert start(endpoint="http://127.0.0.1:9").load() == expected
    if source == "huggingface":
        assert start(offline="1").load() == expected


@pytest.mark.slow
def test_no_network_with_a_cold_cache(start, source):
    before = time.monotonic()
    with pytest.raises(sl.CheckpointError, match="the hub cannot be reached: check the network"):
        start(endpoint="http://127.0.0.1:9", hurry=False).load()
    assert time.monotonic() - before < 10
    if source == "huggingface":
        with pytest.raises(sl.CheckpointError, match="HF_HUB_OFFLINE is on: unset it"):
            start(offline="1").load()


def test_no_network_with_half_a_cache(start, tmp_path):
    start().load("load_processor")
    client = start(endpoint="http://127.0.0.1:9")
    assert client.load("load_processor")
    with pytest.raises(sl.CheckpointError, match="the hub cannot be reached"):
        client.load()


def test_a_checksum_is_compared_once(monkeypatch, tmp_path):
    blob = tmp_path / "blobs" / sha256(b"right")
    path = tmp_path / "snapshots" / "main" / WEIGHTS
    blob.parent.mkdir()
    path.parent.mkdir(parents=True)

    def write(content):
        blob.write_bytes(content)
        if not path.is_symlink():
            path.symlink_to(f"../../blobs/{blob.name}")

    write(b"right")
    hubs._verify(path)
    with monkeypatch.context() as patch:
        patch.setattr(hubs.hashlib, "sha256", None)
        hubs._verify(path)
    time.sleep(0.02)
    write(b"wrong")  # newer than the comparison
    with pytest.raises(sl.CheckpointError, match=f"{WEIGHTS} has checksum .*, not {blob.name}"):
        hubs._verify(path)
    assert not blob.exists() and not path.is_symlink()
