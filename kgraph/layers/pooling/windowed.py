"""Max and average pooling over windows: one implementation and six names."""

from __future__ import annotations

import math
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.graph.traits import Traits
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.convolution.spatial import DataFormat, Sizes, _SpatialLayer
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.layers.pooling.max_on_cpu import max_on_cpu
from kgraph.types import Array, DTypeLike


class _Pooling(_SpatialLayer):
    """Reduces each window of each channel to one number."""

    _kgraph_never_builds = True

    def __init__(
        self,
        pool_size: Sizes,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: DataFormat | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.pool_size = self.per_axis("pool_size", pool_size)
        self.strides = self.pool_size if strides is None else self.per_axis("strides", strides)
        self.padding = self.check_padding(padding)

    def reduce(self, inputs: Array, start: Any, combine: Any) -> Array:
        """Combines the cells of each window; `start` is neutral, and stands for padding too."""
        self.check_window(inputs)
        return jax.lax.reduce_window(
            inputs,
            start,
            combine,
            self.over_all_axes(self.pool_size),
            self.over_all_axes(self.strides),
            self.padding.upper(),
        )

    def check_window(self, inputs: Array) -> None:
        """Raises GraphError if no window fits into the input."""
        if self.padding == "valid":
            what = f"its window (pool_size={self.pool_size})"
            self.check_window_fits(inputs, self.pool_size, what)


class _MaxPooling(_Pooling, traits=lambda layer: Traits(max_pooling=layer.pool_size)):
    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: DataFormat | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **options)

    def call(self, inputs: Array) -> Array:
        if not self._kgraph.lowering or not jnp.issubdtype(inputs.dtype, jnp.floating):
            return self.reduce(inputs, lowest(inputs.dtype), jax.lax.max)
        self.check_window(inputs)
        window, strides = map(self.over_all_axes, (self.pool_size, self.strides))
        return max_on_cpu(inputs, window, strides, self.padding.upper())


class _AveragePooling(_Pooling):
    def call(self, inputs: Array) -> Array:
        floating = jnp.issubdtype(inputs.dtype, jnp.floating)
        dtype = inputs.dtype if floating else jnp.dtype(self.compute_dtype)
        wide = inputs.astype(wide_dtype(dtype))
        zero = np.zeros((), wide.dtype)
        total = self.reduce(wide, zero, jax.lax.add)
        if self.padding == "valid":
            return (total / math.prod(self.pool_size)).astype(dtype)
        # Padding does not count: a window at the border is divided by its cells inside.
        sizes = [inputs.shape[axis] for axis in self.spatial_axes]
        cells = jnp.ones(self.over_all_axes(sizes), wide.dtype)
        return (total / self.reduce(cells, zero, jax.lax.add)).astype(dtype)


def lowest(dtype: DTypeLike) -> np.ndarray:
    """Returns the value that no value of a dtype is below.

    As a NumPy scalar: JAX then knows the reduction for a maximum, which has a gradient.
    """
    if jnp.issubdtype(dtype, jnp.floating):
        return np.array(-np.inf, dtype)
    if jnp.issubdtype(dtype, jnp.bool_):
        return np.array(False)
    return np.array(jnp.iinfo(dtype).min, dtype)


class MaxPooling1D(_MaxPooling):
    """Takes the largest value of each window of a series.

    Shapes: `[batch, steps, channels]` in, `[batch, new_steps, channels]` out (channels first: axes
    1 and 2 exchanged); `new_steps` is `(steps - pool_size) // strides + 1` with padding valid and
    `ceil(steps / strides)` with same. Dtype: that of the input; whole numbers stay whole.

    Args:
        pool_size: length of the window.
        strides: distance of one window to the next; by default `pool_size`.
        padding: "valid" (only windows inside) or "same" (windows may reach over the ends).
        data_format: "channels_last" or "channels_first".

    Raises:
        ConfigError: an option has a value it cannot have.
        GraphError: the input is smaller than the window.

    >>> MaxPooling1D(2)(np.array([[[1.0], [3.0], [2.0], [5.0]]], "float32")).ravel().tolist()
    [3.0, 5.0]
    """

    rank = 1


class MaxPooling2D(_MaxPooling):
    """Takes the largest value of each window of an image.

    Shapes: `[batch, rows, columns, channels]` in, `[batch, new_rows, new_columns, channels]` out
    (channels first: axis 1).

    Args and Raises: as in `MaxPooling1D`; sizes are one number or one for each axis.

    >>> MaxPooling2D(3, strides=2, padding="same")(np.ones((1, 7, 8, 3), "float32")).shape
    (1, 4, 4, 3)
    """

    rank = 2


class MaxPooling3D(_MaxPooling):
    """Takes the largest value of each window of a volume.

    Shapes: `[batch, depth, rows, columns, channels]` in and out (channels first: axis 1). Args and
    Raises: as in `MaxPooling2D`.

    >>> from kgraph.layers import Input
    >>> MaxPooling3D(2)(Input((8, 8, 8, 3))).shape
    (None, 4, 4, 4, 3)
    """

    rank = 3


class AveragePooling1D(_AveragePooling):
    """Takes the mean of each window of a series.

    Shapes: as in `MaxPooling1D`. Dtype: the sums are float32 at least; the result has the dtype of
    the input, or the compute dtype for whole numbers. With padding "same" the mean is over the
    cells inside.

    Args and Raises: as in `MaxPooling1D`; `pool_size` has no default.

    >>> steps = np.array([[[1.0], [3.0], [2.0]]], "float32")
    >>> AveragePooling1D(2, padding="same")(steps).ravel().tolist()
    [2.0, 2.0]
    """

    rank = 1


class AveragePooling2D(_AveragePooling):
    """Takes the mean of each window of an image.

    Shapes: as in `MaxPooling2D`. Dtype, Args and Raises: as in `AveragePooling1D`; sizes are one
    number or one for each axis.

    >>> from kgraph.layers import Input
    >>> AveragePooling2D(2)(Input((8, 8, 3))).shape
    (None, 4, 4, 3)
    """

    rank = 2


class AveragePooling3D(_AveragePooling):
    """Takes the mean of each window of a volume.

    Shapes: as in `MaxPooling3D`. Dtype, Args and Raises: as in `AveragePooling2D`.

    >>> from kgraph.layers import Input
    >>> AveragePooling3D(2)(Input((8, 8, 8, 3))).shape
    (None, 4, 4, 4, 3)
    """

    rank = 3
