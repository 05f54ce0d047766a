"""Dot: sums of products along one axis of each of two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import jax
import jax.numpy as jnp

from kgraph.config import epsilon
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base import Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.merging.inputs import check_list, equal, mismatch, sizes
from kgraph.types import Array, ArrayLike


class Dot(Layer):
    """Multiplies two inputs, sample by sample, and sums over one axis of each.

    Shapes: `[batch, *a, n, *b]` and `[batch, *c, n, *d]` in, `[batch, *a, *b, *c, *d]` out, or
    `[batch, 1]` where nothing is left.

    Args:
        axes: the axis of both inputs, or a pair with one for each; not the batch. Negative axes
            count from the end.
        normalize: whether vectors along these axes are scaled to length 1 first, which makes the
            result their cosine.

    Raises:
        ConfigError: `axes` is no axis and no pair of them, or is the batch.
        GraphError: on a call, if sizes differ.

    >>> from kgraph.layers import Input
    >>> Dot(axes=-1)([Input((5, 3)), Input((4, 3))]).shape
    (None, 5, 4)
    """

    exact: ClassVar[bool] = True
    supports_masking = True

    def __init__(
        self, axes: int | Sequence[int], normalize: bool = False, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        both = (axes, axes) if isinstance(axes, int) else tuple(axes)
        if len(both) != 2 or not all(isinstance(axis, int) and axis != 0 for axis in both):
            raise ConfigError(
                "Dot cannot have this value of `axes`",
                expected="an axis, or one for each of the two inputs; not 0, the batch",
                received=repr(axes),
            )
        self.axes, self.normalize = both, normalize

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        tensors = check_list(self, args[0] if args else kwargs.get("inputs"), 2, 2)
        shapes = [sizes(tensor) for tensor in tensors]
        for i, (axis, shape) in enumerate(zip(self.axes, shapes)):
            if not -len(shape) < axis < len(shape):
                raise GraphError(
                    f"{label_of(self)} sums over axis {axis} of input {i}, which it does not have",
                    expected="at least a batch axis and that axis",
                    received=f"{len(shape)} axes",
                )
        summed = [shape[axis] for axis, shape in zip(self.axes, shapes)]
        if not equal(*summed):
            raise mismatch(self, tensors, self.axes[0], summed)
        if not equal(shapes[0][0], shapes[1][0]):
            raise mismatch(self, tensors, 0, [shapes[0][0], shapes[1][0]])

    def call(self, inputs: Sequence[Array]) -> Array:
        one, two = inputs
        first, second = self.axes[0] % one.ndim, self.axes[1] % two.ndim
        if self.normalize:
            one, two = _unit(one, first), _unit(two, second)
        numbers = (((first,), (second,)), ((0,), (0,)))
        product = jax.lax.dot_general(one, two, numbers)
        return product[:, None] if product.ndim == 1 else product

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None


def _unit(vectors: Array, axis: int) -> Array:
    squares = jnp.sum(jnp.square(vectors), axis, keepdims=True)
    return vectors * jax.lax.rsqrt(jnp.maximum(squares, epsilon() ** 2))


def dot(
    inputs: Sequence[ArrayLike], axes: int | Sequence[int] = -1, **options: Unpack[LayerOptions]
) -> Any:
    """Returns sums of products of two tensors; see `Dot`.

    >>> from kgraph.layers import Input
    >>> dot([Input((3,)), Input((3,))], axes=-1).shape
    (None, 1)
    """
    return Dot(axes, **options)(inputs)
