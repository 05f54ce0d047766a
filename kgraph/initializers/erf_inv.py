"""The inverse error function in float32, for NumPy as for JAX."""

from __future__ import annotations

from types import ModuleType

import jax
import numpy as np

from kgraph.types import AnyArray

# Coefficients, highest power first, in w - 2.5 for w < 5 and in sqrt(w) - 3 beyond.
_CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def erf_inv(x: AnyArray, xp: ModuleType) -> AnyArray:
    """Returns the y in float32 with erf(y) = x, for x strictly between -1 and 1.

    Source: Giles, "Approximating the erfinv function", GPU Computing Gems (2011), single precision;
    XLA uses the same polynomials, so NumPy and JAX agree up to rounding.
    """
    if xp is not np:
        return jax.lax.erf_inv(x)
    y = np.array(x, np.float32)
    erf_inv_in_place(y, np.empty_like(y), np.empty_like(y), np.empty_like(y))
    return y


def erf_inv_in_place(x: np.ndarray, w: np.ndarray, v: np.ndarray, factor: np.ndarray) -> None:
    """Replaces each x (float32) by its `erf_inv`; `w`, `v`, `factor` are buffers of its shape."""
    np.multiply(x, x, out=w)
    np.negative(w, out=w)
    np.log1p(w, out=w)
    np.negative(w, out=w)
    np.subtract(w, 2.5, out=v)
    _polynomial(_CENTRE, v, factor)
    tail = np.flatnonzero(w >= 5)  # 0.3 % of uniform draws
    beyond = np.sqrt(w[tail]) - np.float32(3)
    factor[tail] = _polynomial(_TAIL, beyond, np.empty_like(beyond))
    x *= factor


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray, total: np.ndarray) -> np.ndarray:
    total.fill(coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += np.float32(coefficient)
    return total
