"""Initializers that draw nothing: one value everywhere, or the identity matrix."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from kgraph.errors import ConfigError
from kgraph.initializers.base import FixedInitializer
from kgraph.types import AnyArray


class Zeros(FixedInitializer):
    """Fills with 0."""

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> AnyArray:
        return xp.zeros(shape, dtype)


class Ones(FixedInitializer):
    """Fills with 1."""

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> AnyArray:
        return xp.ones(shape, dtype)


class Constant(FixedInitializer):
    """Fills with a value, or with an array that is broadcast to the shape.

    Raises:
        ConfigError: when called with a shape that the array cannot be broadcast to.
    """

    def __init__(self, value: object = 0.0) -> None:
        self.value = value

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> AnyArray:
        value = np.asarray(self.value)
        try:
            fits = np.broadcast_shapes(value.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise ConfigError(
                "Constant holds an array that does not fit the weight",
                expected=f"a shape that broadcasts to {list(shape)}",
                received=str(list(value.shape)),
            )
        return xp.broadcast_to(xp.asarray(value.astype(dtype)), shape)


class Identity(FixedInitializer):
    """Makes the identity matrix (1 on the main diagonal, also of an oblong matrix), times `gain`.

    Raises:
        ConfigError: when called with a shape that is not a matrix's.
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> AnyArray:
        if len(shape) != 2:
            raise ConfigError(
                "Identity makes matrices only",
                expected="[rows, columns]",
                received=str(list(shape)),
            )
        return (self.gain * xp.eye(*shape)).astype(dtype)
