"""Serves the built site as a web host does: compressed, and kept by the browser.

`python tests/serving.py FOLDER PORT` shows it until Ctrl-C.
"""

import gzip
import http.server
import io
import sys
import threading
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

COMPRESSED = {".html", ".css", ".js", ".json", ".svg", ".txt", ".ipynb", ".inv"}


@cache
def _compressed(path: Path, changed: float) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_head(self):
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.split("?")[0].endswith("/"):
            path /= "index.html"
        packed = path.suffix in COMPRESSED and "gzip" in self.headers.get("Accept-Encoding", "")
        if not (packed and path.is_file()):
            return super().send_head()
        body = _compressed(path, path.stat().st_mtime)
        self.send_response(200)
        self.send_header("Content-Type", f"{self.guess_type(str(path))}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)

    def end_headers(self):
        self.send_header("Cache-Control", "max-age=600")  # as GitHub Pages does
        super().end_headers()


@contextmanager
def served(folder: Path, port: int = 0):
    """Yields the address; nobody outside this machine can reach it."""
    handler = partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


if __name__ == "__main__":
    with served(Path(sys.argv[1]), int(sys.argv[2])) as address:
        print(address)
        threading.Event().wait()
