"""OptimizerMap: which optimizer updates which parameter, by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

from kgraph.errors import ConfigError
from kgraph.optimizers.lookup import get, serialize
from kgraph.optimizers.optimizer import Optimizer
from kgraph.patterns import compiled, key_of
from kgraph.registry import Recorded
from kgraph.types import Shape


class Parameter(NamedTuple):
    """What a choice of optimizer may look at: a parameter without its value.

    Args:
        path: such as `"encoder/dense/kernel"`.
        shape: of the array.
        dtype: name of its dtype.
    """

    path: str
    shape: Shape
    dtype: str


class OptimizerMap(Recorded, MutableMapping[str, Optimizer]):
    """From paths of parameters, or patterns of them, to optimizers.

    A path (`"dense/kernel"`) that is a key is meant literally and goes first. Otherwise a key is a
    regular expression that must match the whole path: `"encoder/.*"` is everything below `encoder`.

    >>> chosen = OptimizerMap("adam", {"encoder/.*": "sgd"})
    >>> chosen["encoder/dense/kernel"].name, chosen["head/kernel"].name
    ('sgd', 'adam')

    Args:
        default_optimizer: for paths that no key matches; an object, a name or a config.
        optimizer_map: the keys and their optimizers.

    Raises:
        ConfigError: for a key that is no text or no regular expression, one that is there already,
            or a path that several keys match.
    """

    _kgraph_kind = "optimizer_map"

    def __init__(
        self, default_optimizer: Any, optimizer_map: Mapping[str, Any] | None = None
    ) -> None:
        self._default = get(default_optimizer)
        self._map: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    @property
    def default_optimizer(self) -> Optimizer:
        """The optimizer of the paths that no key matches."""
        return self._default

    def key_for(self, path: str) -> str | None:
        """Returns the key that decides about a path, or None for the default."""
        return key_of(path, self._map, "OptimizerMap")

    def __call__(self, parameter: Any) -> Optimizer:
        """Returns the optimizer of anything that has a `path`."""
        return self[parameter.path]

    def __getitem__(self, path: str) -> Optimizer:
        key = self.key_for(path)
        return self._default if key is None else self._map[key]

    def __setitem__(self, key: str, optimizer: Any) -> None:
        if key in self._map:
            raise ConfigError(f"The OptimizerMap has an optimizer for {key!r} already")
        compiled(key)  # raises for what is neither a path nor an expression
        self._map[key] = get(optimizer)

    def __delitem__(self, key: str) -> None:
        del self._map[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._map)

    def __len__(self) -> int:
        return len(self._map)

    def __bool__(self) -> bool:
        return True  # a map without keys still has a default

    def get_config(self) -> dict[str, Any]:
        """Returns the map as plain data, each optimizer as it is now."""
        entries = {key: serialize(optimizer) for key, optimizer in self._map.items()}
        return {"default_optimizer": serialize(self._default), "optimizer_map": entries}
