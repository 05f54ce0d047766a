"""What an optimizer remembers between updates: one pytree."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from kgraph.types import Array

LARGEST = int(np.iinfo(np.int32).max)
"""Where counts stay."""


def one_more(count: Array) -> Array:
    """Returns an int32 count plus 1. At 2**31 - 1 it stays, where it would become negative."""
    return jnp.where(count < LARGEST, count + 1, count)


class OptimizerState(NamedTuple):
    """The state of an optimizer. A field that its options do not need is None, so has no leaves.

    Args:
        step: int32 scalar; the number of updates made, or 2**31 - 1 if there were more. Schedules
            and bias corrections read it.
        inner: the state of the rule's optax transformation.
        learning_rate: float32 scalar. A leaf, so a new value never compiles anything again. None
            under a schedule, whose value follows from `step`.
        average: the moving average of the parameters (`use_ema`).
        accumulated: the sum of the gradients since the last update (`gradient_accumulation_steps`).
        micro_step: int32 scalar; the number of gradients in `accumulated`.
    """

    step: Array
    inner: Any
    learning_rate: Array | None = None
    average: Any | None = None
    accumulated: Any | None = None
    micro_step: Array | None = None
