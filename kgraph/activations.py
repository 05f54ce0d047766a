"""Activation functions under Keras' names and with Keras' defaults.

Where `jax.nn` has the function with the same defaults, ours calls that very object, and
`activation=jax.nn.silu` can be saved. Where a default differs (`gelu`, `leaky_relu`) or options are
missing, a function here says so. All keep the shape (except `glu`) and the float dtype. Given a
symbolic tensor, each adds the node of `kgraph.ops` with its name to the graph.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import registry
from kgraph.errors import ConfigError
from kgraph.graph.symbol import SymbolicTensor
from kgraph.source import warn
from kgraph.tracebacks import entry
from kgraph.types import ActivationLike, Array, Config, CustomObjects, Function

celu = jax.nn.celu
elu = jax.nn.elu
exponential = jnp.exp
hard_sigmoid = jax.nn.hard_sigmoid  # relu6(x + 3) / 6, as in Keras 3 (not the slope 0.2 of Keras 2)
hard_silu = hard_swish = jax.nn.hard_silu
hard_tanh = jax.nn.hard_tanh
log_sigmoid = jax.nn.log_sigmoid
mish = jax.nn.mish
relu6 = jax.nn.relu6
selu = jax.nn.selu
sigmoid = jax.nn.sigmoid
silu = swish = jax.nn.silu
softplus = jax.nn.softplus
softsign = jax.nn.soft_sign
sparse_plus = jax.nn.sparse_plus
sparse_sigmoid = jax.nn.sparse_sigmoid
squareplus = jax.nn.squareplus
tanh = jnp.tanh


def linear(x: Array) -> Array:
    """Returns its input."""
    return x


def relu(
    x: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """Cuts off what is below a threshold (0), and optionally what is above a maximum.

    Args:
        negative_slope: values below the threshold become `negative_slope * (x - threshold)`.
        max_value: the largest value returned; None for no limit.
        threshold: values above it pass unchanged.
    """
    if max_value is None and threshold == 0:
        return jax.nn.leaky_relu(x, negative_slope) if negative_slope else jax.nn.relu(x)
    above = x if max_value is None else jnp.minimum(x, max_value)
    below = negative_slope * (x - threshold) if negative_slope else jnp.zeros_like(x)
    return jnp.where(x > threshold, above, below)


def leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    """Multiplies negative values by a slope (0.2; `jax.nn` has 0.01, the layer `LeakyReLU` 0.3)."""
    return jax.nn.leaky_relu(x, negative_slope)


def gelu(x: Array, approximate: bool = False) -> Array:
    """Multiplies by the normal distribution function (`jax.nn` has the tanh form)."""
    return jax.nn.gelu(x, approximate)


def glu(x: Array, axis: int = -1) -> Array:
    """Returns the first half of an axis, times the sigmoid of the second."""
    if not -x.ndim <= axis < x.ndim or x.shape[axis] % 2:
        raise ConfigError(
            "glu cannot cut its input in two",
            expected=f"an even number of values along axis {axis}",
            received=f"shape {list(x.shape)}",
        )
    return jax.nn.glu(x, axis)


def softmax(x: Array, axis: int | Sequence[int] = -1) -> Array:
    """Makes values positive with sum 1 over one or several axes."""
    if isinstance(axis, int) and -x.ndim <= axis < x.ndim and x.shape[axis] == 1:
        warn("A softmax over one value is always 1; for a probability alone take a sigmoid")
    return jax.nn.softmax(x, _hashable(axis))


def log_softmax(x: Array, axis: int | Sequence[int] = -1) -> Array:
    """Returns the logarithm of `softmax`, without its underflow."""
    return jax.nn.log_softmax(x, _hashable(axis))


def _hashable(axis: int | Sequence[int]) -> int | tuple[int, ...]:
    return tuple(axis) if isinstance(axis, Sequence) else axis


def sparsemax(x: Array, axis: int = -1) -> Array:
    """Projects onto the probability simplex: positive with sum 1, small values exactly 0.

    Source: Martins and Astudillo, "From Softmax to Sparsemax", arXiv:1602.02068, algorithm 1. The
    threshold there, (sum of the k largest - 1) / k at the support's size k, is the largest over all
    k, since it grows with k exactly while the next value is above it.
    """
    # A shift changes nothing but the rounding of the sums below.
    x = x - jax.lax.stop_gradient(jnp.max(x, axis, keepdims=True))
    descending = -jnp.sort(-x, axis)
    sizes = jnp.arange(1, x.shape[axis] + 1, dtype=x.dtype)
    sizes = jnp.expand_dims(sizes, [i for i in range(x.ndim) if i != axis % x.ndim])
    threshold = jnp.max((jnp.cumsum(descending, axis) - 1) / sizes, axis, keepdims=True)
    return jnp.maximum(x - threshold, 0)


def soft_shrink(x: Array, threshold: float = 0.5) -> Array:
    """Moves values towards 0 by `threshold`, and to 0 those that are nearer than that."""
    return x - jnp.clip(x, -threshold, threshold)


def hard_shrink(x: Array, threshold: float = 0.5) -> Array:
    """Sets values within `threshold` of 0 to 0."""
    return jnp.where(jnp.abs(x) <= threshold, 0, x)  # in this order a NaN stays visible


def tanh_shrink(x: Array) -> Array:
    """Returns `x - tanh(x)`."""
    return x - jnp.tanh(x)


def threshold(x: Array, threshold: float, default_value: float) -> Array:
    """Replaces values that are not above `threshold` by `default_value`."""
    return jnp.where(x <= threshold, default_value, x)


_FUNCTIONS: Mapping[str, Function] = {
    "celu": celu,
    "elu": elu,
    "exponential": exponential,
    "gelu": gelu,
    "glu": glu,
    "hard_shrink": hard_shrink,
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "hard_tanh": hard_tanh,
    "leaky_relu": leaky_relu,
    "linear": linear,
    "log_sigmoid": log_sigmoid,
    "log_softmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "relu6": relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "silu": silu,
    "soft_shrink": soft_shrink,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "sparsemax": sparsemax,
    "squareplus": squareplus,
    "tanh": tanh,
    "tanh_shrink": tanh_shrink,
    "threshold": threshold,
    # Aliases come after the names that `serialize` gives.
    "hard_swish": hard_silu,
    "swish": silu,
    # JAX's own functions where ours have other options, so that models that use them can be saved.
    "jax.nn.gelu": jax.nn.gelu,
    "jax.nn.leaky_relu": jax.nn.leaky_relu,
    "jax.nn.log_softmax": jax.nn.log_softmax,
    "jax.nn.relu": jax.nn.relu,
    "jax.nn.softmax": jax.nn.softmax,
}


def _also_on_symbols(name: str, plain: Function) -> Function:
    """Returns an activation function that records itself when it is given a symbolic tensor."""
    form = inspect.signature(plain)

    @functools.wraps(plain)
    @entry
    def function(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(item, SymbolicTensor) for item in (*args, *kwargs.values())):
            return plain(*args, **kwargs)
        given = form.bind(*args, **kwargs)
        given.apply_defaults()
        x, *options = given.arguments.values()
        if name == "linear":
            return x
        if name == "relu":
            return _relu_of_symbol(x, *options)
        return SymbolicTensor.apply("exp" if name == "exponential" else name, x, *options)

    return function


def _relu_of_symbol(x: Any, slope: float, most: float | None, threshold: float) -> Any:
    """Returns the nodes of `relu`, of which the function of a graph takes no options."""
    apply = SymbolicTensor.apply
    if threshold == 0 and most is None:
        return apply("leaky_relu", x, slope) if slope else apply("relu", x)
    above = x if most is None else apply("minimum", x, most)
    below = slope * (x - threshold) if slope else apply("zeros_like", x)
    return apply("where", x > threshold, above, below)


_public = {f: _also_on_symbols(n, f) for n, f in reversed(_FUNCTIONS.items()) if n.isidentifier()}
for _name, _function in _FUNCTIONS.items():
    if _name.isidentifier():
        _function = globals()[_name] = _public[_function]
    registry.register("activation", _name, _function)


def get(identifier: ActivationLike | None) -> Function:
    """Returns the function that an option such as `activation="relu"` stands for.

    >>> get("silu") is silu
    True
    >>> get(None) is linear
    True

    Args:
        identifier: a name, a config, a callable (returned as it is), or None for `linear`.

    Raises:
        ConfigError: if the name is not known or the value is none of these.
    """
    return linear if identifier is None else registry.resolve("activation", identifier)


def serialize(activation: Function) -> str | dict[str, Any]:
    """Returns the name of a function listed here, or the config of a registered one.

    Raises:
        ConfigError: if the function is not registered, such as a lambda.
    """
    config = registry.serialize("activation", activation)
    return config["function"] if config.get("kind") == "activation" else config


def deserialize(config: str | Config, custom_objects: CustomObjects | None = None) -> Function:
    """Returns the function that `serialize` wrote down."""
    return registry.deserialize("activation", config, custom_objects)
