"""All variables of a model as nested dicts by their paths, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kgraph.errors import StateError, check_choice
from kgraph.layers.base import Variable
from kgraph.layers.base.core import label_of

if TYPE_CHECKING:
    from kgraph.models.model import Model


def get_state_tree(
    self: Model, value_format: Literal["backend_tensor", "numpy_array"] = "backend_tensor"
) -> dict[str, Any]:
    """Returns the values of all variables: a nested dict by paths for each of four kinds.

    Of the optimizer these are the variables that it has when it is used by hand; the state that
    `fit` has reached is in saved files and checkpoints.

    Args:
        value_format: `"backend_tensor"` for JAX arrays, `"numpy_array"` for copies on the host.
    """
    check_choice("get_state_tree", "value_format", value_format, ("backend_tensor", "numpy_array"))
    tree: dict[str, Any] = {}
    for kind, path, variable in _variables(self):
        *outer, name = path.split("/")
        place = tree.setdefault(kind, {})
        for part in outer:
            place = place.setdefault(part, {})
        place[name] = variable.numpy() if value_format == "numpy_array" else variable.value
    return tree


def set_state_tree(self: Model, state_tree: Mapping[str, Any]) -> None:
    """Sets the variables to what `get_state_tree` returned; kinds may be missing.

    Raises:
        StateError: a value has no variable, or one of another shape; none is set then.
    """
    known = {f"{kind}/{path}": variable for kind, path, variable in _variables(self)}
    given = dict(_flat(state_tree))
    for path, value in given.items():
        if path not in known or known[path].shape != np.shape(value):
            raise StateError(
                f"{label_of(self)} has no variable for {path!r}",
                expected=known[path].shape if path in known else ", ".join(known),
                received=np.shape(value),
            )
    for path, value in given.items():
        known[path].assign(value)


def _variables(model: Model) -> Iterator[tuple[str, str, Variable]]:
    """Yields kind, path and variable of each."""
    for variable in model.trainable_variables:
        yield "trainable_variables", variable.path, variable
    for variable in model.non_trainable_variables:
        yield "non_trainable_variables", variable.path, variable
    for variable in () if model.optimizer is None else model.optimizer.variables:
        yield "optimizer_variables", variable.path, variable
    for metric in model.metrics:
        for variable in metric.variables:
            yield "metrics_variables", f"{metric.name}/{variable.name}", variable


def _flat(tree: Mapping[str, Any], outer: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in tree.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{outer}{name}/")
        else:
            yield f"{outer}{name}", item
