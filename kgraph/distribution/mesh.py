"""Devices, and the mesh that they are arranged in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh

from kgraph.distribution.chips import find_slice
from kgraph.errors import ConfigError


def list_devices(device_type: str | None = None) -> list[str]:
    """Returns the names of the devices of all processes, such as `"gpu:0"`.

    Args:
        device_type: "cpu", "gpu" or "tpu"; by default the kind that JAX computes on. Or a slice
            that is not here, to plan and forecast for, such as "v5e:16x16".

    >>> list_devices("v5e:2x2")
    ['tpu:0', 'tpu:1', 'tpu:2', 'tpu:3']
    """
    if device_type is not None and ":" in device_type:
        where = find_slice(device_type)
        return [f"{where.platform}:{n}" for n in range(where.devices)]
    return [_name(device) for device in _devices(device_type)]


def get_device_count(device_type: str | None = None) -> int:
    """Returns how many devices there are; see `list_devices`."""
    return len(_devices(device_type))


def _devices(device_type: str | None) -> list[Any]:
    return jax.devices(device_type.lower() if device_type else None)


def _name(device: Any) -> str:
    return f"{device.platform}:{device.id}"


class DeviceMesh:
    """Devices in a grid whose axes have names.

    Args:
        shape: how many devices along each axis.
        axis_names: a name for each axis.
        devices: names as `list_devices` returns them, or JAX devices; by default all there are.

    Raises:
        ConfigError: shape, names and devices do not go together.

    >>> import jax
    >>> mesh = DeviceMesh((1, 1), ("batch", "model"), list_devices()[:1])
    >>> mesh.size("model")
    1
    """

    def __init__(
        self, shape: Sequence[int], axis_names: Sequence[str], devices: Any = None
    ) -> None:
        shape, axis_names = tuple(shape or ()), tuple(axis_names or ())
        if not shape or len(shape) != len(axis_names) or len(set(axis_names)) != len(axis_names):
            raise ConfigError(
                "A mesh has one name of its own for each axis",
                expected='DeviceMesh((2, 4), ("batch", "model"))',
                received=f"shape {shape}, axis_names {axis_names}",
            )
        flat = np.array(list_devices() if devices is None else devices).ravel()
        if math.prod(shape) != flat.size:
            raise ConfigError(
                "The shape of a mesh has to have a place for each device",
                expected=f"{flat.size} devices",
                received=f"{math.prod(shape)} places in the shape {shape}",
                hint=f"DeviceMesh(({flat.size},), ...), or a part of list_devices() as devices",
            )
        self._shape, self._axis_names = shape, axis_names
        self._devices = flat.reshape(shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """How many devices along each axis."""
        return self._shape

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The name of each axis."""
        return self._axis_names

    @property
    def devices(self) -> np.ndarray:
        """The devices as they were given, in the shape of the mesh."""
        return self._devices

    @cached_property
    def backend_mesh(self) -> Mesh:
        """The mesh as JAX knows it."""
        by_name = {_name(device): device for device in jax.devices()}
        found = np.empty(self._shape, object)
        for place, device in np.ndenumerate(self._devices):
            if isinstance(device, str) and device not in by_name:
                platform = device.partition(":")[0]
                by_name |= {_name(other): other for other in _known(platform)}
            found[place] = by_name.get(device) if isinstance(device, str) else device
            if found[place] is None:
                raise ConfigError(
                    f"There is no device {str(device)!r}", expected=", ".join(by_name)
                )  # fmt: skip
        return Mesh(found, self._axis_names)

    def over(self, devices: int) -> DeviceMesh:
        """Returns the same axes over so many devices that are not here, to lower programs for.

        Raises:
            ConfigError: the mesh has another number of them, and several axes.
        """
        shape = self._shape
        if math.prod(shape) != devices:
            if len(shape) > 1:
                raise ConfigError(
                    f"The mesh of the distribution does not have {devices} devices",
                    received=f"{dict(zip(self._axis_names, shape))}",
                    hint="DeviceMesh(shape, axis_names, list_devices(topology))",
                )
            shape = (devices,)
        mesh = DeviceMesh(shape, self._axis_names, [f"absent:{n}" for n in range(devices)])
        vars(mesh)["backend_mesh"] = AbstractMesh(
            shape, self._axis_names, axis_types=(AxisType.Auto,) * len(shape)
        )
        return mesh

    def size(self, axes: str | Sequence[str] | None) -> int:
        """Returns over how many devices a dimension is spread that is laid along these axes."""
        names = () if axes is None else (axes,) if isinstance(axes, str) else axes
        return math.prod(self._shape[self._axis_names.index(name)] for name in names)

    def __repr__(self) -> str:
        return f"<DeviceMesh shape={self.shape}, axis_names={self.axis_names}>"


def _known(platform: str) -> list[Any]:
    try:
        return jax.devices(platform)
    except RuntimeError:  # JAX has no such platform here
        return []
