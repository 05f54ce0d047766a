"""Whole data sets on the device, and how many bytes that may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.data.arrays import is_jax_array
from kgraph.training.compilation import shapes_of
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


def fits_on_device(batch: Batch) -> bool:
    """Tells whether arrays are small enough to be kept on the device for a whole training.

    That is a quarter of an accelerator's memory, or an eighth of the machine's for the CPU. Arrays
    that are on a device already take nothing more.
    """
    needed = sum(a.nbytes for a in jax.tree.leaves(batch) if not is_jax_array(a))
    return needed <= _limit()


def on_device(batch: Batch) -> DeviceRows:
    """Returns the rows as arrays of the device; later changes of the user's arrays do not show."""
    # Not `jnp.array`, which compiles once for each shape.
    arrays = jax.tree.map(
        lambda a: a if is_jax_array(a) else jax.device_put(a, may_alias=False), batch
    )
    return DeviceRows(arrays, shapes_of(arrays))


def filled_order(order: np.ndarray, size: int) -> np.ndarray:
    """Returns row numbers filled up to whole batches of `size`, int32."""
    missing = -len(order) % size
    return np.concatenate([order, np.zeros(missing, order.dtype)]).astype(np.int32, copy=False)


def padded_batch(batch: Batch, rows: int) -> Batch:
    """Returns a batch filled up to `rows` rows by repeating its last one."""
    missing = rows - batch.rows

    def pad(array: Any) -> Any:
        if is_jax_array(array):
            return jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)])
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])

    return batch if missing <= 0 else jax.tree.map(pad, batch)


def _limit() -> int:
    device = jax.devices()[0]
    if device.platform == "cpu":
        try:
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8
        except (AttributeError, OSError, ValueError):  # not every system has them
            return _FALLBACK_BYTES
    stats = device.memory_stats() or {}
    return int(stats["bytes_limit"]) // 4 if "bytes_limit" in stats else _FALLBACK_BYTES
