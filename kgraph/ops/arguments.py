"""Arguments in Keras' order and under Keras' names, for functions of JAX that name them otherwise.

`ops.var(x, 1, True)` keeps the axis as in Keras, where `jax.numpy.var` would take a dtype. What JAX
has beyond Keras stays available by keyword, as do JAX's own names.
"""

from __future__ import annotations

import functools
import inspect
from functools import cache
from typing import Any

import jax.numpy as jnp

from kgraph.types import Function

_CALLS = """
abs(x) absolute(x) add(x1 x2) all(x; axis keepdims) allclose(x1 x2; rtol atol equal_nan)
amax(x; axis keepdims) amin(x; axis keepdims) angle(x) any(x; axis keepdims) append(x1 x2; axis)
arccos(x) arccosh(x) arcsin(x) arcsinh(x) arctan(x) arctan2(x1 x2) arctanh(x)
argmax(x; axis keepdims) argmin(x; axis keepdims) argpartition(x kth; axis) argsort(x; axis)
array(x; dtype) average(x; axis weights) bartlett(x) bitwise_and(x y) bitwise_invert(x)
bitwise_left_shift(x y) bitwise_not(x) bitwise_or(x y) bitwise_right_shift(x y) bitwise_xor(x y)
blackman(x) broadcast_to(x; shape) cbrt(x) ceil(x) celu(x; alpha) cholesky(x; upper)
clip(x; x_min=min x_max=max) concatenate(xs; axis) conj(x) conjugate(x) copy(x) corrcoef(x)
correlate(x1 x2; mode) cos(x) cosh(x) count_nonzero(x; axis) cross(x1 x2; axisa axisb axisc axis)
cumprod(x; axis dtype) cumsum(x; axis dtype) deg2rad(x) det(x) diag(x; k) diagflat(x; k)
diagonal(x; offset axis1 axis2) diff(a; n axis) digitize(x bins) divide(x1 x2) dot(x1 x2)
dsplit(x indices_or_sections) dstack(xs) eig(x) eigh(x) elu(x; alpha) empty_like(x; dtype)
equal(x1 x2) erf(x) erfc(x) erfinv(x) exp(x) exp2(x) expand_dims(x; axis) expm1(x) fabs(x)
flip(x; axis) fliplr(x) flipud(x) floor(x) floor_divide(x1 x2) fmax(x1 x2) fmin(x1 x2) fmod(x1 x2)
full(shape; fill_value dtype) full_like(x fill_value; dtype) gcd(x1 x2) gelu(x; approximate)
greater(x1 x2) greater_equal(x1 x2) hamming(x) hanning(x) heaviside(x1 x2) histogram(x; bins range)
hsplit(x indices_or_sections) hstack(xs) hypot(x1 x2) i0(x) imag(x) inner(x1 x2) inv(x)
isclose(x1 x2; rtol atol equal_nan) isfinite(x) isin(x1 x2; assume_unique invert) isinf(x) isnan(x)
isneginf(x) isposinf(x) isreal(x) kaiser(x beta) kron(x1 x2) lcm(x1 x2) ldexp(x1 x2)
left_shift(x y) less(x1 x2) less_equal(x1 x2) log(x) log10(x) log1p(x) log2(x) logaddexp(x1 x2)
logaddexp2(x1 x2) logical_and(x1 x2) logical_not(x) logical_or(x1 x2) logical_xor(x1 x2)
logsumexp(x; axis keepdims) lstsq(a b; rcond) matmul(x1 x2) matrix_rank(x; tol)
max(x; axis keepdims initial) maximum(x1 x2) mean(x; axis keepdims) median(x; axis keepdims)
min(x; axis keepdims initial) minimum(x1 x2) mod(x1 x2) moveaxis(x; source destination)
multiply(x1 x2) nan_to_num(x; nan posinf neginf) nanargmax(x; axis keepdims)
nanargmin(x; axis keepdims) nancumprod(x; axis dtype) nancumsum(x; axis dtype)
nanmax(x; axis keepdims) nanmean(x; axis keepdims) nanmedian(x; axis keepdims)
nanmin(x; axis keepdims) nanpercentile(x q; axis method keepdims) nanprod(x; axis keepdims)
nanquantile(x q; axis method keepdims) nanstd(x; axis keepdims) nansum(x; axis keepdims)
nanvar(x; axis keepdims) negative(x) nextafter(x1 x2) nonzero(x) not_equal(x1 x2)
ones_like(x; dtype) outer(x1 x2) percentile(x q; axis method keepdims) pinv(x; rcond=rtol)
power(x1 x2) prod(x; axis keepdims dtype) ptp(x; axis keepdims) qr(x; mode)
quantile(x q; axis method keepdims) rad2deg(x) ravel(x) real(x) reciprocal(x)
repeat(x; repeats axis) reshape(x; newshape=shape) right_shift(x y) roll(x; shift axis)
rot90(array; k axes) round(x; decimals) rsqrt(x) searchsorted(sorted_sequence values; side) sign(x)
signbit(x) sin(x) sinc(x) sinh(x) slogdet(x) softsign(x) sort(x; axis)
split(x indices_or_sections; axis) sqrt(x) square(x) squeeze(x; axis) stack(x; axis)
std(x; axis keepdims) stop_gradient(variable) subtract(x1 x2) sum(x; axis keepdims)
svd(x; full_matrices compute_uv) swapaxes(x; axis1 axis2) take(x indices; axis)
take_along_axis(x indices; axis) tan(x) tanh(x) tensordot(x1 x2; axes) tile(x; repeats=reps)
trace(x; offset axis1 axis2) transpose(x; axes) tril(x; k) triu(x; k) true_divide(x1 x2) trunc(x)
var(x; axis keepdims) vdot(x1 x2) vsplit(x indices_or_sections) vstack(xs) where(condition x1 x2)
zeros_like(x; dtype)
"""


