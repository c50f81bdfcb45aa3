"""Both hubs on the loopback address: as much of their protocols as their clients use, and faults.

And a process with a client in it; this module imports none, as a client reads its environment then.

`Hub.faults[KEY]` is an iterator of what happens to the requests for KEY, one after the other: None
or the iterator's end is a right answer. KEY is the name of a file, "list" for the questions about a
repository, or "head" for huggingface_hub's questions about a file.
"""

import contextlib
import hashlib
import http.server
import json
import os
import re
import resource
import socket
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

COMMIT = "5" * 40


@dataclass(frozen=True)
class Fault:
    status: int = 0  # answer with this HTTP status
    cut: int | None = None  # close the connection after so many bytes
    reset: bool = False  # by a reset, not by an orderly end
    truncate: int | None = None  # send so many bytes as if they were all
    damage: bool = False  # change one byte
    hold: bool = False  # wait for `Hub.release` in mid-file


class Hub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, repositories: dict[str, Path]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.elsewhere = f"http://localhost:{self.server_port}"  # where large files lie
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        self.heal()

    def heal(self) -> None:
        """Take all faults back and forget the requests."""
        self.faults = {}
        self.requests = []  # (KEY, first byte asked for)
        self.held, self.release = threading.Event(), threading.Event()

    def handle_error(self, request, client_address):
        pass  # a client that was killed


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        routes = (
            (r"/api/models/(\w+/[\w.-]+)/tree/\w+", self.tree),
            (r"/api/models/(\w+/[\w.-]+?)(?:/revision/\w+)?", self.info),
            (r"/(\w+/[\w.-]+)/resolve/\w+/([\w.-]+)", self.resolve),
            (r"/cdn/(\w+/[\w.-]+)/([\w.-]+)", self.file),
            (r"/api/v1/models/(\w+/[\w.-]+)/repo/files", self.files),
            (r"/api/v1/models/(\w+/[\w.-]+)/repo", lambda repo: self.file(repo, query["FilePath"])),
        )
        for pattern, handler in routes:
            if match := re.fullmatch(pattern, url.path):
                if match[1] not in self.server.repositories:
                    return self.send(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
                self.folder = self.server.repositories[match[1]]
                return handler(*match.groups())
        self.send(404, {}, b"{}")

    def send(self, status, headers, body, fault=None):
        fault = fault or Fault()
        if fault.damage:
            body = body[:-1] + bytes([body[-1] ^ 1])
        body = body[: fault.truncate]
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.hold:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.server.held.set()
            self.server.release.wait(20)
            body = body[len(body) // 2 :]
        self.wfile.write(body[: fault.cut])
        if fault.cut is not None:
            self.close_connection = True
            if fault.reset:
                self.wfile.flush()
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()

    def fault(self, key, first=0) -> Fault | None:
        """The fault of a request; one that is nothing but a status has been answered."""
        self.server.requests.append((key, first))
        fault = next(self.server.faults.get(key, iter(())), None)
        if fault and fault.status:
            gated = {"X-Error-Code": "GatedRepo"} if fault.status == 403 else {}
            self.send(fault.status, gated, b"{}")
        return fault

    def send_json(self, content):
        fault = self.fault("list")
        if not (fault and fault.status):
            body = json.dumps(content).encode()
            self.send(200, {"Content-Type": "application/json"}, body, fault)

    def contents(self):
        return [(path.name, path.read_bytes()) for path in sorted(self.folder.iterdir())]

    def file(self, repo, name):
        body = (self.folder / name).read_bytes()
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        fault = self.fault(name, first)
        if fault and fault.status:
            return
        headers = {}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.send(206 if asked else 200, headers, body[first:], fault)

    # ---- Hugging Face ----------------------------------------------------------------------------

    def info(self, repo):
        self.send_json({"id": repo, "sha": COMMIT, "siblings": []})

    def tree(self, repo):
        entries = []
        for name, body in self.contents():
            entry = {"type": "file", "path": name, "size": len(body), "oid": git_checksum(body)}
            if name.endswith(".safetensors"):
                entry["lfs"] = {"oid": sha256(body), "size": len(body), "pointerSize": 130}
            entries.append(entry)
        self.send_json(entries)

    def resolve(self, repo, name):
        body = (self.folder / name).read_bytes()
        headers = {"X-Repo-Commit": COMMIT}
        if name.endswith(".safetensors"):  # lies elsewhere
            headers |= {"X-Linked-Etag": f'"{sha256(body)}"', "X-Linked-Size": str(len(body))}
            headers |= {"Location": f"{self.server.elsewhere}/cdn/{repo}/{name}"}
        else:
            headers |= {"ETag": f'"{git_checksum(body)}"'}
        if self.command == "GET":
            return self.file(repo, name)
        fault = self.fault("head")
        if not (fault and fault.status):
            self.send(302 if "Location" in headers else 200, headers, body)

    # ---- ModelScope ------------------------------------------------------------------------------

    def files(self, repo):
        entries = [
            {"Path": name, "Name": name, "Type": "blob", "Size": len(body), "Sha256": sha256(body)}
            for name, body in self.contents()
        ]
        self.send_json({"Code": 200, "Success": True, "Data": {"Files": entries}})


def digest(model) -> str:
    """Of all weights to the bit; a sum of them would depend on how it is added up."""
    weights = hashlib.sha256()
    for parameter in model.parameters():
        weights.update(parameter.detach().numpy().tobytes())
    return weights.hexdigest()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def git_checksum(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


# ---- a client ------------------------------------------------------------------------------------


def environment(cache, endpoint, offline="0"):
    return {
        "HF_HOME": f"{cache}/hf", "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": offline,
        "HF_HUB_CACHE": f"{cache}/hf/hub", "HF_HUB_DISABLE_PROGRESS_BARS": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1,localhost",
        "MODELSCOPE_CACHE": f"{cache}/ms", "MODELSCOPE_ENDPOINT": endpoint,
        "MODELSCOPE_HOME": f"{cache}/home",
    }  # fmt: skip


def run_client(pipe, settings, log, room):
    """Load what is asked for through `pipe`, with a hub's client, in a process of its own.

    Pauses pass at once; no file can grow beyond `room` bytes.
    """
    os.environ.update(settings)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    import siglip_lab as sl

    time.sleep = lambda seconds: None
    with contextlib.suppress(ImportError):
        from modelscope_hub._download_control import _DownloadControl

        _DownloadControl.sleep = lambda self, seconds: self.check()
    if room:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    while True:
        what, where = pipe.recv()
        try:
            if what == "model":
                answer = digest(sl.SigLIP.from_pretrained(where))
            else:
                answer = sl.Processor.from_pretrained(where)(text="a red circle")["input_ids"]
                answer = answer.tolist()
            pipe.send(("done", answer))
        except sl.CheckpointError as error:
            pipe.send(("error", str(error)))
        except BaseException as error:
            pipe.send(("unexpected", repr(error)))
