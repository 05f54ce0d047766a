"""FSDP: parameters and optimizer state are cut over the devices that share a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from kgraph.distribution.base import BatchAxes, Distribution
from kgraph.distribution.constrain_outputs import constrain_outputs
from kgraph.distribution.layout import Axes, TensorLayout, names_of
from kgraph.distribution.layout_map import LayoutMap
from kgraph.distribution.mesh import DeviceMesh, list_devices
from kgraph.errors import ConfigError

_LEAST_CUT = 1 << 16


class FSDP(Distribution):
    """Cuts each weight, and what the optimizer keeps of it, over the devices that share a batch.

    A weight is cut along its largest dimension that the devices divide; small ones, and those that
    no dimension of can be cut, lie whole on each device. For each layer the parts are brought
    together where they are needed, and gradients are summed to the part that each device holds:
    weights move between devices, and activations do not.

    Args:
        device_mesh: the devices; by default all there are, along one axis.
        layout_map: rules that come first, for tensor parallelism. What they leave whole is cut.
        fsdp_dim_name: axis of the mesh along which weights are cut: by default "fsdp" if the mesh
            has one of that name, or else the first.
        batch_dim_name: axis, or axes, for the rows of batches; by default that of the weights.
            `("data", "fsdp")` keeps a copy of the weights in each part of "data".
        least_size: a weight with fewer elements lies whole on each device.
        auto_shard_dataset: see `Distribution`.

    Raises:
        ConfigError: the mesh has no such axis, or the rules are for another mesh.

    >>> mesh = DeviceMesh((2, 4), ("data", "fsdp"), [f"cpu:{n}" for n in range(8)])
    >>> FSDP(mesh, batch_dim_name=("data", "fsdp")).axes_of("up/kernel", (512, 2048))
    (None, 'fsdp')
    """

    def __init__(
        self,
        device_mesh: DeviceMesh | None = None,
        *,
        layout_map: LayoutMap | None = None,
        fsdp_dim_name: str | None = None,
        batch_dim_name: BatchAxes | None = None,
        least_size: int = _LEAST_CUT,
        auto_shard_dataset: bool = True,
    ) -> None:
        if layout_map is not None:
            if not isinstance(layout_map, LayoutMap):
                raise ConfigError("FSDP takes rules as a LayoutMap", received=repr(layout_map))
            device_mesh = device_mesh or layout_map.device_mesh
            if layout_map.device_mesh not in (None, device_mesh):
                raise ConfigError("The LayoutMap of FSDP has another mesh than FSDP itself")
        if device_mesh is None:
            found = list_devices()
            device_mesh = DeviceMesh((len(found),), ("fsdp",), found)
        elif not isinstance(device_mesh, DeviceMesh):
            raise ConfigError("FSDP takes a DeviceMesh", received=repr(device_mesh))
        names = device_mesh.axis_names
        self.fsdp_dim_name = fsdp_dim_name or ("fsdp" if "fsdp" in names else names[0])
        if self.fsdp_dim_name not in names:
            raise ConfigError(
                f"The mesh has no axis {self.fsdp_dim_name!r} to cut weights along",
                expected=", ".join(map(repr, names)),
            )
        self.layout_map, self.least_size = layout_map, least_size
        super().__init__(device_mesh, batch_dim_name or self.fsdp_dim_name, auto_shard_dataset)

    @cached_property
    def passes(self) -> tuple[Any, ...]:  # type: ignore[override]
        return (constrain_outputs(self, pins_batch=True),)

    def key_of(self, path: str) -> str | None:
        return None if self.layout_map is None else self.layout_map.key_of(path)

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        return None if self.layout_map is None else self.layout_map[path]

    def _layout_of(self, path: str) -> TensorLayout | None:
        return None if self.layout_map is None else self.layout_map[path]

    def axes_of(self, path: str, shape: Sequence[int]) -> Axes:
        ruled = super().axes_of(path, shape)
        axes = [*ruled, *[None] * (len(shape) - len(ruled))]
        at = self._cut_dimension(axes, shape)
        if at is None:
            return ruled
        axes[at] = self.fsdp_dim_name
        while axes[-1] is None:
            axes.pop()
        return tuple(axes)

    def _cut_dimension(self, axes: Sequence[object], shape: Sequence[int]) -> int | None:
        """Returns the largest dimension that can be cut and is not; the first of equal ones."""
        size = 1
        for length in shape:
            size *= length
        if size < self.least_size or self.fsdp_dim_name in names_of(axes):
            return None
        parts = self.device_mesh.size(self.fsdp_dim_name)
        free = [at for at, axis in enumerate(axes) if axis is None and not shape[at] % parts]
        return max(free, key=lambda at: shape[at], default=None)
