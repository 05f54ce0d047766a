"""The arrays of one step: whole, or the parts that this process' devices need, each verified."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.interrupts import listening
from kgraph.saving.checkpoints.host_arrays import nest
from kgraph.saving.checkpoints.orbax_arrays import ArraysReader
from kgraph.saving.checkpoints.places import Place
from kgraph.saving.checkpoints.spec import Spec, path_of
from kgraph.saving.checkpoints.step_error import damaged, reading
from kgraph.saving.checkpoints.step_manifest import Shard, StepManifest
from kgraph.saving.files.digests import array_digests
from kgraph.saving.kgraph_format.shards import put_together
from kgraph.types import Tree

_MAX_THREADS = 8


class StepArrays:
    """The arrays of a step. A shard is read whole, compared with its digest, and then cut.

    Args:
        folder: the checkpoint.
        step: its number.
        path: where its arrays are.
        manifest: of the step.
    """

    def __init__(self, folder: Place, step: int, path: Place, manifest: StepManifest) -> None:
        self._folder, self._step, self._manifest = folder, step, manifest
        with reading(folder, step, path.name):
            some = any(manifest.shards)
            self._reader = ArraysReader(path) if some else None

    def nested(self) -> dict[str, Any]:
        """Returns nested dicts of NumPy arrays, with random keys as JAX' key arrays."""
        specs = self._manifest.specs
        found = self._in_parallel([(number, None) for number in range(len(specs))])
        return nest({spec.path: value for spec, value in zip(specs, found)}, self._manifest.hollow)

    def placed(self, template: Tree) -> Any:
        """Returns the arrays in the structure and the shardings of a template.

        A leaf of the template that is a NumPy array, or of a dtype that JAX does not have (64 bits,
        as it is set up), gives a NumPy array; the others give JAX arrays, sharded as the leaf is.
        """
        numbers = {spec.path: number for number, spec in enumerate(self._manifest.specs)}
        leaves, structure = jax.tree_util.tree_flatten_with_path(template)
        return structure.unflatten(
            self._in_parallel([(numbers[path_of(keys)], leaf) for keys, leaf in leaves])
        )

    def verify(self) -> None:
        """Reads everything, and keeps nothing."""
        for number in range(len(self._manifest.specs)):
            self._array(number, None)

    def _in_parallel(self, wanted: Sequence[tuple[int, Any]]) -> list[Any]:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
            return list(listening(pool.map(lambda one: self._array(*one), wanted)))

    def _array(self, number: int, leaf: object) -> Any:
        """Returns an array as a leaf of a template has it; without one, for the host."""
        spec = self._manifest.specs[number]
        region = _Region(self, number)
        sharding = getattr(leaf, "sharding", None) if getattr(leaf, "committed", True) else None
        wide = jax.dtypes.canonicalize_dtype(spec.dtype) != spec.dtype
        on_host = leaf is None or wide or isinstance(leaf, (np.ndarray, np.generic))
        if on_host and spec.key_kind is None:
            return region.whole()
        if sharding is None:
            value: Any = jax.device_put(region.whole())
        else:
            if spec.key_kind is not None:
                sharding = _of_key_data(sharding, leaf)
            value = jax.make_array_from_callback(spec.shape, sharding, region.cut)
        return (
            value if spec.key_kind is None else jax.random.wrap_key_data(value, impl=spec.key_kind)
        )

    def read(self, number: int, shard: Shard) -> np.ndarray:
        """Returns a shard, when its digest is the one that was written down."""
        manifest = self._manifest
        assert self._reader is not None
        with reading(self._folder, self._step, "arrays"):
            array = self._reader.read(
                manifest.stored_name(number), manifest.specs[number], shard.start, shard.shape
            )
        if (digest := array_digests([array], threads=1)[0]) != shard.sha256:
            raise damaged(
                self._folder, self._step, member="arrays", array=manifest.specs[number].name,
                expected=f"SHA-256 {shard.sha256}", received=f"SHA-256 {digest}",
            )  # fmt: skip
        return array

    def spec(self, number: int) -> Spec:
        return self._manifest.specs[number]

    def shards(self, number: int) -> Sequence[Shard]:
        return self._manifest.shards[number]


class _Region:
    """Cuts regions out of one array, and reads each of its shards once."""

    def __init__(self, arrays: StepArrays, number: int) -> None:
        self._arrays, self._number = arrays, number
        self._read: dict[tuple[int, ...], np.ndarray] = {}

    def whole(self) -> np.ndarray:
        return self.cut(tuple(slice(0, size) for size in self._arrays.spec(self._number).shape))

    def cut(self, index: tuple[slice, ...] | None) -> np.ndarray:
        """Returns a region; that of an array without axes may be called None."""
        spec, shards = self._arrays.spec(self._number), self._arrays.shards(self._number)
        bounds = [
            part.indices(size)[:2] for part, size in zip(index or (), spec.shape, strict=True)
        ]
        shape = tuple(stop - start for start, stop in bounds)
        for shard in shards:
            if (shard.start, shard.shape) == (tuple(start for start, _ in bounds), shape):
                return self._content(shard)  # as it is, without a copy
        target = np.empty(shape, jnp.dtype(spec.dtype))
        return put_together(target, bounds, shards, self._content)

    def _content(self, shard: Shard) -> np.ndarray:
        if shard.start not in self._read:
            self._read[shard.start] = self._arrays.read(self._number, shard)
        return self._read[shard.start]


def _of_key_data(sharding: jax.sharding.Sharding, leaf: Any) -> jax.sharding.Sharding:
    """Returns how the data of random keys lie: as the keys do, which have one axis less."""
    if isinstance(sharding, jax.sharding.NamedSharding):
        axes = [*sharding.spec, *[None] * (len(leaf.shape) - len(sharding.spec))]
        spec = jax.sharding.PartitionSpec(*axes, None)
        return jax.sharding.NamedSharding(sharding.mesh, spec)
    return sharding
