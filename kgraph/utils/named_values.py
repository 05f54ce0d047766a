"""A container of named values, such as the options of an experiment."""

from __future__ import annotations

import json
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

from kgraph.errors import ConfigError, nearest


class Config:
    """Values by name, as attributes and as in a dict; can be frozen, and written as JSON.

    Raises:
        ConfigError: (from every change) after `freeze()`.

    >>> options = Config(learning_rate=0.1)
    >>> options.momentum = 0.9
    >>> options["learning_rate"], options.momentum, options.to_json()
    (0.1, 0.9, '{"learning_rate": 0.1, "momentum": 0.9}')
    """

    _config: dict[str, Any]
    _frozen: bool

    def __init__(self, **kwargs: Any) -> None:
        object.__setattr__(self, "_config", kwargs)
        object.__setattr__(self, "_frozen", False)

    @property
    def frozen(self) -> bool:
        """Whether it can be changed no more."""
        return self._frozen

    def freeze(self) -> None:
        """Makes every later change an error."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self) -> None:
        """Allows changes again."""
        object.__setattr__(self, "_frozen", False)

    def as_dict(self) -> dict[str, Any]:
        """Returns a new dict of the values."""
        return dict(self._config)

    def to_json(self) -> str:
        """Returns the values as JSON."""
        return json.dumps(self._config)

    def keys(self) -> KeysView[str]:
        return self._config.keys()

    def values(self) -> ValuesView[Any]:
        return self._config.values()

    def items(self) -> ItemsView[str, Any]:
        return self._config.items()

    def get(self, keyname: str, value: object = None) -> Any:
        """Returns a value, or `value` if there is none of this name."""
        return self._config.get(keyname, value)

    def pop(self, *args: Any) -> Any:
        """Takes a value out, as `dict.pop` does."""
        return self._changed().pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Sets several values, as `dict.update` does."""
        self._changed().update(*args, **kwargs)

    def _changed(self) -> dict[str, Any]:
        if self._frozen:
            raise ConfigError("This Config is frozen", hint="unfreeze() it first")
        return self._config

    def __getattr__(self, name: str) -> Any:
        values = vars(self).get("_config", {})  # a copy in the making has none yet
        if name not in values:
            hint = nearest(name, values) or ""
            raise AttributeError(f"Config has no value {name!r}. {hint}".rstrip(), name=name)
        return values[name]

    def __setattr__(self, name: str, value: object) -> None:
        if hasattr(type(self), name):
            raise ConfigError(f"Config has a method of the name {name!r}", hint=f"config[{name!r}]")
        self._changed()[name] = value

    def __getitem__(self, key: str) -> Any:
        return self._config[key]

    def __setitem__(self, key: str, item: object) -> None:
        self._changed()[key] = item

    def __delitem__(self, key: str) -> None:
        del self._changed()[key]

    def __contains__(self, item: object) -> bool:
        return item in self._config

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._config))

    def __len__(self) -> int:
        return len(self._config)

    def __repr__(self) -> str:
        return f"<Config {self._config}>"
