"""Jobs of several processes on this machine, each of which has a limit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import kgraph

ROOT = Path(kgraph.__file__).parent.parent
LIMIT = 120.0
"""Seconds after which a job has failed: some process waits for ever."""


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    status: int
    out: str
    log: str


def free_address() -> str:
    """Returns an address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def run_job(
    program: Path | str, *arguments: object, count: int = 2, devices: int = 4,
    variables: list[dict[str, str]] | None = None,
) -> list[Ended]:  # fmt: skip
    """Runs a program in several processes and returns how each ended.

    Each is given the address of the first, its own number, and the arguments.
    """
    address = free_address()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "NPROC": "16"}
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-u", str(program), address, str(index), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**environment, **(variables[index] if variables else {})},
        )
        for index in range(count)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
    return [Ended(process.returncode, out, log) for process, (out, log) in zip(processes, said)]
