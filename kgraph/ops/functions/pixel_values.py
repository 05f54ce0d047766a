"""Values of images changed or compared: colours, blur, edges, likeness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from kgraph.errors import ConfigError
from kgraph.layers.image import color_spaces
from kgraph.layers.reshaping.spatial import layout
from kgraph.ops.functions.windows import depthwise_conv
from kgraph.types import Array

__all__ = [
    "gaussian_blur", "hsv_to_rgb", "rgb_to_grayscale", "rgb_to_hsv", "sobel_edges", "ssim",
]  # fmt: skip


def rgb_to_grayscale(images: Array, data_format: str | None = None) -> Array:
    """Returns the luminance of RGB images, with one channel, in their dtype."""
    turned, first = _channels_last("rgb_to_grayscale", images, data_format)
    gray = color_spaces.gray(_float(turned)).astype(turned.dtype)
    return jnp.moveaxis(gray, -1, -3) if first else gray


def rgb_to_hsv(images: Array, data_format: str | None = None) -> Array:
    """Returns hue, saturation and value, each from 0 to 1, of RGB images from 0 to 1."""
    turned, first = _channels_last("rgb_to_hsv", images, data_format)
    _check_float("rgb_to_hsv", turned)
    return jnp.stack(color_spaces.rgb_to_hsv(turned), axis=-3 if first else -1)


def hsv_to_rgb(images: Array, data_format: str | None = None) -> Array:
    """Returns RGB images from hue, saturation and value."""
    turned, first = _channels_last("hsv_to_rgb", images, data_format)
    _check_float("hsv_to_rgb", turned)
    rgb = color_spaces.hsv_to_rgb(turned[..., 0], turned[..., 1], turned[..., 2])
    return jnp.moveaxis(rgb, -1, -3) if first else rgb


def gaussian_blur(
    images: Array,
    kernel_size: Sequence[int] = (3, 3),
    sigma: Sequence[float] = (1.0, 1.0),
    data_format: str | None = None,
) -> Array:
    """Returns images blurred by a Gaussian; beyond its border an image is 0.

    Args:
        images: floats, one image or a batch.
        kernel_size: pixels along width and height.
        sigma: standard deviations in pixels, along width and height.
        data_format: by default `image_data_format()`.
    """
    turned, first = _channels_last("gaussian_blur", images, data_format)
    _check_float("gaussian_blur", turned)
    (width, height), (along, down) = kernel_size, sigma
    kernel = jnp.outer(_gaussian(height, down), _gaussian(width, along)).astype(turned.dtype)
    blurred = _filtered(turned, kernel[..., None], "same")[..., 0]
    return jnp.moveaxis(blurred, -1, -3) if first else blurred


def sobel_edges(images: Array, data_format: str | None = None) -> Array:
    """Returns the differences of neighbours down and across, as a last axis of size 2.

    Shapes: `[batch, height, width, channels]` in, `[batch, height, width, channels, 2]` out
    (channels first: axis 1).
    """
    turned, first = _channels_last("sobel_edges", images, data_format)
    across = np.outer([1, 2, 1], [-1, 0, 1])
    kernel = jnp.asarray(np.stack([across.T, across], axis=-1), turned.dtype)
    edges = _filtered(turned, kernel, "same")
    return jnp.moveaxis(edges, -2, -4) if first else edges


def ssim(
    image1: Array,
    image2: Array,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Array:
    """Returns how alike two images look, 1 for equal ones, for each pair of a batch.

    Args:
        image1, image2: of one shape, at least `filter_size` high and wide.
        max_val: the difference of the largest and the smallest value that there may be.
        filter_size, filter_sigma: the Gaussian window.
        k1, k2: keep the quotients finite, as shares of `max_val`.
        data_format: by default `image_data_format()`.

    Source: Wang et al., "Image Quality Assessment", IEEE TIP 13(4), 2004, equation 13.
    """
    first, _ = _channels_last("ssim", image1, data_format)
    second, _ = _channels_last("ssim", image2, data_format)
    dtype, first, second = first.dtype, _float(first), _float(second)
    line = _gaussian(filter_size, filter_sigma)
    window = jnp.outer(line, line).astype(first.dtype)[..., None]

    def mean(values: Array) -> Array:
        return _filtered(values, window, "valid")[..., 0]

    one, other = mean(first), mean(second)
    spread_one = mean(first * first) - one * one
    spread_other = mean(second * second) - other * other
    common = mean(first * second) - one * other
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    above = (2 * one * other + c1) * (2 * common + c2)
    below = (one * one + other * other + c1) * (spread_one + spread_other + c2)
    return jnp.mean(above / below, axis=(-3, -2, -1)).astype(dtype)


def _gaussian(size: int, sigma: Any) -> Array:
    """Returns a Gaussian `[size]` with sum 1."""
    places = jnp.arange(size, dtype=jnp.float32) - (size - 1) / 2
    weights = jnp.exp(-0.5 * jnp.square(places / sigma))
    return weights / jnp.sum(weights)


def _filtered(images: Array, kernel: Array, padding: str) -> Array:
    """Returns `[..., height, width, channels, m]` for images and a kernel `[rows, columns, m]`."""
    batch = images[None] if images.ndim == 3 else images
    *sizes, count = kernel.shape
    spread = jnp.broadcast_to(kernel[:, :, None, :], (*sizes, images.shape[-1], count))
    found = depthwise_conv(batch, spread, 1, padding, "channels_last")
    found = found.reshape(*found.shape[:-1], images.shape[-1], count)
    return found[0] if images.ndim == 3 else found


def _channels_last(name: str, images: Array, data_format: str | None) -> tuple[Array, bool]:
    """Returns one image or a batch with channels last, and whether they were first."""
    images = jnp.asarray(images)
    if images.ndim not in (3, 4):
        raise ConfigError(f"ops.{name} takes one image or a batch", received=tuple(images.shape))
    first = layout(f"ops.{name}", data_format) == "channels_first"
    return (jnp.moveaxis(images, -3, -1) if first else images), first


def _check_float(name: str, images: Array) -> None:
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ConfigError(f"ops.{name} takes floats", received=str(images.dtype))


def _float(images: Array) -> Array:
    floating = jnp.issubdtype(images.dtype, jnp.floating)
    return images if floating else images.astype(jnp.float32)
