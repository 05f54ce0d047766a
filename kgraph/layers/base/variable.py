"""Weights: the arrays that a layer declares, kept in one place for every model that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from kgraph import config, initializers
from kgraph.errors import StateError
from kgraph.types import Array, Function


class Keeper(Protocol):
    """What has the arrays of several weights in another form, for as long as nobody reads them."""

    def part(self) -> None:
        """Gives its array to each weight that is still kept (by `take_back`)."""


class Variable:
    """A declared weight: shape, dtype, how it starts, and (once needed) its value.

    A weight is read with `.value` or `numpy()` and set with `assign`. Inside a layer's `call` the
    attribute that holds it is a plain JAX array instead.

    Attributes:
        shape: the exact shape.
        dtype: name of the dtype in which it is kept.
        trainable: False for state that a layer updates itself.
        name: what it is called inside its layer (`"kernel"`).
        path: what it is called inside its model (`"encoder/dense/kernel"`), once it has a value.
    """

    __slots__ = (
        "__weakref__", "_fetch", "_keeper", "_store", "_value", "constraint", "dtype",
        "initializer", "name", "path", "regularizer", "shape", "trainable",
    )  # fmt: skip

    def __init__(
        self,
        shape: Sequence[int],
        initializer: Function,
        dtype: str,
        trainable: bool = True,
        regularizer: Function | None = None,
        constraint: Function | None = None,
        name: str | None = None,
    ) -> None:
        self.shape = tuple(shape)
        self.initializer, self.dtype, self.trainable = initializer, dtype, trainable
        self.regularizer, self.constraint = regularizer, constraint
        self.name = name
        self.path: str | None = None
        self._value: Array | None = None
        self._keeper: Keeper | None = None
        self._fetch: Callable[[], Array] | None = None
        self._store: Callable[[Array], None] | None = None

    @property
    def has_value(self) -> bool:
        """Whether an array exists yet."""
        return self._value is not None or self._fetch is not None or self._keeper is not None

    @property
    def value(self) -> Array:
        """The array, created now if it was not needed before."""
        if (keeper := self._keeper) is not None:
            keeper.part()
        if self._fetch is not None:
            return self._fetch()
        if self._value is None:
            create_values([(self.path or self.name or "weight", self)])
        return self._value

    def assign(self, value: Any) -> None:
        """Sets the array.

        Raises:
            StateError: the shape differs.
        """
        array = jnp.asarray(value, dtype=self.dtype)
        if array.shape != self.shape:
            raise StateError(
                f"The weight {self.path or self.name!r} cannot take an array of another shape",
                expected=self.shape,
                received=array.shape,
            )
        if self._store is not None:
            self._store(array)
        else:
            self._value, self._keeper = array, None

    @property
    def keeper(self) -> Keeper | None:
        """What has the array in another form, if something has."""
        return self._keeper

    def keep_in(self, keeper: Keeper) -> None:
        """Hands the array to something that gives it back when it is read."""
        self._value, self._keeper, self._fetch, self._store = None, keeper, None, None

    def lend(self, fetch: Callable[[], Array], store: Callable[[Array], None]) -> None:
        """Hands the array to an owner: it is read and set there until `take_back`."""
        self._value, self._keeper, self._fetch, self._store = None, None, fetch, store

    def take_back(self, value: Array) -> None:
        """Ends `lend` or `keep_in` with the owner's last array."""
        self._value, self._keeper, self._fetch, self._store = value, None, None, None

    @property
    def is_lent(self) -> bool:
        """Whether the array has another owner: a training that runs."""
        return self._fetch is not None

    def numpy(self) -> np.ndarray:
        """Returns a copy of the value on the host."""
        return np.array(self.value)

    @property
    def size(self) -> int:
        """Number of scalars."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Number of bytes of the value."""
        return self.size * jnp.dtype(self.dtype).itemsize

    def __getstate__(self) -> object:
        """Copies of a weight have an array of their own, whoever has this one's now."""
        state = {name: getattr(self, name) for name in self.__slots__ if name != "__weakref__"}
        state |= {"_keeper": None, "_fetch": None, "_store": None}
        return None, state | {"_value": self.value if self.has_value else None}

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.value, dtype=dtype)

    def __jax_array__(self) -> Array:
        return self.value

    def __repr__(self) -> str:
        return f"<Variable {self.path or self.name!r} {list(self.shape)} {self.dtype}>"


def create_values(
    weights: Iterable[tuple[str, Variable]],
    key: Array | None = None,
    sharding_of: Callable[[str, Sequence[int]], Any] | None = None,
) -> None:
    """Gives a value to each weight that has none, all at once.

    Args:
        weights: pairs of path and weight. The path decides the random numbers, so adding a layer
            does not change the others.
        key: the root key; by default the next of the process (see `set_random_seed`).
        sharding_of: says, from path and shape, how a weight lies on several devices.
    """
    missing = [(path, weight) for path, weight in weights if not weight.has_value]
    if not missing:
        return
    with jax.ensure_compile_time_eval():  # real arrays, even while somebody's jit is tracing
        where = sharding_of and [sharding_of(path, weight.shape) for path, weight in missing]
        arrays = initial_values(missing, root_key() if key is None else key, where)
    for (path, weight), array in zip(missing, arrays):
        weight.path, weight._value = path, array


def initial_values(
    weights: Sequence[tuple[str, Variable]],
    key: Array,
    shardings: Sequence[Any] | None = None,
    stacks: Sequence[Sequence[tuple[str, Variable]]] = (),
) -> list[Array]:
    """Returns a first value for each weight. Pure: it stores nothing, and `key` may be traced.

    After these comes one array for each of `stacks`, the first values of alike weights as its rows.
    """
    requests = [_request(*pair) for pair in weights]
    stacked = [[_request(*pair) for pair in pairs] for pairs in stacks]
    return initializers.create([*requests, *stacked], key, shardings)


def _request(path: str, weight: Variable) -> initializers.Request:
    return initializers.Request(weight.initializer, weight.shape, weight.dtype, path)


def root_key() -> np.ndarray:
    """Returns the next raw key (2 words) of the process."""
    return np.array(config.next_seed(), dtype=np.uint32)
