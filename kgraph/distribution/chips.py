"""The chips that a step can be compiled for, and the slices that they come in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kgraph.errors import ConfigError

_GIB = 1 << 30


@dataclass(frozen=True)
class Chip:
    """One device, as the compiler sees it: a chip, or one of the two cores of some.

    Fields:
        name: of its generation.
        memory: bytes that a program may use; None where that is not known.
        flops: per second, of products of bfloat16 numbers, at most; 0 if unknown, as what follows.
        bandwidth: bytes per second between the chip and its memory.
        clock: cycles per second of the unit for matrices, which the compiler counts: it follows
            from `flops` and the size of the unit.
        on_host: the largest slice that one host has, as its grid.
        slices: some that there are, from small to large.
        cores: into how many devices the compiler divides one of these chips.
    """

    name: str
    memory: int | None
    flops: float = 0
    bandwidth: float = 0
    clock: float = 0
    on_host: tuple[int, ...] = ()
    slices: tuple[str, ...] = ()
    cores: int = 1


def _tpu(
    name: str, gib: float, tera_flops: float, gigabytes: float, unit: tuple[int, int], cores: int,
    on_host: tuple[int, ...], slices: str,
) -> Chip:  # fmt: skip
    units, width = unit
    flops = tera_flops * 1e12
    clock = flops / (units * width * width * 2)
    named = tuple(f"{name}:{grid}" for grid in slices.split())
    return Chip(name, int(gib * _GIB), flops, gigabytes * 1e9, clock, on_host, named, cores)


_SMALL = "1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16"
_CUBES = "2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8 8x8x16"
CHIPS: Mapping[str, Chip] = {
    chip.name: chip
    for chip in (
        _tpu("v3", 15.48, 61.5, 450, (2, 128), 2, (2, 2), "2x2 4x4 4x8 8x8 8x16 16x16"),
        _tpu("v4", 15.25, 137.5, 614, (4, 128), 2, (2, 2, 1), _CUBES),
        _tpu("v5e", 15.75, 197, 819, (4, 128), 1, (2, 4), _SMALL),
        _tpu("v5p", 95.74, 459, 2765, (8, 128), 1, (2, 2, 1), _CUBES),
        _tpu("v6e", 31.25, 918, 1640, (4, 256), 1, (2, 4), _SMALL),
        _tpu("tpu7x", 94.75, 1153.5, 3690, (4, 256), 2, (2, 2, 1), _CUBES),
    )
}
"""Memory is what libtpu's compiler counts with; the rest is what is published.

That the clocks are right shows a large product of matrices: the compiler estimates 3 to
20 % more cycles than a product at the full rate would take.
"""

_KINDS = {
    "TPU v3": "v3", "TPU v4": "v4", "TPU v5 lite": "v5e", "TPU v5e": "v5e", "TPU v5": "v5p",
    "TPU v5p": "v5p", "TPU v6 lite": "v6e", "TPU v6e": "v6e", "TPU7x": "tpu7x",
}  # fmt: skip
"""Names that JAX gives to devices of these chips."""


@dataclass(frozen=True)
class Slice:
    """Devices to compile for, which need not be here.

    Fields:
        name: such as "v5e:2x4" or "cpu:8".
        chip: what they are.
        grid: how they lie.
    """

    name: str
    chip: Chip
    grid: tuple[int, ...]

    @property
    def platform(self) -> str:
        """As JAX calls it: "tpu" or "cpu"."""
        return "tpu" if self.chip.name in CHIPS else self.chip.name

    @property
    def devices(self) -> int:
        """How many."""
        return math.prod(self.grid) * self.chip.cores

    @property
    def host(self) -> tuple[int, ...] | None:
        """Chips of one host along each of three axes, if the slice is no more than one host."""
        if math.prod(self.grid) > math.prod(self.chip.on_host):
            return None
        return (*self.grid, *(1,) * (3 - len(self.grid)))

    @property
    def larger(self) -> Slice | None:
        """The next larger slice of the same chips; None if this is the largest that is listed."""
        found = (find_slice(name) for name in self.chip.slices)
        return next((other for other in found if other.devices > self.devices), None)


def find_slice(name: str) -> Slice:
    """Returns the slice of a name, such as "v5e:2x4", "v5p:2x2x2" or "cpu:8".

    Raises:
        ConfigError: there is no such chip, or its slices are named in another way.
    """
    kind, _, grid = str(name).partition(":")
    sizes = tuple(int(n) for n in grid.split("x")) if re.fullmatch(r"\d+(x\d+)*", grid) else ()
    if kind == "cpu" and len(sizes) == 1 and sizes[0] > 0:
        return Slice(name, Chip("cpu", None), sizes)
    chip = CHIPS.get(kind)
    if chip is None or len(sizes) != len(chip.on_host) or 0 in sizes:
        every = [other.slices[2] for other in CHIPS.values()]
        raise ConfigError(
            f"There is no topology {name!r} to compile for",
            expected=", ".join([*every, "cpu:8"] if chip is None else chip.slices),
            hint="the generation of the chips, a colon, and the grid that they lie in",
        )
    return Slice(name, chip, sizes)


def peak_flops(device: Any) -> float | None:
    """Returns the most FLOPs that a device of JAX's can do in a second; None if unknown."""
    chip = CHIPS.get(_KINDS.get(device.device_kind, ""))
    if chip is None:
        return None
    return chip.flops * (getattr(device, "num_cores", 1) if chip.cores > 1 else 1)


def slice_of(devices: Sequence[Any]) -> Slice:
    """Returns what is known of devices that JAX has."""
    first = devices[0]
    known = CHIPS.get(_KINDS.get(first.device_kind, ""))
    chip = Chip(first.platform, None) if known is None else replace(known, cores=1)
    return Slice(f"{len(devices)} x {first.device_kind}", chip, (len(devices),))
