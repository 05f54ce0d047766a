"""What a layer is called, and the dtypes it works in."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.config import DTypePolicy, dtype_policy
from kgraph.errors import ConfigError
from kgraph.registry import snake_case


class Named:
    """The part of a layer that has a name and a dtype policy."""

    explicit_name: str | None
    kept_name: str | None
    order: int
    _policy: DTypePolicy

    @property
    def name(self) -> str:
        """The name: explicit, or the one that the first model gave, or the class in snake case."""
        return self.explicit_name or self.kept_name or self.base_name

    @property
    def base_name(self) -> str:
        """What automatic names are made of."""
        return snake_case(type(self).__name__)

    @property
    def label(self) -> str:
        """The layer in messages: `'head' (Dense)`."""
        return f"{self.name!r} ({type(self).__name__})"

    def keep_name(self, name: str) -> None:
        """Takes the name that a graph gave, if the layer has none yet."""
        if self.explicit_name is None and self.kept_name is None:
            self.kept_name = name

    def _set_name(self, name: str | None) -> None:
        if name is not None and (not isinstance(name, str) or not name or set(name) & set("/:")):
            raise ConfigError(
                f"{type(self).__name__} cannot be named {name!r}",
                expected="a text without '/' and ':'",
            )
        self.explicit_name = name

    @property
    def dtype_policy(self) -> DTypePolicy:
        """The dtypes of the layer."""
        return self._policy

    @property
    def dtype(self) -> str:
        """The dtype of new weights."""
        return self._policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype in which `call` computes."""
        return self._policy.compute_dtype


def as_policy(dtype: Any) -> DTypePolicy:
    """Returns the policy that an option `dtype` stands for."""
    if dtype is None:
        return dtype_policy()
    if isinstance(dtype, DTypePolicy):
        return dtype
    if isinstance(dtype, str):
        return DTypePolicy(dtype)
    return DTypePolicy(np.dtype(dtype).name)
