"""Whole data sets on the device, and how many bytes that may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph.compiler.executables import shapes_of
from kgraph.data.arrays import is_jax_array
from kgraph.training.placement import Placement
from kgraph.training.sizes import room_for_data
from kgraph.training.step import Batch

_FALLBACK_BYTES = 2**30


@dataclass
class DeviceRows:
    """Arrays on the device, and the order in which an epoch takes their rows.

    Fields:
        batch: all rows.
        form: shapes and dtypes of them, to choose an executable by.
        order: row numbers of the batches in a row, filled up to whole batches; None in evaluation.
        count: how many of `order` count.
    """

    batch: Batch
    form: Any
    order: Any = None
    count: Any = None

    def batch_at(self, number: int, size: int) -> Batch:
        """Returns a batch of the epoch, without the rows that only fill it up."""
        numbers = np.asarray(self.order)[number * size : min((number + 1) * size, int(self.count))]
        return jax.tree.map(lambda a: a[numbers], self.batch)


def fits_on_device(batch: Batch, placement: Placement | None = None) -> bool:
    """Tells whether arrays are small enough to be kept on the device for a whole training.

    That is a quarter of an accelerator's memory, or an eighth of the machine's for the CPU. Arrays
    that are on a device already take nothing more. Of several devices, each has to have room for
    all of the arrays: rows come in another order in each epoch.
    """
    leaves = jax.tree.leaves(batch)
    if placement is not None:
        needed = sum(a.nbytes for a in leaves)
        return placement.everywhere(needed <= _limit(jax.local_device_count()))
    return sum(a.nbytes for a in leaves if not is_jax_array(a)) <= _limit()


def on_device(batch: Batch, placement: Placement | None = None, spare: bool = False) -> DeviceRows:
    """Returns the rows as arrays of the device; later changes of the user's arrays do not show.

    Args:
        batch: all rows.
        placement: where they lie on several devices.
        spare: whether copies of arrays in the host's memory may get rows more than those have,
            which hold anything: what takes rows by their numbers is compiled for few sizes of data.
    """
    if placement is not None:
        arrays = placement.whole(batch, copy=True)
        return DeviceRows(arrays, shapes_of(arrays))
    leaves = jax.tree.leaves(batch)
    needed = sum(a.nbytes for a in leaves)
    room = room_for_data(batch.rows, needed // max(batch.rows, 1))
    spare = spare and room > batch.rows and all(map(is_on_host, leaves)) and needed <= _limit()

    def put(array: Any) -> Any:
        if is_jax_array(array) and not spare:
            return array
        if not spare:
            return jax.device_put(array, may_alias=False)  # `jnp.array` compiles for each shape
        copy = np.empty((room, *array.shape[1:]), array.dtype)
        copy[: batch.rows] = array
        return jax.device_put(copy)

    arrays = jax.tree.map(put, batch)
    return DeviceRows(arrays, shapes_of(arrays))


def is_on_host(array: Any) -> bool:
    """Tells whether NumPy can read an array where it is: nothing has to be compiled for that."""
    if isinstance(array, Tracer):
        return False
    if isinstance(array, jax.Array):
        return array.is_fully_addressable and {d.platform for d in array.devices()} == {"cpu"}
    return isinstance(array, np.ndarray)


def padded_batch(batch: Batch, rows: int) -> Batch:
    """Returns a batch filled up to `rows` rows by repeating its last one."""
    missing = rows - batch.rows

    def pad(array: Any) -> Any:
        if not is_on_host(array):
            return jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)])
        array = np.asarray(array)
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])

    return batch if missing <= 0 else jax.tree.map(pad, batch)


def _limit(sharing: int = 1) -> int:
    """Returns how many bytes rows may take on a device; `sharing` of a CPU's share its memory."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (8 * sharing)
        except (AttributeError, OSError, ValueError):  # not every system has them
            return _FALLBACK_BYTES // sharing
    stats = device.memory_stats() or {}
    return int(stats["bytes_limit"]) // 4 if "bytes_limit" in stats else _FALLBACK_BYTES
