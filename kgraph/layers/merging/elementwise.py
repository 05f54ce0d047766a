"""Add, Subtract, Multiply, Average, Maximum, Minimum: one value out of one of each input."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, ClassVar, Unpack

import jax.numpy as jnp

from kgraph.errors import GraphError
from kgraph.layers.base import Layer
from kgraph.layers.base.context import widened
from kgraph.layers.base.core import label_of
from kgraph.layers.base.mask_check import check_mask, check_masks
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.merging.inputs import check_list, equal, mismatch, same_rank, sizes
from kgraph.types import Array, ArrayLike, Function

Masks = Sequence[Array | None]


class _Elementwise(Layer):
    """Base: brings inputs to one rank, checks that they broadcast, joins their masks by OR."""

    supports_masking = True
    exact: ClassVar[bool] = False
    least: ClassVar[int] = 1
    most: ClassVar[int | None] = None

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        inputs = args[0] if args else kwargs.get("inputs")
        tensors = check_list(self, inputs, self.least, self.most)
        if any(not sizes(tensor) for tensor in tensors):
            raise GraphError(
                f"{label_of(self)} takes tensors with a batch axis", received="a scalar"
            )
        rank = max(len(sizes(tensor)) for tensor in tensors)
        rows = [_expanded(sizes(tensor), rank) for tensor in tensors]
        for axis, found in enumerate(zip(*rows)):
            larger = [size for size in found if axis == 0 or size != 1]
            if not all(equal(larger[0], size) for size in larger[1:]):
                raise mismatch(self, tensors, axis, list(found))

    def call(self, inputs: Sequence[Array]) -> Array:
        return self.merge(same_rank(list(inputs)))

    def merge(self, tensors: list[Array]) -> Array:
        """Returns the result for inputs of equal rank; every subclass without a `call` has it."""
        raise GraphError(f"{label_of(self)} does not define merge(self, tensors)")

    def _over(self, mask: Array | None, tensor: Array) -> Array | None:
        """Returns a mask with axes of size 1 for the axes of the tensor that it does not have."""
        if mask is None:
            return None
        check_mask(self, mask, tensor.shape[: max(mask.ndim, 1)])
        return jnp.expand_dims(mask.astype(bool), range(mask.ndim, tensor.ndim))

    def compute_mask(
        self, inputs: Sequence[Array], previous_mask: Masks | None = None
    ) -> Array | None:
        masks = check_masks(self, inputs, previous_mask)
        if any(mask is None for mask in masks):
            return None
        return functools.reduce(jnp.logical_or, same_rank(masks))


def _expanded(shape: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    return (shape[0], *(1,) * (rank - len(shape)), *shape[1:])


class Add(_Elementwise):
    """Adds its inputs.

    Shapes: a list of tensors that broadcast; an input with fewer axes gets axes of size 1 after its
    batch. Mask: a step counts if it counts in any input; none if an input has none.

    Raises:
        GraphError: on a call, if the shapes do not fit.

    >>> import numpy as np
    >>> Add()([np.array([[1, 2]]), np.array([[3, 4]])]).tolist()
    [[4, 6]]
    """

    def merge(self, tensors: list[Array]) -> Array:
        return functools.reduce(operator.add, tensors)


class Subtract(_Elementwise):
    """Subtracts the second of two inputs from the first. Shapes and mask: see `Add`.

    >>> import numpy as np
    >>> Subtract()([np.array([[1, 2]]), np.array([[3, 5]])]).tolist()
    [[-2, -3]]
    """

    least = most = 2

    def merge(self, tensors: list[Array]) -> Array:
        return tensors[0] - tensors[1]


class Average(_Elementwise):
    """Returns the mean of its inputs, masked or not. Shapes and mask: see `Add`.

    >>> import numpy as np
    >>> Average()([np.array([[1.0]], "float32"), np.array([[3.0]], "float32")]).tolist()
    [[2.0]]
    """

    def merge(self, tensors: list[Array]) -> Array:
        mean = functools.reduce(operator.add, map(widened, tensors)) / len(tensors)
        dtype = jnp.result_type(*tensors)
        return mean.astype(dtype) if jnp.issubdtype(dtype, jnp.floating) else mean


class Multiply(_Elementwise):
    """Multiplies its inputs. Shapes and mask: see `Add`.

    Masked steps of an input count as 1; where all inputs are masked the result is 0.

    >>> import numpy as np
    >>> Multiply()([np.array([[1, 2]]), np.array([[3, 4]])]).tolist()
    [[3, 8]]
    """

    def call(self, inputs: Sequence[Array], mask: Masks | None = None) -> Array:
        tensors = same_rank(list(inputs))
        masks = list(mask or [None] * len(tensors))
        kept = [self._over(m, x) for m, x in zip(masks, tensors)]
        tensors = [x if m is None else jnp.where(m, x, 1) for m, x in zip(kept, tensors)]
        product = functools.reduce(operator.mul, tensors)
        known = [m for m in kept if m is not None]
        if len(known) < len(kept):
            return product
        return jnp.where(functools.reduce(jnp.logical_or, known), product, 0)


class _Extreme(_Elementwise):
    """Base of Maximum and Minimum: masked steps of an input do not take part.

    There is no neutral value, so a masked step takes the value that the inputs before it gave.
    """

    choose: ClassVar[Function]

    def call(self, inputs: Sequence[Array], mask: Masks | None = None) -> Array:
        tensors = same_rank(list(inputs))
        masks = list(mask or [None] * len(tensors))
        best, counts = tensors[0], self._over(masks[0], tensors[0])
        for tensor, own in zip(tensors[1:], masks[1:]):
            keep = self._over(own, tensor)
            tensor = tensor if keep is None else jnp.where(keep, tensor, best)
            best = best if counts is None else jnp.where(counts, best, tensor)
            counts = None if keep is None or counts is None else counts | keep
            best = type(self).choose(best, tensor)
        return best


class Maximum(_Extreme):
    """Returns the largest value of its inputs, of those that are not masked.

    Shapes and mask: see `Add`.

    >>> import numpy as np
    >>> Maximum()([np.array([[1, 4]]), np.array([[3, 2]])]).tolist()
    [[3, 4]]
    """

    choose = staticmethod(jnp.maximum)


class Minimum(_Extreme):
    """Returns the smallest value of its inputs, of those that are not masked.

    Shapes and mask: see `Add`.

    >>> import numpy as np
    >>> Minimum()([np.array([[1, 4]]), np.array([[3, 2]])]).tolist()
    [[1, 2]]
    """

    choose = staticmethod(jnp.minimum)


def add(inputs: Sequence[ArrayLike], **options: Unpack[LayerOptions]) -> Any:
    """Returns the sum of tensors; see `Add`.

    >>> from kgraph.layers import Input
    >>> add([Input((3,)), Input((3,))]).shape
    (None, 3)
    """
    return Add(**options)(inputs)


def subtract(inputs: Sequence[ArrayLike], **options: Unpack[LayerOptions]) -> Any:
    """Returns the difference of two tensors; see `Subtract`.

    >>> from kgraph.layers import Input
    >>> subtract([Input((3,)), Input((3,))]).shape
    (None, 3)
    """
    return Subtract(**options)(inputs)


def multiply(inputs: Sequence[ArrayLike], **options: Unpack[LayerOptions]) -> Any:
    """Returns the product of tensors; see `Multiply`.

    >>> from kgraph.layers import Input
    >>> multiply([Input((3,)), Input((3,))]).shape
    (None, 3)
    """
    return Multiply(**options)(inputs)


def average(inputs: Sequence[ArrayLike], **options: Unpack[LayerOptions]) -> Any:
    """Returns the mean of tensors; see `Average`.

    >>> from kgraph.layers import Input
    >>> average([Input((3,)), Input((3,))]).shape
    (None, 3)
    """
    return Average(**options)(inputs)


def maximum(inputs: Sequence[ArrayLike], **options: Unpack[LayerOptions]) -> Any:
    """Returns the largest values of tensors; see `Maximum`.

    >>> from kgraph.layers import Input
    >>> maximum([Input((3,)), Input((3,))]).shape
    (None, 3)
    """
    return Maximum(**options)(inputs)


def minimum(inputs: Sequence[ArrayLike], **options: Unpack[LayerOptions]) -> Any:
    """Returns the smallest values of tensors; see `Minimum`.

    >>> from kgraph.layers import Input
    >>> minimum([Input((3,)), Input((3,))]).shape
    (None, 3)
    """
    return Minimum(**options)(inputs)
