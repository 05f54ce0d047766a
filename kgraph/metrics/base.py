"""`Metric`: numbers kept over many batches, and the pure functions that a train step uses."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import jax.numpy as jnp

from kgraph import initializers
from kgraph.config import DTypePolicy
from kgraph.declared import declare
from kgraph.errors import ConfigError, StateError
from kgraph.graph.structure import map_structure
from kgraph.layers.base import Held, StatelessScope, Variable
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.stateless_scope import scoped
from kgraph.losses.alignment import wide_dtype
from kgraph.losses.base import RowsWord
from kgraph.losses.reduction import combine_weights
from kgraph.metrics.precise import precise_sum
from kgraph.metrics.running import (
    MetricRecord,
    State,
    bind,
    check_declared,
    first_values,
    on_arrays,
    parts,
    places,
    put,
    read,
)
from kgraph.registry import Recorded, snake_case
from kgraph.tracebacks import entries
from kgraph.types import Array, ArrayLike, DTypeLike, PolicyLike, Shape

MOST_NUMBERS = 2**28
"""How much state a metric may have: what it is for may come from a file."""


@entries
class Metric(Recorded, Held):
    """A number (or several) computed over many batches.

    A subclass declares state in `__init__`, changes it in `update_state`, reads it in `result`:

        class Positives(Metric):
            def __init__(self, name="positives", **options):
                super().__init__(name=name, **options)
                self.total = self.add_weight(shape=(), name="total")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.total = self.total + jnp.sum(y_true)

            def result(self):
                return self.total

    In `update_state` and `result` the attributes are plain arrays or, in a class whose methods
    speak of variables (`self.total.assign_add(...)`), arrays that can also be assigned; outside
    they are variables. `init`, `update` and `compute` do the same on a state that is passed
    in and returned; they run on a shallow copy, so they may be traced. A class whose rows
    do not depend on each other may say so, and a smaller last batch can be padded instead of
    compiled for: `class Mine(Metric, rows_independent=True)`.

    Args:
        dtype: the dtype of the state, at least float32.
        name: the name in logs; by default the class name in snake case.
    """

    _kgraph_kind: ClassVar[str] = "metric"
    _direction: str | None = None  # Keras' name, which its metrics set
    _kgraph: MetricRecord
    _kgraph_unbound: ClassVar[frozenset[str]] = frozenset({"_kgraph"})

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        metric = object.__new__(cls)
        vars(metric)["_kgraph"] = MetricRecord((args, kwargs))
        return metric

    def __init__(self, dtype: PolicyLike | None = None, name: str | None = None) -> None:
        self._kgraph.declared = []
        self.name = name or snake_case(type(self).__name__)
        policy = dtype.compute_dtype if isinstance(dtype, DTypePolicy) else dtype
        self._dtype = wide_dtype(None if policy is None else jnp.dtype(policy))
        self.built = type(self).build is Metric.build

    def __init_subclass__(cls, rows_independent: RowsWord | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if rows_independent is not None:
            declare(cls, rows_independent)
        for name in {"update_state", "result"} & vars(cls).keys():
            setattr(cls, name, on_arrays(vars(cls)[name]))

    def __setattr__(self, name: str, value: object) -> None:
        held = vars(self).get(name)
        if isinstance(held, Variable) and not isinstance(value, Variable):
            held.assign(value)  # `self.total = self.total + x`, outside of a run
            return
        if isinstance(value, Variable) and not value.is_named:
            value.rename(name)
            value.path = f"{self.name}/{name}"
        object.__setattr__(self, name, value)

    @property
    def dtype(self) -> str:
        """The dtype of the state."""
        return str(self._dtype)

    @property
    def _kgraph_takes_sample_weight(self) -> bool:
        """Whether `update_state` has a `sample_weight`, without which rows cannot be masked."""
        parameters = inspect.signature(self.update_state).parameters.values()
        return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)

    # What a subclass writes or calls.

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: str | Callable[..., Any] | None = "zeros",
        dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> Any:
        """Declares a number or an array of state; assign it to an attribute, whose name it takes.

        Args:
            shape: the shape of the array.
            initializer: a name, an initializer or `fn(shape, dtype)`; None is zeros.
            dtype: by default the dtype of the metric.
            name: of the variable; in a state the attribute's name is what counts.
        """
        if self._kgraph.declared is None:
            raise StateError(
                f"{type(self).__name__} adds a weight before it is a metric",
                hint="call super().__init__(name=name) first in __init__",
            )
        if self._kgraph.run is not None:
            raise StateError(
                f"{self.name!r} declares state while it is being updated",
                hint="declare it in __init__, or in build(self, y_true_shape, y_pred_shape)",
            )
        if math.prod(shape) > MOST_NUMBERS:
            raise ConfigError(
                f"The state of {type(self).__name__} would be too large",
                expected=f"at most {MOST_NUMBERS:,} numbers",
                received=f"the shape {tuple(shape)}",
            )
        make = initializers.get("zeros" if initializer is None else initializer)
        made = Variable(make, tuple(shape), dtype or self._dtype, trainable=False, name=name)
        made.path = f"{self.name}/{made.name}"
        self._kgraph.declared.append(made)
        return made

    add_variable = add_weight

    def add_total(self, name: str, shape: Sequence[int] = ()) -> None:
        """Declares a sum that stays exact over long epochs, as attribute `name`.

        Its rounding errors are kept beside it in `{name}_rest`; add to it with `accumulate`.
        """
        setattr(self, name, self.add_weight(shape))
        setattr(self, f"{name}_rest", self.add_weight(shape))

    def accumulate(self, **increments: Array) -> None:
        """Adds to sums declared by `add_total`."""
        for name, increment in increments.items():
            rest = f"{name}_rest"
            increment = jnp.asarray(increment).astype(self._dtype)
            total, error = precise_sum(getattr(self, name), getattr(self, rest), increment)
            setattr(self, name, total)
            setattr(self, rest, error)

    def build(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Declares state whose shape depends on the outputs (once, before the first update)."""

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Takes one batch into the state: `update_state(y_true, y_pred, sample_weight=None)`."""
        raise ConfigError(f"{type(self).__name__} does not define `update_state`")

    def result(self) -> Any:
        """Returns the value (or a dict of values) that the state stands for."""
        raise ConfigError(f"{type(self).__name__} does not define `result(self)`")

    def reset_state(self) -> None:
        """Puts the state back to where it started."""
        held = dict(places(self._kgraph.origin or self))
        for path, value in first_values(self._kgraph.origin or self).items():
            put(self, path, held[path], value)
        for _, part in parts(self):
            part.reset_state()

    # Use with state inside, as in Keras.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    @property
    def variables(self) -> list[Variable]:
        """The state, in the order of its declaration."""
        inside = [v for _, part in parts(self) for v in part.variables]
        return [*(self._kgraph.declared or ()), *inside]

    def stateless_update_state(
        self, metric_variables: Sequence[ArrayLike], *args: Any, **kwargs: Any
    ) -> list[Array]:
        """Returns the values of `variables` after `update_state`, from those before it. Pure."""
        with self._kgraph_scope(metric_variables):
            self.update_state(*args, **kwargs)
            return [variable.value for variable in self.variables]

    def stateless_result(self, metric_variables: Sequence[ArrayLike]) -> Any:
        """Returns `result` for these values of `variables`. Pure."""
        with self._kgraph_scope(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Array]:
        """Returns the values of `variables` after `reset_state`. Pure."""
        with StatelessScope():
            self.reset_state()
            return [variable.value for variable in self.variables]

    def _kgraph_scope(self, values: Sequence[object]) -> StatelessScope:
        own = self.variables
        if len(values) != len(own):
            raise StateError(
                f"This is not a state of {self.name!r}",
                expected=f"{len(own)} arrays: {', '.join(v.path for v in own)}",
                received=f"{len(values)} arrays",
            )
        return StatelessScope(zip(own, values))

    # Pure use, with state outside.

    def _kgraph_ensure_built(self, y_true_shape: Shape, y_pred_shape: Shape) -> None:
        """Calls `build`, unless that was done before."""
        if not self.built:
            self.build(tuple(y_true_shape), tuple(y_pred_shape))
            self.built = True

    def _kgraph_init(self) -> State:
        """Returns a fresh state: a dict of arrays.

        Raises:
            StateError: if the state's shape is not known yet (call `ensure_built`, or update once),
                or if a weight was never assigned to an attribute.
        """
        check_declared(self)
        state = first_values(self) | {name: part._kgraph_init() for name, part in parts(self)}
        if type(self).reset_state is Metric.reset_state:
            return state
        bound = bind(self, state)
        with scoped(bound._kgraph.run):
            bound.reset_state()
        return read(bound, self, state)

    def _kgraph_update(
        self,
        state: State,
        y_true: ArrayLike,
        y_pred: ArrayLike | None = None,
        sample_weight: Any = None,
        mask: Any = None,
    ) -> State:
        """Returns the state after one batch. Pure: nothing of this object changes.

        Args:
            state: what `init` or `update` returned.
            y_true: targets (for `Mean` and `Sum`: the values).
            y_pred: outputs; left out for metrics of values.
            sample_weight: weights of rows, or of rows and steps.
            mask: where outputs count, multiplied into the weights.

        Raises:
            ConfigError: if there are weights or a mask that `update_state` does not take.
        """
        options = {}
        if sample_weight is not None or mask is not None:
            if not self._kgraph_takes_sample_weight:
                raise ConfigError(
                    f"{self.name!r} cannot weigh or mask its samples",
                    expected="update_state(self, y_true, y_pred, sample_weight=None)",
                    received=f"update_state{inspect.signature(self.update_state)}",
                )
            options["sample_weight"] = combine_weights(sample_weight, mask, self._dtype)
        bound = bind(self, state)
        with scoped(bound._kgraph.run):
            bound.update_state(*((y_true,) if y_pred is None else (y_true, y_pred)), **options)
        return read(bound, self, state)

    def _kgraph_compute(self, state: State) -> Any:
        """Returns the value (or a dict of values) of a state. Pure."""
        bound = bind(self, state)
        with scoped(bound._kgraph.run):
            return map_structure(value_of, bound.result())

    ensure_built, init = _kgraph_ensure_built, _kgraph_init
    update, compute = _kgraph_update, _kgraph_compute


declare(Metric, True)
