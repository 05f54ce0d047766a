"""Objects in a bucket, and the lock that is one of them. The bucket is one of `bucket_server`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from bucket_server import BucketServer, serving

import kgraph
from kgraph.errors import ConfigError, StateError
from kgraph.saving.checkpoints import Checkpoint
from kgraph.saving.checkpoints.step_bucket import StepBucket
from kgraph.saving.files import lease
from kgraph.saving.files.bucket import BucketPath
from kgraph.saving.files.lease import BucketLock
from kgraph.saving.files.lock import Owner

PLACE = BucketPath("gs://bucket/run")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """A bucket whose locks expire soon."""
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    monkeypatch.setattr(lease, "EXPIRED", 0.3)
    monkeypatch.setattr(lease, "TURN", 0.02)
    with serving(monkeypatch) as found:
        yield found


def test_objects_are_replaced_only_where_they_are_still_the_same(server: BucketServer) -> None:
    path = PLACE / "a" / "b"
    assert path.look() is None
    assert path.replace(b"1", None) is not None
    assert path.replace(b"2", None) is None
    found = path.look()
    assert found is not None
    assert found[0] == b"1"
    assert path.replace(b"3", found[1]) is not None
    assert path.replace(b"4", found[1]) is None
    assert path.read_bytes() == b"3"
    (PLACE / "c").write_bytes(b"")
    (BucketPath("gs://bucket/runs") / "x").write_bytes(b"")
    assert PLACE.below() == ["a/b", "c"]
    assert (PLACE / "a").below() == ["b"]
    assert not (PLACE / "a").exists()
    PLACE.remove_below()
    assert server.names() == ["bucket/runs/x"]
    with pytest.raises(FileNotFoundError, match="No such object"):
        path.read_bytes()


@pytest.mark.parametrize("status", [403, 404, 429, 503])
def test_a_refusal_of_the_bucket_is_an_error_of_the_system(
    server: BucketServer, status: int
) -> None:
    server.fault = lambda method, name: status
    with pytest.raises(OSError, match=r"The bucket does not answer as it should: .*as told"):
        PLACE.write_bytes(b"1")


def test_what_fails_for_a_moment_is_tried_again(server: BucketServer) -> None:
    faults = iter([503, 500, 429])
    server.fault = lambda method, name: next(faults, None)
    PLACE.write_bytes(b"1")
    assert PLACE.read_bytes() == b"1"


def test_a_write_that_is_refused_by_a_condition_that_was_not_made_is_an_error(
    server: BucketServer,
) -> None:
    server.fault = lambda method, name: 412
    with pytest.raises(OSError, match="refused to write"):
        PLACE.write_bytes(b"1")


# --- the lock ------------------------------------------------------------------------------------


def foreign(server: BucketServer, pid: int = 1, machine: str = "another") -> bytes:
    """Writes the lock of another writer, and returns what is in it."""
    content = Owner(pid, "host-9", "2026-01-01", "a token", machine).encode().encode()
    (PLACE / "writer.lock").write_bytes(content)
    return content


def test_one_writer_at_a_time(server: BucketServer) -> None:
    first, second = BucketLock(PLACE), BucketLock(PLACE)
    first.acquire()
    assert second.is_seen(first.text)
    with pytest.raises(StateError, match=r"written by another writer[\s\S]*this process"):
        second.acquire()
    first.release()
    second.acquire()
    second.confirm()
    del second
    first.acquire()  # an object that was dropped has given its lock back
    first.remove()
    assert server.names() == []


def test_a_lock_that_is_renewed_is_respected(server: BucketServer) -> None:
    content, ends = foreign(server), threading.Event()

    def renew() -> None:
        while not ends.wait(0.05):
            (PLACE / "writer.lock").write_bytes(content)

    other = threading.Thread(target=renew)
    other.start()
    try:
        with (
            pytest.warns(UserWarning, match="is locked by process 1 on host-9"),
            pytest.raises(StateError, match=r"is being written by another[\s\S]*host-9"),
        ):
            BucketLock(PLACE).acquire()
    finally:
        ends.set()
        other.join()


def test_a_lock_that_is_not_renewed_is_taken(server: BucketServer) -> None:
    foreign(server)
    lock, start = BucketLock(PLACE), time.monotonic()
    with pytest.warns(UserWarning, match="within 0.3 seconds .* taken from it"):
        lock.acquire()
    assert time.monotonic() - start > lease.EXPIRED
    lock.confirm()
    lock.release()


@pytest.mark.parametrize("pid", ["dead", "our own, of before"])
def test_a_lock_of_a_dead_process_of_this_machine_is_taken_at_once(
    server: BucketServer, pid: str
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    foreign(server, dead.pid if pid == "dead" else os.getpid(), lease._machine())
    lock = BucketLock(PLACE)
    lock.acquire()  # without a warning
    lock.release()


def test_a_lock_outlasts_its_expiry_and_is_lost_to_one_who_takes_it(server: BucketServer) -> None:
    lock = BucketLock(PLACE)
    lock.acquire()
    time.sleep(2 * lease.EXPIRED)
    lock.confirm()
    foreign(server)
    with pytest.raises(StateError, match="not renewed in time, and taken by process 1 on host-9"):
        lock.confirm()
    lock.release()
    assert b"host-9" in (PLACE / "writer.lock").read_bytes()  # it is not ours to give back


def test_an_answer_that_is_lost_does_not_lose_the_lock(server: BucketServer) -> None:
    """The request is made again, and finds its own object there."""
    lock = BucketLock(PLACE)
    lock.acquire()
    assert lock._lease is not None
    before = lock._lease._generation
    with lock._lease._change:
        (PLACE / "writer.lock").write_bytes(lock._lease.owner.encode().encode())
    time.sleep(4 * lease.RENEWED)
    assert lock._lease._generation not in (before, b"")
    lock.release()


# --- what has no need of Orbax -------------------------------------------------------------------


def test_a_list_that_is_refused_is_no_empty_checkpoint(server: BucketServer) -> None:
    (PLACE / "writer.lock").write_bytes(b"")
    assert StepBucket(PLACE).steps() == {}
    server.fault = lambda method, name: None if name else 403
    with pytest.raises(PermissionError, match="cannot be listed"):
        Checkpoint("gs://bucket/run").latest()


def test_what_is_missing_is_named(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "etils", None)
    with pytest.raises(ConfigError, match=r"gcsfs.*not installed[\s\S]*kgraph-jax\[gcs\]"):
        Checkpoint("gs://bucket/run").open()
    assert server.names() == []


@pytest.mark.parametrize(
    "place", ["s3://bucket/run", "gs://", "gs://Bucket/run", "gs://bucket//run", "az://b/c"]
)
def test_other_places_are_refused_by_name(place: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(place)):
        kgraph.Checkpoint(place)


def test_a_bucket_is_no_path_of_this_machine() -> None:
    assert str(Checkpoint("gs://bucket/run/").directory) == "gs://bucket/run"


def test_a_list_of_what_is_gone_is_asked_for_again(server: BucketServer) -> None:
    """A reader beside a writer: the only step goes while it is looked at, and another is there."""
    first, second = (f"bucket/run/step_00000000{n}/whole" for n in (1, 2))
    server.objects[first] = next(server.generations), b"whole 1"

    def moved(method: str, name: str) -> None:
        if name.endswith("1/whole") and server.objects.pop(first, None):
            server.objects[second] = next(server.generations), b"whole 2"

    server.fault = moved
    assert list(StepBucket(PLACE).steps()) == [2]
