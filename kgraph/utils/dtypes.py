"""Names of dtypes: one name for what the libraries call differently, and what types mix to."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from kgraph import config
from kgraph.errors import ConfigError, nearest
from kgraph.types import DTypeLike

NAMES = (
    "bool", "float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "float64",
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "complex64", "complex128", "string",
)  # fmt: skip
_PYTHON = {bool: "bool", int: "int32", float: "float32", str: "string", complex: "complex64"}
_PYTHON_NAMES = {"int": "int32"}


def standardize_dtype(dtype: DTypeLike) -> str:
    """Returns the name of a dtype of Python, NumPy, JAX or PyTorch; None is `config.floatx()`.

    Raises:
        ConfigError: there is no such dtype.

    >>> standardize_dtype(jnp.bfloat16), standardize_dtype(int), standardize_dtype(None)
    ('bfloat16', 'int32', 'float32')
    """
    if dtype is None:
        return config.floatx()
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    name = _PYTHON_NAMES.get(name, name).rpartition(".")[2]  # PyTorch: torch.float32
    if name not in NAMES:
        raise ConfigError(f"{dtype!r} is no dtype", hint=nearest(name, NAMES))
    return name


def is_float_dtype(dtype: DTypeLike) -> bool:
    """Tells whether a dtype is one of the floats."""
    return standardize_dtype(dtype).startswith(("float", "bfloat"))


def is_int_dtype(dtype: DTypeLike) -> bool:
    """Tells whether a dtype is one of the integers, signed or not."""
    return standardize_dtype(dtype).startswith(("int", "uint"))


def result_type(*dtypes: Any) -> str:
    """Returns the name of the dtype that values of these dtypes have together, as JAX mixes them.

    The types `int` and `float` of Python give way to any array's dtype of their kind; None is
    `config.floatx()`. 64 bits are 32 unless JAX is set to use them.

    Raises:
        ConfigError: there is no such dtype, or these do not mix.

    >>> result_type("int32", "bfloat16"), result_type("float16", float), result_type(int, float)
    ('bfloat16', 'float16', 'float32')
    """
    weak = [dtype for dtype in dtypes if dtype is int or dtype is float]
    names = [
        standardize_dtype(dtype) for dtype in dtypes if dtype is not int and dtype is not float
    ]
    if not names:
        return standardize_dtype(float if float in weak or not weak else int)
    if set(dtypes) == {"string"}:
        return "string"
    try:
        with jax.numpy_dtype_promotion("standard"):
            mixed = functools.reduce(jnp.promote_types, map(_numeric, names))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "These dtypes do not mix", received=", ".join(map(str, dtypes)), hint="cast one of them"
        ) from error
    if float in weak and not jnp.issubdtype(mixed, jnp.inexact):
        return "float32"
    if int in weak and mixed == jnp.dtype(bool):
        return "int32"
    return jax.dtypes.canonicalize_dtype(mixed).name


def _numeric(name: str) -> Any:
    if name.startswith(("float8", "string")):
        raise TypeError(f"{name} is not mixed with others")
    return jnp.dtype(name)
