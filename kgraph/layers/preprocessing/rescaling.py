"""Rescaling: a fixed multiple plus a fixed offset."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from kgraph import config
from kgraph.layers.base import Layer
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array, ArrayLike


class Rescaling(Layer):
    """Multiplies its input by `scale` and adds `offset`, in training and inference alike.

    Shapes: any in, the same out. Dtype: inputs of any dtype, bytes of images say; the result has
    the compute dtype.

    Args:
        scale: a number, or an array that broadcasts to the input (one number for each channel).
            With the process-wide layout `"channels_first"` an array stands for the leading axes
            after the batch.
        offset: a number or an array.

    >>> Rescaling(1 / 127.5, offset=-1)(np.array([[0, 255]], "uint8")).tolist()
    [[-1.0, 1.0]]
    """

    supports_masking = True

    def __init__(
        self, scale: ArrayLike, offset: ArrayLike = 0.0, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.scale, self.offset = scale, offset

    def call(self, inputs: Array) -> Array:
        outputs = inputs.astype(self.compute_dtype) * self._factor(self.scale, inputs.ndim)
        if np.ndim(self.offset) or self.offset != 0:
            outputs = outputs + self._factor(self.offset, inputs.ndim)
        return outputs

    def _factor(self, value: object, rank: int) -> Any:
        """Returns an option as a number or as an array with as many axes as the input."""
        array = np.asarray(value)
        if array.ndim == 0:
            return array.item()
        shape = array.shape
        if config.image_data_format() == "channels_first":
            shape += (1,) * (3 - array.ndim)
        shape = (1,) * (rank - len(shape)) + shape
        return array.reshape(shape).astype(self.compute_dtype)
