"""The hubs' real clients against `hub_server`: what they fetch, and what becomes of each fault.

A client reads its environment when it is imported, so each test runs one in a process of its own,
forked from a server that has imported torch already. Its pauses pass at once.
"""

import multiprocessing
import os
import shutil
import subprocess
import sys
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import Fault, Hub, digest, environment, run_client
from parity import random_model, twin

import siglip_lab as sl
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.loading import hubs
from siglip_lab.loading.pretrained import EMBEDDED, resolve

WEIGHTS = "model.safetensors"
CONFIG = SigLIPConfig(
    VisionConfig(46, 6, width=32, depth=2, num_heads=2, mlp_dim=64),
    TextConfig(384, 8, width=32, depth=2, num_heads=4, mlp_dim=640),
)
NEEDED = {"config.json", "preprocessor_config.json", "tokenizer_config.json", "spiece.model"}
ROOM = 300_000  # bytes: every file but the weights fits
PLACES = {"hf": "me/tiny-tuned", "modelscope": "modelscope:me/tiny-tuned"}
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["hub_server", "siglip_lab", "torch._dynamo", "requests"])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """What the hubs serve, written by transformers, with files that nobody here needs."""
    folder = tmp_path_factory.mktemp("checkpoint")
    sl.Processor(sl.Tokenizer(EMBEDDED["tiny"] / "spiece.model", 8), 46).save_pretrained(folder)
    twin(random_model(CONFIG)).save_pretrained(folder)
    for name in ("README.md", "pytorch_model.bin", "training_args.bin"):
        (folder / name).write_text("not needed")
    assert (folder / WEIGHTS).stat().st_size > ROOM
    return folder


@pytest.fixture(scope="module")
def server(checkpoint):
    with Hub({"me/tiny-tuned": checkpoint}) as hub:
        yield hub
        hub.shutdown()


@pytest.fixture(params=hubs.HUBS)
def place(request):
    return request.param


@pytest.fixture
def hub(server):
    server.heal()
    return server


@pytest.fixture
def start(hub, place, tmp_path):
    """Starts clients that share a cache."""
    started = []

    def start(**options):
        started.append(Client(place, tmp_path, **{"endpoint": hub.url} | options))
        return started[-1]

    yield start
    for client in started:
        client.process.kill()


class Client:
    """A process with a hub's client in it; `load` loads something there."""

    def __init__(self, place, cache, endpoint, offline="0", room=None):
        self.where, self.cache = PLACES[place], cache
        self.pipe, theirs = processes.Pipe()
        arguments = (theirs, environment(cache, endpoint, offline), cache / "log", room)
        self.process = processes.Process(target=run_client, args=arguments, daemon=True)
        self.process.start()

    def load(self, what="model", where=None):
        """The loaded thing's description, or the `CheckpointError` that came instead."""
        self.pipe.send((what, where or self.where))
        assert self.pipe.poll(60), (self.cache / "log").read_text()
        kind, answer = self.pipe.recv()
        if kind == "error":
            raise sl.CheckpointError(answer)
        assert kind == "done", answer
        return answer


@pytest.fixture
def expected():
    return digest(random_model(CONFIG))


def cached(cache):
    """The files that have the names under which they would be loaded."""
    found = cache.glob("*/**/snapshots/*/*")
    return {path.name for path in found if path.is_file() and path.suffix != ".incomplete"}


# ---- what is meant -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("siglip-base-patch16-224", ("google/siglip-base-patch16-224", "hf", None)),
        ("google/siglip-base-patch16-224", ("google/siglip-base-patch16-224", "hf", None)),
        ("siglip2-base-patch16-224", ("google/siglip2-base-patch16-224", "hf", None)),
        ("me/tuned@v1.0", ("me/tuned", "hf", "v1.0")),
        ("hf:me/tuned", ("me/tuned", "hf", None)),
        ("modelscope:me/tuned@dev", ("me/tuned", "modelscope", "dev")),
        (
            "modelscope:siglip-so400m-patch14-384",
            ("fireicewolf/siglip-so400m-patch14-384", "modelscope", None),
        ),
        (
            "modelscope:siglip-base-patch16-224",
            ("google/siglip-base-patch16-224", "modelscope", None),
        ),
    ],
)
def test_names(where, expected, monkeypatch):
    monkeypatch.setattr(hubs, "fetch", lambda *arguments: arguments)
    assert resolve(where) == (*expected, True)
    assert resolve(where, revision="x", weights=False) == (*expected[:2], "x", False)


