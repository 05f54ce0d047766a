"""Copies and pickles of models. A deep copy leaves out what can be made again."""

from __future__ import annotations

import copy
from typing import Any

from kgraph import saving
from kgraph.declared import is_own
from kgraph.graph.structure import leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.graph.walk import reachable
from kgraph.layers.base import Layer, create_values
from kgraph.layers.base.tree import children
from kgraph.models.session import Session

_MADE_AGAIN = frozenset({
    "_compiler", "_engine", "_engine_key", "_inference", "_inference_key", "_inferring", "_jitted",
    "_placed", "_predictor", "_program", "_program_key", "_running", "_traced",
})  # fmt: skip


def deep_copy(model: Session, memo: dict[int, Any]) -> Any:
    """Returns a copy with layers, weights, optimizer and training state of its own.

    Args:
        model: not necessarily one that can be saved.
        memo: copies made so far, as `copy.deepcopy` keeps them.
    """
    create_values(model._kgraph_paths_of_values())
    twin = object.__new__(type(model))
    memo[id(model)] = twin
    state = {name: value for name, value in vars(model).items() if name not in _MADE_AGAIN}
    if model._training is not None:
        state["_training"] = {**model._training, **(model.training_state() or {})}
    outputs = [x.call for x in leaves(state.get("_symbols")) if isinstance(x, SymbolicTensor)]
    for call in reachable(outputs, {})[0]:  # parents first: else the copy recurses as deep as they
        copy.deepcopy(call, memo)
    vars(twin).update(copy.deepcopy(state, memo))
    return twin


def pickled(model: Session) -> tuple[Any, tuple[Any, ...]]:
    """Returns what `__reduce__` has to: the bytes of a file, and the classes of the user's own."""
    classes = {name: kind for name, kind in classes_in(model).items() if not is_own(kind)}
    return saving.model_from_bytes, (saving.model_to_bytes(model), classes)


def classes_in(layer: Layer) -> dict[str, type]:
    """Returns the class of each layer in a model, to any depth, by name."""
    found: dict[str, type] = {type(layer).__name__: type(layer)}
    for _, child in children(layer):
        found |= classes_in(child)
    return found
