"""Questions about symbolic tensors."""

from __future__ import annotations

from typing import Any

from kgraph.graph import SymbolicTensor
from kgraph.graph.walk import sources
from kgraph.types import ArrayLike


def is_keras_tensor(x: ArrayLike) -> bool:
    """Tells whether something is a symbolic tensor, as `Input` and calls on it return.

    >>> is_keras_tensor(3.0)
    False
    """
    return isinstance(x, SymbolicTensor)


def get_source_inputs(tensor: Any) -> Any:
    """Returns the tensors of `Input` that a symbolic tensor is computed from, as a list.

    What is no symbolic tensor comes back as it is.
    """
    if not is_keras_tensor(tensor):
        return tensor
    return sources(tensor)
