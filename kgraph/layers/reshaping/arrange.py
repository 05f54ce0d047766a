"""Layers that put the same values into another shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import jax.numpy as jnp

from kgraph.checks import check_count
from kgraph.config import image_data_format
from kgraph.errors import ConfigError, GraphError, check_choice
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array


class Flatten(Layer):
    """Joins all axes but the batch into one.

    Shapes: `[batch, *sizes]` in, `[batch, product of sizes]` out.

    Args:
        data_format: `"channels_first"` puts the channels last before joining; by default
            `image_data_format()`.

    >>> from kgraph.layers import Input
    >>> Flatten()(Input((4, 5))).shape
    (None, 20)
    """

    input_spec = InputSpec(min_ndim=1)

    def __init__(self, data_format: str | None = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = data_format or image_data_format()
        check_choice(
            "Flatten", "data_format", self.data_format, ("channels_last", "channels_first")
        )

    def call(self, inputs: Array) -> Array:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = jnp.moveaxis(inputs, 1, -1)
        return jnp.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))


class Reshape(Layer):
    """Gives the axes after the batch other sizes, in the same order of values.

    Shapes: `[batch, *sizes]` in, `[batch, *target_shape]` out.

    Args:
        target_shape: sizes without the batch; one may be -1 (or None) and follows from the others.

    Raises:
        ConfigError: `target_shape` is no shape.
        GraphError: on a call, if the number of values differs.

    >>> from kgraph.layers import Input
    >>> Reshape((-1, 2))(Input((4, 3))).shape
    (None, 6, 2)
    """

    _kgraph_never_builds = True
    input_spec = InputSpec(min_ndim=1)

    def __init__(self, target_shape: Sequence[int | None], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        sizes = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        sizes = tuple(-1 if size is None else size for size in sizes)
        if not all(isinstance(d, int) and d >= -1 for d in sizes) or sizes.count(-1) > 1:
            raise ConfigError(
                "Reshape has a `target_shape` that is no shape",
                expected="whole numbers, of which one may be -1",
                received=repr(target_shape),
            )
        self.target_shape = sizes

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        shape = getattr(args[0] if args else kwargs.get("inputs"), "shape", (None,))[1:]
        if not all(isinstance(size, int) for size in shape):
            return
        have, want = math.prod(shape), math.prod(d for d in self.target_shape if d != -1)
        free = -1 in self.target_shape
        fits = have % want == 0 if free and want else have == want
        if not fits:
            raise GraphError(
                f"{label_of(self)} cannot keep the number of values",
                expected=f"{'a multiple of ' * free}{want} values in each sample, "
                f"for target_shape={self.target_shape}",
                received=f"{have} values, from sizes {tuple(shape)}",
            )

    def call(self, inputs: Array) -> Array:
        sizes = self.target_shape
        if -1 in sizes:
            rest = math.prod(d for d in sizes if d != -1)
            free = math.prod(inputs.shape[1:]) // max(rest, 1)
            sizes = tuple(free if d == -1 else d for d in sizes)
        return jnp.reshape(inputs, (inputs.shape[0], *sizes))


class Permute(Layer):
    """Puts the axes after the batch into another order.

    Shapes: `[batch, *sizes]` in, `[batch, *sizes in the new order]` out.

    Args:
        dims: the axes in their new order, counted from 1 (the batch is 0 and stays).

    Raises:
        ConfigError: `dims` does not name each axis from 1 once.

    >>> from kgraph.layers import Input
    >>> Permute((2, 1))(Input((4, 5))).shape
    (None, 5, 4)
    """

    def __init__(self, dims: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ConfigError(
                "Permute needs each axis once",
                expected=f"an order of {tuple(range(1, len(self.dims) + 1))}",
                received=repr(dims),
                hint="axes are counted from 1, since the batch (axis 0) stays first",
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Array) -> Array:
        return jnp.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Repeats a vector as the steps of a sequence.

    Shapes: `[batch, features]` in, `[batch, n, features]` out.

    Args:
        n: number of steps.

    Raises:
        ConfigError: `n` is not a positive whole number.

    >>> from kgraph.layers import Input
    >>> RepeatVector(3)(Input((4,))).shape
    (None, 3, 4)
    """

    input_spec = InputSpec(ndim=2)

    def __init__(self, n: int, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.n = check_count("RepeatVector", "n", n)

    def call(self, inputs: Array) -> Array:
        batch, features = inputs.shape
        return jnp.broadcast_to(inputs[:, None, :], (batch, self.n, features))
