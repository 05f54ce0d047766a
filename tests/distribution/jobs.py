"""Jobs of several processes on this machine, each of which has a limit."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kgraph

ROOT = Path(kgraph.__file__).parent.parent
THOROUGH = bool(os.environ.get("KGRAPH_THOROUGH"))
"""Whether something is tried at each of two processes where one of them stands for both."""
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


def start_job(
    program: Path | str, *arguments: object, count: int = 2, devices: int = 4,
    variables: list[dict[str, str]] | None = None, by_environment: bool = False,
    at: tuple[str, int] | None = None,
) -> list[subprocess.Popen[str]]:  # fmt: skip
    """Starts a program in several processes.

    Args:
        program, *arguments: each is given the address of the first, its own number, and these.
        count: of processes.
        devices: of each.
        variables: what each has in its environment beside.
        by_environment: whether they are told address and number by their environment instead.
        at: address of the first, and number of the first of these; by default a new job.
    """
    address, first = (free_address(), 0) if at is None else at
    shared = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "NPROC": "16"}
    shared["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    found = []
    for index in range(count):
        told, own = [address, str(first + index)], {}
        if by_environment:
            told, own = (
                [],
                {
                    "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
                    "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
                    "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
                    "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
                },
            )
        environment = {**shared, **own, **(variables[index] if variables else {})}
        found.append(subprocess.Popen(
            [sys.executable, "-u", str(program), *told, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=environment,
        ))  # fmt: skip
    return found


def end_job(processes: list[subprocess.Popen[str]]) -> list[Ended]:
    """Waits for the processes and returns how each ended; none may wait for ever."""
    try:
        said = [process.communicate(timeout=LIMIT) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)
    return [Ended(process.returncode, out, log) for process, (out, log) in zip(processes, said)]


def run_job(program: Path | str, *arguments: object, **options: Any) -> list[Ended]:
    """Runs a program in several processes, as `start_job` does, and returns how each ended."""
    return end_job(start_job(program, *arguments, **options))
