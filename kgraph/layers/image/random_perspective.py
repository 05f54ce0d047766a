"""RandomPerspective: images seen from another side."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_rate
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.factors import Factor, chance, factor_range
from kgraph.layers.image.warp import RandomWarp
from kgraph.types import Array

Drawn = tuple[Array, Array]
"""Whether to change the image, and its corners `[4, 2]` (x, y) after the change."""


class RandomPerspective(RandomWarp):
    """Moves the corners of images and everything between them in perspective, in training.

    The corners' coordinates are multiplied by draws, so those that are 0 stay.

    Shapes and dtype: see `RandomWarp`.

    Args:
        factor: probability with which an image is changed, or a range of them, from 0 to 1; one
            number `f` stands for 0 to `f`.
        scale: from 0 to 1: corners are moved by up to half of this share of their coordinates.
        interpolation, fill_value, seed, data_format: see `RandomWarp`; the fill mode is
            `"constant"`.

    Raises:
        ConfigError: an option has another value.

    >>> import numpy as np
    >>> RandomPerspective(scale=0.3)(np.zeros((2, 8, 8, 3)), training=True).shape
    (2, 8, 8, 3)

    Source: Hartley and Zisserman, "Multiple View Geometry", section 4.1: each pair of points gives
    two linear equations for the eight entries of the homography.
    """

    def __init__(
        self,
        factor: Factor = 1.0,
        scale: float = 1.0,
        interpolation: str = "bilinear",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__("constant", interpolation, seed, fill_value, data_format, **options)
        self.factor = factor_range("RandomPerspective", "factor", factor, lowest=0.0)
        check_rate("RandomPerspective", "scale", scale)
        self.scale = float(scale)

    def draw(self, key: Array, size: tuple[int, ...]) -> Drawn:
        """Returns whether to change the image, and the new corners."""
        for_chance, for_corners = jax.random.split(key)
        moves = jax.random.uniform(
            for_corners, (4, 2), jnp.float32, -0.5 * self.scale, 0.5 * self.scale
        )
        return chance(for_chance, self.factor), _corners(size) * (1 + moves)

    def source(self, x: Array, y: Array, drawn: Drawn) -> tuple[Array, Array]:
        a, b, c, d, e, f, g, h = homography(drawn[1], _corners(x.shape))
        depth = g * x + h * y + 1
        changed = drawn[0]
        return (
            jnp.where(changed, (a * x + b * y + c) / depth, x),
            jnp.where(changed, (d * x + e * y + f) / depth, y),
        )


def _corners(size: tuple[int, ...]) -> Array:
    """Returns x and y of top left, top right, bottom left and bottom right, `[4, 2]`."""
    bottom, right = (jnp.asarray(length - 1, jnp.float32) for length in size)
    none = jnp.zeros_like(right)
    return jnp.reshape(jnp.stack([none, none, right, none, none, bottom, right, bottom]), (4, 2))


def homography(points: Array, targets: Array) -> Array:
    """Returns `a ... h` such that (x, y) goes to (ax + by + c, dx + ey + f) / (gx + hy + 1).

    Args:
        points: `[4, 2]`, no three of them on a line.
        targets: `[4, 2]`, where they go.
    """
    x, y = points[:, 0], points[:, 1]
    to_x, to_y = targets[:, 0], targets[:, 1]
    zero, one = jnp.zeros_like(x), jnp.ones_like(x)
    for_x = jnp.stack([x, y, one, zero, zero, zero, -to_x * x, -to_x * y], axis=1)
    for_y = jnp.stack([zero, zero, zero, x, y, one, -to_y * x, -to_y * y], axis=1)
    equations = jnp.concatenate([for_x, for_y])
    return jnp.linalg.solve(equations, jnp.concatenate([to_x, to_y]))
