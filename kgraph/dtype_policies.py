"""The public names that Keras keeps under `keras.dtype_policies`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, overload

from kgraph.config import DTypePolicy
from kgraph.errors import ConfigError, check_keys
from kgraph.layers.base.core import as_policy
from kgraph.patterns import compiled, key_of
from kgraph.types import Config, CustomObjects, PolicyLike

FloatDTypePolicy = DTypePolicy


class DTypePolicyMap(MutableMapping[str, DTypePolicy]):
    """Policies by the paths of layers, as model builders hand them on: `policies["encoder/dense"]`.

    A layer takes one policy: `Dense(4, dtype=policies["encoder/dense"])`.

    Args:
        default_policy: of paths that no key matches; None for the global one.
        policy_map: policies by key: a path, or a regular expression for the whole of one.

    Raises:
        ConfigError: a key is given twice, or several match a path.
    """

    def __init__(
        self,
        default_policy: PolicyLike | None = None,
        policy_map: Mapping[str, PolicyLike] | None = None,
    ) -> None:
        self._default = None if default_policy is None else get(default_policy)
        self._policies: dict[str, DTypePolicy] = {}
        self.update({key: get(policy) for key, policy in (policy_map or {}).items()})

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of paths that no key matches."""
        return get(self._default)

    def __getitem__(self, path: str) -> DTypePolicy:
        key = key_of(path, self._policies, "DTypePolicyMap")
        return self.default_policy if key is None else self._policies[key]

    def __setitem__(self, key: str, policy: PolicyLike) -> None:
        if key in self._policies:
            raise ConfigError(f"The key {key!r} is there already", hint="delete it first")
        compiled(key)  # raises for what is neither a path nor an expression
        self._policies[key] = get(policy)

    def __delitem__(self, key: str) -> None:
        del self._policies[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs, as JSON types."""
        default = None if self._default is None else self._default.name
        keras = {"module": "keras", "registered_name": None}  # so that Keras reads it
        return {
            "default_policy": default,
            "policy_map": {key: {**serialize(p), **keras} for key, p in self._policies.items()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DTypePolicyMap:
        """Makes a map from what `get_config`, or Keras, wrote down."""
        return cls(**config)


@overload
def get(identifier: PolicyLike | None) -> DTypePolicy: ...
@overload
def get(identifier: DTypePolicyMap | Mapping[str, Any]) -> DTypePolicy | DTypePolicyMap: ...
def get(identifier: PolicyLike | DTypePolicyMap | Mapping[str, Any] | None) -> Any:
    """Returns the policy that a name, a dtype, a config or a policy stands for; None: the global.

    Raises:
        ConfigError: it stands for none.

    >>> get("mixed_bfloat16").compute_dtype
    'bfloat16'
    """
    if isinstance(identifier, DTypePolicyMap):
        return identifier
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    try:
        return as_policy(identifier)
    except TypeError as error:
        raise ConfigError(
            "This is no dtype policy", expected="a name or a dtype", received=repr(identifier)
        ) from error


def serialize(dtype_policy: DTypePolicy | DTypePolicyMap) -> dict[str, Any]:
    """Returns a policy, or a map of them, as JSON types."""
    return {"class_name": type(dtype_policy).__name__, "config": dtype_policy.get_config()}


def deserialize(
    config: Config, custom_objects: CustomObjects | None = None
) -> DTypePolicy | DTypePolicyMap:
    """Returns the policy that `serialize`, or Keras, wrote down.

    Args:
        config: with `"class_name"` and `"config"`.
        custom_objects: policies of your own, by class name.

    Raises:
        ConfigError: the class is not known; policies that quantize are not.
    """
    known: dict[str, Any] = {
        "DTypePolicy": DTypePolicy, "FloatDTypePolicy": DTypePolicy,
        "DTypePolicyMap": DTypePolicyMap, **(custom_objects or {}),
    }  # fmt: skip
    name = config.get("class_name")
    check_keys("kgraph.dtype_policies", {str(name): config}, known)
    return known[str(name)].from_config(config["config"])


__all__ = ["DTypePolicy", "DTypePolicyMap", "FloatDTypePolicy", "deserialize", "get", "serialize"]
