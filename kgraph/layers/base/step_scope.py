"""StepScope: what a variable is inside a user's own step, where only the lists have values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kgraph.errors import StateError
from kgraph.layers.base.stateless_scope import Scope
from kgraph.source import user_source
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.layers.base.variable import Variable


class StepScope:
    """Refuses to read and to assign variables whose values a step was given in lists.

    What a compiled step reads past its arguments stays for ever as it was at the first step, so
    such a reading is never what its writer wanted.

    Args:
        step: the method that runs, as messages name it.
        held: which list of the state has each variable, by the variable's identity.
    """

    def __init__(self, step: str, held: Mapping[int, str]) -> None:
        self.step, self._held = step, held
        self.outer: Scope | None = None

    def get_current_value(self, variable: Variable) -> Array | None:
        """Raises StateError for a variable of the state; returns None for any other."""
        where = self._held.get(id(variable))
        if where is None:
            return None
        raise StateError(
            f"{self.step} reads {variable.path!r} itself, which would stay as it is now",
            at=user_source(),
            expected=f"its value in {where}, an item of `state`",
            hint=_ways(where),
        )

    def add_update(self, update: tuple[Variable, Any]) -> None:
        """Raises StateError: what a step changes it returns."""
        variable, _ = update
        raise StateError(
            f"{self.step} assigns {variable.path!r}",
            at=user_source(),
            expected="new values in the state that it returns",
            hint=_ways(self._held.get(id(variable), "")),
        )


def _ways(where: str) -> str:
    """Returns what to write instead."""
    if where == "metrics_variables":
        return "metric.stateless_update_state(variables, ...), stateless_result(variables)"
    if where == "optimizer_variables":
        return "optimizer.stateless_apply(optimizer_variables, grads, trainable_variables)"
    return "layer.stateless_call(trainable_variables, non_trainable_variables, x)"
