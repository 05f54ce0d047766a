"""Placement: where the arrays of a training lie, if it has more than one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding

from kgraph.distribution.layout import partition_spec, put
from kgraph.distribution.stored import owner_of
from kgraph.layers.base.variable import create_values
from kgraph.training.batch_placement import BatchPlacement
from kgraph.training.step import Batch
from kgraph.types import Array, Tree

if TYPE_CHECKING:
    from kgraph.compiler import Place, Program

Shardings = Tree
"""A tree of shardings like a tree of arrays, or one that holds for all of a part."""


class Placement(BatchPlacement):
    """Lays out weights, states and batches as a distribution says.

    Without a distribution there is none of these, and nothing of this happens.

    Args:
        distribution: the rules.
    """

    def shardings(self, program: Program, tree: Tree) -> Shardings:
        """Returns where arrays lie: those of weights, and what is shaped like one, as the weight.

        Args:
            program: whose weights they are, packed or not.
            tree: arrays or their shapes, in nested dicts named as the weights are.
        """
        known = self._by_path(program)
        shapes = {path: shape for path, (shape, _) in known.items()}

        def place(path: Any, leaf: Any) -> Any:
            names = tuple(str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey))
            owner = owner_of(names, tuple(leaf.shape), shapes)
            return self.distribution.replicated if owner is None else known[owner][1]

        return jax.tree_util.tree_map_with_path(place, tree)

    def placed(self, program: Program, tree: Tree) -> Tree:
        """Returns a state's arrays where they have to lie; those that lie there are not copied."""
        return put(tree, self.shardings(program, tree))

    def create(self, program: Program) -> None:
        """Gives values to the weights of a program that have none, and moves those that have."""
        rule = self.distribution.sharding_of
        pairs = [("/".join(place.path), place.weight) for place in program.places]
        create_values(pairs, sharding_of=rule)
        with jax.ensure_compile_time_eval():  # real arrays, even while somebody's jit is tracing
            for path, weight in pairs:
                value = None if weight.is_lent else weight.value
                if value is None or isinstance(value, Tracer):
                    continue
                where = rule(path, weight.shape)
                if not value.sharding.is_equivalent_to(where, value.ndim):
                    weight.assign(put(value, where))

    def specs(self, program: Program, tree: Tree) -> Tree:
        """Returns shapes and dtypes of a state's arrays with where they have to lie."""
        return jax.tree.map(_spec, tree, self.shardings(program, tree))

    def batch_specs(self, batch: Batch) -> Batch:
        """Returns shapes and dtypes of a batch with where its arrays lie."""
        where = self.distribution
        sharding = where.replicated if batch.rows % self.parts else where.batch_sharding
        return jax.tree.map(lambda leaf: _spec(leaf, sharding), batch)

    def stacks_alike(self, program: Program) -> bool:
        """Tells whether corresponding weights of repeated blocks are spread in the same way."""
        where = {id(place.weight): self._axes_of(place) for place in program.places}
        return all(
            len({where[id(member)] for member in stacked.members}) == 1
            for stack in program.stacks.values()
            for stacked in stack.weights
        )

    def _axes_of(self, place: Place) -> Any:
        return self.distribution.axes_of("/".join(place.path), place.weight.shape)

    def placed_weights(self, program: Program, values: Mapping[int, Array]) -> dict[int, Array]:
        """Returns the array of each weight (by identity) where it has to lie."""
        where = {
            id(place.weight): self.distribution.sharding_of(
                "/".join(place.path), place.weight.shape
            )
            for place in program.places
        }
        return {key: put(array, where[key]) for key, array in values.items()}

    def _by_path(self, program: Program) -> Mapping[tuple[str, ...], tuple[Any, Any]]:
        """Returns shape and sharding by path, for each weight and each stack of weights."""
        sharding_of = self.distribution.sharding_of
        found: dict[tuple[str, ...], tuple[Any, Any]] = {}
        by_weight: dict[int, Any] = {}
        for place in program.places:
            shape = place.weight.shape
            sharding = by_weight[id(place.weight)] = sharding_of("/".join(place.path), shape)
            found[place.path] = (shape, sharding)
        for stack in program.stacks.values():
            for stacked in stack.weights:
                one = by_weight[id(stacked.members[0])]
                whole = NamedSharding(one.mesh, partition_spec((None, *one.spec)))
                found[stacked.path] = (stacked.whole.shape, whole)
        return found


def on_one_device(tree: Tree) -> Tree:
    """Returns arrays that are spread over devices as arrays of the default one."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)), tree)


def as_before(argument: int, rest: Any) -> Callable[[tuple[Any, ...]], Shardings]:
    """Returns where the results of a function lie: the first as one of its arguments does.

    Args:
        argument: its number.
        rest: where the other results lie; None if there is only one result.
    """

    def shardings(args: tuple[Any, ...]) -> Shardings:
        first = jax.tree.map(lambda leaf: leaf.sharding, args[argument])
        return first if rest is None else (first, rest)

    return shardings


def _spec(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
