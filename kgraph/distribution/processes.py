"""Several processes that train together: how they find each other."""

from __future__ import annotations

import itertools
import json
import os

import jax

from kgraph import config
from kgraph.distribution.coordination import gather
from kgraph.distribution.together import watch_the_end
from kgraph.errors import ConfigError, StateError

HEARTBEAT_SECONDS = 40
"""After so long a silence of one process, JAX ends the others."""


def initialize(
    job_addresses: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins this process to the others of a training. Comes before anything that uses a device.

    On Cloud TPU, Slurm and Kubernetes (there with `jax[k8s]`) no argument is needed. Afterwards all
    processes have the same stream of seeds, that of the first, and each of them runs the same
    program: every call of `fit`, `evaluate`, `predict` and `save` is made by all, in the same
    order. If one of them fails in such a call, the others raise ProcessError; if one dies, JAX ends
    the others within a minute.

    Args:
        job_addresses: "host:port" of the first process; of several, separated by commas, the first
            counts. By default what KERAS_DISTRIBUTION_JOB_ADDRESSES says, if it is set.
        num_processes: how many there are; by default KERAS_DISTRIBUTION_NUM_PROCESSES, or as many
            as there are addresses.
        process_id: which of them this is, from 0; by default KERAS_DISTRIBUTION_PROCESS_ID.

    Raises:
        ConfigError: a number is missing, or none.
        StateError: JAX has used a device already, has been initialized otherwise, or the others did
            not come within five minutes.
    """
    job_addresses = job_addresses or os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES") or None
    num_processes = _number(num_processes, "KERAS_DISTRIBUTION_NUM_PROCESSES")
    process_id = _number(process_id, "KERAS_DISTRIBUTION_PROCESS_ID")
    first = None
    if job_addresses is not None:
        addresses = [address.strip() for address in job_addresses.split(",")]
        first = addresses[0]
        if num_processes is None and len(addresses) > 1:
            num_processes = len(addresses)
        if num_processes is None or process_id is None:
            raise ConfigError(
                "A process has to know how many there are and which of them it is",
                expected="num_processes and process_id beside job_addresses",
                received=f"num_processes={num_processes}, process_id={process_id}",
            )
    try:
        jax.distributed.initialize(
            first, num_processes, process_id, heartbeat_timeout_seconds=HEARTBEAT_SECONDS
        )
    except (RuntimeError, ValueError) as error:
        raise StateError(
            "This process cannot join the others", received=str(error).partition("\n")[0],
            hint="call kgraph.distribution.initialize() once, before anything that uses JAX",
        ) from error  # fmt: skip
    watch_the_end()
    agree_on_seed()


def _number(given: int | None, variable: str) -> int | None:
    """Returns an argument, or what a variable of the environment says in its place."""
    text = os.environ.get(variable)
    if given is not None or not text:
        return given
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(
            f"{variable} in the environment is no whole number", received=repr(text)
        ) from error


def agree_on_seed() -> None:
    """Gives all processes the stream of seeds that the first has; they wait for each other."""
    if jax.process_count() == 1:
        return
    settings = config._settings
    drawn = next(settings.draws)  # looked at, and put back below
    first = gather("the first seed", json.dumps([settings.seed, drawn]))[0]
    settings.seed, number = json.loads(first)
    settings.draws = itertools.count(number)
