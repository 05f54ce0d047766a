"""ContrastLimitedAdaptiveHistogramEqualization: equalisation that differs over the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from kgraph.checks import check_count, check_not_negative
from kgraph.errors import ConfigError
from kgraph.layers.base.options import LayerOptions
from kgraph.layers.image.color import BYTES
from kgraph.layers.image.histogram import ToneLayer
from kgraph.types import Array, DTypeLike

_LEVELS = 256


class ContrastLimitedAdaptiveHistogramEqualization(ToneLayer):
    """Equalises each part of an image by the histogram of its surroundings, with limited contrast.

    Each channel is cut into tiles (mirrored at its lower and right border to fill the last ones);
    a pixel goes through the tables of the four tiles around it, weighted by nearness. Acts in
    training and inference.

    Shapes: `[batch, height, width, channels]` or one image, in either layout; the same out.
    Dtype: the compute dtype; integers become floats.

    Args:
        value_range: the values of black and white.
        clip_limit: no level counts for more than this many times its even share; 0 for no limit.
        tile_grid_size: number of tiles vertically and horizontally.
        data_format: `"channels_last"` or `"channels_first"`; by default `image_data_format()`.

    Raises:
        ConfigError: an option is out of range.

    Source: Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV, 1994;
    what is cut off is spread once over all levels.

    >>> from kgraph.layers import Input
    >>> ContrastLimitedAdaptiveHistogramEqualization()(Input((None, None, 1))).shape
    (None, None, None, 1)
    """

    def __init__(
        self,
        value_range: Sequence[float] = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: Sequence[int] = (8, 8),
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(value_range, data_format, **options)
        check_not_negative(type(self).__name__, "clip_limit", clip_limit)
        grid = tuple(tile_grid_size) if isinstance(tile_grid_size, (list, tuple)) else ()
        if len(grid) != 2:
            raise ConfigError(
                f"{type(self).__name__} cannot have this value of `tile_grid_size`",
                expected="a pair of numbers",
                received=repr(tile_grid_size),
            )
        self.clip_limit = clip_limit
        self.grid = tuple(check_count(type(self).__name__, "tile_grid_size", n) for n in grid)

    def remap(self, images: Array) -> Array:
        return self.each_plane(self._equalized, images)

    def _equalized(self, plane: Array) -> Array:
        """Returns one channel, values 0 to 255, through the tables of the tiles around a pixel."""
        levels = jnp.clip(plane.astype(jnp.int32), 0, _LEVELS - 1)
        lengths = [-(-size // count) for size, count in zip(plane.shape, self.grid)]
        rows, columns = (
            _mirrored(size, length * count)
            for size, length, count in zip(plane.shape, lengths, self.grid)
        )
        tiles = levels[rows][:, columns].reshape(self.grid[0], lengths[0], self.grid[1], lengths[1])
        tiles = tiles.swapaxes(1, 2).reshape(self.grid[0], self.grid[1], lengths[0] * lengths[1])
        tables = jax.vmap(jax.vmap(lambda tile: self._table(tile, plane.dtype)))(tiles)
        (above, below, down), (left, right, across) = (
            _neighbours(size, length, count, plane.dtype)
            for size, length, count in zip(plane.shape, lengths, self.grid)
        )
        down, across = down[:, None], across[None, :]

        def read(row: Array, column: Array) -> Array:
            return tables[row[:, None], column[None, :], levels]

        top = read(above, left) * (1 - across) + read(above, right) * across
        bottom = read(below, left) * (1 - across) + read(below, right) * across
        return top * (1 - down) + bottom * down

    def _table(self, tile: Array, dtype: DTypeLike) -> Array:
        """Returns the new value of each level, from the levels `[pixels]` of one tile."""
        counts = jnp.zeros(_LEVELS, dtype).at[tile].add(1)
        pixels = jnp.asarray(tile.shape[0]).astype(dtype)
        if self.clip_limit:
            kept = jnp.minimum(counts, self.clip_limit * pixels / _LEVELS)
            counts = kept + jnp.sum(counts - kept) / _LEVELS
        running = jnp.cumsum(counts)
        span = pixels - running[0]
        share = (running - running[0]) / jnp.where(span == 0, 1, span)
        return jnp.clip(share * 255, *BYTES)


def _mirrored(size: Any, length: Any) -> Array:
    """Returns the first `length` places in an axis that goes back and forth."""
    place = jnp.arange(length) % (2 * size)
    return jnp.minimum(place, 2 * size - 1 - place)


def _neighbours(size: Any, length: Any, count: int, dtype: DTypeLike) -> tuple[Array, Array, Array]:
    """Returns, for each place, the tiles before and after it and how near the second one is."""
    whole = jnp.asarray(length).astype(dtype)
    place = jnp.arange(size).astype(dtype) / whole - 0.5
    before = jnp.floor(place)
    first = before.astype(jnp.int32)
    return jnp.clip(first, 0, count - 1), jnp.clip(first + 1, 0, count - 1), place - before
