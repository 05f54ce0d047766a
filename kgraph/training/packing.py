"""How the engine keeps its state: the weights of repeated blocks, and their moments, packed.

A step then computes on stacked arrays from one end to the other; nothing is stacked in it. Between
trainings they stay stacked until somebody reads them, so the next one takes them as they are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from kgraph.compiler import Place, Program
from kgraph.compiler.packing import Bundle, stack_rows, take_row
from kgraph.compiler.stacked import StackedWeight
from kgraph.compiler.variables import Variables, get_leaf
from kgraph.optimizers import Optimizer
from kgraph.optimizers.elementwise import is_elementwise
from kgraph.training.moments import (
    PackedMoments,
    new_moments,
    pack_moments,
    unpack_moments,
)
from kgraph.training.objective import Objective
from kgraph.training.placement import Placement
from kgraph.training.state import TrainState, copied
from kgraph.types import Array, Tree


class Packing:
    """Packs and unpacks the state of a training.

    Args:
        program: what is trained.
        objective: a `loss_fn` of the user's gets variables by layer, so nothing is packed for it.
        optimizer: None for evaluation alone.
        placement: where arrays lie on several devices; None for one device.
    """

    def __init__(
        self,
        program: Program,
        objective: Objective,
        optimizer: Optimizer | None,
        placement: Placement | None = None,
    ) -> None:
        self._program, self._optimizer, self._placement = program, optimizer, placement
        self._may = objective.loss_fn is None and optimizer is not None
        self._bundles: list[Bundle] = []

    @cached_property
    def is_on(self) -> bool:
        """Whether the state is packed: where blocks are stacked and the optimizer allows it."""
        optimizer = self._optimizer
        if not self._may or not any(stack.weights for stack in self._program.stacks.values()):
            return False
        return optimizer is not None and is_elementwise(optimizer)

    @property
    def _stays(self) -> bool:
        """Whether arrays stay packed between trainings: on one device."""
        return self.is_on and self._placement is None

    # --- from the weights, and back --------------------------------------------------------------

    def variables(self) -> Variables:
        """Returns the weights' arrays: packed, if they can stay so until somebody reads one."""
        form = self._program.packed if self._stays else self._program
        return form.nest(self._held())

    def _held(self) -> dict[int, Array]:
        """Returns an array for each weight, or for all of a stack if they can stay packed."""
        if not self._stays:
            return {id(place.weight): place.weight.value for place in self._program.places}
        self._bundles = []
        wholes = {id(stacked.whole): stacked for stacked in self._program.stacked_weights}
        return {
            id(weight): self._whole(wholes[id(weight)]) if id(weight) in wholes else weight.value
            for weight in (place.weight for place in self._program.packed.places)
        }

    def _whole(self, stacked: StackedWeight) -> Array:
        members = stacked.members
        if not any(member.is_lent for member in members):  # to another model that shares it
            bundle = Bundle.of(members)
            self._bundles.append(bundle)
            if bundle.whole is not None:  # else a thread has read one of them just now
                return bundle.whole
        return stack_rows([member.value for member in members])

    def taken_over(
        self, moments: Tree | PackedMoments | None, metrics: Tree, key: Array, step: Array
    ) -> TrainState:
        """Returns a state in arrays of its own, packed where that is on.

        Before any of them is given away the weights have to be lent, and `close` called.

        Args:
            moments: the optimizer's state; None for that before the first step.
            metrics, key, step: as in TrainState.
        """
        values = self._held()
        if self.is_on and not self._stays:
            values = self._program.pack_values(values)
        single = {id(place.weight) for place in self._program.places}
        shared = [weight for weight in values if weight in single]
        values.update(zip(shared, copied([values[weight] for weight in shared])))
        variables = (self._program.packed if self.is_on else self._program).nest(values)
        return TrainState(
            variables["params"], variables["state"],
            self._own_moments(moments, variables["params"]),
            *copied((metrics, key, step)),
        )  # fmt: skip

    def _own_moments(self, moments: Tree | PackedMoments | None, params: Tree) -> Tree:
        """Returns the optimizer's state for these parameters, in arrays of its own."""
        if moments is None:
            assert self._optimizer is not None
            made = new_moments(self._program, self._optimizer, params, self._placement)
            # A rule of the user's may have the parameters themselves in its state.
            return made if self._stays else copied(made)
        if isinstance(moments, PackedMoments):
            if moments.program is self._program:
                return moments.tree
            moments = moments.plain()
        if not self.is_on:
            return copied(moments)
        held = {id(leaf) for leaf in jax.tree.leaves(moments)}
        leaves, structure = jax.tree.flatten(pack_moments(self._program, moments))
        copies = iter(copied([leaf for leaf in leaves if id(leaf) in held]))
        return structure.unflatten([next(copies) if id(x) in held else x for x in leaves])

    def close(self) -> None:
        """Comes when the weights are lent: from now on the state is the only owner."""
        for bundle in self._bundles:
            bundle.close()
        self._bundles = []

    def give_back(self, state: TrainState) -> None:
        """Gives the weights their arrays: packed, where they can stay so until one is read."""
        program = self._program
        form = program.packed if self.is_on else program
        values = form.by_weight({"params": state.params, "state": state.state})
        if self._stays:
            for stacked in program.stacked_weights:
                Bundle(values.pop(id(stacked.whole)), stacked.members)
        elif self.is_on:
            values = program.unpack_values(values)
        if self._placement is not None:  # XLA has chosen where unpacked ones are
            values = self._placement.placed_weights(program, values)
        for place in program.places:
            if id(place.weight) in values:
                place.weight.take_back(values[id(place.weight)])

    def moments(self, state: TrainState) -> Tree | PackedMoments:
        """Returns the optimizer's state for the next training: packed, where it can stay so."""
        if self._stays:
            return PackedMoments(self._program, state.optimizer)
        return unpack_moments(self._program, state.optimizer) if self.is_on else state.optimizer

    # --- while the state owns the arrays ---------------------------------------------------------

    def unpack(self, state: TrainState) -> TrainState:
        """Returns the state with an array for each weight of each layer."""
        if not self.is_on:
            return state
        variables = self._program.unpack({"params": state.params, "state": state.state})
        moments = unpack_moments(self._program, state.optimizer)
        return replace(state, **variables, optimizer=moments)

    def fetch(self, state: TrainState, place: Place) -> Array:
        """Returns a copy of one weight."""
        tree = getattr(state, place.collection)
        stacked = self._rows.get(id(place.weight)) if self.is_on else None
        if stacked is None:
            return jnp.copy(get_leaf(tree, place.path))
        return take_row(get_leaf(tree, stacked[0]), stacked[1])

    def store(self, state: TrainState, place: Place, array: Array) -> TrainState:
        """Returns the state with one weight replaced."""
        tree = getattr(state, place.collection)
        stacked = self._rows.get(id(place.weight)) if self.is_on else None
        if stacked is None:
            path, leaf = place.path, jnp.copy(array)
        else:
            path, number = stacked
            leaf = get_leaf(tree, path).at[number].set(array)
        return replace(state, **{place.collection: with_leaf(tree, path, leaf)})

    @cached_property
    def _rows(self) -> dict[int, tuple[tuple[str, ...], int]]:
        """Where a weight of a repeated block stands: path of the stacked one, and row."""
        return {
            id(member): (stacked.path, number)
            for stacked in self._program.stacked_weights
            for number, member in enumerate(stacked.members)
        }


def with_leaf(tree: Tree, path: tuple[str, ...], value: Any) -> Tree:
    """Returns the nested dict with one leaf replaced; the given one is not changed."""
    if not path:
        return value
    return {**tree, path[0]: with_leaf(tree[path[0]], path[1:], value)}
