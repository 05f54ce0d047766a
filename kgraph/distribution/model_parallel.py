"""ModelParallel: weights are spread over the devices by rules for their paths."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from kgraph.distribution.base import BatchAxes, Distribution
from kgraph.distribution.constrain_outputs import constrain_outputs
from kgraph.distribution.layout import TensorLayout, names_of
from kgraph.distribution.layout_map import LayoutMap
from kgraph.distribution.mesh import DeviceMesh
from kgraph.errors import ConfigError


class ModelParallel(Distribution):
    """Spreads weights over a mesh as a LayoutMap says, and batches along one of its axes.

    A weight without a rule lies whole on each device. Moments in an optimizer lie as their
    parameters do.

    Args:
        layout_map: which weights are spread, and how.
        device_mesh: that of the LayoutMap, as Keras 3.0 took it beside.
        batch_dim_name: axis of the mesh, or axes, for the rows of batches; the first by default.
        auto_shard_dataset: see `Distribution`.

    Raises:
        ConfigError: there is no LayoutMap, or it has no mesh.
    """

    def __init__(
        self,
        *,
        layout_map: LayoutMap | None = None,
        batch_dim_name: BatchAxes | None = None,
        auto_shard_dataset: bool = True,
        device_mesh: DeviceMesh | None = None,
    ) -> None:
        if not isinstance(layout_map, LayoutMap):
            raise ConfigError("ModelParallel needs a LayoutMap", received=repr(layout_map))
        mesh = layout_map.device_mesh
        if mesh is None:
            raise ConfigError("The LayoutMap has no mesh", hint="LayoutMap(DeviceMesh(...))")
        if device_mesh not in (None, mesh):
            raise ConfigError(
                "ModelParallel has the mesh of its LayoutMap", expected=repr(mesh),
                received=repr(device_mesh), hint="leave device_mesh out",
            )  # fmt: skip
        self.layout_map = layout_map
        super().__init__(mesh, batch_dim_name or mesh.axis_names[0], auto_shard_dataset)

    @cached_property
    def passes(self) -> tuple[Any, ...]:  # type: ignore[override]
        return (constrain_outputs(self, self._cuts_along_batch()),)

    def _cuts_along_batch(self) -> bool:
        """Tells whether a weight is cut along an axis that batches are spread along as well."""
        rules = [layout for key, layout in self.layout_map.items() if not key.endswith("/output")]
        used = {name for layout in rules for name in names_of(layout.axes)}
        return not used.isdisjoint(names_of([self.batch_dim_name]))

    def key_of(self, path: str) -> str | None:
        return self.layout_map.key_of(path)

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        return self.layout_map[path]

    def _layout_of(self, path: str) -> TensorLayout | None:
        return self.layout_map[path]
