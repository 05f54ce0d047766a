"""Variables: the weights of a program as nested dictionaries, by layer or with blocks stacked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from kgraph.compiler.packing import stack_rows, take_row
from kgraph.compiler.stacked import Stack, StackedWeight
from kgraph.errors import StateError, nearest
from kgraph.layers.base.weight import Weight

Variables = dict[str, Any]
"""`{"params": {...}, "state": {...}}`: nested dictionaries of arrays, by layer path."""


@dataclass(frozen=True)
class Place:
    """Where a weight stands in the variables: collection and path."""

    collection: str
    path: tuple[str, ...]
    weight: Weight
    trained: bool


class VariableTrees:
    """The part of a program that knows where each weight stands.

    Attributes:
        stacks: the repeated blocks that are computed by one body each.
    """

    stacks: dict[str, Stack]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where each weight stands, each once."""
        return ()

    def nest(
        self, values: Mapping[int, Any], collections: Sequence[str] = ("params", "state")
    ) -> Variables:
        """Returns the variables made of a value for each weight (by identity)."""
        tree: Variables = {name: {} for name in collections}
        for place in self.places:
            if place.collection in collections:
                set_leaf(tree[place.collection], place.path, values[id(place.weight)])
        return tree

    def by_weight(
        self, variables: Mapping[str, Any], collections: Sequence[str] = ("params", "state")
    ) -> dict[int, Any]:
        """Returns the value for each weight (by identity) in nested variables."""
        found: dict[int, Any] = {}
        for place in self.places:
            if place.collection not in collections:
                continue
            if place.collection not in variables:
                raise StateError(
                    f"The variables have no {place.collection!r}",
                    expected='{"params": {...}, "state": {...}}',
                    received=", ".join(map(repr, variables)) or "nothing",
                )
            found[id(place.weight)] = get_leaf(variables[place.collection], place.path)
        return found

    # --- packed variables ------------------------------------------------------------------------

    @cached_property
    def packed(self) -> Self:
        """This program for packed variables: its places are those of the stacked weights."""
        moved = {id(member): s for s in self._stacked for member in s.members}
        found: dict[int, Place] = {}
        for place in self.places:
            stacked = moved.get(id(place.weight))
            if stacked is None:
                found[id(place.weight)] = place
            else:
                whole = Place(place.collection, stacked.path, stacked.whole, place.trained)
                found.setdefault(id(stacked.whole), whole)
        form = copy.copy(self)
        vars(form).pop("trained", None)
        vars(form).update(places=tuple(found.values()), packed=form)
        return form

    def form_of(self, variables: Mapping[str, Any]) -> Self:
        """Returns this program, or its form for packed variables if these are packed."""
        trees = [tree for tree in variables.values() if isinstance(tree, Mapping)]
        is_packed = any(name in tree for name in self.stacks for tree in trees)
        return self.packed if is_packed else self

    def pack(self, variables: Mapping[str, Any]) -> Variables:
        """Returns variables in which the weights of repeated blocks are stacked.

        Every function of a program takes packed variables as well, and then stacks nothing itself:
        each step of a training saves a copy of the weights. `unpack` is the inverse.

        Args:
            variables: collections by name (`{"params": ..., "state": ...}`, or one of them): nested
                dicts with a leaf for each weight: its array, or something else of its shape, such
                as its moment in an optimizer.
        """
        values = self.pack_values(self.by_weight(variables, tuple(variables)))
        return self.packed.nest(values, tuple(variables))

    def unpack(self, variables: Mapping[str, Any]) -> Variables:
        """Returns packed variables with an array for each weight of each block again."""
        values = self.unpack_values(self.packed.by_weight(variables, tuple(variables)))
        return self.nest(values, tuple(variables))

    def pack_values(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Returns values by weight, with those of stacked weights for what is there of them."""
        found = dict(values)
        for stacked in self._stacked:
            rows = [found.pop(id(w)) for w in stacked.members if id(w) in found]
            if rows:
                found[id(stacked.whole)] = stack_rows(rows)
        return found

    def unpack_values(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Returns what `pack_values` was given."""
        found = dict(values)
        for stacked in self._stacked:
            whole = found.pop(id(stacked.whole), None)
            if whole is not None:
                rows = {id(w): take_row(whole, k) for k, w in enumerate(stacked.members)}
                found.update(rows)
        return found

    @property
    def _stacked(self) -> list[StackedWeight]:
        return [stacked for stack in self.stacks.values() for stacked in stack.weights]


def set_leaf(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def get_leaf(tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    node: Any = tree
    for i, part in enumerate(path):
        if not isinstance(node, Mapping) or part not in node:
            known = list(node) if isinstance(node, Mapping) else []
            raise StateError(
                f"The variables have no {'/'.join(path[: i + 1])!r}",
                expected=f"the weight {'/'.join(path)!r}",
                received=", ".join(map(repr, known)) or "an array",
                hint=nearest(part, known),
            )
        node = node[part]
    return node
