"""Single objects (layers, losses, optimizers, functions) as plain data, under Keras' names."""

from __future__ import annotations

from typing import Any

from kgraph import registry
from kgraph.custom_objects import custom_object_scope
from kgraph.types import CustomObjects


def serialize_keras_object(obj: object) -> Any:
    """Returns an object as JSON types that `deserialize_keras_object` reads.

    Raises:
        ConfigError: a part of it, such as a lambda, cannot be written down.
    """
    return registry.serialize("object", obj)


def deserialize_keras_object(
    config: object, custom_objects: CustomObjects | None = None, safe_mode: bool = True
) -> Any:
    """Returns the object that a config stands for. Runs constructors of known classes only.

    Args:
        config: what `serialize_keras_object` returned.
        custom_objects: your own classes and functions by name.
        safe_mode: accepted as in Keras; nothing but safe is possible.

    Raises:
        ConfigError: a name is not known, or an option has a value it cannot have.
    """
    del safe_mode
    with custom_object_scope(custom_objects):
        return registry.restore(config)
