"""Normalization: features brought to mean 0 and variance 1 by statistics of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np

from kgraph import config
from kgraph.errors import ConfigError, DataError, GraphError
from kgraph.initializers.base import FixedInitializer
from kgraph.layers.base import InputSpec, Variable
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.layers.preprocessing.adapting import _AdaptiveLayer, not_adapted, numbers
from kgraph.types import Array, ArrayLike, DTypeLike, Shape


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared differences from the mean, of each feature, in float64."""

    count: int = 0
    mean: Any = 0.0
    squares: Any = 0.0

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if not count:
            return self
        distance = other.mean - self.mean
        return Moments(
            count,
            self.mean + distance * (other.count / count),
            self.squares + other.squares + distance**2 * (self.count * other.count / count),
        )


class Normalization(_AdaptiveLayer):
    """Subtracts the mean of each feature and divides by its standard deviation.

    The statistics come from `adapt`, or are given. Learned ones are state: `mean` and `variance` of
    shape `[*kept axes]`, and `count`, the number of values behind each of them. A layer that has
    neither been adapted nor been given weights raises StateError when values are needed.

    Shapes: any in, the same out. Dtype: computed in float32 at least; the result has the compute
    dtype.

    Args:
        axis: the axis or axes whose positions have statistics of their own; None for one mean and
            one variance of all values.
        mean, variance: numbers or arrays that broadcast to the kept axes; both or neither.
        invert: whether normalised values are turned back into the original ones.

    Raises:
        ConfigError: only one of `mean` and `variance` is given, or they do not fit each other or
            `axis`.
        GraphError: on the first call, if a kept axis is missing or of unknown size.
        DataError: from `adapt`.

    Source: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979: statistics of batches are merged, so their number costs no precision.

    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 10.0], [2.0, 30.0]]))
    >>> layer(np.array([[1.0, 30.0]])).tolist()
    [[0.0, 1.0]]
    """

    supports_masking = True
    autocast = False

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: ArrayLike | None = None,
        variance: ArrayLike | None = None,
        invert: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{"autocast": False, **options})
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        self.invert = bool(invert)
        self.given = _check_given(label_of(self), mean, variance, len(self.axis))

    def build(self, input_shape: Shape) -> None:
        rank = len(input_shape)
        kept = self._kept(rank)
        sizes = tuple(input_shape[axis] for axis in kept)
        if None in sizes:
            raise GraphError(
                f"{label_of(self)} needs to know the sizes of the axes that have statistics",
                expected=f"known sizes on axes {list(self.axis)}",
                received=str(list(input_shape)),
                hint="give them in Input(shape=...), or pass axis=None for one mean of all values",
            )
        self.input_spec = InputSpec(axes={axis: input_shape[axis] for axis in self.axis})
        if self.given is None:
            self.mean, self.variance = (
                self.add_weight(sizes, _Learned(self), trainable=False, name=name)
                for name in ("mean", "variance")
            )
            self.count = self.add_weight((), "zeros", "int32", trainable=False, name="count")
            for weight in (self.mean, self.variance):
                weight.initializer.weight = weight

    def call(self, inputs: Array) -> Array:
        wide = wide_dtype(self.compute_dtype)
        mean, variance = self._statistics(inputs.ndim, wide)
        deviation = jnp.maximum(jnp.sqrt(variance), config.epsilon())
        x = inputs.astype(wide)
        outputs = x * deviation + mean if self.invert else (x - mean) / deviation
        return outputs.astype(self.compute_dtype)

    def start_summary(self) -> Moments:
        if self.given is not None:
            raise ConfigError(
                f"{label_of(self)} was given its mean and variance, and does not adapt",
                hint="make it without `mean` and `variance`",
            )
        return Moments()

    def add_to_summary(self, summary: Moments, batch: np.ndarray) -> Moments:
        self.build(batch.shape)
        kept = self._kept(batch.ndim)
        sizes = tuple(batch.shape[axis] for axis in kept)
        if sizes != self.mean.shape:
            raise DataError(
                f"{label_of(self)} has statistics of shape {list(self.mean.shape)}",
                expected=f"these sizes on axes {list(self.axis)}",
                received=f"data of shape {list(batch.shape)}",
            )
        if not batch.size:
            return summary
        values, others = numbers(label_of(self), batch), _others(kept, batch.ndim)
        mean = values.mean(axis=others, keepdims=True)
        squares = ((values - mean) ** 2).sum(axis=others)
        count = values.size // max(int(np.prod(sizes)), 1)
        return summary + Moments(count, mean.reshape(sizes), squares)

    def use_summary(self, summary: Moments) -> None:
        self.mean.assign(summary.mean)
        self.variance.assign(summary.squares / summary.count)
        self.count.assign(min(summary.count, np.iinfo(np.int32).max))

    def _kept(self, rank: int) -> tuple[int, ...]:
        """Returns the axes with statistics of their own, from the first to the last.

        Raises:
            GraphError: the input has no such axis.
        """
        if any(not -rank <= axis < rank for axis in self.axis):
            raise GraphError(
                f"{label_of(self)} has statistics for axes {list(self.axis)}",
                expected="an input with these axes",
                received=f"an input with {rank} axes",
            )
        return tuple(sorted(axis % rank for axis in self.axis))

    def _statistics(self, rank: int, dtype: DTypeLike) -> tuple[Array, Array]:
        """Returns mean and variance with as many axes as the input."""
        kept = self._kept(rank)
        both = (self.mean, self.variance) if self.given is None else self.given
        arrays = []
        for values in both:
            own = values.shape[max(values.ndim - len(kept), 0) :]
            sizes = dict(zip(kept[len(kept) - len(own) :], own))
            shape = tuple(sizes.get(axis, 1) for axis in range(rank))
            arrays.append(jnp.asarray(values, dtype).reshape(shape))
        return arrays[0], arrays[1]


class _Learned(FixedInitializer):
    """Gives a weight the value it has, and refuses where it has none: nothing stands for data."""

    weight: Variable

    def __init__(self, layer: Normalization) -> None:
        self.layer = layer

    def fill(self, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> Array:
        if not self.weight.has_value:
            raise not_adapted(
                label_of(self.layer), "call adapt(data) before, or pass mean and variance"
            )
        return xp.asarray(self.weight.value)


def _others(kept: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(rank) if axis not in kept)


def _check_given(
    owner: str, mean: Any, variance: Any, axes: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the given statistics as arrays, or None where there are none."""
    if mean is None and variance is None:
        return None
    if mean is None or variance is None:
        raise ConfigError(
            f"{owner} needs both `mean` and `variance`, or neither",
            received=f"mean={mean}, variance={variance}",
        )
    arrays = np.asarray(mean), np.asarray(variance)
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim > axes:
        raise ConfigError(
            f"{owner} has statistics that do not fit",
            expected=f"mean and variance of one shape, with at most {axes} axes (those of `axis`)",
            received=f"shapes {list(arrays[0].shape)} and {list(arrays[1].shape)}",
        )
    return arrays
