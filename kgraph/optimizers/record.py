"""What kgraph keeps of an optimizer: one typed record, in the one attribute `_kgraph`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from kgraph.layers.base import Variable
from kgraph.registry import Record

if TYPE_CHECKING:
    from kgraph.optimizers.in_place import InPlace
    from kgraph.optimizers.learning_rate import LearningRate


@dataclass(eq=False)
class OptimizerRecord(Record):
    """What is kept of an optimizer.

    Fields:
        rate: the learning rate as it was given or set.
        unsynced: a rate that no running state has yet.
        last_asked: what a function without arguments last said.
        steps: tells how many updates a training has made.
        excluded: patterns of the paths that weight decay spares.
        spared: variables that it spares, whose paths are not known yet.
        base_states: by parameter, what the rule remembers that `super().update_step` applies; only
            while an `update_step` runs that calls it.
        built: what it updates by hand, in the order of `build`.
    """

    rate: LearningRate = 0.0
    unsynced: float | None = None
    last_asked: float | None = None
    steps: Callable[[], int] = int
    excluded: tuple[str, ...] = ()
    spared: list[Variable] = field(default_factory=list)
    base_states: dict[str, Any] | None = None
    built: list[InPlace] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the number of now: it is not the one that is trained with."""
        return {**vars(self), "steps": partial(int, self.steps())}