@cache
def _calls() -> dict[str, tuple[list[str], dict[str, str]]]:
    """Returns for each function the first arguments, and the further ones with JAX's names."""
    found = {}
    for call in _CALLS.split(")")[:-1]:
        name, _, arguments = call.strip().partition("(")
        first, _, others = arguments.partition(";")
        pairs = (text.partition("=") for text in others.split())
        found[name] = first.split(), {ours: theirs or ours for ours, _, theirs in pairs}
    return found


def with_keras_arguments(name: str, plain: Function) -> Function:
    """Returns a function of JAX as Keras' function of this name is called."""
    call = _calls().get(name)
    if call is None:
        return _of_lists(plain) if name in _OF_LISTS else plain
    first, others = call
    order = [*first, *others]

    @functools.wraps(plain)
    def adapted(*args: Any, **kwargs: Any) -> Any:
        if len(args) > len(order):
            allowed = f"{name}({', '.join(order)})"
            raise TypeError(f"{allowed} got {len(args)} arguments by position")
        given = dict(zip(order, args))
        twice = [key for key in kwargs if key in given]
        if twice:
            raise TypeError(f"{name} got {twice[0]!r} twice")
        given |= kwargs
        leading = []
        while len(leading) < len(first) and first[len(leading)] in given:
            ours = first[len(leading)]
            leading.append(as_arrays(ours, given.pop(ours)))
        return plain(*leading, **{others.get(key, key): value for key, value in given.items()})

    vars(adapted)["__signature__"] = _signature(first, others, plain)
    return adapted


_OF_LISTS = frozenset({"log_sigmoid", "relu", "relu6", "selu", "sigmoid", "silu", "softplus"})
"""Further functions whose arguments may be lists of numbers, which no table tells."""
_NO_ARRAYS = frozenset({"indices_or_sections", "kth", "repeats", "shape", "axis", "variable"})


def _of_lists(plain: Function) -> Function:
    @functools.wraps(plain)
    def adapted(*args: Any, **kwargs: Any) -> Any:
        return plain(*(as_arrays("x", value) for value in args), **kwargs)

    return adapted


def as_arrays(name: str, value: Any) -> Any:
    """Returns an array for a list of numbers, to any depth, which JAX's functions refuse."""
    if not isinstance(value, (list, tuple)) or name in _NO_ARRAYS:
        return value
    if name == "xs" or any(hasattr(item, "dtype") for item in value):
        return [as_arrays("x", item) for item in value]
    return jnp.asarray(value)


def _signature(first: list[str], others: dict[str, str], plain: Function) -> inspect.Signature:
    known = inspect.signature(plain).parameters
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in first]
    for ours, theirs in others.items():
        default = known[theirs].default if theirs in known else None
        default = None if default is inspect.Parameter.empty else default
        parameters.append(inspect.Parameter(ours, kind, default=default))
    return inspect.Signature(parameters)
