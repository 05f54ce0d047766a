"""Class numbers as one-hot rows, arrays of length one, and the end of a session."""

from __future__ import annotations

import jax
import numpy as np

from kgraph.errors import DataError
from kgraph.types import AnyArray, ArrayLike


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> AnyArray:
    """Returns class numbers as one-hot rows.

    Shapes: `[...]` or `[..., 1]` in, `[..., num_classes]` out; float32.

    Args:
        x: whole numbers of at least 0.
        num_classes: number of classes, by default the largest number and one.

    Raises:
        DataError: a number is negative, not whole, or too large.

    >>> to_categorical([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    numbers = np.asarray(x)
    shape = numbers.shape[:-1] if numbers.ndim > 1 and numbers.shape[-1] == 1 else numbers.shape
    numbers = numbers.reshape(shape)
    whole = numbers.astype(np.int64)
    if np.any(whole != numbers) or (whole.size and whole.min() < 0):
        raise DataError("to_categorical takes whole numbers of at least 0", received=str(x)[:80])
    largest = int(whole.max()) if whole.size else -1
    if num_classes is not None and largest >= num_classes:
        raise DataError(
            "to_categorical got a class number that is too large",
            expected=f"numbers below {num_classes}",
            received=largest,
        )
    rows = np.eye(num_classes or largest + 1, dtype=np.float32)[whole]
    return jax.device_put(rows) if isinstance(x, jax.Array) else rows


def normalize(x: ArrayLike, axis: int = -1, order: int = 2) -> AnyArray:
    """Returns the array divided by its norm of this order along an axis (0 stays 0)."""
    array = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(array, order, axis))
    rows = array / np.expand_dims(np.where(norm == 0, 1, norm), axis)
    return jax.device_put(rows) if isinstance(x, jax.Array) else rows
