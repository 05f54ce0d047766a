"""A bucket of Google Cloud Storage in memory: the part of its JSON API that a checkpoint needs.

Objects have generations, requests may depend on them, and every request can be made to fail.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from kgraph.saving.files import bucket

_PATH = re.compile(r"(/upload|/download)?/storage/v1(?:/b/([^/]+)(?:/o(?:/(.+))?)?)?(?:/.*)?")
Fault = Callable[[str, str], int | None]
"""What becomes of a request, by its method and the name of its object: the status of an error, None
for none."""


class BucketServer:
    """A server on 127.0.0.1 with any bucket that is asked for.

    Fields:
        objects: generation and content by bucket and name.
        fault: what becomes of requests; may wait, or kill.
        asked: method and name of each request so far.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[int, bytes]] = {}
        self.fault: Fault = lambda method, name: None
        self.asked: list[tuple[str, str]] = []
        self.generations = itertools.count(int(time.time() * 1e6))
        self.lock = threading.Lock()
        self.uploads: dict[str, tuple[dict[str, str], bytearray]] = {}
        handler = type("Handler", (_Handler,), {"bucket": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables by which clients find this server."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "TENSORSTORE_GCS_HTTP_URL": url, "STORAGE_EMULATOR_HOST": url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "a token", "FSSPEC_GCS_TOKEN": "anon",
        }  # fmt: skip

    def names(self) -> list[str]:
        with self.lock:
            return sorted(self.objects)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of clients that are killed."""


class _Handler(BaseHTTPRequestHandler):
    bucket: BucketServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client's system

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        url = urlsplit(self.path)
        options = {key: values[-1] for key, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = _PATH.fullmatch(url.path)
        kind, bucket, name = found.groups("") if found else ("", "", "")
        name = options.get("uploadId") or unquote(name) or options.get("name", "")
        if options.get("uploadType") == "multipart":
            facts, body = _parts(self.headers["Content-Type"], body)
            name = json.loads(facts)["name"]
        self.bucket.asked.append((self.command, name))
        status = self.bucket.fault(self.command, name)
        if status is not None:
            self._answer(status, {"error": {"code": status, "message": "as told"}})
        elif kind == "/upload":
            self._upload(bucket, name, options, body)
        elif not url.path.startswith(f"{kind}/storage/v1/b/{bucket}/o"):
            self._answer(200 if bucket else 404, {"name": bucket, "kind": "storage#bucket"})
        elif not name:
            self._list(bucket, options)
        elif self.command == "DELETE":
            self._delete(bucket, name, options)
        else:
            self._get(bucket, name, options)

    def _get(self, bucket: str, name: str, options: dict[str, str]) -> None:
        with self.bucket.lock:
            generation, content = self.bucket.objects.get(f"{bucket}/{name}", (0, b""))
        if generation == 0:
            return self._answer(404, {"error": {"code": 404, "message": "no such object"}})
        if not _holds(options, generation):
            return self._answer(304 if "ifGenerationNotMatch" in options else 412, {})
        if options.get("alt") != "media":
            return self._answer(200, _facts(bucket, name, generation, content))
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            return self._send(200, content, generation)
        start = int(asked[1]) if asked[1] else max(len(content) - int(asked[2]), 0)
        part = content[start : int(asked[2]) + 1 if asked[1] and asked[2] else None]
        if not part:
            return self._answer(416, {})
        said = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self._send(206, part, generation, {"Content-Range": said})

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _upload(self, bucket: str, name: str, options: dict[str, str], body: bytes) -> None:
        if options.get("uploadType") == "resumable" and "uploadId" not in options:
            name = name or json.loads(body)["name"]
            self.bucket.uploads[name] = options, bytearray()
            query = f"uploadType=resumable&uploadId={quote(name, safe='')}"
            url = f"http://{self.headers['Host']}/upload/storage/v1/b/{bucket}/o?{query}"
            return self._send(200, b"", 0, {"Location": url})
        if "uploadId" in options:
            options, held = self.bucket.uploads[name]
            held += body
            last = re.fullmatch(r"bytes .*/(\d+)", self.headers.get("Content-Range", ""))
            if last is None or len(held) < int(last[1]):
                return self._send(308, b"", 0, {"Range": f"bytes=0-{len(held) - 1}"})
            body = bytes(held)
        with self.bucket.lock:
            known = self.bucket.objects.get(f"{bucket}/{name}", (0, b""))[0]
            if not _holds(options, known):
                return self._answer(412, {"error": {"code": 412, "message": "conditionNotMet"}})
            generation = next(self.bucket.generations)
            self.bucket.objects[f"{bucket}/{name}"] = (generation, body)
        self._answer(200, _facts(bucket, name, generation, body))

    def _delete(self, bucket: str, name: str, options: dict[str, str]) -> None:
        with self.bucket.lock:
            known = self.bucket.objects.get(f"{bucket}/{name}", (0, b""))[0]
            goes = known != 0 and _holds(options, known)
            if goes:
                del self.bucket.objects[f"{bucket}/{name}"]
        self._answer(204 if goes else 412 if known else 404, {})

    def _list(self, bucket: str, options: dict[str, str]) -> None:
        prefix, cut = options.get("prefix", ""), options.get("delimiter")
        items, prefixes = [], set()
        with self.bucket.lock:
            known = sorted(self.bucket.objects.items())
        for full, (generation, content) in known:
            own, _, name = full.partition("/")
            inside = options.get("startOffset", "") <= name < options.get("endOffset", "\U0010ffff")
            if own != bucket or not name.startswith(prefix) or not inside:
                continue
            rest = name[len(prefix) :]
            if cut and cut in rest:
                prefixes.add(prefix + rest.partition(cut)[0] + cut)
            else:
                items.append(_facts(bucket, name, generation, content))
        self._answer(200, {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)})

    def _answer(self, status: int, value: object) -> None:
        self._send(status, b"" if status in (204, 304) else json.dumps(value).encode(), 0)

    def _send(
        self, status: int, body: bytes, generation: int, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        if generation:
            self.send_header("x-goog-generation", str(generation))
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)


def _holds(options: dict[str, str], generation: int) -> bool:
    same, other = options.get("ifGenerationMatch"), options.get("ifGenerationNotMatch")
    return (same is None or int(same) == generation) and (other is None or int(other) != generation)


def _facts(bucket: str, name: str, generation: int, content: bytes) -> dict[str, object]:
    return {
        "kind": "storage#object", "bucket": bucket, "name": name, "generation": str(generation),
        "size": str(len(content)), "metageneration": "1", "updated": "2026-01-01T00:00:00.000Z",
        "timeCreated": "2026-01-01T00:00:00.000Z", "id": f"{bucket}/{name}/{generation}",
    }  # fmt: skip


def _parts(content_type: str, body: bytes) -> list[bytes]:
    """Returns the parts of a multipart body."""
    mark = re.search(r"boundary=[\"']?([^\"';]+)", content_type)
    assert mark is not None
    parts = body.split(b"--" + mark[1].encode())[1:-1]
    return [re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1].rstrip(b"\r\n") for part in parts]


QUICK = {"max_retries": 3, "initial_delay": "20ms", "max_delay": "50ms"}


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """Serves a bucket of which requests that fail are made again for a quarter of a second."""
    found = BucketServer()
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(bucket, "_RETRIES", QUICK)
    bucket._store.cache_clear()
    yield found
    bucket._store.cache_clear()
    found.close()
