"""A convolution as a CPU does it best: each of its gradients has a form of its own."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from kgraph.layers.convolution.choice import Choice, choose
from kgraph.layers.convolution.forms import FORMS
from kgraph.layers.convolution.window import Window
from kgraph.types import Array


def convolve_on_cpu(inputs: Array, kernel: Array, window: Window) -> Array:
    """Does the same as `convolve`, in the forms that `choose` names.

    It can be differentiated any number of times, forwards and backwards, and mapped.
    """
    sizes = [size for size in inputs.shape if isinstance(size, int)]  # unknown ones count as 1
    choice = choose(window, kernel.shape, inputs.dtype, math.prod(sizes))
    if window.channels_last:
        return _convolve(inputs, kernel, window, choice)
    last = Window(**{**vars(window), "channels_last": True})
    return jnp.moveaxis(_convolve(jnp.moveaxis(inputs, 1, -1), kernel, last, choice), -1, 1)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _convolve(inputs: Array, kernel: Array, window: Window, choice: Choice) -> Array:
    return FORMS[choice.outputs](inputs, kernel, window)


def _tangent(window: Window, choice: Choice, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """A convolution is linear in each argument: the forms chosen for the tangents decide, by their
    transposes, how gradients are computed.
    """
    inputs, kernel = primals
    by_inputs, by_kernel = tangents
    outputs = _convolve(inputs, kernel, window, choice)
    parts = []
    if not isinstance(by_inputs, SymbolicZero):
        parts.append(FORMS[choice.inputs](by_inputs, kernel, window))
    if not isinstance(by_kernel, SymbolicZero):
        # The backward pass makes the patches anew: kept, they would be many times the inputs.
        form = jax.checkpoint(FORMS[choice.kernel], static_argnums=2)
        parts.append(form(inputs, by_kernel, window))
    return outputs, sum(parts[1:], parts[0]) if parts else jnp.zeros_like(outputs)


_convolve.defjvp(_tangent, symbolic_zeros=True)
