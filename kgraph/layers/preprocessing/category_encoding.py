"""CategoryEncoding: numbers of categories as one-hot, multi-hot or count vectors."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.core
import numpy as np

from kgraph.checks import check_count
from kgraph.errors import ConfigError, DataError, GraphError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.preprocessing.encoding import COUNT, MODES, MULTI_HOT, check_encoding, encode
from kgraph.types import Array


class CategoryEncoding(Layer):
    """Turns numbers of categories into vectors of size `num_tokens`.

    Shapes: see `encoding.encode`: `"one_hot"` adds an axis (or replaces a last axis of size 1);
    `"multi_hot"` and `"count"` replace the last axis, which holds one sample.
    Dtype: numbers of any dtype; the result has the compute dtype.

    Inside compiled code a number out of range gives zeros. A call on concrete arrays refuses it,
    and so does `check_ids` for whoever feeds the data.

    Args:
        num_tokens: number of categories.
        output_mode: `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: False; kept for compatibility.

    Call arguments:
        inputs: the numbers.
        count_weights: in mode `"count"`, how much each number counts; of the shape of `inputs`.

    Raises:
        ConfigError: an option has a value it cannot have.
        DataError: on a call with concrete numbers, if one is out of range.
        GraphError: `count_weights` come with another mode than `"count"`.

    >>> CategoryEncoding(4, output_mode="count")(np.array([[0, 1, 1], [3, 3, 3]])).tolist()
    [[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]]
    """

    autocast = False

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = MULTI_HOT,
        sparse: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{"autocast": False, **options})
        if num_tokens is None:
            raise ConfigError(
                f"{label_of(self)} needs `num_tokens`",
                hint="where the number of categories is not known, use IntegerLookup",
            )
        self.num_tokens = check_count(label_of(self), "num_tokens", num_tokens)
        self.output_mode = MULTI_HOT if output_mode == "binary" else output_mode
        check_encoding(label_of(self), self.output_mode, sparse, MODES[1:])

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        given = dict(zip(("inputs", "count_weights"), args)) | kwargs
        if given.get("count_weights") is not None and self.output_mode != COUNT:
            raise GraphError(
                f"{label_of(self)} takes `count_weights` in the mode 'count' alone",
                received=f"output_mode={self.output_mode!r}",
            )
        ids = given.get("inputs")
        if isinstance(ids, (np.ndarray, jax.Array)) and not isinstance(ids, jax.core.Tracer):
            self.check_ids(np.asarray(ids))

    def check_ids(self, ids: np.ndarray) -> None:
        """Raises DataError if a number has no place in the vectors."""
        wrong = ~((ids >= 0) & (ids < self.num_tokens))  # NaN is wrong as well
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise DataError(
                f"{label_of(self)} has no place for {int(wrong.sum())} of {ids.size} numbers",
                expected=f"numbers from 0 to {self.num_tokens - 1}",
                received=f"{ids[place].item()!r} at {list(place)}",
            )

    def call(self, inputs: Array, count_weights: Array | None = None) -> Array:
        return encode(inputs, self.output_mode, self.num_tokens, self.compute_dtype, count_weights)
