"""DataParallel: every device has all weights and a part of each batch."""

from __future__ import annotations

from collections.abc import Sequence

from kgraph.distribution.base import Distribution
from kgraph.distribution.mesh import DeviceMesh, list_devices
from kgraph.errors import ConfigError
from kgraph.source import warn


class DataParallel(Distribution):
    """Copies the weights to each device and spreads batches over them.

    The result is that of one device up to rounding: the loss is the mean over the whole batch, and
    BatchNormalization and metrics see all of it.

    Args:
        device_mesh: the devices. Of a mesh with several axes, batches are spread along the first.
        devices: a list of devices, in the place of a mesh. By default all there are.
        auto_shard_dataset: see `Distribution`.

    >>> DataParallel(devices=list_devices()[:1]).num_model_replicas
    1
    """

    def __init__(
        self,
        device_mesh: DeviceMesh | None = None,
        devices: Sequence[object] | None = None,
        auto_shard_dataset: bool = True,
    ) -> None:
        if device_mesh is not None and not isinstance(device_mesh, DeviceMesh):
            raise ConfigError(
                "DataParallel takes a DeviceMesh, or devices=[...]", received=repr(device_mesh)
            )
        if device_mesh is None:
            chosen = list_devices() if devices is None else list(devices)
            device_mesh = DeviceMesh((len(chosen),), ("batch",), chosen)
        elif len(device_mesh.shape) > 1:
            warn(
                f"DataParallel spreads batches along {device_mesh.axis_names[0]!r} only: the "
                "devices along the other axes of the mesh do the same work again",
            )
        super().__init__(device_mesh, device_mesh.axis_names[0], auto_shard_dataset)
