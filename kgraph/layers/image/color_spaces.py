"""Images in grey, and in hue, saturation and value."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from kgraph.types import Array

_LUMINANCE = np.array([0.2989, 0.5870, 0.1140])


def gray(image: Array) -> Array:
    """Returns the luminance, `[..., 1]`, of an image `[..., channels]` in RGB or in grey.

    Source: ITU-R BT.601, weights of red, green and blue.
    """
    if image.shape[-1] == 1:
        return image
    return jnp.matmul(image, jnp.asarray(_LUMINANCE[:, None], image.dtype))


def rgb_to_hsv(image: Array) -> tuple[Array, Array, Array]:
    """Returns hue (0 to 1), saturation (0 to 1) and value of an RGB image, without its last axis.

    Source: Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value, least = jnp.max(image, -1), jnp.min(image, -1)
    span = value - least
    safe = jnp.where(span > 0, span, 1)
    sector = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    saturation = jnp.where(value > 0, span / jnp.where(value > 0, value, 1), 0)
    return jnp.where(span > 0, sector / 6 % 1, 0), saturation, value


def hsv_to_rgb(hue: Array, saturation: Array, value: Array) -> Array:
    """Returns the RGB image, `[..., 3]`; a hue beyond 0 to 1 goes round the circle.

    Source: the same; the form with one formula for all three channels.
    """

    def channel(start: int) -> Array:
        sector = (hue * 6 + start) % 6
        distance = jnp.clip(jnp.minimum(sector, 4 - sector), 0, 1)
        return value - value * saturation * distance

    return jnp.stack([channel(5), channel(3), channel(1)], axis=-1)
