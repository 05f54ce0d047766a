"""Symbolic tensors: what they tell, what they record, and what they refuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model, SymbolicTensor, ops
from kgraph.errors import SymbolError


def test_a_symbol_tells_shape_dtype_and_rank():
    x = Input(("time", 64), dtype="bfloat16", name="audio")
    assert x.shape == (None, None, 64)
    assert x.symbolic_shape == ("batch", "time", 64)
    assert (x.dtype, x.ndim, x.name) == ("bfloat16", 3, "audio")
    assert "[batch, time, 64] bfloat16" in repr(x)
    assert "'audio'" in repr(x)


def test_a_symbol_knows_the_users_line():
    x = Input((3,))
    here = x.source
    assert here is not None
    assert here.file == __file__
    assert "x = Input((3,))" in str(here)


ARRAY = np.array([[0.5, -2.0, 3.0]], np.float32)

ARITHMETIC = [
    lambda x: x + 1.5,
    lambda x: 1.5 - x,
    lambda x: x * x,
    lambda x: 2.0 / x,
    lambda x: x // 2.0,
    lambda x: 7.0 % x,
    lambda x: x**2,
    lambda x: 2.0**x,
    lambda x: -x,
    lambda x: abs(x),
    lambda x: x @ np.ones((3, 2), np.float32),
    lambda x: x > 0,
    lambda x: x <= 0.5,
    lambda x: x == 3.0,
    lambda x: x != 3.0,
    lambda x: np.float32(0) < x,
    lambda x: (x > 0) & (x < 1),
    lambda x: (x > 1) | (x < 0),
    lambda x: (x > 1) ^ (x < 5),
    lambda x: ~(x > 0),
    lambda x: x[:, 1],
    lambda x: x[..., ::-1],
    lambda x: x[:, None, :2],
    lambda x: x[:, [2, 0]],
    lambda x: x[0],
]


@pytest.mark.parametrize("function", ARITHMETIC)
def test_operators_give_what_jax_gives(function):
    x = Input((3,))
    with jax.numpy_rank_promotion("allow"):
        y = function(x)
        assert isinstance(y, SymbolicTensor)
        found = Model(x, y)(ARRAY)
        wanted = function(jnp.asarray(ARRAY))
    np.testing.assert_array_equal(found, wanted)
    assert y.dtype == str(wanted.dtype)


@pytest.mark.parametrize("array", [np.full((1, 3), 2, np.float32), jnp.full((1, 3), 2.0)])
@pytest.mark.parametrize(
    "function",
    [
        lambda a, x: a + x,
        lambda a, x: a - x,
        lambda a, x: a * x,
        lambda a, x: a / x,
        lambda a, x: a**x,
        lambda a, x: a % x,
        lambda a, x: a < x,
        lambda a, x: a == x,
        lambda a, x: x - a,
        lambda a, x: x >= a,
    ],
)
def test_an_array_on_either_side_is_a_constant_of_the_graph(array, function):
    x = Input((3,))
    y = function(array, x)
    assert isinstance(y, SymbolicTensor)
    wanted = function(jnp.asarray(array), jnp.asarray(ARRAY))
    np.testing.assert_array_equal(Model(x, y)(ARRAY), wanted)


def test_matmul_takes_an_array_on_the_left():
    x = Input(batch_shape=(3, 2))
    left = np.ones((4, 3), np.float32)
    for array in (left, jnp.asarray(left)):
        assert (array @ x).shape == (4, 2)


def test_a_numpy_scalar_keeps_its_dtype_and_a_python_number_has_none():
    x = Input((3,), dtype="bfloat16")
    with jax.numpy_dtype_promotion("standard"):
        assert (x * 2.0).dtype == "bfloat16"
        assert (x * np.float32(2)).dtype == "float32"
        assert (np.float32(2) * x).dtype == "float32"


JAX_FUNCTIONS = {
    "tanh": jnp.tanh,
    "mean": jnp.mean,
    "relu": jax.nn.relu,
    "softmax": jax.nn.softmax,
    "concatenate": lambda x: jnp.concatenate([x, x]),
    "stack": lambda x: jnp.stack([x, x]),
    "where": lambda x: jnp.where(x, 1.0, 0.0),
    "reshape": lambda x: jnp.reshape(x, (3,)),
    "asarray": jnp.asarray,
    "einsum": lambda x: jnp.einsum("ij->i", x),
    "matmul": lambda x: jnp.matmul(x, x),
    "jit": jax.jit(lambda x: x),
}
NUMPY_FUNCTIONS = {
    "numpy.tanh": np.tanh,
    "numpy.mean": np.mean,
    "numpy.asarray": np.asarray,
    "numpy.concatenate": lambda x: np.concatenate([x, x]),
    "numpy.dot": lambda x: np.dot(x, x),
    "numpy.maximum": lambda x: np.maximum(x, 1.0),
}


@pytest.mark.parametrize("name", JAX_FUNCTIONS)
def test_a_jax_function_is_refused_with_what_to_use(name):
    x = Input((3,))
    with pytest.raises(SymbolError, match=r"cannot be used by a JAX function") as caught:
        JAX_FUNCTIONS[name](x)
    assert "kgraph.ops" in str(caught.value)
    assert "test_symbol.py" in str(caught.value), "the user's line of the tensor"


@pytest.mark.parametrize("name", NUMPY_FUNCTIONS)
def test_a_numpy_function_is_refused_with_what_to_use(name):
    with pytest.raises(SymbolError, match=r"NumPy function|numpy\.(tanh|maximum)") as caught:
        NUMPY_FUNCTIONS[name](Input((3,)))
    assert "kgraph.ops" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Triggering of __jax_array__:DeprecationWarning")
@pytest.mark.parametrize("name", ["lax.exp", "lax.add"])
def test_a_lax_function_is_refused(name):
    x = Input((3,))
    with pytest.raises((TypeError, ValueError)):
        jax.lax.exp(x) if name == "lax.exp" else jax.lax.add(x, x)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (bool, "condition"),
        (len, r"len\(\)[\s\S]*\.shape"),
        (list, r"loop[\s\S]*kgraph\.ops\.split"),
        (float, "as a number"),
        (int, "as a number"),
        (range, "as a number"),
    ],
)
def test_python_that_needs_values_is_refused(use, text):
    with pytest.raises(SymbolError, match=text):
        use(Input((3,)))


def test_an_if_on_a_comparison_is_refused():
    x = Input((3,))
    with pytest.raises(SymbolError, match=r"kgraph\.ops\.where"):
        _ = 1 if x > 0 else 2


def test_a_symbol_can_be_a_key_of_a_dict():
    x, y = Input((3,)), Input((3,))
    assert {x: 1, y: 2}[y] == 2


def test_ops_are_the_same_functions_on_arrays():
    assert kgraph.ops is ops
    np.testing.assert_array_equal(ops.tanh(ARRAY), jnp.tanh(ARRAY))
