"""What a program knows of variables: the layouts that it takes, and values for its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jax

from kgraph.compiler.folded import Fold, folded_values
from kgraph.compiler.layout import BOTH, Layout, Place, Variables
from kgraph.compiler.packing import Bundle
from kgraph.compiler.stacked import Stack, StackedWeight
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.variable import Variable, by_key, initial_values
from kgraph.types import Array


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
    def layout(self) -> Layout:
        """Where each weight stands by itself: what `init` makes, and what is saved."""
        return Layout(())

    @cached_property
    def packed(self) -> Layout:
        """The layout in which the weights of repeated blocks are stacked."""
        return self.layout.stacked(self.stacked_weights)

    @cached_property
    def folded(self) -> Layout:
        """The layout of what `fold` makes: without the weights that only made folded ones."""
        used = {id(w) for layer in self.layers.values() for w in layer.weights}
        sources = {id(w) for fold in self.folds.values() for w in fold.sources}
        kept = [p for p in self.places if id(p.weight) in used or id(p.weight) not in sources]
        made = [
            Place("params", (fold.name, w.name), w, trained=False)
            for fold in self.folds.values()
            for w in fold.weights
        ]
        return Layout((*kept, *made))

    def layout_of(self, variables: Variables) -> Layout:
        """Returns the layout that variables have: their names say which."""
        trees = [tree for tree in variables.values() if isinstance(tree, Mapping)]
        is_packed = any(name in tree for name in self.stacks for tree in trees)
        if any(name in tree for name in self.folds for tree in trees):
            return self.folded.stacked(self.stacked_weights) if is_packed else self.folded
        return self.packed if is_packed else self.layout

    @property
    def places(self) -> tuple[Place, ...]:
        """Where each weight stands by itself, each once."""
        return self.layout.places

    @property
    def stacked_weights(self) -> list[StackedWeight]:
        """The weights of all repeated blocks."""
        return [stacked for stack in self.stacks.values() for stacked in stack.weights]

    def specs(self) -> Variables:
        """Returns shape and dtype of each weight, nested as variables are."""
        return self.layout.specs

    def nest(self, values: Mapping[int, Any], collections: Sequence[str] = BOTH) -> Variables:
        """Returns the variables made of a value for each weight (by identity)."""
        return self.layout.nest(values, collections)

    def by_weight(self, variables: Variables, collections: Sequence[str] = BOTH) -> dict[int, Any]:
        """Returns the value for each weight (by identity) in nested variables."""
        return self.layout.by_weight(variables, collections)

    def create_values(self) -> None:
        """Gives a value to each weight that has none; those of repeated blocks are kept stacked."""
        with between_blocks:  # two threads that need the same weight get the same
            missing = {
                id(place.weight): ("/".join(place.path), place.weight)
                for place in self.places
                if not place.weight.has_value
            }
            if missing:
                self._create(missing)

    def _create(self, missing: dict[int, tuple[str, Variable]]) -> None:
        for key, pairs in by_key(missing.values()):
            alone = {id(weight): (path, weight) for path, weight in pairs}
            rows = [stacked.members for stacked in self.stacked_weights]
            groups = [members for members in rows if all(id(w) in alone for w in members)]
            stacks = [[alone.pop(id(member)) for member in members] for members in groups]
            with jax.ensure_compile_time_eval():  # real arrays, even while a jit is tracing
                arrays = iter(initial_values(list(alone.values()), key, None, stacks))
            for _, weight in alone.values():
                weight.take_back(next(arrays))
            for members in groups:
                Bundle(next(arrays), members)

    def fold(self, variables: Variables) -> Variables:
        """Returns variables in which normalisations are part of the weights of the layers before.

        A program for inference takes these as well as the model's own, and then folds nothing
        itself. There is no way back: weights that no layer reads any more are left out.

        Args:
            variables: the model's, `{"params": ..., "state": ...}`.
        """
        return self.folded.nest(self.with_folded(self.by_weight(variables)))

    def with_folded(self, values: Mapping[int, Array]) -> dict[int, Any]:
        """Returns values by weight, with those of folded weights computed if they are missing."""
        missing = [f for f in self.folds.values() if id(f.weights[0]) not in values]
        return {**values, **folded_values(missing, values)} if missing else dict(values)

    def pack(self, variables: Variables) -> Variables:
        """Returns variables in which the weights of repeated blocks are stacked.

        Every function of a program takes packed variables as well, and then stacks nothing itself:
        each step of a training saves a copy of the weights. `unpack` is the inverse.

        Args:
            variables: collections by name (`{"params": ..., "state": ...}`, or one of them): nested
                dicts with a leaf for each weight: its array, or something else of its shape, such
                as its moment in an optimizer.
        """
        layout = self.layout_of(variables)
        if layout is self.layout:
            layout = self.packed
        elif layout.plain is None:  # folded variables
            layout = layout.stacked(self.stacked_weights)
        return layout.pack(variables)

    def unpack(self, variables: Variables) -> Variables:
        """Returns packed variables with an array for each weight of each block again."""
        return self.packed.unpack(variables)
