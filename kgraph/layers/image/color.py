"""What layers that change colours share: the range of values, and arithmetic wide enough for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import is_number
from kgraph.errors import ConfigError, GraphError
from kgraph.layers.base.core import label_of
from kgraph.layers.image.base import ImageOptions, RandomImageLayer
from kgraph.types import Array

Range = tuple[float, float]
"""The values of black and white."""

UNIT: Range = (0.0, 1.0)
BYTES: Range = (0.0, 255.0)


def value_limits(owner: str, value: object) -> Range:
    """Returns the ends of an option `value_range`, sorted.

    Raises:
        ConfigError: it is not a pair of two different numbers.
    """
    pair = tuple(value) if isinstance(value, (list, tuple)) else ()
    numbers = all(map(is_number, pair))
    if len(pair) != 2 or not numbers or pair[0] == pair[1]:
        raise ConfigError(
            f"{owner} cannot have this value of `value_range`",
            expected="a pair of numbers, the values of black and white: (0, 255) or (0, 1)",
            received=repr(value),
        )
    return float(min(pair)), float(max(pair))


def rescaled(images: Array, given: Range, wanted: Range) -> Array:
    """Returns images with values of one range in another."""
    scale = (wanted[1] - wanted[0]) / (given[1] - given[0])
    offset = wanted[0] - given[0] * scale
    return images if (scale, offset) == (1.0, 0.0) else images * scale + offset


def widened(image: Array) -> Array:
    """Returns an image in float32, or float64 if it has that: short floats lose levels of 255."""
    return image if image.dtype == jnp.float64 else image.astype(jnp.float32)


def check_channels(layer: Any, images: Any, known: tuple[int, ...]) -> None:
    """Raises GraphError unless images have one of the `known` numbers of channels."""
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) not in (3, 4) or not known:
        return
    first = layer.data_format == "channels_first"
    channels = shape[-3 if first else -1]
    if isinstance(channels, int) and channels not in known:
        other = shape[-1 if first else -3]
        layout = "channels_last" if first else "channels_first"
        raise GraphError(
            f"{label_of(layer)} cannot take images with {channels} channels",
            expected=" or ".join(map(str, known)),
            received=f"shape {shape} with data_format={layer.data_format!r}",
            hint=f"pass data_format={layout!r}" if other in known else None,
        )


class RandomColorLayer(RandomImageLayer):
    """Base of layers that change the values of each image at random, and no places.

    A subclass writes `draw` and `recolor`, which sees one image with channels last, at least in
    float32, and numbers drawn in the same dtype.

    Attributes:
        channels: the numbers of channels that images may have; empty for any.
    """

    channels: tuple[int, ...] = ()

    def recolor(self, image: Array, drawn: Any) -> Array:
        """Returns one image, `[height, width, channels]`, changed by what `draw` returned."""
        raise ConfigError(
            f"{type(self).__name__} does not say what it does to colours",
            hint="define recolor(self, image, drawn)",
        )

    def transform(self, image: Array, drawn: Any) -> Array:
        wide = widened(image)

        def cast(number: Array) -> Array:
            floating = jnp.issubdtype(number.dtype, jnp.floating)
            return number.astype(wide.dtype) if floating else number

        return self.recolor(wide, jax.tree.map(cast, drawn)).astype(image.dtype)

    def _kgraph_check_call(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        super()._kgraph_check_call(args, kwargs)
        given = args[0] if args else kwargs.get("inputs")
        images = given["images"] if isinstance(given, Mapping) else given
        check_channels(self, images, self.channels)


class RangedColorLayer(RandomColorLayer):
    """Base of those that know the values of black and white.

    Args:
        value_range: the values of black and white.
        seed, data_format: see `RandomImageLayer`.
    """

    def __init__(
        self, value_range: Sequence[float], seed: int | None = None, **options: Unpack[ImageOptions]
    ) -> None:
        super().__init__(seed, **options)
        self.value_range = value_limits(type(self).__name__, value_range)

    def clipped(self, image: Array) -> Array:
        """Returns an image without values beyond black and white."""
        return jnp.clip(image, *self.value_range)
