"""Distribution: how weights and batches lie on the devices of a mesh."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import jax
from jax.sharding import NamedSharding, PartitionSpec

from kgraph.distribution.current import in_force
from kgraph.distribution.layout import Axes, TensorLayout, names_of, partition_spec
from kgraph.distribution.mesh import DeviceMesh
from kgraph.distribution.plan import Plan, make_plan
from kgraph.distribution.processes import agree_on_seed
from kgraph.errors import ConfigError

if TYPE_CHECKING:
    from kgraph.layers.base.variable import Variable
    from kgraph.models.model import Model


BatchAxes: TypeAlias = str | tuple[str, ...]
"""The axis of a mesh along which rows of batches are spread, or several."""


class Distribution:
    """Base of DataParallel, FSDP and ModelParallel. A subclass says how weights are laid out.

    Args:
        device_mesh: the devices.
        batch_dim_name: axis of the mesh along which the rows of a batch are spread, or a tuple of
            them.
        auto_shard_dataset: in a training of several processes, whether each of them reads the same
            batches and takes its part of each. False: what a process reads is its own part.

    Attributes:
        replicated: what lies whole on each device.
        batch_sharding: of arrays with a row for each row of the batch.
        passes: what the graph of a model is to go through.
    """

    passes: tuple[Any, ...] = ()

    def __init__(
        self, device_mesh: DeviceMesh, batch_dim_name: BatchAxes, auto_shard_dataset: bool = True
    ) -> None:
        if not isinstance(batch_dim_name, str):
            batch_dim_name = tuple(batch_dim_name)
        self._device_mesh, self._batch_dim_name = device_mesh, batch_dim_name
        self.auto_shard_dataset = auto_shard_dataset
        for name in names_of([batch_dim_name]):
            if name not in device_mesh.axis_names:
                raise ConfigError(
                    f"The mesh has no axis {name!r} to spread batches along",
                    expected=", ".join(map(repr, device_mesh.axis_names)),
                )
        if self.num_processes > 1:
            agree_on_seed()

    @property
    def device_mesh(self) -> DeviceMesh:
        """The devices."""
        return self._device_mesh

    @property
    def batch_dim_name(self) -> BatchAxes:
        """The axis, or axes, along which rows are spread."""
        return self._batch_dim_name

    @property
    def num_processes(self) -> int:
        """How many processes train together."""
        return jax.process_count()

    @property
    def data_shard_id(self) -> int:
        """Which part of the rows this process reads."""
        return jax.process_index()

    @property
    def num_model_replicas(self) -> int:
        """Into how many parts a batch is cut."""
        return self._device_mesh.size(self._batch_dim_name)

    @cached_property
    def replicated(self) -> NamedSharding:
        return NamedSharding(self._device_mesh.backend_mesh, PartitionSpec())

    @cached_property
    def batch_sharding(self) -> NamedSharding:
        spec = PartitionSpec(self._batch_dim_name)
        return NamedSharding(self._device_mesh.backend_mesh, spec)

    # --- layouts ---------------------------------------------------------------------------------

    def get_data_layout(self, data_shape: Sequence[int | None]) -> TensorLayout:
        """Returns the layout of a batch of this shape."""
        axes = [self._batch_dim_name, *[None] * (len(data_shape) - 1)]
        return TensorLayout(axes, self._device_mesh)

    def get_variable_layout(self, variable: Variable) -> TensorLayout:
        """Returns the layout of a weight, by its path and shape; it need not have a value yet."""
        axes = self.axes_of(variable.path or variable.name or "", variable.shape)
        return TensorLayout([*axes, *[None] * (len(variable.shape) - len(axes))], self.device_mesh)

    def get_tensor_layout(self, path: str) -> TensorLayout | None:
        """Returns the layout of what a layer returns, by `path/output`; None if XLA may choose."""
        return None

    def key_of(self, path: str) -> str | None:
        """Returns which rule a path falls under; None for none."""
        return None

    def _layout_of(self, path: str) -> TensorLayout | None:
        """Returns the layout that a rule gives to a weight; None for one that each device has."""
        return None

    def axes_of(self, path: str, shape: Sequence[int]) -> Axes:
        """Returns the axes along which a weight is spread.

        Raises:
            ConfigError: its shape does not fit them.
        """
        layout = self._layout_of(path)
        if layout is None:
            return ()
        axes, mesh = layout.axes, self._device_mesh
        if len(axes) > len(shape) and any(axis is not None for axis in axes[len(shape) :]):
            raise ConfigError(
                f"The layout of {path!r} has more dimensions than the weight",
                expected=f"{len(shape)}, for the shape {list(shape)}",
                received=f"{axes} by the key {self.key_of(path)!r}",
            )
        axes = axes[: len(shape)]
        for dimension, (axis, size) in enumerate(zip(axes, shape)):
            if size % mesh.size(axis):
                raise ConfigError(
                    f"{path!r} cannot be cut into equal parts along dimension {dimension}",
                    expected=f"a size divisible by {mesh.size(axis)}, the devices along {axis!r}",
                    received=f"shape {list(shape)}, layout {axes} by key {self.key_of(path)!r}",
                    hint=_way_out(shape, axes, dimension, mesh),
                )
        return axes

    def ruled_path(self, *paths: str | None) -> str:
        """Returns that of the paths of one thing for which there is a rule; else the first.

        A weight has the path under which files keep it, and the one that Keras gives it.

        Raises:
            ConfigError: there are several rules.
        """
        names = [path for path in dict.fromkeys(paths) if path]
        rules = {key: path for path in reversed(names) if (key := self.key_of(path)) is not None}
        if len(rules) > 1:
            raise ConfigError(
                f"{' and '.join(map(repr, names))} are one, for which there are several rules",
                expected="at most one", received=", ".join(map(repr, rules)),
                hint="make the expressions narrower",
            )  # fmt: skip
        return next(iter(rules.values()), names[0])

    def axes_of_weight(self, path: str, weight: Variable) -> Axes:
        """Returns the axes along which a weight is spread that files keep under a path."""
        return self.axes_of(self.ruled_path(path, weight.path), weight.shape)

    def sharding_of(self, path: str, weight: Variable) -> NamedSharding:
        """Returns where a weight lies that files keep under a path; see `axes_of`."""
        spec = partition_spec(self.axes_of_weight(path, weight))
        return NamedSharding(self._device_mesh.backend_mesh, spec)

    def over(self, device_mesh: DeviceMesh) -> Self:
        """Returns the same rules for another mesh with the same axes."""
        twin = copy.copy(self)
        for name in ("replicated", "batch_sharding", "passes"):  # they hold the mesh
            vars(twin).pop(name, None)
        twin._device_mesh = device_mesh
        return twin

    # --- use -------------------------------------------------------------------------------------

    def plan(self, model: Model) -> Plan:
        """Returns where each weight of a model will lie; printed, it is a table.

        Nothing is allocated.

        Raises:
            ConfigError: a weight does not fit the layout that its path has.
            StateError: the model has no graph yet.
        """
        return make_plan(self, model)

    def scope(self) -> contextlib.AbstractContextManager[None]:
        """Puts this distribution in force within a `with` block; see `set_distribution`."""
        return in_force(self)

    def __deepcopy__(self, memo: Any) -> Distribution:
        return self  # devices cannot be copied

    def __repr__(self) -> str:
        return f"<{type(self).__name__} device_mesh={self.device_mesh}>"


def _way_out(shape: Sequence[int], axes: Axes, dimension: int, mesh: DeviceMesh) -> str:
    """Returns what to try for a dimension that its axis does not divide."""
    axis = axes[dimension]
    for other, size in enumerate(shape):
        spread = axes[other] if other < len(axes) else None
        if other != dimension and spread is None and size % mesh.size(axis) == 0:
            moved = [*axes, *[None] * (len(shape) - len(axes))]
            moved[dimension], moved[other] = None, axis
            return f"the layout {tuple(moved)}"
    larger = math.ceil(shape[dimension] / mesh.size(axis)) * mesh.size(axis)
    return f"a layer whose size there is {larger}, or None in the place of {axis!r}"