@pytest.mark.parametrize("name", ["ViT-B/32", "ViT-L/14@336px"])
def test_names_of_clips(name, monkeypatch):
    monkeypatch.setattr(hubs, "fetch", lambda repo, *arguments: 1 / 0 if "openai/" in repo else 0)
    with pytest.raises(ZeroDivisionError):
        sl.clip.CLIP.from_pretrained(name)
    with pytest.raises(FileNotFoundError, match="RN50"):
        sl.clip.CLIP.from_pretrained("RN50")


def test_a_missing_client(monkeypatch, place):
    client = {"hf": "huggingface_hub", "modelscope": "modelscope"}[place]
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(sl.CheckpointError, match=r"pip install 'siglip-lab\[hubs\]'"):
        sl.SigLIP.from_pretrained(PLACES[place])


@pytest.mark.parametrize("prefix", ["", "google/", "hf:google/"])
def test_each_kind_of_siglip_2_says_whose_the_other_is(monkeypatch, prefix):
    """Before its weights are fetched."""
    monkeypatch.setattr(hubs, "fetch", None)
    naflex, fixed = f"{prefix}siglip2-base-patch16-naflex", f"{prefix}siglip2-base-patch16-224"
    for kind in (sl.SigLIP, sl.Processor, sl.VisionTower):
        with pytest.raises(FileNotFoundError, match=r"siglip2\.SigLIP2\.from_pretrained"):
            kind.from_pretrained(naflex)
    for kind in (sl.siglip2.SigLIP2, sl.siglip2.Processor):
        with pytest.raises(FileNotFoundError, match=r"siglip_lab\.SigLIP\.from_pretrained"):
            kind.from_pretrained(fixed)


# ---- what is fetched -----------------------------------------------------------------------------


def test_only_what_is_needed_comes_once(start, hub, tmp_path, expected):
    client = start()
    tokenizer = sl.Tokenizer(EMBEDDED["tiny"] / "spiece.model", CONFIG.text.context_length)
    assert client.load("processor") == tokenizer("a red circle").tolist()
    assert cached(tmp_path) == NEEDED
    assert client.load() == expected
    assert cached(tmp_path) == NEEDED | {WEIGHTS}
    hub.heal()
    assert client.load() == expected
    assert not {key for key, first in hub.requests} & {WEIGHTS, *NEEDED}


def test_shards(start, hub, checkpoint, tmp_path, expected):
    shards = tmp_path / "shards"
    shutil.copytree(checkpoint, shards, ignore=shutil.ignore_patterns(WEIGHTS))
    twin(random_model(CONFIG)).save_pretrained(shards, max_shard_size="200KB")
    assert len(list(shards.glob("model-*.safetensors"))) > 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hub.repositories, "me/tiny-tuned", shards)
        assert start().load() == expected


@pytest.mark.slow
def test_the_command_prints_the_folder(hub, tmp_path, place, checkpoint):
    command = [sys.executable, "-m", "siglip_lab", "download", PLACES[place]]
    settings = os.environ | environment(tmp_path, hub.url)
    run = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    folder = Path(run.stdout.splitlines()[-1])
    for name in (WEIGHTS, *NEEDED):
        assert (folder / name).read_bytes() == (checkpoint / name).read_bytes()


# ---- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "fault", "noun"),
    [
        pytest.param(WEIGHTS, Fault(cut=0), "try again", id="cut"),
        pytest.param(WEIGHTS, Fault(truncate=9000), "try again", id="truncated"),
        pytest.param("list", Fault(403), "licence", id="403"),
        pytest.param(WEIGHTS, Fault(403), "licence", id="403 for a file"),
        pytest.param(WEIGHTS, Fault(500), "try again", id="500"),
    ],
)
def test_a_fault_that_stays_and_then_passes(start, hub, expected, key, fault, noun):
    hub.faults = {key: repeat(fault)}
    client = start()
    with pytest.raises(sl.CheckpointError, match="cannot fetch me/tiny-tuned") as error:
        client.load()
    assert noun in str(error.value)
    hub.heal()
    assert client.load() == expected


