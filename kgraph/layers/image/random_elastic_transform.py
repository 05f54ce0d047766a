"""RandomElasticTransform: images on a sheet of rubber."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.factors import Factor, chance, factor_range, uniform
from kgraph.layers.image.warp import RandomWarp
from kgraph.types import Array


class Drawn(NamedTuple):
    """Whether to change the image, how much, and noise `[2, height, width]`."""

    changed: Array
    strength: Array
    noise: Array


class RandomElasticTransform(RandomWarp):
    """Moves each pixel by smooth noise of its own, in training.

    With a strength `s`, normal noise of deviation `0.05 s min(height, width)` is smoothed by a
    Gaussian of the same deviation and multiplied by `0.1 s max(height, width)`.

    Shapes and dtype: see `RandomWarp`.

    Args:
        factor: probability with which an image is changed, or a range of them, from 0 to 1; one
            number `f` stands for 0 to `f`.
        scale: the strength, or a range of it, from 0 to 1; one number `f` stands for 0 to `f`.
        interpolation, fill_mode, fill_value, seed, data_format: see `RandomWarp`; the fill mode may
            be `"mirror"` too (`d c b | a b c d | c b a`).
        value_range: all values are brought into it in training.

    Raises:
        ConfigError: an option has another value.

    >>> import numpy as np
    >>> RandomElasticTransform(scale=0.3)(np.zeros((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)

    Source: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied
    to Visual Document Analysis", 2003, section 2.
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: Factor = 1.0,
        interpolation: str = "bilinear",
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            fill_mode, interpolation, seed, fill_value, data_format, ("mirror",), **options
        )
        self.factor = factor_range("RandomElasticTransform", "factor", factor, lowest=0.0)
        self.scale = factor_range("RandomElasticTransform", "scale", scale, lowest=0.0)
        self.value_range = value_range

    def draw(self, key: Array, size: tuple[int, ...]) -> Drawn:
        """Returns whether to change the image, how much, and the noise for x and for y."""
        for_chance, for_strength, for_noise = jax.random.split(key, 3)
        return Drawn(
            chance(for_chance, self.factor),
            uniform(for_strength, self.scale),
            jax.random.normal(for_noise, (2, *size), jnp.float32),
        )

    def source(self, x: Array, y: Array, drawn: Drawn) -> tuple[Array, Array]:
        height, width = (jnp.asarray(length, jnp.float32) for length in x.shape)
        deviation = 0.05 * drawn.strength * jnp.minimum(height, width)
        amount = 0.1 * drawn.strength * jnp.maximum(height, width)
        moves = amount * smooth(drawn.noise * deviation, deviation)
        moves = jnp.where(drawn.changed, moves, 0)
        return x + moves[0], y + moves[1]

    def transform(self, image: Array, drawn: Drawn) -> Array:
        if self.factor[1] == 0 or self.scale[1] == 0:
            return image
        return jnp.clip(super().transform(image, drawn), *self.value_range)


def smooth(fields: Array, deviation: Array) -> Array:
    """Returns fields `[n, height, width]` blurred by a Gaussian, with zeros around them.

    The kernel ends at three deviations. As the deviation is traced, so is the kernel's size: the
    blur is a product with a band matrix for each axis, whose bands are the kernel.
    """
    rows, columns = (_band(length, deviation) for length in fields.shape[1:])
    return jnp.einsum("ij,njk,kl->nil", rows, fields, columns, precision="highest")


def _band(length: Any, deviation: Array) -> Array:
    """Returns the symmetric matrix that blurs an axis of this length."""
    reach = jnp.floor(jnp.floor(6 * deviation) / 2)
    places = jnp.arange(length, dtype=jnp.float32)
    spread = jnp.maximum(deviation, jnp.finfo(jnp.float32).tiny)

    def weight(distance: Array) -> Array:
        inside = jnp.abs(distance) <= reach
        return jnp.where(inside, jnp.exp(-0.5 * (distance / spread) ** 2), 0)

    half = weight(places)
    return weight(places[:, None] - places[None, :]) / (2 * jnp.sum(half) - half[0])
