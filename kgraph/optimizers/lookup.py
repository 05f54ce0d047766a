"""What may be given as `optimizer`, and optimizers as plain data."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kgraph.custom_objects import custom_object_scope
from kgraph.errors import ConfigError
from kgraph.optimizers.optax_optimizer import OptaxOptimizer
from kgraph.optimizers.optimizer import Optimizer
from kgraph.registry import describe, lookup, registered_names
from kgraph.types import CustomObjects, OptimizerLike


def get(identifier: OptimizerLike) -> Optimizer:
    """Returns the optimizer that `identifier` stands for.

    A name or a config means Keras' numbers; an object of optax means optax's own.

    >>> get("rmsprop").rho
    0.9

    Args:
        identifier: a name in any case, a class, a config, an `Optimizer`, or an optax
            `GradientTransformation`.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return _class_named(identifier)()
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    if inspect.isclass(identifier) and issubclass(identifier, Optimizer):
        return identifier()
    if not inspect.isclass(identifier) and _is_transformation(identifier):
        return OptaxOptimizer(identifier)
    raise ConfigError(
        "This is not an optimizer",
        expected="a name such as 'adam', an object of kgraph.optimizers, a config, "
        "or an optax transformation",
        received=f"{identifier!r} ({type(identifier).__name__})",
    )


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Returns an optimizer as plain data: `{"kind": "optimizer", "class_name": …, "config": …}`."""
    return describe(optimizer)


def deserialize(
    config: Mapping[str, Any], custom_objects: CustomObjects | None = None
) -> Optimizer:
    """Returns the optimizer that `serialize`, or Keras' function of that name, wrote down."""
    if not {"class_name", "config"} <= set(config):
        raise ConfigError(
            "This does not describe an optimizer",
            expected="a mapping with 'class_name' and 'config'",
            received=repr(dict(config)),
        )
    with custom_object_scope(custom_objects):
        return _class_named(config["class_name"]).from_config(config["config"])


def _class_named(name: str) -> Any:
    """Returns the class; kgraph's own are known by name in any case, as in Keras."""
    known = {known.lower(): known for known in registered_names("optimizer", like=name)}
    return lookup("optimizer", known.get(name.lower(), name))


def _is_transformation(value: object) -> bool:
    # By its two functions: importing optax only to ask would cost more than the answer.
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))
