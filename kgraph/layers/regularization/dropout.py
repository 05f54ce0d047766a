"""Dropout, of single values or of whole channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_rate, is_whole
from kgraph.config import image_data_format
from kgraph.errors import ConfigError, check_choice
from kgraph.graph.traits import Traits
from kgraph.layers.base import InputSpec, Layer
from kgraph.layers.base.core import label_of, next_key
from kgraph.layers.base.options import LayerOptions
from kgraph.types import Array, PolicyLike


class Dropout(Layer, traits=Traits(idle_at_inference=True)):
    """Sets values to 0 at random in training and scales the rest, so that the mean stays.

    Shapes: any; the same out.

    Args:
        rate: share of values that are dropped.
        noise_shape: shape of the draws, 1 where an axis shares one and None for the input's size.
        seed: a number decides the draws in the place of the layer's path; every step still
            draws anew.

    Raises:
        ConfigError: `rate` is not between 0 and 1, or `noise_shape` is no shape.

    Source: Srivastava et al., JMLR 15 (2014).

    >>> import numpy as np
    >>> kept = Dropout(0.5)(np.ones((8, 8), "float32"), training=True)
    >>> sorted(set(kept.ravel().tolist()))
    [0.0, 2.0]
    """

    _kgraph_never_builds = True
    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        check_rate(type(self).__name__, "rate", rate)
        self.rate, self.seed = rate, seed
        self.noise_shape = None if noise_shape is None else _noise_shape(noise_shape)

    def call(self, inputs: Array, training: bool | None = None) -> Array:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return jnp.zeros_like(inputs)
        kept = jax.random.bernoulli(next_key(self), 1 - self.rate, self.draws_shape(inputs))
        return jnp.where(kept, inputs / (1 - self.rate), 0)

    def draws_shape(self, inputs: Array) -> tuple[Any, ...]:
        """Returns the shape of the draws for this input."""
        if self.noise_shape is None:
            return inputs.shape
        return tuple(
            size if own is None else own for own, size in zip(self.noise_shape, inputs.shape)
        )

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        shape = getattr(args[0] if args else kwargs.get("inputs"), "shape", None)
        if self.noise_shape is None or shape is None:
            return
        fits = [own in (None, 1, size) for own, size in zip(self.noise_shape, shape)]
        if len(shape) != len(self.noise_shape) or not all(fits):
            raise ConfigError(
                f"{label_of(self)} has a `noise_shape` that does not fit its input",
                expected=f"{len(shape)} sizes, each 1, None or the input's",
                received=f"noise_shape={self.noise_shape} for an input of shape {tuple(shape)}",
            )


def _noise_shape(sizes: Any) -> tuple[int | None, ...]:
    found = () if isinstance(sizes, (str, int)) else tuple(sizes)
    if not found or not all(d is None or is_whole(d, least=1) for d in found):
        raise ConfigError(
            "Dropout has a `noise_shape` that is no shape",
            expected="positive whole numbers, or None for sizes of the input",
            received=repr(sizes),
        )
    return found


class SpatialDropout1D(Dropout):
    """Drops whole features of sequences, all steps at once.

    Shapes: `[batch, steps, features]` in, the same out.

    Args:
        rate: share of features that are dropped.
        seed: see `Dropout`.

    >>> from kgraph.layers import Input
    >>> SpatialDropout1D(0.5)(Input((10, 3))).shape
    (None, 10, 3)
    """

    input_spec = InputSpec(ndim=3)

    def __init__(
        self,
        rate: float,
        seed: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = "channels_last"

    def draws_shape(self, inputs: Array) -> tuple[Any, ...]:
        ones = (1,) * (inputs.ndim - 2)
        if self.data_format == "channels_first":
            return (*inputs.shape[:2], *ones)
        return (inputs.shape[0], *ones, inputs.shape[-1])


class SpatialDropout2D(SpatialDropout1D):
    """Drops whole channels of images.

    Shapes: `[batch, height, width, channels]` in (`channels_first`: channels second), the same out.

    Args:
        rate: share of channels that are dropped.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.
        seed: see `Dropout`.

    >>> from kgraph.layers import Input
    >>> SpatialDropout2D(0.5)(Input((8, 8, 3))).shape
    (None, 8, 8, 3)
    """

    input_spec = InputSpec(ndim=4)

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: PolicyLike | None = None,
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = data_format or image_data_format()
        known = ("channels_last", "channels_first")
        check_choice(type(self).__name__, "data_format", self.data_format, known)


class SpatialDropout3D(SpatialDropout2D):
    """Drops whole channels of volumes; see `SpatialDropout2D`.

    Shapes: `[batch, depth, height, width, channels]` in (`channels_first`: channels second), the
    same out.

    >>> from kgraph.layers import Input
    >>> SpatialDropout3D(0.5)(Input((4, 4, 4, 3))).shape
    (None, 4, 4, 4, 3)
    """

    input_spec = InputSpec(ndim=5)
