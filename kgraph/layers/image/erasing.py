"""Random erasing of a rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import is_number
from kgraph.errors import ConfigError
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.boxes import inside, random_span
from kgraph.layers.image.color import RangedColorLayer
from kgraph.layers.image.factors import Factor, chance, factor_range
from kgraph.types import Array


class RandomErasing(RangedColorLayer):
    """Fills a rectangle of some images with a colour or with noise in training.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        factor: probability of erasing, itself drawn for each image: a number `f` draws from 0 to
            `f`, a pair from its range.
        scale: range of which the squares of the sides are drawn, each as a share of the whole side.
        fill_value: a number, or one for each of three channels; by default normal noise times the
            value of white.
        value_range: the values of black and white; the filling is cut off there.
        seed: a number decides the draws in the place of the layer's path.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: an option is out of range.

    Source: Zhong et al., "Random Erasing Data Augmentation", arXiv:1708.04896.

    >>> import numpy as np
    >>> erasing = RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=7.0)
    >>> out = erasing(np.zeros((1, 8, 8, 1), "float32"), training=True)
    >>> int((out == 7.0).sum())  # half of both sides
    16
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = (0.02, 0.33),
        fill_value: float | Sequence[float] | None = None,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, seed, data_format=data_format, **options)
        self.factor = factor_range("RandomErasing", "factor", factor, 0.0)
        self.scale = factor_range("RandomErasing", "scale", scale, 0.0)
        self.fill_value = None if fill_value is None else _fill_values(fill_value)
        self.channels = (3,) if self.fill_value is not None and len(self.fill_value) == 3 else ()

    def draw(self, key: Array, size: tuple[int, ...]) -> Any:
        keys = jax.random.split(key, 5)
        sides = jnp.sqrt(jax.random.uniform(keys[0], (2,), jnp.float32, *self.scale))
        spans = tuple(random_span(keys[i + 1], size[i], sides[i]) for i in range(2))
        return {"chosen": chance(keys[3], self.factor), "spans": spans, "noise": keys[4]}

    def recolor(self, image: Array, drawn: Any) -> Array:
        if self.fill_value is None:
            filling = jax.random.normal(drawn["noise"], image.shape, image.dtype)
            filling = filling * self.value_range[1]
        else:
            filling = jnp.broadcast_to(jnp.asarray(self.fill_value, image.dtype), image.shape)
        erased = drawn["chosen"] & inside(drawn["spans"], image.shape[:2])
        return jnp.where(erased[:, :, None], self.clipped(filling), image)


def _fill_values(value: object) -> tuple[float, ...]:
    values: tuple[Any, ...] = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    numbers = all(map(is_number, values))
    if len(values) not in (1, 3) or not numbers:
        raise ConfigError(
            "RandomErasing cannot have this value of `fill_value`",
            expected="a number, one for each of three channels, or None for noise",
            received=repr(value),
        )
    return tuple(float(v) for v in values)
