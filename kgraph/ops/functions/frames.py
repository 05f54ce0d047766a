"""Images of other sizes: resized, cropped, bordered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.layers.image.resizing import Resizing
from kgraph.layers.reshaping.spatial import layout
from kgraph.types import Array

__all__ = ["crop_images", "pad_images", "resize", "scale_and_translate"]


def resize(
    images: Array,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Array:
    """Returns images of another height and width (see `kgraph.layers.Resizing`)."""
    height, width = size
    layer = Resizing(
        height, width, interpolation, crop_to_aspect_ratio, pad_to_aspect_ratio, fill_mode,
        fill_value, antialias, data_format,
    )  # fmt: skip
    return layer.change_images(jnp.asarray(images), None)


def crop_images(
    images: Array,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Array:
    """Returns images without some borders; along each axis two of three numbers are given."""
    images, axis = jnp.asarray(images), height_axis("crop_images", data_format)
    images = _cropped(images, axis, top_cropping, bottom_cropping, target_height)
    return _cropped(images, axis + 1, left_cropping, right_cropping, target_width)


def pad_images(
    images: Array,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Array:
    """Returns images with borders of zeros; along each axis two of three numbers are given."""
    images, axis = jnp.asarray(images), height_axis("pad_images", data_format)
    height, width = images.shape[axis], images.shape[axis + 1]
    widths: list[tuple[Any, Any]] = [(0, 0)] * images.ndim
    widths[axis] = _borders("pad_images", top_padding, bottom_padding, target_height, height)
    widths[axis + 1] = _borders("pad_images", left_padding, right_padding, target_width, width)
    return jnp.pad(images, widths)


def scale_and_translate(
    images: Array,
    output_shape: Sequence[int],
    scale: Array,
    translation: Array,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Array:
    """Returns images scaled and moved along some axes (see `jax.image.scale_and_translate`)."""
    return jax.image.scale_and_translate(
        jnp.asarray(images), tuple(output_shape), tuple(spatial_dims), jnp.asarray(scale),
        jnp.asarray(translation), method, antialias,
    )  # fmt: skip


def _cropped(
    images: Array, axis: int, before: int | None, after: int | None, target: int | None
) -> Array:
    """Returns images without borders along one axis, of which the size may be unknown."""
    _check_two("crop_images", before, after, target)
    size = images.shape[axis]
    if isinstance(size, int):
        first = size - (target or 0) - (after or 0) if before is None else before
        length = size - first - (after or 0) if target is None else target
        _check_inside("crop_images", first, length, size - first - length)
        return jax.lax.slice_in_dim(images, first, first + length, axis=axis)
    if target is None:
        kept = [slice(None)] * images.ndim
        kept[axis] = slice(before, -after if after else None)
        return images[tuple(kept)]
    first = -target - (after or 0) if before is None else before
    return jnp.take(images, np.arange(first, first + target), axis=axis, mode="fill")


def _borders(name: str, before: Any, after: Any, target: Any, size: Any) -> tuple[Any, Any]:
    """Returns what is added before and after an axis."""
    _check_two(name, before, after, target)
    before = target - after - size if before is None else before
    after = target - before - size if after is None else after
    _check_inside(name, before, after)
    return before, after


def _check_two(name: str, *numbers: Any) -> None:
    if sum(number is None for number in numbers) != 1:
        raise ConfigError(
            f"ops.{name} needs two of three numbers along each axis: both borders, or one of them "
            "and the size of the result",
            received=numbers,
        )


def _check_inside(name: str, *sizes: Any) -> None:
    if any(isinstance(size, int) and size < 0 for size in sizes):
        raise ConfigError(f"ops.{name} would need a size below 0", received=sizes)


def height_axis(name: str, data_format: str | None) -> int:
    """Returns the axis of the height, from the end; that of the width is the next one."""
    return -2 if layout(f"ops.{name}", data_format) == "channels_first" else -3
