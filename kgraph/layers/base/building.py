"""What a layer is built with: the shapes of its call's arguments, as `build` wants them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from kgraph.graph.node import TensorSpec
from kgraph.graph.structure import Slot, map_structure
from kgraph.graph.symbol import Call, SymbolicTensor
from kgraph.layers.base.call_spec import call_spec, first_argument
from kgraph.types import Tree

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


def build_arguments(
    layer: Layer, args: tuple[object, ...], kwargs: dict[str, object]
) -> dict[str, Any]:
    """Returns the arguments for `layer.build`: the shape of the first tensor argument.

    A `build` with several parameters (`query_shape`, `value_shape`) gets the shape of the call
    argument of each name; one whose argument was not given gets None.
    """
    named = _build_parameters(type(layer))
    spec = call_spec(type(layer))
    given = dict(zip(spec.names, args)) | kwargs
    if len(named) <= 1:
        first = first_argument(spec, args, kwargs)
        return {name: shapes(first) for name in named}
    return {name: shapes(given.get(name.removesuffix("_shape"))) for name in named}


@cache
def _build_parameters(cls: type) -> tuple[str, ...]:
    parameters = list(inspect.signature(cls.build).parameters.values())[1:]  # type: ignore[attr-defined]
    return tuple(p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD)


def shapes(tensors: Tree) -> Any:
    """Returns the public shape of each tensor in a structure."""

    def shape(item: Any) -> Any:
        if not hasattr(item, "shape"):
            return None
        return tuple(size if isinstance(size, int) else None for size in item.shape)

    return map_structure(shape, tensors)


def spec_like(shape: Any, dtype: str) -> TensorSpec:
    """Returns the spec of an input of this public shape, the first unknown size being the batch."""
    dims = tuple(
        ("batch" if i == 0 else f"d{i}") if size is None else int(size)
        for i, size in enumerate(shape)
    )
    return TensorSpec(dims, dtype)


@dataclass(frozen=True)
class _Placeholder:
    """Stands for the maker of an input whose spec alone matters."""

    name: str = "input"


def placeholder(spec: TensorSpec) -> SymbolicTensor:
    """Returns a symbol of this spec that belongs to no model."""
    call = Call(_Placeholder(), (), {}, (), (), Slot(0), (spec,), (None,), None, (), None)
    return SymbolicTensor(spec, call, 0)
