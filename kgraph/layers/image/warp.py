"""Layers that move pixels: each output pixel reads the input at a place of its own."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from kgraph.errors import check_choice
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.base import RandomImageLayer
from kgraph.types import Array

_ORDERS = {"nearest": 0, "bilinear": 1}
FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class RandomWarp(RandomImageLayer):
    """Base of layers that move the pixels of each image by draws of its own, in training.

    A subclass writes `draw` and `source`. Segmentation masks move with their images, by
    `"nearest"`.

    Shapes: `[batch, height, width, channels]` or one image (`channels_first`: channels before
    height), the same out. Dtype: places are float32 numbers, and values in between are float32 at
    least; the result has the compute dtype (integers become floats).

    Args:
        fill_mode: what is read outside of the image: `"reflect"` (`d c b a | a b c d | d c b a`),
            `"wrap"` (`a b c d | a b c d | a b c d`), `"nearest"` (`a a a a | a b c d | d d d d`)
            or `"constant"`.
        interpolation: `"bilinear"` or `"nearest"`.
        seed: a number decides the draws in the place of the layer's path.
        fill_value: what `"constant"` reads.
        data_format: by default `image_data_format()`.
        also: further fill modes that the layer has.
    """

    def __init__(
        self,
        fill_mode: str,
        interpolation: str,
        seed: int | None,
        fill_value: float,
        data_format: str | None,
        also: tuple[str, ...] = (),
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(seed, data_format, **options)
        check_choice(type(self).__name__, "fill_mode", fill_mode, FILL_MODES + also)
        check_choice(type(self).__name__, "interpolation", interpolation, _ORDERS)
        self.fill_mode, self.interpolation = fill_mode, interpolation
        self.fill_value = fill_value

    def source(self, x: Array, y: Array, drawn: Any) -> tuple[Array, Array]:
        """Returns where the pixels at columns `x` and rows `y` of the result read the image."""
        return x, y

    def transform(self, image: Array, drawn: Any) -> Array:
        return self.warp(image, drawn, self.interpolation)

    def transform_mask(self, mask: Array, drawn: Any) -> Array:
        return self.warp(mask, drawn, "nearest")

    def warp(self, image: Array, drawn: Any, interpolation: str) -> Array:
        """Returns `[height, width, channels]` read at the places that `source` says."""
        height, width = image.shape[:2]
        steps = jnp.arange(height, dtype=jnp.float32), jnp.arange(width, dtype=jnp.float32)
        y, x = jnp.meshgrid(*steps, indexing="ij")
        x, y = self.source(x, y, drawn)
        return read_at(image, x, y, interpolation, self.fill_mode, self.fill_value)


def read_at(
    image: Array, x: Array, y: Array, interpolation: str, fill_mode: str, fill_value: float
) -> Array:
    """Returns `[height, width, channels]` read at columns `x` and rows `y`, in its dtype."""
    check_choice("read_at", "interpolation", interpolation, _ORDERS)
    wide = jnp.float64 if image.dtype == jnp.float64 else jnp.float32
    read = partial(
        map_coordinates,
        coordinates=[y.astype(wide), x.astype(wide)],
        order=_ORDERS[interpolation],
        mode=fill_mode,
        cval=fill_value,
    )
    moved = jax.vmap(read, in_axes=-1, out_axes=-1)(image.astype(wide))
    return moved.astype(image.dtype)


def middle(size: tuple[int, ...]) -> tuple[Array, Array]:
    """Returns column and row of the middle of an image of this height and width."""
    height, width = (jnp.asarray(length - 1, jnp.float32) for length in size)
    return width / 2, height / 2
