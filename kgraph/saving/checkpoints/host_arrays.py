"""Trees of arrays by name: the shards that this process has, and what Orbax is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.compiler.layout import put_in
from kgraph.errors import ConfigError
from kgraph.saving.checkpoints.spec import Path, Spec, path_of, spec_of
from kgraph.saving.files.host_memory import is_view, on_host
from kgraph.types import Tree

Start = tuple[int, ...]
Spare = Mapping[tuple[Path, Start], np.ndarray]
"""Arrays of an earlier save that nobody needs, whose memory is used again."""


@dataclass(frozen=True)
class NamedTree:
    """The leaves of a tree by name.

    Fields:
        specs: of each array, in the order of the tree.
        arrays: what Orbax is to write, in the same order; None where an array has no elements.
        hollow: the empty dicts ("dict") and Nones ("none") of the tree by path.
        copies: the shards that were copied, as the memory that they have in JAX is used again.
    """

    specs: Sequence[Spec]
    arrays: Sequence[Any]
    hollow: Mapping[Path, str]
    copies: Mapping[tuple[Path, Start], np.ndarray] = field(default_factory=dict)

    def nested(self) -> dict[str, Any]:
        """Returns nested dicts with the names of the tree, of the arrays that have elements."""
        named = zip(self.specs, self.arrays, strict=True)
        return nest({s.path: a for s, a in named if a is not None}, self.hollow)

    def shards(self, leads: bool) -> list[tuple[Path, Start, np.ndarray]]:
        """Returns what this process has to write of each array, where it begins, in host memory.

        A NumPy array, which each process has, is written by the one that leads.
        """
        found: list[tuple[Path, Start, np.ndarray]] = []
        for spec, array in zip(self.specs, self.arrays, strict=True):
            if isinstance(array, jax.Array):
                for start, data in _own_shards(array):
                    copy = self.copies.get((spec.path, start))
                    found.append((spec.path, start, np.asarray(data) if copy is None else copy))
            elif array is not None and leads:
                found.append((spec.path, (0,) * len(spec.shape), array))
        return found


def take(tree: Tree, copy: bool, spare: Spare, several: bool = False) -> NamedTree:
    """Returns the leaves of a tree by name.

    Args:
        tree: dicts with string keys, lists, tuples and the like, with JAX or NumPy arrays.
        copy: whether the result stays the same when the arrays are changed or donated. Of devices
            that are no CPU, Orbax brings them to host memory before it returns.
        spare: memory to use: five times faster than fresh memory, page by page.
        several: whether there are several processes.

    Raises:
        ConfigError: a leaf is no array, or of a dtype that cannot be stored; a key is no string.
    """
    found = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_hollow)[0]
    leaves = {path_of(keys): leaf for keys, leaf in found}
    if len(leaves) != len(found) or len({".".join(path) for path in leaves}) != len(found):
        raise ConfigError("Two arrays of a checkpoint have the same path")
    hollow = {p: "none" if v is None else "dict" for p, v in leaves.items() if _is_hollow(v)}
    leaves = {path: leaf for path, leaf in leaves.items() if path not in hollow}
    specs = [spec_of(path, leaf) for path, leaf in leaves.items()]
    copies: dict[tuple[Path, Start], np.ndarray] = {}
    arrays = [
        _stored(spec, leaf, copy, spare, copies, several) if 0 not in spec.shape else None
        for spec, leaf in zip(specs, leaves.values(), strict=True)
    ]
    return NamedTree(specs, arrays, hollow, copies)


def _stored(
    spec: Spec,
    leaf: Any,
    copy: bool,
    spare: Spare,
    copies: dict[tuple[Path, Start], np.ndarray],
    several: bool,
) -> Any:
    """Returns what Orbax writes of a leaf: a copy where NumPy would see the leaf's own memory."""
    if not isinstance(leaf, jax.Array):
        return on_host(leaf, copy)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if several and leaf.is_fully_addressable:  # each process has one of its own
        return on_host(leaf, copy)
    if not (copy and is_view(leaf)):
        return leaf
    own = {}
    for start, data in _own_shards(leaf):
        at = (spec.path, start)
        own[start] = copies[at] = on_host(data, copy, spare.get(at))

    def shard(index: tuple[slice, ...] | None) -> np.ndarray:
        start = tuple(part.start or 0 for part in index or ())
        if start in own:
            return own[start]
        return np.zeros(_sizes(index or (), leaf.shape), leaf.dtype)  # another process has it

    return jax.make_array_from_callback(leaf.shape, leaf.sharding, shard)


def _own_shards(array: jax.Array) -> list[tuple[Start, jax.Array]]:
    """Returns where each shard that this process writes begins, and the shard."""
    return [
        (tuple(part.start or 0 for part in shard.index), shard.data)
        for shard in array.addressable_shards
        if shard.replica_id == 0
    ]


def _sizes(index: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(len(range(*part.indices(size))) for part, size in zip(index, shape, strict=True))


def nest(values: Mapping[Path, Any], hollow: Mapping[Path, str]) -> dict[str, Any]:
    """Returns values by path as nested dicts, the empty dicts and Nones with them."""
    tree: dict[str, Any] = {}
    for path, kind in hollow.items():
        put_in(tree, path, None if kind == "none" else {})
    for path, value in values.items():
        put_in(tree, path, value)
    return tree


def _is_hollow(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and not value)
