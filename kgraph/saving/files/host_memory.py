"""Arrays in host memory: as they are there, or copied to where nobody changes them."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

_ALIGNMENT = 64


def on_host(value: object, copy: bool, spare: np.ndarray | None = None) -> np.ndarray:
    """Returns a JAX or NumPy array as a NumPy array in C order.

    Args:
        value: the array.
        copy: whether the result stays the same when the array is changed or donated.
        spare: an array that nobody needs, whose memory is used again where it fits.
    """
    host = np.asarray(value)
    if not host.dtype.isnative:
        host = host.astype(host.dtype.newbyteorder("="))
    if not copy or not is_view(value):
        return np.asarray(host, order="C")
    if spare is None or (spare.shape, spare.dtype) != (host.shape, host.dtype):
        spare = aligned(host.shape, host.dtype)
    np.copyto(spare, host)
    return spare


def is_view(value: object) -> bool:
    """Tells whether NumPy sees the memory of `value` itself: of JAX arrays, those on a CPU."""
    if not isinstance(value, jax.Array) or value.sharding.memory_kind not in (None, "device"):
        return True
    return any(device.platform == "cpu" for device in value.devices())


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Returns memory that JAX on a CPU takes over as it is, where it would copy other arrays."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def spread(array: np.ndarray, sharding: jax.sharding.Sharding | None) -> jax.Array:
    """Returns an array on its devices; on the first one, without a sharding.

    A CPU takes over the memory of an `aligned` array.
    """
    if sharding is None or len(sharding.device_set) == 1:
        return jax.device_put(array)
    # Copies: a CPU device would hold the whole array for a part of it.
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index].copy())
