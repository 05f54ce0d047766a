"""Pooling over all spatial axes at once: the maximum or the mean of each channel."""

from __future__ import annotations

from typing import Unpack

import jax.numpy as jnp

from kgraph.layers.base.mask_check import check_mask
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.convolution.spatial import DataFormat, _SpatialLayer
from kgraph.layers.normalization.statistics import wide_dtype
from kgraph.types import Array


class _GlobalPooling(_SpatialLayer):
    """Reduces all spatial axes.

    Args:
        data_format: "channels_last" or "channels_first".
        keepdims: whether the reduced axes stay, with size 1.
    """

    _kgraph_never_builds = True

    def __init__(
        self,
        data_format: DataFormat | None = None,
        keepdims: bool = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(data_format, **options)
        self.keepdims = keepdims


class _GlobalMaxPooling(_GlobalPooling):
    def call(self, inputs: Array) -> Array:
        return jnp.max(inputs, axis=self.spatial_axes, keepdims=self.keepdims)


class _GlobalAveragePooling(_GlobalPooling):
    def call(self, inputs: Array) -> Array:
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            inputs = inputs.astype(self.compute_dtype)
        return jnp.mean(inputs, axis=self.spatial_axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """Takes the largest value of each channel of a series.

    Shapes: `[batch, steps, channels]` in, `[batch, channels]` out, or `[batch, 1, channels]` with
    `keepdims` (channels first: axes 1 and 2 exchanged).

    Args:
        data_format: "channels_last" or "channels_first".
        keepdims: whether the reduced axes stay, with size 1.

    >>> from kgraph.layers import Input
    >>> GlobalMaxPooling1D()(Input((10, 3))).shape
    (None, 3)
    """

    rank = 1


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """Takes the largest value of each channel of an image.

    Shapes: `[batch, rows, columns, channels]` in, `[batch, channels]` out, or
    `[batch, 1, 1, channels]` with `keepdims` (channels first: axis 1).

    Args: as in `GlobalMaxPooling1D`.

    >>> from kgraph.layers import Input
    >>> GlobalMaxPooling2D(keepdims=True)(Input((8, 8, 3))).shape
    (None, 1, 1, 3)
    """

    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """Takes the largest value of each channel of a volume.

    Shapes: `[batch, depth, rows, columns, channels]` in, `[batch, channels]` out, or
    `[batch, 1, 1, 1, channels]` with `keepdims` (channels first: axis 1).

    Args: as in `GlobalMaxPooling1D`.

    >>> from kgraph.layers import Input
    >>> GlobalMaxPooling3D()(Input((8, 8, 8, 3))).shape
    (None, 3)
    """

    rank = 3


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """Takes the mean of each channel of a series, over the steps that the mask keeps.

    Shapes: as in `GlobalMaxPooling1D`. Mask: `[batch, steps]`, used up here; the mean of a sample
    without any step is 0. Dtype: the sums are float32 at least; the result has the
    dtype of the input, or the compute dtype for whole numbers.

    Args: as in `GlobalMaxPooling1D`.

    >>> import numpy as np
    >>> layer = GlobalAveragePooling1D()
    >>> steps = np.array([[[1.0], [3.0], [9.0]]], "float32")
    >>> layer(steps, mask=np.array([[True, True, False]])).tolist()
    [[2.0]]
    """

    rank = 1
    supports_masking = True

    def call(self, inputs: Array, mask: Array | None = None) -> Array:
        if mask is None:
            return super().call(inputs)
        steps = inputs.shape[self.spatial_axes[0]]
        check_mask(self, mask, (inputs.shape[0], steps))
        dtype = inputs.dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            dtype = jnp.dtype(self.compute_dtype)
        wide = inputs.astype(wide_dtype(dtype))
        kept = jnp.expand_dims(mask.astype(bool), self.channel_axis)
        total = jnp.sum(wide, self.spatial_axes, where=kept, keepdims=self.keepdims)
        count = jnp.sum(kept, self.spatial_axes, dtype=wide.dtype, keepdims=self.keepdims)
        return (total / jnp.maximum(count, 1)).astype(dtype)

    def compute_mask(self, inputs: Array, previous_mask: Array | None = None) -> None:
        return None


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """Takes the mean of each channel of an image.

    Shapes: as in `GlobalMaxPooling2D`. Dtype: as in `GlobalAveragePooling1D`.

    Args: as in `GlobalMaxPooling1D`.

    >>> from kgraph.layers import Input
    >>> GlobalAveragePooling2D()(Input((8, 8, 3))).shape
    (None, 3)
    """

    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """Takes the mean of each channel of a volume.

    Shapes: as in `GlobalMaxPooling3D`. Dtype: as in `GlobalAveragePooling1D`.

    Args: as in `GlobalMaxPooling1D`.

    >>> from kgraph.layers import Input
    >>> GlobalAveragePooling3D()(Input((8, 8, 8, 3))).shape
    (None, 3)
    """

    rank = 3
