"""How the engine keeps its state: the weights of repeated blocks, and their moments, packed.

A step then computes on stacked arrays from one end to the other; nothing is stacked in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import optimizers
from kgraph.compiler import Place, Program
from kgraph.compiler.packing import take_row
from kgraph.compiler.variables import get_leaf, set_leaf
from kgraph.optimizers import Optimizer
from kgraph.training.objective import Objective
from kgraph.training.state import TrainState, copied
from kgraph.types import Array, Tree

# By name, so that the others need not be imported.
_ELEMENTWISE = {
    f"kgraph.optimizers.{name.lower()}.{name}"
    for name in (
        "SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Ftrl", "Lion",
    )
}  # fmt: skip


def is_elementwise(optimizer: Optimizer) -> bool:
    """Tells whether an update treats each number of a parameter by itself, whatever its path.

    A rule that looks at norms or shapes of parameters gives other numbers for stacked ones. The
    state of those that do not is made of trees like the parameters, and can be packed as they are.
    """
    if isinstance(optimizer, optimizers.LossScaleOptimizer):
        return is_elementwise(optimizer.inner_optimizer)
    spares = "exclude_from_weight_decay" in optimizer.get_config()
    rule = f"{type(optimizer).__module__}.{type(optimizer).__name__}"
    return rule in _ELEMENTWISE and optimizer.clipnorm is None and not spares


class Packing:
    """Packs and unpacks the state of a training.

    Args:
        program: what is trained.
        objective: a `loss_fn` of the user's gets variables by layer, so nothing is packed for it.
        optimizer: None for evaluation alone.
    """

    def __init__(self, program: Program, objective: Objective, optimizer: Optimizer | None) -> None:
        self._program, self._optimizer = program, optimizer
        self._may = objective.loss_fn is None and optimizer is not None

    @cached_property
    def is_on(self) -> bool:
        """Whether the state is packed: where blocks are stacked and the optimizer allows it."""
        optimizer = self._optimizer
        if not self._may or not any(stack.weights for stack in self._program.stacks.values()):
            return False
        return optimizer is not None and is_elementwise(optimizer)

    def taken_over(self, state: TrainState) -> TrainState:
        """Returns the state in arrays of its own, packed where that is on."""
        if not self.is_on:
            return copied(state)
        variables = self._program.pack({"params": state.params, "state": state.state})
        moments = self._packed_moments(state.optimizer)
        packed = replace(state, **variables, optimizer=moments)
        held = {id(leaf) for leaf in jax.tree.leaves(state)}
        leaves, structure = jax.tree.flatten(packed)
        copies = iter(copied([leaf for leaf in leaves if id(leaf) in held]))
        return structure.unflatten([next(copies) if id(x) in held else x for x in leaves])

    def values(self, state: TrainState) -> dict[int, Array]:
        """Returns the array of each weight, by identity."""
        program, variables = self._program, {"params": state.params, "state": state.state}
        if not self.is_on:
            return program.by_weight(variables)
        return program.unpack_values(program.packed.by_weight(variables))

    def unpack(self, state: TrainState) -> TrainState:
        """Returns the state with an array for each weight of each layer."""
        if not self.is_on:
            return state
        variables = self._program.unpack({"params": state.params, "state": state.state})
        moments = self._unpacked_moments(state.optimizer)
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
            for stack in self._program.stacks.values()
            for stacked in stack.weights
            for number, member in enumerate(stacked.members)
        }

    # --- trees like the trained parameters, in the state of an optimizer -------------------------

    def _packed_moments(self, state: Tree) -> Tree:
        program = self._program

        def pack(tree: Tree) -> Tree:
            return _tree(program.packed, program.pack_values(_values(program, tree)))

        return _map_like(trained_specs(program), pack, state)

    def _unpacked_moments(self, state: Tree) -> Tree:
        program = self._program

        def unpack(tree: Tree) -> Tree:
            return _tree(program, program.unpack_values(_values(program.packed, tree)))

        return _map_like(trained_specs(program.packed), unpack, state)


def trained_specs(program: Program) -> Tree:
    """Returns shape and dtype of each trained parameter."""
    return _tree(program, program.by_weight(program.specs()))


def with_leaf(tree: Tree, path: tuple[str, ...], value: Any) -> Tree:
    """Returns the nested dict with one leaf replaced; the given one is not changed."""
    if not path:
        return value
    return {**tree, path[0]: with_leaf(tree[path[0]], path[1:], value)}


def _tree(program: Program, values: dict[int, Any]) -> Tree:
    tree: Tree = {}
    for place in program.places:
        if place.collection == "params" and place.trained:
            set_leaf(tree, place.path, values[id(place.weight)])
    return tree


def _values(program: Program, tree: Tree) -> dict[int, Any]:
    return {
        id(place.weight): get_leaf(tree, place.path)
        for place in program.places
        if place.collection == "params" and place.trained
    }


def _map_like(example: Tree, function: Callable[[Tree], Tree], tree: Tree) -> Tree:
    """Returns the tree with the function applied to each part that is structured like `example`."""
    structure = jax.tree.structure(example)

    def is_alike(part: Any) -> bool:
        return isinstance(part, dict) and jax.tree.structure(part) == structure

    return jax.tree.map(
        lambda part: function(part) if is_alike(part) else part, tree, is_leaf=is_alike
    )
