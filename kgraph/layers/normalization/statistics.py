"""What the normalisation layers share: their axes, the dtype of statistics, scale and offset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_integer, check_not_negative
from kgraph.errors import GraphError
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.base.weight_options import add_with_options, set_options
from kgraph.types import Array, ConstraintLike, InitializerLike, RegularizerLike, Shape

Axes: TypeAlias = int | Sequence[int]


class _Normalization(Layer):
    """Base of layers that keep the shape of their input.

    Weights stay in the dtype in which they are kept and statistics are float32 at least, whatever
    the layer computes in: sums over a whole axis lose too much in a short float type.
    """

    supports_masking = True

    def __init__(self, axis: Axes, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.autocast = False
        for one in axis if isinstance(axis, (list, tuple)) else [axis]:
            check_integer(label_of(self), "axis", one)
        self.axis = axis

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the option, as a tuple."""
        return tuple(self.axis) if isinstance(self.axis, Sequence) else (self.axis,)

    def places(self, rank: int) -> tuple[int, ...]:
        """Returns the axes counted from the first, in order, for an input of this rank.

        Raises:
            GraphError: the input has no such axis.
        """
        for axis in self.axes:
            if not -rank <= axis < rank:
                raise GraphError(
                    f"{label_of(self)} normalises axis {axis}, and its input has {rank} axes",
                    expected=f"an axis from {-rank} to {rank - 1}",
                    received=f"axis={self.axis!r}",
                )
        return tuple(sorted(axis % rank for axis in self.axes))

    def fix_sizes(self, input_shape: Shape) -> tuple[int, ...]:
        """Returns the sizes of the axes; the layer takes no others from now on.

        Raises:
            GraphError: one is unknown.
        """
        sizes = tuple(input_shape[axis] for axis in self.places(len(input_shape)))
        known = tuple(size for size in sizes if size is not None)
        if len(known) < len(sizes):
            raise GraphError(
                f"{label_of(self)} needs to know the size of axis {self.axis!r} of its input",
                received=f"shape {input_shape}",
                hint="give it in Input, or normalise another axis",
            )
        axes = {axis: input_shape[axis] for axis in self.axes}
        self.input_spec = InputSpec(min_ndim=len(set(axes)), axes=axes)
        return known

    def widen(self, inputs: Array) -> Array:
        """Returns the inputs in the dtype of the statistics."""
        return inputs.astype(wide_dtype(inputs.dtype, self.compute_dtype))

    def narrow(self, outputs: Array) -> Array:
        """Returns the outputs in the dtype in which the layer computes."""
        return outputs.astype(self.compute_dtype)


class _ScaledNormalization(_Normalization):
    """Base of layers with a scale `gamma` and an offset `beta`, each of them optional."""

    gamma: Array | None = None
    beta: Array | None = None

    def __init__(
        self,
        axis: Axes,
        epsilon: float,
        center: bool,
        scale: bool,
        beta_initializer: InitializerLike,
        gamma_initializer: InitializerLike,
        beta_regularizer: RegularizerLike | None,
        gamma_regularizer: RegularizerLike | None,
        beta_constraint: ConstraintLike | None,
        gamma_constraint: ConstraintLike | None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(axis, **options)
        check_not_negative(label_of(self), "epsilon", epsilon)
        self.epsilon = epsilon
        self.center, self.scale = center, scale
        set_options(self, "beta", beta_initializer, beta_regularizer, beta_constraint)
        set_options(self, "gamma", gamma_initializer, gamma_regularizer, gamma_constraint)

    def declare_scale_and_offset(self, sizes: Sequence[int]) -> None:
        """Declares `gamma` and `beta`, as far as the layer has them."""
        if self.scale:
            self.gamma = add_with_options(self, "gamma", sizes)
        if self.center:
            self.beta = add_with_options(self, "beta", sizes)

    def rescale(self, normalised: Array, places: Sequence[int]) -> Array:
        """Returns `normalised * gamma + beta`, the weights lying along `places`."""
        outputs = normalised
        if self.gamma is not None:
            outputs = outputs * along(self.gamma.astype(outputs.dtype), places, outputs.ndim)
        if self.beta is not None:
            outputs = outputs + along(self.beta.astype(outputs.dtype), places, outputs.ndim)
        return outputs


def wide_dtype(*dtypes: Any) -> Any:
    """Returns float64 if one of the dtypes is that, else float32."""
    return jnp.float64 if any(jnp.dtype(d) == jnp.float64 for d in dtypes) else jnp.float32


def normalise(values: Array, axes: Sequence[int], epsilon: float) -> Array:
    """Returns the values with mean 0 and variance 1 over `axes`.

    The variance is that of the centred values: the mean of squares less the squared mean would lose
    all digits where the mean is large.
    """
    centred = values - jnp.mean(values, axes, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axes, keepdims=True)
    return centred * jax.lax.rsqrt(variance + epsilon)


def along(weight: Array, places: Sequence[int], rank: int) -> Array:
    """Returns a weight with axes of size 1 added: its own are then at `places` of `rank` axes."""
    if tuple(places) == tuple(range(rank)):
        return weight
    return jax.lax.expand_dims(weight, [axis for axis in range(rank) if axis not in places])


def other_axes(places: Sequence[int], rank: int) -> tuple[int, ...]:
    """Returns the axes of a rank that are not among `places`."""
    return tuple(axis for axis in range(rank) if axis not in places)
