"""Variables: the arrays that a layer declares, kept in one place for every model that uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kgraph import initializers
from kgraph.config import floatx
from kgraph.errors import ConfigError, StateError
from kgraph.layers.base.arithmetic import ReadsAsArray, plain
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.first_keys import FirstKeys, root_key
from kgraph.layers.base.scopes import in_scope
from kgraph.layers.base.stateless_scope import current_scope
from kgraph.types import AnyArray, Array, ArrayLike, DTypeLike, Function, InitializerLike


def check_wide(dtype: str) -> None:
    """Raises ConfigError for a dtype that JAX, as it is set, would cut to 32 bits in silence."""
    flags: Any = jax.config
    if dtype in ("float64", "complex128") and not flags.jax_enable_x64:
        raise ConfigError(
            f"{dtype} needs JAX's setting jax_enable_x64, which is off",
            received=dtype,
            hint='jax.config.update("jax_enable_x64", True), or JAX_ENABLE_X64=1',
        )


@cache
def dtype_name(dtype: DTypeLike) -> str:
    """Returns the name of a dtype, for each weight of a deep model again."""
    return str(jnp.dtype(dtype))


class Keeper(Protocol):
    """What has the arrays of several weights in another form, for as long as nobody reads them."""

    def part(self) -> None:
        """Gives its array to each weight that is still kept (by `take_back`)."""


class Owner(Protocol):
    """What has the arrays of weights for a while: a training that runs."""

    def fetch(self, weight: Variable) -> Array:
        """Returns a copy of a weight's array, as of the last block that was handed over."""
        ...

    def finished(self) -> Mapping[int, Array]:
        """Returns the arrays of all its weights by identity: of the last block that is done."""
        ...

    def store(self, weight: Variable, array: Array) -> None:
        """Sets a weight for the blocks to come."""


class Variable(ReadsAsArray):
    """An array with a name that is read and set in place: a weight, or state of a metric, say.

    It is read with `value` or `numpy()`, as part of an expression and by every function of
    `kgraph.ops`, and set with `assign`, `assign_add` and `assign_sub`. Inside a layer's `call` the
    attribute that holds it is a plain JAX array instead or, in a class whose methods speak of
    variables, an array that can also be assigned.

    Args:
        initializer: the first value, or what makes it: a name, an initializer or a function of
            shape and dtype. Then no array is made until one is needed.
        shape: the exact shape; needed with an initializer.
        dtype: name of the dtype in which it is kept; by default that of the value, or floatx.
        trainable: False for state that a layer updates itself.
        autocast: whether a layer's `call` sees it in the layer's compute dtype.
        aggregation, synchronization: accepted as in Keras; unused here.
        name: by default "variable".
        regularizer, constraint: functions of the value.

    Attributes:
        path: the name behind those of the layers that it is part of (`"encoder/dense/kernel"`).
        origin: what its initial value is drawn by, the keys of a model and a path there: of the
            first model that it was part of. None outside of models.

    Raises:
        ConfigError: an initializer has no shape, or the name has a "/".
    """

    __slots__ = (
        "__weakref__",
        "_alone",
        "_keeper",
        "_name",
        "_owner",
        "_value",
        "aggregation",
        "autocast",
        "constraint",
        "dtype",
        "initializer",
        "origin",
        "overwrite_with_gradient",
        "path",
        "regularizer",
        "shape",
        "synchronization",
        "trainable",
    )  # fmt: skip

    def __init__(
        self,
        initializer: InitializerLike | ArrayLike | None,
        shape: Sequence[int] | int | None = None,
        dtype: DTypeLike | None = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
        *,
        regularizer: Function | None = None,
        constraint: Function | None = None,
    ) -> None:
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ConfigError("A variable has a name without '/'", received=repr(name))
        if isinstance(initializer, (str, dict)):
            initializer = initializers.get(initializer)
        if dtype is not None:
            check_wide(dtype_name(dtype))
        self._value: Array | None = None
        self._alone = False
        if not callable(initializer):
            array = self._value = _first_value(initializer, dtype)
            dtype, shape = array.dtype, array.shape
            initializer = initializers.Zeros()
        if shape is None:
            raise ConfigError(
                "A variable that an initializer makes needs a shape",
                received=repr(initializer),
                hint="Variable(initializer, shape=(2, 3))",
            )
        self.initializer: Function = initializer
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dtype = dtype_name(dtype or floatx())
        self.trainable, self.autocast = bool(trainable), bool(autocast)
        self.aggregation, self.synchronization = aggregation, synchronization
        self.overwrite_with_gradient = False
        self.regularizer, self.constraint = regularizer, constraint
        self._name, self.path = name, in_scope(name or "variable")
        self._keeper: Keeper | None = None
        self._owner: Owner | None = None
        self.origin: tuple[FirstKeys, str] | None = None

    @property
    def name(self) -> str:
        """What it is called inside its layer (`"kernel"`)."""
        return self._name or "variable"

    @property
    def is_named(self) -> bool:
        """Whether it has been given a name."""
        return self._name is not None

    def rename(self, name: str) -> None:
        """Gives it the name that it has among the weights of its layer."""
        self._name = name

    @property
    def has_value(self) -> bool:
        """Whether an array exists yet."""
        return self._value is not None or self._owner is not None or self._keeper is not None

    @property
    def value(self) -> Array:
        """The array, created now if it was not needed before."""
        scope = current_scope()
        while scope is not None:
            if (found := scope.get_current_value(self)) is not None:
                return found
            scope = scope.outer
        self._alone = False  # before it is read: see `borrow`
        if (value := self._value) is not None:
            return value
        with between_blocks:
            self._alone = False
            if (keeper := self._keeper) is not None:
                keeper.part()
            if self._owner is not None:
                return self._owner.fetch(self)
            if self._value is None:
                create_values([(self.path, self)])
            assert self._value is not None
            return self._value

    def assign(self, value: object) -> Array:
        """Sets the array, and returns it.

        Raises:
            StateError: the shape differs, or the value belongs to a function that JAX is tracing.
        """
        array = self.fitting(value)
        if (scope := current_scope()) is not None:
            scope.add_update((self, array))
        else:
            self.keep(array)
        return array

    def keep(self, array: Array) -> None:
        """Sets the array itself, whatever scope there is."""
        if isinstance(array, Tracer):
            raise StateError(
                f"{self.path!r} is assigned inside a function that JAX is tracing",
                hint=[
                    "in the call of a layer that holds the variable, self.count.assign(...) works;",
                    "elsewhere return the value, or use kgraph.StatelessScope",
                ],
            )
        with between_blocks:
            if self._owner is not None:
                self._owner.store(self, array)
            else:
                self._value, self._keeper = array, None

    def assign_add(self, value: object) -> Array:
        """Adds to the array, and returns the sum."""
        return self.assign(self.value + plain(value))

    def assign_sub(self, value: object) -> Array:
        """Subtracts from the array, and returns the difference."""
        return self.assign(self.value - plain(value))

    def fitting(self, value: object) -> Array:
        """Returns a value as an array of this dtype; raises StateError if the shape differs."""
        array = jnp.asarray(plain(value), dtype=self.dtype)
        if array.shape != self.shape:
            raise StateError(
                f"The variable {self.path!r} cannot take an array of another shape",
                expected=self.shape,
                received=array.shape,
            )
        return array

    @property
    def keeper(self) -> Keeper | None:
        """What has the array in another form, if something has."""
        return self._keeper

    def keep_in(self, keeper: Keeper) -> None:
        """Hands the array to something that gives it back when it is read."""
        self._value, self._keeper, self._owner = None, keeper, None

    def borrow(self, owner: Owner) -> bool:
        """Hands the array to an owner: it is read and set there until `take_back`.

        Returns whether nobody else has the array: a thread that was about to read it has said so.
        """
        self._value, self._keeper, self._owner = None, None, owner
        return self._alone

    def take_back(self, value: Array, alone: bool = False) -> None:
        """Ends `borrow` or `keep_in` with the owner's last array; `alone` if nobody else has it."""
        self._alone = alone
        self._value, self._keeper, self._owner = value, None, None

    @property
    def array_alone(self) -> Array | None:
        """The array if nobody else has it, so that its memory can be reused; None otherwise."""
        return self._value if self._alone else None

    @property
    def owner(self) -> Owner | None:
        """What else has the array: a training that runs."""
        return self._owner

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

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
        state |= {"_keeper": None, "_owner": None, "origin": None}
        return None, state | {"_value": self.value if self.has_value else None}

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _first_value(value: object, dtype: DTypeLike | None) -> Array:
    """Returns a variable's own array of the value that it was given."""
    with jax.ensure_compile_time_eval():
        if dtype is None and isinstance(value, float):
            dtype = floatx()
        array = jnp.array(plain(value), dtype=dtype)
    if isinstance(array, Tracer):
        raise StateError(
            "A variable is made of a value that JAX is tracing",
            hint="make variables in __init__ or build, with an initializer or a number",
        )
    return array


