"""Lambda: what its function gets, and what can be written down."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kgraph.custom_objects import register_keras_serializable
from kgraph.errors import ConfigError
from kgraph.layers.base import Input
from kgraph.layers.core import Lambda, Masking


@register_keras_serializable("test_lambda")
def scaled(x, factor=2.0, training=None, mask=None):
    out = x * factor + (1 if training else 0)
    return out if mask is None else jnp.where(mask[..., None], out, -1)


def half(x):
    return x / 2


def all_steps(inputs, mask):
    return jnp.ones(inputs.shape[:2], bool)


def test_the_function_gets_its_arguments_the_mode_and_the_mask():
    layer = Lambda(scaled, arguments={"factor": 3.0})
    x = np.ones((1, 2, 1), "float32")
    assert layer(x).ravel().tolist() == [3, 3]
    assert layer(x, training=True).ravel().tolist() == [4, 4]
    assert layer(x, mask=np.array([[True, False]])).ravel().tolist() == [3, -1]
    assert layer(Input(("time", 1))).symbolic_shape == ("batch", "time", 1)


def test_a_registered_function_is_written_down_and_read_back():
    layer = Lambda(scaled, arguments={"factor": 3.0}, name="triple")
    config = json.loads(json.dumps(layer.get_config()))
    again = Lambda.from_config(config)
    assert again.get_config() == layer.get_config()
    assert again.function is scaled
    assert again(np.ones((1, 1), "float32")).tolist() == [[3]]


def test_another_function_works_but_cannot_be_written_down():
    layer = Lambda(half)
    assert layer(np.ones((1, 1), "float32")).tolist() == [[0.5]]
    assert layer(Input((4,))).shape == (None, 4)
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(layer.get_config())
    with pytest.raises(ConfigError, match="as `function`"):
        Lambda("half")


def test_functions_of_jax_are_found_by_name():
    for function in (jnp.tanh, jax.nn.relu, jnp.add, jax.nn.softmax):
        assert Lambda(function).function is function


def test_a_mask_of_the_users_own():
    made = Lambda(half, mask=all_steps)(Input(("time", 1)))
    assert made.mask is not None
    assert Lambda(half)(Masking()(Input(("time", 1)))).mask is None
