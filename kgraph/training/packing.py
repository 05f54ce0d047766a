"""How the engine keeps its state: weights of repeated blocks, and their optimizer state, packed.

Of 12 equal blocks with a kernel each the state has one array `[12, in, out]`, and so has their
optimizer state: a step computes on stacked arrays from one end to the other, and nothing is stacked
in it. This changes no number as long as the optimizer looks at each element by itself; else the
state stays as it is. Between trainings arrays stay stacked until somebody reads them (`Bundle`), so
that the next training takes them as they are; on several devices they are taken apart at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import jax

from kgraph.compiler import Layout, Place, Program, Variables
from kgraph.compiler.packing import Bundle, stack_rows
from kgraph.distribution.layout import put
from kgraph.errors import StateError
from kgraph.layers.base.variable import Owner, Variable
from kgraph.optimizers import Optimizer
from kgraph.optimizers.elementwise import is_elementwise
from kgraph.training.optimizer_state import PackedOptimizerState, new_optimizer_state
from kgraph.training.placement import Placement
from kgraph.training.state import TrainState, copied
from kgraph.types import Array, Params, Tree


class Packing:
    """Packs and unpacks the state of a training.

    Args:
        program: what is trained.
        optimizer: None for evaluation alone.
        placement: where arrays lie on several devices; None for one device.
        allowed: False keeps all by layer, for a user's code that computes with the variables.
    """

    def __init__(
        self,
        program: Program,
        optimizer: Optimizer | None,
        placement: Placement | None = None,
        allowed: bool = True,
    ) -> None:
        self._program, self._optimizer, self._placement = program, optimizer, placement
        self._may = allowed and optimizer is not None
        self._bundles: list[Bundle] = []
        self._alone: set[int] = set()

    @cached_property
    def is_on(self) -> bool:
        """Whether the state is packed: where blocks are stacked and the optimizer allows it."""
        optimizer = self._optimizer
        if not self._may or not any(stack.weights for stack in self._program.stacks.values()):
            return False
        return optimizer is not None and is_elementwise(optimizer)

    @cached_property
    def layout(self) -> Layout:
        """How the leaves of the state stand for weights, and where they lie."""
        layout = self._program.weights.packed if self.is_on else self._program.weights.layout
        return layout if self._placement is None else self._placement.laid(layout)

    @property
    def _plain(self) -> Layout:
        return self.layout.plain or self.layout

    @property
    def _stays(self) -> bool:
        """Whether arrays stay packed between trainings: on one device."""
        return self.is_on and self._placement is None

    # --- from the weights, and back --------------------------------------------------------------

    def variables(self) -> Variables:
        """Returns the weights' arrays: packed, if they can stay so until somebody reads one."""
        return (self.layout if self._stays else self._plain).nest(
            self._held(lambda weight: weight.value)
        )

    def _held(self, array_of: Callable[[Variable], Array]) -> dict[int, Array]:
        """Returns an array for each weight, or for all of a stack if they can stay packed."""
        self._bundles = []
        places = (self.layout if self._stays else self._plain).places
        return {
            id(place.weight): self._whole(place) if place.rows else array_of(place.weight)
            for place in places
        }

    def _taken(self, weight: Variable) -> Array:
        """Returns the array of a weight, and notes if nobody else has it."""
        array = weight.array_alone if self._placement is None else None
        if array is None:
            return weight.value
        self._alone.add(id(weight))
        return array

    def _whole(self, place: Place) -> Array:
        members = [row.weight for row in place.rows]
        if all(member.owner is None for member in members):  # to another model that shares it
            bundle = Bundle.of(members)
            self._bundles.append(bundle)
            if bundle.whole is not None:  # else a thread has read one of them just now
                return bundle.whole
        return stack_rows([member.value for member in members])

    def taken_over(
        self,
        optimizer_state: Tree | PackedOptimizerState | None,
        metrics: Tree,
        key: Array,
        step: Array,
    ) -> TrainState:
        """Returns a state in arrays of its own, packed where that is on.

        Before any of them is given away the weights have to be borrowed, and `close` called.

        Args:
            optimizer_state: the optimizer's state; None for that before the first step.
            metrics, key, step: as in TrainState; nobody else has them.

        Raises:
            StateError: another model is being trained that shares a weight with this one.
        """
        for place in self._program.weights.places:
            if place.weight.owner is not None:
                raise StateError(
                    f"The weight {place.weight.path!r} is being trained already, by another model",
                    hint="wait for its fit: of what both change, one part would be lost",
                )
        self._alone = set()
        values = self._held(self._taken)
        if not self._stays:
            values = self.layout.pack_values(values)
        shared = [id(place.weight) for place in self.layout.places if not place.rows]
        shared = [weight for weight in shared if weight not in self._alone]
        values.update(zip(shared, copied([values[weight] for weight in shared])))
        variables = self.layout.nest(values)
        return TrainState(
            variables["params"], variables["state"],
            self._own_optimizer_state(optimizer_state, variables["params"]),
            metrics, key, step,
        )  # fmt: skip

    def _own_optimizer_state(
        self, optimizer_state: Tree | PackedOptimizerState | None, params: Params
    ) -> Any:
        """Returns the optimizer's state for these parameters, in arrays of its own."""
        if optimizer_state is None:
            assert self._optimizer is not None
            made = new_optimizer_state(self._program, self._optimizer, params, self._placement)
            # A rule of the user's may have the parameters themselves in its state; not on several
            # devices, where the state comes out of a compiled function.
            return made if self._stays or self._placement else copied(made)
        if isinstance(optimizer_state, PackedOptimizerState):
            if optimizer_state.layout is self.layout:
                return optimizer_state.tree
            optimizer_state = optimizer_state.plain()
        if not self.is_on:
            return copied(optimizer_state)
        held = {id(leaf) for leaf in jax.tree.leaves(optimizer_state)}
        leaves, structure = jax.tree.flatten(self.layout.pack_state(optimizer_state))
        copies = iter(copied([leaf for leaf in leaves if id(leaf) in held]))
        return structure.unflatten([next(copies) if id(x) in held else x for x in leaves])

    def restored(self, optimizer_state: Tree) -> Tree | PackedOptimizerState:
        """Returns an optimizer's state that was just read, so that it need not be copied."""
        return optimizer_state if self.is_on else PackedOptimizerState(self.layout, optimizer_state)

    def borrowed(self, owner: Owner, state: TrainState) -> TrainState:
        """Lets an owner have the weights: from now on the state is the only one with its arrays."""
        for place in self._program.weights.places:
            is_alone = place.weight.borrow(owner)
            if id(place.weight) in self._alone and not is_alone:  # a thread has read it just now
                array = copied(self.fetch(state, place.weight))
                state = self.store(state, place.weight, array)
        for bundle in self._bundles:
            bundle.close()
        self._bundles = []
        return state

    def give_back(self, state: TrainState, alone: bool) -> None:
        """Gives the weights their arrays: packed, where they can stay so until one is read.

        `alone` says that nobody else has an array of the state.
        """
        values = self.layout.by_weight(state.variables)
        for place in self.layout.places if self._stays else ():
            if place.rows:
                Bundle(values.pop(id(place.weight)), [row.weight for row in place.rows])
        values = self.layout.unpack_values(values)
        for place in self._plain.places:
            array = values.get(id(place.weight))
            if array is not None:  # XLA has chosen where unpacked ones are
                array = put(array, place.sharding) if self._placement else array
                place.weight.take_back(array, alone)

    def optimizer_state(self, state: TrainState, alone: bool) -> Any | PackedOptimizerState:
        """Returns the optimizer's state for the next training: as it is, where it can stay so."""
        if self._stays or (alone and self._placement is None):
            return PackedOptimizerState(self.layout, state.optimizer)
        return self.layout.unpack_state(state.optimizer)

    # --- while the state owns the arrays ---------------------------------------------------------

    def unpack(self, state: TrainState) -> TrainState:
        """Returns the state with an array for each weight of each layer."""
        variables = self.layout.unpack(state.variables)
        return replace(state, **variables, optimizer=self.layout.unpack_state(state.optimizer))

    def fetch(self, state: TrainState, weight: Variable) -> Array:
        """Returns a copy of one weight."""
        return self.layout.fetch(state.variables, weight)

    def store(self, state: TrainState, weight: Variable, array: Array) -> TrainState:
        """Returns the state with one weight replaced."""
        return replace(state, **self.layout.store(state.variables, weight, array))
