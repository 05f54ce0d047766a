"""Arrays in a folder, by Orbax. The only module that knows Orbax' interface (its v1).

Orbax does not notice flipped bits in its data, refuses arrays of size zero, and takes the memory
that the folder asks for. So empty arrays and the comparison of shapes are dealt with here, and
digests by the callers. Keys are generated (`a0`, `a1`, ...): no name of the user's becomes a path.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.saving.manifest import ArrayEntry
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
        orbax.save(str(folder), tree)
    except ValueError as error:  # how Orbax reports a full disk (0.12.8)
        raise OSError(f"Orbax could not write the arrays: {error}") from error
    # Orbax notes here where it wrote to; a file that is passed on should not tell.
    (folder / "commit_success.txt").write_text("Checkpoint commit was successful")


def read_arrays(
    folder: Path, entries: Sequence[ArrayEntry], wanted: Collection[str]
) -> dict[str, Array]:
    """Returns those of the arrays that `write_arrays` wrote whose paths are wanted, by path.

    Shapes in the folder are compared with the entries before memory is taken for them.

    Args:
        folder: the checkpoint.
        entries: path, shape and dtype of each array in it, in the order in which they were written.
        wanted: paths; nothing is read of the other arrays.

    Raises:
        ValueError: the folder holds other arrays.
    """
    from orbax.checkpoint import v1 as orbax

    kept = {f"a{i}": entry for i, entry in enumerate(entries) if math.prod(entry.shape)}
    empty = [e for e in entries if e.path in wanted and not math.prod(e.shape)]
    arrays = {entry.path: jnp.zeros(entry.shape, entry.dtype) for entry in empty}
    if not any(entry.path in wanted for entry in kept.values()):
        return arrays
    stored: Any = orbax.metadata(str(folder)).metadata
    _compare(stored, kept)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    request = {
        key: jax.ShapeDtypeStruct(entry.shape, jnp.dtype(entry.dtype), sharding=sharding)
        if entry.path in wanted
        else orbax.PLACEHOLDER
        for key, entry in kept.items()
    }
    read: Any = orbax.load(str(folder), request)
    return arrays | {e.path: read[key] for key, e in kept.items() if e.path in wanted}


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
