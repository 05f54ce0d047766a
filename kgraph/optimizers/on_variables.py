"""The methods of an optimizer that work on variables in place, as Keras' do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import jax.numpy as jnp
import numpy as np

from kgraph.errors import StateError
from kgraph.layers.base import StatelessScope, Variable
from kgraph.optimizers.in_place import InPlace
from kgraph.optimizers.own_rules import base_step
from kgraph.optimizers.record import OptimizerRecord
from kgraph.registry import Recorded
from kgraph.types import Array, ArrayLike, DTypeLike, InitializerLike


class OnVariables(Recorded):
    """The part of an optimizer that keeps its state in variables, for a loop written by hand.

    In `fit` the state is one tree, and none of this is used but by classes that write `update_step`
    or `apply`.
    """

    name: str
    _kgraph: OptimizerRecord

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        optimizer = object.__new__(cls)
        vars(optimizer)["_kgraph"] = OptimizerRecord((args, kwargs))
        return optimizer

    @property
    def built(self) -> bool:
        """Whether the optimizer knows the variables that it updates."""
        return bool(self._kgraph.built)

    def build(self, variables: Iterable[Variable]) -> None:
        """Takes the variables to update; a class that writes `update_step` adds its own here."""
        self._kgraph.built.append(InPlace(self, list(variables)))  # type: ignore[arg-type]

    def _kgraph_hand(self, parameters: Sequence[Variable] | None = None) -> InPlace:
        """Returns what the optimizer was built on, of these variables; builds it if it is new."""
        for hand in reversed(self._kgraph.built):
            if parameters is None or hand.is_for(parameters):
                return hand
        if parameters is None:
            raise StateError(
                f"The optimizer {self.name!r} does not know the variables that it updates",
                hint="optimizer.build(model.trainable_variables)",
            )
        if self._kgraph.built:
            hand = self._kgraph.built[-1]
            hand.index(next(v for v in parameters if not hand.is_for([v])))
        self.build(parameters)
        return self._kgraph.built[-1]

    @property
    def variables(self) -> list[Variable]:
        """The state in Keras' order: number of updates, learning rate, then by parameter."""
        return self._kgraph_hand().variables if self.built else []

    @property
    def iterations(self) -> Variable:
        """The number of updates."""
        if self.built:
            return self._kgraph_hand().iterations
        return Variable(np.int32(self._kgraph_steps()), trainable=False, name="iteration")

    def _kgraph_held_rate(self) -> Variable | None:
        """Returns the variable that has the learning rate, once there is one that can be set."""
        for hand in reversed(self._kgraph.built):
            found = [v for v in hand.known_variables if v.name == "learning_rate"]
            if found:
                return found[0]
        return None

    def scale_loss(self, loss: Array, state: Any = None) -> Array:
        """Returns the loss to differentiate; see `Optimizer.scale_loss`."""
        return loss

    def _kgraph_steps(self) -> int:
        """Returns the number of updates made so far, as far as the host knows."""
        return 0

    def apply(
        self, grads: Sequence[Any], trainable_variables: Iterable[Variable] | None = None
    ) -> None:
        """Updates variables by their gradients; their constraints are applied after it.

        Args:
            grads: a gradient for each variable; where it is None the variable stays.
            trainable_variables: by default those of `build`, which the first call does otherwise.
        """
        given = None if trainable_variables is None else list(trainable_variables)
        hand = self._kgraph_hand(given)
        hand.apply(list(grads), hand.parameters if given is None else given)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """Updates variables, given in pairs with their gradients; returns `iterations`."""
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self.iterations

    def stateless_apply(
        self, optimizer_variables: Sequence[ArrayLike], grads: Sequence[Any],
        trainable_variables: Sequence[ArrayLike],
    ) -> tuple[list[Array], list[Array]]:  # fmt: skip
        """Returns the new values of the variables of `build` and of `variables`. Pure.

        Args:
            optimizer_variables: values of `variables`.
            grads: a gradient for each variable.
            trainable_variables: values of the variables that `build` was given.
        """
        hand = self._kgraph_hand()
        _same_number("trainable_variables", trainable_variables, hand.parameters)
        _same_number("optimizer_variables", optimizer_variables, hand.variables)
        given = [*zip(hand.parameters, trainable_variables)]
        given += zip(hand.variables, optimizer_variables)
        with StatelessScope(given):
            self.apply(grads)
            return [v.value for v in hand.parameters], [v.value for v in hand.variables]

    def _kgraph_scaled_loss(self, loss: Array, optimizer_variables: Sequence[ArrayLike]) -> Array:
        """Returns the loss to differentiate, for a step that has the state as values of a list."""
        slots = self._kgraph_hand().slots
        with StatelessScope(zip(slots.variables, optimizer_variables, strict=True)):
            return self.scale_loss(loss, slots.state())

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets `variables`, in their order."""
        _same_number("weights", weights, self.variables)
        for variable, value in zip(self.variables, weights):
            variable.assign(value)

    # What an update_step is written with

    def update_step(self, gradient: Array, variable: Variable, learning_rate: Array) -> None:
        """Updates one variable in place: a subclass writes its rule here, as in Keras.

        What the rule remembers are variables that its `build` adds. It runs in `fit` as well.
        `super().update_step` of a built-in rule applies that rule.
        """
        base_step(self, gradient, variable, learning_rate)

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: InitializerLike | None = "zeros",
        dtype: DTypeLike | None = None,
        aggregation: str | None = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Adds a variable to the state, in `build`."""
        return self._kgraph_hand().add(shape, initializer, dtype, name or "variable")

    def add_variable_from_reference(
        self,
        reference_variable: Variable,
        name: str | None = None,
        initializer: InitializerLike | None = "zeros",
    ) -> Variable:
        """Adds a variable of the shape and dtype of another, in `build`."""
        called = f"{reference_variable.path.replace('/', '_')}_{name or 'slot'}"
        return self.add_variable(
            reference_variable.shape, initializer, reference_variable.dtype, name=called
        )

    def add_optimizer_variables(
        self,
        trainable_variables: Iterable[Variable],
        name: str | Sequence[str],
        initializer: InitializerLike | None = "zeros",
    ) -> Any:
        """Adds a variable for each of `trainable_variables`; for several names, a list for each."""
        names = [name] if isinstance(name, str) else list(name)
        makers = list(initializer) if isinstance(initializer, (list, tuple)) else [initializer]
        makers = makers * len(names) if len(makers) == 1 else makers
        found: list[list[Variable]] = [[] for _ in names]
        for variable in trainable_variables:
            for made, each, make in zip(found, names, makers):
                made.append(self.add_variable_from_reference(variable, each, make))
        return found[0] if isinstance(name, str) else found

    def assign(self, variable: Variable, value: object) -> None:
        """Sets a variable."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: object) -> None:
        """Adds to a variable."""
        variable.assign(variable.value + jnp.asarray(value).astype(variable.dtype))

    def assign_sub(self, variable: Variable, value: object) -> None:
        """Subtracts from a variable."""
        variable.assign(variable.value - jnp.asarray(value).astype(variable.dtype))

    def _get_variable_index(self, variable: Variable) -> int:
        """Returns the number of a variable among those of `build`: Keras' rules ask it."""
        return self._kgraph_hand([variable]).index(variable)


def _same_number(what: str, given: Sequence[Any], own: Sequence[Variable]) -> None:
    if len(given) != len(own):
        raise StateError(
            f"These are not the {what} of this optimizer",
            expected=f"{len(own)} arrays: {', '.join(variable.path for variable in own)}",
            received=f"{len(given)} arrays",
        )
