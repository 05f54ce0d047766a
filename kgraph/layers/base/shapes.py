"""Public shapes, None for unknown sizes, alone or in structures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.types import Shape


def known_sizes(item: Any) -> Shape:
    """Returns the shape of an array, a symbol or a tracer: None for sizes that are no numbers."""
    shape = item.shape if hasattr(item, "shape") else np.shape(item)
    return tuple(int(size) if isinstance(size, (int, np.integer)) else None for size in shape)


def is_shape(value: object) -> bool:
    """Tells a shape from a structure of shapes."""
    whole = (int, np.integer, type(None))
    return isinstance(value, (list, tuple)) and all(isinstance(size, whole) for size in value)


def map_shapes(function: Callable[[Shape], Any], shapes: Any) -> Any:
    """Returns a structure of shapes with the function applied to each of them."""
    if is_shape(shapes):
        return function(tuple(shapes))
    if isinstance(shapes, dict):
        return {key: map_shapes(function, item) for key, item in shapes.items()}
    if isinstance(shapes, (list, tuple)):
        return type(shapes)(map_shapes(function, item) for item in shapes)
    return shapes
