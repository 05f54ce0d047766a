"""Embedding: a table of vectors, read by number."""

from __future__ import annotations

from typing import Any, Unpack

import jax.core
import jax.numpy as jnp
import numpy as np

from kgraph.checks import check_count
from kgraph.errors import DataError
from kgraph.layers.base.adaptable import AdaptableOptions, _Adaptable, lora_parts
from kgraph.layers.base.core import label_of
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.types import Array, ConstraintLike, Function, InitializerLike, RegularizerLike


class Embedding(_Adaptable):
    """Returns a row of its table for each id.

    Shapes: `[batch, *any]` of ids in, `[batch, *any, output_dim]` out. Weight `embeddings`:
    `[input_dim, output_dim]`. Mask with `mask_zero`: True where the id is not 0.
    Dtype: integer ids are used as they are, others are cut to int32; the result has the compute
    dtype.

    Inside compiled code an id past the end reads NaN (and one below 0 counts from the end), since
    nothing can be raised there. So a call on concrete arrays checks the ids first, and `check_ids`
    does the same for whoever feeds the data.

    Args:
        input_dim: number of rows; ids are below it.
        output_dim: size of each row.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: of the table.
        mask_zero: whether id 0 is padding.
        weights: values of the table to start with.
        lora_rank, lora_alpha: see `enable_lora`.

    Raises:
        ConfigError: a size is not a positive whole number.
        StateError: `weights` has another shape than the table.
        DataError: on a call with concrete ids, if one is out of range or no whole number.

    >>> import numpy as np
    >>> Embedding(1000, 8)(np.array([[3, 1, 4]])).shape
    (1, 3, 8)
    """

    autocast = False
    _kgraph_adapted = "embeddings"
    embeddings_initializer: Function | None

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike | None = None,
        embeddings_constraint: ConstraintLike | None = None,
        mask_zero: bool = False,
        weights: Any = None,
        **options: Unpack[AdaptableOptions],
    ) -> None:
        super().__init__(**{"autocast": False, **options})
        self.input_dim = check_count("Embedding", "input_dim", input_dim)
        self.output_dim = check_count("Embedding", "output_dim", output_dim)
        set_options(
            self,
            "embeddings",
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
        )
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) else [weights])

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = add_with_options(self, "embeddings", (self.input_dim, self.output_dim))
        self._kgraph_start_lora()

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        ids = args[0] if args else kwargs.get("inputs")
        if isinstance(ids, (np.ndarray, jax.Array)) and not isinstance(ids, jax.core.Tracer):
            self.check_ids(np.asarray(ids))

    def check_ids(self, ids: np.ndarray) -> None:
        """Raises DataError if an id has no row, or is no whole number."""
        ids = np.asarray(ids)
        if ids.dtype.kind not in "iub":
            whole = np.isfinite(ids) & (np.floor(ids) == ids)
            self._refuse(ids, ~whole, "a whole number", None)
        hint = f"the largest id needs input_dim={_largest(ids) + 1}" if _largest(ids) > 0 else None
        outside = (ids < 0) | (ids >= self.input_dim)
        self._refuse(ids, outside, f"ids from 0 to {self.input_dim - 1}", hint)

    def _refuse(self, ids: np.ndarray, wrong: np.ndarray, expected: str, hint: str | None) -> None:
        if not wrong.any():
            return
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            f"{label_of(self)} has no row for {int(wrong.sum())} of {ids.size} ids",
            expected=expected,
            received=f"{ids[place].item()!r} at {list(place)}",
            hint=hint,
        )

    def call(self, inputs: Array) -> Array:
        whole = jnp.issubdtype(inputs.dtype, jnp.integer)
        ids = inputs if whole else inputs.astype(jnp.int32)
        rows = jnp.take(self.embeddings, ids, axis=0)
        if self.lora_enabled:
            a, b = lora_parts(self)
            rows = rows + jnp.take(a, ids, axis=0) @ b
        return rows.astype(self.compute_dtype)

    def compute_mask(self, inputs: Array, previous_mask: Array | None = None) -> Array | None:
        return inputs != 0 if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("weights", None)  # values belong into weight files
        return config


def _largest(ids: np.ndarray) -> int:
    return int(ids.max()) if ids.size else 0
