"""Variables: the weights of a program as nested dictionaries, by layer or with blocks stacked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import jax
import jax.numpy as jnp

from kgraph.compiler.folded import Fold, folded_values
from kgraph.compiler.packing import Bundle, stack_rows, take_rows
from kgraph.compiler.stacked import Stack, StackedWeight
from kgraph.errors import StateError, nearest
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.variable import Variable, initial_values, root_key

Variables = dict[str, Any]
"""`{"params": {...}, "state": {...}}`: nested dictionaries of arrays, by layer path."""


@dataclass(frozen=True)
class Place:
    """Where a weight stands in the variables: collection and path."""

    collection: str
    path: tuple[str, ...]
    weight: Variable
    trained: bool


class VariableTrees:
    """The part of a program that knows where each weight stands.

    Attributes:
        stacks: the repeated blocks that are computed by one body each.
        folds: the layers with a normalisation folded into them.
    """

    stacks: dict[str, Stack]
    folds: dict[str, Fold]
    layers: dict[str, Layer]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Where each weight stands, each once."""
        return ()

    def create_values(self) -> None:
        """Gives a value to each weight that has none; those of repeated blocks are kept stacked."""
        missing = {
            id(place.weight): ("/".join(place.path), place.weight)
            for place in self.places
            if not place.weight.has_value
        }
        if not missing:
            return
        rows = [stacked.members for stacked in self.stacked_weights]
        groups = [members for members in rows if all(id(w) in missing for w in members)]
        stacks = [[missing.pop(id(member)) for member in members] for members in groups]
        pairs = list(missing.values())
        with jax.ensure_compile_time_eval():  # real arrays, even while somebody's jit is tracing
            arrays = iter(initial_values(pairs, root_key(), None, stacks))
        for path, weight in pairs:
            weight.path = path
            weight.take_back(next(arrays))
        for members, stack in zip(groups, stacks):
            for path, weight in stack:
                weight.path = path
            Bundle(next(arrays), members)

    def specs(self) -> Variables:
        """Returns shape and dtype of each weight, nested as variables are."""
        return self.nest({id(p.weight): _spec(p.weight) for p in self.places})

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

    # --- folded variables ------------------------------------------------------------------------

    @cached_property
    def folded(self) -> Self:
        """This program for folded variables: without the weights that only made folded ones."""
        used = {id(w) for layer in self.layers.values() for w in layer.weights}
        sources = {id(w) for fold in self.folds.values() for w in fold.sources}
        kept = [p for p in self.places if id(p.weight) in used or id(p.weight) not in sources]
        made = [
            Place("params", (fold.name, w.name), w, trained=False)
            for fold in self.folds.values()
            for w in fold.weights
        ]
        form = copy.copy(self)
        vars(form).pop("trained", None)
        vars(form).pop("packed", None)
        vars(form).update(places=(*kept, *made), folded=form)
        return form

    def fold(self, variables: Mapping[str, Any]) -> Variables:
        """Returns variables in which normalisations are part of the weights of the layers before.

        A program for inference takes these as well as the model's own, and then folds nothing
        itself. There is no way back: weights that no layer reads any more are left out.

        Args:
            variables: the model's, `{"params": ..., "state": ...}`.
        """
        return self.folded.nest(self.with_folded(self.by_weight(variables)))

    def with_folded(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Returns values by weight, with those of folded weights computed if they are missing."""
        missing = [f for f in self.folds.values() if id(f.weights[0]) not in values]
        return {**values, **folded_values(missing, values)} if missing else dict(values)

    # --- packed variables ------------------------------------------------------------------------

    @cached_property
    def packed(self) -> Self:
        """This program for packed variables: its places are those of the stacked weights."""
        moved = {id(member): s for s in self.stacked_weights for member in s.members}
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
        """Returns this program, or its form for folded or packed variables if these are so."""
        trees = [tree for tree in variables.values() if isinstance(tree, Mapping)]
        is_folded = any(name in tree for name in self.folds for tree in trees)
        is_packed = any(name in tree for name in self.stacks for tree in trees)
        form = self.folded if is_folded else self
        return form.packed if is_packed else form

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
        for stacked in self.stacked_weights:
            rows = [found.pop(id(w)) for w in stacked.members if id(w) in found]
            if rows:
                found[id(stacked.whole)] = stack_rows(rows)
        return found

    def unpack_values(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Returns what `pack_values` was given."""
        found = dict(values)
        for stacked in self.stacked_weights:
            whole = found.pop(id(stacked.whole), None)
            if whole is not None:
                rows = take_rows(whole, len(stacked.members))
                found.update(zip(map(id, stacked.members), rows))
        return found

    @property
    def stacked_weights(self) -> list[StackedWeight]:
        """The weights of all repeated blocks."""
        return [stacked for stack in self.stacks.values() for stacked in stack.weights]


def _spec(weight: Variable) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(weight.shape, jnp.dtype(weight.dtype))


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
