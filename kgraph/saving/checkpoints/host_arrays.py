"""Trees of arrays as lists of arrays in host memory, and back onto the devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.saving.checkpoints.spec import Path, Spec, path_of, spec_of
from kgraph.saving.files.host_memory import on_host
from kgraph.types import Tree


@dataclass(frozen=True)
class HostArrays:
    """The leaves of a tree in host memory; `hollow` has its empty dicts and its Nones by path."""

    specs: Sequence[Spec]
    arrays: Sequence[np.ndarray]
    hollow: Mapping[Path, str]


def to_host(tree: Tree, copy: bool, spare: HostArrays | None = None) -> HostArrays:
    """Brings the leaves of a tree to host memory.

    Args:
        tree: dicts with string keys, lists, tuples and the like, with JAX or NumPy arrays.
        copy: whether the result stays the same when the arrays are changed or donated.
        spare: arrays of an earlier call that nobody needs, whose memory is used again: five times
            faster than fresh memory, page by page.

    Raises:
        ConfigError: a leaf is no array, or of a dtype that cannot be stored; a key is no string.
    """
    found = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_hollow)[0]
    leaves = {path_of(keys): leaf for keys, leaf in found}
    if len(leaves) != len(found):
        raise ConfigError("Two arrays of a checkpoint have the same path")
    hollow = {p: "none" if v is None else "dict" for p, v in leaves.items() if _is_hollow(v)}
    leaves = {path: leaf for path, leaf in leaves.items() if path not in hollow}
    specs = [spec_of(path, leaf) for path, leaf in leaves.items()]
    values = [_data(leaf) for leaf in leaves.values()]
    for value in values:
        if isinstance(value, jax.Array):
            value.copy_to_host_async()  # all transfers at once, before the first is waited for
    old = {} if spare is None else {s.path: a for s, a in zip(spare.specs, spare.arrays)}
    arrays = [on_host(value, copy, old.get(path)) for path, value in zip(leaves, values)]
    return HostArrays(specs, arrays, hollow)


def placed(stored: HostArrays, template: Tree) -> Tree:
    """Returns stored arrays in the structure and on the devices of a template.

    A leaf of the template that is a NumPy array, or of a dtype that JAX does not have (64 bits, as
    it is set up), gives a NumPy array; the others give JAX arrays, sharded as the leaf is.
    """
    by_path = {s.path: (s, array) for s, array in zip(stored.specs, stored.arrays, strict=True)}
    found, structure = jax.tree_util.tree_flatten_with_path(template)
    return structure.unflatten([_place(*by_path[path_of(keys)], leaf) for keys, leaf in found])


def nested(stored: HostArrays) -> dict[str, Any]:
    """Returns stored arrays as nested dicts: NumPy arrays, and keys as JAX' key arrays."""
    tree: dict[str, Any] = {}
    for path, kind in stored.hollow.items():
        _put(tree, path, None if kind == "none" else {})
    for spec, array in zip(stored.specs, stored.arrays, strict=True):
        value = array if spec.key_kind is None else _key(array, spec.key_kind)
        _put(tree, spec.path, value)
    return tree


def _put(tree: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _is_hollow(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and not value)


def _data(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf
    if not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        raise ConfigError(
            "An array is spread over several processes",
            expected="arrays that one process can read: this version saves from one process",
        )
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _key(data: np.ndarray, kind: str) -> jax.Array:
    return jax.random.wrap_key_data(jnp.asarray(data), impl=kind)


def _place(spec: Spec, array: np.ndarray, leaf: Any) -> Any:
    sharding = getattr(leaf, "sharding", None) if getattr(leaf, "committed", True) else None
    if spec.key_kind is not None:
        return jax.random.wrap_key_data(jax.device_put(array, sharding), impl=spec.key_kind)
    wide = jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype
    if wide or isinstance(leaf, (np.ndarray, np.generic)):
        return array
    return jax.device_put(array, sharding)
