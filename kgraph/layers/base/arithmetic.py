"""What a variable can do because its value can: arithmetic, comparisons, indexing, conversions."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from kgraph.types import Array, DTypeLike


class ReadsAsArray:
    """Base of what has an array as its `value` and can stand for it in an expression.

    Results are plain arrays. `jax.numpy` takes such an object where JAX asks `__jax_array__`; every
    function of `kgraph.ops` takes it.
    """

    __slots__ = ()
    __array_priority__ = 100  # NumPy leaves `array + variable` to the variable

    @property
    def value(self) -> Array:
        """The array."""
        raise NotImplementedError

    def numpy(self) -> np.ndarray:
        """Returns a copy of the value on the host."""
        return np.array(self.value)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.value, dtype=dtype)

    def __jax_array__(self) -> Array:
        return self.value

    def __getitem__(self, index: Any) -> Array:
        return self.value[index]

    def __iter__(self) -> Iterator[Array]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        raise TypeError("a variable is neither true nor false: ask `is not None`, or its `value`")

    def __round__(self, ndigits: int | None = None) -> Array:
        return jnp.round(self.value, ndigits or 0)

    def __neg__(self) -> Array:
        return -self.value

    def __pos__(self) -> Array:
        return self.value

    def __abs__(self) -> Array:
        return abs(self.value)

    def __invert__(self) -> Array:
        return ~self.value

    def __eq__(self, other: object) -> Array:  # type: ignore[override]
        return self.value == plain(other)

    def __ne__(self, other: object) -> Array:  # type: ignore[override]
        return self.value != plain(other)

    __hash__ = object.__hash__  # of the object: variables are keys and members of sets

    def __lt__(self, other: object) -> Array:
        return self.value < plain(other)

    def __le__(self, other: object) -> Array:
        return self.value <= plain(other)

    def __gt__(self, other: object) -> Array:
        return self.value > plain(other)

    def __ge__(self, other: object) -> Array:
        return self.value >= plain(other)

    def __add__(self, other: object) -> Array:
        return self.value + plain(other)

    def __radd__(self, other: object) -> Array:
        return plain(other) + self.value

    def __sub__(self, other: object) -> Array:
        return self.value - plain(other)

    def __rsub__(self, other: object) -> Array:
        return plain(other) - self.value

    def __mul__(self, other: object) -> Array:
        return self.value * plain(other)

    def __rmul__(self, other: object) -> Array:
        return plain(other) * self.value

    def __truediv__(self, other: object) -> Array:
        return self.value / plain(other)

    def __rtruediv__(self, other: object) -> Array:
        return plain(other) / self.value

    def __floordiv__(self, other: object) -> Array:
        return self.value // plain(other)

    def __rfloordiv__(self, other: object) -> Array:
        return plain(other) // self.value

    def __mod__(self, other: object) -> Array:
        return self.value % plain(other)

    def __rmod__(self, other: object) -> Array:
        return plain(other) % self.value

    def __pow__(self, other: object) -> Array:
        return self.value ** plain(other)

    def __rpow__(self, other: object) -> Array:
        return plain(other) ** self.value

    def __matmul__(self, other: object) -> Array:
        return self.value @ plain(other)

    def __rmatmul__(self, other: object) -> Array:
        return plain(other) @ self.value

    def __and__(self, other: object) -> Array:
        return jnp.logical_and(self.value, plain(other))

    def __rand__(self, other: object) -> Array:
        return jnp.logical_and(plain(other), self.value)

    def __or__(self, other: object) -> Array:
        return jnp.logical_or(self.value, plain(other))

    def __ror__(self, other: object) -> Array:
        return jnp.logical_or(plain(other), self.value)

    def __xor__(self, other: object) -> Array:
        return jnp.logical_xor(self.value, plain(other))

    def __rxor__(self, other: object) -> Array:
        return jnp.logical_xor(plain(other), self.value)


def value_of(item: object) -> Any:
    """Returns the array of a variable, and anything else as it is."""
    return item.value if isinstance(item, ReadsAsArray) else item


def plain(item: object) -> Any:
    """Returns a variable, or a list, as an array, and anything else as it is."""
    return jnp.asarray(item) if isinstance(item, (list, tuple)) else value_of(item)
