"""Adaptive pooling: as many windows as asked for, whatever the size of the input."""

from __future__ import annotations

from typing import Unpack

import jax.numpy as jnp

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.convolution.spatial import DataFormat, Sizes, _SpatialLayer
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.layers.pooling.windowed import lowest
from kgraph.types import Array


class _AdaptivePooling(_SpatialLayer):
    """Reduces each axis to a given size: a window of the axis, or of overlapping ones, a cell."""

    def __init__(
        self,
        output_size: Sizes,
        data_format: DataFormat | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.output_size = self.per_axis("output_size", output_size)

    def reduce(self, cells: Array, axis: int, inside: Array | None) -> Array:
        """Returns one number for the cells along an axis, of those that are `inside`."""
        raise TypeError(f"{type(self).__name__} must define reduce")

    def call(self, inputs: Array) -> Array:
        outputs = inputs
        for axis, count in zip(self.spatial_axes, self.output_size):
            cells, inside = windows(outputs, axis, count)
            outputs = self.reduce(cells, axis + 1, inside)
        return outputs


def windows(inputs: Array, axis: int, count: int) -> tuple[Array, Array | None]:
    """Returns `count` windows along an axis, as that axis and one of their cells after it.

    Window `i` reaches from `floor(i * size / count)` to `ceil((i + 1) * size / count)`. So lengths
    differ by one at most; the second result says which cells a window really has, None for all.
    """
    size = inputs.shape[axis]
    if isinstance(size, int) and size % count == 0:
        shape = (*inputs.shape[:axis], count, size // count, *inputs.shape[axis + 1 :])
        return inputs.reshape(shape), None
    number = jnp.arange(count)
    first = number * size // count
    length = ((number + 1) * size + count - 1) // count - first
    cell = jnp.arange((size + count - 1) // count + 1)
    inside = cell[None, :] < length[:, None]
    places = jnp.minimum(first[:, None] + cell[None, :], size - 1)
    rank = inputs.ndim + 1
    others = [i for i in range(rank) if i not in (axis, axis + 1)]
    return jnp.take(inputs, places, axis), jnp.expand_dims(inside, others)


class _AdaptiveMaxPooling(_AdaptivePooling):
    def reduce(self, cells: Array, axis: int, inside: Array | None) -> Array:
        if inside is None:
            return jnp.max(cells, axis)
        return jnp.max(cells, axis, where=inside, initial=lowest(cells.dtype))


class _AdaptiveAveragePooling(_AdaptivePooling):
    def call(self, inputs: Array) -> Array:
        floating = jnp.issubdtype(inputs.dtype, jnp.floating)
        dtype = inputs.dtype if floating else jnp.dtype(self.compute_dtype)
        return super().call(inputs.astype(wide_dtype(dtype))).astype(dtype)

    def reduce(self, cells: Array, axis: int, inside: Array | None) -> Array:
        return jnp.mean(cells, axis, where=inside)


class AdaptiveMaxPooling1D(_AdaptiveMaxPooling):
    """Takes the largest value of each of `output_size` windows over a series.

    Window `i` reaches from `floor(i * steps / output_size)` up to, and without,
    `ceil((i + 1) * steps / output_size)`. The number of steps may be unknown.

    Shapes: `[batch, steps, channels]` in, `[batch, output_size, channels]` out (channels first:
    axes 1 and 2 exchanged). Dtype: that of the input. The gradient of equal largest values is
    shared among them.

    Args:
        output_size: number of windows.
        data_format: "channels_last" or "channels_first".

    Raises:
        ConfigError: an option has a value it cannot have.

    >>> import numpy as np
    >>> steps = np.array([1, 5, 2, 4, 3], "float32").reshape(1, 5, 1)
    >>> AdaptiveMaxPooling1D(2)(steps).ravel().tolist()
    [5.0, 4.0]
    """

    rank = 1


class AdaptiveMaxPooling2D(_AdaptiveMaxPooling):
    """Takes the largest value of each of a grid of windows over an image.

    Shapes: `[batch, rows, columns, channels]` in, `[batch, *output_size, channels]` out (channels
    first: axis 1). Windows, Dtype and Raises: as in `AdaptiveMaxPooling1D`, along each axis.

    Args:
        output_size: number of windows along both axes, or along each.
        data_format: "channels_last" or "channels_first".

    >>> from kgraph.layers import Input
    >>> AdaptiveMaxPooling2D((2, 3))(Input((7, 9, 4))).shape
    (None, 2, 3, 4)
    """

    rank = 2


class AdaptiveMaxPooling3D(_AdaptiveMaxPooling):
    """Takes the largest value of each of a grid of windows over a volume.

    Shapes: `[batch, depth, rows, columns, channels]` in, `[batch, *output_size, channels]` out
    (channels first: axis 1). The rest: as in `AdaptiveMaxPooling2D`.

    >>> from kgraph.layers import Input
    >>> AdaptiveMaxPooling3D(2)(Input((4, 5, 6, 3))).shape
    (None, 2, 2, 2, 3)
    """

    rank = 3


class AdaptiveAveragePooling1D(_AdaptiveAveragePooling):
    """Takes the mean of each of `output_size` windows over a series.

    Shapes, windows, Args and Raises: as in `AdaptiveMaxPooling1D`. Dtype: the sums are float32 at
    least; the result has the dtype of the input, or the compute dtype for whole numbers.

    >>> import numpy as np
    >>> steps = np.array([1, 5, 3, 4, 2], "float32").reshape(1, 5, 1)
    >>> AdaptiveAveragePooling1D(2)(steps).ravel().tolist()
    [3.0, 3.0]
    """

    rank = 1


class AdaptiveAveragePooling2D(_AdaptiveAveragePooling):
    """Takes the mean of each of a grid of windows over an image.

    Shapes, windows, Args and Raises: as in `AdaptiveMaxPooling2D`. Dtype: as in
    `AdaptiveAveragePooling1D`.

    >>> from kgraph.layers import Input
    >>> AdaptiveAveragePooling2D(2)(Input((7, 9, 4))).shape
    (None, 2, 2, 4)
    """

    rank = 2


class AdaptiveAveragePooling3D(_AdaptiveAveragePooling):
    """Takes the mean of each of a grid of windows over a volume.

    Shapes, windows, Args and Raises: as in `AdaptiveMaxPooling3D`. Dtype: as in
    `AdaptiveAveragePooling1D`.

    >>> from kgraph.layers import Input
    >>> AdaptiveAveragePooling3D(2)(Input((4, 5, 6, 3))).shape
    (None, 2, 2, 2, 3)
    """

    rank = 3
