"""Downloads that go well, and each way in which they do not."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kgraph.datasets.download import fetch, home
from kgraph.errors import DataError

CONTENTS = bytes(range(256)) * 1600  # more than one piece of a download


@pytest.fixture
def file(server):
    return server.offer("group/small.bin", CONTENTS)


def kept(cache):
    return [path for path in cache.rglob("*") if path.is_file()]


def test_a_file_is_downloaded_once(server, file, cache):
    path = fetch(file)
    assert path == cache / "group" / "small.bin"
    assert path.read_bytes() == CONTENTS
    assert fetch(file) == path
    assert server.requests == ["/small.bin"]
    assert kept(cache) == [path]


def test_a_file_put_there_by_hand_needs_no_network(server, file, cache):
    (cache / "group").mkdir(parents=True)
    (cache / file.name).write_bytes(CONTENTS)
    assert fetch(file).read_bytes() == CONTENTS
    assert server.requests == []


def test_a_damaged_cached_file_is_downloaded_again(server, file):
    path = fetch(file)
    path.write_bytes(b"?" + CONTENTS[1:])
    assert fetch(file).read_bytes() == CONTENTS
    assert len(server.requests) == 2


def test_the_folder_follows_the_environment(monkeypatch, cache):
    assert home() / "datasets" == cache
    monkeypatch.delenv("KGRAPH_HOME")
    assert home() == Path.home() / ".kgraph"


def test_wrong_contents_are_removed_and_both_hashes_told(server, file, cache):
    server.files["/small.bin"] = b"something else"
    with pytest.raises(DataError) as caught:
        fetch(file)
    text = str(caught.value)
    assert "'group/small.bin' has the wrong contents and was removed" in text
    assert f"expected  sha256 {file.sha256}" in text
    assert "received  sha256 " in text
    assert kept(cache) == []


def test_wrong_contents_do_not_replace_what_was_there(server, file, cache):
    path = fetch(file)
    path.write_bytes(b"damaged")
    server.files["/small.bin"] = b"something else"
    with pytest.raises(DataError, match="wrong contents"):
        fetch(file)
    assert kept(cache) == [path]
    assert path.read_bytes() == b"damaged"


def test_no_network_says_how_to_do_without(file, cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError) as caught:
        fetch(replace(file, url=f"http://127.0.0.1:{port}/small.bin"))
    text = str(caught.value)
    assert "failed: 127.0.0.1 cannot be reached" in text
    assert f"at        http://127.0.0.1:{port}/small.bin" in text
    assert f"put the file there by hand: {cache / 'group' / 'small.bin'}" in text
    assert f"its sha256 must be {file.sha256}" in text
    assert kept(cache) == []


def test_a_missing_file(server, file, cache):
    server.files.clear()
    with pytest.raises(DataError, match=r"was refused by the server[\s\S]*received  404"):
        fetch(file)
    assert kept(cache) == []


def test_a_truncated_body(server, file, cache):
    server.manner = "truncated"
    with pytest.raises(DataError, match=r"ended before it was complete[\s\S]*1000 more expected"):
        fetch(file)
    assert kept(cache) == []


@pytest.mark.parametrize("manner", ["silent", "stalled"])
def test_a_server_that_stops_talking(server, file, cache, manner):
    server.manner = manner
    begun = time.monotonic()
    with pytest.raises(DataError, match=r"failed: 127\.0\.0\.1 was silent for 0\.2 s"):
        fetch(file, timeout=0.2)
    assert time.monotonic() - begun < 5
    assert kept(cache) == []


_FETCH = """
import sys
from kgraph.datasets.download import RemoteFile, fetch
fetch(RemoteFile(*sys.argv[1:]))
"""


def test_a_kill_in_the_middle_leaves_no_final_file(server, file, cache):
    server.manner = "stalled"
    arguments = [file.name, file.url, file.sha256]
    process = subprocess.Popen(
        [sys.executable, "-c", _FETCH, *arguments], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in kept(cache)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert any(path.stat().st_size for path in kept(cache))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert not (cache / file.name).exists()
    server.manner = "well"
    assert fetch(file).read_bytes() == CONTENTS
