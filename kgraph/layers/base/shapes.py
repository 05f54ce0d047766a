"""Public shapes, None for unknown sizes, alone or in structures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.graph.structure import map_structure
from kgraph.layers.base.call_spec import call_spec, first_argument
from kgraph.types import Shape, Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


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


def shapes_of(tensors: Tree) -> Any:
    """Returns the public shape of each tensor in a structure."""
    return map_structure(lambda x: known_sizes(x) if hasattr(x, "shape") else None, tensors)


def shape_arguments(
    layer: Layer, method: str, args: tuple[object, ...], kwargs: dict[str, object]
) -> dict[str, Any]:
    """Returns the arguments for a method that takes shapes: `build` or `compute_output_shape`.

    A single parameter gets the shape of the first tensor argument. Of several (`query_shape`,
    `value_shape`) each gets that of the call argument of its name, or None if none was given.
    """
    named = _parameters(type(layer), method)
    spec = call_spec(type(layer))
    given = dict(zip(spec.names, args)) | kwargs
    if len(named) <= 1:
        first = first_argument(spec, args, kwargs)
        return {name: shapes_of(first) for name in named}
    return {name: shapes_of(given.get(name.removesuffix("_shape"))) for name in named}


@cache
def _parameters(cls: type, method: str) -> tuple[str, ...]:
    parameters = list(inspect.signature(getattr(cls, method)).parameters.values())[1:]
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(p.name for p in parameters if p.kind not in several)
