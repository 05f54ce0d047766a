"""TrainState: everything that a training step reads and writes, as one pytree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from kgraph.compiler import Variables
from kgraph.types import Tree


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "state", "optimizer", "metrics", "key", "step"],
    meta_fields=[],
)
@dataclass(frozen=True)
class TrainState:
    """What training needs to go on, bit for bit (or specs, shardings or None in these places).

    Fields:
        params: nested dict of the parameters.
        state: nested dict of what layers update themselves.
        optimizer: state of the optimizer, or None.
        metrics: accumulators of the running epoch, by log key.
        key: root of all random numbers of this training.
        step: int32 scalar, number of batches seen; with `key` it decides each step's randomness.
    """

    params: Any
    state: Any
    optimizer: Any
    metrics: Any
    key: Any
    step: Any

    @property
    def variables(self) -> Variables:
        """Parameters and state as a program takes them."""
        return {"params": self.params, "state": self.state}


def copied(tree: Tree) -> Any:
    """Returns a tree of arrays of their own, where the given ones are.

    `jnp.copy` compiles once for each shape: 1.1 s for 40 shapes (jax 0.10.2, CPU).
    """
    leaves = jax.tree.leaves(tree)
    if all(isinstance(x, Tracer) or getattr(x, "is_fully_addressable", True) for x in leaves):
        return jax.device_put(tree, may_alias=False)
    return jax.tree.map(jnp.copy, tree)  # other processes hold a part
