"""Copies and pickles of models. A deep copy leaves out what can be made again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from kgraph import saving
from kgraph.custom_objects import custom_object_scope
from kgraph.graph.structure import leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.graph.walk import reachable
from kgraph.layers.base import create_values
from kgraph.layers.base.between_blocks import between_blocks

if TYPE_CHECKING:
    from kgraph.models.model import Model


def deep_copy(model: Model, memo: dict[int, Any]) -> Model:
    """Returns a copy with layers, weights, optimizer and training state of its own.

    Args:
        model: not necessarily one that can be saved.
        memo: copies made so far, as `copy.deepcopy` keeps them.
    """
    create_values(model._kgraph_paths_of_values())
    with between_blocks:  # weights and the state of training are of one moment
        return _deep_copy(model, memo)


def _deep_copy(model: Model, memo: dict[int, Any]) -> Model:
    core, twin = model._kgraph, object.__new__(type(model))
    memo[id(model)] = twin
    outputs = [x.call for x in leaves(core.symbols) if isinstance(x, SymbolicTensor)]
    for call in reachable(outputs, {})[0]:  # parents first: else the copy recurses as deep as they
        copy.deepcopy(call, memo)
    vars(twin).update(copy.deepcopy(vars(model), memo))
    programs = core.programs.copy_for(twin)
    twin._kgraph.programs = programs
    twin._kgraph.trainer = core.trainer.copy_for(twin, programs, memo)
    return twin


def pickled(model: Model) -> tuple[Any, tuple[Any, ...]]:
    """Returns what `__reduce__` has to: the bytes of a file, and the classes of the user's own."""
    own = saving.live_objects(model, *model._kgraph.trainer.objects())
    with custom_object_scope(own):
        return saving.model_from_bytes, (saving.model_to_bytes(model), own)
