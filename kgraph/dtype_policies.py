"""The public names that Keras keeps under `keras.dtype_policies`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph.config import DTypePolicy
from kgraph.errors import ConfigError, check_keys
from kgraph.layers.base.core import as_policy
from kgraph.types import Config, CustomObjects, PolicyLike

FloatDTypePolicy = DTypePolicy


def get(identifier: PolicyLike) -> DTypePolicy:
    """Returns the policy that a name, a dtype, a config or a policy stands for; None: the global.

    Raises:
        ConfigError: it stands for none.

    >>> get("mixed_bfloat16").compute_dtype
    'bfloat16'
    """
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    try:
        return as_policy(identifier)
    except TypeError as error:
        raise ConfigError(
            "This is no dtype policy", expected="a name or a dtype", received=repr(identifier)
        ) from error


def serialize(dtype_policy: DTypePolicy) -> dict[str, Any]:
    """Returns a policy as JSON types."""
    return {"class_name": "DTypePolicy", "config": dtype_policy.get_config()}


def deserialize(config: Config, custom_objects: CustomObjects | None = None) -> DTypePolicy:
    """Returns the policy that `serialize`, or Keras, wrote down.

    Args:
        config: with `"class_name"` and `"config"`.
        custom_objects: policies of your own, by class name.

    Raises:
        ConfigError: the class is not known; policies that quantize are not.
    """
    known = {"DTypePolicy": DTypePolicy, "FloatDTypePolicy": DTypePolicy, **(custom_objects or {})}
    name = config.get("class_name")
    check_keys("kgraph.dtype_policies", {str(name): config}, known)
    return known[str(name)].from_config(config["config"])


__all__ = ["DTypePolicy", "FloatDTypePolicy", "deserialize", "get", "serialize"]
