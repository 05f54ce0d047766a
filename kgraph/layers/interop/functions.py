"""What `FlaxLayer` needs to know of a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kgraph.types import Function


@dataclass(frozen=True)
class ModuleFunctions:
    """A module as functions.

    Fields:
        call_fn: of `params, state, rng, inputs, training`, to outputs and state; `inputs` is the
            tuple of the positional arguments.
        init_fn: of `rng, inputs`, to params and state; None if those are given.
        params, state: initial values, or None.
        needs_rng: tells of a built layer whether the module draws random numbers in training.
    """

    call_fn: Function
    init_fn: Function | None
    params: Any
    state: Any
    needs_rng: Callable[[Any], bool]


_MODES = {"training": True, "train": True, "deterministic": False, "use_running_average": False}
"""Names under which modules take the mode, and the value that stands for training."""


def mode_options(method: Function, training: bool) -> dict[str, bool]:
    """Returns the keyword arguments that tell a method the mode."""
    names = inspect.signature(method).parameters
    return {name: in_training == training for name, in_training in _MODES.items() if name in names}
