"""What an array of a checkpoint is like, and where it is in its tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.interrupts import tracing
from kgraph.types import Tree

DTYPES = frozenset(
    """
    bool int2 int4 int8 int16 int32 int64 uint8 uint16 uint32 uint64
    bfloat16 float16 float32 float64 complex64 complex128
    float8_e4m3fn float8_e4m3fnuz float8_e4m3b11fnuz float8_e5m2 float8_e5m2fnuz
    """.split()  # noqa: SIM905 - a table
)
"""What Orbax stores (0.12.8)."""

KEY_KINDS = frozenset(("threefry2x32", "rbg", "unsafe_rbg"))

Path = tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    """Where an array is in its tree, and what it is like.

    Fields:
        path: the keys that lead to it; positions in lists and tuples are "0", "1", ...
        shape, dtype: those of the stored array; of a random key, those of its uint32 data.
        key_kind: "threefry2x32", say, of a random key; None for other arrays.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    key_kind: str | None = None

    @property
    def name(self) -> str:
        return path_text(self.path)

    def __str__(self) -> str:
        if self.key_kind is not None:
            return f"{list(self.shape[:-1])} {self.key_kind} key"
        return f"{list(self.shape)} {self.dtype}"


def path_text(path: Any) -> str:
    """Returns a path as one string, different for different paths.

    >>> path_text(("params", "block/dense", "kernel"))
    'params/block%2Fdense/kernel'
    """
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in path)


def specs_of(template: Tree) -> list[Spec]:
    """Returns what the leaves of a template (arrays, `jax.ShapeDtypeStruct`) ask for."""
    found = jax.tree_util.tree_flatten_with_path(template)[0]
    return [spec_of(path_of(keys), leaf) for keys, leaf in found]


def path_of(keys: Sequence[object]) -> Path:
    """Returns the keys of JAX' `tree_flatten_with_path` as strings."""
    parts = []
    for key in keys:
        part = getattr(key, "key", getattr(key, "name", getattr(key, "idx", None)))
        if isinstance(key, jax.tree_util.DictKey) and not isinstance(part, str):
            where = path_text(tuple(parts)) or "the top"
            raise ConfigError(
                "A key of a checkpoint's arrays is no string", at=where, received=part
            )
        parts.append(str(part))
    if not parts:
        raise ConfigError("The arrays of a checkpoint are a dict by name, not one array")
    return tuple(parts)


@tracing
def spec_of(path: Any, leaf: Any) -> Spec:
    """Returns the spec of an array, or of what describes one.

    Raises:
        ConfigError: it is no array, or of a dtype or kind of key that cannot be stored.
    """
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or not hasattr(leaf, "shape"):
        raise ConfigError(
            f"{path_text(path)!r} cannot be kept in a checkpoint",
            expected="a JAX or NumPy array; plain values belong into `meta`",
            received=f"{type(leaf).__name__}",
        )
    if not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        spec = Spec(path, tuple(leaf.shape), np.dtype(dtype).name)
        if spec.dtype not in DTYPES:
            raise ConfigError(
                f"{path_text(path)!r} has a dtype that a checkpoint cannot keep",
                expected=", ".join(sorted(DTYPES)),
                received=spec.dtype,
            )
        return spec
    kinds: list[str] = []

    def data_of(key: Any) -> Any:
        kinds.append(str(jax.random.key_impl(key)))
        return jax.random.key_data(key)

    # Abstractly, for a template has no array to ask.
    data = jax.eval_shape(data_of, jax.ShapeDtypeStruct(leaf.shape, dtype))
    if kinds[0] not in KEY_KINDS:
        known = ", ".join(sorted(KEY_KINDS))
        raise ConfigError(
            f"{path_text(path)!r} is a random key of an unknown kind", expected=known,
            received=kinds[0],
        )  # fmt: skip
    return Spec(path, data.shape, data.dtype.name, kinds[0])
