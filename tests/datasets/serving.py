"""A web server on this machine that serves bytes, well or badly, and counts the requests."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kgraph.datasets.download import RemoteFile


@dataclass
class Server:
    """Serves `files` by path; `manner` is `"well"`, `"truncated"`, `"silent"` or `"stalled"`."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    manner: str = "well"
    requests: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def offer(self, name: str, contents: bytes) -> RemoteFile:
        """Serves the contents and returns a description of them that is true."""
        path = "/" + name.rpartition("/")[2]
        self.files[path] = contents
        return RemoteFile(name, self.address + path, hashlib.sha256(contents).hexdigest())


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Runs a server until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            if self.path not in server.files:
                self.send_error(404)
                return
            if server.manner == "silent":
                server.stop.wait(20)
                return
            contents = server.files[self.path]
            self.send_response(200)
            extra = 1000 if server.manner == "truncated" else 0
            self.send_header("Content-Length", str(len(contents) + extra))
            self.end_headers()
            if server.manner == "stalled":
                self.wfile.write(contents[: len(contents) // 2])
                self.wfile.flush()
                server.stop.wait(20)
                return
            self.wfile.write(contents)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stop.set()
        http.shutdown()
        thread.join()
        http.server_close()
