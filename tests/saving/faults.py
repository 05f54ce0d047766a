"""How the tests of saving kill processes, break their system calls and fill their disks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kgraph

ROOT = Path(kgraph.__file__).parents[1]
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
"""With this variable set, each system call fails once and 200 kills are tried: fifteen minutes."""

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


class Children:
    """Processes that save, forked from one that has imported everything.

    Args:
        module: runs as a program. For each line of its input (JSON) it forks a process that saves
            to a place, and prints its pid.
    """

    def __init__(self, module: Any) -> None:
        self.server = subprocess.Popen(
            [sys.executable, module.__file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == "ready\n"

    def start(self, place: Path | str, **order: Any) -> int:
        """Forks one and returns its pid."""
        print(json.dumps({"place": str(place), **order}), file=self.server.stdin, flush=True)
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())

    def run(self, place: Path | str, **order: Any) -> list[str]:
        """Forks one and returns what it wrote, when it has ended."""
        end_of(self.start(place, **order), place)
        return log_of(place)

    def close(self) -> None:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.server.stdin.close()
        try:
            self.server.wait(10)
        finally:
            self.server.kill()
        self.server.stdout.close()


def log_of(place: Path | str) -> list[str]:
    """Returns the lines that processes have written about their saves to a place."""
    log = Path(f"{str(place).rstrip('/')}.log")
    return log.read_text().splitlines() if log.exists() else []


def until(condition: Any, what: str, limit: float = 60.0) -> None:
    """Waits for something to be true."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.002)


def end_of(pid: int, place: Path | str) -> None:
    """Waits until a process is gone."""
    until(lambda: not _runs(pid), f"process {pid} does not end: {log_of(place)}")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def traced(pid: int, go: Path, options: list[str]) -> Iterator[None]:
    """Has strace follow a process, which begins when the file `go` is there; skips without it."""
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(pid), *options], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    go.touch()
    if "attached" not in first:
        tracer.wait(60)
        pytest.skip(f"strace cannot attach here: {first}")
    yield
    tracer.communicate(timeout=60)


@contextlib.contextmanager
def failing_call(pid: int, go: Path, call: str, fault: str, position: int) -> Iterator[None]:
    """Has one system call of a process fail, or kill it: `fault` is `error=EIO`, `signal=KILL`."""
    inject = f"inject={call}:{fault}:when={position}"
    with traced(pid, go, ["-o", os.devnull, "-e", f"trace={call}", "-e", inject]):
        yield


@contextlib.contextmanager
def little_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mounts a file system (`"size=2m"`, `"ro"`) on a new folder; skips where one cannot."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
