"""Several processes that train together: how they find each other, and agree."""

from __future__ import annotations

import itertools

import jax
import numpy as np

from kgraph import config
from kgraph.errors import ConfigError, StateError


def initialize(
    job_addresses: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins this process to the others of a training. Comes before anything that uses a device.

    On Cloud TPU, Slurm and Kubernetes no argument is needed. Afterwards all processes have the same
    stream of seeds, that of the first, and each of them runs the same program: every call of `fit`,
    `evaluate`, `predict` and `save` is made by all, in the same order.

    Args:
        job_addresses: "host:port" of the first process; of several, separated by commas, the first
            counts.
        num_processes: how many there are; by default as many as there are addresses.
        process_id: which of them this is, from 0.

    Raises:
        StateError: JAX has used a device already, or has been initialized otherwise.
    """
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
        jax.distributed.initialize(first, num_processes, process_id)
    except RuntimeError as error:
        raise StateError(
            "This process cannot join the others", received=str(error).partition("\n")[0],
            hint="call kgraph.distribution.initialize() once, before anything that uses JAX",
        ) from error  # fmt: skip
    agree_on_seed()


def largest(number: int) -> int:
    """Returns the largest of the numbers of all processes; they wait for each other."""
    from jax.experimental import multihost_utils

    return int(np.max(multihost_utils.process_allgather(np.int32(number))))


def agree_on_seed() -> None:
    """Gives all processes the stream of seeds that the first has; they wait for each other."""
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils  # late: a training on one host needs none of it

    settings = config._settings
    drawn = next(settings.draws)  # looked at, and put back below
    own = np.array([settings.seed, drawn], np.uint32)
    seed, number = (int(word) for word in multihost_utils.broadcast_one_to_all(own))
    settings.seed, settings.draws = seed, itertools.count(number)
