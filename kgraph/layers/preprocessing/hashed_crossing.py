"""HashedCrossing: combinations of categories, by a hash, as one of a fixed number of bins."""

from __future__ import annotations

from functools import reduce
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np

from kgraph.errors import GraphError
from kgraph.graph.structure import leaves
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import Flags
from kgraph.layers.preprocessing.encoding import INT, ONE_HOT
from kgraph.layers.preprocessing.fingerprint import cross, fingerprint
from kgraph.layers.preprocessing.hashed_text import hash_on_host
from kgraph.layers.preprocessing.hashing import _HashLayer, host_values
from kgraph.layers.preprocessing.words import Words
from kgraph.types import Array, PolicyLike

_START = 0xDECAFCAFFE  # TensorFlow's key of crossed columns


class HashedCrossing(_HashLayer):
    """Gives each combination of two or more categories a bin by a stable hash.

    Text is hashed on the host, when the layer is called on it (or on text and numbers together);
    integers also in graphs and compiled code, to the same bins.

    Shapes: a list of inputs of one shape, `[]`, `[batch]` or `[batch, 1]`; the same out, or
    `[batch, num_bins]` in mode `"one_hot"`.

    Args:
        num_bins: number of bins.
        output_mode: `"int"` or `"one_hot"`.
        sparse: False; kept for compatibility.
        name: of the layer.
        dtype: of the result: an integer type in mode `"int"`.

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: there are fewer than two inputs, or their shapes or dtypes do not fit.

    Source: the bins are those of Keras with TensorFlow; see `fingerprint.py`.

    >>> HashedCrossing(num_bins=5)([["A", "B", "A"], [101, 101, 102]]).tolist()
    [1, 4, 3]
    """

    def __init__(
        self,
        num_bins: int,
        output_mode: str = INT,
        sparse: bool = False,
        name: str | None = None,
        dtype: PolicyLike | None = None,
        **options: Unpack[Flags],
    ) -> None:
        modes = (INT, ONE_HOT)
        super().__init__(num_bins, output_mode, sparse, dtype, modes, name=name, **options)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        inputs = args[0] if args else kwargs.get("inputs")
        self._check(inputs if isinstance(inputs, (list, tuple)) else list(leaves(inputs)))

    def bins_on_host(self, inputs: Any) -> np.ndarray:
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        arrays = [np.asarray(item) for item in inputs]
        self._check(arrays)
        hashes = [self._feature(host_values(label_of(self), array)) for array in arrays]
        start = np.full(hashes[0].shape or (1,), _START, np.uint64)
        crossed = reduce(cross, hashes, start) % np.uint64(self.num_bins)
        return crossed.reshape(hashes[0].shape).astype(np.int64)

    def call(self, inputs: list[Array]) -> Array:
        start = Words.full(_START, inputs[0])
        crossed = reduce(cross, [Words.of(item) for item in inputs], start)
        return self.encoded((crossed % self.num_bins).astype(jnp.int32))

    @staticmethod
    def _feature(values: np.ndarray) -> np.ndarray:
        """Returns what a value adds to the hash: text its fingerprint, an integer itself."""
        if values.dtype.kind in "US":
            return hash_on_host(values, fingerprint)
        return values.astype(np.int64, copy=False).astype(np.uint64)

    def _check(self, inputs: Any) -> None:
        if len(inputs) < 2:
            raise GraphError(
                f"{label_of(self)} crosses two or more inputs", expected="a list of inputs",
                received=f"{len(inputs)} inputs",
            )  # fmt: skip
        shapes = [tuple(item.shape) for item in inputs]
        if any(shape != shapes[0] for shape in shapes) or not _is_scalar_batch(shapes[0]):
            raise GraphError(
                f"{label_of(self)} crosses one value for each row",
                expected="inputs of one shape: [], [batch] or [batch, 1]",
                received=", ".join(str(list(shape)) for shape in shapes),
            )
        wrong = [str(item.dtype) for item in inputs if np.dtype(item.dtype).kind not in "USOiu"]
        if wrong:
            raise GraphError(
                f"{label_of(self)} crosses categories", expected="integers or text",
                received=f"dtype {', '.join(wrong)}", hint="put floats into bins: Discretization",
            )  # fmt: skip


def _is_scalar_batch(shape: tuple[Any, ...]) -> bool:
    return len(shape) < 2 or (len(shape) == 2 and shape[1] == 1)
