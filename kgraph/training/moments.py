"""Moments: the state of an optimizer, for the weights one by one or for stacked ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from kgraph.compiler import Program
from kgraph.compiler.variables import get_leaf, set_leaf
from kgraph.optimizers import Optimizer
from kgraph.training.placement import Placement
from kgraph.training.step import split_params
from kgraph.types import Tree


@partial(jax.tree_util.register_dataclass, data_fields=["tree"], meta_fields=["program"])
@dataclass(frozen=True)
class PackedMoments:
    """What a training leaves behind for the next one: nobody else has these arrays.

    Fields:
        program: by whose repeated blocks they are packed.
        tree: the optimizer's state for packed parameters.
    """

    program: Program
    tree: Tree

    def plain(self) -> Tree:
        """Returns the optimizer's state with an array for each parameter of each layer."""
        return unpack_moments(self.program, self.tree)


def new_moments(
    program: Program, optimizer: Optimizer, params: Tree, placement: Placement | None = None
) -> Tree:
    """Returns the optimizer's state before the first step, for the trained parameters.

    Args:
        program: whose parameters.
        optimizer: what will update them.
        params: all of them, packed or not; the state is for them as they are.
        placement: where arrays lie on several devices; None for one device.
    """
    trained = split_params(program, params)[0]
    if placement is None:
        return optimizer.init(trained)
    where = placement.shardings(program, jax.eval_shape(optimizer.init, trained))
    return jax.jit(optimizer.init, out_shardings=where)(trained)


def pack_moments(program: Program, state: Tree) -> Tree:
    """Returns the state of an optimizer for packed parameters."""

    def pack(tree: Tree) -> Tree:
        return _tree(program.packed, program.pack_values(_values(program, tree)))

    return _map_like(trained_specs(program), pack, state)


def unpack_moments(program: Program, state: Tree) -> Tree:
    """Returns what `pack_moments` was given."""

    def unpack(tree: Tree) -> Tree:
        return _tree(program, program.unpack_values(_values(program.packed, tree)))

    return _map_like(trained_specs(program.packed), unpack, state)


def trained_specs(program: Program) -> Tree:
    """Returns shape and dtype of each trained parameter."""
    return _tree(program, program.by_weight(program.specs()))


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
