"""The learning rate of a model's optimizer, for callbacks that read or set it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgraph.errors import ConfigError, StateError
from kgraph.optimizers import LossScaleOptimizer, MultiOptimizer
from kgraph.optimizers.learning_rate import LearningRateError

if TYPE_CHECKING:
    from kgraph.models.model import Model


def read_rate(callback: object, model: Model) -> float:
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
    if optimizer._kgraph_schedule is not None:
        raise ConfigError(
            f"{owner} cannot set a learning rate that follows a schedule",
            received=repr(optimizer._kgraph_schedule),
            hint=f"compile with a number as learning_rate, or leave {owner} out",
        )
    return float(rate)


def current_rates(model: Model) -> dict[str, float]:
    """Returns the rate of the next step as `learning_rate`, also where a schedule gives it.

    The optimizers of a `MultiOptimizer` have one each: `learning_rate_adam`, with a number behind a
    name that comes again. An optax transformation without a rate has none.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return {}
    scales = isinstance(optimizer, LossScaleOptimizer)
    wrapped = optimizer.inner_optimizer if scales else optimizer
    parts = wrapped.optimizers if isinstance(wrapped, MultiOptimizer) else None
    try:
        if parts is None and wrapped._kgraph_schedule is None:
            return {"learning_rate": float(wrapped.learning_rate)}
        state = (model._kgraph.trainer.state() or {}).get("optimizer")
        if state is None:
            return {}
        state = state if wrapped is optimizer else state.inner
        if parts is None:
            return {"learning_rate": float(wrapped._kgraph_current_rate(state))}
        found: dict[str, float] = {}
        for place, part in state.parts.items():
            name = f"learning_rate_{parts[int(place)].name}"
            name = f"{name}_{place}" if name in found else name
            found[name] = float(parts[int(place)]._kgraph_current_rate(part))
        return found
    except LearningRateError:
        return {}
