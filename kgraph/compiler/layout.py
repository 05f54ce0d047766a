"""Layout: how the leaves of nested variables stand for the weights of layers, as a value.

A weight's array is a leaf of its own (the layout that users see), a row of one leaf with those of
the same weight in other blocks, or made of those of other weights. A program has a layout for each;
what it is given says by its names which one it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from kgraph.compiler.packing import stack_rows, take_row, take_rows
from kgraph.compiler.stacked import StackedWeight
from kgraph.errors import StateError, nearest
from kgraph.layers.base.variable import Variable
from kgraph.types import Array, Params, Tree

Variables: TypeAlias = Mapping[str, "Params"]
"""`{"params": {...}, "state": {...}}`: nested dictionaries of arrays, by layer path."""

ByWeight: TypeAlias = Mapping[int, object]
"""A value for each weight, or for a variable that stands for several, by its identity."""

BOTH = ("params", "state")


@dataclass(frozen=True, eq=False)
class Place:
    """A leaf of nested variables.

    Fields:
        collection: "params" or "state".
        path: of the leaf.
        weight: what the leaf is the array of: a weight; for several, a variable with an axis more.
        trained: whether training changes it.
        rows: where the weights stand by themselves that are the rows of the leaf, if it has any.
        sharding: where the leaf lies on several devices; None if that is not said.
        held: whether it is no weight, but of a metric that a layer updates.
    """

    collection: str
    path: tuple[str, ...]
    weight: Variable
    trained: bool
    rows: tuple[Place, ...] = ()
    sharding: Any = None
    held: bool = False


@dataclass(frozen=True, eq=False)
class Layout:
    """Which leaf of nested variables stands for which weights, and where it lies.

    Fields:
        places: the leaves.
        plain: the layout of the same variables in which each weight has a leaf of its own; None if
            this is it.
    """

    places: tuple[Place, ...]
    plain: Layout | None = None

    # --- nested variables and values by weight ---------------------------------------------------

    def nest(self, values: Mapping[int, Any], collections: Sequence[str] = BOTH) -> Variables:
        """Returns the variables made of a value for each leaf."""
        tree: Variables = {name: {} for name in collections}
        for place in self.places:
            if place.collection in collections:
                put_in(tree[place.collection], place.path, values[id(place.weight)])
        return tree

    def by_weight(self, variables: Variables, collections: Sequence[str] = BOTH) -> dict[int, Any]:
        """Returns the value of each leaf of nested variables."""
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
            found[id(place.weight)] = _get(variables[place.collection], place.path)
        return found

    @property
    def specs(self) -> Variables:
        """Shape and dtype of each leaf, and where it lies if that is said."""
        return self.nest({id(place.weight): _spec(place) for place in self.places})

    def check_shapes(self, values: Mapping[int, Any]) -> None:
        """Raises StateError if an array has not the shape of its leaf."""
        for place in self.places:
            shape = jnp.shape(values[id(place.weight)])
            if shape != place.weight.shape:
                raise StateError(
                    f"The variable {'/'.join((place.collection, *place.path))!r} has another shape",
                    expected=place.weight.shape,
                    received=shape,
                )

    # --- what training changes -------------------------------------------------------------------

    @cached_property
    def trained(self) -> Layout:
        """The layout of the parameters that training changes."""
        return self._only(True)

    @cached_property
    def frozen(self) -> Layout:
        """The layout of the parameters that training does not change."""
        return self._only(False)

    def _only(self, trained: bool) -> Layout:
        kept = (p for p in self.places if p.collection == "params" and p.trained is trained)
        return Layout(tuple(kept), self.plain and self.plain._only(trained))

    def split(self, params: Params) -> tuple[Any, Any]:
        """Returns the parameters that training changes and those that it does not, as two trees."""
        values = self.by_weight({"params": params}, ("params",))
        parts = (part.nest(values, ("params",))["params"] for part in (self.trained, self.frozen))
        trained, frozen = parts
        return trained, frozen

    # --- one weight ------------------------------------------------------------------------------

    @cached_property
    def _where(self) -> dict[int, tuple[Place, int | None]]:
        """The leaf of each weight, and its row."""
        found: dict[int, tuple[Place, int | None]] = {}
        for place in self.places:
            found[id(place.weight)] = place, None
            found.update((id(one.weight), (place, row)) for row, one in enumerate(place.rows))
        return found

    def fetch(self, variables: Variables, weight: Variable) -> Array:
        """Returns a copy of the array of one weight."""
        place, row = self._where[id(weight)]
        leaf = _get(variables[place.collection], place.path)
        return jnp.copy(leaf) if row is None else take_row(leaf, row)

    def store(self, variables: Variables, weight: Variable, array: Array) -> Variables:
        """Returns the variables with the array of one weight replaced."""
        place, row = self._where[id(weight)]
        tree = variables[place.collection]
        leaf = jnp.copy(array) if row is None else _get(tree, place.path).at[row].set(array)
        return {**variables, place.collection: _with(tree, place.path, leaf)}

    # --- stacked, and cut over devices -----------------------------------------------------------

    def stacked(self, weights: Iterable[StackedWeight]) -> Layout:
        """Returns the layout in which weights of repeated blocks are rows of one leaf."""
        own = {id(place.weight): place for place in self.places}
        moved: dict[int, Place] = {}
        for stacked in weights:
            rows = tuple(own[id(member)] for member in stacked.members)
            first = rows[0]
            whole = Place(first.collection, stacked.path, stacked.whole, first.trained, rows)
            moved.update((id(member), whole) for member in stacked.members)
        places = dict.fromkeys(moved.get(id(place.weight), place) for place in self.places)
        return Layout(tuple(places), self)

    def spread(
        self, rule: Callable[[str, Variable], Any], over_rows: Callable[[Any], Any]
    ) -> Layout:
        """Returns the layout with leaves that lie on several devices.

        Args:
            rule: from the path and a weight to where it lies.
            over_rows: from where one row lies to where all rows lie as one leaf.
        """

        def put(place: Place) -> Place:
            rows = tuple(map(put, place.rows))
            if rows:
                sharding = over_rows(rows[0].sharding)
            else:
                sharding = rule("/".join(place.path), place.weight)
            return replace(place, rows=rows, sharding=sharding)

        plain = self.plain and self.plain.spread(rule, over_rows)
        return Layout(tuple(map(put, self.places)), plain)

    def pack(self, variables: Variables) -> Variables:
        """Returns variables (or some of their collections) of the plain layout in this one."""
        if self.plain is None:
            return dict(variables)
        values = self.plain.by_weight(variables, tuple(variables))
        return self.nest(self.pack_values(values), tuple(variables))

    def unpack(self, variables: Variables) -> Variables:
        """Returns what `pack` was given."""
        if self.plain is None:
            return dict(variables)
        values = self.unpack_values(self.by_weight(variables, tuple(variables)))
        return self.plain.nest(values, tuple(variables))

    def pack_values(self, values: ByWeight) -> dict[int, Any]:
        """Returns values by weight, with those of rows as values of their leaf."""
        found = dict(values)
        for place in self.places:
            rows = [found.pop(id(r.weight)) for r in place.rows if id(r.weight) in found]
            if rows:
                found[id(place.weight)] = stack_rows(rows)
        return found

    def unpack_values(self, values: Mapping[int, Any]) -> dict[int, Any]:
        """Returns what `pack_values` was given."""
        found = dict(values)
        for place in self.places:
            whole = found.pop(id(place.weight), None) if place.rows else None
            if whole is not None:
                rows = take_rows(whole, len(place.rows))
                found.update(zip((id(row.weight) for row in place.rows), rows))
        return found

    def pack_state(self, state: Tree) -> Any:
        """Returns an optimizer's state: each part that is a tree like the trained parameters, of
        the plain layout, in this one.
        """
        return self._map_state(state, self.plain or self, self.trained.pack)

    def unpack_state(self, state: Tree) -> Any:
        """Returns what `pack_state` was given."""
        return self._map_state(state, self, self.trained.unpack)

    def _map_state(
        self, state: Tree, given: Layout, convert: Callable[[Mapping[str, Any]], Variables]
    ) -> Any:
        if self.plain is None:
            return state
        structure = jax.tree.structure(given.trained.specs["params"])

        def is_alike(part: Any) -> bool:
            return isinstance(part, dict) and jax.tree.structure(part) == structure

        def one(part: Any) -> Any:
            return convert({"params": part})["params"] if is_alike(part) else part

        return jax.tree.map(one, state, is_leaf=is_alike)


def _spec(place: Place) -> jax.ShapeDtypeStruct:
    weight = place.weight
    return jax.ShapeDtypeStruct(weight.shape, jnp.dtype(weight.dtype), sharding=place.sharding)


def put_in(tree: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    """Sets a leaf of a nested dict, whose dicts are made as they are needed."""
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _with(tree: Any, path: tuple[str, ...], value: Any) -> Any:
    """Returns the nested dict with one leaf replaced; the given one is not changed."""
    if not path:
        return value
    return {**tree, path[0]: _with(tree[path[0]], path[1:], value)}


def _get(tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
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
