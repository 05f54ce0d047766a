"""The learning rate of a model's optimizer, for callbacks that read or set it."""

from __future__ import annotations

from typing import Any

from kgraph.errors import ConfigError, StateError


def read_rate(callback: object, model: Any) -> float:
    """Returns the learning rate as a number.

    Raises:
        StateError: the model has no optimizer.
        ConfigError: the rate follows a schedule, which nobody else can set.
    """
    owner = type(callback).__name__
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise StateError(f"{owner} needs a model with an optimizer", hint="compile the model first")
    rate = optimizer.learning_rate
    if callable(rate):
        raise ConfigError(
            f"{owner} cannot set a learning rate that follows a schedule",
            received=repr(rate),
            hint=f"compile with a number as learning_rate, or leave {owner} out",
        )
    return float(rate)
