"""Names for the types that many parts share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Shape: TypeAlias = tuple[int | None, ...]
"""A public shape: None stands for a size that is not known yet."""

Dims: TypeAlias = tuple[int | str, ...]
"""An exact shape: a string is a symbolic size such as `"time - 2"`."""

Array: TypeAlias = Any
"""A JAX array or tracer. (An alias, so that the parts below the math need not import JAX.)"""

Tree: TypeAlias = Any
"""A nested structure of lists, tuples and dicts."""

Function: TypeAlias = Callable[..., Any]