def test_a_name_that_is_not_there(start, place):
    with pytest.raises(sl.CheckpointError, match="check the name"):
        start().load(where=PLACES[place].replace("tuned", "absent"))


def test_a_repository_without_weights(start, hub, checkpoint, tmp_path):
    partial = tmp_path / "partial"
    shutil.copytree(checkpoint, partial, ignore=shutil.ignore_patterns(WEIGHTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(hub.repositories, "me/tiny-tuned", partial)
        with pytest.raises(sl.CheckpointError, match=WEIGHTS):
            start().load()


def test_a_full_disk(start, expected):
    with pytest.raises(sl.CheckpointError, match="disk is full"):
        start(room=ROOM).load()
    assert start().load() == expected


def test_a_killed_process(start, hub, tmp_path, expected):
    hub.faults = {WEIGHTS: iter([Fault(hold=True)])}
    client = start()
    client.pipe.send(("model", client.where))
    assert hub.held.wait(30)
    client.process.kill()
    client.process.join()
    hub.release.set()
    assert WEIGHTS not in cached(tmp_path)
    with pytest.raises(sl.CheckpointError, match="network"):
        start(endpoint="http://127.0.0.1:9").load()
    hub.heal()
    assert start().load() == expected


def test_without_a_network(start, place, expected):
    dead = "http://127.0.0.1:9"
    with pytest.raises(sl.CheckpointError, match="network"):  # nothing is cached
        start(endpoint=dead).load()
    start().load("processor")
    client = start(endpoint=dead)
    assert client.load("processor")
    with pytest.raises(sl.CheckpointError, match="network"):  # but not the weights
        client.load()
    assert start().load() == expected
    assert client.load() == expected
    if place == "hf":
        assert start(offline="1").load() == expected


# ---- upload --------------------------------------------------------------------------------------


class Api:
    """What `push_to_hub` asks of huggingface_hub's `HfApi`."""

    calls = []

    def __init__(self, token=None):
        self.calls.append(("token", token))

    def create_repo(self, repo, private=None, exist_ok=False):
        if repo == "me/forbidden":
            error = OSError("403 Client Error")
            error.response = SimpleNamespace(status_code=403)
            raise error
        self.calls.append(("create", repo, private, exist_ok))
        return type("Url", (), {"repo_id": repo})

    def upload_folder(self, repo_id, folder_path, commit_message):
        found = sl.SigLIP.from_pretrained(folder_path) if "model" in repo_id else None
        found = found or sl.Processor.from_pretrained(folder_path)
        self.calls.append(("upload", repo_id, type(found), commit_message))
        return f"https://hub/{repo_id}/commit"


def test_push_to_hub(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    Api.calls.clear()
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    url = model.push_to_hub("me/model", private=True, token="hf_x", commit_message="first")
    assert url == "https://hub/me/model/commit"
    processor.push_to_hub("me/words")
    assert Api.calls[:3] == [
        ("token", "hf_x"),
        ("create", "me/model", True, True),
        ("upload", "me/model", sl.SigLIP, "first"),
    ]
    assert Api.calls[4:][1][:3] == ("upload", "me/words", sl.Processor)
    with pytest.raises(sl.CheckpointError, match="cannot push me/forbidden: .*write"):
        model.push_to_hub("me/forbidden")
    with monkeypatch.context() as patch:
        patch.setattr(sl.SigLIP, "save_pretrained", None)  # nothing is written for these
        for repo in ("", "model", "a/b/c", "me/", "me/a b", None):
            with pytest.raises(ValueError, match="USER/NAME"):
                model.push_to_hub(repo)
    Api.calls.clear()
    model.logit_scale.data.fill_(float("nan"))
    with pytest.raises(sl.CheckpointError, match="logit_scale"):
        model.push_to_hub("me/model")
    assert not Api.calls
