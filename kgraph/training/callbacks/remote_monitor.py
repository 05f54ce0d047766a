"""RemoteMonitor: the logs of each epoch, sent to a server."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Mapping

from kgraph.distribution.coordination import is_leader
from kgraph.errors import ConfigError
from kgraph.source import warn
from kgraph.training.callbacks.callback import Callback, Logs
from kgraph.training.callbacks.json_line import as_json

_SECONDS = 10.0


class RemoteMonitor(Callback):
    """Sends the epoch (from 0) and its logs as an HTTP POST to `root + path` after each epoch.

    Training waits for the answer, at most 10 seconds; if there is none, or an error, it warns and
    goes on.

    Args:
        root: address of the server.
        path: where on it.
        field: name of the field of a form that holds the logs as JSON.
        headers: further headers.
        send_as_json: sends JSON itself and not a form.

    Raises:
        ConfigError: `root` is no HTTP address.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        if urllib.parse.urlsplit(root).scheme not in ("http", "https"):
            raise ConfigError(
                "RemoteMonitor needs the address of a server",
                expected="http://... or https://...",
                received=repr(root),
            )
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = dict(headers or {}), send_as_json

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if not is_leader():
            return
        data = as_json({"epoch": epoch, **(logs or {})})
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        body = data if self.send_as_json else urllib.parse.urlencode({self.field: data})
        request = urllib.request.Request(
            self.root + self.path, body.encode(), {"Content-Type": kind, **self.headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):
                pass
        except OSError as error:  # URLError, HTTPError and timeouts are all of this kind
            warn(f"RemoteMonitor could not reach {self.root}: {error}")
