"""Placement: where the arrays of a training lie, if it has more than one device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import Mesh, NamedSharding

from kgraph.distribution.layout import names_of, partition_spec, put
from kgraph.distribution.stored import owner_of
from kgraph.distribution.together import Call, current_call
from kgraph.layers.base.variable import create_values
from kgraph.training.batch_placement import BatchPlacement
from kgraph.training.step import Batch
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.compiler import Layout, Place, Program

Shardings = Tree
"""A tree of shardings like a tree of arrays, or one that holds for all of a part."""


class Placement(BatchPlacement):
    """Lays out weights, states and batches as a distribution says.

    Without a distribution there is none of these, and nothing of this happens.

    Args:
        distribution: the rules.
    """

    @property
    def mesh(self) -> tuple[Mesh, tuple[str, ...]]:
        """The devices, and the axes along which batches are spread."""
        where = self.distribution
        return where.device_mesh.backend_mesh, tuple(names_of([where.batch_dim_name]))

    def laid(self, layout: Layout) -> Layout:
        """Returns a layout whose leaves know where they lie; it may be given one that does."""
        return layout.spread(self.distribution.sharding_of, _over_rows)

    def shardings(self, layout: Layout, tree: Tree) -> Shardings:
        """Returns where arrays lie: those of weights, and what is shaped like one, as the weight.

        Args:
            layout: of the weights, as `laid` returns it.
            tree: arrays or their shapes, in nested dicts named as the weights are.
        """
        known = {place.path: place.sharding for place in layout.places}
        shapes = {place.path: place.weight.shape for place in layout.places}

        def place(path: Any, leaf: Any) -> Any:
            names = tuple(str(key.key) for key in path if isinstance(key, jax.tree_util.DictKey))
            owner = owner_of(names, tuple(leaf.shape), shapes)
            return self.distribution.replicated if owner is None else known[owner]

        return jax.tree_util.tree_map_with_path(place, tree)

    def placed(self, layout: Layout, tree: Tree) -> Any:
        """Returns a state's arrays where they have to lie; those that lie there are not copied."""
        return put(tree, self.shardings(layout, tree))

    def create(self, program: Program) -> None:
        """Gives values to the weights of a program that have none, and moves those that have."""
        rule = self.distribution.sharding_of
        pairs = [("/".join(place.path), place.weight) for place in program.weights.places]
        create_values(pairs, sharding_of=rule)
        with jax.ensure_compile_time_eval():  # real arrays, even while somebody's jit is tracing
            for path, weight in pairs:
                value = weight.value if weight.owner is None else None
                if value is None or isinstance(value, Tracer):
                    continue
                where = rule(path, weight)
                if not value.sharding.is_equivalent_to(where, value.ndim):
                    weight.assign(put(value, where))

    def specs(self, layout: Layout, tree: Tree) -> Any:
        """Returns shapes and dtypes of a state's arrays with where they have to lie."""
        return jax.tree.map(_spec, tree, self.shardings(self.laid(layout), tree))

    def batch_specs(self, batch: Batch) -> Batch:
        """Returns shapes and dtypes of a batch with where its arrays lie."""
        where = self.distribution
        sharding = where.replicated if batch.rows % self.parts else where.batch_sharding
        return jax.tree.map(lambda leaf: _spec(leaf, sharding), batch)

    def stacks_alike(self, program: Program) -> bool:
        """Tells whether corresponding weights of repeated blocks are spread in the same way."""
        rows = (place.rows for place in program.weights.packed.places if place.rows)
        return all(len(set(map(self._axes_of, places))) == 1 for places in rows)

    def _axes_of(self, place: Place) -> Any:
        return self.distribution.axes_of_weight("/".join(place.path), place.weight)


def _over_rows(one: Any) -> Any:
    """Returns where a stack of arrays lies, from where each of them does."""
    return NamedSharding(one.mesh, partition_spec((None, *one.spec)))


def shared_call(placement: Placement | None) -> Call | None:
    """Returns the call in which several processes run this together; None if one runs it alone."""
    shared = placement is not None and placement.distribution.num_processes > 1
    return current_call() if shared else None


def on_one_device(tree: Tree) -> Any:
    """Returns arrays that are spread over devices as arrays of the default one."""
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)), tree)


def as_before(argument: int, rest: Any) -> Callable[[tuple[Any, ...]], Shardings]:
    """Returns where the results of a function lie: the first as one of its arguments does.

    Args:
        argument: its number.
        rest: where the other results lie; None if there is only one result.
    """

    def shardings(args: tuple[object, ...]) -> Shardings:
        first = jax.tree.map(lambda leaf: leaf.sharding, args[argument])
        return first if rest is None else (first, rest)

    return shardings


def _spec(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
