"""Arrays in host memory: as they are there, or copied to where nobody changes them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def on_host(value: Any, copy: bool, spare: np.ndarray | None = None) -> np.ndarray:
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
        return np.array(host, order="C")
    np.copyto(spare, host)
    return spare


def is_view(value: Any) -> bool:
    """Tells whether NumPy sees the memory of `value` itself: of JAX arrays, those on a CPU."""
    if not isinstance(value, jax.Array) or value.sharding.memory_kind not in (None, "device"):
        return True
    return any(device.platform == "cpu" for device in value.devices())
