"""Parts of an array that is cut over devices, and which numbers of the whole are in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jax.sharding import Sharding

from kgraph.types import DTypeLike


@dataclass(frozen=True)
class Region:
    """A block of an array, as a device holds it.

    A number of a region is known by its place in the flat array, so that whoever draws it alone
    draws what it is in the whole.

    Fields:
        whole: shape of the array.
        starts, shape: of the block.
    """

    whole: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, whole: Sequence[int], index: Sequence[slice]) -> Region:
        """Returns the region that slices cut out."""
        bounds = [part.indices(size)[:2] for part, size in zip(index, whole, strict=True)]
        shape = tuple(stop - start for start, stop in bounds)
        return cls(tuple(whole), tuple(start for start, _ in bounds), shape)

    def places(self, first: int, count: int) -> np.ndarray:
        """Returns the places in the flat array of some of the region's numbers, as uint32.

        Args:
            first: number, within the region, of the first of them.
            count: how many.
        """
        run, offsets = self._runs
        numbers = np.arange(first, first + count)
        return (offsets[numbers // run] + numbers % run).astype(np.uint32)

    @cached_property
    def _runs(self) -> tuple[int, np.ndarray]:
        """How long a run of neighbours is, and where in the flat array each run begins."""
        cut = [d for d, size in enumerate(self.whole) if self.shape[d] != size]
        last = cut[-1] if cut else 0
        strides = [math.prod(self.whole[d + 1 :]) for d in range(len(self.whole))]
        offsets = np.zeros((), np.int64)
        for start, size, stride in zip(self.starts[:last], self.shape[:last], strides[:last]):
            offsets = offsets[..., None] + (start + np.arange(size)) * stride
        inside = self.starts[last] * strides[last] if strides else 0
        return math.prod(self.shape[last:]) or 1, offsets.reshape(-1) + inside


class Parts:
    """The parts of an array that this process' devices hold, to be filled.

    Args:
        shape, dtype: of the array.
        sharding: where it lies.

    Attributes:
        values: an empty array for each part.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, sharding: Sharding) -> None:
        self._shape, self._sharding = shape, sharding
        places = sharding.addressable_devices_indices_map(shape)
        self._regions = {d: Region.of(shape, index or ()) for d, index in places.items()}
        self.values = {part: np.empty(part.shape, dtype) for part in self._regions.values()}

    def array(self) -> jax.Array:
        """Returns the array."""
        own = [jax.device_put(self.values[part], device) for device, part in self._regions.items()]
        return jax.make_array_from_single_device_arrays(self._shape, self._sharding, own)
