"""Windows cut out and put together: patches of images, pieces of signals, blocks of pixels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.errors import ConfigError, check_choice
from kgraph.layers.convolution.window import Window
from kgraph.types import Array

__all__ = [
    "depth_to_space", "extract_patches", "extract_patches_3d", "extract_sequences", "fold",
    "space_to_depth", "unfold",
]  # fmt: skip


def extract_patches(
    images: Array,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """Returns the patch under each window as channels.

    Shapes: `[batch, height, width, channels]` or one image in,
    `[batch, rows, columns, size[0] * size[1] * channels]` out (channels first: axis 1). Three sizes
    stand for volumes.
    """
    rank = len(size) if isinstance(size, Sequence) else 2
    first = (data_format or config.image_data_format()) == "channels_first"
    single = images.ndim == rank + 1
    images = images[None] if single else images
    images = jnp.moveaxis(images, 1, -1) if first else images
    sizes = _per_axis(size, rank)
    found = _patches(
        images,
        sizes,
        sizes if strides is None else _per_axis(strides, rank),
        _per_axis(dilation_rate, rank),
        padding.upper(),
    )
    found = found.reshape(*found.shape[:-2], math.prod(found.shape[-2:]))
    found = jnp.moveaxis(found, -1, 1) if first else found
    return found[0] if single else found


def extract_patches_3d(
    volumes: Array,
    size: int | Sequence[int],
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """Returns the patch under each window over volumes as channels; see `extract_patches`."""
    size = _per_axis(size, 3)
    return extract_patches(volumes, size, strides, dilation_rate, padding, data_format)


def unfold(
    x: Array,
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Array:
    """Returns the patches of images, channels first, as columns.

    Shapes: `[batch, channels, height, width]` in, `[batch, channels * kernel, windows]` out.
    """
    pads = tuple((p, p) for p in _per_axis(padding, 2))
    found = _patches(
        jnp.moveaxis(x, 1, -1), _per_axis(kernel_size, 2), _per_axis(stride, 2),
        _per_axis(dilation, 2), pads,
    )  # fmt: skip
    batch, rows, columns, taps, channels = found.shape
    columns_of = jnp.transpose(found, (0, 4, 3, 1, 2))
    return columns_of.reshape(batch, channels * taps, rows * columns)


def fold(
    x: Array,
    output_size: int | Sequence[int],
    kernel_size: int | Sequence[int],
    dilation: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    stride: int | Sequence[int] = 1,
) -> Array:
    """Adds columns up to images: the transpose of `unfold`.

    Shapes: `[batch, channels * kernel, windows]` in, `[batch, channels, *output_size]` out.
    """
    size = _per_axis(output_size, 2)
    channels = x.shape[1] // math.prod(_per_axis(kernel_size, 2))
    images = jax.ShapeDtypeStruct((x.shape[0], channels, *size), x.dtype)
    transposed = jax.linear_transpose(
        lambda image: unfold(image, kernel_size, dilation, padding, stride), images
    )
    return transposed(x)[0]


def extract_sequences(x: Array, sequence_length: int, sequence_stride: int) -> Array:
    """Returns the pieces of signals, `[..., time]` in and `[..., pieces, sequence_length]` out."""
    count = (x.shape[-1] - sequence_length) // sequence_stride + 1
    starts = jnp.arange(count) * sequence_stride
    places = starts[:, None] + jnp.arange(sequence_length)[None, :]
    return jnp.take(x, places, axis=-1)


def depth_to_space(x: Array, block_size: int, data_format: str = "channels_last") -> Array:
    """Returns images whose channels are spread over blocks of pixels.

    Shapes: `[batch, height, width, block_size**2 * channels]` in, height and width times
    `block_size` out (channels first: axis 1).
    """
    first = _is_first("depth_to_space", data_format)
    step = block_size
    axis = 1 if first else -1
    if x.ndim != 4 or x.shape[axis] % step**2:
        raise ConfigError(
            "depth_to_space cannot cut these channels into blocks",
            expected=f"4 axes, and a multiple of {step**2} channels on axis {axis}",
            received=f"shape {list(x.shape)}",
        )
    axes = x.shape[2:] if first else x.shape[1:3]
    (height, width), depth = axes, x.shape[1 if first else -1] // step**2
    if first:
        cut = x.reshape(x.shape[0], depth, step, step, height, width)
        spread = jnp.transpose(cut, (0, 1, 4, 2, 5, 3))
        return spread.reshape(x.shape[0], depth, height * step, width * step)
    cut = x.reshape(x.shape[0], height, width, step, step, depth)
    spread = jnp.transpose(cut, (0, 1, 3, 2, 4, 5))
    return spread.reshape(x.shape[0], height * step, width * step, depth)


def space_to_depth(x: Array, block_size: int, data_format: str = "channels_last") -> Array:
    """Returns images whose blocks of pixels are channels: the inverse of `depth_to_space`."""
    first = _is_first("space_to_depth", data_format)
    step = block_size
    axes = x.shape[2:] if first else x.shape[1:3]
    if x.ndim != 4 or any(size % step for size in axes):
        raise ConfigError(
            "space_to_depth cannot cut these images into blocks",
            expected=f"4 axes, height and width multiples of {step}",
            received=f"shape {list(x.shape)}",
        )
    (height, width), depth = (n // step for n in axes), x.shape[1 if first else -1]
    if first:
        cut = x.reshape(x.shape[0], depth, height, step, width, step)
        gathered = jnp.transpose(cut, (0, 1, 3, 5, 2, 4))
        return gathered.reshape(x.shape[0], depth * step**2, height, width)
    cut = x.reshape(x.shape[0], height, step, width, step, depth)
    gathered = jnp.transpose(cut, (0, 1, 3, 2, 4, 5))
    return gathered.reshape(x.shape[0], height, width, depth * step**2)


def _patches(
    images: Array, size: Sequence[int], strides: Sequence[int], dilation: Sequence[int], pads: Any
) -> Array:
    """Returns `[batch, *windows, taps, channels]` for images with channels last."""
    rank = len(size)
    window = Window(tuple(strides), pads, tuple(dilation), (1,) * rank)
    around = window.pads(images.shape[1:-1], size)
    images = jnp.pad(images, [(0, 0), *around, (0, 0)])
    rows = zip(images.shape[1:-1], size, dilation, strides)
    counts = [(length - (k - 1) * d - 1) // step + 1 for length, k, d, step in rows]
    if any(isinstance(count, int) and count < 1 for count in counts):
        raise ConfigError(
            "No patch fits into the input", expected=f"at least {size}", received=images.shape
        )
    cuts = []
    for tap in itertools.product(*map(range, size)):
        low = [t * d for t, d in zip(tap, dilation)]
        high = [start + (n - 1) * step + 1 for start, n, step in zip(low, counts, strides)]
        end = (images.shape[0], *high, images.shape[-1])
        cuts.append(jax.lax.slice(images, (0, *low, 0), end, (1, *strides, 1)))
    return jnp.stack(cuts, axis=-2)


def _per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,) * rank


def _is_first(name: str, data_format: str) -> bool:
    check_choice(f"ops.{name}", "data_format", data_format, ("channels_last", "channels_first"))
    return data_format == "channels_first"
