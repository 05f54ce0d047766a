"""What a program knows of variables: the layouts that it takes, and values for its weights."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import jax

from kgraph.compiler.folded import Fold, folded_values
from kgraph.compiler.layout import Layout, Place, Variables
from kgraph.compiler.packing import Bundle
from kgraph.compiler.stacked import Stack, StackedWeight
from kgraph.layers.base.between_blocks import between_blocks
from kgraph.layers.base.layer import Layer
from kgraph.layers.base.variable import Variable, by_key, initial_values
from kgraph.types import Array


class ProgramWeights:
    """Where the weights of a program stand: the layouts of the variables that it takes.

    Attributes:
        layout: where each weight stands by itself, each once: what `init` makes, and what is saved.
    """

    def __init__(
        self,
        layout: Layout,
        layers: Mapping[str, Layer],
        stacks: Mapping[str, Stack],
        folds: Mapping[str, Fold],
    ) -> None:
        self.layout, self._layers, self._stacks, self._folds = layout, layers, stacks, folds

    def training_only(self, weights: Container[int]) -> ProgramWeights:
        """Returns those of a program that trains some weights (by identity) and no others.

        Metrics that layers update are no state of it: a step of a model's own has lists for all.
        """
        own = (p for p in self.places if not p.held)
        places = (replace(p, trained=p.trained and id(p.weight) in weights) for p in own)
        return ProgramWeights(Layout(tuple(places)), self._layers, self._stacks, self._folds)

    @cached_property
    def packed(self) -> Layout:
        """The layout in which the weights of repeated blocks are stacked."""
        return self.layout.stacked(self._stacked)

    @cached_property
    def folded(self) -> Layout:
        """The layout of what `fold` makes: without the weights that only made folded ones."""
        used = {id(w) for layer in self._layers.values() for w in layer.weights}
        sources = {id(w) for fold in self._folds.values() for w in fold.sources}
        kept = [p for p in self.places if id(p.weight) in used or id(p.weight) not in sources]
        made = [
            Place("params", (fold.name, w.name), w, trained=False)
            for fold in self._folds.values()
            for w in fold.weights
        ]
        return Layout((*kept, *made))

    def layout_of(self, variables: Variables) -> Layout:
        """Returns the layout that variables have: their names say which."""
        trees = [tree for tree in variables.values() if isinstance(tree, Mapping)]
        is_packed = any(name in tree for name in self._stacks for tree in trees)
        if any(name in tree for name in self._folds for tree in trees):
            return self.folded.stacked(self._stacked) if is_packed else self.folded
        return self.packed if is_packed else self.layout

    @property
    def places(self) -> tuple[Place, ...]:
        """Where each weight stands by itself, each once."""
        return self.layout.places

    @cached_property
    def _stacked(self) -> list[StackedWeight]:
        """The weights of all repeated blocks."""
        return [stacked for stack in self._stacks.values() for stacked in stack.weights]

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
            rows = [stacked.members for stacked in self._stacked]
            groups = [members for members in rows if all(id(w) in alone for w in members)]
            stacks = [[alone.pop(id(member)) for member in members] for members in groups]
            with jax.ensure_compile_time_eval():  # real arrays, even while a jit is tracing
                arrays = iter(initial_values(list(alone.values()), key, None, stacks))
            for _, weight in alone.values():
                weight.take_back(next(arrays))
            for members in groups:
                Bundle(next(arrays), members)

    def with_folded(self, values: Mapping[int, Array]) -> dict[int, Any]:
        """Returns values by weight, with those of folded weights computed if they are missing."""
        missing = [f for f in self._folds.values() if id(f.weights[0]) not in values]
        return {**values, **folded_values(missing, values)} if missing else dict(values)

    def pack(self, variables: Variables) -> Variables:
        """Returns variables of any of the layouts with the weights of blocks stacked."""
        layout = self.layout_of(variables)
        if layout is self.layout:
            layout = self.packed
        elif layout.plain is None:  # folded variables
            layout = layout.stacked(self._stacked)
        return layout.pack(variables)
