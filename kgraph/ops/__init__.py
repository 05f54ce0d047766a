"""Functions of jax.numpy, jax.nn and jax.lax that also take symbolic tensors.

`ops.tanh(x)` on an array is `jax.numpy.tanh(x)`; on a symbolic tensor it adds a node to the graph.
A node keeps the function's name, so a model with such nodes can be saved. The names are those of
`names.py` and no others: a model file cannot reach any other function. Arguments have Keras' names
and order (`arguments.py`); where Keras' function is another than JAX's, `functions/` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgraph.ops import image as image
from kgraph.ops import linalg as linalg
from kgraph.ops import nn as nn
from kgraph.ops import numpy as numpy
from kgraph.ops.lifting import lift as lift
from kgraph.ops.limits import MOST_WRITTEN_OUT as MOST_WRITTEN_OUT
from kgraph.ops.names import names as names
from kgraph.ops.operation import Operation as Operation
from kgraph.ops.plain import function as function


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)
    return lift(name)


def __dir__() -> list[str]:
    return sorted([*names, "image", "linalg", "nn", "numpy"])
