"""Lays out arrays over a mesh of devices while a graph runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from kgraph.types import Array


def laid_out(array: Array, axes: Sequence[object], mesh: Mesh) -> Array:
    """Returns the array with what XLA has to know of its layout; its numbers stay.

    An axis that would not cut its dimension into equal parts (of a smaller last batch, say) is left
    out, and so is the layout of an array with fewer dimensions.

    Args:
        array: an output of a layer.
        axes: for each dimension the axis of the mesh (or a tuple of them), or None; `...` at the
            end leaves all further dimensions to XLA.
        mesh: the devices.
    """
    rest: list[Any] = []
    if axes[-1] is ...:
        axes = axes[:-1]
        rest = [PartitionSpec.UNCONSTRAINED] * (array.ndim - len(axes))
    if len(axes) > array.ndim:
        return array
    kept = [axis if _divides(axis, n, mesh) else None for axis, n in zip(axes, array.shape)]
    return jax.lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec(*kept, *rest)))


def _divides(axis: Any, size: int, mesh: Mesh) -> bool:
    names = () if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return size % math.prod(mesh.shape[name] for name in names) == 0
