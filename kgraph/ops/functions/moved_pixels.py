"""Images read at other places: turned, bent, seen from another side."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax.scipy import ndimage

from kgraph.errors import ConfigError, check_choice
from kgraph.layers.image.random_elastic_transform import smooth
from kgraph.layers.image.random_perspective import homography
from kgraph.layers.image.warp import FILL_MODES, read_at
from kgraph.ops.functions.frames import height_axis
from kgraph.random import draw_key
from kgraph.types import Array

if TYPE_CHECKING:
    from kgraph.random.seeds import SeedGenerator


__all__ = ["affine_transform", "elastic_transform", "map_coordinates", "perspective_transform"]


def affine_transform(
    images: Array,
    transform: Array,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Array:
    """Returns images whose pixel (x, y) reads the input at
    `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)` with `k = c0 x + c1 y + 1`.

    Args:
        images: one image or a batch.
        transform: `[a0, a1, a2, b0, b1, b2, c0, c1]`, or one for each image.
        interpolation: `"bilinear"` or `"nearest"`.
        fill_mode: what is read outside: `"constant"`, `"nearest"`, `"wrap"`, `"mirror"` or
            `"reflect"`.
        fill_value: what `"constant"` reads.
        data_format: by default `image_data_format()`.
    """
    check_choice("affine_transform", "fill_mode", fill_mode, (*FILL_MODES, "mirror"))

    def change(image: Array, numbers: Array) -> Array:
        x, y = _pixels(image)
        return read_at(image, *_moved(x, y, numbers), interpolation, fill_mode, fill_value)

    return _each("affine_transform", change, images, transform, 1, data_format)


def perspective_transform(
    images: Array,
    start_points: Array,
    end_points: Array,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Array:
    """Returns images in which four points (x, y) have moved from `start_points` to `end_points`.

    Shapes: points `[4, 2]`, or `[batch, 4, 2]`.
    """

    def change(image: Array, points: Array) -> Array:
        x, y = _pixels(image)
        moved = _moved(x, y, homography(points[1], points[0]))
        return read_at(image, *moved, interpolation, "constant", fill_value)

    starts, ends = (jnp.asarray(points, jnp.float32) for points in (start_points, end_points))
    points = jnp.stack([starts, ends], axis=-3)
    return _each("perspective_transform", change, images, points, 3, data_format)


def elastic_transform(
    images: Array,
    alpha: float = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: int | SeedGenerator | None = None,
    data_format: str | None = None,
) -> Array:
    """Returns images whose pixels have moved by smooth noise.

    The noise, normal with deviation `sigma`, is blurred by a Gaussian of the same deviation and
    multiplied by `alpha`. It differs from Keras': other draws, independent in both directions.

    Args:
        images: one image or a batch.
        alpha, sigma: as above, in pixels.
        interpolation, fill_mode, fill_value, data_format: as in `affine_transform`.
        seed: as in `kgraph.random`. On symbolic tensors a number, and each call draws the same;
            `kgraph.layers.RandomElasticTransform` draws anew.
    """
    check_choice("elastic_transform", "fill_mode", fill_mode, (*FILL_MODES, "mirror"))

    def change(image: Array, key: Array) -> Array:
        x, y = _pixels(image)
        noise = jax.random.normal(key, (2, *image.shape[:2]), jnp.float32) * sigma
        moves = alpha * smooth(noise, jnp.asarray(sigma, jnp.float32))
        return read_at(image, x + moves[0], y + moves[1], interpolation, fill_mode, fill_value)

    key = draw_key(seed)
    keys = jax.random.split(key, images.shape[0]) if images.ndim == 4 else key
    return _each("elastic_transform", change, images, keys, 0, data_format)


def map_coordinates(
    inputs: Array,
    coordinates: Array,
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Array:
    """Returns the inputs read at coordinates `[rank, ...]`, between entries by order 0 or 1."""
    modes = (*FILL_MODES, "mirror")
    check_choice("map_coordinates", "fill_mode", fill_mode, modes)
    check_choice("map_coordinates", "order", order, (0, 1))
    places = [coordinates[i] for i in range(inputs.ndim)]
    return ndimage.map_coordinates(inputs, places, order, fill_mode, fill_value)


def _each(
    name: str, change: Callable, images: Array, numbers: Any, rank: int, data_format: str | None
) -> Array:
    """Runs `change(image, numbers)` over a batch, or one image; numbers may be shared."""
    first = height_axis(name, data_format) == -2
    images = jnp.asarray(images)
    numbers = numbers if rank == 0 else jnp.asarray(numbers)
    if images.ndim not in (3, 4):
        raise ConfigError(f"ops.{name} takes one image or a batch", received=tuple(images.shape))
    turned = jnp.moveaxis(images, -3, -1) if first else images
    if images.ndim == 3:
        alone = numbers if rank == 0 or numbers.ndim == rank else numbers[0]
        changed = change(turned, alone)
    else:
        shared = rank and numbers.ndim == rank
        changed = jax.vmap(change, (0, None if shared else 0))(turned, numbers)
    return jnp.moveaxis(changed, -1, -3) if first else changed


def _pixels(image: Array) -> tuple[Array, Array]:
    """Returns columns and rows of the pixels of `[height, width, channels]`."""
    steps = (jnp.arange(n, dtype=jnp.float32) for n in image.shape[:2])
    y, x = jnp.meshgrid(*steps, indexing="ij")
    return x, y


def _moved(x: Array, y: Array, numbers: Array) -> tuple[Array, Array]:
    a, b, c, d, e, f, g, h = (numbers[i] for i in range(8))
    depth = g * x + h * y + 1
    return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth
