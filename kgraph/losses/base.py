"""`Loss`, which every loss extends, and the loss that wraps a plain function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.config import DTypePolicy
from kgraph.declared import declare, is_own, word_of
from kgraph.errors import ConfigError
from kgraph.losses import reduction as reducing
from kgraph.losses.alignment import same_rank, wide_dtype
from kgraph.losses.in_pieces import Classes
from kgraph.losses.labels import check_numbers
from kgraph.losses.reduction import Terms, check_reduction, combine_masks
from kgraph.registry import Recorded, snake_case
from kgraph.tracebacks import entries
from kgraph.types import Array, ArrayLike, PolicyLike, Shape, Tree

LossFunction = Callable[..., Array]
"""`fn(y_true, y_pred)` returns one value for each sample."""


RowsWord: TypeAlias = bool | Callable[[Any], bool]
"""Whether rows are independent, or a function of a loss or metric that tells."""


@entries
class Loss(Recorded):
    """A loss: one value for each sample (`call`), and how these become one number.

    A subclass writes `call(y_true, y_pred)`; everything else is here. If the value of a row depends
    on that row alone, its class may say so, and a smaller last batch can be padded instead of
    compiled for: `class Mine(Loss, rows_independent=True)`, or a function of the loss that tells.

    Dtype: outputs and targets in short floats are computed with in float32, and so is the result.
        Integer targets reach `call` as they are.

    Args:
        name: the name in logs; by default the class name in snake case.
        reduction: `"sum_over_batch_size"` (or `"mean"`: sum divided by the number of values),
            `"sum"`, `"mean_with_sample_weight"` (divided by the sum of the weights), or `"none"`.
        dtype: the dtype to compute in, at least float32; by default that of the outputs.

    Raises:
        ConfigError: if there is no such reduction.
    """

    _kgraph_kind: ClassVar[str] = "loss"

    def __init__(
        self,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype: PolicyLike | None = None,
    ) -> None:
        self.name = name or snake_case(type(self).__name__)
        self.reduction = check_reduction(type(self).__name__, reduction)
        policy = dtype.compute_dtype if isinstance(dtype, DTypePolicy) else dtype
        self._dtype = None if policy is None else wide_dtype(jnp.dtype(policy))

    @property
    def dtype(self) -> str:
        """The dtype of the result, unless the outputs are wider."""
        return str(self._dtype or wide_dtype())

    def __init_subclass__(cls, rows_independent: RowsWord | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if rows_independent is not None:
            declare(cls, rows_independent)

    def call(self, y_true: Array, y_pred: Array) -> Array:
        """Returns one value for each sample."""
        raise ConfigError(f"{type(self).__name__} does not define `call(self, y_true, y_pred)`")

    def _kgraph_value_mask(self, y_true: Array, values: Array) -> Array | None:
        """Returns which of the values count, or None for all of them."""
        return None

    def _kgraph_on_logits(self, function: str | None = "") -> Loss | None:
        """Returns the equal loss of the numbers before the final softmax or sigmoid, if it has one.

        The two agree where probabilities are not clipped; beyond, the loss on logits is exact.

        Args:
            function: "softmax" or "sigmoid", if only a loss of the numbers before that one will do.
        """
        return None

    def _kgraph_classes(self) -> Classes | None:
        """Returns how targets name classes, if this is the cross-entropy of a softmax of logits
        along the last axis.
        """
        return None

    def _kgraph_check_labels(self, y_true: np.ndarray, output_shape: Shape) -> None:
        """Raises DataError if targets (on the host) cannot be learned from."""
        check_numbers(self.name, y_true)

    def _kgraph_values(self, y_true: Any, y_pred: Any) -> tuple[Array, Array | None]:
        """Returns the unreduced loss, and the mask of the values that count (or None)."""
        y_pred = jax.tree.map(self._kgraph_widen, y_pred)
        y_true = jax.tree.map(self._kgraph_widen_floats, y_true)
        values = self._kgraph_widen(self.call(y_true, y_pred))
        return values, self._kgraph_value_mask(y_true, values)

    def _kgraph_terms(
        self,
        y_true: Tree,
        y_pred: Tree,
        sample_weight: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        rows: ArrayLike | None = None,
    ) -> Terms:
        """Returns the sum of the loss and its divisor, which add up over pieces of a batch.

        Args:
            y_true: targets.
            y_pred: outputs.
            sample_weight: multiplies the values.
            mask: the mask of the outputs.
            rows: `[batch]`, False for rows that only pad the batch.
        """
        values, own = self._kgraph_values(y_true, y_pred)
        mask = combine_masks(mask, own)
        return reducing.terms(values, sample_weight, mask, rows, self.reduction)

    def _kgraph_finish(self, terms: Terms) -> Array:
        """Returns the loss from its (summed) terms."""
        return reducing.finish(terms, self.reduction)

    def __call__(
        self,
        y_true: Tree,
        y_pred: Tree,
        sample_weight: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> Array:
        values, own = self._kgraph_values(y_true, y_pred)
        return reducing.reduce(values, sample_weight, combine_masks(mask, own), self.reduction)

    def _kgraph_value(
        self, y_true: Tree, y_pred: Tree, sample_weight: ArrayLike, mask: ArrayLike | None
    ) -> Array:
        """Returns the loss of a batch, by the `__call__` that the class has."""
        if type(self).__call__ is Loss.__call__:
            return self(y_true, y_pred, sample_weight, mask)
        signature = inspect.signature(self.__call__)
        if "mask" in signature.parameters:
            return self(y_true, y_pred, sample_weight=sample_weight, mask=mask)
        weight = reducing.combine_weights(sample_weight, mask, jnp.float32)
        if "sample_weight" in signature.parameters:
            return self(y_true, y_pred, sample_weight=weight)
        if weight is None:
            return self(y_true, y_pred)
        raise ConfigError(
            f"The loss {self.name!r} cannot weigh or mask its samples",
            expected="__call__(self, y_true, y_pred, sample_weight=None)",
            received=f"__call__{signature}",
        )

    def _kgraph_widen(self, x: Any) -> Array:
        x = jnp.asarray(x)
        return x.astype(self._dtype or wide_dtype(x.dtype))

    def _kgraph_widen_floats(self, x: Any) -> Array:
        x = jnp.asarray(x)
        return self._kgraph_widen(x) if jnp.issubdtype(x.dtype, jnp.floating) else x


declare(Loss, True)


def rows_of_function(wrapper: Any) -> bool:
    """Tells whether the function (or loss) in a wrapper treats each row by itself."""
    return is_own(wrapper.fn) and (not isinstance(wrapper.fn, Loss) or bool(word_of(wrapper.fn)))


class LossFunctionWrapper(Loss, rows_independent=rows_of_function):
    """The loss of a function `fn(y_true, y_pred, **kwargs)` that returns one value for each sample.

    Args:
        fn: the function. What it returns is reduced like any loss.
        reduction: as in `Loss`.
        name: by default the name of the function.
        dtype: as in `Loss`.
        **kwargs: passed on to `fn`.
    """

    def __init__(
        self,
        fn: LossFunction,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: PolicyLike | None = None,
        **kwargs: Any,
    ) -> None:
        if not callable(fn):
            raise ConfigError("A loss function must be callable", received=repr(fn))
        name = name or getattr(fn, "__name__", snake_case(type(fn).__name__))
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn, self.options = fn, kwargs

    def call(self, y_true: Array, y_pred: Array) -> Array:
        if hasattr(y_true, "ndim") and hasattr(y_pred, "ndim"):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self.options)
