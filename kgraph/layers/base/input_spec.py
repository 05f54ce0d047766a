"""InputSpec: what a layer can say about its input before it sees one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kgraph.errors import GraphError
from kgraph.graph.structure import leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base.core import label_of
from kgraph.layers.base.tree import has_weights
from kgraph.types import Shape

if TYPE_CHECKING:
    from kgraph.layers.base.layer import Layer


@dataclass(frozen=True)
class InputSpec:
    """Rank, sizes and dtype that an input must have.

    Args:
        dtype: name of the dtype, or None for any.
        shape: sizes, None for any.
        ndim, max_ndim, min_ndim: rank with the batch axis.
        axes: size by axis (negative axes count from the end).
        allow_last_axis_squeeze: a last axis of size 1 may be missing or extra.
        name: key of the input where inputs are a dict.
        optional: the input may be None.

    >>> InputSpec(ndim=4, axes={-1: 3}).ndim
    4
    """

    dtype: str | None = None
    shape: Shape | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: Mapping[int, int | None] | None = None
    allow_last_axis_squeeze: bool = False
    name: str | None = None
    optional: bool = False


def check_input(layer: Layer, inputs: Any) -> None:
    """Raises GraphError unless the inputs fit `layer.input_spec`.

    Args:
        layer: has `input_spec` (None, an InputSpec or a list of them), `label` and `built`.
        inputs: a structure of things with `.shape` and `.dtype`; a symbol's name is in the message.
    """
    if layer.input_spec is None:
        return
    specs = layer.input_spec if isinstance(layer.input_spec, (list, tuple)) else [layer.input_spec]
    given = list(leaves(inputs))
    if len(specs) != len(given):
        raise GraphError(
            f"{label_of(layer)} takes {len(specs)} inputs", received=f"{len(given)} inputs"
        )
    for spec, item in zip(specs, given):
        if item is None and spec.optional:
            continue
        if not hasattr(item, "shape"):
            raise GraphError(
                f"{label_of(layer)} needs a tensor as its first argument",
                received=f"{item!r:.60} ({type(item).__name__})",
                hint="pass an array, or what Input(...) or another layer returned",
            )
        _check_one(layer, spec, item)


def _check_one(layer: Any, spec: InputSpec, item: Any) -> None:
    shape = tuple(d if isinstance(d, int) else None for d in item.shape)
    rank = len(shape)
    wanted = _wanted_rank(spec, rank)
    if wanted is not None:
        raise GraphError(
            f"{label_of(layer)} cannot take an input with {rank} axes",
            expected=f"{wanted[0]}{wanted[1]} axes, the batch axis among them",
            received=_received(shape, item),
            hint=_rank_hint(rank, wanted[1]),
        )
    if spec.dtype is not None and str(item.dtype) != spec.dtype:
        raise GraphError(
            f"{label_of(layer)} needs dtype {spec.dtype}", expected=spec.dtype, received=item.dtype
        )
    sizes = dict(spec.axes or {})
    if spec.shape is not None:
        sizes |= dict(enumerate(spec.shape))
    for axis, size in sizes.items():
        if size is None or not -rank <= axis < rank or shape[axis] is None:
            continue
        if shape[axis] != size:
            raise _wrong_width(layer, shape, axis, size, item)


def _wanted_rank(spec: InputSpec, rank: int) -> tuple[str, int] | None:
    """Returns the bound that a rank does not keep, and in which sense, or None."""
    if spec.ndim is not None and rank != spec.ndim:
        return "", spec.ndim
    if spec.min_ndim is not None and rank < spec.min_ndim:
        return "at least ", spec.min_ndim
    if spec.max_ndim is not None and rank > spec.max_ndim:
        return "at most ", spec.max_ndim
    return None


def _received(shape: Shape, item: object) -> str:
    return show(shape) + (f" from {item.name!r}" if isinstance(item, SymbolicTensor) else "")


def _wrong_width(layer: Layer, shape: Shape, axis: int, size: int, item: object) -> GraphError:
    wanted: list[Any] = list(shape)
    wanted[axis] = size
    source = repr(item.name) if isinstance(item, SymbolicTensor) else "the input"
    received = _received(shape, item)
    if layer.built and has_weights(layer):
        return GraphError(
            f"{label_of(layer)} already has parameters for {size} features "
            f"and cannot be shared with {shape[axis]}",
            expected=show(tuple(wanted)),
            received=received,
            hint=f"give this call its own {type(layer).__name__}, "
            f"or bring {source} to {size} features",
        )
    return GraphError(
        f"{label_of(layer)} needs size {size} on axis {axis}",
        expected=show(tuple(wanted)),
        received=received,
    )


def _rank_hint(rank: int, wanted: int) -> str:
    if rank > wanted:
        return "flatten or pool the input first (layers.Flatten, layers.GlobalAveragePooling...)"
    return "the batch axis is added by Input: shape=(28, 28, 1) makes [batch, 28, 28, 1]"


def show(shape: Shape) -> str:
    """Returns a shape for messages, `batch` for an unknown first axis."""
    names = ["batch" if i == 0 and d is None else "?" if d is None else str(d)
             for i, d in enumerate(shape)]  # fmt: skip
    return f"[{', '.join(names)}]"
