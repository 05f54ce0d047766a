"""Handles: the arrays of a run that can also be assigned, as variables can.

A handle of a traced array is an object of a subclass of the array's own tracer class, with the same
slots: JAX takes it for that tracer. A handle of a concrete array is a tracer of the eager trace
that lowers to the array. Both stand on names that JAX does not promise, which are used in this file
alone; where one is missing, `handle` returns the variable itself, as Keras' layers have it: it can
be assigned, but most functions of `jax.numpy` do not take it (those of `kgraph.ops` do).

Nothing is changed in place, since JAX may hold a tracer for later: an assignment makes a new
handle. A handle that somebody kept in a name of their own goes on reading the new value by `value`
and in expressions, but a function of JAX sees the array that it was made of.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jax._src import core

from kgraph.layers.base.arithmetic import ReadsAsArray
from kgraph.types import Array, DTypeLike

if TYPE_CHECKING:
    from kgraph.layers.base.context import Context
    from kgraph.layers.base.variable import Variable


class _Handle(ReadsAsArray):
    """What a handle adds to an array."""

    __slots__ = ()
    _variable: Variable
    _context: Context
    _dtype: Any

    @property
    def value(self) -> Array:
        """What the variable holds now, in the dtype in which its layer computes."""
        return self._context.values[id(self._variable)].astype(self._dtype)

    def assign(self, value: object) -> Array:
        """Sets the variable, for the rest of the run and after it; returns the new value."""
        return self._context.assign(self._variable, value)

    def assign_add(self, value: object) -> Array:
        """Adds to the variable, and returns the sum."""
        return self.assign(self + value)

    def assign_sub(self, value: object) -> Array:
        """Subtracts from the variable, and returns the difference."""
        return self.assign(self - value)

    @property
    def variable(self) -> Variable:
        """What the handle stands for."""
        return self._variable

    @property
    def name(self) -> str:
        """The name of the variable in its layer."""
        return self._variable.name

    @property
    def path(self) -> str:
        """The name behind those of the layers that the variable is part of."""
        return self._variable.path

    @property
    def trainable(self) -> bool:
        """Whether training changes the variable."""
        return self._variable.trainable

    def __bool__(self) -> bool:
        return bool(self.value)


def handle(array: Array, variable: Variable, context: Context) -> Any:
    """Returns an array that stands for a variable and can be assigned as well."""
    try:
        made = _traced(array) if isinstance(array, core.Tracer) else _eager(array)
    except (AttributeError, TypeError):  # a JAX with other names
        return variable
    made._variable, made._context, made._dtype = variable, context, array.dtype
    return made


def is_handle_of(value: object, variable: Variable) -> bool:
    """Tells whether a value is a handle of this variable."""
    return isinstance(value, _Handle) and value._variable is variable


def swapped(value: object, variable: Variable) -> Any:
    """Returns an attribute of a copy with new handles of a variable in the place of old ones."""
    if isinstance(value, _Handle):
        if value._variable is not variable:
            return value
        return handle(value.value, variable, value._context)
    if isinstance(value, dict):
        return {key: swapped(item, variable) for key, item in value.items()}
    if not isinstance(value, (list, tuple)):
        return value
    items = [swapped(item, variable) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def current_trace() -> Any:
    """Returns what JAX is tracing: another inside of scan, cond, grad and the like."""
    found = getattr(core, "trace_ctx", None)
    return None if found is None else found.trace


def _traced(tracer: Any) -> Any:
    cls, slots = _class_like(type(tracer))
    made = object.__new__(cls)
    for name in slots:
        if hasattr(tracer, name):
            object.__setattr__(made, name, getattr(tracer, name))
    vars_of_tracer = getattr(tracer, "__dict__", None)
    if vars_of_tracer:
        vars(made).update(vars_of_tracer)
    return made


@cache
def _class_like(cls: type) -> tuple[type, list[str]]:
    """Returns the class of handles of such tracers, and the names of the slots to copy."""
    slots = [name for base in cls.__mro__ for name in vars(base).get("__slots__", ())]
    own = {"__slots__": ("_variable", "_context", "_dtype"), "__hash__": cls.__hash__}
    made = type(f"Bound{cls.__name__}", (_Handle, cls), own)
    return made, [name for name in slots if name != "__weakref__"]


@cache
def _eager_class() -> Any:
    """Returns the class of handles of concrete arrays."""

    class EagerHandle(_Handle, core.Tracer):  # type: ignore[misc, type-arg]
        __slots__ = ("_context", "_dtype", "_now", "_variable")
        __hash__ = core.Tracer.__hash__

        def full_lower(self) -> Any:
            return self._now

        def to_concrete_value(self) -> Any:
            return self.value

        def __array__(self, dtype: DTypeLike | None = None, copy: Any = None) -> Any:
            return np.asarray(self.value, dtype=dtype)

        def __repr__(self) -> str:
            return repr(self.value)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return getattr(self._now, name)

    if isinstance(vars(core.Tracer).get("aval"), property):  # before jax 0.9
        abstract: Any = vars(core)["get_aval"]
        type.__setattr__(EagerHandle, "aval", property(lambda self: abstract(self._now)))
    return EagerHandle


def _eager(array: Array) -> Any:
    made = object.__new__(_eager_class())
    made._now, made._trace, made._line_info = array, core.eval_trace, None
    if not isinstance(type(made).aval, property):
        made.aval = core.typeof(array)
    return made
