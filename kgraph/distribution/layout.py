"""TensorLayout: along which axes of a mesh the dimensions of an array are spread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from kgraph.distribution.mesh import DeviceMesh
from kgraph.errors import ConfigError, nearest
from kgraph.types import Array, Tree

Axes = tuple[str | tuple[str, ...] | None, ...]
"""For each dimension the name of an axis, a tuple of names, or None if it is not spread."""


class TensorLayout:
    """How an array is spread over a mesh.

    Args:
        axes: for each dimension the axis of the mesh that it is spread along (or a tuple of them),
            or None. Dimensions after the last that is named are not spread.
        device_mesh: may be given later, once; a LayoutMap gives its own.

    Raises:
        ConfigError: the mesh has no such axis, or an axis is named twice.
    """

    def __init__(self, axes: Sequence[Any], device_mesh: DeviceMesh | None = None) -> None:
        self._axes: Axes = tuple(tuple(a) if isinstance(a, (list, tuple)) else a for a in axes)
        self._device_mesh = device_mesh
        self._check()

    @property
    def axes(self) -> Axes:
        """The axis of each dimension."""
        return self._axes

    @property
    def device_mesh(self) -> DeviceMesh | None:
        """The mesh, if it is known."""
        return self._device_mesh

    @device_mesh.setter
    def device_mesh(self, device_mesh: DeviceMesh) -> None:
        if self._device_mesh is not None:
            raise ConfigError("This layout has a mesh already", received=repr(self._device_mesh))
        self._device_mesh = device_mesh
        self._check()

    @cached_property
    def backend_layout(self) -> NamedSharding:
        """The same for JAX."""
        if self._device_mesh is None:
            raise ConfigError(
                f"The layout {self._axes} has no mesh", hint="TensorLayout(axes, device_mesh)"
            )
        return NamedSharding(self._device_mesh.backend_mesh, partition_spec(self._axes))

    def _check(self) -> None:
        used = names_of(self._axes)
        if len(set(used)) != len(used):
            raise ConfigError("A layout names an axis of the mesh twice", received=self._axes)
        known = self._device_mesh.axis_names if self._device_mesh else used
        for name in used:
            if name not in known:
                raise ConfigError(
                    f"The mesh has no axis {name!r}",
                    expected=", ".join(map(repr, known)),
                    received=f"the layout {self._axes}",
                    hint=nearest(name, known),
                )

    def __repr__(self) -> str:
        return f"<TensorLayout axes={self.axes}, device_mesh={self.device_mesh}>"


def names_of(axes: Sequence[Any]) -> list[str]:
    """Returns the names of the axes of a mesh that a layout uses."""
    several = (axis if isinstance(axis, tuple) else (axis,) for axis in axes if axis is not None)
    return [name for names in several for name in names]


def partition_spec(axes: Axes) -> PartitionSpec:
    """Returns axes as JAX knows them, in the form in which equal ones are equal."""
    count = len(axes)
    while count and axes[count - 1] is None:
        count -= 1
    return PartitionSpec(*axes[:count])


def distribute_tensor(tensor: Array, layout: TensorLayout | Sharding) -> Array:
    """Returns the array in another layout; inside of a jit, says how XLA has to lay it out."""
    sharding = layout.backend_layout if isinstance(layout, TensorLayout) else layout
    if isinstance(tensor, Tracer):
        return jax.lax.with_sharding_constraint(tensor, sharding)
    return put(tensor, sharding)


def put(tree: Tree, sharding: Any, copy: bool = False) -> Any:
    """Returns arrays laid out as told, without a copy of the whole on any one device.

    In a training of several processes, each has the whole array and keeps what its devices need.

    Args:
        tree: arrays of NumPy or JAX.
        sharding: one for all, or a tree of them like `tree`.
        copy: whether the result stays the same when the arrays are changed or donated.
    """
    shardings = jax.tree.leaves(sharding)
    if all(s.is_fully_addressable for s in shardings):
        return jax.device_put(tree, sharding, may_alias=False if copy else None)
    leaves, structure = jax.tree.flatten(tree)
    if len(shardings) == 1:
        shardings = shardings * len(leaves)
    return structure.unflatten([_put_global(a, s) for a, s in zip(leaves, shardings, strict=True)])


def _put_global(array: Any, sharding: Sharding) -> Array:
    """Does the same where other processes hold a part."""
    if isinstance(array, jax.Array):
        if not array.is_fully_addressable:
            return jax.device_put(array, sharding)  # the same devices, in another way
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            kind = jax.random.key_impl(array)
            data = _put_global(jax.random.key_data(array), sharding)
            return jax.random.wrap_key_data(data, impl=kind)
    host = np.asarray(array)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
