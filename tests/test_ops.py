"""`kgraph.ops`: the functions of JAX by name, on arrays and on symbolic tensors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kgraph
from kgraph import Input, Model, ops
from kgraph.models import model_from_json

X = np.random.default_rng(0).uniform(0.1, 0.9, size=(2, 4)).astype(np.float32)
LOGICAL = ["logical_and", "logical_or", "logical_xor"]
BITS = ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not"]
BINARY = [
    "add",
    "subtract",
    "multiply",
    "divide",
    "true_divide",
    "floor_divide",
    "mod",
    "fmod",
    "power",
    "maximum",
    "minimum",
    "arctan2",
    "hypot",
    "logaddexp",
    "equal",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
]
SPECIAL = {"cast", "where", "clip", "arccosh", *LOGICAL, *BITS, *BINARY, "logical_not"}

CALLS = {
    "cast": lambda o, x: o.cast(x, "float16"),
    "where": lambda o, x: o.where(x > 0.5, x, 0.0),
    "clip": lambda o, x: o.clip(x, 0.2, 0.5),
    "sum": lambda o, x: o.sum(x, axis=-1, keepdims=True),
    "max": lambda o, x: o.max(x, axis=1),
    "argmax": lambda o, x: o.argmax(x, axis=-1),
    "concatenate": lambda o, x: o.concatenate([x, x], axis=-1),
    "stack": lambda o, x: o.stack([x, x], axis=1),
    "split": lambda o, x: o.split(x, 2, axis=-1)[1],
    "reshape": lambda o, x: o.reshape(x, (-1, 2, 2)),
    "transpose": lambda o, x: o.transpose(x, (1, 0)),
    "einsum": lambda o, x: o.einsum("bi,bi->b", x, x),
    "matmul": lambda o, x: o.matmul(x, np.ones((4, 2), np.float32)),
    "expand_dims": lambda o, x: o.expand_dims(x, axis=(1, 2)),
    "squeeze": lambda o, x: o.squeeze(o.expand_dims(x, 1), 1),
    "softmax": lambda o, x: o.softmax(x, axis=-1),
    "logsumexp": lambda o, x: o.logsumexp(x, axis=-1),
    "one_hot": lambda o, x: o.one_hot(o.cast(x * 4, "int32"), 5),
    "take": lambda o, x: o.take(x, np.array([1, 3]), axis=1),
    "pad": lambda o, x: o.pad(x, ((0, 0), (1, 2))),
    "flip": lambda o, x: o.flip(x, axis=1),
    "cumsum": lambda o, x: o.cumsum(x, axis=1),
    "sort": lambda o, x: o.sort(x, axis=-1),
    "norm": lambda o, x: o.norm(x, axis=-1),
    "top_k": lambda o, x: o.top_k(x, 2)[0],
    "zeros_like": lambda o, x: o.zeros_like(x),
    "swapaxes": lambda o, x: o.swapaxes(x, 0, 1),
    "tile": lambda o, x: o.tile(x, (1, 3)),
    "std": lambda o, x: o.std(x, axis=1),
    "broadcast_to": lambda o, x: o.broadcast_to(x[:, None], (2, 3, 4)),
    "norm of all": lambda o, x: o.norm(x),
    "nested": lambda o, x: o.add(o.sin(x), o.multiply(2.0, o.cos(x))),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_function_on_symbols_gives_what_it_gives_on_arrays(name):
    x = Input(batch_shape=(2, 4))
    y = CALLS[name](ops, x)
    wanted = CALLS[name](ops, jnp.asarray(X))
    assert (y.shape, y.dtype) == (wanted.shape, str(wanted.dtype))
    model = Model(x, y)
    np.testing.assert_allclose(model(X), wanted, rtol=1e-6)
    again = model_from_json(model.to_json())
    assert again.graph == model.graph
    np.testing.assert_array_equal(again(X), model(X))


UNARY = sorted(set(kgraph.ops._ELEMENTWISE) - SPECIAL)


@pytest.mark.parametrize("name", [n for n in UNARY if n in ops.names])
def test_every_elementwise_function_is_jaxs(name):
    function = getattr(ops, name)
    x = Input((4,))
    y = function(x)
    assert y.shape == (None, 4)
    assert y.name == name
    np.testing.assert_allclose(Model(x, y)(X), function(jnp.asarray(X)), rtol=1e-6)


@pytest.mark.parametrize("name", [*BINARY, *LOGICAL])
def test_every_function_of_two_is_jaxs(name):
    x = Input((4,))
    bits = name in LOGICAL
    other = x > 0.4 if bits else x + 0.25
    model = Model(x, getattr(ops, name)(x > 0.6 if bits else x, other))
    first = jnp.asarray(X) > 0.6 if bits else jnp.asarray(X)
    second = jnp.asarray(X) > 0.4 if bits else jnp.asarray(X) + 0.25
    np.testing.assert_allclose(model(X), getattr(jnp, name)(first, second), rtol=1e-5)


@pytest.mark.parametrize("name", BITS)
def test_bits(name):
    x = Input((3,), dtype="int32")
    args = (x,) if name == "bitwise_not" else (x, 6)
    data = np.array([[1, 5, 12]], np.int32)
    real = (data,) if name == "bitwise_not" else (data, 6)
    np.testing.assert_array_equal(
        Model(x, getattr(ops, name)(*args))(data), getattr(jnp, name)(*real)
    )


@pytest.mark.parametrize("name", ops.names)
def test_every_name_in_the_list_exists(name):
    assert callable(getattr(ops, name))
    assert name in dir(ops)


def test_a_name_that_is_not_in_the_list():
    with pytest.raises(AttributeError, match=r"no 'tahn'; did you mean .*'tanh'"):
        _ = ops.tahn
    for name in ("save", "load", "fromfile", "frombuffer", "__wrapped__", "jit"):
        with pytest.raises(AttributeError):
            getattr(ops, name)


def test_a_file_cannot_name_another_function():
    x = Input((3,))
    text = Model(x, ops.tanh(x)).to_json()
    with pytest.raises((AttributeError, kgraph.errors.KGraphError), match="no 'fromfile'"):
        model_from_json(text.replace('"tanh"', '"fromfile"'))


def test_several_results_are_several_tensors():
    x = Input((4,))
    values, indices = ops.top_k(x, 2)
    assert (values.dtype, indices.dtype) == ("float32", "int32")
    model = Model(x, [values, indices])
    jax.tree.map(np.testing.assert_array_equal, model(X), list(jax.lax.top_k(X, 2)))


def test_a_mask_goes_through_elementwise_functions_only():
    words = Input((None,), dtype="int32")
    x = kgraph.layers.Embedding(5, 3, mask_zero=True)(words)
    assert ops.tanh(x * 2.0).mask is not None
    with pytest.warns(UserWarning, match="does not support masks"):
        assert ops.sum(x, axis=1).mask is None


def test_arguments_are_part_of_the_graph():
    x = Input((4,))
    assert Model(x, ops.sum(x, axis=1)).graph != Model(x, ops.sum(x, axis=0)).graph
    assert Model(x, ops.sum(x, axis=1)).graph == Model(x, ops.sum(x, axis=1)).graph
