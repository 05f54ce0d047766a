"""How a metric runs: on a copy with arrays (or handles) in the place of its variables."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import StateError
from kgraph.graph.structure import map_structure
from kgraph.layers.base import Context, Variable
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.handles import is_handle_of
from kgraph.layers.base.speaks import speaks_of_variables
from kgraph.layers.base.stateless_scope import scoped
from kgraph.layers.base.tree import members
from kgraph.layers.base.variable import initial_values
from kgraph.registry import Record
from kgraph.types import Function

if TYPE_CHECKING:
    from kgraph.metrics.base import Metric


State = dict[str, Any]
"""The numbers of a metric by attribute name; a metric inside it has a dict of its own."""


@dataclass(eq=False)
class MetricRecord(Record):
    """What is kept of a metric.

    Fields:
        declared: the variables of the state; None before `Metric.__init__`.
        run: what a bound copy runs in; None for the metric itself.
        origin: the metric that a bound copy was made of.
        first: what its variables start from, on the host; None until they are asked for.
    """

    declared: list[Variable] | None = None
    run: Context | None = None
    origin: Any = None
    first: dict[str, np.ndarray] | None = None


def parts(metric: Any) -> Iterator[tuple[str, Any]]:
    """Yields the metrics that this one holds in attributes."""
    for name, value in vars(metric).items():
        if isinstance(getattr(value, "_kgraph", None), MetricRecord):
            yield name, value


def places(metric: Any) -> Iterator[tuple[str, Variable]]:
    """Yields the attribute, or the path in one, and the variable for each one of the state."""
    return members(metric, Variable)


def check_declared(metric: Any) -> None:
    if not metric.built:
        raise StateError(
            f"The state of {metric.name!r} depends on the shape of the outputs",
            hint="call ensure_built(y_true_shape, y_pred_shape), or update_state once",
        )
    held = {id(variable) for _, variable in places(metric)}
    lost = [v for v in metric._kgraph.declared or () if id(v) not in held]
    if lost:
        raise StateError(
            f"{type(metric).__name__} adds weights that no attribute holds",
            received=f"{len(lost)} of them",
            hint="assign each: self.total = self.add_weight(...)",
        )


def bind(metric: Any, state: State, run: Context | None = None) -> Any:
    """Returns a copy that runs on a state."""
    check_declared(metric)
    own, inside = dict(places(metric)), dict(parts(metric))
    names = {*own, *inside}
    if set(state) != names:
        raise StateError(
            f"This is not a state of {metric.name!r}",
            expected=", ".join(sorted(names)) or "nothing",
            received=", ".join(sorted(state)) or "nothing",
        )
    run = Context() if run is None else run
    bound = copy.copy(metric)
    vars(bound)["_kgraph"] = replace(metric._kgraph, run=run, origin=metric)
    for name in {path.partition("/")[0] for path in own}:
        vars(bound)[name] = _containers(vars(metric)[name])
    speaks = speaks_of_variables(type(metric))
    for path, variable in own.items():
        array = run.values[id(variable)] = jnp.asarray(state[path])
        if speaks:
            array = run.handle(variable, array, bound, path.partition("/")[0])
        put(bound, path, variable, array)
    for name, part in inside.items():
        vars(bound)[name] = bind(part, state[name], run)
    return bound


def read(metric: Metric, origin: Any, before: State) -> State:
    """Returns the state of a bound copy; shapes and dtypes stay, as a scan needs."""
    after: State = {}
    run = metric._kgraph.run
    assert run is not None
    for path, variable in places(origin):
        found = _get(metric, path)
        new = run.values[id(variable)] if is_handle_of(found, variable) else value_of(found)
        new = jnp.asarray(new).astype(before[path].dtype)
        if new.shape != before[path].shape:
            raise StateError(
                f"{metric.name!r} changed the shape of its state {path!r}",
                expected=before[path].shape,
                received=new.shape,
            )
        after[path] = new
    for name, part in parts(origin):
        after[name] = read(vars(metric)[name], part, before[name])
    return after


def now(metric: Metric) -> State:
    """Returns the state that the variables have."""
    own = {path: variable.value for path, variable in places(metric)}
    return own | {name: now(part) for name, part in parts(metric)}


def keep(metric: Metric, state: State) -> None:
    """Gives the variables the values of a state."""
    for path, variable in places(metric):
        variable.assign(state[path])
    for name, part in parts(metric):
        keep(part, state[name])


def on_arrays(method: Function) -> Function:
    """Lets a method run on a bound copy, and keeps the state and the attributes that it sets."""

    @functools.wraps(method)
    def bound_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self._kgraph.run is not None or self._kgraph.declared is None:
            return method(self, *args, **kwargs)
        args, kwargs = map_structure(value_of, args), map_structure(value_of, kwargs)
        if not self.built and len(args) > 1:
            self._kgraph_ensure_built(*(np.shape(item) for item in args[:2]))
        before = now(self)
        bound = bind(self, before)
        with scoped(bound._kgraph.run):
            found = map_structure(value_of, method(bound, *args, **kwargs))
        keep(self, read(bound, self, before))
        held = {path.partition("/")[0] for path in before}
        for name, value in vars(bound).items():
            if name not in held and name != "_kgraph":
                vars(self)[name] = value
        return found

    return bound_method


def first_values(metric: Metric) -> State:
    """Returns what the variables of a metric start from, without those of the metrics inside."""
    own = dict(places(metric))
    known = metric._kgraph.first
    if known is None or known.keys() != own.keys():
        with jax.ensure_compile_time_eval():  # real arrays, even while JAX traces
            made = initial_values([(v.path, v) for v in own.values()], np.zeros(2, np.uint32))
        known = metric._kgraph.first = dict(zip(own, map(np.asarray, made)))
    return jax.device_put(known, may_alias=False)


def _containers(value: object) -> Any:
    """Returns lists and dicts as new ones, whose items can be replaced."""
    if isinstance(value, dict):
        return {key: _containers(item) for key, item in value.items()}
    return [_containers(item) for item in value] if isinstance(value, (list, tuple)) else value


def _get(metric: Metric, path: str) -> Any:
    """Returns what an attribute, or an item in one, holds."""
    name, *rest = path.split("/")
    found = vars(metric)[name]
    for part in rest:
        found = found[part] if isinstance(found, dict) else found[int(part)]
    return found


def put(metric: Metric, path: str, variable: Variable, value: object) -> None:
    """Sets a variable of a metric, or of a bound copy what an attribute holds in its place."""
    *before, last = path.split("/")
    held = _get(metric, path)
    if metric._kgraph.run is None:
        variable.assign(value)
    elif is_handle_of(held, variable):
        metric._kgraph.run.assign(variable, value)
    elif not before:
        vars(metric)[last] = value
    else:
        inside = _get(metric, "/".join(before))
        inside[last if isinstance(inside, dict) else int(last)] = value
