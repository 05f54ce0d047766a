"""Arrays on their way into a file: whole, or in the shards that the devices of a process hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import jax
import numpy as np

from kgraph.errors import ConfigError
from kgraph.saving.files.host_memory import on_host

Start = tuple[int, ...]
Bounds = tuple[int, int]


@dataclass(frozen=True)
class Spread:
    """An array that several devices share.

    Fields:
        shape, dtype: of the whole of it.
        shards: where each shard begins and what it holds, in rising order; of an array that is
            spread over processes, those that this process has to write.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shards: Sequence[tuple[Start, np.ndarray]]


Stored = np.ndarray | Spread


def snapshot(values: Mapping[str, Any], spread: bool) -> dict[str, Stored]:
    """Brings arrays to host memory; on a CPU, where they are in it, nothing is copied.

    Args:
        values: JAX and NumPy arrays by path, which nobody changes or donates: as those that a model
            gives out (a training that runs gives out copies of what it reuses).
        spread: whether an array on several devices stays in shards, each copied from its device;
            otherwise it is gathered.

    Raises:
        ConfigError: an array is to be gathered of which other processes have a part.
    """
    for value in values.values():
        if isinstance(value, jax.Array):
            value.copy_to_host_async()  # all transfers at once, before the first is waited for
    return {
        path: _in_shards(value) if spread and _is_spread(value) else _whole(path, value)
        for path, value in values.items()
    }


def grid(shards: Iterable[tuple[Start, Sequence[int]]], shape: Sequence[int]) -> bool:
    """Tells whether shards (start and shape) make up an array, as the cells of a grid."""
    cells = [tuple(zip(start, size, strict=True)) for start, size in shards]
    if len(set(cells)) != len(cells) or any(len(cell) != len(shape) for cell in cells):
        return False
    count = 1
    for axis, total in enumerate(shape):
        end = 0
        cuts = sorted({cell[axis] for cell in cells})
        for start, size in cuts:
            if start != end or size < 1:
                return False
            end = start + size
        if end != total:
            return False
        count *= len(cuts)
    return count == len(cells)


class Cell(Protocol):
    """A part of an array: where it begins, and its shape."""

    @property
    def start(self) -> tuple[int, ...]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


C = TypeVar("C", bound=Cell)


def put_together(
    target: np.ndarray,
    bounds: Sequence[Bounds],
    cells: Iterable[C],
    read: Callable[[C], np.ndarray],
) -> np.ndarray:
    """Fills `target`, a region of an array, from the cells of a grid, and returns it.

    Args:
        target: of the shape of the region.
        bounds: where the region begins and ends, on each axis.
        cells: those of the whole array.
        read: returns what a cell holds; called for those that the region needs.
    """
    for cell in cells:
        common = [
            (max(start, first), min(stop, first + count))
            for (start, stop), first, count in zip(bounds, cell.start, cell.shape, strict=True)
        ]
        if all(start < stop for start, stop in common):
            there = tuple(slice(a - s, b - s) for (a, b), s in zip(common, cell.start))
            here = tuple(slice(a - s, b - s) for (a, b), (s, _) in zip(common, bounds))
            target[here] = read(cell)[there]
    return target


def _is_spread(value: object) -> bool:
    if not isinstance(value, jax.Array) or not value.size:
        return False
    return not (value.is_fully_replicated and value.addressable_shards)


def _in_shards(value: jax.Array) -> Spread:
    found = {
        tuple(part.indices(size)[0] for part, size in zip(shard.index, value.shape, strict=True)):
        on_host(shard.data, copy=False)
        for shard in value.addressable_shards
        if shard.replica_id == 0
    }  # fmt: skip
    return Spread(value.shape, np.dtype(value.dtype), sorted(found.items(), key=lambda p: p[0]))


def _whole(path: str, value: Any) -> np.ndarray:
    here = not isinstance(value, jax.Array) or value.is_fully_addressable
    if not (here or value.is_fully_replicated):
        raise ConfigError(
            f"{path!r} is spread over several processes, and one file has one writer",
            hint="save into a folder, which each process writes its part of: save('name/')",
        )
    return on_host(value, copy=False)
