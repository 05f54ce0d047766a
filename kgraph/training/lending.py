"""The variables of metrics and of an optimizer while a training has their arrays in its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.variable import Variable
from kgraph.optimizers.in_place import Slots
from kgraph.training.state import TrainState
from kgraph.types import Array

VARIABLES = "variables"
"""Under this the accumulators of a user's own steps have the values of `metrics_variables`."""


class Lending:
    """Owns variables whose arrays are in a state: they are read and set there.

    Args:
        metrics: variables of metrics.
        slots: which variable stands for which leaf of the optimizer's state.
        get, put: read and replace the state.
    """

    def __init__(
        self,
        metrics: Sequence[Variable],
        slots: Slots,
        get: Callable[[], TrainState],
        put: Callable[[TrainState], None],
    ) -> None:
        self._metrics, self._slots = list(metrics), slots
        self._get, self._put = get, put

    def begin(self) -> None:
        """Takes the variables over."""
        with between_blocks:
            for variable in (*self._metrics, *self._slots.variables):
                variable.borrow(self)

    def end(self, alone: bool) -> None:
        """Gives them back with the arrays of the state, which nobody else has if `alone`."""
        with between_blocks:
            for variable, array in self._arrays():
                variable.take_back(array, alone)

    def fetch(self, weight: Variable) -> Array:
        """Returns a copy of a variable's array."""
        return jnp.copy(next(array for own, array in self._arrays() if own is weight))

    def finished(self) -> Mapping[int, Array]:
        """Returns the arrays of all variables by identity."""
        return {id(own): jnp.copy(array) for own, array in self._arrays()}

    def store(self, weight: Variable, array: Array) -> None:
        """Sets a variable for the steps to come."""
        state, own = self._get(), jnp.copy(array)
        new = [own if held is weight else value for held, value in self._arrays()]
        metrics = {**state.metrics, VARIABLES: new[: len(self._metrics)]}
        optimizer = self._slots.filled(new[len(self._metrics) :])
        self._put(replace(state, metrics=metrics, optimizer=optimizer))

    def _arrays(self) -> list[tuple[Variable, Any]]:
        state = self._get()
        values = [*state.metrics[VARIABLES], *self._slots.in_order(state.optimizer)]
        return list(zip((*self._metrics, *self._slots.variables), values, strict=True))
