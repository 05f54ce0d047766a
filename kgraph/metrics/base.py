"""`Metric`: numbers kept over many batches, and the pure functions that a train step uses."""

from __future__ import annotations

import copy
import functools
import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np

from kgraph.config import DTypePolicy
from kgraph.declared import declare
from kgraph.errors import ConfigError, StateError
from kgraph.losses.alignment import wide_dtype
from kgraph.losses.base import RowsWord
from kgraph.losses.reduction import combine_weights
from kgraph.metrics.precise import precise_sum
from kgraph.registry import Record, Recorded, snake_case
from kgraph.types import Array, Function, Shape

MOST_NUMBERS = 2**28
"""How much state a metric may have: what it is for may come from a file."""

State = dict[str, Any]
"""The numbers of a metric by attribute name; a metric inside it has a dict of its own."""


@dataclass(eq=False)
class MetricRecord(Record):
    """What is kept of a metric.

    Fields:
        initial: the state to start from, by attribute.
        unnamed: arrays of state that no attribute holds yet; None before `Metric.__init__`.
    """

    initial: dict[str, np.ndarray] = field(default_factory=dict)
    unnamed: list[np.ndarray] | None = None


class Metric(Recorded):
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

    The attributes hold plain arrays. `init`, `update` and `compute` do the same on a state that is
    passed in and returned; they run on a shallow copy, so they may be traced. A class whose rows
    do not depend on each other may say so, and a smaller last batch can be padded instead of
    compiled for: `class Mine(Metric, rows_independent=True)`.

    Args:
        dtype: the dtype of the state, at least float32.
        name: the name in logs; by default the class name in snake case.
    """

    _kgraph_kind: ClassVar[str] = "metric"
    _direction: str | None = None  # Keras' name, which its metrics set
    _kgraph: MetricRecord

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        metric = object.__new__(cls)
        vars(metric)["_kgraph"] = MetricRecord((args, kwargs))
        return metric

    def __init__(self, dtype: Any = None, name: str | None = None) -> None:
        self._kgraph.initial, self._kgraph.unnamed = {}, []
        self.name = name or snake_case(type(self).__name__)
        policy = dtype.compute_dtype if isinstance(dtype, DTypePolicy) else dtype
        self._dtype = wide_dtype(None if policy is None else jnp.dtype(policy))
        self.built = type(self).build is Metric.build

    def __init_subclass__(cls, rows_independent: RowsWord | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if rows_independent is not None:
            declare(cls, rows_independent)
        if "update_state" in vars(cls):
            cls.update_state = _explain_assign(cls.update_state)

    def __setattr__(self, name: str, value: Any) -> None:
        unnamed = self._kgraph.unnamed
        if isinstance(value, np.ndarray) and unnamed is not None:
            for i, declared in enumerate(unnamed):
                if declared is value:  # a weight becomes state under its attribute's name
                    del unnamed[i]
                    self._kgraph.initial[name] = value
                    value = value.copy()
                    break
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
        dtype: Any = None,
        name: str | None = None,
    ) -> Any:
        """Declares a number or an array of state; assign it to an attribute, whose name it takes.

        Args:
            shape: the shape of the array.
            initializer: `"zeros"`, `"ones"` or `fn(shape, dtype)`; None is zeros.
            dtype: by default the dtype of the metric.
            name: accepted for Keras' sake; the attribute's name is what counts.
        """
        if self._kgraph.unnamed is None:
            raise StateError(
                f"{type(self).__name__} adds a weight before it is a metric",
                hint="call super().__init__(name=name) first in __init__",
            )
        if math.prod(shape) > MOST_NUMBERS:
            raise ConfigError(
                f"The state of {type(self).__name__} would be too large",
                expected=f"at most {MOST_NUMBERS:,} numbers",
                received=f"the shape {tuple(shape)}",
            )
        dtype = np.dtype(dtype or self._dtype)
        if callable(initializer):
            array = np.array(initializer(tuple(shape), dtype), dtype)
        elif initializer in (None, "zeros", "ones"):
            array = np.full(tuple(shape), 1 if initializer == "ones" else 0, dtype)
        else:
            raise ConfigError(
                "The state of a metric starts from zeros, ones or a function",
                received=repr(initializer),
            )
        self._kgraph.unnamed.append(array)
        return array

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
        for name, initial in self._kgraph.initial.items():
            setattr(self, name, initial.copy())
        for _, part in self._kgraph_parts():
            part.reset_state()

    # Use with state inside, as in Keras.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.update_state(*args, **kwargs)
        return self.result()

    @property
    def variables(self) -> list[Array]:
        """The arrays of the state, in the order of their declaration."""
        own = [getattr(self, name) for name in self._kgraph.initial]
        return own + [v for _, part in self._kgraph_parts() for v in part.variables]

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
        self._kgraph_check_declared()
        own = {name: jnp.asarray(initial) for name, initial in self._kgraph.initial.items()}
        fresh = own | {name: part._kgraph_init() for name, part in self._kgraph_parts()}
        if type(self).reset_state is Metric.reset_state:
            return fresh
        bound = self._kgraph_bind(fresh)
        bound.reset_state()
        return bound._kgraph_read(fresh)

    def _kgraph_update(
        self,
        state: State,
        y_true: Any,
        y_pred: Any = None,
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
        bound = self._kgraph_bind(state)
        bound.update_state(*((y_true,) if y_pred is None else (y_true, y_pred)), **options)
        return bound._kgraph_read(state)

    def _kgraph_compute(self, state: State) -> Any:
        """Returns the value (or a dict of values) of a state. Pure."""
        return self._kgraph_bind(state).result()

    ensure_built, init = _kgraph_ensure_built, _kgraph_init
    update, compute = _kgraph_update, _kgraph_compute

    def _kgraph_parts(self) -> Iterator[tuple[str, Metric]]:
        """Yields the metrics that this one holds in attributes."""
        for name, value in vars(self).items():
            if isinstance(value, Metric):
                yield name, value

    def _kgraph_check_declared(self) -> None:
        if not self.built:
            raise StateError(
                f"The state of {self.name!r} depends on the shape of the outputs",
                hint="call ensure_built(y_true_shape, y_pred_shape), or update_state once",
            )
        if self._kgraph.unnamed:
            raise StateError(
                f"{type(self).__name__} adds weights that no attribute holds",
                received=f"{len(self._kgraph.unnamed)} of them",
                hint="assign each: self.total = self.add_weight(...)",
            )

    def _kgraph_bind(self, state: State) -> Any:
        self._kgraph_check_declared()
        names = {*self._kgraph.initial, *(name for name, _ in self._kgraph_parts())}
        if set(state) != names:
            raise StateError(
                f"This is not a state of {self.name!r}",
                expected=", ".join(sorted(names)) or "nothing",
                received=", ".join(sorted(state)) or "nothing",
            )
        bound = copy.copy(self)
        vars(bound)["_kgraph"] = replace(
            self._kgraph, initial=dict(self._kgraph.initial), unnamed=[]
        )
        for name, value in state.items():
            part = vars(self).get(name)
            vars(bound)[name] = part._kgraph_bind(value) if isinstance(part, Metric) else value
        return bound

    def _kgraph_read(self, before: State) -> State:
        """Returns the state of a bound copy; shapes and dtypes stay, as a scan needs."""
        late = [name for name in self._kgraph.initial if name not in before]
        if late or self._kgraph.unnamed:
            raise StateError(
                f"{self.name!r} declares state while it is being updated",
                received=", ".join(late) or None,
                hint="declare it in __init__, or in build(self, y_true_shape, y_pred_shape)",
            )
        after: State = {}
        for name, old in before.items():
            new = getattr(self, name)
            if isinstance(new, Metric):
                after[name] = new._kgraph_read(old)
                continue
            new = jnp.asarray(new).astype(old.dtype)
            if new.shape != old.shape:
                raise StateError(
                    f"{self.name!r} changed the shape of its state {name!r}",
                    expected=old.shape,
                    received=new.shape,
                )
            after[name] = new
        return after

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


declare(Metric, True)


def _explain_assign(update_state: Function) -> Function:
    """Lets `self.total.assign(x)`, which arrays do not have, fail with what to write instead."""

    @functools.wraps(update_state)
    def explained(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return update_state(self, *args, **kwargs)
        except AttributeError as error:
            used = re.search(r"attribute '?(assign|assign_add|assign_sub)\b", str(error))
            if used is None:
                raise
            raise ConfigError(
                f"The state of a metric is plain arrays, which have no `{used[1]}`",
                expected="self.total = self.total + x",
                received=f"self.total.{used[1]}(x)",
            ) from error

    return explained
