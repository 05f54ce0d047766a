"""Functions of jax.numpy, jax.nn and jax.lax that also take symbolic tensors.

`ops.tanh(x)` on an array is `jax.numpy.tanh(x)`; on a symbolic tensor it adds a node to the graph.
A node keeps the function's name, so a model with such nodes can be saved. The names are those below
and no others: a model file cannot reach any other function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.errors import GraphError, nearest
from kgraph.graph.structure import leaves
from kgraph.graph.symbol import SymbolicTensor
from kgraph.layers.base import Layer
from kgraph.layers.base.calling import has_symbols
from kgraph.types import Array, Function, Tree

_ELEMENTWISE = """
abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_not
bitwise_or bitwise_xor cbrt ceil clip conj cos cosh deg2rad divide equal exp exp2 expm1 floor
floor_divide fmod greater greater_equal hypot imag isfinite isinf isnan less less_equal log log10
log1p log2 logaddexp logical_and logical_not logical_or logical_xor maximum minimum mod multiply
nan_to_num negative not_equal positive power rad2deg real reciprocal round sign sin sinc sinh sqrt
square subtract tan tanh true_divide trunc where
celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu log_sigmoid mish relu relu6
selu sigmoid silu soft_sign softplus softsign squareplus swish erf erfc erf_inv rsqrt
stop_gradient cast
""".split()

_NUMPY = """
all amax amin any append argmax argmin argsort array_split average bincount broadcast_to
column_stack concatenate copy count_nonzero cross cumprod cumsum diag diagonal diff dot einsum
expand_dims eye flip full full_like histogram hstack inner isclose linspace matmul max mean median
meshgrid min moveaxis nanmax nanmean nanmin nansum nanstd nanvar ones ones_like outer pad percentile
prod quantile ravel repeat reshape roll rot90 searchsorted sort split squeeze stack std sum swapaxes
take take_along_axis tensordot tile trace transpose tri tril triu unstack vander var vdot vstack
zeros zeros_like arange
""".split()

_NN = "dot_product_attention glu log_softmax logsumexp one_hot softmax standardize".split()
_LAX = "conv_general_dilated dot_general dynamic_slice reduce_window top_k".split()


def _getitem(x: Array, index: list[Any]) -> Array:
    return x[tuple(np.asarray(part) if isinstance(part, list) else part for part in index)]


def _cast(x: Array, dtype: str) -> Array:
    return jnp.asarray(x, dtype=dtype)


def _norm(x: Array, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    return jnp.linalg.norm(x, ord=ord, axis=axis, keepdims=keepdims)


def _einsum(*operands: Any, optimize: Any = "auto", **options: Any) -> Array:
    return jnp.einsum(*operands, optimize=optimize, **options)  # "optimal" may take for ever


_OWN: dict[str, Function] = {
    "getitem": _getitem,
    "cast": _cast,
    "convert_to_tensor": lambda x, dtype=None: jnp.asarray(x, dtype=dtype),
    "einsum": _einsum,
    "norm": _norm,
    "shape": jnp.shape,
}
_ALIASES = {"erfinv": "erf_inv", "soft_sign": "soft_sign", "softsign": "soft_sign"}

names = sorted({*_ELEMENTWISE, *_NUMPY, *_NN, *_LAX, *_OWN, *_ALIASES})
"""The functions that exist here."""


@cache
def function(name: str) -> Function:
    """Returns the function of this name, from the closed list above."""
    if name not in names:
        raise AttributeError(
            f"kgraph.ops has no {name!r}; {nearest(name, names) or 'see ops.names'}"
        )
    if name in _OWN:
        return _OWN[name]
    name = _ALIASES.get(name, name)
    for module in (jnp, jax.nn, jax.lax):
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"this version of JAX has no {name!r}")


MOST_WRITTEN_OUT = 10_000
"""How many pieces or rounds a node may be written out as: a file of a kilobyte could ask for any
number."""
_MOST_SEARCHED = 8  # tensors of an einsum; finding its best order takes exponential time


def written_out(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Returns in how many pieces or rounds JAX traces a call of a function."""

    def argument(place: int, name: str, default: Any) -> Any:
        return args[place] if len(args) > place else kwargs.get(name, default)

    if name in ("split", "array_split"):
        sections = argument(1, "indices_or_sections", 1)
        return len(sections) + 1 if np.ndim(sections) else int(sections)
    if name == "diff":
        return argument(1, "n", 1)
    shape = getattr(argument(0, "array", argument(0, "x", None)), "shape", ())
    if name == "unstack":
        axis = kwargs.get("axis", 0)
        size = shape[axis] if -len(shape) <= axis < len(shape) else None
        return size if isinstance(size, int) else 1
    if name == "pad" and argument(2, "mode", "constant") not in ("constant", "edge", "empty"):
        sizes = [size for size in shape if isinstance(size, int) and size > 0]
        widest = max(map(abs, leaves(argument(1, "pad_width", 0))), default=0)
        return widest // min(sizes, default=1)
    if name == "einsum" and kwargs.get("optimize") not in (None, "auto", "greedy", False):
        return 1 if len(args) <= _MOST_SEARCHED + 1 else MOST_WRITTEN_OUT + 1
    return 1


class Operation(Layer):
    """One function of `kgraph.ops` as a layer: what the graph holds for `ops.tanh(x)`.

    Args:
        function: its name in `kgraph.ops`.
    """

    autocast = False

    def __init__(self, function: str, **options: Any) -> None:
        super().__init__(autocast=False, **options)
        self.function = function
        self.supports_masking = function in _ELEMENTWISE
        self.built = True

    @property
    def base_name(self) -> str:
        return self.function

    def mixes_rows(self, training: bool) -> bool:
        return self.function not in _ELEMENTWISE

    def check_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        count = written_out(self.function, args, kwargs)
        if count > MOST_WRITTEN_OUT:
            raise GraphError(
                f"{self.label} would be written out as too many operations",
                expected=f"at most {MOST_WRITTEN_OUT}",
                received=count,
            )

    def call(self, *args: Any, **kwargs: Any) -> Tree:
        return function(self.function)(*args, **kwargs)


@cache
def lift(name: str) -> Callable[..., Any]:
    """Returns the function of this name, able to take symbolic tensors."""
    plain = function(name)

    def lifted(*args: Any, **kwargs: Any) -> Any:
        if has_symbols(args, kwargs):
            return Operation(name)(*args, **kwargs)
        return plain(*args, **kwargs)

    lifted.__name__ = lifted.__qualname__ = name
    lifted.__doc__ = (
        f"`{getattr(plain, '__module__', 'jax')}.{name}` on arrays; a graph node on symbolic "
        f"tensors.\n\n{plain.__doc__ or ''}"
    )
    return lifted


def _apply(name: str, *args: Any) -> Any:
    if name == "getitem":
        tensor, index = args
        return lift(name)(tensor, list(index) if isinstance(index, tuple) else [index])
    return lift(name)(*args)


SymbolicTensor.apply = staticmethod(_apply)


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)
    return lift(name)


def __dir__() -> list[str]:
    return names
