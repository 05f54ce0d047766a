"""Arrays in a folder, by Orbax. The only module that knows Orbax' interface (its v1).

Orbax does not notice flipped bits in its data, refuses arrays of size zero, and takes the memory
that the folder asks for. So empty arrays and the comparison of shapes are dealt with here, and
digests by the callers. Keys are generated (`a0`, `a1`, ...): no name of the user's becomes a path.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.saving.kgraph_format.array_entry import ArrayEntry
from kgraph.types import Array


def write_arrays(folder: Path, arrays: Sequence[np.ndarray]) -> None:
    """Writes arrays into a folder that does not exist yet. Nothing is written if all are empty.

    Raises:
        OSError: they could not be written.
    """
    from orbax.checkpoint import v1 as orbax

    tree = {f"a{i}": array for i, array in enumerate(arrays) if array.size}
    if not tree:
        return
    try:
        with _quiet():
            orbax.save(str(folder), tree)
    except ValueError as error:  # how Orbax reports a full disk (0.12.8)
        raise _system_error(error) from error
    # Orbax notes here where it wrote to; a file that is passed on should not tell.
    (folder / "commit_success.txt").write_text("Checkpoint commit was successful")


def read_arrays(
    folder: Path,
    entries: Sequence[ArrayEntry],
    wanted: Collection[str],
    on_host: bool = False,
) -> dict[str, Array]:
    """Returns those of the arrays that `write_arrays` wrote whose paths are wanted, by path.

    Shapes in the folder are compared with the entries before memory is taken for them.

    Args:
        folder: the checkpoint.
        entries: path, shape and dtype of each array in it, in the order in which they were written.
        wanted: paths; nothing is read of the other arrays.
        on_host: whether to return NumPy arrays in the place of JAX arrays on the first device.

    Raises:
        ValueError: the folder holds other arrays.
    """
    from orbax.checkpoint import v1 as orbax

    kept = {f"a{i}": entry for i, entry in enumerate(entries) if math.prod(entry.shape)}
    empty = [e for e in entries if e.path in wanted and not math.prod(e.shape)]
    zeros: Any = np.zeros if on_host else jnp.zeros
    arrays = {entry.path: zeros(entry.shape, jnp.dtype(entry.dtype)) for entry in empty}
    if not any(entry.path in wanted for entry in kept.values()):
        return arrays
    with _alone():
        stored: Any = orbax.metadata(str(folder)).metadata
    _compare(stored, kept)
    request = {
        key: _like(entry, on_host) if entry.path in wanted else orbax.PLACEHOLDER
        for key, entry in kept.items()
    }
    with _alone():
        read: Any = orbax.load(str(folder), request)
    return arrays | {e.path: read[key] for key, e in kept.items() if e.path in wanted}


def _like(entry: ArrayEntry, on_host: bool) -> Any:
    dtype = jnp.dtype(entry.dtype)
    if on_host:
        return np.empty(entry.shape, dtype)  # which touches no memory
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(entry.shape, dtype, sharding=sharding)


def _compare(stored: Any, kept: dict[str, ArrayEntry]) -> None:
    if not isinstance(stored, dict) or set(stored) != set(kept):
        raise ValueError("the checkpoint holds other arrays than the manifest lists")
    for key, entry in kept.items():
        found = stored[key]
        same = tuple(found.shape) == entry.shape and jnp.dtype(found.dtype) == entry.dtype
        chunk = getattr(found.storage_metadata, "chunk_shape", None) or entry.shape
        # A chunk is decompressed whole, so one larger than its array would take memory for nothing.
        if not same or math.prod(chunk) > math.prod(entry.shape):
            raise ValueError(f"{entry.path!r} is {found.shape} {found.dtype} in the checkpoint")


def _system_error(error: ValueError) -> OSError:
    """Returns the error of the system that Orbax tells of at the end of a long text."""
    found = re.search(r"os_error_code='(\d+)'", str(error))
    if found is None:
        return OSError(f"Orbax could not write the arrays: {error}")
    number = int(found[1])
    return OSError(number, f"Orbax could not write the arrays: {os.strerror(number)}")


def _alone() -> contextlib.AbstractContextManager[Any]:
    """Has Orbax read for this process only: of several, it would wait for the others."""
    from orbax.checkpoint import v1 as orbax

    context = orbax.Context()
    if jax.distributed.is_initialized():
        here = jax.process_index()
        context.multiprocessing.primary_host = here
        context.multiprocessing.active_processes = {here}
    return context


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the log what is raised as well: Orbax' threads print a failure six times over."""

    def is_news(record: logging.LogRecord) -> bool:
        return "_SignalingThread.run() raised" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
