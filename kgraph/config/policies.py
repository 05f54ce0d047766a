"""Dtype policies: what layers compute in, and what they keep their weights in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kgraph.config.defaults import FLOATS
from kgraph.config.settings import _settings
from kgraph.errors import check_choice


@dataclass(frozen=True, init=False)
class DTypePolicy:
    """The dtypes of a layer: what it computes in and what it keeps its weights in.

    Args:
        name: a float type (both dtypes), or `"mixed_bfloat16"` / `"mixed_float16"` (computes in the
            short type, keeps weights in float32); by default that of `dtype_policy()`.
    """

    name: str

    def __init__(self, name: str | None = None) -> None:
        name = dtype_policy().name if name is None else name
        known = (*FLOATS, "mixed_bfloat16", "mixed_float16")
        check_choice("DTypePolicy", "name", name, known)
        object.__setattr__(self, "name", name)

    @property
    def compute_dtype(self) -> str:
        return self.name.removeprefix("mixed_")

    @property
    def variable_dtype(self) -> str:
        return "float32" if self.name.startswith("mixed_") else self.name

    @property
    def quantization_mode(self) -> None:
        """None: policies do not quantize."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments as plain data."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> DTypePolicy:
        """Makes a policy from what `get_config` returned."""
        return cls(**config)


def dtype_policy() -> DTypePolicy:
    """Returns the policy of layers that are made without `dtype`."""
    return DTypePolicy(_settings.dtype_policy or _settings.floatx)


def set_dtype_policy(policy: str | DTypePolicy | None) -> None:
    """Sets the policy of layers made from now on; None goes back to `floatx`."""
    if policy is None:
        _settings.dtype_policy = None
    else:
        name = policy if isinstance(policy, str) else policy.name
        _settings.dtype_policy = DTypePolicy(name).name
