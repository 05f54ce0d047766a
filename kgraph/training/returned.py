"""What a step of the user's own returned: checked, so that one error says what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from kgraph.errors import ConfigError, listed
from kgraph.hooks import place_of
from kgraph.layers.base import Variable
from kgraph.layers.base.arithmetic import value_of
from kgraph.layers.base.core import label_of
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.models.model import Model


Lists = Sequence[tuple[str, Sequence[Variable]]]
"""The lists of a state: the name of each, and the variables that its values belong to."""


def check_returned(
    model: Model, step: str, returned: Any, given: Sequence[Sequence[Any]], lists: Lists
) -> tuple[Mapping[str, Any], tuple[list[Array], ...]]:
    """Returns logs and state that a step returned, each value in the dtype that it had.

    Args:
        model: whose step.
        step: name of the method.
        returned: by it.
        given: the state before.
        lists: what the state consists of.

    Raises:
        ConfigError: it is not such a pair, or the state is another than the one that was given.
    """
    names = ", ".join(name for name, _ in lists)

    def refuse(what: str, expected: object, received: object) -> ConfigError:
        return ConfigError(
            f"{step} of {label_of(model)} {what}",
            at=place_of(model, step),
            expected=expected,
            received=received,
            hint=f"state = ({names}); return logs, state",
        )

    if not isinstance(returned, tuple) or len(returned) != 2:
        raise refuse("returned no pair", "logs, state", _kind(returned))
    logs, state = returned
    if not isinstance(logs, Mapping):
        raise refuse("returned no logs first", "a dict of numbers by name", _kind(logs))
    if not isinstance(state, (tuple, list)) or len(state) != len(lists):
        raise refuse("returned another state", f"{len(lists)} lists: {names}", _kind(state))
    after = []
    for (name, variables), old, new in zip(lists, given, state, strict=True):
        if not isinstance(new, (tuple, list)) or len(new) != len(old):
            paths = listed([variable.path for variable in variables])
            raise refuse(f"returned another list as {name}", f"{len(old)}: {paths}", _kind(new))
        after.append([])
        for variable, before, value in zip(variables, old, new):
            array = _as_array(value)
            if array is None or array.shape != before.shape:
                found = _kind(value) if array is None else list(array.shape)
                what = f"returned no value of {variable.path!r} in {name}"
                raise refuse(what, list(before.shape), found)
            after[-1].append(array.astype(before.dtype))
    return logs, tuple(after)


def check_logs(model: Model, step: str, logs: Mapping[str, object]) -> dict[str, Any]:
    """Returns logs, flat, as arrays; raises ConfigError for what is no number."""
    found: dict[str, Any] = {}
    for key, value in flat_logs(logs).items():
        array = _as_array(value)
        if array is None or (array.ndim and place_of(model, step) is not None):
            raise ConfigError(
                f"{step} of {label_of(model)} logs no number as {key!r}",
                at=place_of(model, step),
                expected="a scalar",
                received=_kind(value) if array is None else f"an array {list(array.shape)}",
                hint="keras.ops.mean(...), or what metric.stateless_result(...) returns",
            )
        found[key] = array
    return found


def check_same_logs(model: Model, logs: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Raises ConfigError for a step that logs other names than for the first batch."""
    if logs.keys() != known.keys():
        raise ConfigError(
            f"A step of {label_of(model)} logs other names than for the first batch",
            expected=listed(known),
            received=listed(logs),
        )


def flat_logs(logs: Mapping[str, object]) -> dict[str, Any]:
    """Returns logs without the dicts that metrics of several numbers give."""
    found: dict[str, Any] = {}
    for key, value in logs.items():
        found.update(flat_logs(value) if isinstance(value, Mapping) else {str(key): value})
    return found


def _as_array(value: Any) -> Array | None:
    try:
        return jnp.asarray(value_of(value))
    except (TypeError, ValueError):
        return None


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else type(value).__name__
