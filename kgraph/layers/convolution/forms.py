"""Forms of one convolution: the same numbers by operations that a CPU does at other speeds.

All take `inputs` `[batch, *spatial, channels]`, `kernel` `[*sizes, channels / groups, filters]` and
a Window with the channels last. Each is linear in both, so JAX can transpose it: the gradient of a
matrix product over patches is one too. Which form serves where is decided in `choice.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.layers.convolution.window import Window, convolve
from kgraph.types import Array

Form: TypeAlias = Callable[[Array, Array, Window], Array]
"""A convolution of inputs with a kernel."""


def by_window(inputs: Array, kernel: Array, window: Window) -> Array:
    """XLA's own convolution."""
    return convolve(inputs, kernel, window)


def turned_for_inputs(inputs: Array, kernel: Array, window: Window) -> Array:
    """XLA's convolution, with the kernel laid out for the gradient by the inputs.

    What JAX makes of it by transposing is a convolution with axes in XLA's usual order. In another
    order XLA rearranges them, but not in a loop: there it falls back to code 10 to 30 times slower.
    """
    axes, images = window.axes, f"N{window.axes}C"
    if window.groups > 1:
        return convolve(inputs, kernel, window)
    return convolve(inputs, jnp.swapaxes(kernel, -1, -2), window, (images, f"{axes}OI", images))


def turned_for_kernel(inputs: Array, kernel: Array, window: Window) -> Array:
    """XLA's convolution, with all laid out for the gradient by the kernel; see above.

    That gradient convolves the inputs, their channels in the place of the batch, with the gradient
    of the outputs as a kernel.
    """
    axes = window.axes
    if window.groups > 1:
        return convolve(inputs, kernel, window)
    outputs = convolve(
        jnp.swapaxes(inputs, 0, -1),
        jnp.moveaxis(kernel, -2, 0),
        window,
        (f"C{axes}N", f"I{axes}O", f"{axes}NC"),
    )
    return jnp.moveaxis(outputs, -2, 0)


def by_patches(inputs: Array, kernel: Array, window: Window) -> Array:
    """One matrix product of the kernel with the patches under its windows."""
    patches = jnp.stack(list(_cuts(inputs, kernel, window)), axis=-2)
    *where, taps, channels = patches.shape
    if window.groups == 1:
        return _product(patches.reshape(*where, taps * channels), kernel)
    groups, inner = window.groups, kernel.shape[-2]
    patches = patches.reshape(*where, taps, groups, inner)
    parts = kernel.reshape(taps, inner, groups, -1)
    outputs = jnp.einsum("...tgi,tigo->...go", patches, parts)
    return outputs.reshape(*where, kernel.shape[-1])


def by_product(inputs: Array, kernel: Array, window: Window) -> Array:
    """One matrix product, for kernels with a single tap."""
    (cut,) = _cuts(inputs, kernel, window)
    return _product(cut, kernel)


def by_shifts(inputs: Array, kernel: Array, window: Window) -> Array:
    """A sum over the taps of the kernel, for kernels that leave the channels apart."""
    channels, multiplier = window.groups, kernel.shape[-1] // window.groups
    taps = kernel.reshape(-1, channels, multiplier)
    cuts = _cuts(inputs, kernel, window)
    if multiplier == 1:
        return reduce(add, (cut * _spread(tap[:, 0], cut.ndim) for cut, tap in zip(cuts, taps)))
    outputs = reduce(add, (c[..., None] * _spread(tap, c.ndim + 1) for c, tap in zip(cuts, taps)))
    return outputs.reshape(*outputs.shape[:-2], channels * multiplier)


def by_spreading(inputs: Array, kernel: Array, window: Window) -> Array:
    """One matrix product, whose results are added up where they overlap: for stretched inputs."""
    rank = len(window.strides)
    *taps, channels, filters = kernel.shape
    matrix = kernel.reshape(-1, channels, filters)
    pads = window.pads(inputs.shape[1:-1], taps)
    lengths = [(n - 1) * step + 1 for n, step in zip(inputs.shape[1:-1], window.stretch)]
    reaches = [d * (k - 1) for d, k in zip(window.dilation, taps)]
    sizes = [n + low + high - r for n, (low, high), r in zip(lengths, pads, reaches)]
    products = _product(inputs, jnp.moveaxis(matrix, 0, 1).reshape(channels, -1))
    products = products.reshape(*products.shape[:-1], math.prod(taps), filters)
    total = []
    for number, offset in enumerate(itertools.product(*map(range, taps))):
        starts = [pads[i][0] - offset[i] * window.dilation[i] for i in range(rank)]
        place = [
            (start, size - length - start, step - 1)
            for start, size, length, step in zip(starts, sizes, lengths, window.stretch)
        ]
        zero = np.zeros((), inputs.dtype)
        total.append(jax.lax.pad(products[..., number, :], zero, [(0, 0, 0), *place, (0, 0, 0)]))
    return reduce(add, total)


FORMS: dict[str, Form] = {
    "window": by_window,
    "turned for inputs": turned_for_inputs,
    "turned for kernel": turned_for_kernel,
    "patches": by_patches,
    "product": by_product,
    "shifts": by_shifts,
    "spreading": by_spreading,
}


def _cuts(inputs: Array, kernel: Array, window: Window) -> Iterator[Array]:
    """Yields for each tap of the kernel what it meets: one value for each output position."""
    rank = len(window.strides)
    sizes, taps = inputs.shape[1:-1], kernel.shape[:rank]
    pads = window.pads(sizes, taps)
    if any(low or high for low, high in pads):
        zero = np.zeros((), inputs.dtype)
        inputs = jax.lax.pad(inputs, zero, [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)])
    rows = zip(inputs.shape[1:-1], taps, window.dilation, window.strides)
    counts = [(size - (k - 1) * d - 1) // step + 1 for size, k, d, step in rows]
    for offset in itertools.product(*map(range, taps)):
        low = [o * d for o, d in zip(offset, window.dilation)]
        high = [b + (n - 1) * s + 1 for b, n, s in zip(low, counts, window.strides)]
        end = (inputs.shape[0], *high, inputs.shape[-1])
        yield jax.lax.slice(inputs, (0, *low, 0), end, (1, *window.strides, 1))


def _product(rows: Array, kernel: Array) -> Array:
    """Returns `[*where, filters]` for rows `[*where, features]`, as a product of two matrices."""
    *where, features = rows.shape
    matrix = kernel.reshape(features, kernel.shape[-1])
    return (rows.reshape(math.prod(where), features) @ matrix).reshape(*where, matrix.shape[-1])


def _spread(values: Array, ndim: int) -> Array:
    return values.reshape((1,) * (ndim - values.ndim) + values.shape)
