"""Copies of the weights for other threads, which must not wait for the block that runs now."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import jax

from kgraph.compiler import Layout, Variables
from kgraph.training.pace import IN_FLIGHT
from kgraph.training.packing import Packing
from kgraph.training.state import TrainState, copied
from kgraph.types import Array, Tree

_PATIENCE = 4
"""After how many blocks that nobody has read no copies are made any more."""


class FinishedBlocks:
    """Finds the weights of the last block that is done, as long as somebody asks for them.

    While one block runs and one waits, the state that a step gives away is not computed yet. So
    each state is copied before it is given away (the device does it, once the block is done), and
    who reads gets the newest copy that is there. Nothing of this happens if nobody reads. All
    methods are called in `between_blocks`.

    Args:
        packing: knows the layout of the variables in the states.
    """

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._copies: deque[Finished] = deque(maxlen=IN_FLIGHT + 1)
        self._patience = 0

    def read(self, state: TrainState) -> Finished:
        """Returns the weights; `state` is the newest."""
        self._patience = _PATIENCE
        self._keep(state)
        return next((c for c in reversed(self._copies) if c.is_ready), self._copies[-1])

    def given_away(self, state: TrainState) -> None:
        """Comes before a block reuses the arrays of a state."""
        if self._patience:
            self._keep(state)
            self._patience -= 1
        else:
            self._copies.clear()

    def forget(self) -> None:
        """Comes when weights are set: what blocks before have left does not count any more."""
        self._copies.clear()

    def _keep(self, state: TrainState) -> None:
        newest = self._copies[-1] if self._copies else None
        if newest is None or newest.params is not state.params or newest.state is not state.state:
            variables = copied(state.variables)
            self._copies.append(
                Finished(state.params, state.state, variables, self._packing.layout)
            )


@dataclass(frozen=True, eq=False)
class Finished:
    """The weights that a block has left.

    Fields:
        params, state: what was copied: by now the arrays may be gone.
        variables: the copy.
        layout: of these.
    """

    params: Tree
    state: Tree
    variables: Variables
    layout: Layout

    @property
    def is_ready(self) -> bool:
        """Whether the block is done."""
        return all(leaf.is_ready() for leaf in jax.tree.leaves(self.variables))

    @cached_property
    def values(self) -> Mapping[int, Array]:
        """The array of each weight, by identity."""
        return self.layout.unpack_values(self.layout.by_weight(self.variables))