Named: TypeAlias = tuple[str, Variable]
"""A path and the weight that it names."""


def create_values(
    weights: Iterable[Named],
    key: Array | None = None,
    sharding_of: Callable[[str, Variable], Any] | None = None,
) -> None:
    """Gives a value to each weight that has none, all at once.

    Args:
        weights: pairs of path and weight. The path decides the random numbers, so adding a layer
            does not change the others; of a weight that is part of a model, the path there.
        key: the root key; by default that of the model, or the next of the process (see
            `set_random_seed`).
        sharding_of: says, from the path and a weight, how it lies on several devices.
    """
    with between_blocks:  # two threads that need the same weight get the same
        missing = [(path, weight) for path, weight in weights if not weight.has_value]
        at = {id(weight): path for path, weight in missing}
        groups = by_key(missing) if key is None else [(key, missing)]
        for root, pairs in groups if missing else ():
            where = sharding_of and [sharding_of(at[id(w)], w) for _, w in pairs]
            with jax.ensure_compile_time_eval():  # real arrays, even while a jit is tracing
                arrays = initial_values(pairs, root, where)
            for (_, weight), array in zip(pairs, arrays):
                weight._value = array


def by_key(weights: Iterable[Named]) -> list[tuple[AnyArray, list[Named]]]:
    """Returns root keys with the weights that are drawn by each.

    Those that are in no model get the given paths and the next key of the process.
    """
    groups: dict[FirstKeys | None, list[Named]] = {}
    for path, weight in weights:
        keys, path = weight.origin or (None, path)
        groups.setdefault(keys, []).append((path, weight))
    return [(root_key() if k is None else k.initial(), pairs) for k, pairs in groups.items()]


def values_of(weights: Sequence[Variable]) -> list[Array]:
    """Returns the arrays of weights to compute with, all of one moment.

    Of a training that runs in another thread they are those of the last block that is done.
    """
    with between_blocks:
        owners = {id(w.owner): w.owner for w in weights if w.owner is not None}
        found: dict[int, Array] = {}
        for owner in owners.values() if current_scope() is None else ():
            found |= owner.finished()
        recent = [found.get(id(weight)) for weight in weights]
        return [w.value if array is None else array for w, array in zip(weights, recent)]


def initial_values(
    weights: Sequence[tuple[str, Variable]],
    key: AnyArray,
    shardings: Sequence[object] | None = None,
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
