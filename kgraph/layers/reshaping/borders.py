"""Cropping and zero padding of 1, 2 or 3 spatial axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias, Unpack

import jax
import jax.numpy as jnp

from kgraph.errors import GraphError
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.reshaping.spatial import first_spatial_axis, layout, pairs
from kgraph.types import Array

Pads: TypeAlias = int | Sequence[int | Sequence[int]]
"""One number, one for each axis, or a pair (start, end) for each."""


class _Cropping(Layer):
    """Cuts values off the start and the end of each spatial axis."""

    rank: ClassVar[int]

    def __init__(self, cropping: Pads, data_format: str | None, options: LayerOptions) -> None:
        super().__init__(**options)
        owner = type(self).__name__
        self.cropping = pairs(owner, "cropping", cropping, self.rank)
        self.data_format = layout(owner, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        shape = getattr(args[0] if args else kwargs.get("inputs"), "shape", ())
        start = first_spatial_axis(self.data_format)
        for axis, (pair, size) in enumerate(zip(self.cropping, shape[start:]), start):
            if isinstance(size, int) and sum(pair) >= size:
                raise GraphError(
                    f"{label_of(self)} would leave nothing of axis {axis}",
                    expected=f"more than {sum(pair)} values on axis {axis}",
                    received=tuple(shape),
                )

    def call(self, inputs: Array) -> Array:
        # Ends are counted from the end, which JAX can do for sizes that are not known.
        kept = [slice(low, -high or None) for low, high in self.cropping]
        return inputs[(slice(None),) * first_spatial_axis(self.data_format) + tuple(kept)]


class Cropping1D(_Cropping):
    """Cuts steps off the start and the end of sequences.

    Shapes: `[batch, steps, features]` in, `[batch, steps - cut, features]` out.

    Args:
        cropping: number of steps cut off at both ends, or one number for each.

    Raises:
        ConfigError: `cropping` is none of these.
        GraphError: on a call, if nothing would be left.

    >>> from kgraph.layers import Input
    >>> Cropping1D((1, 2))(Input((10, 3))).shape
    (None, 7, 3)
    """

    rank = 1

    def __init__(self, cropping: Pads = (1, 1), **options: Unpack[LayerOptions]) -> None:
        super().__init__(cropping, "channels_last", options)


class Cropping2D(_Cropping):
    """Cuts rows and columns off images.

    Shapes: `[batch, height, width, channels]` in (`channels_first`: channels second), the same with
    smaller height and width out.

    Args:
        cropping: one number, a number for each axis, or a pair (start, end) for each axis.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: `cropping` is none of these.
        GraphError: on a call, if nothing would be left.

    >>> from kgraph.layers import Input
    >>> Cropping2D(((1, 0), (2, 2)))(Input((8, 8, 3))).shape
    (None, 7, 4, 3)
    """

    rank = 2

    def __init__(
        self,
        cropping: Pads = ((0, 0), (0, 0)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(cropping, data_format, options)


class Cropping3D(_Cropping):
    """Cuts the borders off volumes; see `Cropping2D`.

    Shapes: `[batch, depth, height, width, channels]` in (`channels_first`: channels second), the
    same with smaller spatial axes out.

    >>> from kgraph.layers import Input
    >>> Cropping3D(1)(Input((8, 8, 8, 3))).shape
    (None, 6, 6, 6, 3)
    """

    rank = 3

    def __init__(
        self,
        cropping: Pads = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(cropping, data_format, options)


class _ZeroPadding(Layer):
    """Adds zeros at the start and the end of each spatial axis."""

    rank: ClassVar[int]

    def __init__(self, padding: Pads, data_format: str | None, options: LayerOptions) -> None:
        super().__init__(**options)
        owner = type(self).__name__
        self.padding = pairs(owner, "padding", padding, self.rank)
        self.data_format = layout(owner, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Array) -> Array:
        start = first_spatial_axis(self.data_format)
        borders = [(0, 0, 0)] * inputs.ndim
        borders[start : start + self.rank] = [(low, high, 0) for low, high in self.padding]
        return jax.lax.pad(inputs, jnp.zeros((), inputs.dtype), borders)


class ZeroPadding1D(_ZeroPadding):
    """Adds zeros at the start and the end of sequences.

    Shapes: `[batch, steps, features]` in (`channels_first`: features second), the same with more
    steps out.

    Args:
        padding: number of steps added at both ends, or one number for each.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: `padding` is none of these.

    >>> from kgraph.layers import Input
    >>> ZeroPadding1D((1, 2))(Input((10, 3))).shape
    (None, 13, 3)
    """

    rank = 1

    def __init__(
        self, padding: Pads = 1, data_format: str | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(padding, data_format, options)


class ZeroPadding2D(_ZeroPadding):
    """Adds rows and columns of zeros around images.

    Shapes: `[batch, height, width, channels]` in (`channels_first`: channels second), the same with
    larger height and width out.

    Args:
        padding: one number, a number for each axis, or a pair (start, end) for each axis.
        data_format: by default `image_data_format()`.

    Raises:
        ConfigError: `padding` is none of these.

    >>> from kgraph.layers import Input
    >>> ZeroPadding2D(((1, 0), (2, 2)))(Input((8, 8, 3))).shape
    (None, 9, 12, 3)
    """

    rank = 2

    def __init__(
        self,
        padding: Pads = (1, 1),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(padding, data_format, options)


class ZeroPadding3D(_ZeroPadding):
    """Adds zeros around volumes; see `ZeroPadding2D`.

    Shapes: `[batch, depth, height, width, channels]` in (`channels_first`: channels second), the
    same with larger spatial axes out.

    >>> from kgraph.layers import Input
    >>> ZeroPadding3D(1)(Input((8, 8, 8, 3))).shape
    (None, 10, 10, 10, 3)
    """

    rank = 3

    def __init__(
        self,
        padding: Pads = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(padding, data_format, options)
