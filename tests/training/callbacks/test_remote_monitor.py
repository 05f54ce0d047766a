"""RemoteMonitor against a server of its own, and the same requests from Keras."""

from __future__ import annotations

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import keras
import pytest

from kgraph import callbacks as ours
from kgraph.errors import ConfigError

LOGS = {"loss": 0.5, "val_loss": 1.25}


@pytest.fixture
def server():
    """Yields its address and the list of (path, headers, body) that it was sent."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers), body))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}", seen
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
def test_requests_are_those_of_keras(server, as_json):
    pytest.importorskip("requests")
    root, seen = server
    for library in (ours, keras.callbacks):
        monitor = library.RemoteMonitor(
            root, field="logs", headers={"X-Run": "7"}, send_as_json=as_json
        )
        monitor.on_epoch_end(3, dict(LOGS))
    (path, headers, body), (their_path, their_headers, their_body) = seen
    assert path == their_path == "/publish/epoch/end/"
    assert headers["X-Run"] == their_headers["X-Run"] == "7"
    assert headers["Content-Type"] == their_headers["Content-Type"]

    def read(body):
        text = body.decode()
        return json.loads(text if as_json else urllib.parse.parse_qs(text)["logs"][0])

    assert read(body) == read(their_body) == {"epoch": 3, **LOGS}


def test_a_server_that_fails_or_is_not_there_is_only_warned_of(server):
    root, seen = server
    with pytest.warns(UserWarning, match=r"could not reach http.*HTTP Error 500"):
        ours.RemoteMonitor(root, path="/broken").on_epoch_end(0, LOGS)
    assert len(seen) == 1
    with pytest.warns(UserWarning, match=r"could not reach http://127\.0\.0\.1:9:"):
        ours.RemoteMonitor("http://127.0.0.1:9").on_epoch_end(0, LOGS)


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ConfigError, match=r"address of a server[\s\S]*'file:///tmp'"):
        ours.RemoteMonitor("file:///tmp")
